"""Findings on a compiled model itself: its weights and learning rate, its head and its loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..keras import environment
from ..keras.frozen import EPSILON
from ..report.words import percent
from .data import Finding
from .observe import Head, Observed, first_not_finite, single_loss

if TYPE_CHECKING:
    import keras

STEPS = 50
"""Throw-away steps: after so many, stuck and sound runs of the question's network part."""

CLIP = -math.log(EPSILON)
"""Odds, in logits, beyond which Keras' cross-entropy clips a probability: 16.118."""

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


def weight_findings(model: keras.Model) -> list[Finding]:
    """Weights that are not finite, layers that are not trainable, a learning rate of zero."""
    found = []
    if (path := first_not_finite(model)) is not None:
        found.append(
            Finding(
                "not finite",
                "error",
                math.nan,
                f"weight {path} holds NaN or infinity",
                "build the model anew, or load weights that are finite",
            )
        )
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    if not model.trainable_variables:
        found.append(
            Finding(
                "frozen",
                "error",
                len(frozen),
                "no layer is trainable, so no weight will ever change",
                "set trainable = True on the layers to train, then compile again",
            )
        )
    elif frozen:
        found.append(
            Finding(
                "frozen",
                "information",
                len(frozen),
                f"{len(frozen)} layers are not trainable: {', '.join(frozen[:5])}",
                "nothing to mend if this is meant",
            )
        )
    if not any(_learning_rates(model)):
        found.append(
            Finding(
                "learning rate",
                "error",
                0.0,
                f"the learning rate is 0 in each of the first {STEPS} steps",
                "give the optimizer a learning rate above 0 (Adam: 0.001)",
            )
        )
    return found


def _learning_rates(model: keras.Model) -> list[float]:
    keras = environment.running_keras()
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of mixed precision
    rate = getattr(optimizer, "_learning_rate", None)  # its property has evaluated a schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return [float(rate(step)) for step in range(STEPS)]
    return [float(optimizer.learning_rate)]


def head_findings(model: keras.Model, head: Head, seen: Observed, y: Any) -> list[Finding]:
    """Whether the outputs `seen`, as `head` makes them, are what the loss expects, and can become the
    targets `y`."""
    loss, from_logits = loss_and_logits(model)
    outputs = seen.outputs[0]
    found = []
    # Of a softmax that it sees, Keras' cross-entropy takes the logits, whatever from_logits says.
    by_loss = from_logits and head.hidden
    if head.twice or by_loss:
        name = (head.kind or "").lower()
        last = ("softmax" if loss in _CROSS_ENTROPIES else "sigmoid") if by_loss else name
        # Of n probabilities, one of 1 and others of 0 become e and 1, by their sum.
        most = math.e / (math.e + (outputs.shape[-1] if last == "softmax" else 2) - 1)
        found.append(
            Finding(
                "softmax twice",
                "error",
                most,
                f"the outputs pass {name} twice"
                + (
                    f" (an operation after {name} hides the logits, which the loss expects)"
                    if by_loss
                    else ""
                )
                + f", which leaves at most {most:.2f} for any class",
                "keep one of the two: logits with from_logits=True, or probabilities without",
            )
        )
    elif loss in _PROBABILITIES and not from_logits:
        axis = _class_axis(model) if loss in _CROSS_ENTROPIES else None
        found += _probabilities(head, outputs, axis)
    found += _range(model, head, y)
    return found


def _probabilities(head: Head, outputs: NDArray[Any], axis: int | None) -> list[Finding]:
    outside = float(((outputs < 0) | (outputs > 1)).mean())
    if outside:
        return [
            Finding(
                "loss mismatch",
                "error",
                outside,
                f"the loss expects probabilities and {percent(outside)} of the outputs lie outside 0..1",
                f"end the model in {'softmax' if axis is not None else 'sigmoid'}, or give the loss "
                "from_logits=True",
            )
        ]
    sums = np.ones(()) if axis is None else outputs.sum(axis=axis, dtype=np.float64)
    off = bool((np.abs(sums - 1) > 0.01).any())
    if off and head.kind == "Softmax" and not _is_one_softmax(outputs):
        return [
            Finding(
                "softmax axis",
                "error",
                float(sums.mean()),
                f"the classes' probabilities sum to {sums.mean():.2f}, not 1: softmax runs over another "
                "axis than the last",
                "let softmax run over the last axis, axis=-1",
            )
        ]
    if off and head.kind != "Softmax":
        return [
            Finding(
                "loss mismatch",
                "warning",
                float(sums.mean()),
                f"the classes' probabilities sum to {sums.mean():.2f}, not 1",
                "end the model in softmax, or use binary cross-entropy for independent labels",
            )
        ]
    if not head.hidden:
        return []
    name = (head.kind or "").lower()
    return [
        Finding(
            f"hidden {name}",
            "warning",
            CLIP,
            f"an operation after {name} hides the logits from the loss, which then reads "
            f"probabilities clipped at {EPSILON:g}: beyond logit differences of {CLIP:.1f} an example "
            "has no gradient at all",
            f"make {name} the last operation (reshape first; under mixed precision give its layer "
            "dtype='float32'), or use logits with from_logits=True",
        )
    ]


