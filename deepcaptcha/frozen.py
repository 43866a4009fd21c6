"""The proof that a training run can never move again.

Keras' cross-entropy on probabilities clips them to [1e-7, 1 - 1e-7]; beyond, its gradient is exactly
zero. It cannot see the logits when another operation follows softmax. A run whose every training
example lies beyond that clip, whatever batch it comes in, gets a zero gradient at every later step;
if no step the optimizer still takes from its memory changes a weight, nothing ever moves again.

What is shown, for the model, optimizer and data at hand:

1. Nothing but gradients can change the model: only stateless layers, no regularizer, one plain
   optimizer with a constant learning rate, a finite data set that is only shuffled (`refusal`).
2. Every example's target probability is beyond the clip by a margin of `MARGIN` in log-odds plus
   `ROUNDING` times its largest logit, so that neither rounding nor another order of summation in
   another batch brings it back (`beyond_clip`).
3. Every zero-gradient step of the optimizer rounds away in every weight: the next one does, and
   later ones are smaller and of the same sign (`settled`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

EPSILON = 1e-7
"""Where Keras clips probabilities (`keras.config.epsilon()`, refused when changed)."""

MARGIN = 4.0
"""Log-odds beyond the clip: 1 - p <= 1.9e-9 there, so that p, and the sum Keras divides by, are
exactly 1 in float32."""

ROUNDING = 1e-3
"""Relative error allowed for a float32 logit; sums of up to 576 terms have been seen to err by 1e-5."""

_STATELESS = frozenset(
    (
        "InputLayer",
        "Conv2D",
        "Dense",
        "MaxPooling2D",
        "AveragePooling2D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "Flatten",
        "Reshape",
        "ReLU",
    )
)
_BATCH = 500


def refusal(model: keras.Model) -> str | None:
    """Why no proof can be given for this compiled model; None where one can be tried."""
    return _layers_refusal(model) or _loss_refusal(model) or _optimizer_refusal(model)


def is_frozen(model: keras.Model, x: NDArray[Any], y: NDArray[Any]) -> bool:
    """Whether training on any batches of (x, y) can be proved to change no weight any more.

    `model` as for `refusal`, which must have answered None; x (n, ...) float32 and y one-hot
    (n, ..., n_class) are all its training examples. True is a proof, False says nothing.
    """
    return settled(model) and beyond_clip(model, x, y)


def beyond_clip(model: keras.Model, x: NDArray[Any], y: NDArray[Any]) -> bool:
    """Whether every example's target probability is beyond the clip, with the margins above."""
    import keras

    features, head = _features_and_head(model)
    kernel, bias = (np.asarray(v, np.float64) for v in (head.kernel, head.bias))
    trunk = keras.Model(model.inputs[0], features)
    targets = y.reshape(len(y), -1)
    # A first small batch refuses most runs that are not there yet at a fraction of the cost.
    for start, stop in ((0, min(_BATCH, len(x))), *_batches(len(x))):
        hidden = np.asarray(trunk(x[start:stop], training=False), np.float64)
        if not _all_clipped(hidden @ kernel + bias, targets[start:stop]):
            return False
    return True


def settled(model: keras.Model) -> bool:
    """Whether every further zero-gradient step of the model's optimizer leaves every weight as it is.

    Source of the update rules: Keras' Adam and SGD. For Adam with zero gradients the momentum falls
    by beta_1 a step and the root of the velocity by at most sqrt(beta_2); with both bias corrections
    the step shrinks whenever `_adam_step_ratio` is below 1, and a smaller step of the same sign
    rounds away where a larger one did.
    """
    optimizer = model.optimizer
    settings = optimizer.get_config()
    rate = float(settings["learning_rate"])
    if settings["name"] == "SGD" or type(optimizer).__name__ == "SGD":
        steps = [np.asarray(m, np.float64) for m in getattr(optimizer, "momentums", [])]
        momentum = float(settings["momentum"])
        return momentum < 1 and all(
            _rounds_away(np.asarray(w), momentum * m)
            for w, m in zip(model.trainable_weights, steps, strict=False)
        )
    iteration = int(np.asarray(optimizer.iterations))
    beta_1, beta_2 = float(settings["beta_1"]), float(settings["beta_2"])
    if iteration < 1 or _adam_step_ratio(beta_1, beta_2, iteration) >= 1:
        return False
    power = iteration + 1
    scale = rate * math.sqrt(1 - beta_2**power) / (1 - beta_1**power)
    return all(
        _rounds_away(
            np.asarray(weight),
            -scale
            * beta_1
            * np.asarray(momentum, np.float64)
            / (np.sqrt(beta_2 * np.asarray(velocity, np.float64)) + float(settings["epsilon"])),
        )
        for weight, momentum, velocity in zip(
            model.trainable_weights, optimizer._momentums, optimizer._velocities, strict=True
        )
    )


