"""What the suite notices: `make mutants`."""
