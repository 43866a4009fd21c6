"""The one error a user of this package is meant to read."""


class InputError(ValueError):
    """A mistake in what the user gave: one line with what is wrong, the value, what would be right.

    The command line prints it without a traceback and exits with code 2.
    """
