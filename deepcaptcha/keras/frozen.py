"""The proof that a training run can never move again.

Keras' cross-entropy on probabilities clips them to [1e-7, 1 - 1e-7]; beyond, its gradient is exactly
zero. It cannot see the logits when another operation follows softmax. A run whose every training
example lies beyond that clip, whatever batch it comes in, gets a zero gradient at every later step;
if no step the optimizer still takes from its memory changes a weight, nothing ever moves again.

What is shown, for the model, optimizer and data at hand:

1. Nothing but gradients can change the model: a plain chain of stateless layers, no regularizer, one
   plain optimizer with a constant learning rate, a finite data set that is only shuffled (`refusal`).
2. Every example's target probability is beyond the clip by a margin of `MARGIN` in log-odds plus
   `ROUNDING` times the sizes of the terms its largest logit is summed from, so that neither rounding
   nor another order of summation in another batch brings it back (`beyond_clip`).
3. Every zero-gradient step of the optimizer rounds away in every weight: the next one does, and
   later ones are smaller and of the same sign. Weights next to zero may still creep, by less in all
   than `NEGLIGIBLE` of the largest weight beside them, which 2. allows for (`settled`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..finding import CLIP, EPSILON
from .backend import keras, tf
from .data import Array

MARGIN = 4.0
"""Log-odds beyond the clip: 1 - p <= 1.9e-9 there, so that p, and the sum Keras divides by, are
exactly 1 in float32."""

ROUNDING = 1e-4
"""Error allowed for a float32 logit, as a share of the sum of its terms' sizes. One summation of 576
terms errs by at most 576 * 6e-8 = 3.5e-5 of it; over all layers 3e-7 was seen."""

NEGLIGIBLE = 1e-20
"""What a weight may still move, as a share of the largest weight of its tensor."""

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

Chain = list[tuple[keras.Layer, Any]]


def refusal(model: keras.Model) -> str | None:
    """Why no proof can be given for this compiled model; None where one can be tried."""
    return _layers_refusal(model) or _loss_refusal(model) or _optimizer_refusal(model)


def is_frozen(model: keras.Model, x: Array, y: Array) -> bool:
    """Whether training on any batches of (x, y) can be proved to change no weight any more.

    `model` as for `refusal`, which must have answered None; x (n, ...) float32 and y one-hot
    (n, ..., n_class) are all its training examples. True is a proof, False says nothing.
    """
    return settled(model) and beyond_clip(model, x, y)


def beyond_clip(model: keras.Model, x: Array, y: Array) -> bool:
    """Whether every example's target probability is beyond the clip, with the margins above."""
    chain = _chain(model)
    end = None if chain is None else _hidden_softmax(chain)
    targets = y.reshape(len(y), -1)
    if end is None or not (np.isin(y, (0, 1)).all() and (targets.sum(axis=1) == 1).all()):
        return False
    features, head = end
    kernel, bias = (np.asarray(v, np.float64) for v in (head.kernel, head.bias))
    # As a graph, one for a last batch of any size too, it takes a fifth less time.
    batches = tf.TensorSpec((None, *x.shape[1:]), x.dtype)
    trunk = tf.function(keras.Model(model.inputs[0], features), input_signature=[batches])
    # The first batch refuses most runs that are not there yet at a fraction of the cost.
    for start in range(0, len(x), _BATCH):
        hidden = np.asarray(trunk(x[start : start + _BATCH]), np.float64)
        sizes = np.abs(hidden) @ np.abs(kernel) + np.abs(bias)
        if not _all_clipped(hidden @ kernel + bias, sizes, targets[start : start + _BATCH]):
            return False
    return True


def settled(model: keras.Model) -> bool:
    """Whether every further zero-gradient step of the model's optimizer leaves every weight as it is,
    but for creeping of `NEGLIGIBLE` size in all.

    Source of the update rules: Keras' Adam and SGD. With zero gradients Adam's momentum falls by
    beta_1 a step and the root of its velocity by at most sqrt(beta_2), so that the step shrinks at
    least by `_adam_step_ratio`, and a smaller step of the same sign rounds away where a larger one
    did. Where the momentum is too small to fall further, in denormal numbers or flushed to zero,
    its product with a rate of at most 1 - beta_1 is zero as well.
    """
    optimizer = model.optimizer
    settings = optimizer.get_config()
    rate = float(settings["learning_rate"])
    weights = [np.asarray(weight) for weight in model.trainable_weights]
    if type(optimizer).__name__ == "SGD":
        ratio = float(settings["momentum"])
        momentums = optimizer.momentums if ratio else []
        steps = [ratio * np.asarray(m, np.float64) for m in momentums]
    else:
        iteration = int(np.asarray(optimizer.iterations))
        beta_1, beta_2 = float(settings["beta_1"]), float(settings["beta_2"])
        power = iteration + 1
        if iteration < 1 or beta_1**2 >= beta_2 or rate / (1 - beta_1**power) > 1 - beta_1:
            return False
        ratio = _adam_step_ratio(beta_1, beta_2, iteration)
        scale = rate * math.sqrt(1 - beta_2**power) / (1 - beta_1**power)
        steps = [
            -scale
            * beta_1
            * np.asarray(m, np.float64)
            / (np.sqrt(beta_2 * np.asarray(v, np.float64)) + float(settings["epsilon"]))
            for m, v in zip(optimizer._momentums, optimizer._velocities, strict=True)
        ]
    return ratio < 1 and all(
        _stays(weight, step, ratio) for weight, step in zip(weights, steps, strict=bool(steps))
    )


