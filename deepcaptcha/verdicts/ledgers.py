"""Two ledgers of trials, row by row: rates, and the measures that both hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from ..trials.ledger import LedgerTrials
from ..trials.trial import Trial
from .baseline import TASK, differences
from .claim import Json, summarise
from .comparison import Compared, compare_courses, pairs_of, readings_of
from .exact import fisher, holm, mcnemar, smallest_fall
from .measures import Course, Measure, chance_of, course_of, measures_of, spread_of
from .ruler import Ruler, Shift

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
    pairs = pairs_of([course_of(trial) for trial in new.values()], same_seeds)
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
