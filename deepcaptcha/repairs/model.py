"""A model's parts: how it was compiled, where its answer comes from; and copies with other settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..keras.backend import keras
from ..keras.data import Part

Updates = Mapping[str, Mapping[str, Any]]
"""Settings by layer's name."""

_PASSING = ("Activation", "Softmax", "ReLU", "Reshape", "Flatten", "Permute", "Dropout", "Identity")
_SHAPES = ("Reshape", "Flatten", "Permute", "Dropout", "Identity")
_BY_CLASS = {"Softmax": "softmax", "ReLU": "relu"}


@dataclass(frozen=True)
class Compiled:
    """What `compile` was told; a new optimizer of the same configuration."""

    optimizer: keras.optimizers.Optimizer
    loss: Any
    others: Mapping[str, Any]

    @classmethod
    def of(cls, model: keras.Model) -> Compiled:
        """Of a compiled model, which is left as it is."""
        told = dict(model._compile_config.config)
        optimizer, loss = told.pop("optimizer"), told.pop("loss", None)
        if isinstance(optimizer, keras.optimizers.Optimizer):
            optimizer = type(optimizer).from_config(optimizer.get_config())
        return cls(keras.optimizers.get(optimizer), loss, told)

    def with_optimizer(self, **settings: Any) -> Compiled:
        """The same optimizer with other settings."""
        config = {**self.optimizer.get_config(), **settings}
        return replace(self, optimizer=type(self.optimizer).from_config(config))

    def without_metrics(self) -> Compiled:
        """What is measured by whoever changed what the outputs mean."""
        none = dict.fromkeys(("metrics", "weighted_metrics"))
        return replace(self, others={**self.others, **none})

    def compile(self, model: keras.Model) -> None:
        """Compile a model like this."""
        model.compile(optimizer=self.optimizer, loss=self.loss, **self.others)


@dataclass(frozen=True)
class Head:
    """The end of a model with one output.

    - `layer`: the last one with weights; `units`: of it, which its setting `units_name` says.
    - `activations`: (layer, activation) from there on, none of them linear.
    - `after`: layers behind the last activation, or behind `layer` where there is none.
    """

    layer: str
    units: int
    units_name: str
    activations: tuple[tuple[str, str], ...]
    after: tuple[str, ...]

    @property
    def activation(self) -> str:
        """The last one."""
        return self.activations[-1][1] if self.activations else "linear"

    @property
    def hidden(self) -> bool:
        """Whether operations behind the last activation hide it, or there are several."""
        return bool(self.activations) and (bool(self.after) or len(self.activations) > 1)


def read_head(model: keras.Model) -> Head | None:
    """The head of a Sequential or functional model, None where there is no telling."""
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return None
    known = {id(layer) for layer in model.layers}
    tensor = outputs[0]
    path: list[keras.Layer] = []
    while True:
        history = tensor._keras_history
        layer = history.operation
        if id(layer) not in known or not isinstance(layer, keras.Layer):
            return None
        path.append(layer)
        config = layer.get_config()
        name = next((name for name in ("units", "filters") if name in config), None)
        if layer.weights and name is not None:
            break
        inputs = layer._inbound_nodes[history.node_index].input_tensors
        if type(layer).__name__ not in _PASSING or len(inputs) != 1:
            return None
        tensor = inputs[0]
    path.reverse()
    activations = [(one.name, kind) for one in path if (kind := activation_of(one)) != "linear"]
    last = activations[-1][0] if activations else path[0].name
    names = [one.name for one in path]
    after = tuple(names[names.index(last) + 1 :])
    return Head(path[0].name, int(config[name]), name, tuple(activations), after)


def activation_of(layer: keras.Layer) -> str:
    """The name of a layer's activation, `linear` where it has none, `other` for one of the user's."""
    if (kind := _BY_CLASS.get(type(layer).__name__)) is not None:
        return kind
    activation = layer.get_config().get("activation")
    if activation is None:
        return "linear"
    return activation if isinstance(activation, str) else "other"


