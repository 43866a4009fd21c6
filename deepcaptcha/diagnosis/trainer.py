"""Trainings of some throw-away steps, each from the same start: what of the loss they save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..keras.backend import keras, tf
from ..keras.data import Array
from .answers import constant_cost, read_targets
from .data import is_off_scale, standardized
from .observe import Nest, Observed, Observer, take
from .signal import Signal, layer_signals
from .steps import STEPS, Effort, ThrowawaySteps, has_own_step, left_as_found

REPAIRED = 0.15
"""Share of the best constant's cost that a changed training must save within the steps to be called a
success."""

RATES_BY_HEART, KNOWN = (0.001, 0.01), 0.9
"""Rates of Adam at which a batch is learnt by heart, and what is left of the constant's cost then."""


@dataclass(frozen=True)
class Rows:
    """Examples as they are tried: inputs, targets (an empty tuple for none) and sample weights (None for
    none), nested as `fit` takes them, whose first axis counts examples.

    `available`: how many steps a training of theirs has; `is_certain`: whether its length is known.
    """

    x: Nest
    y: Nest
    weight: Nest
    available: int
    is_certain: bool

    @property
    def count(self) -> int:
        return len(tf.nest.flatten(self.x)[0])

    def as_batch(self, x: Nest, y: Nest) -> tuple[Nest, ...]:
        """What a step takes of these inputs and targets."""
        if not tf.nest.flatten(y):
            return (x,)
        return (x, y) if self.weight is None else (x, y, self.weight)


@dataclass(frozen=True)
class Tried:
    """A training of some steps.

    - `start`, `end`: mean loss of the examples looked at, before and after them, without regularizers;
      of a model with a step of its own, of its first and its last batches.
    - `constant`: what the best constant answer costs them; NaN where it cannot be told.
    - `before`, `after`: what was seen of them, None for a model with a step of its own.
    - `outputs`, `signals`: of some examples and of the layers after them, in training mode.
    - `steps`: how many were taken; `gradients`: the largest in the first, of each trainable
      variable; `untouched`: those without any gradient in all of them; `movement`: the largest change of
      one over all steps, as a share of its Euclidean norm.
    """

    start: float
    end: float
    constant: float
    before: Observed | None
    after: Observed | None
    outputs: Sequence[Array]
    signals: Sequence[Signal]
    steps: int
    gradients: Array | None
    untouched: Sequence[keras.Variable]
    movement: float

    @property
    def skill(self) -> float:
        """What of the best constant's cost is saved: 1 for the perfect answer, 0 for the constant one,
        -inf where the loss is not finite; NaN where the constant's cost is not above 0."""
        if not math.isfinite(self.end):
            return -math.inf
        return 1 - self.end / self.constant if self.constant > 0 else math.nan

    @property
    def needed(self) -> float:
        """Steps until REPAIRED of the constant's cost is saved, at the pace of these; inf where they
        lead away from it."""
        pace = (self.start - self.end) / max(self.steps, 1)
        goal = (1 - REPAIRED) * self.constant
        return max(0.0, (self.start - goal) / pace) if pace > 0 else math.inf


