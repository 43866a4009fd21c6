"""Data and layers of which models for the check are made, compiled; each with what `check` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from deepcaptcha.keras.backend import keras
from deepcaptcha.networks.digits import digit_strips, load_mnist

layers = keras.layers


@dataclass(frozen=True)
class Case:
    """`make()` returns a compiled model and what `check` takes besides: x, y and, for some,
    validation data. `expect` is None for a sound model; `beside` are errors that follow from the same
    fault."""

    name: str
    make: Callable[[], tuple[Any, dict[str, Any]]]
    expect: str | None = None
    held_out: bool = False
    beside: tuple[str, ...] = ()

    def is_found(self, findings: Any) -> bool:
        """Whether the fault is among the warnings and errors."""
        return self.expect in [f.code for f in findings if f.severity != "information"]

    def wrong_errors(self, findings: Any) -> list[str]:
        """Errors that the case is no reason for."""
        right = (self.expect, *self.beside)
        return [f.code for f in findings if f.severity == "error" and f.code not in right]


EXAMPLES = 600


@cache
def _digits() -> tuple[Any, Any]:
    train, _ = load_mnist("subset")
    images = train.images[:EXAMPLES, ..., np.newaxis].astype(np.float32)
    return images, train.labels[:EXAMPLES].astype(np.int64)


def digits(scale: float = 255.0, one_hot: bool = False) -> dict[str, Any]:
    images, labels = _digits()
    y = np.eye(10, dtype=np.float32)[labels] if one_hot else labels
    return {"x": images / np.float32(scale), "y": y}


def strips() -> dict[str, Any]:
    train, _ = load_mnist("subset")
    drawn = digit_strips(3, type(train)(train.images[:1800], train.labels[:1800]), 0)
    x = drawn.images[..., np.newaxis].astype(np.float32) / 255
    return {"x": x, "y": np.eye(10, dtype=np.float32)[drawn.labels]}


def blobs(classes: int = 4, features: int = 12) -> dict[str, Any]:
    """Gaussian clusters of unit variance, centres three apart on average."""
    draw = np.random.default_rng(0)
    centres = 2 * draw.standard_normal((classes, features))
    labels = draw.integers(classes, size=EXAMPLES)
    x = centres[labels] + draw.standard_normal((EXAMPLES, features))
    return {"x": x.astype(np.float32), "y": labels}


def table(offset: float = 0.0) -> dict[str, Any]:
    """Regression on eight standard normal columns: a smooth function and a little noise."""
    draw = np.random.default_rng(1)
    x = draw.standard_normal((EXAMPLES, 8))
    y = x[:, 0] - 2 * x[:, 1] + np.sin(x[:, 2]) + 0.1 * draw.standard_normal(EXAMPLES)
    return {"x": (x + offset).astype(np.float32), "y": y[:, None].astype(np.float32)}


def sequences() -> dict[str, Any]:
    """Series of 20 numbers: does the second half exceed the first on average?"""
    draw = np.random.default_rng(2)
    x = draw.standard_normal((EXAMPLES, 20, 1))
    slope = draw.choice([-1.0, 1.0], size=EXAMPLES)
    x[:, :, 0] += slope[:, None] * np.linspace(-1, 1, 20)
    return {"x": x.astype(np.float32), "y": (slope > 0).astype(np.float32)[:, None]}


def tokens() -> dict[str, Any]:
    """Sentences of 12 word numbers below 5,000; one class prefers the lower half."""
    draw = np.random.default_rng(3)
    labels = draw.integers(2, size=EXAMPLES)
    low = draw.random((EXAMPLES, 12)) < np.where(labels, 0.8, 0.2)[:, None]
    words = np.where(
        low, draw.integers(1, 2500, (EXAMPLES, 12)), draw.integers(2500, 5000, (600, 12))
    )
    return {"x": words.astype(np.int32), "y": labels.astype(np.float32)[:, None]}


def compiled(
    model: Any, optimizer: Any = "adam", loss: Any = "sparse_categorical_crossentropy"
) -> Any:
    model.compile(optimizer=optimizer, loss=loss)
    return model


def stack(shape: tuple[int, ...], *layers: Any, **settings: Any) -> Any:
    return compiled(keras.Sequential([keras.Input(shape), *layers]), **settings)


def mlp(hidden: dict[str, Any] | None = None, head: Any = "softmax", **settings: Any) -> Any:
    """Digits through 64 units; `hidden` are further arguments of the hidden layer."""
    return stack(
        (28, 28, 1),
        layers.Flatten(),
        layers.Dense(64, activation="relu", **(hidden or {})),
        layers.Dense(10, activation=head),
        **settings,
    )


def conv(activation: str = "relu", conv: dict[str, Any] | None = None, **settings: Any) -> Any:
    """Digits through two convolutions; `conv` are further arguments of both."""
    more = conv or {}
    return stack(
        (28, 28, 1),
        layers.Conv2D(8, 5, strides=2, activation=activation, **more),
        layers.Conv2D(16, 3, strides=2, activation=activation, **more),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
        **settings,
    )


def tabular(head: Any = None, units: int = 1, features: int = 8, **settings: Any) -> Any:
    return stack(
        (features,),
        layers.Dense(32, activation="relu"),
        layers.Dense(units, activation=head),
        **settings,
    )


def adam(rate: Any) -> Any:
    return keras.optimizers.Adam(rate)


def sgd(rate: Any, **settings: Any) -> Any:
    return keras.optimizers.SGD(rate, **settings)


def question(variant: str) -> tuple[Any, dict[str, Any]]:
    from deepcaptcha import VARIANTS, build

    model = build(VARIANTS[variant].architecture)
    data = digits(scale=1, one_hot=True)
    data["y"] = data["y"][:, None]
    return compiled(model, loss="categorical_crossentropy"), data
