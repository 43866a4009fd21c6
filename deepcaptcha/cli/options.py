"""Values of command line options, read with words for people."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError


def names(text: str | None, default: Sequence[str]) -> list[str]:
    """The names in a list separated by commas, each once; `default` for None."""
    if text is None:
        return list(default)
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise InputError("an empty list of names; give names separated by commas")
    return found


def number(option: str, text: str) -> float:
    """A number; its range is for whoever uses it to check."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} is {text!r}; a number between 0 and 1 is needed") from None


def whole(option: str, text: str, least: int = 1, most: int | None = None) -> int:
    """A whole number of at least `least` and, if given, at most `most`."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        needed = f">= {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{option} is {text!r}; a whole number {needed} is needed")
    return value
