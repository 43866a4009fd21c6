"""How a model is trained: data, scaling, optimizer, loss, batch, epochs and target.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..keras.examples import Examples as Examples
from . import captcha as captcha_images
from .digits import Digits, digit_strips, load_mnist

Scaling = Literal["raw", "unit", "ink"]
Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run but the model and the seed.

    - `data`: what `load_mnist` takes, or `captcha` for drawn CAPTCHA images; the first `n_train`
      training images are used.
    - `n_validation` test images validate; where `validation_split` is set, the last share of the
      training images does instead, as Keras' own `validation_split` takes it.
    - `scaling`: `raw` leaves pixels 0..255, `unit` divides them by 255, `ink` takes that from 1, so
      that the white paper of a CAPTCHA is 0.
    - `n_prediction`: digits side by side in one image. `n_class`: labels are one-hot of that length.
    - `optimizer`, `optimizer_settings`, `loss`: as Keras names them, for an uncompiled model; a
      compiled one keeps its own. A model whose output layer is named `logits` has the loss taken
      from logits.
    - target: `monitor` at least (`mode` max) or at most (min) `target` at the end of one of the first
      `epochs` epochs.
    - `chance`: what `monitor` shows for a model that learned nothing; None: for an accuracy, the
      share of the most frequent validation label.
    - `steps_per_execution`: batches between two looks at the run.

    Raises InputError for values out of range.
    """

    name: str
    data: str = "subset"
    n_train: int = 6400
    n_validation: int = 2000
    validation_split: float | None = None
    scaling: Scaling = "raw"
    n_prediction: int = 1
    n_class: int = 10
    optimizer: str = "adam"
    optimizer_settings: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 0.001})
    loss: str = "categorical_crossentropy"
    batch: int = 32
    epochs: int = 5
    monitor: str = "val_accuracy"
    mode: Mode = "max"
    target: float = 0.90
    chance: float | None = None
    steps_per_execution: int = 50

    def __post_init__(self) -> None:
        settings = MappingProxyType(dict(self.optimizer_settings))
        object.__setattr__(self, "optimizer_settings", settings)
        for name in (
            "n_train",
            "n_validation",
            "n_prediction",
            "batch",
            "epochs",
            "steps_per_execution",
        ):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                self._refuse(f"{name} is {value!r}; a whole number >= 1 is needed")
        if self.scaling not in get_args(Scaling):
            self._refuse(f"scaling is {self.scaling!r}; 'raw', 'unit' or 'ink' is needed")
        if self.mode not in get_args(Mode):
            self._refuse(f"mode is {self.mode!r}; 'max' or 'min' is needed")
        if self.validation_split is not None and not 0 < self.validation_split < 1:
            self._refuse(
                f"validation_split is {self.validation_split!r}; between 0 and 1 is needed"
            )
        if not math.isfinite(self.target):
            self._refuse(f"target is {self.target!r}; a finite number is needed")
        if "accuracy" in self.monitor and not 0 < self.target <= 1:
            self._refuse(f"target is {self.target!r}; an accuracy lies above 0 and at most at 1")
        try:
            json.dumps(self.as_dict(), allow_nan=False)
        except (TypeError, ValueError) as error:
            self._refuse(
                f"it cannot be recorded as JSON ({error}); plain finite numbers are needed"
            )

    def _refuse(self, problem: str) -> None:
        raise InputError(f"recipe {self.name}: {problem}")

    def __hash__(self) -> int:
        return hash((self.name, self.data, self.n_train, self.scaling, self.n_prediction))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy does not pickle; the fields as they were given do.
        return partial(Recipe, **self.as_dict()), ()

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-ready."""
        return {**self.__dict__, "optimizer_settings": dict(self.optimizer_settings)}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        if self.data == captcha_images.SOURCE:
            return captcha_images.HEIGHT, captcha_images.WIDTH, 1
        return 28, 28 * self.n_prediction, 1

    @property
    def pixels(self) -> str:
        """The range of its pixels, for people."""
        return {"raw": "0..255", "unit": "0..1", "ink": "0..1, ink as 1"}[self.scaling]

    def meets_target(self, value: float) -> bool:
        """Whether `value` of the monitored metric reaches the target; never true for NaN."""
        return value >= self.target if self.mode == "max" else value <= self.target


def target_text(recipe: Mapping[str, Any]) -> str:
    """The target of a recipe as `as_dict` gives it: `val_accuracy >= 0.9 within 5 epochs`."""
    sign = ">=" if recipe["mode"] == "max" else "<="
    return f"{recipe['monitor']} {sign} {recipe['target']:g} within {recipe['epochs']} epochs"


@lru_cache(maxsize=2)
def load_examples(recipe: Recipe) -> Examples:
    """The recipe's images: x float32 (n, *image_shape), y float32 one-hot (n, n_prediction, n_class).

    Raises InputError where the source has too few digits or labels beyond n_class, or the package
    that draws CAPTCHA images is missing.
    """
    load = _captchas if recipe.data == captcha_images.SOURCE else _strips
    train, validation = load(recipe)
    return Examples(*_encode(train, recipe), *_encode(validation, recipe))


def _captchas(recipe: Recipe) -> tuple[Digits, Digits]:
    train = captcha_images.load_captchas(recipe.n_train, recipe.n_prediction, seed=0)
    if recipe.validation_split is not None:
        return _split(train, recipe.validation_split)
    return train, captcha_images.load_captchas(recipe.n_validation, recipe.n_prediction, seed=1)


def _strips(recipe: Recipe) -> tuple[Digits, Digits]:
    train, test = load_mnist(recipe.data)
    train = _first(train, recipe.n_train, "training", recipe)
    if recipe.validation_split is None:
        validation = _first(test, recipe.n_validation, "test", recipe)
    else:
        train, validation = _split(train, recipe.validation_split)
    if recipe.n_prediction == 1:
        return train, validation
    return (
        digit_strips(recipe.n_prediction, train, seed=0),
        digit_strips(recipe.n_prediction, validation, seed=1),
    )


def _split(digits: Digits, share: float) -> tuple[Digits, Digits]:
    cut = math.floor(len(digits.labels) * (1 - share))
    return (
        Digits(digits.images[:cut], digits.labels[:cut]),
        Digits(digits.images[cut:], digits.labels[cut:]),
    )


def _first(digits: Digits, count: int, kind: str, recipe: Recipe) -> Digits:
    if count > len(digits.labels):
        raise InputError(
            f"recipe {recipe.name} wants {count} {kind} digits and {recipe.data!r} has "
            f"{len(digits.labels)}; give --data the path of a larger mnist.npz, or 'keras'"
        )
    return Digits(digits.images[:count], digits.labels[:count])


def _encode(digits: Digits, recipe: Recipe) -> tuple[NDArray[Any], NDArray[Any]]:
    labels = digits.labels.reshape(len(digits.labels), recipe.n_prediction)
    if labels.max(initial=0) >= recipe.n_class:
        raise InputError(
            f"recipe {recipe.name}: label {labels.max()} is out of range for n_class "
            f"{recipe.n_class}; n_class of at least {labels.max() + 1} is needed"
        )
    x = digits.images[..., np.newaxis].astype(np.float32)
    if recipe.scaling != "raw":
        x /= np.float32(255)
    if recipe.scaling == "ink":
        np.subtract(1, x, out=x)
    return x, np.eye(recipe.n_class, dtype=np.float32)[labels]


_RAW = Recipe(name="raw-subset")
_CAPTCHA = Recipe(
    name="captcha",
    data=captcha_images.SOURCE,
    n_train=40_000,  # of 20,000 the target is at the edge: `same-reshape-first` took 4 and 8 epochs
    scaling="ink",
    n_prediction=4,
    epochs=3,
    monitor="val_string_accuracy",
    chance=1e-4,  # four digits guessed
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            _RAW,
            replace(_RAW, name="sound-subset", scaling="unit", epochs=3),
            replace(
                _RAW,
                name="question",
                data="keras",
                n_train=60_000,
                validation_split=0.1,
                epochs=10,
            ),
            _CAPTCHA,
            replace(_CAPTCHA, name="captcha-white", scaling="unit"),
        )
    }
)


def find_recipe(name: str, data: str | None = None) -> Recipe:
    """The recipe of that name, on `data` where given; InputError with the known names if there is
    none."""
    try:
        recipe = RECIPES[name]
    except KeyError:
        raise InputError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}") from None
    return recipe if data is None else replace(recipe, data=data)
