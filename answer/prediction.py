"""How well a score measured beforehand tells which trials get stuck: counts, and thresholds that are
scored on architectures they were not chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """A trial's `group` (its architecture), the `score` measured before it ran, and whether it got
    stuck."""

    group: str
    score: float
    stuck: bool


@dataclass(frozen=True)
class Confusion:
    """Counts of predicted against actual: hits, false alarms, misses, and rightly left alone."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0
    left_alone: int = 0

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.left_alone + other.left_alone,
        )

    @property
    def precision(self) -> float | None:
        """Share of the alarms that are right; None without any."""
        alarms = self.hits + self.false_alarms
        return self.hits / alarms if alarms else None

    @property
    def recall(self) -> float | None:
        """Share of the stuck trials that were foretold; None without any."""
        stuck = self.hits + self.misses
        return self.hits / stuck if stuck else None

    @property
    def right(self) -> int:
        """Cases told rightly, of all four counts together."""
        return self.hits + self.left_alone


def confusion(cases: Sequence[Case], threshold: float) -> Confusion:
    """Counts where a score of at least `threshold` foretells getting stuck."""
    told = [(case.score >= threshold, case.stuck) for case in cases]
    return Confusion(
        told.count((True, True)),
        told.count((True, False)),
        told.count((False, True)),
        told.count((False, False)),
    )


def best_threshold(cases: Sequence[Case]) -> float:
    """The threshold that tells most cases rightly, in the middle of the widest gap between scores
    that does; infinity where never raising an alarm is best, or there is no case to learn from."""
    if not cases:
        return float("inf")
    scores = np.unique([case.score for case in cases])
    between = (scores[1:] + scores[:-1]) / 2
    candidates = [(float(t), float(gap)) for t, gap in zip(between, np.diff(scores), strict=True)]
    candidates += [(float(scores[0]), 0.0), (float("inf"), 0.0)]
    return max(candidates, key=lambda c: (confusion(cases, c[0]).right, c[1]))[0]


def leave_one_out(cases: Sequence[Case]) -> dict[str, tuple[float, Confusion]]:
    """Group -> the threshold chosen on all the others, and the counts it gives on this one."""
    scored = {}
    for group in dict.fromkeys(case.group for case in cases):
        threshold = best_threshold([case for case in cases if case.group != group])
        own = [case for case in cases if case.group == group]
        scored[group] = (threshold, confusion(own, threshold))
    return scored
