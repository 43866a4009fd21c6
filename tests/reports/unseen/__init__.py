"""Reports found by the even queries: not looked at until the rules were done."""