def _adam_step_ratio(beta_1: float, beta_2: float, iteration: int) -> float:
    """Upper bound of |step at iteration + 1| / |step at iteration| under zero gradients; it falls
    with the iteration."""
    now, later = iteration + 1, iteration + 2
    correction = math.sqrt((1 - beta_2**later) / (1 - beta_2**now))
    return beta_1 / math.sqrt(beta_2) * correction * (1 - beta_1**now) / (1 - beta_1**later)


def _rounds_away(weight: NDArray[Any], step: NDArray[Any]) -> bool:
    # 1 % more than the step itself covers its own rounding in float32.
    return bool(np.all((weight + 1.01 * step).astype(weight.dtype) == weight))


def _all_clipped(logits: NDArray[np.float64], targets: NDArray[Any]) -> bool:
    target = logits[np.arange(len(logits)), targets.argmax(axis=1)]
    others = np.where(targets > 0, -np.inf, logits)
    top = others.max(axis=1)
    log_odds = target - (top + np.log(np.exp(others - top[:, None]).sum(axis=1)))
    needed = -math.log(EPSILON) + MARGIN + ROUNDING * np.abs(logits).max(axis=1)
    return bool(np.all(np.abs(log_odds) >= needed))  # False for NaN


def _batches(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + _BATCH, count)) for start in range(_BATCH, count, _BATCH)]


def _layers_refusal(model: keras.Model) -> str | None:
    import keras

    if type(model) not in (keras.Sequential, keras.Model, keras.models.Model) and (
        type(model).__name__ != "Functional"
    ):
        return f"{type(model).__name__} may run code of its own"
    for layer in model.layers:
        kind = type(layer).__name__
        if kind not in _STATELESS or not type(layer).__module__.startswith("keras."):
            return f"layer {layer.name} ({kind}) is not on the list of stateless layers"
        if any(
            getattr(layer, f"{part}_{what}", None) is not None
            for part in ("kernel", "bias", "activity")
            for what in ("regularizer", "constraint")
        ):
            return f"layer {layer.name} has a regularizer or a constraint"
        if layer.compute_dtype != "float32":
            return f"layer {layer.name} computes in {layer.compute_dtype}, not float32"
    if model.non_trainable_variables:
        return "the model has state besides its trainable weights"
    if _features_and_head(model) is None:
        return (
            "its loss sees the logits, or its output is no dense softmax followed by a reshape: "
            "the gradient never vanishes exactly"
        )
    return None


def _features_and_head(model: keras.Model) -> Any:
    """(tensor that the last dense layer reads, that layer) where the model ends in a dense softmax
    that a Reshape or Flatten hides from the loss, with one prediction an example; else None."""
    layers = list(model.layers)
    hidden = False
    while layers and type(layers[-1]).__name__ in ("Reshape", "Flatten"):
        layers.pop()
        hidden = True
    if not (hidden and layers and len(model.outputs) == 1 and len(model.inputs) == 1):
        return None
    head = layers[-1]
    if type(head).__name__ != "Dense" or head.activation.__name__ != "softmax":
        return None
    one_prediction = model.output_shape[-1] == head.units
    return (head.input, head) if one_prediction and head.use_bias else None


def _loss_refusal(model: keras.Model) -> str | None:
    import keras

    loss = model.loss
    if isinstance(loss, keras.losses.CategoricalCrossentropy):
        settings = loss.get_config()
        if settings["from_logits"] or settings["label_smoothing"]:
            return "the loss reads logits or smooths labels"
    elif loss != "categorical_crossentropy":
        return f"the loss {loss!r} is not categorical cross-entropy"
    if keras.config.epsilon() != EPSILON:
        return f"keras.config.epsilon() is {keras.config.epsilon()}, not {EPSILON}"
    return None


def _optimizer_refusal(model: keras.Model) -> str | None:
    optimizer = model.optimizer
    kind = type(optimizer).__name__
    settings = optimizer.get_config()
    if kind not in ("Adam", "SGD") or not type(optimizer).__module__.startswith("keras."):
        return f"optimizer {kind} is not on the list (Adam, SGD)"
    if not isinstance(settings["learning_rate"], int | float):
        return "the learning rate follows a schedule"
    moving = [
        name
        for name in (
            "weight_decay",
            "clipnorm",
            "global_clipnorm",
            "clipvalue",
            "use_ema",
            "loss_scale_factor",
            "gradient_accumulation_steps",
            "amsgrad",
            "nesterov",
        )
        if settings.get(name)
    ]
    return f"the optimizer uses {', '.join(moving)}" if moving else None
