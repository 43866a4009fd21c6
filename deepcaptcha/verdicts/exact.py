"""Exact tests of whether two rates differ, and their adjustment for being several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

Alternative = Literal["two-sided", "greater", "less"]


def fisher(
    first: tuple[int, int], second: tuple[int, int], alternative: Alternative = "two-sided"
) -> float:
    """p of Fisher's exact test that two independent (successes, trials) have one rate; `greater`: the
    first has the higher one."""
    from scipy.stats import fisher_exact

    table = [[successes, trials - successes] for successes, trials in (first, second)]
    return float(fisher_exact(table, alternative=alternative).pvalue)


def mcnemar(pairs: Iterable[tuple[bool, bool]], alternative: Alternative = "two-sided") -> float:
    """p of McNemar's exact test that both sides of the pairs succeed equally often; `greater`: the
    first does more often. 1 where no pair differs."""
    from scipy.stats import binomtest

    differing = [first for first, second in pairs if first != second]
    if not differing:
        return 1.0
    return float(binomtest(sum(differing), len(differing), alternative=alternative).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment of p-values, in their own order."""
    order = np.argsort(values, kind="stable")
    stepped = np.arange(len(values), 0, -1) * np.asarray(values, float)[order]
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, stepped))
    return [float(value) for value in adjusted]
