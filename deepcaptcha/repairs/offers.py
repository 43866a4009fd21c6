"""What each candidate would change of a case: offered only where it applies and changes anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..keras.backend import keras, tf
from ..keras.data import Array, Examples
from . import changes
from .case import Case, is_recurrent
from .changes import CROSS_ENTROPIES, Change, Scaling, is_scalable
from .model import flat_layers, with_end

Offer = tuple[Change, str, str] | None
"""The change, in words, as code; None where it does not apply or would change nothing."""


# of the data


def _pasted(name: str, how: Scaling, offset: Array, scale: Array) -> str:
    """Code that scales the arrays of both parts by the rule of `changes.scaling`."""
    names = f"{name}_train", f"{name}_validation"
    if not offset.ndim:
        less = f" {'-' if offset > 0 else '+'} {_exact(abs(offset))}"
        return "\n".join(
            f"{each} = {f'({each}{less})' if offset else each} / {_exact(scale)}" for each in names
        )
    lines = [
        f"values = {names[0]}.astype('float64')",
        "offset, scale = values.mean(axis=0), values.std(axis=0)",
    ]
    if how == "range":
        lines[1:] = [
            "low, high = values.min(axis=0), values.max(axis=0)",
            "offset = numpy.where(low > numpy.maximum(0, 0.5 * high), low, 0.0)",
            "scale = numpy.where(low < 0, numpy.maximum(-low, high), high - offset)",
        ]
    lines.append("scale = numpy.where(scale > 1e-12, scale, 1.0)  # of a constant column")
    return "\n".join([*lines, *(f"{each} = ({each} - offset) / scale" for each in names)])


def _exact(number: Array | np.float64) -> str:
    """With all digits that float32 inputs can tell apart, few where the number has few."""
    return f"{float(number):.12g}"


def scaled_inputs(case: Case, how: Scaling) -> Offer:
    """Inputs that are neither of mean 0 and deviation 1 nor, for `range`, within -1..1."""
    looking = ("Embedding", "CategoryEncoding", "IntegerLookup", "Hashing", "Discretization")
    if case.examples is None or any(
        type(layer).__name__ in looking for layer in flat_layers(case.model)
    ):
        return None
    arrays = tf.nest.flatten(case.examples.x_train)
    x = next((a for a in arrays if is_scalable(a) and np.isfinite(a).all()), None)
    if x is None:
        return None
    mean, deviation = changes.scaling(x, "standard")
    if np.abs(mean).max() < 0.3 and deviation.min() >= 0.5 and deviation.max() <= 2:
        return None
    offset, scale = changes.scaling(x, how)
    if how == "range" and not offset.any() and scale.min() >= 0.4 and scale.max() <= 2:
        return None
    what = "range" if how == "range" else "deviation"
    if offset.ndim:
        less = "" if how == "range" else " less its mean,"
        text = f"each column of the inputs{less} divided by its {what} in the training data"
    else:
        less = f" less {offset:.4g}" if how == "range" else f" less their mean {offset:.4g},"
        by = f"{scale:.6g}" if how == "range" else f"their deviation {scale:.4g}"
        text = f"inputs{less if offset else ''} divided by {by}"
    change = Change(data=partial(changes.scaled_inputs, how=how))
    code = _pasted("x", how, offset, scale)
    if len(arrays) > 1:
        code += "\n# so each array of inputs, by its own numbers"
    return change, text, code


def scaled_targets(case: Case) -> Offer:
    """Numbers whose deviation is not near 1, or whose mean is far from 0."""
    if case.y is None or case.kind != "numbers":
        return None
    offset, scale = changes.scaling(case.y, "standard")
    centred = np.abs(offset).max() < 2 * scale.max()
    if centred and scale.min() >= 0.2 and scale.max() <= 5:
        return None
    low, wide = tuple(offset.ravel().tolist()), tuple(scale.ravel().tolist())
    change = Change(
        data=partial(changes.scaled_targets, offset=low, scale=wide),
        undone=partial(changes.unscaled, offset=low, scale=wide),
        meaning=True,
    )
    code = _pasted("y", "standard", offset, scale)
    if offset.ndim:
        text = "each column of the targets scaled by its own numbers in the training data"
        return change, text, f"{code}\n# in the old unit: prediction * scale + offset"
    text = f"targets{f' less {offset:.4g},' if offset else ''} divided by {scale:.4g}"
    back = f"prediction * {_exact(scale)}{f' + {_exact(offset)}' if offset else ''}"
    return change, text, f"{code}\n# in the old unit: {back}"


def shuffled(case: Case) -> Offer:
    if not case.pooled:
        return None
    text = "rows shuffled before training and validation rows are set apart"
    code = (
        "order = numpy.random.default_rng(0).permutation(len(x))\n"
        "x, y = x[order], y[order]  # before any split, validation_split too"
    )
    return Change(shuffled=True), text, code


def numbered(case: Case) -> Offer:
    values, units = case.values, case.units
    if not values or values == tuple(range(len(values))) or not units:
        return None
    many = units if case.kind == "classes" and units > 1 else 2
    if len(values) > many or (min(values) >= 0 and max(values) < many):
        return None
    change = Change(data=partial(changes.numbered, values=values), values=values, meaning=True)
    told = f"numpy.searchsorted([{', '.join(f'{value:g}' for value in values)}], {{0}})"
    if values == tuple(range(int(values[0]), int(values[-1]) + 1)):
        told = f"{{0}} - {values[0]:g}"
    code = "\n".join(f"{name} = {told.format(name)}" for name in ("y_train", "y_validation"))
    return change, f"labels {values[0]:g}..{values[-1]:g} numbered from 0", code


def reshaped(case: Case) -> Offer:
    y, shape, loss = case.y, case.output_shape, case.told.loss
    if y is None or None in shape or y.shape[1:] == shape or not shape:
        return None
    kind = type(loss) if isinstance(loss, keras.losses.Loss) else loss
    own = not isinstance(loss, str) and not getattr(kind, "__module__", "").startswith("keras")
    if not own and type(case.model).train_step is keras.Model.train_step:
        return None  # Keras' own losses do so themselves
    sizes = tuple(int(size or 1) for size in shape)
    if int(np.prod(sizes)) != y.size // len(y):
        return None
    told = ", ".join(map(str, sizes))
    code = "\n".join(f"{n} = {n}.reshape(-1, {told})" for n in ("y_train", "y_validation"))
    text = f"targets of shape {y.shape[1:]} given the outputs' shape {sizes}"
    return Change(data=partial(changes.reshaped_targets, shape=sizes)), text, code


# of the output and the loss


def _head_code(case: Case, activation: str, logits: bool = False) -> str:
    head = case.head
    assert head is not None
    kind = type(case.model.get_layer(head.layer)).__name__
    if not head.after:
        shown = "" if activation == "linear" or logits else f", activation={activation!r}"
        return f"outputs = keras.layers.{kind}({head.units}{shown})(x)"
    lines = [f"x = keras.layers.{kind}({head.units}, ...)(x)  # no activation here"]
    lines += [f"x = {name}(x)" for name in head.after]
    last = [] if logits else [f"outputs = keras.layers.Activation({activation!r})(x)"]
    return "\n".join(lines + last)


def activation_that_fits(case: Case) -> Offer:
    head, y = case.head, case.y
    wanted = {"two classes": "sigmoid", "labels": "sigmoid", "numbers": "linear"}.get(case.kind, "")
    if case.kind in ("one-hot", "classes") and case.units != 1:
        wanted = "softmax"
    if head is None or not wanted or head.activation in (wanted, "other") or case.from_logits:
        return None
    if wanted == "linear" and y is not None:
        low = {"tanh": -1, "linear": -np.inf}.get(head.activation, 0)
        high = np.inf if head.activation in ("relu", "linear") else 1
        if low <= y.min() and y.max() <= high and (head.activation, case.units) != ("softmax", 1):
            return None  # within its reach
    if (wanted, head.activation, case.loss) == ("softmax", "sigmoid", "binary_crossentropy"):
        return None
    text = f"{wanted} in place of {head.activation} as the output's activation"
    change = Change(model=partial(with_end, activation=wanted), meaning=True)
    return change, text, _head_code(case, wanted)


def activation_last(case: Case) -> Offer:
    head = case.head
    if head is None or not head.hidden or head.activation not in ("softmax", "sigmoid"):
        return None
    text = f"one {head.activation} in place of {len(head.activations)} activations"
    if head.after:
        text = f"{head.activation} as the last operation, behind {', '.join(head.after)}"
    change = Change(model=partial(with_end, activation=head.activation), meaning=True)
    return change, text, _head_code(case, head.activation)


def logits(case: Case) -> Offer:
    head = case.head
    if case.loss not in CROSS_ENTROPIES or case.from_logits or activation_last(case) is None:
        return None
    assert head is not None
    change = Change(
        model=partial(with_end, activation="linear"),
        compiled=partial(changes.with_loss, name=case.loss),
        meaning=True,
    )
    code = f"{_head_code(case, 'linear', logits=True)}\n{_loss_code(case.loss, True)}"
    return change, f"no {head.activation}: the loss is computed from the logits", code


def output_for_each_class(case: Case) -> Offer:
    head, count = case.head, len(case.values)
    if head is None or case.kind != "classes" or case.units is None or count <= case.units:
        return None
    if head.after or len(case.output_shape) != 1:
        return None
    change = Change(
        data=partial(changes.numbered, values=case.values),
        model=partial(with_end, activation="softmax", units=count),
        compiled=partial(changes.with_loss, name="sparse_categorical_crossentropy"),
        values=case.values,
        meaning=True,
    )
    text = f"{count} outputs with softmax, one for each class, and sparse categorical cross-entropy"
    code = (
        f"outputs = keras.layers.Dense({count}, activation='softmax')(x)\n"
        "model.compile(..., loss='sparse_categorical_crossentropy')"
    )
    if case.values != tuple(range(count)):
        code += "  # labels numbered from 0"
    return change, text, code


_FITTING = {
    "one-hot": "categorical_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "two classes": "binary_crossentropy",
    "labels": "binary_crossentropy",
    "numbers": "mean_squared_error",
}
_FOR_NUMBERS = ("mean_absolute_error", "root_mean_squared_error", "huber", "log_cosh")


def loss_that_fits(case: Case) -> Offer:
    wanted, units = _FITTING.get(case.kind), case.units
    if wanted is None or case.loss == wanted or isinstance(case.told.loss, dict | list | tuple):
        return None
    if wanted == "mean_squared_error" and case.loss in _FOR_NUMBERS:
        return None
    if case.kind == "classes" and (units is None or units < len(case.values)):
        return None
    from_logits = case.from_logits
    if case.head is not None:
        from_logits = case.head.activation not in ("softmax", "sigmoid")
    text = f"{wanted.replace('_', ' ')} in place of {case.loss.replace('_', ' ') or 'no loss'}"
    change = Change(compiled=partial(changes.with_loss, name=wanted), meaning=True)
    return change, text, _loss_code(wanted, wanted in CROSS_ENTROPIES and from_logits)


def _loss_code(name: str, from_logits: bool) -> str:
    kind = "".join(part.title() for part in name.split("_"))
    return f"model.compile(..., loss=keras.losses.{kind}({'from_logits=True' * from_logits}))"


# of the optimizer and the budget


def learning_rate(case: Case, factor: float) -> Offer:
    rate = case.told.optimizer.get_config().get("learning_rate")
    change = Change(compiled=partial(changes.learning_rate, factor=factor))
    if isinstance(rate, dict):
        text = f"the learning rate's schedule times {factor:g}"
        return change, text, f"# every rate of the schedule times {factor:g}"
    if not rate:
        return None
    kind, new = type(case.told.optimizer).__name__, f"{float(rate) * factor:.3g}"
    code = f"keras.optimizers.{kind}(learning_rate={new}, ...)"
    return change, f"learning rate {new} in place of {float(rate):.3g}", code


def clipped(case: Case) -> Offer:
    config = case.told.optimizer.get_config()
    if any(config.get(name) for name in ("clipnorm", "global_clipnorm", "clipvalue")):
        return None
    code = f"keras.optimizers.{type(case.told.optimizer).__name__}(..., global_clipnorm=1.0)"
    return Change(compiled=changes.clipped), "gradients clipped to a norm of 1", code


def batch(case: Case) -> Offer:
    shape, size = getattr(case.model, "input_shape", None), case.source.training.batch
    if case.examples is None or (isinstance(shape, tuple) and shape and shape[0] not in (None, 1)):
        return None
    other = min(size // 4 if size >= 8 else 32, case.examples.n_train)
    if other == size:
        return None
    text = f"batches of {other} examples in place of {size}"
    return Change(batch=other), text, f"model.fit(..., batch_size={other})"


def epochs(case: Case) -> Offer:
    now = case.source.target.epochs
    text = f"{4 * now} epochs in place of {now}"
    return Change(epochs=4), text, f"model.fit(..., epochs={4 * now})"


# of the architecture


def _settings(
    case: Case, layers: Sequence[keras.Layer], setting: Callable[[keras.Layer], dict[str, Any]]
) -> Change:
    changed = tuple((case.place(layer), setting(layer)) for layer in layers)
    return Change(model=partial(changes.layer_settings, settings=changed))


def _names(layers: Sequence[keras.Layer]) -> str:
    names = [layer.name for layer in layers]
    if len(names) > 4:
        names = [*names[:2], f"{names[2]} and {len(names) - 3} more"]
    return ", ".join(names)


def activations(case: Case, olds: tuple[str, ...], new: str) -> Offer:
    layers = case.hidden(*olds)
    if not layers:
        return None

    def setting(layer: keras.Layer) -> dict[str, Any]:
        whole = type(layer).__name__ in ("ReLU", "Softmax")
        return {"activation": new, **({"class": "Activation"} if whole else {})}

    text = f"{new} in place of {' and '.join(olds)} in {_names(layers)}"
    return _settings(case, layers, setting), text, f"activation={new!r}  # in {_names(layers)}"


_KEEPS_SCALE = ("Glorot", "He", "Lecun", "Orthogonal", "VarianceScaling", "Identity")


def initializers(case: Case) -> Offer:
    wrong = [
        layer
        for layer in case.layers()
        if (drawn := _initializer(layer, "kernel")) and not drawn.startswith(_KEEPS_SCALE)
    ]
    relus = case.hidden("relu", "leaky_relu", "elu")
    if not wrong and len(relus) >= 6:  # so deep a glorot start fades
        wrong = [one for one in relus if _initializer(one, "kernel").startswith("Glorot")]
    if not wrong:
        return None
    names = {layer.name for layer in relus}

    def kind(layer: keras.Layer) -> str:
        return "he_normal" if layer.name in names else "glorot_uniform"

    kinds = sorted(set(map(kind, wrong)))
    text = f"kernels drawn by {' and '.join(kinds)} in {_names(wrong)}"
    code = "\n".join(f"kernel_initializer={k!r}" for k in kinds) + f"  # in {_names(wrong)}"
    return _settings(case, wrong, lambda layer: {"kernel_initializer": kind(layer)}), text, code


def _initializer(layer: keras.Layer, of: str) -> str:
    found = layer.get_config().get(f"{of}_initializer")
    return str(found.get("class_name", "")) if isinstance(found, dict) else ""


def biases(case: Case) -> Offer:
    wrong = [one for one in case.layers() if _initializer(one, "bias") not in ("", "Zeros")]
    if not wrong:
        return None
    change = _settings(case, wrong, lambda layer: {"bias_initializer": "zeros"})
    code = f"bias_initializer='zeros'  # in {_names(wrong)}"
    return change, f"biases that start at 0 in {_names(wrong)}", code


def wider(case: Case) -> Offer:
    """Hidden layers so narrow that a unit that dies leaves a hole, eight times as wide."""
    narrow = []
    for layer in case.hidden("relu", "sigmoid", "tanh"):
        name = next((n for n in ("units", "filters") if n in layer.get_config()), None)
        if name is not None and layer.get_config()[name] < 4:
            narrow.append((layer, name))
    if not narrow:
        return None
    layers, names = [layer for layer, _ in narrow], {layer.name: name for layer, name in narrow}

    def setting(layer: keras.Layer) -> dict[str, Any]:
        return {names[layer.name]: 8 * layer.get_config()[names[layer.name]]}

    text = f"eight times as many units in {_names(layers)}"
    return _settings(case, layers, setting), text, f"# eight times the units in {_names(layers)}"


def momentum(case: Case, value: float) -> Offer:
    layers = case.layers("BatchNormalization")
    layers = [layer for layer in layers if layer.get_config()["momentum"] > value]
    if not layers:
        return None
    code = f"keras.layers.BatchNormalization(momentum={value:g})"
    change = _settings(case, layers, lambda layer: {"momentum": value})
    return change, f"momentum {value:g} in {_names(layers)}", code


def masked(case: Case) -> Offer:
    recurrent = [layer for layer in case.layers() if is_recurrent(layer)]
    if not recurrent or not isinstance(case.examples, Examples):
        return None
    x = case.examples.x_train
    words = case.layers("Embedding")
    unmasked = [layer for layer in words if not layer.get_config().get("mask_zero")]
    if unmasked and any(map(_ends_in_zeros, tf.nest.flatten(x))):
        text = f"padding masked: mask_zero in {_names(unmasked)}"
        change = _settings(case, unmasked, lambda layer: {"mask_zero": True})
        return change, text, "keras.layers.Embedding(..., mask_zero=True)"
    if words or case.layers("Masking") or not isinstance(x, np.ndarray) or x.ndim != 3:
        return None
    if not _ends_in_zeros(np.asarray(x.any(axis=2))):
        return None
    where = f"in front of {recurrent[0].name}"
    change = Change(model=partial(changes.masked_steps, place=case.place(recurrent[0])))
    code = f"x = keras.layers.Masking()(x)  # {where}"
    return change, f"padding masked: a Masking layer {where}", code


def _ends_in_zeros(array: Array) -> bool:
    """Whether at least a tenth of the examples, rows of steps, are padded with zeros at an end."""
    if array.ndim != 2 or array.shape[1] < 2:
        return False
    return float(((array[:, -1] == 0) | (array[:, 0] == 0)).mean()) >= 0.1
