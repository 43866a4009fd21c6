"""Throw-away training steps: the model is moved, looked at, and put back exactly as it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..keras.backend import keras, tf
from ..keras.data import Array
from .observe import Nest, Tensor, metrics_as_found, take

STEPS = 50
"""Throw-away steps of 32 examples: after so many, stuck and sound runs of the question's network
part."""

BATCH = 32
EXAMPLES = 512
"""Examples that are looked at before and after them."""

_SECONDS = 5.0
_SECONDS_A_MACC, _SECONDS_A_WEIGHT = 1e-10, 6e-8


@dataclass(frozen=True)
class Effort:
    """How much of a model's training is tried: `steps` of `batch` examples, and `examples` looked at,
    `few` of them where they go through the model all at once. It follows from the model alone, so that
    findings do not hang on the machine."""

    steps: int
    batch: int
    examples: int
    few: int

    @property
    def is_whole(self) -> bool:
        """Whether it is what small models get."""
        return self.steps == STEPS


def effort(model: keras.Model, examples: int) -> Effort:
    """The effort for a model and so many examples: STEPS and BATCH, or less where these would take long.
    An example's forward pass takes about one multiplication for each weight and each place that a layer
    uses it at, its backward pass two."""
    weights = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    example = 3 * _multiplications(model) * _SECONDS_A_MACC
    steps, batch = STEPS, min(BATCH, examples)
    for batch in dict.fromkeys(min(size, examples) for size in (BATCH, 16, 8)):
        steps = int(_SECONDS / max(batch * example + weights * _SECONDS_A_WEIGHT, 1e-12))
        if steps >= STEPS / 2:
            break
    shown = min(examples, max(batch, min(EXAMPLES, int(_SECONDS / 6 / max(example, 1e-12)))))
    fixed = _fixed_batch(model)
    if fixed is not None:
        batch, shown = fixed, max(fixed, shown // fixed * fixed)
    few = fixed or max(batch, min(64, shown))
    return Effort(max(8, min(STEPS, steps)), batch, shown, few)


@contextmanager
def compiled_plainly(work: Effort) -> Iterator[None]:
    """For a large model TensorFlow's graph optimizer is left out: it takes longer than it saves in so
    few steps. It is put back as it was."""
    if work.is_whole:
        yield
        return
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({**before, "disable_meta_optimizer": True})
    try:
        yield
    finally:
        was = before.get("disable_meta_optimizer", False)
        tf.config.optimizer.set_experimental_options({**before, "disable_meta_optimizer": was})


def _fixed_batch(model: keras.Model) -> int | None:
    inputs = getattr(model, "inputs", None)
    if not inputs or not isinstance(size := tf.nest.flatten(inputs)[0].shape[0], int):
        return None
    # 1 is also that of a model built by a first example.
    stateful = any(getattr(layer, "stateful", False) for layer in model._flatten_layers())
    return size if size > 1 or stateful else None


def _multiplications(model: keras.Model) -> float:
    total = 0.0
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.Model) or not layer.weights:
            continue
        size = sum(math.prod(w.shape) for w in layer.trainable_weights if len(w.shape) > 1)
        total += size * max(_places(layer, "input"), _places(layer, "output"))
    return total


def _places(layer: keras.layers.Layer, what: str) -> int:
    try:
        shapes = [tensor.shape for tensor in tf.nest.flatten(getattr(layer, what))]
    except (AttributeError, ValueError):
        return 1  # called more than once, or by a model that does not declare its layers
    return max((math.prod(size or 1 for size in shape[1:-1]) for shape in shapes), default=1)


class ThrowawaySteps:
    """Optimizer steps on `data` (x, y and weights, or less) by a copy of the model's optimizer in its
    initial state, or by another.

    The model's own optimizer is never touched; its variables are for `left_as_found` to restore. A model
    with a `train_step` of its own takes that step, with copies in the place of its optimizers.

    `gradients`: of each trainable variable, the largest of its gradient in the first step since the
    restart; None before it, and where the model's own step does not show it.
    """

    def __init__(
        self, model: keras.Model, *data: Nest, optimizer: keras.Optimizer | None = None
    ) -> None:
        self.model = model
        self.data = data
        self._optimizer = _initial_copy(model.optimizer) if optimizer is None else optimizer
        self._others = {
            name: _copied(held)
            for name, held in vars(model).items()
            if held is not model.optimizer and any(map(_is_optimizer, _held(held)))
        }
        for optimizer in self._optimizers:
            optimizer.build(model.trainable_variables)
        self._start = [[np.asarray(v) for v in each.variables] for each in self._optimizers]
        self._touched = np.zeros(len(model.trainable_variables), bool)
        self.gradients: Array | None = None
        self._step = tf.function(self._own if has_own_step(model) else self._traced)

    @property
    def _optimizers(self) -> list[keras.Optimizer]:
        others = [each for held in self._others.values() for each in _held(held)]
        return [self._optimizer, *filter(_is_optimizer, others)]

    def restart(self, rate: float = 1.0) -> None:
        """Put the optimizers' copies back to their initial state, the learning rate of the model's own
        one times `rate`, and forget which weights were touched."""
        for optimizer, start in zip(self._optimizers, self._start, strict=True):
            for variable, value in zip(optimizer.variables, start, strict=True):
                variable.assign(value)
        if rate != 1:
            optimizer = getattr(self._optimizer, "inner_optimizer", self._optimizer)
            optimizer.learning_rate = float(optimizer.learning_rate) * rate
        self._touched[:] = False
        self.gradients = None

    def run(self, order: NDArray[np.int64]) -> list[float]:
        """One step on each row of `order` (steps, batch), indices of examples; each step's loss, before
        it. It ends where the loss is not finite."""
        losses = []
        for rows in order:
            loss, *sizes = self._step(*tf.nest.map_structure(tf.constant, take(rows, self.data)))
            losses.append(float(loss))
            if sizes:
                self._touched |= np.asarray(sizes[0]) != 0
                self.gradients = np.asarray(sizes[0]) if self.gradients is None else self.gradients
            if not math.isfinite(losses[-1]):
                break
        return losses

    @property
    def untouched(self) -> list[keras.Variable]:
        """Trainable weights whose gradient was exactly zero in every step since the restart; none where
        the model's own step does not show it."""
        if has_own_step(self.model):
            return []
        pairs = zip(self.model.trainable_variables, self._touched, strict=True)
        return [variable for variable, touched in pairs if not touched]

    def _traced(self, x: Nest, y: Nest = (), weight: Nest = None) -> tuple[Tensor, Tensor]:
        model, variables = self.model, self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = model._compute_loss(x, y, model(x, training=True), weight, training=True)
            scaled = self._optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        # Of an embedding, the gradient has the rows that were read.
        values = [None if g is None else getattr(g, "values", g) for g in gradients]
        moved = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        if moved:
            self._optimizer.apply(*zip(*moved, strict=True))
        sizes = [
            0.0 if v is None else tf.cast(tf.reduce_max(tf.abs(v)), tf.float32) for v in values
        ]
        return loss, tf.stack(sizes)

    def _own(self, *batch: Nest) -> tuple[Tensor]:
        with _optimizers_of(self.model, {"optimizer": self._optimizer, **self._others}):
            logs = self.model.train_step(keras.utils.pack_x_y_sample_weight(*batch))
        return (tf.reduce_mean(logs["loss"] if "loss" in logs else next(iter(logs.values()))),)


