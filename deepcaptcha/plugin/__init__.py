"""The pytest plugin: hooks, options, marker, suite, judging, summary, contracts."""