class Trainer:
    """Tries trainings of one model, each from the same start and in the same order of examples."""

    def __init__(
        self,
        model: keras.Model,
        rows: Rows,
        effort: Effort,
        observer: Observer,
        looked_up: Sequence[bool],
    ) -> None:
        self.model, self.rows, self.effort, self.observer = model, rows, effort, observer
        self.looked_up = looked_up
        self.steps = ThrowawaySteps(model, *rows.as_batch(rows.x, rows.y))
        draw = np.random.default_rng(0)
        size = (effort.steps, effort.batch)
        self.order = draw.integers(rows.count, size=size)
        self.shown = np.sort(draw.permutation(rows.count)[: effort.examples])

    def look(self, x: Nest, y: Nest) -> Observed:
        """What is seen of the examples looked at, of these inputs and targets."""
        return self.observer.observe(*take(self.shown, (x, y)), size=self.effort.batch)

    def run(self, x: Nest, y: Nest, rate: float = 1.0) -> Tried:
        """A training on these inputs and targets, at the learning rate times `rate`."""
        model, own = self.model, has_own_step(self.model)
        self._restart(x, y, rate)
        with left_as_found(model):
            before = None if own else self.look(x, y)
            weights = [np.asarray(weight) for weight in model.trainable_variables]
            losses = self.steps.run(self.order)
            moves = [
                _share_moved(a, np.asarray(b))
                for a, b in zip(weights, model.trainable_variables, strict=True)
            ]
            after = None if own else self.look(x, y)
            outputs, signals = layer_signals(
                model, take(self.shown[: self.effort.batch], x), training=True
            )
        start, end, constant = losses[0], float(np.mean(losses[-5:])), math.nan
        if before is not None and after is not None:
            start, end = before.example_loss, after.example_loss if after.finite else math.nan
            if len(before.outputs) == len(tf.nest.flatten(y)) == 1:
                target, first = np.asarray(tf.nest.flatten(y)[0])[self.shown], before.outputs[0]
                constant = constant_cost(model, target, read_targets(target, first), first)
        return Tried(
            start,
            end,
            constant,
            before,
            after,
            outputs,
            signals,
            len(losses),
            self.steps.gradients,
            self.steps.untouched,
            max(moves, default=0.0),
        )

    def on_scale(self) -> Nest:
        """The inputs, standardized where that is worth a try."""
        parts = zip(tf.nest.flatten(self.rows.x), self.looked_up, strict=True)
        scaled = [a if words or not is_off_scale(a) else standardized(a) for a, words in parts]
        return tf.nest.pack_sequence_as(self.rows.x, scaled)

    def by_heart(self, y: Nest, goal: float) -> float:
        """The least loss of one batch, with targets `y`, that is trained on alone, by Adam whatever
        the optimizer of the model is, for twice STEPS steps at each of RATES_BY_HEART until `goal` is
        met: whether it can learn."""
        rows = np.tile(self.shown[: self.effort.batch], (2 * STEPS, 1))
        x, scaled = self.rows.x, self.on_scale()
        adam = keras.optimizers.Adam(RATES_BY_HEART[0])
        steps = ThrowawaySteps(self.model, optimizer=adam)
        least = math.inf
        # Inputs off scale are told as such: no fault of a model that learns them standardized.
        for inputs in (x, scaled) if changed(scaled, x) else (x,):
            for rate in RATES_BY_HEART:
                steps.data = self.rows.as_batch(inputs, y)[:2]
                steps.restart(rate / RATES_BY_HEART[0])
                with left_as_found(self.model):
                    steps.run(rows)
                    batch = take(rows[0], (inputs, y))
                    seen = self.observer.observe(*batch, size=self.effort.batch)
                if seen.finite and seen.example_loss < least:
                    least = seen.example_loss
                if least <= goal:
                    return least
        return least

    def first_loss(self, y: Nest) -> float:
        """The loss of the first batch with these targets, as training begins."""
        self._restart(self.rows.x, y)
        with left_as_found(self.model):
            return self.steps.run(self.shown[np.newaxis, : self.effort.batch])[0]

    def _restart(self, x: Nest, y: Nest, rate: float = 1.0) -> None:
        self.steps.data = self.rows.as_batch(x, y)
        self.steps.restart(rate)

    @property
    def rates_can_change(self) -> bool:
        """Whether the optimizer's learning rate is a number."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        return not callable(vars(optimizer).get("_learning_rate"))


def changed(new: Nest, old: Nest) -> bool:
    """Whether any array is another one."""
    pairs = zip(tf.nest.flatten(new), tf.nest.flatten(old), strict=True)
    return any(a is not b for a, b in pairs)


def _share_moved(before: Array, after: Array) -> float:
    """Of kernels; a bias begins at 0."""
    start, end = before.astype(np.float64), after.astype(np.float64)  # squares may overflow
    size = float(np.linalg.norm(start)) if start.ndim > 1 else 0.0
    return float(np.linalg.norm(end - start)) / size if size else 0.0