def _adam_step_ratio(beta_1: float, beta_2: float, iteration: int) -> float:
    """Upper bound of |step at iteration + 1| / |step at iteration| under zero gradients; it falls
    with the iteration where beta_1**2 < beta_2."""
    now, later = iteration + 1, iteration + 2
    correction = math.sqrt((1 - beta_2**later) / (1 - beta_2**now))
    return beta_1 / math.sqrt(beta_2) * correction * (1 - beta_1**now) / (1 - beta_1**later)


def _stays(weight: Array, step: Array, ratio: float) -> bool:
    # 1 % more than the step itself covers its own rounding in float32.
    rounds_away = (weight + 1.01 * step).astype(weight.dtype) == weight
    creeps = 1.01 * np.abs(step) / (1 - ratio) <= NEGLIGIBLE * np.abs(weight).max()
    return bool(np.all(rounds_away | creeps))


def _all_clipped(logits: NDArray[np.float64], sizes: NDArray[np.float64], targets: Array) -> bool:
    target = logits[np.arange(len(logits)), targets.argmax(axis=1)]
    others = np.where(targets > 0, -np.inf, logits)
    top = others.max(axis=1)
    log_odds = target - (top + np.log(np.exp(others - top[:, None]).sum(axis=1)))
    needed = CLIP + MARGIN + ROUNDING * sizes.max(axis=1)
    return bool(np.all(np.abs(log_odds) >= needed))  # False for NaN


def _chain(model: keras.Model) -> Chain | None:
    """[(layer, the tensor it reads), ...] from the input (which reads None) to the output, where the
    model is one plain chain in which every layer is called once; else None."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return None
    chain: Chain = []
    tensor = model.outputs[0]
    while tensor is not None:
        operation, call, _ = tensor._keras_history
        read = operation._inbound_nodes[call].input_tensors
        if len(read) > 1 or any(operation is seen for seen, _ in chain):
            return None
        tensor = read[0] if read else None
        chain.append((operation, tensor))
    return chain[::-1]


def _layers_refusal(model: keras.Model) -> str | None:
    own = type(model).__module__.startswith("keras.src.models.")
    if not own or type(model).__name__ not in ("Functional", "Sequential"):
        return f"{type(model).__name__} may run code of its own"
    chain = _chain(model)
    if chain is None:
        return "the model is not a plain chain of layers, each called once"
    plain = (keras.activations.linear, keras.activations.relu, keras.activations.tanh)
    for layer, _ in chain:
        kind = type(layer).__name__
        if kind not in _STATELESS or not type(layer).__module__.startswith("keras."):
            return f"{layer.name} ({kind}) is not on the list of stateless layers"
        if any(
            getattr(layer, f"{part}_{what}", None) is not None
            for part in ("kernel", "bias", "activity")
            for what in ("regularizer", "constraint")
        ):
            return f"layer {layer.name} has a regularizer or a constraint"
        if layer.compute_dtype != "float32":
            return f"layer {layer.name} computes in {layer.compute_dtype}, not float32"
        activation = getattr(layer, "activation", None)
        if activation not in (None, keras.activations.softmax, *plain):
            return f"layer {layer.name} has an activation that is not on the list"
    if model.non_trainable_variables:
        return "the model has state besides its trainable weights"
    if _hidden_softmax(chain) is None:
        return (
            "its loss sees the logits, or its output is no dense softmax followed by a reshape: "
            "the gradient never vanishes exactly"
        )
    return None


def _hidden_softmax(chain: Chain) -> tuple[tf.Tensor, keras.Layer] | None:
    """(tensor that the last dense layer reads, that layer) where the chain ends in a dense softmax
    that a Reshape or Flatten hides from the loss, with one prediction an example; else None."""
    end = len(chain)
    while end and type(chain[end - 1][0]).__name__ in ("Reshape", "Flatten"):
        end -= 1
    if end in (0, len(chain)):
        return None
    head, features = chain[end - 1]
    if type(head).__name__ != "Dense" or head.activation is not keras.activations.softmax:
        return None
    one_prediction = chain[-1][0].output.shape[-1] == head.units and len(features.shape) == 2
    return (features, head) if one_prediction and head.use_bias else None


def _loss_refusal(model: keras.Model) -> str | None:
    loss = model.loss
    if type(loss) is keras.losses.CategoricalCrossentropy:
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
