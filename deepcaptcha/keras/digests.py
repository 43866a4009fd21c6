"""What a trial follows from, as digests that only change where its bits may: names are not among them.

An identity (`fit.hash_configuration`) tells any two configurations apart. The digests here tell what a
training that ended in the same bits may still have different: what acts later, or under another seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ..trials.source import without_addresses
from ..trials.trial import Target
from .backend import keras
from .data import Data, Examples
from .environment import training_code
from .fit import describe_callback, hash_configuration, hash_weights
from .training import first_order

LENGTH = 12
"""Digits kept of a SHA-256: two different texts share them with a chance of 4e-15."""

_KNOWN = ("keras.", "deepcaptcha.")
_REPLACED = ("train_step", "test_step", "compute_loss", "call", "update_step", "apply")
"""Methods that an object may have got replaced by code that nothing shows."""

Digests = Mapping[str, str]


def make_digests(
    model: keras.Model,
    data: Data,
    target: Target,
    callbacks: Sequence[keras.callbacks.Callback],
    batch: int,
    seed: int,
    version: str | None,
) -> Digests:
    """By name: `training data`, `validation data`, `order`, `batch`, `configuration`, `callbacks`,
    `epochs`, `target`, `initial weights`, `version`; of arrays the `copies` among them, in words; and
    `code`, but only where no code of the user's runs while the model is trained."""
    train, validation = data.parts_sha256
    # Pipelines bring their own order, which the digest of their batches holds.
    order = first_order(data, seed).tobytes() if isinstance(data, Examples) else train.encode()
    chance = "" if target.chance is None else f", chance {target.chance!r}"
    digests = {
        "training data": train[:LENGTH],
        "validation data": validation[:LENGTH],
        "order": _digest(order),
        "batch": str(batch),
        "configuration": hash_neutral_configuration(model),
        "callbacks": _digest(json.dumps([describe_callback(each) for each in callbacks])),
        "epochs": str(target.epochs),
        "target": ", ".join(
            (f"{target.monitor} {target.mode} {target.value!r}{chance}", *target.also)
        ),
        "initial weights": hash_weights(model.get_weights())[:LENGTH],
        "version": version or "",
    }
    if isinstance(data, Examples):
        digests["copies"] = data.copies.text
    if not own_code(model, data, callbacks):
        digests["code"] = training_code()
    return digests


def own_code(
    model: keras.Model, data: Data, callbacks: Sequence[keras.callbacks.Callback]
) -> list[str]:
    """What may act later in a training than a part of it shows, since no digest holds it, or by the
    epoch; empty where everything follows from what has a digest."""
    parts: list[object] = [model, model.optimizer, *model._flatten_layers(include_self=False)]
    found = [type(part).__name__ for part in parts if not _is_known(type(part).__module__)]
    found += [
        f"{type(part).__name__}.{name}"
        for part in parts
        for name in _REPLACED
        if name in getattr(part, "__dict__", {})
    ]
    structure, settings = _structure(model), _compile_config(model)
    if structure is None or settings is None:
        found.append("a configuration that cannot be written")
    found += [*_foreign(structure), *_foreign(settings)]
    if isinstance(_config(model.optimizer).get("learning_rate"), Mapping):
        found.append("a schedule of the learning rate")
    if callbacks:
        found.append("callbacks")
    if not isinstance(data, Examples):
        found.append("a data pipeline")
    return found


def _foreign(part: object) -> Iterator[str]:
    """The classes and functions in a configuration that are not the libraries'."""
    if isinstance(part, list | tuple):
        for each in part:
            yield from _foreign(each)
    elif isinstance(part, Mapping):
        kind, own = part.get("class_name"), part.get("config")
        if kind == "__lambda__":
            yield "lambda"
        elif kind == "function":
            yield str(own)
        elif "module" in part and not _is_known(part["module"]):
            yield str(kind)
        for each in part.values():
            yield from _foreign(each)


