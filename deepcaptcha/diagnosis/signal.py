"""Where the signal of the inputs ends: what each layer of a model makes of different examples.

The layers are called one by one, as Keras calls them, so that it works for functional, sequential and
subclassed models, whatever their layers are called and made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..keras.backend import keras, tf
from ..keras.data import Array
from .observe import Nest

Call = tuple[keras.layers.Layer, Nest, Nest]

SAME = 1e-6
"""Largest difference between examples, as a share of the largest value, of outputs that are called the
same: what float32 rounding makes of equal ones."""


@dataclass(frozen=True)
class Signal:
    """What a layer answers to some examples.

    - `layer`: its name.
    - `spread`: the largest difference between two examples in any unit, as a share of the largest
      value of the layer; 0 where it answers the same to everything.
    - `dead_share`: of its units (the last axis), those that are 0 for every example; None where the
      layer does not cut off negative values.
    - `finite`: whether each of its outputs is.
    - `trained`: whether it has weights to train.
    """

    layer: str
    spread: float
    dead_share: float | None
    finite: bool
    trained: bool


def layer_signals(
    model: keras.Model, x: Nest, *, training: bool
) -> tuple[list[Array], list[Signal]]:
    """The outputs on the examples `x`, all in one batch, and the signals of the layers in the order of
    their calls; none of a model that trains without being called. `training` moves batch statistics and
    random states; the caller puts them back."""
    if not is_called(model):
        return [], []
    with _calls_watched(model) as calls:
        outputs = model(tf.nest.map_structure(tf.convert_to_tensor, x), training=training)
    signals = [signal for call in calls for signal in _signal(*call)]
    if len(tf.nest.flatten(x)[0]) < 2:
        signals = []  # one example differs from no other
    return [np.asarray(output) for output in tf.nest.flatten(outputs)], signals


def is_called(model: keras.Model) -> bool:
    """Whether the model says what it answers: one with a `train_step` of its own need not."""
    return type(model).call is not keras.Model.call


def first_steep_slope(model: keras.Model, x: Nest, y: Nest) -> str | None:
    """Where on its way back the slope of the loss is not finite any more although what it is of is: the
    name of the layer, empty for the loss itself, None where it is finite everywhere."""
    with tf.GradientTape() as tape, _calls_watched(model) as calls:
        inputs, targets = tf.nest.map_structure(tf.convert_to_tensor, (x, y))
        loss = model._compute_loss(inputs, targets, model(inputs, training=True), training=True)
    made = [(layer.name, out) for layer, _, outs in calls for out in tf.nest.flatten(outs)]
    slopes = tape.gradient(loss, [output for _, output in made])
    behind = ""
    for (name, _), slope in zip(reversed(made), reversed(slopes), strict=True):
        if slope is not None and not np.isfinite(np.asarray(tf.convert_to_tensor(slope))).all():
            return behind
        behind = name if slope is not None else behind
    return None


def spread(values: Array) -> float:
    """Largest difference between two rows in any place, as a share of the largest value; 0 for rows that
    are all the same, NaN where a value is not finite."""
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    size = float(np.abs(rows).max(initial=0))
    return float(np.ptp(rows, axis=0).max(initial=0)) / size if size else 0.0


def end_of_signal(signals: Sequence[Signal]) -> Sequence[Signal]:
    """The layers from the first on after which all answer the same to every example; none if the last
    one does not. Layers before them may do so in a branch of their own, as an embedding of positions."""
    alive = [index for index, signal in enumerate(signals) if not signal.spread <= SAME]
    return signals[alive[-1] + 1 :] if alive else signals


@contextmanager
def _calls_watched(model: keras.Model) -> Iterator[list[Call]]:
    """Every call of a layer, with its inputs and outputs, but for those that a layer which is no model
    makes: the cell of a recurrent layer is called once a time step."""
    original = keras.layers.Layer.__call__
    calls: list[Call] = []
    callers: list[keras.layers.Layer] = []

    def call(layer: keras.layers.Layer, *inputs: Any, **settings: Any) -> Any:
        inside = any(not isinstance(caller, keras.Model) for caller in callers)
        callers.append(layer)
        try:
            outputs = original(layer, *inputs, **settings)
        finally:
            callers.pop()
        # The outputs of a model within the model are those of its last layer.
        if layer is not model and not inside and not any(outputs is call[2] for call in calls):
            calls.append((layer, inputs, outputs))
        return outputs

    keras.layers.Layer.__call__ = call
    try:
        yield calls
    finally:
        keras.layers.Layer.__call__ = original


def _signal(layer: keras.layers.Layer, inputs: Nest, outputs: Nest) -> Iterator[Signal]:
    values = [np.asarray(each) for each in tf.nest.flatten(outputs) if tf.is_tensor(each)]
    values = [each for each in values if each.ndim > 1 and each.dtype.kind == "f"]
    if not values:
        return
    first = values[0]
    dead = None
    if first.min() >= 0 and (layer.weights or _any_negative(inputs)):
        dead = float((first.reshape(-1, first.shape[-1]).max(axis=0) == 0).mean())
    yield Signal(
        layer.name,
        max(spread(each) for each in values),
        dead,
        all(bool(np.isfinite(each).all()) for each in values),
        bool(layer.trainable_weights),
    )


def _any_negative(inputs: Nest) -> bool:
    return any(
        bool((np.asarray(each) < 0).any())
        for each in tf.nest.flatten(inputs)
        if tf.is_tensor(each) and each.dtype.is_floating
    )
