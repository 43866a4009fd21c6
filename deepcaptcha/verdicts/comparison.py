"""New trials beside recorded ones, by their measures: between samples, and seed by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .claim import Json
from .exact import holm, rank_sum, smallest_shift
from .measures import Course, Measure, Reading, spread_of
from .ruler import COARSE, Ruler, tolerance

Way = Literal["worse", "better", "same"]


@dataclass(frozen=True)
class Compared:
    """One measure of a row, new against recorded.

    - `p`: two-sided, adjusted over the row's measures (Holm). `way`: of the new trials.
    - `shift`: of their mean against the recorded one (seed by seed where `paired`), of those with a
      value, in the measure's own unit and worse upwards; `spread`: of the recorded seeds.
    - `sees`: the smallest shift seen with POWER, in the measure's own unit; infinite: none.
    - `now`: the median of the new values, None without any; `without`: how many new trials have none.
    - `recorded`: the least and the largest recorded value. `allowed`: seed by seed, the largest shift
      that is none.
    """

    measure: Measure
    p: float
    way: Way
    shift: float
    spread: float
    sees: float
    paired: bool
    now: float | None
    without: int
    recorded: tuple[float, float]
    allowed: float = 0.0

    def as_dict(self) -> Json:
        """JSON-ready, with its text; what is infinite, or nothing, is None."""
        found = {
            "measure": self.measure.name,
            **{name: getattr(self, name) for name in ("p", "way", "paired", "now", "without")},
            **{name: getattr(self, name) for name in ("shift", "spreads", "sees", "sees_spreads")},
            "text": self.text,
        }
        lost = (math.inf, -math.inf)
        return {name: None if value in lost else value for name, value in found.items()}

    @property
    def spreads(self) -> float:
        """The shift in units of the seeds' spread; infinite where that is 0."""
        return self._in_spreads(self.shift)

    @property
    def sees_spreads(self) -> float:
        """The smallest shift seen, in the same unit."""
        return self._in_spreads(self.sees)

    def _in_spreads(self, value: float) -> float:
        if self.spread > 0:
            return value / self.spread
        return math.copysign(math.inf, value) if value else 0.0

    @property
    def text(self) -> str:
        """`training loss after epoch 1: 0.90, recorded 0.46 to 0.55 (+21 spreads)`, or seed by seed
        `...: +0.024 on the same seeds, at most 0.0026 allowed (+1.4 spreads)`."""
        low, high = self.recorded
        digits = _digits(high - low)
        if self.paired:
            shift = self.measure.sign * self.shift
            return (
                f"{self.measure.name}: {shift:+.2g} on the same seeds, at most {self.allowed:.2g} "
                f"allowed ({self.measure.sign * self.spreads:+.2g} spreads)"
            )
        values = [] if self.now is None else [f"{self.now:.{digits}f}"]
        if self.without:
            values.append(f"none in {self.without} trials")
        moved = ""
        if self.now is not None and math.isfinite(self.spreads):
            moved = f" ({self.measure.sign * self.spreads:+.2g} spreads)"
        elif self.now is not None and self.shift:
            moved = " (recorded without any spread)"
        return (
            f"{self.measure.name}: {', '.join(values)}, recorded {low:.{digits}f} to "
            f"{high:.{digits}f}{moved}"
        )


def _digits(width: float) -> int:
    """Decimals by which values that lie so far apart are told apart to two digits."""
    return 3 if width <= 0 else min(6, max(0, 1 - math.floor(math.log10(width))))


