"""Which change repairs a training: configurations, the search, its words."""
