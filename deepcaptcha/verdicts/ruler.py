"""The ruler: what rounding alone does to a row's measures, as harmless arithmetics showed it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ..errors import InputError
from .baseline import Baseline
from .claim import Json
from .exact import POWER
from .measures import Course, Measure, spread_of

RULER_FACTOR = 3.0
"""A shift is none while it is at most so many times the largest that a harmless arithmetic made."""

LEAST_SHIFT = 0.15
"""Nor while it is at most this share of the seeds' spread."""

FREEDOM = 12
"""Degrees of freedom from which on a row's own scatter is taken: that of 4 arithmetics on 4 seeds."""

COARSE = 0.5
"""Where rounding scatters a measure by more than this share of its spread, seeds do not pair."""


@dataclass(frozen=True)
class Shift:
    """How far one harmless arithmetic moved one measure of one row, over the same seeds.

    - `shift`: the mean difference, `scatter`: the standard deviation of the differences, 0 of a single
      one, over so many `seeds`; `spread`: the standard deviation of the measure over seeds. In the
      measure's own unit.
    """

    arithmetic: str
    row: str
    measure: str
    shift: float
    scatter: float
    spread: float
    seeds: int

    def as_dict(self) -> Json:
        """JSON-ready."""
        return asdict(self)


def shifts_of(
    arithmetic: str,
    row: str,
    measures: Sequence[Measure],
    recorded: Sequence[Course],
    again: Sequence[Course],
) -> tuple[Shift, ...]:
    """How far an arithmetic moved a row's measures.

    - `again`: trials of recorded seeds, trained in it. `recorded`: all of the record.

    Of a measure of which some of these trials has no value, nothing is told: rounding decides there
    whether it has one.
    """
    before = {course.seed: course for course in recorded}
    found = []
    for measure in measures:
        pairs = [(measure.read(before[course.seed]), measure.read(course)) for course in again]
        moved = [
            now.value - was.value
            for was, now in pairs
            if was and now and was.level == now.level == 0
        ]
        if len(moved) < len(pairs):
            continue
        spread = spread_of([reading for course in recorded if (reading := measure.read(course))])
        scatter = statistics.stdev(moved) if len(moved) > 1 else 0.0
        shift = statistics.fmean(moved)
        found.append(Shift(arithmetic, row, measure.name, shift, scatter, spread, len(moved)))
    return tuple(found)


Ruler = Sequence[Shift]


def ruler_of(baseline: Baseline) -> Ruler:
    """What a baseline says that rounding does to its row; empty where it was not measured."""
    return tuple(Shift(**shift) for shift in baseline.ruler)


@dataclass(frozen=True)
class Tolerance:
    """What rounding may do to a measure of a row, in its own unit.

    - `delta`: the largest shift that is none. `scatter`: of one seed's difference, a root mean square
      with so many degrees of `freedom`.
    """

    delta: float
    scatter: float
    freedom: int

    def p(self, shift: float, seeds: int) -> float:
        """That so large a mean shift over so many seeds comes of one of at most `delta` (Student)."""
        from scipy.stats import t

        beyond, error = abs(shift) - self.delta, self.scatter / math.sqrt(seeds)
        if error == 0:
            return float(beyond <= 0)
        return float(t.sf(beyond / error, self.freedom))

    def smallest_seen(self, level: float, seeds: int) -> float:
        """The shift that is called one with probability POWER."""
        from scipy.stats import t

        both = t.isf(level, self.freedom) + t.ppf(POWER, self.freedom)
        return self.delta + float(both) * self.scatter / math.sqrt(seeds)


def tolerance(
    ruler: Ruler, row: str, measure: str, spread: float, *, without: str = ""
) -> Tolerance | None:
    """The tolerance of a measure of a row whose seeds spread so far, from the arithmetics but for that
    called `without`: from its own row; where no arithmetic was tried on it, and for a scatter that its
    own row knows by less than FREEDOM, from all rows, in units of their spreads. None where the ruler
    says nothing of the measure, or nothing of its scatter: not by one seed, and not where nothing
    moved, as of a time in whole epochs."""
    known = [s for s in ruler if s.measure == measure and s.arithmetic != without]
    scaled = [  # in units of the spread, and for the row's own spread
        replace(s, shift=spread * s.shift / s.spread, scatter=spread * s.scatter / s.spread)
        for s in known
        if s.spread > 0
    ]
    own = [s for s in known if s.row == row] or scaled
    if not own:
        return None
    told = own if sum(s.seeds - 1 for s in own) >= FREEDOM else scaled or own
    if not (freedom := sum(s.seeds - 1 for s in told)):
        return None
    squares = math.fsum((s.seeds - 1) * s.scatter**2 for s in told)
    if squares == 0:
        return None
    return Tolerance(
        delta=max(RULER_FACTOR * max(abs(s.shift) for s in own), LEAST_SHIFT * spread),
        scatter=math.sqrt(squares / freedom),
        freedom=freedom,
    )


@dataclass(frozen=True)
class LeftOut:
    """What the rule says of one harmless arithmetic, measured by the others.

    - `rows`: on how many it was tried; `changed`: (row, measure), where it is called a change.
    """

    arithmetic: str
    rows: int
    changed: tuple[tuple[str, str], ...]

    @property
    def rows_changed(self) -> int:
        """On how many rows any measure is called changed."""
        return len({row for row, _ in self.changed})


def leave_one_out(ruler: Ruler, level: float) -> tuple[LeftOut, ...]:
    """Each arithmetic in turn judged as if it were a new one: how often the rule calls a harmless one a
    change, at a row's `level` (Bonferroni over the row's measures). InputError for less than two."""
    arithmetics = list(dict.fromkeys(shift.arithmetic for shift in ruler))
    if len(arithmetics) < 2:
        raise InputError(f"the ruler has {len(arithmetics)} arithmetics; at least 2 are needed")
    found = []
    for arithmetic in arithmetics:
        own = [shift for shift in ruler if shift.arithmetic == arithmetic]
        rows: dict[str, list[Shift]] = {}
        for shift in own:
            rows.setdefault(shift.row, []).append(shift)
        changed = []
        for row, shifts in rows.items():
            for shift in shifts:
                others = tolerance(ruler, row, shift.measure, shift.spread, without=arithmetic)
                if others is None or others.scatter > COARSE * shift.spread:
                    continue  # there, samples are compared
                if others.p(shift.shift, shift.seeds) <= level / len(shifts):
                    changed.append((row, shift.measure))
        found.append(LeftOut(arithmetic, len(rows), tuple(changed)))
    return tuple(found)
