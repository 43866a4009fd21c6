"""The plugin's settings: each an option `--convergence-x` and an ini value `convergence_x`; the option
counts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..errors import InputError
from ..trials import seeds


@dataclass(frozen=True)
class Setting:
    """One setting; a `flag` is on or off, any other takes a text."""

    name: str
    default: str
    help: str
    metavar: str | None = None
    flag: bool = False


SETTINGS = (
    Setting(
        "seed",
        "fixed",
        "first seed of every verdict: 'fixed' (default, always the same), 'any' (a fresh one for this "
        "run) or a number",
        "SEED",
    ),
    Setting(
        "hypotheses",
        "",
        "verdicts that share the suite's error rates, whatever is collected; default: all that were",
        "N",
    ),
    Setting("alpha", "0.05", "the suite's chance of a false red (0.05)", "A"),
    Setting("beta", "0.05", "the suite's chance of a false green (0.05)", "B"),
    Setting("ledger", "build/ledger", "folder that keeps every trial (build/ledger)", "DIR"),
    Setting(
        "report",
        "",
        "write an HTML report on the verdicts to this file (needs the extra `report`)",
        "FILE",
    ),
    Setting(
        "reuse",
        "",
        "take trials with the very same fingerprint from the ledger instead of training them",
        flag=True,
    ),
    Setting(
        "record",
        "",
        "train and write the baselines instead of comparing with them",
        flag=True,
    ),
)


def add_settings(parser: pytest.Parser) -> None:
    """Declare them all to pytest."""
    group = parser.getgroup("convergence", "verdicts on training (deepcaptcha)")
    for setting in SETTINGS:
        option, ini = f"--convergence-{setting.name}", f"convergence_{setting.name}"
        if setting.flag:
            parser.addini(ini, setting.help, type="bool", default=False)
            group.addoption(option, action="store_true", default=None, help=setting.help)
        else:
            parser.addini(ini, setting.help, default=setting.default)
            group.addoption(option, metavar=setting.metavar, help=setting.help)


def find(config: pytest.Config, name: str) -> tuple[Any, str]:
    """A setting's value, and how the user would call it."""
    given = config.getoption(f"--convergence-{name}")
    if given is not None:
        return given, f"--convergence-{name}"
    return config.getini(f"convergence_{name}"), f"convergence_{name}"


def path(config: pytest.Config, name: str) -> Path | None:
    """A setting that is a path, from the root folder of the tests; None where it is empty."""
    text, _ = find(config, name)
    return config.rootpath / text if text else None


def first_seed(config: pytest.Config) -> int:
    """The first seed of every verdict of this run; InputError for none of the above."""
    text, source = find(config, "seed")
    if text == "fixed":
        return seeds.first_seed("pull-request")
    if text == "any":
        return seeds.first_seed("nightly")
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32 - 10_000:
        raise InputError(
            f"{source} is {text!r}; 'fixed', 'any' or a whole number below 2**32 - 10000 is needed"
        )
    return seed


def rates(config: pytest.Config) -> tuple[float, float]:
    """The suite's (alpha, beta); InputError where they are no probabilities."""
    found = []
    for name in ("alpha", "beta"):
        text, source = find(config, name)
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 0 < rate < 1:
            raise InputError(f"{source} is {text!r}; a number between 0 and 1 is needed")
        found.append(rate)
    return found[0], found[1]


def pinned_hypotheses(config: pytest.Config) -> int | None:
    """The number that the suite's rates are shared among, if it is pinned; InputError if it is none."""
    text, source = find(config, "hypotheses")
    if not text:
        return None
    if not str(text).isdecimal() or int(text) < 1:
        raise InputError(f"{source} is {text!r}; a whole number of at least 1 is needed")
    return int(text)


_REPEATED = ("seed", "hypotheses", "alpha", "beta")


def repeating_options(config: pytest.Config, hypotheses: int) -> str:
    """The options, but for the seed, that give the same verdicts again."""
    options = [f"--convergence-hypotheses {hypotheses}"]
    for name in ("alpha", "beta"):
        if (value := config.getoption(f"--convergence-{name}")) is not None:
            options.append(f"--convergence-{name} {value}")
    return " ".join(options)


def own_command(config: pytest.Config) -> str:
    """The command line of this run, but for what the seed and `repeating_options` say anew."""
    options = [f"--convergence-{name}" for name in _REPEATED]

    def kept() -> Iterator[str]:
        words = map(str, config.invocation_params.args)
        for word in words:
            if word in options:
                next(words, None)  # its value
            elif word.partition("=")[0] not in options:
                yield word

    return shlex.join(["pytest", *kept()])


def marker_expression(config: pytest.Config) -> list[str]:
    """This run's `-m`, as a shell takes it, without which the ini file's own might leave a test out."""
    expression = config.option.markexpr
    if expression or any(word.startswith("-m") for word in config.getini("addopts")):
        return [f"-m {shlex.quote(expression)}"]
    return []
