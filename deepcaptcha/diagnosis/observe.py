"""What a model shows on data at one moment: its loss, gradients, units and outputs, exactly counted.

The traced graph is read for what the layers hide: the logits behind a softmax and the outputs of every
ReLU, in functional, sequential and subclassed models alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..keras.backend import keras, tf
from ..keras.data import Array
from ..keras.training import loss_and_zero_gradient

Nest = Any
"""Arrays or tensors, alone or nested as `fit` takes them."""
Tensor = Any
"""A symbolic tensor of TensorFlow, or an operation that makes one."""

COSTS = 1e-3
"""Least loss, in nats or the loss' own unit, of an example that has something left to teach."""

_BATCH = 256
_PASSED_ON = ("Reshape", "Identity", "Squeeze", "ExpandDims", "Cast", "Transpose")
_SQUASHING = ("Softmax", "Sigmoid")
_RELU = ("Relu", "Relu6")


@dataclass(frozen=True)
class Observed:
    """A model's state on some examples; None where the model does not show it.

    - `loss`: mean, in the loss' own unit, regularization included.
    - `example_loss`: mean over the examples of their own losses, whatever the reduction and without
      regularization; `loss` where a model does not show them.
    - `zero_gradient_share`: of the examples, those whose own loss has an exactly zero gradient.
    - `lost_share`: those of them whose loss is above COSTS: they cost something and teach nothing.
    - `most_frequent_share`: of the predictions, the share of the class predicted most often.
    - `dead_units`: layer -> share of its ReLU units that no example activates.
    - `outputs`, `logits`: float (examples, ...); `finite`: whether every output is.
    """

    loss: float
    example_loss: float
    zero_gradient_share: float | None
    lost_share: float | None
    most_frequent_share: float | None
    dead_units: Mapping[str, float]
    outputs: tuple[Array, ...]
    logits: Array | None
    finite: bool


@dataclass(frozen=True)
class Head:
    """How a model's only output is made.

    - `kind`: the operation behind it once reshapes are passed, such as `Softmax`; None for several
      outputs.
    - `hidden`: whether that operation hides from a loss that looks for logits.
    """

    kind: str | None
    hidden: bool = False

    @property
    def name(self) -> str:
        """The operation as people write it: `softmax`."""
        return (self.kind or "").lower()


class Observer:
    """Measures a compiled model; traced once, used as often as needed.

    `training` says in which mode the layers run; True moves batch statistics and random states.
    """

    def __init__(self, model: keras.Model, *, training: bool) -> None:
        self.model = model
        self.head = Head(None)
        self._relu_layers: list[str] = []
        self._measure = tf.function(lambda x, y: self._traced(x, y, training))

    def observe(self, x: Nest, y: Nest, *, size: int = _BATCH) -> Observed:
        """The model's state on examples `x` with targets `y`, nested alike in arrays, in batches of
        `size`."""
        counts, parts = [], []
        with metrics_as_found(self.model):  # a loss may count in them
            for start in range(0, len(tf.nest.flatten(x)[0]), size):
                batch = take(slice(start, start + size), (x, y))
                counts.append(len(tf.nest.flatten(batch)[0]))
                parts.append(self._measure(*tf.nest.map_structure(tf.constant, batch)))

        def mean(name: str) -> float | None:
            if parts[0][name] is None:
                return None
            means = [float(np.mean(part[name], dtype=np.float64)) for part in parts]
            return float(np.average(means, weights=counts))

        def joined(name: str) -> tuple[Array, ...]:
            places = zip(*(part[name] for part in parts), strict=True)
            return tuple(np.concatenate(batches) for batches in places)

        # One row a batch: which units any of its examples activates.
        alive = dict(zip(self._relu_layers, joined("alive"), strict=True))
        outputs, logits = joined("outputs"), joined("logits")
        loss, costs = mean("loss") or 0.0, mean("costs")
        return Observed(
            loss=loss,
            example_loss=loss if costs is None else costs,
            zero_gradient_share=mean("zero"),
            lost_share=mean("lost"),
            most_frequent_share=_most_frequent_share(outputs),
            dead_units={name: float(1 - units.any(axis=0).mean()) for name, units in alive.items()},
            outputs=outputs,
            logits=logits[0] if logits else None,
            finite=all(bool(np.isfinite(output).all()) for output in outputs),
        )

    def _traced(self, x: Nest, y: Nest, training: bool) -> dict[str, Nest]:
        y_pred = self.model(x, training=training)
        operations = tf.compat.v1.get_default_graph().get_operations()
        relus = [op for op in operations if op.type in _RELU and op.outputs[0].shape.rank > 1]
        layers = {layer.name for layer in self.model._flatten_layers()}
        self._relu_layers = [_layer_name(op, layers) for op in relus]
        outputs = tf.nest.flatten(y_pred)
        self.head, logits = Head(None), None
        if len(outputs) == 1:
            self.head, logits = _head(outputs[0], single_loss(self.model))
        active = [op.outputs[0] > 0 for op in relus]
        _, zero = loss_and_zero_gradient(self.model, x, y, y_pred, None, training=training)
        costs = _example_losses(self.model, y, y_pred)
        lost = None
        if zero is not None and costs is not None:
            lost = zero * tf.cast(costs > COSTS, zero.dtype)
        return {
            "loss": self.model._compute_loss(x, y, y_pred, None, training=training),
            "costs": costs,
            "zero": zero,
            "lost": lost,
            "alive": [tf.reduce_any(a, axis=list(range(a.shape.rank - 1)))[None] for a in active],
            "outputs": outputs,
            "logits": [] if logits is None else [logits],
        }


