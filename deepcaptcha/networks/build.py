"""Keras models from architectures, and the question's two functions.

`create_DeepCAPCHA` and `working_DeepCAPCHA` follow the code of the Stack Overflow question "Adding
padding='same' argument to Conv2D layers broke the model" (CC BY-SA 4.0) in name, signature and
behaviour; they are built from the spec here.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from .architecture import HEADS, Architecture
from .variants import VARIANTS

if TYPE_CHECKING:
    import keras

Sizes = tuple[tuple[int, int, int], int, int]


def build(architecture: Architecture) -> keras.Model:
    """An uncompiled functional Keras model: float32 (batch, height, width, channels) in,
    (batch, n_prediction, n_class) out, layers named as in `architecture.rows`."""
    from ..keras.backend import keras

    layers = keras.layers
    inputs = keras.Input(architecture.input_shape, name="image")
    x = inputs
    for number, block in enumerate(architecture.blocks, start=1):
        x = layers.Conv2D(
            block.filters,
            block.kernel,
            strides=block.stride,
            padding=block.padding,
            activation="relu",
            name=f"conv{number}",
        )(x)
        if block.pool > 1:
            x = layers.MaxPooling2D(block.pool, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(architecture.dense, start=1):
        x = layers.Dense(units, activation="relu", name=f"dense{number}")(x)
    predictions = (architecture.n_prediction, architecture.n_class)
    first, *others = HEADS[architecture.head]
    activation = "softmax" if first == "probabilities" else None
    x = layers.Dense(prod(predictions), activation=activation, name=first)(x)
    for name in others:
        if name == "softmax":
            x = layers.Softmax(name=name)(x)
        else:
            x = layers.Reshape(predictions, name=name)(x)
    return keras.Model(inputs, x)


def build_network(**arguments: Any) -> keras.Model:
    """A model of `Architecture.from_arguments(**arguments)`. The head carries the loss with it: an
    output named `logits` has its loss taken from logits."""
    return build(Architecture.from_arguments(**arguments))


def assert_parameter_count(model: keras.Model, architecture: Architecture) -> None:
    """AssertionError naming the first layer of `model` whose parameter count differs from the formula.

    Layers are compared in order; their names need not agree.
    """
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    for row, layer in zip(architecture.rows, layers, strict=False):
        count = layer.count_params()
        if count != row.parameters:
            raise AssertionError(
                f"layer {row.name} ({type(layer).__name__} {layer.name!r}) has {count} parameters, "
                f"the formula says {row.arithmetic or row.parameters}"
            )
    if len(layers) != len(architecture.rows):
        raise AssertionError(
            f"the model has {len(layers)} layers, the architecture {len(architecture.rows)}"
        )


def create_DeepCAPCHA(  # noqa: N802 - the question's name
    input_shape: tuple[int, int, int] = (28, 28, 1),
    n_prediction: int = 1,
    n_class: int = 10,
    optimizer: Any = "adam",
    show_summary: bool = True,
) -> keras.Model:
    """The question's network with padding 'same', compiled; the summary is printed if asked for."""
    sizes = (input_shape, n_prediction, n_class)
    return _compiled(VARIANTS["same"].architecture, sizes, optimizer, show_summary)


def working_DeepCAPCHA(  # noqa: N802 - the question's name
    input_shape: tuple[int, int, int] = (28, 28, 1),
    n_prediction: int = 1,
    n_class: int = 10,
    optimizer: Any = "adam",
    show_summary: bool = True,
) -> keras.Model:
    """The question's network with valid padding, compiled; the summary is printed if asked for."""
    sizes = (input_shape, n_prediction, n_class)
    return _compiled(VARIANTS["valid"].architecture, sizes, optimizer, show_summary)


def _compiled(
    network: Architecture, sizes: Sizes, optimizer: Any, show_summary: bool
) -> keras.Model:
    model = build(Architecture(network.blocks, network.dense, network.head, *sizes))
    model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    if show_summary:
        model.summary()
    return model
