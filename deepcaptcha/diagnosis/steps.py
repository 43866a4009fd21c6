"""Throw-away training steps, and the findings on what a model shows before and after them.

A model is moved, looked at and put back exactly as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from ..finding import CLIP, Finding, Severity, advise, percent
from ..keras.backend import keras, tf
from .model import STEPS, guess_costs, head_findings
from .observe import (
    COSTS,
    Head,
    Nest,
    Observed,
    Observer,
    Tensor,
    logit_movement,
    metrics_as_found,
    take,
)

LOST = 0.5
"""Share of examples that cost something and have no gradient, from which it is an error."""

UNSTABLE = 2.0
"""How many times the loss may exceed its start, or what guessing costs, after the throw-away steps."""

JUMP = 100.0
"""How many times its start, or what guessing costs, the loss may be after one step."""

SURE = 2.0
"""How many times ln(classes) the first loss may be: more is a model sure of wrong answers."""

LEARNED = 0.9
"""Share of its start to which the loss of one batch falls when it is trained on alone."""

_EXAMPLES = 512
_BATCH = 32


class ThrowawaySteps:
    """Optimizer steps on `x`, `y` by a copy of the model's optimizer in its initial state.

    The model's own optimizer is never touched; its variables are for `left_as_found` to restore.
    """

    def __init__(self, model: keras.Model, x: Nest, y: Nest) -> None:
        self.model = model
        self._x, self._y = tf.nest.map_structure(tf.constant, (x, y))
        self._optimizer = _initial_copy(model.optimizer)
        self._optimizer.build(model.trainable_variables)
        self._start = [np.asarray(variable) for variable in self._optimizer.variables]
        self._touched = tf.Variable(np.zeros(len(model.trainable_variables), bool))
        self._steps = tf.function(lambda batches: self._traced(batches))

    def restart(self) -> None:
        """Put the optimizer's copy back to its initial state and forget which weights were touched."""
        for variable, value in zip(self._optimizer.variables, self._start, strict=True):
            variable.assign(value)
        self._touched.assign(np.zeros(self._touched.shape, bool))

    def run(self, order: NDArray[np.int64]) -> None:
        """One step on each row of `order` (steps, batch): indices of examples."""
        # The batches are counted by TensorFlow, so that any number of steps is traced once.
        self._steps(tf.data.Dataset.from_tensor_slices(order))

    @property
    def untouched(self) -> list[keras.Variable]:
        """Trainable weights whose gradient was exactly zero in every step since the restart."""
        pairs = zip(self.model.trainable_variables, self._touched.numpy(), strict=True)
        return [variable for variable, touched in pairs if not touched]

    def _traced(self, batches: tf.data.Dataset) -> None:
        model, variables = self.model, self.model.trainable_variables

        def step(rows: Tensor) -> None:
            x, y = tf.nest.map_structure(lambda a: tf.gather(a, rows), (self._x, self._y))
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True), None, training=True)
                loss = self._optimizer.scale_loss(loss)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            # Of an embedding, the gradient has the rows that were read.
            values = [None if g is None else getattr(g, "values", g) for g in gradients]
            flags = [False if v is None else tf.reduce_any(tf.not_equal(v, 0)) for v in values]
            self._touched.assign(self._touched | tf.stack(flags))
            moved = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
            if moved:
                self._optimizer.apply(*zip(*moved, strict=True))

        for rows in batches:
            step(rows)


def _initial_copy(optimizer: keras.Optimizer) -> keras.Optimizer:
    """The optimizer as it was made. A learning rate that is no number is handed on, since schedules
    need not have a config."""
    rate = vars(optimizer).get("_learning_rate")
    if not callable(rate):
        return type(optimizer).from_config(optimizer.get_config())
    bare = object.__new__(type(optimizer))
    vars(bare).update(vars(optimizer), _learning_rate=0.0)
    copy = type(optimizer).from_config(bare.get_config())
    copy.learning_rate = rate
    return copy


def left_as_found(model: keras.Model) -> AbstractContextManager[None]:
    """Restore every variable of the model when the block is left, however it is left: weights, batch
    statistics, random states (that of Keras' own generator too), metrics."""
    from keras.src.backend.common.global_state import get_global_attribute

    generator = get_global_attribute("global_seed_generator")
    return metrics_as_found(model, [*model.variables, *([generator.state] if generator else [])])


