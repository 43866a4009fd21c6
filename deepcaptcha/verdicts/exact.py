"""Exact tests of whether two rates or two samples differ, their adjustment for being several, and what
they see."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Alternative = Literal["two-sided", "greater", "less"]

POWER = 0.9
"""The probability with which a shift is seen that is called the smallest."""

_DRAWS = 400  # of new values, by which that shift is simulated


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


def smallest_fall(
    before: tuple[int, int], trials: int, level: float, *, paired: bool = False
) -> float:
    """The smallest fall of a rate that its test calls one with probability POWER; infinite: none.

    - `before`: (successes, trials), taken as they were; `trials`: of the other side.
    - `level`: at which p is read, of Fisher's two-sided test, or of McNemar's where `paired` with those
      of `before`, none of which turns from failure to success.
    """
    from scipy.special import betaincinv

    successes, of = before
    if paired:
        needed = math.ceil(math.log2(2 / level))  # so many failures and no success: 2 / 2 ** needed
        if needed > successes:
            return math.inf
        return float(betaincinv(needed, successes - needed + 1, POWER)) * successes / of
    told = -1
    while (told + 1) * of < successes * trials and fisher(before, (told + 1, trials)) <= level:
        told += 1
    if told < 0:
        return math.inf
    return successes / of - float(betaincinv(told + 1, trials - told, 1 - POWER))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment of p-values, in their own order."""
    order = np.argsort(values, kind="stable")
    stepped = np.arange(len(values), 0, -1) * np.asarray(values, float)[order]
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(np.minimum(1, stepped))
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Tails:
    """Where a sum lies among those of all choices of as many, each choice as likely as another.

    - `low`: P(sum <= that observed). `high`: P(sum >= that observed). Both count the observed one.
    """

    low: float
    high: float

    @property
    def p(self) -> float:
        """Two-sided: the smaller tail, doubled; valid whatever the shape of the distribution."""
        return min(1.0, 2 * min(self.low, self.high))


def permutation(chosen: Sequence[int], others: Sequence[int]) -> Tails:
    """The exact permutation test of a sum of whole scores, of which any choice of `len(chosen)` among
    all is as likely as another: exchangeable units, in an order that no look at them changed.

    By recursion over the scores (Streitberg and Roehmel's shift algorithm, 1986), ties included. At
    least one score on either side.
    """
    if len(chosen) > len(others):  # the same question, in fewer steps
        rest = permutation(others, chosen)
        return Tails(rest.high, rest.low)
    scores = np.asarray([*chosen, *others])
    scores = scores - scores.min()
    scores = scores // max(1, np.gcd.reduce(scores))  # fewer sums to go through
    chances = _sums(tuple(sorted(scores.tolist())), len(chosen))
    place = int(scores[: len(chosen)].sum())
    return Tails(*(min(1.0, float(part.sum())) for part in (chances[: place + 1], chances[place:])))


@functools.lru_cache(maxsize=4096)
def _sums(scores: tuple[int, ...], size: int) -> NDArray[np.float64]:
    """The chance of each sum, from 0 on, of `size` of the rising scores, none of which is negative."""
    most = sum(scores[len(scores) - size :])
    reach: NDArray[np.float64] = np.zeros(
        (size + 1, most + 1)
    )  # by how many were taken, and their sum
    reach[0, 0] = 1
    lacking = np.arange(size, -1, -1)[:, None]
    for left, score in zip(range(len(scores), 0, -1), scores, strict=True):
        taken = reach[:-1, : most + 1 - score] * (lacking[:-1] / left)
        reach *= np.maximum(1 - lacking / left, 0)
        reach[1:, score:] += taken
    return reach[-1:].ravel()


def doubled_ranks(values: Sequence[tuple[int, float]]) -> list[int]:
    """Twice the mid-ranks, whole numbers from 2 on, of pairs that are compared in order."""
    _, places, counts = np.unique(
        np.asarray(values, float).reshape(-1, 2), axis=0, return_inverse=True, return_counts=True
    )
    ends = np.cumsum(counts)
    return [int(rank) for rank in (2 * ends - counts + 1)[places.reshape(-1)]]


def rank_sum(new: Sequence[tuple[int, float]], old: Sequence[tuple[int, float]]) -> Tails:
    """Wilcoxon's (1945) rank-sum test by mid-ranks, exact with ties too: whether `new` ranks lower or
    higher than `old`. At least one pair on either side, none with NaN."""
    ranks = doubled_ranks([*new, *old])
    return permutation(ranks[: len(new)], ranks[len(new) :])


@functools.lru_cache(maxsize=1024)
def _least_rank_sum(few: int, many: int, level: float) -> int | None:
    """The least sum of ranks of `few` numbers among `few + many`, none of them tied, of which `rank_sum`
    gives a two-sided p of at most `level`; None where no sum does."""
    chances = _sums(tuple(range(few + many)), few)
    tails = np.cumsum(chances[::-1])[::-1]
    found = np.flatnonzero(2 * tails <= level * (1 + 1e-9))
    return int(found[0]) + few if len(found) else None


@functools.lru_cache(maxsize=4096)
def smallest_shift(values: tuple[float, ...], higher: int, count: int, level: float) -> float:
    """The shift upwards of `count` new values with which `rank_sum` has a two-sided p of at most `level`
    with probability POWER, among the old values and so many `higher` ones; infinite where none has.

    Simulated: new values are drawn from the old ones and shifted, by the same draws each time."""
    old = np.sort(values)
    needed = _least_rank_sum(count, len(values) + higher, level)
    if needed is None or not len(old):
        return math.inf
    low, high = 0.0, 2 * float(old[-1] - old[0])
    if high == 0:
        return 0.0
    drawn = np.random.default_rng(0).choice(old, size=(_DRAWS, count))
    own = count * (count + 1) / 2

    def seen(shift: float) -> bool:
        moved = drawn + shift
        below = np.searchsorted(old, moved, "left") + np.searchsorted(old, moved, "right")
        return float(np.mean(below.sum(axis=1) / 2 + own >= needed)) >= POWER

    if not seen(high):
        return math.inf
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high