def _is_one_softmax(outputs: NDArray[Any]) -> bool:
    """Whether one softmax spans all of an example's outputs, and a reshape sets its predictions apart
    after it. Cross-entropy divides by the sum over the classes and so makes them probabilities."""
    totals = outputs.reshape(len(outputs), -1).sum(axis=1, dtype=np.float64)
    return bool((np.abs(totals - 1) <= 0.01).all())


def _range(model: keras.Model, head: Head, y: Any) -> list[Finding]:
    ranges = {
        "Sigmoid": (0.0, 1.0),
        "Softmax": (0.0, 1.0),
        "Tanh": (-1.0, 1.0),
        "Relu": (0.0, np.inf),
    }
    if head.kind not in ranges or loss_and_logits(model)[0] not in _ELEMENTWISE:
        return []
    targets = environment.running_tensorflow().nest.flatten(y)[0]
    low, high = ranges[head.kind]
    outside = float(((targets < low) | (targets > high)).mean())
    if not outside:
        return []
    return [
        Finding(
            "loss mismatch",
            "error",
            outside,
            f"{percent(outside)} of the targets lie outside {low:g}..{high:g}, which is all the last "
            f"operation ({head.kind.lower()}) can reach",
            "give the last layer no activation, or scale the targets into its range",
        )
    ]


def loss_and_logits(model: keras.Model) -> tuple[str | None, bool]:
    """The single loss' name in snake case if it is one of Keras' functions, and whether it takes
    logits; (None, False) for several losses, and for any other."""
    loss = single_loss(model)
    function: Any = getattr(loss, "fn", None)
    if not str(getattr(function, "__module__", None)).startswith("keras."):
        return None, False
    return str(function.__name__), bool(getattr(loss, "from_logits", False))


def classes(model: keras.Model, first: Any) -> int | None:
    """How many classes a model with cross-entropy and one output tells apart; else None. `first`: a
    batch of inputs, which a model that does not declare its outputs is called on."""
    loss, _ = loss_and_logits(model)
    if loss == "binary_crossentropy":
        return 2
    if loss not in _CROSS_ENTROPIES:
        return None
    outputs = getattr(model, "outputs", None) or environment.running_tensorflow().nest.flatten(
        model(first)
    )
    size = outputs[0].shape[_class_axis(model)] if len(outputs) == 1 else None
    return None if size is None else int(size)


def _class_axis(model: keras.Model) -> int:
    return int(getattr(single_loss(model), "axis", -1))


def sparse_labels(model: keras.Model, y: NDArray[Any]) -> NDArray[np.int64] | None:
    """(labels,): all class numbers in the targets of a sparse cross-entropy, but for those it ignores;
    None for another loss."""
    if loss_and_logits(model)[0] != "sparse_categorical_crossentropy":
        return None
    labels = y.ravel().astype(np.int64)
    ignored = getattr(single_loss(model), "ignore_class", None)
    return labels if ignored is None else labels[labels != ignored]


def guess_costs(model: keras.Model, y: NDArray[Any], classes: int | None) -> float:
    """What a constant guess costs on average, in the loss' own unit: ln(classes), or for a loss that
    compares outputs with targets what the mean target does; 0 where neither is known."""
    if classes is not None:
        return math.log(classes)
    if loss_and_logits(model)[0] not in _ELEMENTWISE:
        return 0.0
    targets = y.astype(np.float32)
    mean = np.broadcast_to(targets.mean(axis=0), targets.shape)
    return float(np.mean(single_loss(model).call(targets, mean)))
