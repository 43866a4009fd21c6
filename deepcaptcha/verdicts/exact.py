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


def stratified(tables: Sequence[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Exact one-sided test of a common odds ratio of 1 against above 1, conditional on all margins:
    p, and the smallest that these margins allow.

    A table is (with and event, without and event, with and no event, without and no event) of one
    stratum. The sum of the first entries is, under the hypothesis, a sum of independent
    hypergeometric variables (Cox & Snell, Analysis of Binary Data, 1989, 2.3).
    """
    from scipy.stats import hypergeom

    chances = np.ones(1)
    observed = least = 0
    for a, b, c, d in tables:
        low, high = max(0, a - d), min(a + b, a + c)
        within = hypergeom.pmf(np.arange(low, high + 1), a + b + c + d, a + c, a + b)
        chances = np.convolve(chances, within)
        observed += a
        least += low
    tail = np.cumsum(chances[::-1])[::-1]
    return min(1.0, float(tail[observed - least])), float(tail[-1])


def holm(values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment of p-values, in their own order."""
    order = np.argsort(values, kind="stable")
    stepped = np.arange(len(values), 0, -1) * np.asarray(values, float)[order]
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, stepped))
    return [float(value) for value in adjusted]
