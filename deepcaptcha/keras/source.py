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

from ..errors import InputError
from ..trials.source import OWN_RECIPE, function_name, without_addresses
from ..trials.trial import SEED_LIMIT, Identity, Target, Trial
from ..trials.worker import is_worker
from . import environment
from .backend import TENSORFLOW, keras
from .data import Data, Part, Pipelines
from .digests import LENGTH, Digests, make_digests
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
    takes_a_seed,
)
from .fresh import Ends, hash_arrays
from .settings import Training
from .training import Prepared, compile_model

PROTOCOL = 1
"""Raised by hand whenever training itself changes, so that no old record passes for a new one."""

_MODELS_KEPT = 12  # traced models a process holds, some 22 MB each
_traced: dict[bytes, Prepared] = {}  # of this process
_ends = Ends()  # likewise

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
    - `callbacks`: makes a list of new Keras callbacks for each trial, whose seed it is given if it takes
      one argument; the trial then gets no proof of being stuck: they may change what it relies on.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or function_name(self.build))
        require_arguments(self.name, self.build, self.arguments)

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
        with environment.own_device():
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
        weights = prepared.model.get_weights()
        _ends.keep((self.name, self.recipe), seed, ready.start, hash_arrays(weights))
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
            weights_sha256=hash_weights(weights),
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
        return environment.training_code()

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
        environment.require_single_thread()
        _freeze_loaded_objects()
        _ready.clear()
        while len(_traced) > _MODELS_KEPT:
            del _traced[next(iter(_traced))]  # the one traced first
        data = self.examples
        data.require_unchanged()  # from its first trial on
        traced = _traced if self.reuse_model and TENSORFLOW else None
        prepared = prepare_model(self.factory, self.training, self.target, data, seed, traced)
        data.require_unchanged()
        callbacks = make_callbacks(self.callbacks, seed)
        described = callbacks
        if self.callbacks is not None and takes_a_seed(self.callbacks):
            # A trial's own folder for its logs makes no other trial of it.
            described = make_callbacks(self.callbacks, 0)
        model, batch = prepared.model, self.training.batch
        start = hash_arrays(model.get_weights())
        _ends.require_left((self.name, self.recipe), start)
        digests = make_digests(model, data, self.target, described, batch, seed, self.version)
        identity = self._identify(model, seed, data, described)
        if "code" not in digests:  # so that none that was trained without such code is the same
            identity = {**identity, "own_code": True}
        found = data, prepared, start, identity, digests, callbacks
        _ready.append(_Ready(self, seed, *found, _random_states()))
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
            "environment": environment.describe_here(),
            "protocol": PROTOCOL,
        }


@dataclass(frozen=True, eq=False)
class _Ready:
    source: KerasSource
    seed: int
    data: Data
    prepared: Prepared
    start: Sequence[str]
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


def require_arguments(name: str, build: object, arguments: Mapping[str, object]) -> None:
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
    _ends.forget()


@cache
def _freeze_loaded_objects() -> None:
    """In a worker of our own, whose factory's module may have imported TensorFlow before we could."""
    if is_worker():
        environment.freeze_loaded_objects()
