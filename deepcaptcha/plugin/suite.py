"""How many hypotheses share the suite's error rates, whatever part of it a run collects, and which files
of it declare some."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ..errors import InputError

_KEY = "deepcaptcha/hypotheses"
_WORDS = (b"mark.convergence", b"parametrize_with_contracts")


def declares_hypotheses(path: Path) -> bool:
    """Whether a test module asks for verdicts, as its text shows; it is not imported."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return any(word in text for word in _WORDS)


class Count(NamedTuple):
    """How many hypotheses share the rates, and how many rows among them are compared with baselines."""

    hypotheses: int
    rows: int = 0


def count_hypotheses(
    config: pytest.Config, pinned: Pinned, collected: Count, *, failed: bool
) -> Count:
    """The whole suite's numbers: those `pinned`, or `collected` where that was all of it, or else what
    was collected when it last was; at least 1 hypothesis. `failed`: some file could not be collected.

    Raises InputError where none of these is known, or a known one is less than `collected`.
    """
    hypotheses, rows = pinned
    known = remembered(config)
    if not failed and not _selects(config):
        known = collected
        if None in pinned:  # a part of the suite needs the other number
            _remember(config, collected)
    if hypotheses is None:
        if known is None:
            raise _unknown("hypotheses")
        hypotheses = known.hypotheses
    if rows is None:
        if known is None and collected.rows:
            raise _unknown("rows")
        rows = 0 if known is None else known.rows
    for word, count, given in (
        ("hypotheses", hypotheses, collected.hypotheses),
        ("rows", rows, collected.rows),
    ):
        if count < given:
            raise InputError(
                f"{count} {word} are declared, and {given} were collected; their error rates would "
                "not add up to the suite's: "
                + ("pin more" if any(pinned) else "let `pytest --collect-only` count them again")
            )
    if 2 * rows > hypotheses:
        raise InputError(
            f"{rows} rows are declared, which are two verdicts each, and {hypotheses} hypotheses; pin "
            "both numbers"
        )
    return Count(max(hypotheses, 1), rows)


Pinned = tuple[int | None, int | None]
"""Hypotheses and rows that the ini file or the command line name; None: not."""


def _unknown(word: str) -> InputError:
    return InputError(
        "only a part of the suite was collected, and its error rates are shared by all of it; let "
        f"`pytest --collect-only` count them once, or pin their number: ini convergence_{word} = N, or "
        f"--convergence-{word} N"
    )


def known_count(config: pytest.Config, pinned: Pinned) -> Count | None:
    """What is pinned, or else remembered of the last collection of all; None without any."""
    hypotheses, rows = pinned
    known = remembered(config)
    if hypotheses is None:
        return known if known is None or rows is None else Count(known.hypotheses, rows)
    return Count(hypotheses, rows if rows is not None else known.rows if known else 0)


def remembered(config: pytest.Config) -> Count | None:
    """What was counted when all of the suite was last collected; None where it never was."""
    cache = _cache(config)
    found: object = None if cache is None else cache.get(_KEY, None)
    if type(found) is int:  # of version 0.3
        return Count(found)
    if isinstance(found, list) and len(found) == 2 and all(type(each) is int for each in found):
        return Count(*found)
    return None


def _remember(config: pytest.Config, collected: Count) -> None:
    # A project that declares none gets no file of ours.
    cache = _cache(config)
    if cache is not None and collected != (remembered(config) or Count(0)):
        cache.set(_KEY, list(collected))


def _cache(config: pytest.Config) -> pytest.Cache | None:
    return getattr(config, "cache", None)  # there is none with -p no:cacheprovider


def _selects(config: pytest.Config) -> bool:
    """Whether less than the suite is collected, but for what the ini file itself leaves out."""
    words = config.getini("addopts")
    own = {*words, *(word.partition("=")[2] for word in words)}
    left_out = [
        str(value)
        for name in ("ignore", "ignore_glob", "deselect")
        for value in config.getoption(name) or ()
    ]
    if config.getoption("lf", False) or not own.issuperset(left_out):
        return True
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return False
    given = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
    declared = config.getini("testpaths") or [""]
    return given != {(config.rootpath / path).resolve() for path in declared}
