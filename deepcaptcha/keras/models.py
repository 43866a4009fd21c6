"""A trial's model: newly built from its seed, or a traced one put back to its start."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..networks.recipes import Recipe
from . import environment, training
from .data import Data

if TYPE_CHECKING:
    import keras

Factory = Callable[[], "keras.Model"]


def prepare_model(
    build: Factory,
    recipe: Recipe,
    examples: Data,
    seed: int,
    traced: dict[bytes, training.Prepared] | None = None,
) -> training.Prepared:
    """A compiled model whose weights are those that `build()` draws from the seed.

    `traced` keeps them between trials of one picklable factory and recipe, which saves tracing them
    again; only for factories whose model depends on nothing but the seed. One that draws from
    TensorFlow's own generators is built anew each time all the same.

    Raises InputError for a factory that returns no model, or data that does not fit the model.
    """
    if traced is None:
        return training.prepare(new_model(build, recipe, examples, seed), recipe, examples)
    key = pickle.dumps((build, recipe))
    if key in traced:
        traced[key].restart(_draw_again(build, recipe, examples, seed))
        return traced[key]
    prepared = training.prepare(new_model(build, recipe, examples, seed), recipe, examples)
    if prepared.starts_as(_draw_again(build, recipe, examples, seed)):
        traced[key] = prepared
    return prepared


def new_model(build: Factory, recipe: Recipe, examples: Data, seed: int) -> keras.Model:
    """A trial's model, its weights drawn from the seed, fit for the examples; else InputError."""
    keras = environment.load_keras()
    # Automatic names start again from one, so that the same factory has the same configuration each
    # time; and models of earlier trials, caught in reference cycles, are freed.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    return _fitting_model(build, recipe, examples)


def _draw_again(build: Factory, recipe: Recipe, examples: Data, seed: int) -> keras.Model:
    """As `new_model`, from Python's and NumPy's seeds alone. Setting TensorFlow's as well, or clearing
    the session, would have it start every traced function anew."""
    random.seed(seed)
    np.random.seed(seed)
    return _fitting_model(build, recipe, examples)


def _fitting_model(build: Factory, recipe: Recipe, examples: Data) -> keras.Model:
    model = require_model(build)
    training.require_fit(model, recipe, examples)
    if not model.built:
        model(examples.first[0])  # its weights are drawn here, from the seed
    return model


def require_model(build: Factory) -> keras.Model:
    """What `build()` returns, if it is a Keras model; else InputError saying what it is instead."""
    keras = environment.load_keras()
    if not callable(build):
        raise InputError(f"the factory is {build!r}; a callable without arguments is needed")
    model = build()
    if not isinstance(model, keras.Model):
        raise InputError(
            f"the factory returned {type(model).__name__}; a new keras.Model each time is needed"
        )
    return model