def step_findings(model: keras.Model, x: Nest, y: Nest, count: int | None) -> Iterator[Finding]:
    """What a model shows on some examples of `count` classes, if any, before, after one and after STEPS
    throw-away steps, and when it is trained on one batch alone. `left_as_found` is to restore it."""
    draw = np.random.default_rng(0)
    size = len(tf.nest.flatten(x)[0])
    shown = take(draw.permutation(size)[:_EXAMPLES], (x, y))
    observer = Observer(model, training=True)
    before = observer.observe(*shown)
    if not _is_finite(before):
        sentence = "the model's outputs or loss are NaN or infinite before the first step"
        yield advise("not finite", "error", math.nan, sentence, "not finite at the start")
        return
    head, cost = observer.head, before.example_loss
    yield from head_findings(model, head, before, shown[1])
    if count is not None and count > 1 and cost > SURE * math.log(count):
        sentence = (
            f"the first loss is {cost:.3g}, and guessing costs ln {count} = {math.log(count):.3g}: "
            "the model is sure of wrong answers"
        )
        yield advise("first loss", "warning", cost, sentence)
    if not model.trainable_variables:
        return
    guess = guess_costs(model, tf.nest.flatten(shown[1])[0], count)
    order = draw.integers(size, size=(STEPS, min(_BATCH, size)))
    steps = ThrowawaySteps(model, x, y)
    with left_as_found(model):
        steps.run(order[:1])
        next_ = observer.observe(*shown)
        steps.run(order[1:])
        after = observer.observe(*shown)
    yield from _one_step(head, before, next_)
    yield from _unstable(max(cost, guess), before, next_, after)
    yield from _lost(head, before, after)
    yield from _dead(before, after)
    if cost <= COSTS * (guess or 1):
        return  # next to nothing is left to learn: gradients vanish as they should
    yield from _untouched(model, steps.untouched)
    steps.restart()
    yield from _one_batch(steps, observer, take(order[0], (x, y)), order[0])


def _is_finite(seen: Observed) -> bool:
    return seen.finite and math.isfinite(seen.example_loss)


def _one_step(head: Head, before: Observed, after: Observed) -> Iterator[Finding]:
    if head.kind != "Softmax":
        return
    moved = logit_movement(before.logits, after.logits)
    if moved is not None and moved > CLIP:
        told = f"one step moves the logits by {moved:.0f}"
        sentence = f"{told}; a change of {CLIP:.0f} turns certainty round"
        yield advise("large step", "warning", moved, sentence)


def _unstable(
    floor: float, before: Observed, next_: Observed, after: Observed
) -> Iterator[Finding]:
    for steps, seen, most in (("1 step", next_, JUMP), (f"{STEPS} steps", after, UNSTABLE)):
        told = "the outputs or the loss are no longer finite"
        if _is_finite(seen):
            if not 0 < most * floor < seen.example_loss:
                continue
            told = f"the loss has gone from {before.example_loss:.3g} to {seen.example_loss:.3g}"
        yield advise("unstable", "error", seen.example_loss, f"after {steps} {told}")
        return


def _lost(head: Head, before: Observed, after: Observed) -> Iterator[Finding]:
    if not (share := after.lost_share):
        return
    case, why = "flat loss", "the loss is flat where these outputs are"
    if head.hidden:
        case = "clipped"
        why = (
            f"{head.name} is saturated and the loss reads clipped probabilities, because an operation "
            f"after {head.name} hides the logits"
        )
    sentence = (
        f"after {STEPS} steps {percent(share)} of the examples are wrong and have exactly zero "
        f"gradient ({percent(before.lost_share or 0)} before): {why}"
    )
    severity: Severity = "error" if share >= LOST else "warning"
    yield advise("lost examples", severity, share, sentence, case, name=head.name)


def _dead(before: Observed, after: Observed) -> Iterator[Finding]:
    for layer, share in before.dead_units.items():
        share = min(share, after.dead_units[layer])
        if share >= 0.5:
            sentence = (
                f"{percent(share)} of the ReLU units of {layer} answer 0 to every example, before and "
                f"after {STEPS} steps"
            )
            severity: Severity = "error" if share == 1 else "warning"
            yield advise("dead units", severity, share, sentence, "dead from the start")


def _untouched(model: keras.Model, untouched: list[keras.Variable]) -> Iterator[Finding]:
    if untouched:
        sizes = (untouched, model.trainable_variables)
        size, whole = (sum(math.prod(variable.shape) for variable in each) for each in sizes)
        share = size / whole
        names = ", ".join(variable.path for variable in untouched[:3])
        sentence = (
            f"{percent(share)} of the trainable weights had exactly zero gradient in all of {STEPS} "
            f"steps: {names}{', ...' if len(untouched) > 3 else ''}"
        )
        severity: Severity = "error" if share >= 0.5 else "warning"
        yield advise("no gradient", severity, share, sentence, "untouched weights")


def _one_batch(
    steps: ThrowawaySteps, observer: Observer, batch: Nest, rows: NDArray[np.int64]
) -> Iterator[Finding]:
    first = observer.observe(*batch).example_loss
    steps.run(np.tile(rows, (STEPS, 1)))
    last = observer.observe(*batch).example_loss
    if first > 0 and not last <= LEARNED * first:
        told = "make its loss NaN or infinite"
        if math.isfinite(last):
            told = f"take its loss from {first:.3g} only to {last:.3g}"
        sentence = (
            f"{STEPS} steps on one batch of {len(rows)} {told}; a model that learns knows it by heart "
            "soon"
        )
        yield advise("one batch", "warning", last / first, sentence)
