"""The measures of a trial: single numbers, fixed in a record, by which trainings are compared; and the
ruler, what rounding alone does to them.

Which numbers are read is decided by the recorded trials alone, before a new one is looked at.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from ..errors import InputError
from ..trials.trial import OUTCOMES, Outcome, Target, Trial
from .baseline import Baseline
from .claim import Json
from .exact import POWER

LOSS_EVERY = 50
"""Steps between two recorded training losses within an epoch."""

SAME_LOSS = 1e-3
"""How near, as a share of it, the losses of a first batch are that rounding alone tells apart."""

LEAST_SHARE = 0.5
"""Of the recorded trials, those that must have a value of what is to be a measure."""

RULER_FACTOR = 3.0
"""A shift is none while it is at most so many times the largest that a harmless arithmetic made."""

LEAST_SHIFT = 0.15
"""Nor while it is at most this share of the seeds' spread."""

FREEDOM = 12
"""Degrees of freedom from which on a row's own scatter is taken: that of 4 arithmetics on 4 seeds."""

COARSE = 0.5
"""Where rounding scatters a measure by more than this share of its spread, seeds do not pair."""

_LEVELS: Mapping[Outcome, int] = {"converged": -1, "slow": 1, "stuck": 2, "diverged": 3}

Kind = Literal["epoch", "step", "time"]


@dataclass(frozen=True)
class Course:
    """What is read of one trial, a new one or a recorded one.

    - `history`: the logged values at the end of each epoch; None where one is not finite.
    - `losses`: of each epoch, the training loss every LOSS_EVERY steps; empty where not recorded.
    - `start`: begins the SHA-256 of the initial weights; `order`: a digest of the examples' order;
      `first_loss`: of the first batch, before any update; `end`: the SHA-256 of the last weights. Empty
      and None where not recorded.
    """

    seed: int
    outcome: Outcome
    history: tuple[Mapping[str, float | None], ...]
    losses: tuple[tuple[float | None, ...], ...] = ()
    start: str = ""
    first_loss: float | None = None
    end: str = field(default="", compare=False)
    order: str = ""

    @classmethod
    def from_dict(cls, fields: Json) -> Course:
        """The inverse of `dataclasses.asdict`, also after JSON."""
        losses = tuple(map(tuple, fields["losses"]))
        return cls(**{**fields, "history": tuple(fields["history"]), "losses": losses})

    def has_start_of(self, other: Course) -> bool:
        """Whether both have the same seed and initial weights. Never where one did not record them."""
        digits = min(len(self.start), len(other.start))
        same_start = digits > 0 and self.start[:digits] == other.start[:digits]
        return same_start and self.seed == other.seed

    def is_paired_with(self, other: Course) -> bool:
        """Whether both began as one training: the same seed, initial weights and first loss, the last
        but for rounding. Never where one of them did not record it."""
        if self.first_loss is None or other.first_loss is None:
            return False
        same_loss = math.isclose(self.first_loss, other.first_loss, rel_tol=SAME_LOSS)
        return self.has_start_of(other) and same_loss


def course_of(trial: Trial) -> Course:
    """What is read of a trial."""
    losses = tuple(epoch.losses for epoch in trial.epochs)
    return Course(
        seed=trial.seed,
        outcome=trial.outcome,
        history=tuple(epoch.metrics for epoch in trial.epochs),
        losses=losses if any(losses) else (),
        start=str(trial.identity.get("initial_weights") or ""),
        first_loss=trial.first_loss,
        end=trial.weights_sha256,
        order=str(trial.digests.get("order", "")),
    )


def courses_of(baseline: Baseline) -> tuple[Course, ...]:
    """What is read of a baseline's trials, in seed order; empty where it holds no numbers."""
    count = len(baseline.history)
    losses = baseline.losses or ((),) * count
    starts = baseline.seed_digests.get("initial weights") or ("",) * count
    first_losses = baseline.first_losses or (None,) * count
    orders = baseline.seed_digests.get("order") or ("",) * count
    parts = baseline.history, losses, starts, first_losses, orders
    return tuple(
        replace(course, history=history, losses=within, start=start, first_loss=first, order=order)
        for course, history, within, start, first, order in zip(
            outcomes_of(baseline), *parts, strict=False
        )
    )


def outcomes_of(baseline: Baseline) -> tuple[Course, ...]:
    """A baseline's trials by their outcomes alone, in seed order."""
    return tuple(
        Course(baseline.first_seed + place, _outcome(outcome), ())
        for place, outcome in enumerate(baseline.outcomes)
    )


class Reading(NamedTuple):
    """What one trial shows of a measure; readings are compared in order, and the later one is worse.

    - `level`: 0 with a value; -1 for a trial that reached its target before there was one; 1 to 3 for
      any other without a value, as it was slow, stuck or diverged.
    - `value`: turned so that more of it is worse; 0 where there is none.
    """

    level: int
    value: float


