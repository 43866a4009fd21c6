"""The measures of a trial: single numbers, fixed in a record, by which trainings are compared.

Which numbers are read is decided by the recorded trials alone, before a new one is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from ..trials.trial import OUTCOMES, Outcome, Target, Trial
from .baseline import Baseline
from .claim import Json

LOSS_EVERY = 50
"""Steps between two recorded training losses within an epoch."""

SAME_LOSS = 1e-3
"""How near, as a share of it, the losses of a first batch are that rounding alone tells apart."""

LEAST_SHARE = 0.5
"""Of the recorded trials, those that must have a value of what is to be a measure."""

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
