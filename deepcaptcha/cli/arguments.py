"""Arguments: a parser that says what is wrong in one line, commands and options, types of options."""

from __future__ import annotations

import argparse
import re
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

from ..errors import InputError
from ..trials.seeds import STREAMS

Value = TypeVar("Value")
Option: TypeAlias = Callable[[argparse._ActionsContainer], object]
"""Adds itself to a parser."""


class Parser(argparse.ArgumentParser):
    """Raises InputError for arguments that cannot be."""

    def error(self, message: str) -> NoReturn:
        """Instead of the usage and an exit."""
        raise InputError(message)


@dataclass(frozen=True)
class Command:
    """What the command `name` does: `run` is given its options and returns the exit code."""

    name: str
    run: Callable[[Namespace], int]
    summary: str
    options: tuple[Option, ...]


def command(summary: str, *options: Option) -> Callable[[Callable[[Namespace], int]], Command]:
    """Makes a command of the function that runs it and has its name."""
    return lambda run: Command(run.__name__.rstrip("_"), run, summary, options)


def add_commands(parser: Parser, *commands: Command) -> None:
    """Make the commands known to the parser; all can print JSON."""
    known = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in commands:
        told = each.summary
        added = known.add_parser(each.name, help=told, description=told, allow_abbrev=False)
        added.set_defaults(run=each.run)
        for add in (flag("--json", "print JSON instead of words"), *each.options):
            add(added)


def option(
    name: str,
    words: str,
    metavar: str | None = None,
    type_: Callable[[str], object] = str,
    default: object = None,
    **others: Any,
) -> Option:
    """An option or a positional argument; its default is told after the words."""
    told = words if default is None else f"{words}; default {default}".removeprefix("; ")
    return lambda parser: parser.add_argument(
        name, help=told, metavar=metavar, type=type_, default=default, **others
    )


def flag(name: str, words: str) -> Option:
    """An option that is on or off."""
    return lambda parser: parser.add_argument(name, help=words, action="store_true")


def program() -> str:
    """What the user typed before the command."""
    installed = Path(sys.argv[0]).stem == "deepcaptcha"
    return "deepcaptcha" if installed else "python -m deepcaptcha"


def _type(
    convert: Callable[[str], Value], fits: Callable[[Value], object], what: str
) -> Callable[[str], Value]:
    """The type of what `convert` makes of a text, if that `fits`; `what` else it is not."""

    def read(text: str) -> Value:
        with suppress(ValueError):
            if fits(value := convert(text)):
                return value
        raise ArgumentTypeError(f"{text!r} is no {what}")

    return read


def whole_number(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """The type of whole numbers from `least` to `most`, if there is a most."""
    needed = f">= {least}" if most is None else f"from {least} to {most}"
    top = float("inf") if most is None else most
    return _type(int, lambda value: least <= value <= top, f"whole number {needed}")


rate = _type(float, lambda value: 0 < value < 1, "number above 0 and below 1")
"""The type of rates and probabilities that leave room on both sides."""

number = _type(float, lambda value: True, "number")
"""The type of any number; whoever uses it knows its range."""

minutes = _type(float, lambda value: 0 < value < float("inf"), "number above 0")
"""The type of a time."""

executor = _type(
    str,
    re.compile("process|dask(:.+)?").fullmatch,
    "executor; process, dask or dask:ADDRESS is needed, such as dask:tcp://127.0.0.1:8786",
)


def names(text: str) -> list[str]:
    """The type of lists of names separated by commas, each once."""
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise ArgumentTypeError(f"{text!r} holds no name; give names separated by commas")
    return found


TARGET = ("target", "epochs", "monitor", "mode", "batch")
"""What says what is to be reached, where a network does not say so itself."""

OWN_LEDGER = option(
    "--ledger",
    "the recorded trials; default: those of pytest in this project, in the user's cache unless its ini "
    "file names a folder",
    "DIR",
    Path,
)
FRESH = flag("--fresh", "train again what the ledger holds")

_DATA = (
    "for a variant an mnist.npz, 'subset' or 'keras'; for a factory module:function, which returns "
    "(train, validation), each (x, y) or a dataset, or an npz file of x_train, y_train, x_validation "
    "and y_validation"
)
_JOBS = "trials at a time, each in a process of its own; default: one per core"
_SHARED: dict[str, tuple[str | None, Callable[[str], object], str]] = {
    "p_good": ("P", rate, "trains from here up"),
    "p_bad": ("P", rate, "fails from here down"),
    "alpha": ("A", rate, "chance of a wrong red or `fails`"),
    "beta": ("B", rate, "chance of a wrong green or `trains`"),
    "jobs": ("N", whole_number(), _JOBS),
    "output": ("DIR", Path, "folder for all that is written"),
    "ledger": ("DIR", Path, "the recorded trials"),
    "stream": ("NAME", str, f"the seeds' stream: {', '.join(STREAMS)}"),
    "data": ("PLACE", str, _DATA),
    "target": ("V", number, "to be reached; default 0.9"),
    "epochs": ("N", whole_number(), "within so many; default 5"),
    "monitor": ("M", str, "what is watched; default val_accuracy"),
    "mode": (None, str, "the better value; default max"),
    "batch": ("N", whole_number(), "examples in it; default 32"),
}
_CHOICES = {"stream": tuple(STREAMS), "mode": ("max", "min")}


def shared(*without: str, required: bool = False, **defaults: object) -> tuple[Option, ...]:
    """Options that several commands take, those `without` a default and the others."""
    found = []
    for name, default in {**dict.fromkeys(without), **defaults}.items():
        metavar, type_, words = _SHARED[name]
        more = {"required": required, "choices": _CHOICES.get(name)}
        dashed = "--" + name.replace("_", "-")
        found.append(option(dashed, words, metavar, type_, default, **more))
    return tuple(found)


def either(*options: Option) -> Option:
    """Options of which only one can be given."""

    def add(parser: argparse._ActionsContainer) -> None:
        group = parser.add_mutually_exclusive_group()
        for each in options:
            each(group)

    return add
