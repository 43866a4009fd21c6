"""What each candidate would change of a case: offered only where it applies and changes anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..keras.backend import keras
from ..keras.data import Array, Examples
from . import changes as change
from .case import CROSS_ENTROPIES, Case
from .changes import Affine, Change, fitted, is_scalable, leaves
from .model import flat_layers

Offer = tuple[Change, str, str] | None
"""The change, in words, as code; None where it does not apply or would change nothing."""


# of the data


def _inputs(case: Case) -> Array | None:
    """The arrays of inputs, flat and joined, where some are numbers that can be scaled."""
    if case.examples is None or _looked_up(case):
        return None
    arrays = [a for a in leaves(case.examples.x_train) if is_scalable(a)]
    arrays = [a for a in arrays if np.isfinite(a).all()]
    return arrays[0] if arrays else None


def _looked_up(case: Case) -> bool:
    """Whether inputs are words' numbers and the like."""
    looking = ("Embedding", "CategoryEncoding", "IntegerLookup", "Hashing", "Discretization")
    return any(type(layer).__name__ in looking for layer in flat_layers(case.model))


def _pasted(names: Sequence[str], offset: float, scale: float) -> str:
    """Code that takes `offset` from each array and divides it by `scale`."""
    less = f" - {offset:.4g}" if offset > 0 else f" + {-offset:.4g}"
    return "\n".join(
        f"{name} = ({name}{less}) / {scale:.6g}" if offset else f"{name} = {name} / {scale:.6g}"
        for name in names
    )


_X, _Y = ("x_train", "x_validation"), ("y_train", "y_validation")


def _columns_pasted(names: Sequence[str], how: change.Scaling) -> str:
    first = names[0]
    low = f"{first}.min(axis=0)" if how == "range" else f"{first}.mean(axis=0)"
    wide = f"{first}.max(axis=0) - low" if how == "range" else f"{first}.std(axis=0)"
    lines = [
        f"low = {low}",
        f"wide = {wide}",
        *(f"{name} = ({name} - low) / wide" for name in names),
    ]
    return "\n".join(lines)


def _are_standard(by: Affine) -> bool:
    mean, deviation = float(np.abs(by.offset).max()), by.scale
    return mean < 0.3 and float(deviation.min()) >= 0.5 and float(deviation.max()) <= 2


def scaled_inputs(how: change.Scaling) -> Callable[[Case], Offer]:
    """Inputs that are neither of mean 0 and deviation 1 nor, for `range`, within -1..1."""

    def offer(case: Case) -> Offer:
        x = _inputs(case)
        if x is None or _are_standard(fitted(x, "standard")):
            return None
        by = fitted(x, how)
        near = float(by.scale.min()) >= 0.4 and float(by.scale.max()) <= 2
        if how == "range" and not by.offset.any() and near:
            return None
        what = "range" if how == "range" else "deviation"
        if by.scale.ndim:
            less = "" if how == "range" else " less its mean,"
            text = f"each column of the inputs{less} divided by its {what} in the training data"
            return change.ScaledInputs(how), text, _columns_pasted(_X, how)
        offset, scale = float(by.offset), float(by.scale)
        less = f" less {offset:.4g}" if how == "range" else f" less their mean {offset:.4g},"
        by_ = f"{scale:.6g}" if how == "range" else f"their deviation {scale:.4g}"
        text = f"inputs{less if offset else ''} divided by {by_}"
        return change.ScaledInputs(how), text, _pasted(_X, offset, scale)

    return offer


def scaled_targets(how: change.Scaling) -> Callable[[Case], Offer]:
    """Numbers whose deviation is not near 1, or whose mean is far from 0."""

    def offer(case: Case) -> Offer:
        y = case.y
        if y is None or case.kind != "numbers":
            return None
        usual = fitted(y, "standard")
        centred = float(np.abs(usual.offset).max()) < 2 * float(usual.scale.max())
        if centred and float(usual.scale.min()) >= 0.2 and float(usual.scale.max()) <= 5:
            return None
        by = fitted(y, how)
        scale, offset = by.scale.reshape(-1), by.offset.reshape(-1)
        made = change.ScaledTargets(tuple(map(float, offset)), tuple(map(float, scale)))
        if len(scale) > 1:
            text = "each column of the targets scaled by its own numbers in the training data"
            return (
                made,
                text,
                f"{_columns_pasted(_Y, how)}\n# in the old unit: prediction * wide + low",
            )
        low, wide = float(offset[0]), float(scale[0])
        text = f"targets{f' less {low:.4g},' if low else ''} divided by {wide:.4g}"
        back = f"# in the old unit: prediction * {wide:.6g}{f' + {low:.4g}' if low else ''}"
        return made, text, f"{_pasted(_Y, low, wide)}\n{back}"

    return offer


