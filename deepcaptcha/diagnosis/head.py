"""Where a model's answer comes from: the last layer with weights, the activations behind the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..keras.backend import keras

_PASSING = ("Activation", "Softmax", "ReLU", "Reshape", "Flatten", "Permute", "Dropout", "Identity")
_SHAPES = ("Reshape", "Flatten", "Permute", "Dropout", "Identity")
_BY_CLASS = {"Softmax": "softmax", "ReLU": "relu"}


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