@dataclass(frozen=True)
class Measure:
    """One number of a trial.

    - `name`: for people, `training loss after epoch 1`.
    - `kind`: `epoch`, the logged value `key` at the end of epoch `at` (from 1); `step`, the training
      loss of the first epoch at place `at` (from 0) of its series; `time`, epochs until the monitor
      `key` meets the target.
    - `sign`: 1 where more is worse, as of a loss, -1 where less is.
    - `target`, `chance`: of `time`; epoch 0 is at chance, where that is known.
    """

    name: str
    kind: Kind
    key: str
    at: int = 0
    sign: int = 1
    target: Target = field(default_factory=Target)
    chance: float | None = None

    def read(self, course: Course) -> Reading | None:
        """What a trial shows of it; None where the trial did not log it, or its first epoch has fewer
        steps, so that it says nothing."""
        if self.kind == "time":
            if any(name not in epoch for epoch in course.history for name in self.target.names):
                return None
            reached = time_to_target(course, self.target, self.chance)
            # A target of its own may be met without this one.
            if reached is None and course.outcome == "converged":
                return Reading(_LEVELS["slow"], 0.0)
            return _without_value(course) if reached is None else Reading(0, reached)
        if self.kind == "step":
            series = course.losses[0] if course.losses else ()
            if not series:
                return None
            value = series[self.at] if self.at < len(series) else None
            # A short series is that of a loss that broke, or of an epoch of fewer steps, which ended.
            ended = bool(course.history) and course.history[0].get("loss") is not None
            if self.at >= len(series) and ended:
                return None
        elif self.at > len(course.history):
            return _without_value(course)
        else:
            epoch = course.history[self.at - 1]
            if self.key not in epoch:
                return None
            value = epoch[self.key]
        if value is None:  # it is not finite, whatever became of the trial
            return Reading(_LEVELS["diverged"], 0.0)
        return Reading(0, self.sign * value)


def time_to_target(course: Course, target: Target, chance: float | None) -> float | None:
    """Epochs until the monitor meets the target, linear in it between two epochs' ends; None where it
    never does. `chance`: what it shows before the first epoch; None: unknown, and the first epoch
    counts whole."""
    before = chance
    for epoch, metrics in enumerate(course.history, 1):
        value = metrics.get(target.monitor)
        if value is not None and target.is_reached(metrics):
            if before is None or before == value or target.also:
                return float(epoch)
            share = (target.value - before) / (value - before)
            return epoch - 1 + min(1.0, max(0.0, share))
        before = value
    return None


def chance_of(target: Target, settings: Mapping[str, object]) -> float | None:
    """What the monitor shows of something that learned nothing: the target's own, or that of a guess
    among a recipe's `n_class` classes."""
    classes = settings.get("n_class")
    if target.chance is None and "accuracy" in target.monitor and isinstance(classes, int):
        return 1 / classes
    return target.chance


def measures_of(
    recorded: Sequence[Course], target: Target, chance: float | None = None
) -> tuple[Measure, ...]:
    """The measures that a record fixes: losses within the first epoch (the first, and that at its
    middle), training loss, validation loss and monitor after the first epoch and after the last that
    every recorded trial reached, and the time to the target; each where all recorded trials logged
    it and at least LEAST_SHARE of them have a value."""
    if not recorded:
        return ()
    sign = -1 if target.mode == "max" else 1
    series = min((len(c.losses[0]) if c.losses else 0 for c in recorded), default=0)
    candidates = [
        Measure(f"training loss after {LOSS_EVERY * (place + 1)} steps", "step", "loss", place)
        for place in sorted({0, series // 2 - 1})
        if 0 <= place < series
    ]
    last = min(len(course.history) for course in recorded)
    keys = {"loss": ("training loss", 1), "val_loss": ("validation loss", 1)}
    keys.setdefault(target.monitor, (target.monitor, sign))
    candidates += [
        Measure(f"{name} after epoch {epoch}", "epoch", key, epoch, turned)
        for epoch in sorted({1, last} - {0})
        for key, (name, turned) in keys.items()
    ]
    candidates.append(
        Measure("time to target", "time", target.monitor, target=target, chance=chance)
    )
    return tuple(measure for measure in candidates if _is_told_by(measure, recorded))


def _is_told_by(measure: Measure, recorded: Sequence[Course]) -> bool:
    readings = [measure.read(course) for course in recorded]
    if any(reading is None for reading in readings):
        return False
    valued = [reading for reading in readings if reading is not None and reading.level == 0]
    return len(valued) >= LEAST_SHARE * len(recorded)


def spread_of(readings: Sequence[Reading]) -> float:
    """The standard deviation of the values among readings; 0 for less than two."""
    values = [reading.value for reading in readings if reading.level == 0]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _without_value(course: Course) -> Reading:
    return Reading(_LEVELS[course.outcome], 0.0)


def _outcome(text: str) -> Outcome:
    return next(outcome for outcome in OUTCOMES if outcome == text)


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