def shuffled(case: Case) -> Offer:
    if not case.pooled or not isinstance(case.given, Examples):
        return None
    text = "rows shuffled before training and validation rows are set apart"
    code = (
        "order = numpy.random.default_rng(0).permutation(len(x))\n"
        "x, y = x[order], y[order]  # before any split, validation_split too"
    )
    return change.ShuffledRows(), text, code


# of the labels


def numbered(case: Case) -> Offer:
    units = case.output_shape[-1] if case.output_shape else None
    values = case.values
    if not values or values == tuple(range(len(values))) or not units:
        return None
    many = units if case.kind == "classes" and units > 1 else 2
    if len(values) > many or (min(values) >= 0 and max(values) < many):
        return None
    made = change.NumberedLabels(values)
    text = f"labels {values[0]:g}..{values[-1]:g} numbered from 0"
    if values == tuple(range(int(values[0]), int(values[-1]) + 1)):
        code = "\n".join(f"{n} = {n} - {values[0]:g}" for n in ("y_train", "y_validation"))
    else:
        told = "[" + ", ".join(f"{value:g}" for value in values) + "]"
        code = "\n".join(
            f"{n} = numpy.searchsorted({told}, {n})" for n in ("y_train", "y_validation")
        )
    return made, text, code


def reshaped(case: Case) -> Offer:
    y, shape = case.y, case.output_shape
    if y is None or None in shape or y.shape[1:] == shape or not shape:
        return None
    loss = case.told.loss
    kind = type(loss) if isinstance(loss, keras.losses.Loss) else loss
    own = not isinstance(loss, str) and not getattr(kind, "__module__", "").startswith("keras")
    if not own and type(case.model).train_step is keras.Model.train_step:
        return None  # Keras' own losses do so themselves
    sizes = tuple(int(size) for size in shape if size is not None)
    if int(np.prod(sizes)) != y.size // len(y):
        return None
    text = f"targets of shape {y.shape[1:]} given the outputs' shape {sizes}"
    told = ", ".join(map(str, sizes))
    code = "\n".join(f"{n} = {n}.reshape(-1, {told})" for n in ("y_train", "y_validation"))
    return change.ReshapedTargets(sizes), text, code


# of the output and the loss


def activation_that_fits(case: Case) -> Offer:
    head, wanted = case.head, _fitting_activation(case)
    if head is None or not wanted or head.activation == wanted:
        return None
    if case.from_logits or head.activation == "other":
        return None
    if wanted == "linear" and _within(case, head.activation):
        return None
    if wanted == "softmax" and head.activation == "sigmoid" and case.loss == "binary_crossentropy":
        return None
    text = f"{wanted} in place of {head.activation} as the output's activation"
    made = change.OutputActivation(wanted)
    return made, text, _head_code(case, wanted)


def _fitting_activation(case: Case) -> str:
    units = case.output_shape[-1] if case.output_shape else None
    if case.kind in ("one-hot", "classes"):
        return "softmax" if units and units > 1 else ""
    return {"two classes": "sigmoid", "labels": "sigmoid", "numbers": "linear"}.get(case.kind, "")


def _within(case: Case, activation: str) -> bool:
    """Whether the targets lie where the activation's values do."""
    ranges = {"sigmoid": (0, 1), "softmax": (0, 1), "tanh": (-1, 1), "relu": (0, np.inf)}
    low, high = ranges.get(activation, (-np.inf, np.inf))
    y = case.y
    units = case.output_shape[-1]
    if activation == "softmax" and (not units or units == 1):
        return False
    return y is not None and low <= float(y.min()) and float(y.max()) <= high


def _head_code(case: Case, activation: str, *, logits: bool = False) -> str:
    head = case.head
    assert head is not None
    kind = type(case.model.get_layer(head.layer)).__name__
    last = f"x = keras.layers.{kind}({head.units}, ...)(x)"
    if head.after:
        behind = "".join(f"\nx = {name}(x)" for name in head.after)
        end = "" if logits else f"\noutputs = keras.layers.Activation({activation!r})(x)"
        return f"{last}  # no activation here{behind}{end}"
    shown = "" if activation == "linear" or logits else f", activation={activation!r}"
    return f"outputs = keras.layers.{kind}({head.units}{shown})(x)"


def activation_last(case: Case) -> Offer:
    head = case.head
    if head is None or not head.hidden or head.activation not in ("softmax", "sigmoid"):
        return None
    text = (
        f"{head.activation} as the last operation, behind {', '.join(head.after)}"
        if head.after
        else f"one {head.activation} in place of {len(head.activations)} activations"
    )
    return change.OutputActivation(head.activation), text, _head_code(case, head.activation)


