"""The plugin's settings: each an option `--convergence-x` and an ini value `convergence_x`; the option
counts."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ..errors import InputError
from ..trials import seeds
from ..trials.place import default_ledger
from ..trials.worker import cores
from .repairing import USUAL, RepairBudget, read_budget

Number = TypeVar("Number", int, float)


def _seed(text: str) -> int:
    if text in ("fixed", "any"):
        return seeds.first_seed("pull-request" if text == "fixed" else "nightly")
    if not text.isdecimal() or int(text) >= 2**32 - 10_000:
        raise InputError(
            f"{text!r} is given; 'fixed', 'any' or a whole number below 2**32 - 10000 is needed"
        )
    return int(text)


def _read(
    convert: Callable[[str], Number], fits: Callable[[Number], object], needed: str
) -> Callable[[str], Number]:
    def read(text: str) -> Number:
        with suppress(ValueError):
            if fits(value := convert(text)):
                return value
        raise InputError(f"{text!r} is given; {needed} is needed")

    return read


def _digits(text: str) -> int:
    if not text.isdecimal():
        raise ValueError
    return int(text)


_rate = _read(float, lambda value: 0 < value < 1, "a number between 0 and 1")
_minutes = _read(float, lambda value: 0 < value < float("inf"), "a number of minutes above 0")
_count = _read(_digits, lambda value: value >= 1, "a whole number of at least 1")
_number = _read(_digits, lambda value: True, "a whole number")


def _jobs(text: str) -> int:
    return cores() if text == "auto" else _count(text)


def _name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]{0,59}", text):
        raise InputError(f"{text!r} is given; letters, digits, '.', '_' and '-' are needed")
    return text


@dataclass(frozen=True)
class Setting:
    """One setting: how its text is read (None: it is on or off), and its text where none is given or,
    `bare`, where the option stands alone."""

    name: str
    parse: Callable[[str], object] | None
    default: str
    help: str
    metavar: str | None = None
    bare: str | None = None

    @property
    def option(self) -> str:
        """Such as `--convergence-max-trials`."""
        return f"--convergence-{self.name.replace('_', '-')}"


SETTINGS = (
    Setting(
        "seed",
        _seed,
        "fixed",
        "first seed of every verdict: 'fixed' (default, always the same), 'any' (a fresh one for this "
        "run) or a number",
        "SEED",
    ),
    Setting(
        "hypotheses",
        _count,
        "",
        "verdicts that share the suite's error rates, whatever is collected; default: all that were, "
        "before -k, -m and --lf leave some out",
        "N",
    ),
    Setting(
        "rows",
        _number,
        "",
        "rows that are compared with a baseline, each by two of these verdicts; default: all that were",
        "N",
    ),
    Setting("pinned", None, "", "verdicts fail where their number is not pinned; for CI"),
    Setting("alpha", _rate, "0.05", "the suite's chance of a false red (0.05)", "A"),
    Setting("beta", _rate, "0.05", "the suite's chance of a false green (0.05)", "B"),
    Setting(
        "ledger",
        str,
        "",
        "folder that keeps every trial; default: the project's own in the user's cache",
        "DIR",
    ),
    Setting(
        "report",
        str,
        "",
        "write an HTML report on the verdicts to this file (needs the extra `report`)",
        "FILE",
    ),
    Setting("json", str, "", "write all verdicts as JSON to this file", "FILE"),
    Setting(
        "save",
        _name,
        "",
        "keep verdicts and trials of this run under a number and this name, for `deepcaptcha compare`",
        "NAME",
    ),
    Setting(
        "jobs",
        _jobs,
        "",
        "train so many seeds of a test side by side, each in a process with one thread; `auto`: one a "
        "core; default: 1, or with convergence_single_thread none, in the process of the test",
        "N",
    ),
    Setting(
        "max_trials",
        _count,
        "",
        "the most trainings of any verdict; one that needs more is undecided, and its test skipped",
        "N",
    ),
    Setting(
        "timeout",
        _count,
        "",
        "seconds that a training in a worker process may take; default: any",
        "S",
    ),
    Setting(
        "minutes",
        _minutes,
        "",
        "minutes after which no verdict begins another training; one that needs more is undecided",
        "M",
    ),
    Setting(
        "reuse",
        None,
        "",
        "take every trial with the same fingerprint from the ledger; default: those whose fingerprint "
        "holds all code of yours, or a version, and none where a row is compared with its baseline",
    ),
    Setting("fresh", None, "", "train all anew, whatever the ledger holds"),
    Setting(
        "repair",
        read_budget,
        "",
        "look for a change that repairs the model of a red test, in so many trainings (60 without a "
        "number) or minutes (10m) for each; default: off",
        "BUDGET",
        USUAL,
    ),
    Setting("record", None, "", "train and write the baselines instead of comparing with them"),
    Setting(
        "accept",
        str,
        "",
        "record the baseline of this row, NAME or 'NAME RECIPE', in place of judging it, and show "
        "old beside new; needs --convergence-reason",
        "ROW",
    ),
    Setting("reason", str, "", "why the row is accepted, kept in its baseline", "TEXT"),
    Setting("strict", None, "", "what trains better, or otherwise, than its baseline did is red"),
    Setting(
        "confirm",
        None,
        "",
        "train one recorded seed of each row that has a baseline: where it comes again bit for bit, the "
        "recorded verdicts stand, else it is compared by recorded numbers; with --convergence-record, "
        "judge an unchanged row that has no verdict, and record it",
    ),
)


@dataclass(frozen=True)
class Options:
    """A run's settings.

    - `seed`: the first of every verdict. `hypotheses`, `rows`: None where their number is not pinned.
    - `pinned`: a verdict fails where their number is not.
    - `alpha`, `beta`: the whole suite's. `ledger`, `report`: paths; no report where None.
    - `json`: a path; `save`: the name under which the session is kept; None: neither.
    - `jobs`: worker processes; None: 1, or with `convergence_single_thread` none at all.
      `timeout`: seconds that a trial in one may take; None: any.
    - `max_trials`, `minutes`: the most of any verdict; None: what its plan needs.
    - `repair`: what a red test may spend on looking for one; None: nothing.
    - `accept`: the row whose baseline is recorded anew, for a `reason`; None: none.
    - `reuse`, `fresh`, `record`, `strict`, `confirm`: see `SETTINGS`.
    """

    seed: int
    hypotheses: int | None
    rows: int | None
    pinned: bool
    alpha: float
    beta: float
    ledger: Path
    report: Path | None
    json: Path | None
    save: str | None
    jobs: int | None
    timeout: int | None
    max_trials: int | None
    minutes: float | None
    reuse: bool
    fresh: bool
    repair: RepairBudget | None
    record: bool
    accept: str | None
    reason: str | None
    strict: bool
    confirm: bool


def add_settings(parser: pytest.Parser) -> None:
    """Declare them all to pytest."""
    group = parser.getgroup("convergence", "verdicts on training (deepcaptcha)")
    for setting in SETTINGS:
        option, ini = setting.option, f"convergence_{setting.name}"
        if setting.parse is None:
            parser.addini(ini, setting.help, type="bool", default=False)
            group.addoption(option, action="store_true", default=None, help=setting.help)
        else:
            parser.addini(ini, setting.help, default=setting.default)
            read = partial(_option, setting.parse)
            alone = {} if setting.bare is None else {"nargs": "?", "const": read(setting.bare)}
            group.addoption(option, metavar=setting.metavar, type=read, help=setting.help, **alone)


def _option(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_options(config: pytest.Config) -> Options:
    """The settings of a run; InputError for an ini value that is none."""
    values: dict[str, Any] = {setting.name: _find(config, setting) for setting in SETTINGS}
    for name, unless in (
        ("ledger", default_ledger(config.rootpath)),
        ("report", None),
        ("json", None),
    ):
        values[name] = config.rootpath / values[name] if values[name] else unless
    if bool(values["accept"]) != bool(values["reason"]):
        raise InputError(
            "--convergence-accept ROW and --convergence-reason TEXT are given together: a row is "
            "accepted for a reason, which its baseline keeps"
        )
    here = not values["jobs"] and config.getini("convergence_single_thread")
    if values["timeout"] and here:
        raise InputError(
            "with convergence_single_thread, --convergence-timeout needs --convergence-jobs: a training "
            "in the test's own process cannot be ended alone"
        )
    return Options(**values)


def _find(config: pytest.Config, setting: Setting) -> object:
    given: object = config.getoption(setting.option)
    if given is not None:
        return given
    ini = f"convergence_{setting.name}"
    value: object = config.getini(ini)
    if setting.parse is None:
        return value
    try:
        return setting.parse(str(value)) if value or setting.default else None
    except InputError as error:
        raise InputError(f"{ini}: {error}") from None


def repeating_options(config: pytest.Config, hypotheses: int, rows: int = 0) -> str:
    """The options, but for the seed, that give the same verdicts again."""
    options = [f"--convergence-hypotheses {hypotheses}"]
    if rows:
        options.append(f"--convergence-rows {rows}")
    for name in ("alpha", "beta", "max-trials", "minutes"):
        if (value := config.getoption(f"--convergence-{name}")) is not None:
            options.append(f"--convergence-{name} {value}")
    if config.getoption("--convergence-strict"):
        options.append("--convergence-strict")
    return " ".join(options)


def own_command(config: pytest.Config) -> str:
    """The command line of this run, but for what the seed and `repeating_options` say anew, and for what
    is taken from the ledger."""
    names = ("seed", "hypotheses", "rows", "alpha", "beta", "max-trials", "minutes")
    options = [f"--convergence-{name}" for name in names]
    flags = [f"--convergence-{name}" for name in ("strict", "reuse", "fresh")]

    def kept() -> Iterator[str]:
        words = map(str, config.invocation_params.args)
        for word in words:
            if word in options:
                next(words, None)  # its value
            elif word.partition("=")[0] not in (*options, *flags):
                yield word

    return shlex.join(["pytest", *kept()])


def marker_expression(config: pytest.Config) -> list[str]:
    """This run's `-m`, as a shell takes it, without which the ini file's own might leave a test out."""
    expression = config.option.markexpr
    if expression or any(word.startswith("-m") for word in config.getini("addopts")):
        return [f"-m {shlex.quote(expression)}"]
    return []
