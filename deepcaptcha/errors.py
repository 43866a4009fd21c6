"""The one error a user of this package is meant to read, and what most often raises it."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOST_WORDS = 400  # characters of Keras' own message; it may print whole tensors
_BOLD = re.compile("\x1b\\[[0-9;]*m")
_UNUSUAL = re.compile("[^ -~]")
_PLACES = ("Graph execution error", "Detected at node", 'File "', "<stack traces", "[[{{node")


def printable(text: str, keep: str = "") -> str:
    """The text as terminals, pages and files of every kind show it harmlessly: what is no letter, sign
    or blank (control characters, line ends, turns of the writing direction, halves of characters)
    stands as Python writes it, such as `\\x1b`, but for the characters to `keep`."""

    def shown(found: re.Match[str]) -> str:
        letter = found[0]
        return letter if letter.isprintable() or letter in keep else repr(letter)[1:-1]

    return _UNUSUAL.sub(shown, text)


class InputError(ValueError):
    """A mistake in what the user gave: one line with what is wrong, the value, what would be right; an
    argument a line where more is to be told.

    The command line prints it without a traceback and exits with code 2.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'val_accuracy'?)` where one of the known words is much like it; else nothing."""
    found = difflib.get_close_matches(word, [*known], n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def error_words(error: BaseException) -> str:
    """An error's message in one line, no longer than a few, without the places TensorFlow lists."""
    # Of a KeyError, str() quotes what may be Keras' whole message, or only a key.
    whole = f"KeyError: {error.args[0]}" if type(error) is KeyError and error.args else str(error)
    lines = [line.strip() for line in _BOLD.sub("", whole).splitlines()]
    if lines[:1] == ["in user code:"]:  # pairs of a place and its code, then the message
        places = [number for number, line in enumerate(lines) if line.startswith('File "')]
        lines = lines[max(places, default=0) + 2 :]
    text = printable(" ".join(line for line in lines if line and not line.startswith(_PLACES)))
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} ..."


def require_whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """`value`; InputError unless it is a whole number of at least `least` and at most `most`."""
    if type(value) is int and least <= value and (most is None or value <= most):
        return value
    needed = f">= {least}" if most is None else f"from {least} to {most}"
    raise InputError(f"{name} is {value!r}; a whole number {needed} is needed")


def require_text(name: str, value: object, *, or_none: bool = False) -> None:
    """InputError unless `value` is a text, or None where it may be left out."""
    if not isinstance(value, str) and not (or_none and value is None):
        raise InputError(f"{name} is {value!r}; a text is needed")


def require_rate(name: str, value: object) -> float:
    """`value`; InputError unless it is a number above 0 and below 1."""
    if isinstance(value, int | float) and 0 < value < 1:
        return value
    raise InputError(f"{name} is {value!r}; between 0 and 1 is needed")


def require_file_name(what: str, name: object) -> str:
    """`name`; InputError, which calls it `what`, unless a file in any folder can be called so."""
    wrong = not isinstance(name, str) or not name or name.strip(".") == "" or len(name) > 200
    if wrong or {"/", "\\", "\0"} & set(str(name)):
        shown = repr(name) if len(repr(name)) <= 100 else f"{repr(name)[:100]}..."
        raise InputError(
            f"{what} is {shown}; a name that is to be a file's has no slash, backslash or zero byte, "
            "is not only dots, and has at most 200 letters"
        )
    return str(name)


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk, so that a new one is there after a power cut."""
    if os.name == "nt":  # Windows opens no folder, and writes names down by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, text: str, what: str = "the file") -> None:
    """Write a text file whole or not at all, in a folder that is made where it is missing; it is on the
    disk when this returns.

    Raises InputError, which calls it `what`, where that cannot be; then the older file is left.
    """
    partial = path.parent / f"{path.name}.{os.getpid()}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe or a terminal is never replaced
            path.write_text(text, encoding="utf-8")
            return
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)
    except (
        OSError,
        ValueError,
    ) as error:  # of a name with a zero byte, or letters no file can hold
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot write {what} {path}: {why}") from None
