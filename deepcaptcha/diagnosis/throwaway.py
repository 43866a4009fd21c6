"""Throw-away training steps: a model is moved, looked at and put back exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..keras import environment
from .observe import dense, metrics_as_found

if TYPE_CHECKING:
    import keras


class ThrowawaySteps:
    """Optimizer steps on `x`, `y` by a copy of the model's optimizer in its initial state.

    The model's own optimizer is never touched; its variables are for `left_as_found` to restore.
    """

    def __init__(self, model: keras.Model, x: Any, y: Any) -> None:
        tf = environment.running_tensorflow()
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
        tf = environment.running_tensorflow()
        self._steps(tf.data.Dataset.from_tensor_slices(order))

    @property
    def untouched(self) -> list[keras.Variable]:
        """Trainable weights whose gradient was exactly zero in every step since the restart."""
        pairs = zip(self.model.trainable_variables, self._touched.numpy(), strict=True)
        return [variable for variable, touched in pairs if not touched]

    def _traced(self, batches: Any) -> None:
        tf = environment.running_tensorflow()
        model, variables = self.model, self.model.trainable_variables

        def step(rows: Any) -> None:
            x, y = tf.nest.map_structure(lambda a: tf.gather(a, rows), (self._x, self._y))
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True), None, training=True)
                loss = self._optimizer.scale_loss(loss)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            self._touched.assign(self._touched | _any_nonzero(gradients))
            moved = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
            if moved:
                self._optimizer.apply(*zip(*moved, strict=True))

        for rows in batches:
            step(rows)


def _initial_copy(optimizer: Any) -> Any:
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


def _any_nonzero(gradients: list[Any]) -> Any:
    tf = environment.running_tensorflow()
    flags = [False if g is None else tf.reduce_any(tf.not_equal(dense(g), 0)) for g in gradients]
    return tf.stack(flags)


@contextmanager
def left_as_found(model: keras.Model) -> Iterator[None]:
    """Restore every variable of the model when the block is left, however it is left: weights, batch
    statistics, random states (that of Keras' own generator too), metrics."""
    from keras.src.backend.common.global_state import get_global_attribute

    generator = get_global_attribute("global_seed_generator")
    variables = [*model.variables, *([] if generator is None else [generator.state])]
    kept = [np.asarray(variable).copy() for variable in variables]
    try:
        with metrics_as_found(model):
            yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)