def has_own_step(model: keras.Model) -> bool:
    """Whether the model trains by a `train_step` of its own."""
    return type(model).train_step is not keras.Model.train_step


@contextmanager
def _optimizers_of(model: keras.Model, copies: Mapping[str, Nest]) -> Iterator[None]:
    mine = {name: getattr(model, name) for name in copies}
    try:
        for name, optimizer in copies.items():
            setattr(model, name, optimizer)
        yield
    finally:
        for name, optimizer in mine.items():
            setattr(model, name, optimizer)


def _held(value: object) -> list[object]:
    """What an attribute holds, in a list or a mapping too."""
    if isinstance(value, dict):
        return [*value.values()]
    return [*value] if isinstance(value, list | tuple) else [value]


def _is_optimizer(value: object) -> bool:
    return isinstance(value, keras.Optimizer)


def _copied(value: object) -> object:
    """The same with copies of the optimizers that it is or holds."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(each) for each in value]
    return _initial_copy(value) if _is_optimizer(value) else value


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
    statistics, random states (that of Keras' own generator too), what recurrent layers keep, metrics."""
    from keras.src.backend.common.global_state import get_global_attribute

    generator = get_global_attribute("global_seed_generator")
    kept = [
        state
        for layer in model._flatten_layers()
        for state in tf.nest.flatten(getattr(layer, "states", None))
        if isinstance(state, keras.Variable)
    ]
    return metrics_as_found(
        model, [*model.variables, *kept, *([generator.state] if generator else [])]
    )
