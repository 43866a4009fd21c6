"""Which change makes a model train that fails: candidates, the search, its words."""
