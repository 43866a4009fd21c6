"""Reports found by the odd queries: the rules were tried on them while they were written."""