def compare_courses(
    measures: Sequence[Measure],
    recorded: Sequence[Course],
    new: Sequence[Course],
    level: float,
    *,
    row: str = "",
    ruler: Ruler = (),
    same_seeds: Mapping[int, Course] | None = None,
) -> tuple[Compared, ...]:
    """The measures that both sides logged, new trials against recorded ones.

    - `level`: at which `p` will be read; only what could be seen depends on it.
    - `same_seeds`: the recorded courses of the new trials' own seeds. Where each new trial is paired
      with one and the ruler is finer than COARSE, a measure is compared seed by seed; else between
      samples.
    """
    told = [
        (measure, before, now)
        for measure in measures
        if (before := readings_of(measure, recorded)) and (now := readings_of(measure, new))
    ]
    pairs = pairs_of(new, same_seeds or {})
    part = level / max(1, len(told))
    found = [
        _seed_by_seed(measure, before, pairs, part, row, ruler)
        or _between(measure, before, now, part)
        for measure, before, now in told
    ]
    adjusted = holm([one.p for one in found])
    return tuple(replace(one, p=p) for one, p in zip(found, adjusted, strict=True))


def readings_of(measure: Measure, courses: Sequence[Course]) -> list[Reading]:
    """Empty where any trial did not log it."""
    found = [measure.read(course) for course in courses]
    readings = [reading for reading in found if reading is not None]
    return readings if len(readings) == len(found) else []


def pairs_of(
    new: Sequence[Course], same_seeds: Mapping[int, Course]
) -> list[tuple[Course, Course]] | None:
    """Each new trial with the one of its seed; None where not all of them pair."""
    pairs = [(same_seeds[course.seed], course) for course in new if course.seed in same_seeds]
    paired = len(pairs) == len(new) and all(old.is_paired_with(now) for old, now in pairs)
    return pairs if paired else None


def _seed_by_seed(
    measure: Measure,
    before: Sequence[Reading],
    pairs: Sequence[tuple[Course, Course]] | None,
    level: float,
    row: str,
    ruler: Ruler,
) -> Compared | None:
    """None where seeds do not pair."""
    spread = spread_of(before)
    allowed = tolerance(ruler, row, measure.name, spread)
    if not pairs or allowed is None or allowed.scatter > COARSE * spread:
        return None
    old, now = (readings_of(measure, side) for side in zip(*pairs, strict=True))
    if not old or any(reading.level for reading in (*old, *now)):
        return None
    shift = statistics.fmean(b.value - a.value for a, b in zip(old, now, strict=True))
    return _compared(
        measure,
        before,
        now,
        p=allowed.p(shift, len(pairs)),
        way=_way(shift),
        shift=shift,
        sees=allowed.smallest_seen(level, len(pairs)),
        paired=True,
        allowed=allowed.delta,
    )


def _between(
    measure: Measure, before: Sequence[Reading], now: Sequence[Reading], level: float
) -> Compared:
    tails = rank_sum(now, before)
    values, others = ([r.value for r in side if r.level == 0] for side in (now, before))
    shift = statistics.fmean(values) - statistics.fmean(others) if values and others else 0.0
    return _compared(
        measure,
        before,
        now,
        p=tails.p,
        way="same" if tails.high == tails.low else "worse" if tails.high < tails.low else "better",
        shift=shift,
        sees=smallest_shift(tuple(others), len(before) - len(others), len(now), level),
        paired=False,
    )


def _compared(
    measure: Measure,
    before: Sequence[Reading],
    now: Sequence[Reading],
    *,
    p: float,
    way: Way,
    shift: float,
    sees: float,
    paired: bool,
    allowed: float = 0.0,
) -> Compared:
    recorded = sorted(measure.sign * reading.value for reading in before if reading.level == 0)
    values = [measure.sign * reading.value for reading in now if reading.level == 0]
    return Compared(
        measure,
        p,
        way,
        shift,
        spread_of(before),
        sees,
        paired,
        now=statistics.median(values) if values else None,
        without=len(now) - len(values),
        recorded=(recorded[0], recorded[-1]) if recorded else (math.nan, math.nan),
        allowed=allowed,
    )


def _way(shift: float) -> Way:
    return "same" if shift == 0 else "worse" if shift > 0 else "better"
