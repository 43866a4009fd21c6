"""A model's parts: how it was compiled, where its answer comes from; and copies with other settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..keras.backend import keras
from ..keras.data import Part

Updates = Mapping[str, Mapping[str, Any]]
"""Settings by layer's name; the setting `class` is a layer's class in place of its own."""

_PASSING = ("Activation", "Softmax", "ReLU", "Reshape", "Flatten", "Permute", "Dropout", "Identity")
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
    tensor, path = outputs[0], list[keras.Layer]()
    while True:
        history = tensor._keras_history
        layer = history.operation
        if id(layer) not in known or not isinstance(layer, keras.Layer):
            return None
        path.insert(0, layer)
        config = layer.get_config()
        name = next((name for name in ("units", "filters") if name in config), None)
        if layer.weights and name is not None:
            break
        inputs = layer._inbound_nodes[history.node_index].input_tensors
        if type(layer).__name__ not in _PASSING or len(inputs) != 1:
            return None
        tensor = inputs[0]
    names = [one.name for one in path]
    activations = [(one.name, kind) for one in path if (kind := activation_of(one)) != "linear"]
    last = activations[-1][0] if activations else names[0]
    after = tuple(names[names.index(last) + 1 :])
    return Head(names[0], int(config[name]), name, tuple(activations), after)


def activation_of(layer: keras.Layer) -> str:
    """The name of a layer's activation, `linear` where it has none, `other` for one of the user's."""
    if (kind := _BY_CLASS.get(type(layer).__name__)) is not None:
        return kind
    activation = layer.get_config().get("activation") or "linear"
    return activation if isinstance(activation, str) else "other"


def with_end(model: keras.Model, activation: str, units: int | None = None) -> keras.Model:
    """A copy of which `activation` is the last operation and the only activation of the head, with so
    many `units`."""
    head = read_head(model)
    if head is None:
        raise InputError("no layer with weights is found behind the outputs")
    updates: dict[str, dict[str, Any]] = {head.layer: {}}
    for name, _ in head.activations:
        whole = type(model.get_layer(name)).__name__ in _BY_CLASS
        updates[name] = {"activation": "linear", **({"class": "Activation"} if whole else {})}
    appended = bool(head.after) or any(name != head.layer for name, _ in head.activations)
    if not appended:
        updates[head.layer] = {"activation": activation}
    if units is not None:
        updates[head.layer][head.units_name] = units
    return edited(model, updates, end=activation if appended and activation != "linear" else "")


def edited(model: keras.Model, updates: Updates, *, end: str = "", mask: str = "") -> keras.Model:
    """A Sequential or functional model with other settings, not compiled, made of the layers of the one
    given, which is of no use any more; changed layers are new, and have the weights of the old ones.

    - `end`: an activation put behind it. `mask`: a layer that a Masking layer is put in front of.
    """
    inner = getattr(model, "_functional", None) or model  # a Sequential one holds a functional one
    # As the user nested them; `inputs` and `outputs` are flat.
    whole = keras.Model(inner._inputs_struct, inner._outputs_struct, name=model.name)

    def clone(layer: keras.Layer) -> keras.Layer:
        if layer.name not in updates:
            # It stays, with its weights: the model is one that a factory made for nobody else.
            return layer
        changed = dict(updates[layer.name])
        if (kind := changed.pop("class", None)) is not None:
            return getattr(keras.layers, kind)(name=layer.name, **changed)
        return type(layer).from_config({**layer.get_config(), **changed})

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer.name == mask:
            args = (keras.layers.Masking(0.0)(args[0]), *args[1:])
        return layer(*args, **kwargs)

    copy = keras.models.clone_model(
        whole, clone_function=clone, call_function=call if mask else None, recursive=not mask
    )
    if end:
        output = keras.layers.Activation(end, dtype="float32")(copy.outputs[0])
        copy = keras.Model(copy._inputs_struct, output, name=copy.name)
    # What a factory loads or draws stays, but where it is the initializer that was changed.
    theirs = {layer.name: layer for layer in flat_layers(whole)}
    for layer in flat_layers(copy):
        if layer.name in updates and not any("initializer" in s for s in updates[layer.name]):
            weights = theirs[layer.name].get_weights()
            if [w.shape for w in weights] == [w.shape for w in layer.get_weights()]:
                layer.set_weights(weights)
    return copy


def built(model: keras.Model, inputs: Part) -> keras.Model:
    """The model with its weights, for batches of any size, where they were not drawn yet."""
    if not model.built:
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
