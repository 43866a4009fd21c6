"""The one error a user of this package is meant to read."""

import re

_MOST_WORDS = 400  # characters of Keras' own message; it may print whole tensors
_BOLD = re.compile("\x1b\\[[0-9;]*m")
_PLACES = ("Graph execution error", "Detected at node", 'File "', "<stack traces", "[[{{node")


class InputError(ValueError):
    """A mistake in what the user gave: one line with what is wrong, the value, what would be right.

    The command line prints it without a traceback and exits with code 2.
    """


def error_words(error: Exception) -> str:
    """An error's message in one line, no longer than a few, without the places TensorFlow lists."""
    # Of a KeyError, str() quotes what may be Keras' whole message, or only a key.
    whole = f"KeyError: {error.args[0]}" if type(error) is KeyError and error.args else str(error)
    lines = [line.strip() for line in _BOLD.sub("", whole).splitlines()]
    if lines[:1] == ["in user code:"]:  # pairs of a place and its code, then the message
        places = [number for number, line in enumerate(lines) if line.startswith('File "')]
        lines = lines[max(places, default=0) + 2 :]
    text = " ".join(line for line in lines if line and not line.startswith(_PLACES))
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} ..."