def compiled_text(model: keras.Model) -> str:
    """What a compiled model was compiled with, such as `SGD, learning rate 0.01, momentum 0.9; loss
    mean_squared_error`; empty where it does not say."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return ""
    usual: Mapping[str, object] = {}
    with suppress(Exception):  # one of the user's own may need arguments
        usual = _config(type(optimizer)())
    config = _config(optimizer)
    rate = config.pop("learning_rate", None)
    told = [type(optimizer).__name__]
    if rate is not None:
        told.append(
            f"learning rate {rate:.6g}"
            if isinstance(rate, float | int)
            else f"learning rate by {rate.get('class_name') if isinstance(rate, Mapping) else rate}"
        )
    told += [
        f"{name.replace('_', ' ')} {value}"
        for name, value in config.items()
        if name != "name" and value != usual.get(name)
    ]
    return f"{', '.join(told)}; loss {_loss_text(model.loss)}"


def _loss_text(loss: object) -> str:
    if isinstance(loss, Mapping):
        return ", ".join(f"{name}: {_loss_text(each)}" for name, each in loss.items())
    if isinstance(loss, list | tuple):
        return ", ".join(map(_loss_text, loss))
    if isinstance(loss, keras.Loss):
        logits = _config(loss).get("from_logits")
        return type(loss).__name__ + (" from logits" if logits else "")
    return str(getattr(loss, "__name__", loss))


def hash_neutral_configuration(model: keras.Model) -> str:
    """A digest of a compiled model's layers, optimizer, loss and metrics, whatever they are called, and
    whether they were given by name or as objects."""
    structure, settings = _structure(model), _compile_config(model)
    if structure is None or settings is None:  # code of its own, no configuration
        return hash_configuration(model, drawn=False)[:LENGTH]
    rest = {key: settings[key] for key in settings if key not in _APART}
    optimizer = type(model.optimizer).__qualname__, _config(model.optimizer)
    parts = _nameless([structure, optimizer, _loss(model.loss), rest], {})
    return _digest(json.dumps(parts, sort_keys=True, default=without_addresses))


_APART = ("optimizer", "loss", "steps_per_execution")


def _structure(model: keras.Model) -> Mapping[str, object] | None:
    try:
        structure: Mapping[str, object] = json.loads(model.to_json())["config"]
    except (NotImplementedError, TypeError, ValueError, KeyError):
        return None
    return structure


def _compile_config(model: keras.Model) -> Mapping[str, object] | None:
    try:
        return dict(model.get_compile_config())
    except (NotImplementedError, TypeError):
        return None


def _loss(loss: object) -> object:
    """A loss by name and the same as an object are one."""
    if isinstance(loss, str):
        loss = keras.losses.get(loss)  # a function, of its short names too
        name = "".join(part.capitalize() for part in getattr(loss, "__name__", "").split("_"))
        with suppress(ValueError, TypeError):  # of a function that has no class
            loss = keras.losses.get({"class_name": name, "config": {}})
    if isinstance(loss, keras.Loss):
        return [type(loss).__qualname__, _config(loss)]
    if isinstance(loss, Mapping):
        return {key: _loss(value) for key, value in loss.items()}
    if isinstance(loss, list | tuple):
        return [_loss(value) for value in loss]
    return None if loss is None else getattr(loss, "__name__", without_addresses(loss))


def _nameless(part: object, places: Mapping[str, str]) -> object:
    """A configuration without names, and without seeds, which layers may have drawn themselves; where it
    refers to a layer it has the layer's place."""
    if isinstance(part, list | tuple):
        return [_nameless(value, places) for value in part]
    if not isinstance(part, Mapping):
        return part
    if (part.get("module"), part.get("class_name")) == ("keras.initializers", "Constant"):
        return "Constant"  # its values, which may have been drawn, are among the initial weights
    if isinstance(layers := part.get("layers"), list):
        names = [layer["config"].get("name", "") for layer in layers]
        places = {name: f"#{place}" for place, name in enumerate(names)}
    return {
        key: _placed(value, places) if key in _REFERENCES else _nameless(value, places)
        for key, value in part.items()
        if (key != "name" or len(part) == 1)  # the whole of a policy of types is its name
        and not (key == "seed" and isinstance(value, int))
    }


_REFERENCES = ("keras_history", "input_layers", "output_layers")


def _placed(part: object, places: Mapping[str, str]) -> object:
    if isinstance(part, Mapping):
        return {key: _placed(value, places) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_placed(value, places) for value in part]
    return places.get(part, part) if isinstance(part, str) else part


def _config(part: object) -> dict[str, object]:
    try:
        return dict(part.get_config()) if hasattr(part, "get_config") else {}
    except (NotImplementedError, TypeError):
        return {}


def _is_known(module: object) -> bool:
    return isinstance(module, str) and f"{module}.".startswith(_KNOWN)


def _digest(content: str | bytes) -> str:
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:LENGTH]