def logits(case: Case) -> Offer:
    head = case.head
    if head is None or not head.hidden or case.loss not in CROSS_ENTROPIES or case.from_logits:
        return None
    if head.activation not in ("softmax", "sigmoid"):
        return None
    kind = "".join(part.title() for part in case.loss.split("_"))
    made = change.OutputActivation("linear", logits=True, loss=case.loss)
    text = f"no {head.activation}: the loss is computed from the logits"
    code = (
        f"{_head_code(case, 'linear', logits=True)}\n"
        f"model.compile(..., loss=keras.losses.{kind}(from_logits=True))"
    )
    return made, text, code


def output_for_each_class(case: Case) -> Offer:
    head, units = case.head, case.output_shape[-1] if case.output_shape else None
    if head is None or case.kind != "classes" or units is None or len(case.values) <= units:
        return None
    if head.after or len(case.output_shape) != 1:
        return None
    count = len(case.values)
    text = f"{count} outputs with softmax, one for each class, and sparse categorical cross-entropy"
    code = (
        f"outputs = keras.layers.Dense({count}, activation='softmax')(x)\n"
        "model.compile(..., loss='sparse_categorical_crossentropy')"
    )
    if case.values != tuple(range(count)):
        code += "  # labels numbered from 0"
    return change.ClassOutputs(case.values), text, code


_FITTING = {
    "one-hot": "categorical_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "two classes": "binary_crossentropy",
    "labels": "binary_crossentropy",
    "numbers": "mean_squared_error",
}
_FOR_NUMBERS = (
    "mean_squared_error",
    "mean_absolute_error",
    "root_mean_squared_error",
    "huber",
    "log_cosh",
)


def loss_that_fits(case: Case) -> Offer:
    wanted = _FITTING.get(case.kind)
    if wanted is None or case.loss == wanted or isinstance(case.told.loss, dict | list | tuple):
        return None
    if wanted == "mean_squared_error" and case.loss in _FOR_NUMBERS:
        return None
    units = case.output_shape[-1] if case.output_shape else None
    if case.kind == "classes" and (units is None or units < len(case.values)):
        return None
    logits = False
    if wanted in CROSS_ENTROPIES:
        if case.head is None:
            logits = case.from_logits
        else:
            logits = case.head.activation not in ("softmax", "sigmoid")
    kind = "".join(part.title() for part in wanted.split("_"))
    text = f"{wanted.replace('_', ' ')} in place of {case.loss.replace('_', ' ') or 'no loss'}"
    code = f"model.compile(..., loss=keras.losses.{kind}({'from_logits=True' if logits else ''}))"
    return change.Loss(wanted, logits), text, code


# of the optimizer


def learning_rate(factor: float) -> Callable[[Case], Offer]:
    def offer(case: Case) -> Offer:
        config = case.told.optimizer.get_config()
        rate = config.get("learning_rate")
        if rate is None:
            return None
        kind = type(case.told.optimizer).__name__
        if isinstance(rate, dict):
            text = f"the learning rate's schedule times {factor:g}"
            return (
                change.LearningRate(factor),
                text,
                f"# every rate of the schedule times {factor:g}",
            )
        if not float(rate):
            return None
        text = f"learning rate {float(rate) * factor:.3g} in place of {float(rate):.3g}"
        code = f"keras.optimizers.{kind}(learning_rate={float(rate) * factor:.3g}, ...)"
        return change.LearningRate(factor), text, code

    return offer


def clipped(case: Case) -> Offer:
    config = case.told.optimizer.get_config()
    if any(config.get(name) for name in ("clipnorm", "global_clipnorm", "clipvalue")):
        return None
    kind = type(case.told.optimizer).__name__
    text = "gradients clipped to a norm of 1"
    return change.ClippedGradients(), text, f"keras.optimizers.{kind}(..., global_clipnorm=1.0)"


def batch(case: Case) -> Offer:
    if case.examples is None or _fixed_batch(case):
        return None
    size = case.source.training.batch
    other = size // 4 if size >= 8 else 32
    other = min(other, case.examples.n_train)
    if other == size:
        return None
    text = f"batches of {other} examples in place of {size}"
    return change.Batch(other), text, f"model.fit(..., batch_size={other})"


def _fixed_batch(case: Case) -> bool:
    shape = getattr(case.model, "input_shape", None)
    return isinstance(shape, tuple) and bool(shape) and isinstance(shape[0], int) and shape[0] > 1


def epochs(case: Case) -> Offer:
    epochs = case.source.target.epochs
    return (
        change.Epochs(4),
        f"{4 * epochs} epochs in place of {epochs}",
        f"model.fit(..., epochs={4 * epochs})",
    )


# of the architecture


