"""Arguments: a parser that says what is wrong in one line, types of options, options that are shared."""

from __future__ import annotations

import argparse
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeAlias

from ..errors import InputError
from ..trials.seeds import STREAMS

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Raises InputError for arguments that cannot be."""

    def error(self, message: str) -> NoReturn:
        """Instead of the usage and an exit."""
        raise InputError(message)


def program() -> str:
    """What the user typed before the command."""
    installed = Path(sys.argv[0]).stem == "deepcaptcha"
    return "deepcaptcha" if installed else "python -m deepcaptcha"


def whole(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """The type of whole numbers from `least` to `most`, if there is a most."""
    needed = f">= {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise ArgumentTypeError(f"{text!r} is no whole number {needed}")
        return value

    return read


def rate(text: str) -> float:
    """The type of rates and probabilities that leave room on both sides."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text!r} is no number above 0 and below 1")
    return value


def number(text: str) -> float:
    """The type of any number; whoever uses it knows its range."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None


def names(text: str) -> list[str]:
    """The type of lists of names separated by commas, each once."""
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise ArgumentTypeError(f"{text!r} holds no name; give names separated by commas")
    return found


_SHARED: Mapping[str, tuple[str | None, Callable[[str], object], str]] = {
    "p_good": ("P", rate, "trains from here up"),
    "p_bad": ("P", rate, "fails from here down"),
    "alpha": ("A", rate, "chance of a wrong red or `fails`"),
    "beta": ("B", rate, "chance of a wrong green or `trains`"),
    "jobs": ("N", whole(), "trials at a time, each in a process of its own; default: one per core"),
    "output": ("DIR", Path, "folder for all that is written"),
    "ledger": ("DIR", Path, "the recorded trials"),
    "stream": (None, str, "the seeds' stream"),
}
"""Options that several commands take: metavar, type and help, to which the default is added."""


def share(parser: argparse._ActionsContainer, **defaults: object) -> None:
    """Add options of `_SHARED` with their defaults."""
    for name, default in defaults.items():
        metavar, type_, words = _SHARED[name]
        told = words if default is None else f"{words}; default {default}"
        option = "--" + name.replace("_", "-")
        choices = tuple(STREAMS) if name == "stream" else None
        parser.add_argument(
            option, metavar=metavar, type=type_, default=default, help=told, choices=choices
        )


def add_command(
    commands: Commands, name: str, run: Callable[[Namespace], int], summary: str
) -> Parser:
    """A command's parser; `run` is given its options and returns the exit code."""
    added = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    added.set_defaults(run=run)
    added.add_argument("--json", action="store_true", help="print JSON instead of words")
    return added
