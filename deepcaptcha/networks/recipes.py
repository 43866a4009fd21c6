"""How the networks are trained: on which digits, how scaled, to which target.

Nothing here imports Keras before a source is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..errors import InputError, require_rate, require_text, require_whole
from ..keras.data import Array, Examples
from ..keras.settings import Training
from ..trials.trial import Target
from . import captcha
from .architecture import Architecture
from .build import build_network
from .digits import Digits, digit_strips, load_mnist
from .variants import Variant, find_variant

if TYPE_CHECKING:
    from ..keras.source import KerasSource

Scaling = Literal["raw", "unit", "ink"]


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run but the network and the seed.

    - `data`: what `load_mnist` takes, or `captcha` for drawn CAPTCHA images; the first `n_train`
      training images are used.
    - `n_validation` test images validate; where `validation_split` is set, the last share of the
      training images does instead, as Keras' own `validation_split` takes it.
    - `scaling`: `raw` leaves pixels 0..255, `unit` divides them by 255, `ink` takes that from 1, so
      that the white paper of a CAPTCHA is 0.
    - `n_prediction`: digits side by side in one image. `n_class`: labels are one-hot of that length.
    - `training`, `target`: as for any Keras source. Without a `chance` the target's is the share of the
      most frequent validation label.

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
    training: Training = field(default_factory=Training)
    target: Target = field(default_factory=Target)

    def __post_init__(self) -> None:
        for name in ("name", "data", "scaling"):
            require_text(f"recipe: {name}", getattr(self, name))
        for name in ("n_train", "n_validation", "n_prediction", "n_class"):
            require_whole(f"recipe {self.name}: {name}", getattr(self, name))
        if self.scaling not in get_args(Scaling):
            raise InputError(
                f"recipe {self.name}: scaling is {self.scaling!r}; 'raw', 'unit' or 'ink' is needed"
            )
        if self.validation_split is not None:
            require_rate(f"recipe {self.name}: validation_split", self.validation_split)

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of the data, by name."""
        others = ("name", "training", "target")
        return {name: value for name, value in vars(self).items() if name not in others}

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-ready, as a trial's identity has them."""
        settings = {**self.training.as_dict(), **self.target.as_dict()}
        return {"name": self.name, **self.facts, **settings}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_dict`; TypeError or KeyError for other fields."""
        target = Target.from_dict(fields)
        training = Training(**{name: fields[name] for name in Training().as_dict()})
        rest = fields.keys() - training.as_dict().keys() - target.as_dict().keys()
        return cls(**{name: fields[name] for name in rest}, training=training, target=target)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        if self.data == captcha.SOURCE:
            return captcha.HEIGHT, captcha.WIDTH, 1
        return 28, 28 * self.n_prediction, 1

    @property
    def pixels(self) -> str:
        """The range of its pixels, for people."""
        return {"raw": "0..255", "unit": "0..1", "ink": "0..1, ink as 1"}[self.scaling]

    def fit(self, architecture: Architecture) -> Architecture:
        """The architecture for the recipe's images, predictions and classes; InputError where its
        layers do not fit into such images."""
        return replace(
            architecture,
            input_shape=self.image_shape,
            n_prediction=self.n_prediction,
            n_class=self.n_class,
        )

    def source(
        self, network: str | Variant | Architecture, *, name: str | None = None
    ) -> KerasSource:
        """The trials of a network, by a variant's name or as it is, under this recipe.

        Raises InputError for an unknown variant, and where its layers do not fit into the images.
        """
        from ..keras.source import KerasSource

        own = "network"
        if isinstance(network, str):
            network = find_variant(network)
        if isinstance(network, Variant):
            own, network = network.name, network.architecture
        return KerasSource(
            build_network,
            load_digits,
            self.target,
            self.training,
            own if name is None else name,
            self.name,
            self.fit(network).arguments,
            self.facts,
            reuse_model=True,
        )


def load_digits(**facts: Any) -> Examples:
    """As `load_examples`, of a recipe with such facts."""
    return load_examples(Recipe("", **facts))


def load_examples(recipe: Recipe) -> Examples:
    """The recipe's images: x float32 (n, *image_shape), y float32 one-hot (n, n_prediction, n_class).

    Raises InputError where the source has too few digits or labels beyond n_class, or the package
    that draws CAPTCHA images is missing.
    """
    # Neither its name nor how it is trained on matters; the same facts give the same arrays.
    try:
        return _load(replace(recipe, name="", training=Training(), target=Target()))
    except _UnfitError as error:
        named = f"recipe {recipe.name}" if recipe.name else "the recipe"
        raise InputError(f"{named} {error}") from None


class _UnfitError(Exception):
    pass


@lru_cache(maxsize=2)
def _load(recipe: Recipe) -> Examples:
    train, share = _images(recipe, "training"), recipe.validation_split
    if share is None:
        validation = _images(recipe, "test")
    else:
        cut = math.floor(len(train.labels) * (1 - share))
        validation = Digits(train.images[cut:], train.labels[cut:])
        train = Digits(train.images[:cut], train.labels[:cut])
    if recipe.n_prediction > 1 and recipe.data != captcha.SOURCE:
        train = digit_strips(recipe.n_prediction, train, seed=0)
        validation = digit_strips(recipe.n_prediction, validation, seed=1)
    return Examples(*_encode(train, recipe), *_encode(validation, recipe))


def _images(recipe: Recipe, kind: Literal["training", "test"]) -> Digits:
    part, count = (0, recipe.n_train) if kind == "training" else (1, recipe.n_validation)
    if recipe.data == captcha.SOURCE:
        return captcha.load_captchas(count, recipe.n_prediction, seed=part)
    digits = load_mnist(recipe.data)[part]
    if count > len(digits.labels):
        raise _UnfitError(
            f"wants {count} {kind} digits and {recipe.data!r} has "
            f"{len(digits.labels)}; give --data the path of a larger mnist.npz, or 'keras'"
        )
    return Digits(digits.images[:count], digits.labels[:count])


def _encode(digits: Digits, recipe: Recipe) -> tuple[Array, Array]:
    labels = digits.labels.reshape(len(digits.labels), recipe.n_prediction)
    if labels.max(initial=0) >= recipe.n_class:
        raise _UnfitError(
            f"cannot have its labels encoded: label {labels.max()} is out of range for n_class "
            f"{recipe.n_class}; n_class of at least {labels.max() + 1} is needed"
        )
    x = digits.images[..., np.newaxis].astype(np.float32)
    if recipe.scaling != "raw":
        x /= np.float32(255)
    if recipe.scaling == "ink":
        np.subtract(1, x, out=x)
    return x, np.eye(recipe.n_class, dtype=np.float32)[labels]


_RAW = Recipe("raw-subset")
_SOUND = replace(_RAW, name="sound-subset", scaling="unit", target=Target(epochs=3))
_QUESTION = Recipe(
    "question", data="keras", n_train=60_000, validation_split=0.1, target=Target(epochs=10)
)
_CAPTCHA = Recipe(
    "captcha",
    data=captcha.SOURCE,
    n_train=40_000,  # of 20,000 the target is at the edge: `same-reshape-first` took 4 and 8 epochs
    scaling="ink",
    n_prediction=4,
    target=Target(epochs=3, monitor="val_string_accuracy", chance=1e-4),  # four digits guessed
)
_WHITE = replace(_CAPTCHA, name="captcha-white", scaling="unit")

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (_RAW, _SOUND, _QUESTION, _CAPTCHA, _WHITE)}
)


def find_recipe(name: str, data: str | None = None) -> Recipe:
    """The recipe of that name, on `data` where given; InputError with the known names if there is
    none."""
    if name not in RECIPES:
        raise InputError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name] if data is None else replace(RECIPES[name], data=data)
