"""Findings on a compiled model itself: its weights and learning rate, its head and its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..finding import CLIP, EPSILON, Finding, advise, percent
from ..keras.backend import keras, tf
from .observe import Head, Nest, Observed, first_not_finite, single_loss

Array = NDArray[Any]

STEPS = 50
"""Throw-away steps: after so many, stuck and sound runs of the question's network part."""

_CROSS_ENTROPIES = ("categorical_crossentropy", "sparse_categorical_crossentropy")
_PROBABILITIES = (*_CROSS_ENTROPIES, "binary_crossentropy")
# Losses that want the outputs to be the targets; others may read targets of another kind.
_ELEMENTWISE = (
    "binary_crossentropy",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
)
# What the last operation can reach.
_RANGES = {
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Relu": (0.0, math.inf),
}


def weight_findings(model: keras.Model) -> Iterator[Finding]:
    """Weights that are not finite, layers that are not trainable, a learning rate of zero."""
    if (path := first_not_finite(model)) is not None:
        sentence = f"weight {path} holds NaN or infinity"
        yield advise("not finite", "error", math.nan, sentence, "not finite in a weight")
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    if not model.trainable_variables:
        sentence = "no layer is trainable, so no weight will ever change"
        yield advise("frozen", "error", len(frozen), sentence, "no layer is trainable")
    elif frozen:
        sentence = f"{len(frozen)} layers are not trainable: {', '.join(frozen[:5])}"
        yield advise("frozen", "information", len(frozen), sentence, "frozen on purpose")
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of mixed precision
    rate = getattr(optimizer, "_learning_rate", None)  # its property has evaluated a schedule
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        stands = not float(optimizer.learning_rate)
    else:
        stands = not any(float(rate(step)) for step in range(STEPS))
    if stands:
        sentence = f"the learning rate is 0 in each of the first {STEPS} steps"
        yield advise("learning rate", "error", 0.0, sentence)


def head_findings(model: keras.Model, head: Head, seen: Observed, y: Nest) -> Iterator[Finding]:
    """Whether the outputs `seen`, as `head` makes them, are what the loss expects, and can become the
    targets `y`."""
    name, loss = named_loss(model)
    from_logits = name is not None and bool(getattr(loss, "from_logits", False))
    outputs = seen.outputs[0]
    # Of a softmax that it sees, Keras' cross-entropy takes the logits, whatever from_logits says.
    by_loss = from_logits and head.hidden
    if head.twice or by_loss:
        last, hides = head.name, ""
        if by_loss:
            last = "softmax" if name in _CROSS_ENTROPIES else "sigmoid"
            hides = f" (an operation after {head.name} hides the logits, which the loss expects)"
        # Of n probabilities, one of 1 and others of 0 become e and 1, by their sum.
        most = math.e / (math.e + (outputs.shape[-1] if last == "softmax" else 2) - 1)
        told = f"the outputs pass {head.name} twice{hides}"
        sentence = f"{told}, which leaves at most {most:.2f} for any class"
        yield advise("softmax twice", "error", most, sentence)
    elif name in _PROBABILITIES and not from_logits:
        axis = getattr(loss, "axis", -1) if name in _CROSS_ENTROPIES else None
        yield from _probabilities(head, outputs, axis)
    if head.kind in _RANGES and name in _ELEMENTWISE:
        targets = tf.nest.flatten(y)[0]
        low, high = _RANGES[head.kind]
        if outside := float(((targets < low) | (targets > high)).mean()):
            sentence = (
                f"{percent(outside)} of the targets lie outside {low:g}..{high:g}, which is all the "
                f"last operation ({head.name}) can reach"
            )
            yield advise("loss mismatch", "error", outside, sentence, "targets out of reach")


def _probabilities(head: Head, outputs: Array, axis: int | None) -> Iterator[Finding]:
    if outside := float(((outputs < 0) | (outputs > 1)).mean()):
        sentence = (
            f"the loss expects probabilities and {percent(outside)} of the outputs lie outside 0..1"
        )
        last, case = "sigmoid" if axis is None else "softmax", "outputs are no probabilities"
        yield advise("loss mismatch", "error", outside, sentence, case, last=last)
        return
    sums = np.ones(()) if axis is None else outputs.sum(axis=axis, dtype=np.float64)
    # One softmax may span all of an example's outputs, and a reshape set its predictions apart after
    # it. Cross-entropy divides by the sum over the classes and so makes them probabilities.
    totals = outputs.reshape(len(outputs), -1).sum(axis=1, dtype=np.float64)
    off, mean = bool((np.abs(sums - 1) > 0.01).any()), float(sums.mean())
    told = f"the classes' probabilities sum to {mean:.2f}, not 1"
    if off and head.kind != "Softmax":
        yield advise("loss mismatch", "warning", mean, told, "probabilities do not sum to 1")
    elif off and not (np.abs(totals - 1) <= 0.01).all():
        sentence = f"{told}: softmax runs over another axis than the last"
        yield advise("softmax axis", "error", mean, sentence)
    elif head.hidden:
        sentence = (
            f"an operation after {head.name} hides the logits from the loss, which then reads "
            f"probabilities clipped at {EPSILON:g}: beyond logit differences of {CLIP:.1f} an example "
            "has no gradient at all"
        )
        code = f"hidden {head.name}"
        yield advise(code, "warning", CLIP, sentence, "hidden", name=head.name)


def named_loss(model: keras.Model) -> tuple[str | None, keras.Loss | None]:
    """The single loss, None for several, and its name in snake case if it is one of Keras' functions."""
    loss = single_loss(model)
    function = getattr(loss, "fn", None)
    known = str(getattr(function, "__module__", "")).startswith("keras.")
    return (str(getattr(function, "__name__", "")) if known else None), loss


def classes(model: keras.Model, first: Nest) -> int | None:
    """How many classes a model with cross-entropy and one output tells apart; else None. `first`: a
    batch of inputs, which a model that does not declare its outputs is called on."""
    name, loss = named_loss(model)
    if name == "binary_crossentropy":
        return 2
    if name not in _CROSS_ENTROPIES:
        return None
    outputs = getattr(model, "outputs", None) or tf.nest.flatten(model(first))
    size = outputs[0].shape[getattr(loss, "axis", -1)] if len(outputs) == 1 else None
    return None if size is None else int(size)


def sparse_labels(model: keras.Model, y: Array) -> NDArray[np.int64] | None:
    """(labels,): all class numbers in the targets of a sparse cross-entropy, but for those it ignores;
    None for another loss."""
    name, loss = named_loss(model)
    if name != "sparse_categorical_crossentropy":
        return None
    labels = y.ravel().astype(np.int64)
    ignored = getattr(loss, "ignore_class", None)
    return labels if ignored is None else labels[labels != ignored]


def guess_costs(model: keras.Model, y: Array, classes: int | None) -> float:
    """What a constant guess costs on average, in the loss' own unit: ln(classes), or for a loss that
    compares outputs with targets what the mean target does; 0 where neither is known."""
    if classes is not None:
        return math.log(classes)
    name, loss = named_loss(model)
    if loss is None or name not in _ELEMENTWISE:
        return 0.0
    targets = y.astype(np.float32)
    mean = np.broadcast_to(targets.mean(axis=0), targets.shape)
    return float(np.mean(loss.call(targets, mean)))
