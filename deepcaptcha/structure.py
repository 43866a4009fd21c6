"""Findings on a compiled model itself: its weights and learning rate, its head and its loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import environment
from .finding import Finding
from .frozen import EPSILON
from .report import percent
from .symptoms import Head, Observed, first_not_finite

if TYPE_CHECKING:
    import keras

STEPS = 50
"""Throw-away steps: after so many, stuck and sound runs of the question's network part."""

CLIP = -math.log(EPSILON)
"""Odds, in logits, beyond which Keras' cross-entropy clips a probability: 16.118."""

_CROSS_ENTROPIES = ("categorical_crossentropy", "sparse_categorical_crossentropy")
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
    rate = getattr(model.optimizer, "_learning_rate", None)  # its property has evaluated a schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return [float(rate(step)) for step in range(STEPS)]
    return [float(model.optimizer.learning_rate)]


def head_findings(model: keras.Model, head: Head, seen: Observed, y: Any) -> list[Finding]:
    """Whether the outputs `seen`, as `head` makes them, are what the loss expects, and can become the
    targets `y`."""
    loss, from_logits = loss_and_logits(model)
    outputs = seen.outputs[0]
    found = []
    if head.twice or (from_logits and head.kind in ("Softmax", "Sigmoid")):
        name = (head.kind or "").lower()
        found.append(
            Finding(
                "softmax twice",
                "error",
                float(outputs.max()),
                f"the outputs pass {name} twice"
                + ("" if head.twice else f" (the model ends in {name} and the loss expects logits)")
                + f", which leaves at most {outputs.max():.2f} for any class",
                "keep one of the two: logits with from_logits=True, or probabilities without",
            )
        )
    elif loss in _CROSS_ENTROPIES and not from_logits:
        found += _probabilities(head, outputs)
    found += _range(model, head, y)
    return found


def _probabilities(head: Head, outputs: NDArray[Any]) -> list[Finding]:
    outside = float(((outputs < 0) | (outputs > 1)).mean())
    if outside:
        return [
            Finding(
                "loss mismatch",
                "error",
                outside,
                f"the loss expects probabilities and {percent(outside)} of the outputs lie outside 0..1",
                "end the model in softmax, or give the loss from_logits=True",
            )
        ]
    sums = outputs.sum(axis=-1)
    off = float((np.abs(sums - 1) > 0.01).mean())
    if off and head.kind == "Softmax":
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
    if off:
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
    return [
        Finding(
            "hidden softmax",
            "warning",
            CLIP,
            f"an operation after softmax hides the logits from the loss, which then reads "
            f"probabilities clipped at {EPSILON:g}: beyond logit differences of {CLIP:.1f} an example "
            "has no gradient at all",
            "make softmax the last operation (reshape first), or use logits with from_logits=True",
        )
    ]


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
    """The single loss' name in snake case and whether it takes logits; (None, False) for several."""
    keras = environment.running_keras()
    if isinstance(model.loss, str):
        model_loss = keras.losses.get(model.loss)
        return getattr(model_loss, "__name__", str(model.loss)), False
    if isinstance(model.loss, keras.losses.Loss):
        settings = model.loss.get_config()
        return str(getattr(model.loss, "fn", model.loss).__name__), bool(
            settings.get("from_logits")
        )
    return None, False


def classes(model: keras.Model) -> int | None:
    """How many classes a model with cross-entropy tells apart (1: two, by one output); else None."""
    loss, _ = loss_and_logits(model)
    shape = getattr(model, "output_shape", None)
    if loss == "binary_crossentropy":
        return 1
    if loss not in _CROSS_ENTROPIES or not isinstance(shape, tuple):
        return None
    return int(shape[-1])
