"""Trials of any Keras factory."""

from __future__ import annotations

import inspect
import pickle
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import InputError, error_words
from ..trials.source import OWN_RECIPE, function_name, without_addresses
from ..trials.trial import SEED_LIMIT, Identity, Target, Trial
from ..trials.worker import is_worker
from . import environment
from .backend import KERAS_ERRORS, keras, tf
from .data import Data, Part, Pipelines, read_data
from .digests import LENGTH, Digests, compiled_text, make_digests, training_code
from .fit import (
    EARLY_STEPS,
    Callbacks,
    Factory,
    Further,
    Probe,
    Run,
    describe_callback,
    fit_run,
    hash_configuration,
    hash_weights,
    make_callbacks,
    prepare_model,
    require_model,
)
from .settings import Training
from .training import Prepared, compile_model

PROTOCOL = 1
"""Raised by hand whenever training itself changes, so that no old record passes for a new one."""

_MODELS_KEPT = 12  # traced models a process holds, some 22 MB each
_traced: dict[bytes, Prepared] = {}  # of this process

_TRAINING_FIELDS = tuple(each.name for each in fields(Training))
_TARGET_FIELDS = tuple(Target().as_dict())


@dataclass(frozen=True, eq=False)
class KerasSource:
    """Trials of what `build(**arguments)` returns.

    - `build`: returns a new Keras model each time, compiled; or not, and `training` compiles it.
    - `data`: what trains and validates (`deepcaptcha.keras.data.read_data`), or a function that loads
      it, called with `facts` by name.
    - `target`, `training`: what is to be reached, and how.
    - `name`, `recipe`: what trains and how, for people; together they name a row of trials.
    - `facts`: what is recorded of the data, and can be changed where a function loads it.
    - `callbacks`: makes a list of new Keras callbacks for each trial, which then gets no proof of being
      stuck: they may change what the proof relies on.
    - `version`: change it when code changes that no configuration shows (of a subclassed model, a loss,
      a callback).
    - `reuse_model`: `build` and its arguments pickle, and the model depends on nothing but the seed, so
      that a process may trace it once.
    - `compiled`: what the model was compiled with, for people, where one was built already.
    - `probes`: measured along the way. `further`: metrics of an epoch beside those that Keras logs; its
      repr joins a trial's identity. `stop_when_frozen`: False trains on after the proof.

    Raises InputError for arguments that the factory does not take.
    """

    build: Factory
    data: Data | Callable[..., Data]
    target: Target
    training: Training = field(default_factory=Training)
    name: str = ""
    recipe: str = OWN_RECIPE
    arguments: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    callbacks: Callbacks | None = None
    version: str | None = None
    reuse_model: bool = False
    probes: tuple[Probe, ...] = ()
    further: Further | None = None
    stop_when_frozen: bool = True
    compiled: str = field(default="", repr=False)
    _any_threads: bool = field(default=False, repr=False)  # only tried in this process

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or function_name(self.build))
        _require_arguments(self.name, self.build, self.arguments)

    @property
    def factory(self) -> Callable[[], keras.Model]:
        """The model's factory without arguments."""
        return partial(self.build, **self.arguments) if self.arguments else self.build

    @property
    def examples(self) -> Data:
        """The data, loaded where a function does."""
        return self.data(**self.facts) if callable(self.data) else self.data

    @property
    def base(self) -> Mapping[str, object]:
        """What no setting says."""
        return {
            "factories": self.build,
            "argument names": frozenset(self.arguments),
            "data": self.data,
            "callbacks": self.callbacks,
            "versions": self.version,
        }

    @property
    def settings(self) -> Mapping[str, object]:
        """Arguments, and what an identity records of data, training and target, by name. An argument
        and a setting of one name are one thing: the argument."""
        return MappingProxyType({**self.arguments, **self.recorded, **self.arguments})

    @property
    def recorded(self) -> dict[str, object]:
        """What is recorded of data, training and target, JSON-ready; the arguments are seen in the
        model's configuration."""
        return {**self.facts, **self.training.as_dict(), **self.target.as_dict()}

    def replace(self, name: str, recipe: str | None = None, **changes: object) -> KerasSource:
        """The same under another name, with settings changed, each of them in whatever has it.

        Raises InputError for an unknown setting, data that are given and not loaded, and values that
        cannot be.
        """
        known = (*self.arguments, *self.facts, *_TRAINING_FIELDS, *_TARGET_FIELDS)
        if unknown := [key for key in changes if key not in known]:
            raise InputError(f"nothing is named {unknown[0]!r}; known: {', '.join(known)}")
        if not callable(self.data) and (given := [key for key in changes if key in self.facts]):
            raise InputError(f"{given[0]} is of data that are given; a function must load them")

        def changed(part: Mapping[str, object]) -> dict[str, Any]:
            return {**part, **{key: changes[key] for key in changes if key in part}}

        target = changed(self.target.as_dict())
        others = [key for key in changes if key in self.recorded]
        if recipe is None:
            recipe = f"{self.recipe} + {', '.join(others)}" if others else self.recipe
        return replace(
            self,
            name=name,
            recipe=recipe,
            arguments=changed(self.arguments),
            facts=changed(self.facts),
            training=Training(**changed(self.training.as_dict())),
            target=Target.from_dict(target),
        )

    def identity(self, seed: int) -> Identity:
        """The model's configuration, compile settings and initial weights; what is `recorded`; digests
        of the data; seed, environment and protocol. Code is not looked into."""
        return self._make_ready(seed).identity

    def run(self, seed: int, *, steps: int | None = None) -> Trial:
        """Train once, in this process, and report how it went; `steps` counts batches.

        Raises InputError for a seed out of range, a factory that returns no model, data that do not
        fit it, callbacks that no function makes, and where TensorFlow runs more than one thread.
        """
        began = time.perf_counter()
        ready = self._make_ready(seed)
        _ready.clear()
        prepared, identity = ready.prepared, ready.identity
        run = Run(prepared.model, ready.data, self.training, self.target, prepared.kept)
        fit_run(
            run,
            prepared,
            seed,
            callbacks=ready.callbacks,
            probes=self.probes,
            further=self.further,
            stop_when_frozen=self.stop_when_frozen,
            steps=steps,
        )
        reached = len(run.epochs) if run.converged else None
        return Trial(
            name=self.name,
            recipe=self.recipe,
            seed=seed,
            outcome=run.outcome,
            stop_reason=run.stop_reason,
            epochs_to_target=reached,
            steps_to_target=reached and reached * run.steps_per_epoch,
            frozen_at_step=run.frozen_at_step,
            epochs=tuple(run.epochs),
            seconds=round(time.perf_counter() - began, 3),
            weights_sha256=hash_weights(prepared.model.get_weights()),
            identity=identity if run.stop_reason != "steps" else {**identity, "steps": steps},
            probes=run.measured,
            digests=_with_early_weights(ready.digests, run),
            first_loss=run.first_loss,
        )

    @property
    def length(self) -> tuple[int, int]:
        """How long a trial is: examples in a batch, and epochs."""
        return self.training.batch, self.target.epochs

    @property
    def code(self) -> str:
        """A digest of the code that trains, other than what a user brings; a trial has it among its
        digests where that is all the code there is."""
        return training_code()

    def start(self, seed: int) -> tuple[keras.Model, Part, Part, tuple[Part, Part] | None]:
        """What a check before training takes: the compiled model as it begins the trial of this seed,
        training inputs and labels, and such a pair that validates. Of pipelines: the first batch, and
        nothing that validates."""
        data = self.examples
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = require_model(self.factory)
        if not model.compiled:
            compile_model(model, self.training, self.target, data)
        if isinstance(data, Pipelines):
            return model, *data.first, None
        return model, data.x_train, data.y_train, (data.x_validation, data.y_validation)

    def _make_ready(self, seed: int) -> _Ready:
        """A model at its start, with its identity, kept until it is trained or another is made."""
        if type(seed) is not int or not 0 <= seed < SEED_LIMIT:
            raise InputError(f"seed is {seed!r}; a whole number from 0 to 2**32 - 1 is needed")
        random_states = _random_states()
        for ready in _ready:
            if (ready.source, ready.seed, ready.random_states) == (self, seed, random_states):
                return ready
        if not self._any_threads:
            environment.require_single_thread()
        _freeze_loaded_objects()
        _ready.clear()
        while len(_traced) > _MODELS_KEPT:
            del _traced[next(iter(_traced))]  # the one traced first
        data = self.examples
        traced = _traced if self.reuse_model else None
        prepared = prepare_model(self.factory, self.training, self.target, data, seed, traced)
        callbacks = make_callbacks(self.callbacks)
        model, batch = prepared.model, self.training.batch
        digests = make_digests(model, data, self.target, callbacks, batch, seed, self.version)
        identity = self._identify(model, seed, data, callbacks)
        if "code" not in digests:  # so that none that was trained without such code is the same
            identity = {**identity, "own_code": True}
        _ready.append(
            _Ready(self, seed, data, prepared, identity, digests, callbacks, _random_states())
        )
        return _ready[0]

    def _identify(
        self,
        model: keras.Model,
        seed: int,
        data: Data,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> Identity:
        extra: dict[str, object] = {} if self.version is None else {"version": self.version}
        if callbacks:
            extra["callbacks"] = [describe_callback(callback) for callback in callbacks]
        if self.further is not None:
            extra["further"] = without_addresses(self.further)
        return {
            **extra,
            "factory": hash_configuration(model),
            "shapes": [list(weight.shape) for weight in model.get_weights()],
            "initial_weights": hash_weights(model.get_weights()),
            "recipe": {"name": self.recipe, **self.recorded},
            "data": data.sha256,
            "seed": seed,
            "environment": environment.describe(),
            "protocol": PROTOCOL,
        }


@dataclass(frozen=True, eq=False)
class _Ready:
    source: KerasSource
    seed: int
    data: Data
    prepared: Prepared
    identity: Identity
    digests: Digests
    callbacks: Sequence[keras.callbacks.Callback]
    random_states: tuple[object, ...]


def _with_early_weights(digests: Digests, run: Run) -> Digests:
    if run.early_weights is None:
        return digests
    return {
        **digests,
        f"weights after {EARLY_STEPS} steps": hash_weights(run.early_weights)[:LENGTH],
    }


# At most one a process: two could share a traced model. Whoever draws random numbers in between spoils
# it, since a model may draw on while it is trained.
_ready: list[_Ready] = []


def _random_states() -> tuple[object, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state())


def _require_arguments(name: str, build: object, arguments: Mapping[str, object]) -> None:
    """InputError unless `build(**arguments)` can be called."""
    if isinstance(build, keras.Model):
        raise InputError(
            f"{build.name} is a model; a function that makes a new one for every training is needed: "
            "convergence.check(build_model, ...), where build_model() returns it"
        )
    if not callable(build):
        raise InputError(f"the factory is {build!r}; a callable without arguments is needed")
    try:
        inspect.signature(build).bind(**arguments)
    except TypeError as error:
        if arguments:
            raise InputError(f"{name}: the factory does not take its arguments: {error}") from None
        raise InputError(
            f"the factory {name} cannot be called without arguments ({error}); give "
            f"functools.partial({name}, {_needed(build)})"
        ) from None
    except ValueError:
        pass  # written in C, without a signature


def _needed(build: Callable[..., object]) -> str:
    """The arguments without a default, such as `rate=...`."""
    given = inspect.signature(build).parameters.values()
    return ", ".join(
        f"{each.name}=..." if each.kind is not each.POSITIONAL_ONLY else "..."
        for each in given
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    )


def forget_models() -> None:
    """Let go of the models of this process; a pytest worker does between two factories."""
    _traced.clear()
    _ready.clear()


@cache
def _freeze_loaded_objects() -> None:
    """In a worker of our own, whose factory's module may have imported TensorFlow before we could."""
    if is_worker():
        environment.freeze_loaded_objects()


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
    elsewhere: bool = False,
    tried: bool = True,
) -> KerasSource:
    """A source whose trials can run: the data read, the factory called twice, the callbacks made twice
    and one batch trained and validated, as in a trial.

    - `train`, `validation`: as `read_data` takes them. `batch`: examples in a batch, in place of the
      training's, which datasets bring themselves.
    - `elsewhere`: trials run in other processes, and this one may have as many threads as it likes.
    - `tried`: False trains no batch, for whoever looks for what makes that possible.
    - the rest as for `KerasSource`.

    Raises InputError for whatever does not fit together.
    """
    if not elsewhere:
        environment.require_single_thread()  # before the first model is made
    _require_arguments(function_name(build), build, {})
    data = read_data(train, validation)
    first, second = _build_twice(build)
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
            _any_threads=elsewhere,
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


def _look_at_batches(callbacks: Callbacks) -> bool:
    """Whether any callback looks at single batches; InputError unless they are new ones each time."""
    first, second = make_callbacks(callbacks), make_callbacks(callbacks)
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
    loss, *others = tf.nest.flatten(model.loss if model.compiled else settings.loss)
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
