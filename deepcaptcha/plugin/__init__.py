"""The pytest plugin: hooks, options, marker, suite, contracts."""