def activation_edits(
    model: keras.Model, head: Head, last: str
) -> tuple[dict[str, Mapping[str, Any]], bool]:
    """Settings by layer that leave `last` as the only activation of the head; whether it is to be
    appended as a layer of its own."""
    edits: dict[str, Mapping[str, Any]] = {}
    for name, _ in head.activations:
        layer = model.get_layer(name)
        whole = type(layer).__name__ in _BY_CLASS
        edits[name] = {"activation": "linear", **({"class": "Activation"} if whole else {})}
    layers_behind = [name for name, _ in head.activations[1:]] or head.after
    if last == "linear":
        return edits, False
    if not layers_behind and (not head.activations or head.activations[0][0] == head.layer):
        edits[head.layer] = {"activation": last}
        return edits, False
    return edits, True


def edited(
    model: keras.Model,
    updates: Updates,
    *,
    ends: Sequence[Callable[[], keras.Layer]] = (),
    before: str = "",
) -> keras.Model:
    """A Sequential or functional model with other settings, not compiled, made of the layers of the one
    given, which is of no use any more; changed layers are new, and have the weights of the old ones.

    - `updates`: settings by layer's name; `class`: a layer's class in place of the own.
    - `ends`: make layers for the end. `before`: a layer that a Masking layer is put in front of.
    """
    whole = as_functional(model)

    def clone(layer: keras.Layer) -> keras.Layer:
        if layer.name not in updates:
            # It stays, with its weights: the model is one that a factory made for nobody else.
            return layer
        changed = dict(updates[layer.name])
        if (kind := changed.pop("class", None)) is not None:
            return getattr(keras.layers, kind)(name=layer.name, **changed)
        return type(layer).from_config({**layer.get_config(), **changed})

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer.name == before:
            args = (keras.layers.Masking(0.0)(args[0]), *args[1:])
        return layer(*args, **kwargs)

    copy = keras.models.clone_model(
        whole, clone_function=clone, call_function=call if before else None, recursive=not before
    )
    if ends:
        output = copy.outputs[0]
        for make in ends:
            output = make()(output)
        copy = keras.Model(_structure(copy)[0], output, name=copy.name)
    _take_weights(copy, whole, updates)
    return copy


def built(model: keras.Model, inputs: Part) -> keras.Model:
    """The model with its weights, for batches of any size, where they were not drawn yet."""
    if model.built:
        return model
    if type(model) is keras.Sequential and isinstance(inputs, np.ndarray):
        model.build((None, *inputs.shape[1:]))
    else:
        model(inputs)
    return model


def flat_layers(model: keras.Model) -> list[keras.Layer]:
    """Its layers, in the place of a model inside it that one's."""
    found: list[keras.Layer] = []
    for layer in model.layers:
        found += flat_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found


def as_functional(model: keras.Model) -> keras.Model:
    """A functional model of the same layers, not compiled."""
    return keras.Model(*_structure(model), name=model.name)


def _structure(model: keras.Model) -> tuple[Any, Any]:
    """Inputs and outputs as the user nested them; `inputs` and `outputs` are flat."""
    inner = getattr(model, "_functional", None) or model  # a Sequential one holds a functional one
    return inner._inputs_struct, inner._outputs_struct


def _take_weights(copy: keras.Model, model: keras.Model, updates: Updates) -> None:
    """What a factory loads or draws stays, but where it is the initializer that was changed."""
    theirs = {layer.name: layer for layer in flat_layers(model)}
    for layer in flat_layers(copy):
        if not any("initializer" in name for name in updates.get(layer.name, {"initializer": 0})):
            weights = theirs[layer.name].get_weights()
            if [w.shape for w in weights] == [w.shape for w in layer.get_weights()]:
                layer.set_weights(weights)