def logit_movement(before: Array | None, after: Array | None) -> float | None:
    """Median over examples of the largest change of a logit, in nats; None without logits."""
    if before is None or after is None:
        return None
    return float(np.median(np.abs(after - before).max(axis=-1)))


def gradient_norms(model: keras.Model, x: Array, y: Array) -> dict[str, float]:
    """Layer -> Euclidean norm of the loss' gradient with respect to its trainable weights, over all
    of `x` in one batch, layers in inference mode; 0 where the loss does not depend on them."""

    def norms(x: Tensor, y: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            loss = model._compute_loss(x, y, model(x, training=False), None, training=False)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        # Of an embedding, the conversion sums what several readings of one row give it.
        return [tf.zeros(()) if g is None else tf.norm(tf.convert_to_tensor(g)) for g in gradients]

    squares: dict[str, float] = {}
    for variable, norm in zip(model.trainable_variables, tf.function(norms)(x, y), strict=True):
        layer = variable.path.rpartition("/")[0] or variable.path
        squares[layer] = squares.get(layer, 0.0) + float(norm) ** 2
    return {layer: square**0.5 for layer, square in squares.items()}


def first_not_finite(model: keras.Model) -> str | None:
    """Path of the first weight, in the order of the layers, that holds NaN or infinity; else None."""
    for variable in model.weights:
        values = np.asarray(variable)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            return str(variable.path)
    return None


def single_loss(model: keras.Model) -> keras.Loss | None:
    """The keras.losses.Loss of a compiled model with one loss, which `compile` takes by name, as a
    function or an object, alone or in a list or mapping; None for several or none, and where Keras
    chooses one by the data ("crossentropy")."""
    from keras.src.losses.losses import LossFunctionWrapper

    losses = tf.nest.flatten(model.loss)
    if len(losses) != 1 or losses[0] is None or str(losses[0]).lower() in ("crossentropy", "ce"):
        return None
    loss = keras.losses.get(losses[0])
    return loss if isinstance(loss, keras.losses.Loss) else LossFunctionWrapper(loss, name="loss")


@contextmanager
def metrics_as_found(model: keras.Model, others: Sequence[keras.Variable] = ()) -> Iterator[None]:
    """Restore the model's metrics, and other variables, when the block is left, however it is left;
    metrics made in it start anew."""
    kept = [(each, np.asarray(each).copy()) for each in [*model.metrics_variables, *others]]
    known = {id(variable) for variable, _ in kept}
    try:
        yield
    finally:
        for metric in model.metrics:
            if any(id(variable) not in known for variable in metric.variables):
                metric.reset_state()
        for variable, value in kept:
            variable.assign(value)


def take(rows: slice | NDArray[np.int64], data: Nest) -> Nest:
    """These rows of every array."""
    return tf.nest.map_structure(lambda array: array[rows], data)


def _layer_name(operation: Tensor, layers: set[str]) -> str:
    """The layer an operation belongs to: the innermost scope, without the number TensorFlow appends
    to a scope that it opens again."""
    scope = operation.name.split("/")[-2] if "/" in operation.name else operation.name
    return scope if scope in layers else re.sub(r"_\d+$", "", scope)


def _head(output: Tensor, loss: keras.Loss | None) -> tuple[Head, Tensor]:
    """The head behind an output tensor that `loss` reads, and the logits it squashes (None if it
    squashes nothing)."""
    last = _behind(output)
    if last.type not in _SQUASHING:
        return Head(last.type), None
    logits = last.inputs[0]
    visible = output.op is last or hasattr(output, "_keras_logits")
    if loss is not None and output.dtype != loss.dtype:
        visible = False  # the loss casts what it reads, and the cast has no logits
    return Head(last.type, not visible), logits


def _behind(tensor: Tensor) -> Tensor:
    """The operation that made a tensor, reshapes and the like passed."""
    operation = tensor.op
    while operation.type in _PASSED_ON:
        operation = operation.inputs[0].op
    return operation


def _example_losses(model: keras.Model, y: Nest, y_pred: Nest) -> Tensor | None:
    """Loss (batch,) of each example of a model with one output and one loss; else None."""
    pair = [*tf.nest.flatten(y), *tf.nest.flatten(y_pred)]
    loss = single_loss(model)
    if loss is None or len(pair) != 2:
        return None
    # As Loss.__call__ casts them.
    values = loss.call(*(keras.ops.convert_to_tensor(each, dtype=loss.dtype) for each in pair))
    if values.shape.rank == 0:
        return None
    return tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))


def _most_frequent_share(outputs: tuple[Array, ...]) -> float | None:
    if len(outputs) != 1 or outputs[0].ndim < 2 or outputs[0].shape[-1] < 2:
        return None
    classes = outputs[0].argmax(axis=-1).ravel()
    return float(np.bincount(classes).max() / len(classes))