def activations(olds: tuple[str, ...], new: str) -> Callable[[Case], Offer]:
    def offer(case: Case) -> Offer:
        layers = case.hidden_activations(*olds) if case.editable else []
        if not layers:
            return None
        settings: list[tuple[int, tuple[tuple[str, Any], ...]]] = []
        for layer in layers:
            own: tuple[tuple[str, Any], ...] = (("activation", new),)
            if type(layer).__name__ in ("ReLU", "Softmax"):
                own = (("class", "Activation"), *own)
            settings.append((case.place(layer), own))
        text = f"{new} in place of {' and '.join(olds)} in {_names(layers)}"
        return (
            change.LayerSettings(tuple(settings)),
            text,
            f"activation={new!r}  # in {_names(layers)}",
        )

    return offer


def _names(layers: Sequence[keras.Layer]) -> str:
    names = [layer.name for layer in layers]
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


_KEEPS_SCALE = ("Glorot", "He", "Lecun", "Orthogonal", "VarianceScaling", "Identity")


def initializers(case: Case) -> Offer:
    if not case.editable:
        return None
    wrong = []
    for layer in case.layers():
        kind = _initializer(layer, "kernel_initializer")
        if kind and not kind.startswith(_KEEPS_SCALE):
            wrong.append(layer)
    relus = case.hidden_activations("relu", "leaky_relu", "elu")
    if not wrong and len(relus) >= 6:  # so deep a glorot start fades
        wrong = [
            one for one in relus if _initializer(one, "kernel_initializer").startswith("Glorot")
        ]
    if not wrong:
        return None
    names = {layer.name for layer in relus}
    settings = tuple(
        (
            case.place(one),
            (("kernel_initializer", "he_normal" if one.name in names else "glorot_uniform"),),
        )
        for one in wrong
    )
    kinds = sorted({pairs[0][1] for _, pairs in settings})
    text = f"kernels drawn by {' and '.join(kinds)} in {_names(wrong)}"
    code = "\n".join(f"kernel_initializer={k!r}" for k in kinds) + f"  # in {_names(wrong)}"
    return change.LayerSettings(settings), text, code


def _initializer(layer: keras.Layer, name: str) -> str:
    found = layer.get_config().get(name)
    return str(found.get("class_name", "")) if isinstance(found, dict) else ""


def biases(case: Case) -> Offer:
    if not case.editable:
        return None
    wrong = [
        layer
        for layer in case.layers()
        if (kind := _initializer(layer, "bias_initializer")) and kind != "Zeros"
    ]
    if not wrong:
        return None
    settings = tuple((case.place(layer), (("bias_initializer", "zeros"),)) for layer in wrong)
    text = f"biases that start at 0 in {_names(wrong)}"
    return change.LayerSettings(settings), text, f"bias_initializer='zeros'  # in {_names(wrong)}"


def momentum(value: float) -> Callable[[Case], Offer]:
    def offer(case: Case) -> Offer:
        layers = case.layers("BatchNormalization") if case.editable else []
        layers = [layer for layer in layers if layer.get_config()["momentum"] > value]
        if not layers:
            return None
        settings = tuple((case.place(layer), (("momentum", value),)) for layer in layers)
        text = f"momentum {value:g} in {_names(layers)}"
        code = f"keras.layers.BatchNormalization(momentum={value:g})"
        return change.LayerSettings(settings), text, code

    return offer


def masked(case: Case) -> Offer:
    recurrent = case.recurrent
    if not case.editable or not recurrent or case.examples is None:
        return None
    x = case.examples.x_train
    embeddings = [e for e in case.layers("Embedding") if not e.get_config().get("mask_zero")]
    if embeddings:
        if not any(_ends_in_zeros(array) for array in leaves(x)):
            return None
        settings = tuple((case.place(layer), (("mask_zero", True),)) for layer in embeddings)
        text = f"padding masked: mask_zero in {_names(embeddings)}"
        return change.LayerSettings(settings), text, "keras.layers.Embedding(..., mask_zero=True)"
    if not isinstance(x, np.ndarray) or x.ndim != 3 or case.layers("Masking", "Embedding"):
        return None
    if not _ends_in_zeros(np.asarray(x.any(axis=2))):
        return None
    text = f"padding masked: a Masking layer in front of {recurrent[0].name}"
    code = f"x = keras.layers.Masking()(x)  # in front of {recurrent[0].name}"
    return change.MaskedSteps(case.place(recurrent[0])), text, code


def _ends_in_zeros(array: Array) -> bool:
    """Whether at least a tenth of the examples, rows of steps, are padded with zeros at an end."""
    if array.ndim != 2 or array.shape[1] < 2:
        return False
    return float(((array[:, -1] == 0) | (array[:, 0] == 0)).mean()) >= 0.1
