"""Two samples of trials side by side: by their measures, and row by row in two ledgers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import InputError
from ..trials.ledger import LedgerTrials
from ..trials.trial import Trial
from .baseline import TASK, differences
from .claim import Json, summarise
from .exact import fisher, holm, mcnemar, rank_sum, smallest_fall, smallest_shift
from .measures import (
    COARSE,
    Course,
    Measure,
    Reading,
    Ruler,
    Shift,
    chance_of,
    course_of,
    measures_of,
    spread_of,
    tolerance,
)

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
    pairs = _pairs(new, same_seeds or {})
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


def _pairs(
    new: Sequence[Course], same_seeds: Mapping[int, Course]
) -> list[tuple[Course, Course]] | None:
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


ALPHA = 0.05
"""Chance of calling any row changed if none is, over all rows (Holm)."""


@dataclass(frozen=True)
class ComparedRow:
    """One factory and recipe in both ledgers.

    - `before`, `after`: (converged, trials) of those compared, where `paired` of the pairs.
      `median_epochs`: of the converged ones, in both.
    - `p`: two-sided and adjusted over all rows, of Fisher's exact test of P(converged), or of McNemar's
      exact test where `paired`.
    - `same_bits`: seeds of both that ended with the very same weights, of `common`.
    - `sees_fall`: the smallest fall of P(converged) seen with POWER; infinite: none.
    - `numbers`: the measures that both sides logged; `numbers_p`: the least of their p-values, adjusted
      over all rows too. Empty and 1 where neither logged any.
    """

    name: str
    recipe: str
    before: tuple[int, int]
    after: tuple[int, int]
    median_epochs: tuple[float | None, float | None]
    paired: bool
    common: int
    same_bits: int
    p: float
    sees_fall: float
    numbers: tuple[Compared, ...] = ()
    numbers_p: float = 1.0

    @property
    def changed(self) -> bool:
        """Whether P(converged) or a measure differs at the level of the whole table."""
        return self.p <= ALPHA or self.numbers_p <= ALPHA

    @property
    def moved(self) -> Compared | None:
        """The measure that surely differs most, if any does."""
        if self.numbers_p > ALPHA:
            return None
        return min(self.numbers, key=lambda one: one.p)

    @property
    def worse(self) -> bool:
        """Whether it changed to a lower P(converged), or to a worse measure."""
        fell = self.after[0] / self.after[1] < self.before[0] / self.before[1]
        return (self.p <= ALPHA and fell) or (self.moved is not None and self.moved.way == "worse")

    def as_dict(self) -> Json:
        """JSON-ready."""
        return {
            **{name: value for name, value in vars(self).items() if name != "numbers"},
            "sees_fall": self.sees_fall if math.isfinite(self.sees_fall) else None,
            "changed": self.changed,
            "numbers": [one.as_dict() for one in self.numbers],
        }

    @property
    def sees(self) -> float:
        """The smallest shift of any one measure that would have been seen, in spreads of its seeds;
        infinite where none would."""
        return max((one.sees_spreads for one in self.numbers), default=math.inf)


def compare(
    before: LedgerTrials, after: LedgerTrials, *, ruler: Ruler = ()
) -> tuple[ComparedRow, ...]:
    """A row for every factory and recipe that both ledgers hold, in order of recipe and name; by its
    P(converged), and by the measures that the earlier ledger fixes.

    A row is paired where the earlier ledger holds every seed of the later one and each pair began with
    the same weights and first loss. Its measures are then compared seed by seed where `compare_courses`
    can, by the `ruler` or, of a row that it does not know, by how far the pairs' own differences
    scatter. InputError where nothing can be compared.
    """
    places = ({(trial.recipe, trial.name) for trial in side.trials} for side in (before, after))
    keys = sorted(set.intersection(*places))
    if not keys:
        raise InputError("the two ledgers have no factory and recipe in common")
    rows = [
        _compare(before.of(name, recipe), after.of(name, recipe), ruler, ALPHA / len(keys))
        for recipe, name in keys
    ]
    # A row without numbers has no second hypothesis.
    numbered = [place for place, row in enumerate(rows) if row.numbers]
    adjusted = holm([row.p for row in rows] + [rows[place].numbers_p for place in numbered])
    by_number = dict(zip(numbered, adjusted[len(rows) :], strict=True))
    return tuple(
        replace(row, p=adjusted[place], numbers_p=by_number.get(place, 1.0))
        for place, row in enumerate(rows)
    )


def _compare(
    old: Mapping[int, Trial], new: Mapping[int, Trial], ruler: Ruler, level: float
) -> ComparedRow:
    """The row, with p-values that are not adjusted over rows."""
    one, *others = *old.values(), *new.values()
    for trial in others:
        _require_same_task(one, trial)
    same_seeds = {seed: course_of(trial) for seed, trial in old.items()}
    pairs = _pairs([course_of(trial) for trial in new.values()], same_seeds)
    common = [(old[seed], new[seed]) for seed in sorted(old.keys() & new.keys())]
    compared = [old[seed] for seed in new] if pairs else list(old.values())
    before, after = (summarise(side) for side in (compared, list(new.values())))
    first, second = ((summary.converged, summary.trials) for summary in (before, after))
    numbers = _numbers(old, new, pairs, ruler, level / 2)
    part = level / 2 if numbers else level
    return ComparedRow(
        name=one.name,
        recipe=one.recipe,
        before=first,
        after=second,
        median_epochs=(before.median_epochs, after.median_epochs),
        paired=pairs is not None,
        common=len(common),
        same_bits=sum(a.weights_sha256 == b.weights_sha256 for a, b in common),
        p=mcnemar((a.outcome == "converged", b.outcome == "converged") for a, b in pairs)
        if pairs
        else fisher(first, second),
        sees_fall=smallest_fall(first, len(new), part, paired=pairs is not None),
        numbers=numbers,
        numbers_p=min((each.p for each in numbers), default=1.0),
    )


def _numbers(
    old: Mapping[int, Trial],
    new: Mapping[int, Trial],
    pairs: Sequence[tuple[Course, Course]] | None,
    ruler: Ruler,
    level: float,
) -> tuple[Compared, ...]:
    first = next(iter(old.values()))
    if "target" not in first.settings:  # a record of a source that names none
        return ()
    target = first.target
    before, after = ([course_of(trial) for trial in side.values()] for side in (old, new))
    measures = measures_of(before, target, chance_of(target, first.settings))
    row = f"{first.recipe} {first.name}"
    if pairs and not any(shift.row == row for shift in ruler):
        ruler = _own_ruler(measures, pairs, before, row)
    return compare_courses(
        measures,
        before,
        after,
        level,
        row=row,
        ruler=ruler,
        same_seeds={course.seed: course for course in before},
    )


LEAST_PAIRS = 4
"""By fewer differences their scatter is not told."""


def _own_ruler(
    measures: Sequence[Measure],
    pairs: Sequence[tuple[Course, Course]],
    before: Sequence[Course],
    row: str,
) -> Ruler:
    """How far the pairs' own differences scatter: a ruler that allows the least shift alone."""
    found = []
    for measure in measures if len(pairs) >= LEAST_PAIRS else ():
        old, now = (readings_of(measure, side) for side in zip(*pairs, strict=True))
        if old and now and not any(reading.level for reading in (*old, *now)):
            moved = [b.value - a.value for a, b in zip(old, now, strict=True)]
            spread = spread_of(readings_of(measure, before))
            scatter = statistics.stdev(moved)
            found.append(Shift("these pairs", row, measure.name, 0.0, scatter, spread, len(pairs)))
    return found


def environments(before: LedgerTrials, after: LedgerTrials) -> str:
    """What differs between the two environments: `tensorflow 2.19.1 -> 2.21.0, ...`."""
    for ledger in (before, after):
        first, *others = (trial.identity.get("environment", {}) for trial in ledger.trials)
        if any(other != first for other in others):
            raise InputError(
                "a ledger holds trials of several environments; give one of one environment"
            )
    old, new = (side.trials[0].identity.get("environment", {}) for side in (before, after))
    return differences(old, new) or "the same in both"


def _require_same_task(first: Trial, second: Trial) -> None:
    for key in TASK:
        was, now = first.identity.get(key), second.identity.get(key)
        if was != now:
            detail = ""
            if isinstance(was, Mapping) and isinstance(now, Mapping):
                differing = [k for k in {**was, **now} if was.get(k) != now.get(k)]
                detail = f" ({', '.join(differing)})"
            raise InputError(
                f"{first.name} {first.recipe}: the trials differ in their {key}{detail}; only "
                "the environment or the code of the factory may differ"
            )
