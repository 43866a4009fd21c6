"""A user's factory, data and callbacks, tried before the first trial: what fits together is a source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError, error_words
from ..trials.source import function_name
from ..trials.trial import Target
from . import environment
from .backend import KERAS_ERRORS, keras
from .data import Part, Pipelines, read_data
from .digests import compiled_text
from .fit import Callbacks, Factory, make_callbacks, require_model
from .fresh import require_new
from .settings import Training
from .source import KerasSource, require_arguments


def rehearsed_source(
    build: Factory,
    train: Part,
    validation: Part,
    target: Target,
    *,
    training: Training | None = None,
    batch: int | None = None,
    callbacks: Callbacks | None = None,
    version: str | None = None,
    name: str | None = None,
    tried: bool = True,
) -> KerasSource:
    """A source whose trials can run: the data read, the factory called twice, the callbacks made twice
    and one batch trained and validated, as in a trial.

    - `train`, `validation`: as `read_data` takes them. `batch`: examples in a batch, in place of the
      training's, which datasets bring themselves.
    - `tried`: False trains no batch, for whoever looks for what makes that possible.
    - the rest as for `KerasSource`.

    Raises InputError for whatever does not fit together.
    """
    environment.require_single_thread()  # before the first model is made
    require_arguments(function_name(build), build, {})
    data = read_data(train, validation)
    data.require_unchanged()  # from here on
    first, second = _build_twice(build)
    data.require_unchanged(whole=True)
    require_compiled(first, training)
    settings = Training() if training is None else training
    if isinstance(data, Pipelines):
        if batch is not None:
            raise InputError("a dataset brings its own batches; leave batch out of the marker")
        batch = data.batch
    settings = settings if batch is None else replace(settings, batch=batch)
    per_batch = callbacks is not None and _look_at_batches(callbacks)
    steps = 1 if per_batch else min(settings.steps_per_execution, data.steps(settings.batch))
    source = KerasSource(
        build,
        data,
        target,
        replace(settings, steps_per_execution=steps),
        function_name(build) if name is None else name,
        f"{data.n_train:,} examples",
        facts={
            "data": "given",
            "n_train": data.n_train,
            "n_validation": data.n_validation,
            "validation_split": None,
            "scaling": "raw",
            "n_prediction": 1,
            "n_class": _classes(first, settings, data.y_validation),
        },
        callbacks=callbacks,
        version=version,
    )
    if not tried:
        return source
    try:
        replace(
            source,
            build=lambda: second,
            data=data.head(settings.batch),
            target=replace(target, epochs=1),
        ).run(0)
    except InputError:
        raise
    except KERAS_ERRORS as error:
        raise InputError(f"one batch could not be trained: {error_words(error)}") from error
    return replace(source, compiled=compiled_text(second))


def require_compiled(model: keras.Model, training: Training | None) -> None:
    """InputError for a model that is not compiled where nothing says how it would be."""
    if not model.compiled and training is None:
        raise InputError(
            "the factory returns a model that is not compiled; compile it, or give a training with its "
            "optimizer and loss"
        )


def _build_twice(build: Factory) -> tuple[keras.Model, keras.Model]:
    models = []
    for _ in range(2):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        models.append(require_model(build))
    first, second = models
    require_new(first)
    require_new(second, remembered=False)  # it will be, as it is tried
    return first, second


def _look_at_batches(callbacks: Callbacks) -> bool:
    """Whether any callback looks at single batches; InputError unless they are new ones each time."""
    first, second = make_callbacks(callbacks, 0), make_callbacks(callbacks, 0)
    if shared := [type(a).__name__ for a in first if any(a is b for b in second)]:
        raise InputError(
            f"callbacks returned the same {shared[0]} twice; it must make new ones for every trial"
        )
    hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    base = keras.callbacks.Callback
    return any(
        getattr(getattr(one, hook), "__func__", None) is not getattr(base, hook)
        for one in first
        for hook in hooks
    )


def _classes(model: keras.Model, settings: Training, labels: object) -> int:
    """How many classes guessing would choose from; 1 where the loss does not choose, or from what
    cannot be told."""
    loss, *others = keras.tree.flatten(model.loss if model.compiled else settings.loss)
    if others:
        return 1
    words = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    words = words.lower().replace("_", "")
    numbers = (
        isinstance(labels, np.ndarray)
        and labels.dtype.kind in "biuf"
        and bool(np.isfinite(labels).all())
    )
    if "crossentropy" not in words or not numbers:
        return 1
    assert isinstance(labels, np.ndarray)
    if "sparse" in words:
        return int(labels.max()) + 1
    return 2 if "binary" in words else int(labels.shape[-1])
