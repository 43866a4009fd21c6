"""Whatever can be found wrong with a user's factory, data and callbacks before the first trial."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, error_words
from ..networks.recipes import Recipe
from ..plugin.marker import Declared, make_recipe
from ..trials.runner import Task
from ..trials.trial import Callbacks, make_callbacks, run_trial
from . import environment
from .data import Data, Pipelines, read_data
from .models import Factory, require_model

if TYPE_CHECKING:
    import keras


def prepare_task(
    build: Factory,
    train: Any,
    validation: Any,
    *,
    declared: Declared,
    recipe: Recipe | None = None,
    callbacks: Callbacks | None = None,
    version: str | None = None,
    name: str | None = None,
) -> Task:
    """A task whose trials can run: the data read, the factory called twice, the callbacks made twice
    and one batch trained and validated, as in a trial.

    Raises InputError for whatever does not fit together.
    """
    data = read_data(train, validation)
    own: dict[str, Any] = {}
    if isinstance(data, Pipelines):
        if "batch" in declared.training:
            raise InputError("a dataset brings its own batches; leave batch out of the marker")
        own = {"batch": data.batch}
    first, second = _build_twice(build)
    require_compiled(first, recipe)
    per_batch = callbacks is not None and _look_at_batches(callbacks)
    whole = make_recipe(
        declared,
        recipe,
        name=f"{data.n_train:,} examples" if recipe is None else recipe.name,
        data="given",
        n_train=data.n_train,
        n_validation=data.n_validation,
        validation_split=None,
        **own,
    )
    steps = 1 if per_batch else min(whole.steps_per_execution, data.steps(whole.batch))
    classes = _classes(first, whole, data.y_validation)
    whole = replace(whole, n_class=classes, steps_per_execution=steps)
    _rehearse(second, whole, data, callbacks)
    task_name = factory_name(build) if name is None else name
    return Task(task_name, build, whole, 0, False, data, callbacks, version)


def require_compiled(model: keras.Model, recipe: Recipe | None) -> None:
    """InputError for a model that is not compiled where no recipe says how it would be."""
    if not model.compiled and recipe is None:
        raise InputError(
            "the factory returns a model that is not compiled; compile it, or give a recipe with its "
            "optimizer and loss"
        )


def factory_name(build: Factory) -> str:
    """The name of a function, also of one that `functools.partial` wraps, or of an object's class."""
    while isinstance(build, partial):
        build = build.func
    return str(getattr(build, "__name__", type(build).__name__))


def _build_twice(build: Factory) -> tuple[keras.Model, keras.Model]:
    keras = environment.load_keras()
    _require_no_arguments(build)
    models = []
    for _ in range(2):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        models.append(require_model(build))
    first, second = models
    if first is second:
        raise InputError(
            "the factory returned the same model twice; a new one is needed for every trial, or each "
            "would start from the last one's weights"
        )
    # The weights as well: a layer may be shared inside another one that is new.
    parts = [[*model.layers, *model.weights] for model in (first, second)]
    if shared := [a.path or a.name for a in parts[0] if any(a is b for b in parts[1])]:
        raise InputError(
            f"two models of the factory share {shared[0]} and so weights; it must make new layers each "
            "time"
        )
    optimizer = getattr(first, "optimizer", None)
    if optimizer is not None and optimizer is second.optimizer:
        raise InputError(
            "two models of the factory share one optimizer and so its memory; it must make a new one "
            "each time"
        )
    return first, second


def _require_no_arguments(build: Factory) -> None:
    try:
        inspect.signature(build).bind()
    except TypeError as error:  # also for what cannot be called, which `require_model` explains
        if callable(build):
            raise InputError(
                f"the factory {factory_name(build)} cannot be called without arguments ({error}); wrap "
                "it with functools.partial"
            ) from None
    except ValueError:
        pass  # written in C, without a signature


def _look_at_batches(callbacks: Callbacks) -> bool:
    """Whether any callback looks at single batches; InputError unless they are new ones each time."""
    base = environment.load_keras().callbacks.Callback
    first, second = make_callbacks(callbacks), make_callbacks(callbacks)
    if shared := [type(a).__name__ for a in first if any(a is b for b in second)]:
        raise InputError(
            f"callbacks returned the same {shared[0]} twice; it must make new ones for every trial"
        )
    hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return any(
        getattr(getattr(one, hook), "__func__", None) is not getattr(base, hook)
        for one in first
        for hook in hooks
    )


def _classes(model: keras.Model, recipe: Recipe, labels: Any) -> int:
    """How many classes guessing would choose from; 1 where the loss does not choose, or from what
    cannot be told."""
    loss, *others = environment.load_tensorflow().nest.flatten(
        model.loss if model.compiled else recipe.loss
    )
    if others:
        return 1
    words = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    words = words.lower().replace("_", "")
    if "crossentropy" not in words or not _are_numbers(labels):
        return 1
    if "sparse" in words:
        return int(labels.max()) + 1
    return 2 if "binary" in words else int(labels.shape[-1])


def _are_numbers(labels: Any) -> bool:
    return (
        isinstance(labels, np.ndarray)
        and labels.dtype.kind in "biuf"
        and bool(np.isfinite(labels).all())
    )


def _rehearse(model: keras.Model, recipe: Recipe, data: Data, callbacks: Callbacks | None) -> None:
    try:
        run_trial(
            lambda: model,
            replace(recipe, epochs=1),
            0,
            examples=data.head(recipe.batch),
            callbacks=callbacks,
        )
    except InputError:
        raise
    except environment.keras_errors() as error:
        raise InputError(f"one batch could not be trained: {error_words(error)}") from error
