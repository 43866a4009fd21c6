"""How many hypotheses share the suite's error rates, whatever part of it a run collects."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ..errors import InputError

_KEY = "deepcaptcha/hypotheses"


class Count(NamedTuple):
    """How many hypotheses share the rates, and how many rows among them are compared with baselines."""

    hypotheses: int
    rows: int = 0


Pinned = tuple[int | None, int | None]
"""Hypotheses and rows that the ini file or the command line name; None: not."""


def count_hypotheses(
    config: pytest.Config, pinned: Pinned, collected: Count, *, must_be_pinned: bool = False
) -> Count:
    """The numbers that share the rates: those `pinned`, or else what was `collected` before anything was
    deselected; at least 1 hypothesis. `--lf` collects less than the run whose failures it repeats: there
    that run's numbers count.

    Raises InputError for pinned numbers that are less than what was collected, or leave less for claims
    than were, and where they `must_be_pinned` and are not.
    """
    known = _before_last_failed(config, collected)
    if must_be_pinned:
        for word, number, needed in zip(("hypotheses", "rows"), pinned, known, strict=True):
            if number is None and needed:
                raise InputError(
                    f"convergence_pinned is set, and the number of {word} is not: ini "
                    f"convergence_{word} = N, or --convergence-{word} N; {needed} were collected"
                )
    hypotheses, rows = (
        number if given is None else given for given, number in zip(pinned, known, strict=True)
    )
    for word, count, given in (
        ("hypotheses", hypotheses, collected.hypotheses),
        ("rows", rows, collected.rows),
    ):
        if count < given:
            raise InputError(
                f"{count} {word} are pinned, and {given} were collected; their error rates would not "
                "add up to the suite's: pin more"
            )
    if 2 * rows > hypotheses:
        raise InputError(
            f"{rows} rows are pinned, which are two verdicts each, and {hypotheses} hypotheses; pin "
            "both numbers"
        )
    left, claims = hypotheses - 2 * rows, collected.hypotheses - 2 * collected.rows
    if left < claims:
        raise InputError(
            f"{rows} rows of {hypotheses} hypotheses are pinned, which leaves {left} for claims, and "
            f"{claims} were collected; pin {claims + 2 * rows} hypotheses"
        )
    return Count(max(hypotheses, 1), rows)


def _before_last_failed(config: pytest.Config, collected: Count) -> Count:
    cache: pytest.Cache | None = getattr(config, "cache", None)  # none with -p no:cacheprovider
    if cache is None:
        return collected
    found = cache.get(_KEY, None)
    known = Count(*found) if isinstance(found, list) and len(found) == 2 else Count(0)
    if config.getoption("lf", False):
        return Count(*map(max, known, collected))
    if collected != known:  # a project that declares none gets no file of ours
        cache.set(_KEY, list(collected))
    return collected
