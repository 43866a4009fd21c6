"""The command line; `main` knows the commands, each file of them one topic."""
