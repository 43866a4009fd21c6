"""One training of a Keras model: its weights drawn from a seed, fitted until target, proof or end.

A trial is a pure function of model, data, training, target, seed and environment: two runs agree bit
for bit.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import pickle
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..errors import InputError, did_you_mean
from ..trials.source import without_addresses
from ..trials.trial import Epoch, Outcome, StopReason, Target, outcome_of
from . import frozen, training
from .backend import TENSORFLOW, keras
from .data import Array, Data, Examples
from .fresh import require_new
from .settings import Training
from .training import Kept

Factory = Callable[..., keras.Model]
Further = Callable[["Run"], Mapping[str, float]]
"""Metrics of an epoch beside those that Keras logs, at its end; it must not change the run."""
Callbacks = (
    Callable[[], Sequence[keras.callbacks.Callback]]
    | Callable[[int], Sequence[keras.callbacks.Callback]]
)
Moment = Literal["start", "execution", "epoch", "end"]
Arrays = list[Array]

EARLY_STEPS = 50
"""The weights are kept after so many steps, and the training loss every so many, in the first
EARLY_EPOCHS epochs."""

EARLY_EPOCHS = 2
EARLY_LOSSES = 40
"""How many losses a trial keeps at most."""


@dataclass(frozen=True)
class Probe:
    """A measurement taken along with a trial: `measure(run)` is called at the moments named, and what
    it returns, unless None, joins the record under `name` as [step, value]. It must not change the
    run; what it returns must be JSON-ready."""

    name: str
    measure: Callable[[Run], object]
    at: tuple[Moment, ...] = ("epoch",)


@dataclass
class Run:
    """The state of a trial while it runs; what probes see. `step` counts batches; in `kept` a probe may
    leave what it traced, for later trials of the same traced model. `early_weights` are those after
    EARLY_STEPS, `first_loss` that of the first batch before any update; None where nobody saw them."""

    model: keras.Model
    data: Data
    training: Training
    target: Target
    kept: Kept
    step: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    stop_reason: StopReason = "epochs"
    frozen_at_step: int | None = None
    converged: bool = False
    finite: bool = True
    first_loss: float | None = None
    early_weights: Arrays | None = None
    measured: dict[str, list[list[object]]] = field(default_factory=dict)

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one possibly smaller."""
        return self.data.steps(self.training.batch)

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        return outcome_of(
            self.epochs,
            self.target,
            self._chance(),
            finite=self.finite,
            frozen=self.frozen_at_step is not None,
        )

    def _chance(self) -> float | None:
        if self.target.chance is not None or "accuracy" not in self.target.monitor:
            return self.target.chance
        labels = self.data.y_validation
        if not isinstance(labels, np.ndarray):
            return None  # several outputs, and no telling which is monitored
        if labels.ndim > 1 and labels.shape[-1] > 1 and (labels.sum(axis=-1) == 1).all():  # one-hot
            labels = labels.argmax(axis=-1)
        return float(np.unique(labels, return_counts=True)[1].max() / labels.size)


def fit_run(
    run: Run,
    prepared: training.Prepared,
    seed: int,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    probes: Sequence[Probe] = (),
    further: Further | None = None,
    stop_when_frozen: bool = True,
    steps: int | None = None,
) -> None:
    """Train `run.model`, keeping the record in `run`.

    What `further` measures joins the metrics of each epoch, and may be what the target is on.

    A run with callbacks gets no proof: they may change what the proof relies on. Nor does one on
    another backend than TensorFlow, of whose arithmetic nothing is shown.
    `stop_when_frozen=False` trains a proved-frozen run to its end all the same. With `steps`, training
    stops after the first execution that reaches so many batches.
    """
    model, data, target = run.model, run.data, run.target
    latest = model.get_weights()
    at_epoch_start = latest
    arrays = None if callbacks or not isinstance(data, Examples) else data
    provable = (
        TENSORFLOW
        and arrays is not None
        and isinstance(arrays.x_train, np.ndarray)
        and isinstance(arrays.y_train, np.ndarray)
        and frozen.refusal(model) is None
    )
    # A training metric of the epoch still counts what came before the proof; only a validation metric
    # is the same now as at the end of every later epoch.
    may_stop = all(name.startswith("val_") for name in target.names)
    losses = _EarlyLosses(model)
    executions = 0  # of this epoch
    attempt_from = 0  # a failed proof is not tried again in the same epoch

    def measure(moment: Moment) -> None:
        for probe in probes:
            if moment in probe.at and (value := probe.measure(run)) is not None:
                run.measured.setdefault(probe.name, []).append([run.step, value])

    def stop(reason: StopReason) -> None:
        run.stop_reason = reason
        model.stop_training = True

    def after_execution(batch: int, logs: object = None) -> None:
        nonlocal latest, attempt_from, executions
        executions += 1
        # Counted here: the batch that Keras names is the last of an execution, or in older versions the
        # first. On another backend an epoch is one execution.
        size = model.steps_per_execution if TENSORFLOW else run.steps_per_epoch
        done = min(executions * size, run.steps_per_epoch)
        run.step = len(run.epochs) * run.steps_per_epoch + done
        before, latest = latest, model.get_weights()
        if run.step == EARLY_STEPS:
            run.early_weights = latest
        if TENSORFLOW and len(run.epochs) < EARLY_EPOCHS:
            losses.look(done)
        measure("execution")
        if not all(np.isfinite(weight).all() for weight in latest):
            # No later step can make such a weight finite again.
            run.finite = False
            if may_stop and not callbacks:
                stop("not finite")
        elif (
            arrays is not None
            and provable
            and run.frozen_at_step is None
            and run.step >= attempt_from
            and _equal(before, latest)
        ):
            attempt_from = (len(run.epochs) + 1) * run.steps_per_epoch
            if frozen.is_frozen(model, arrays.x_train, arrays.y_train):
                run.frozen_at_step = run.step
                if may_stop and stop_when_frozen:
                    stop("frozen")
        if steps is not None and run.step >= steps:
            stop("steps")

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        nonlocal at_epoch_start, executions
        executions = 0
        share = logs.pop(training.ZERO_GRADIENT_SHARE, None)
        logs.pop(f"val_{training.ZERO_GRADIENT_SHARE}", None)
        logs = logs if further is None else {**logs, **further(run)}
        for name in (name for name in target.names if name not in logs):
            raise InputError(
                f"the target is on {name!r}, which training does not log"
                f"{did_you_mean(name, logs)}; it logs {', '.join(sorted(logs))}"
            )
        metrics = {key: _finite(value) for key, value in logs.items()}
        changed = not _equal(at_epoch_start, latest)
        run.epochs.append(Epoch(metrics, _finite(share), changed, losses.of_epoch()))
        at_epoch_start = latest
        measure("epoch")
        if target.is_reached(metrics) and run.stop_reason != "steps":
            run.converged = True
            stop("target")

    measure("start")
    batches = training.feed(data, run.training.batch, seed)
    training.fit(prepared, target.epochs, batches, callbacks, after_execution, after_epoch)
    value = None if prepared.first_loss is None else prepared.first_loss.value
    run.first_loss = value if value is None else _finite(value)
    measure("end")


class _EarlyLosses:
    """The training loss every EARLY_STEPS steps within an epoch: the mean over those since the last one,
    from the sums that Keras keeps anyway. Nothing is called for a single batch."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._room = EARLY_LOSSES
        self._kept: list[float | None] = []
        self._sums = (0.0, 0.0)
        self._done = 0

    def look(self, done: int) -> None:
        """After an execution; `done` batches of this epoch are trained."""
        if done // EARLY_STEPS == self._done // EARLY_STEPS or not self._room:
            return
        # A training step of one's own may keep no loss at all.
        mean = next((metric for metric in self._model.metrics if metric.name == "loss"), None)
        if not isinstance(mean, keras.metrics.Mean):
            return
        total, count = float(mean.total), float(mean.count)
        before, counted = self._sums
        if count > counted:
            self._kept.append(_finite((total - before) / (count - counted)))
            self._room -= 1
        self._sums, self._done = (total, count), done

    def of_epoch(self) -> tuple[float | None, ...]:
        """Those of the epoch that ends now; the next one begins."""
        kept, self._kept, self._sums, self._done = tuple(self._kept), [], (0.0, 0.0), 0
        return kept


def prepare_model(
    build: Callable[[], keras.Model],
    settings: Training,
    target: Target,
    data: Data,
    seed: int,
    traced: dict[bytes, training.Prepared] | None = None,
) -> training.Prepared:
    """A compiled model whose weights are those that `build()` draws from the seed.

    `traced` keeps them between trials of one picklable factory, training and target, which saves
    tracing them again; only for factories whose model depends on nothing but the seed. One that draws
    from TensorFlow's own generators is built anew each time all the same.

    Raises InputError for a factory that returns no model, or data that does not fit the model.
    """

    def fresh() -> training.Prepared:
        return training.prepare(new_model(build, settings, data, seed), settings, target, data)

    if traced is None:
        return fresh()
    key = pickle.dumps((build, settings, target))
    if key in traced:
        traced[key].restart(_draw_again(build, settings, data, seed))
        return traced[key]
    prepared = fresh()
    if prepared.starts_as(_draw_again(build, settings, data, seed)):
        traced[key] = prepared
    return prepared


def new_model(
    build: Callable[[], keras.Model], settings: Training, data: Data, seed: int
) -> keras.Model:
    """A trial's model, its weights drawn from the seed, fit for the data; else InputError."""
    # Automatic names start again from one, so that the same factory has the same configuration each
    # time; and models of earlier trials, caught in reference cycles, are freed.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    return _fitting_model(build, settings, data)


def _draw_again(
    build: Callable[[], keras.Model], settings: Training, data: Data, seed: int
) -> keras.Model:
    """As `new_model`, from Python's and NumPy's seeds alone. Setting TensorFlow's as well, or clearing
    the session, would have it start every traced function anew."""
    random.seed(seed)
    np.random.seed(seed)
    return _fitting_model(build, settings, data)


def _fitting_model(build: Callable[[], keras.Model], settings: Training, data: Data) -> keras.Model:
    model = require_model(build)
    training.require_fit(model, settings, data)
    if not model.built:
        model(data.first[0])  # its weights are drawn here, from the seed
    return require_new(model)


def require_model(build: Callable[[], keras.Model]) -> keras.Model:
    """What `build()` returns, if it is a Keras model; else InputError saying what it is instead."""
    model = build()
    require_keras_3("the factory returned", model)
    if not isinstance(model, keras.Model):
        raise InputError(
            f"the factory returned {type(model).__name__}; a new keras.Model each time is needed"
        )
    return model


def require_keras_3(what: str, model: object) -> None:
    """InputError, which says `what` it is, for a model of `tf_keras`, the legacy Keras 2."""
    if any(kind.__module__.partition(".")[0] == "tf_keras" for kind in type(model).__mro__):
        raise InputError(
            f"{what} a model of tf_keras, the legacy Keras 2; one of Keras 3 is needed: import keras, "
            "and leave TF_USE_LEGACY_KERAS unset"
        )


def make_callbacks(callbacks: Callbacks | None, seed: int) -> tuple[keras.callbacks.Callback, ...]:
    """New callbacks for the trial of a seed, which a function with one parameter without a default is
    told, so that the logs of two trials need not collide; InputError unless it makes a list of Keras
    callbacks."""
    if callbacks is None:
        return ()
    if not callable(callbacks):
        kind = type(callbacks).__name__
        raise InputError(
            f"callbacks is of type {kind}; a function that makes new ones for every trial is needed: "
            "lambda: [...]"
        )
    made = callbacks(seed) if takes_a_seed(callbacks) else callbacks()  # type: ignore[call-arg]
    base = keras.callbacks.Callback
    if not isinstance(made, list | tuple) or not all(isinstance(one, base) for one in made):
        raise InputError(
            f"callbacks returned {made!r}; a function that makes a list of keras callbacks is needed"
        )
    return tuple(made)


def takes_a_seed(function: Callable[..., object]) -> bool:
    """Whether callbacks are made of a trial's seed; InputError for a function of anything else."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a signature
        return False
    needed = [
        p
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(needed) > 1 or any(p.kind == p.KEYWORD_ONLY for p in needed):
        raise InputError(
            f"callbacks needs {', '.join(p.name for p in needed)}; a function of nothing, or of the "
            "trial's seed, is needed"
        )
    return bool(needed)


def hash_configuration(model: keras.Model, *, drawn: bool = True) -> str:
    """SHA-256 of a compiled model's configuration and compile settings. Code is not looked into.
    `drawn=False` leaves out the seeds of layers, which may have drawn them from the trial's."""
    try:
        structure = model.to_json()
    except (NotImplementedError, TypeError, ValueError):  # code of its own, no configuration
        parts = [model, *model.layers]
        structure = without_addresses(
            [(type(p).__module__, type(p).__qualname__, _config(p)) for p in parts]
        )
    try:
        settings = json.dumps(model.get_compile_config(), sort_keys=True, default=without_addresses)
    except (NotImplementedError, TypeError):  # a loss, say, that is an object of its own
        settings = without_addresses([model.loss, type(model.optimizer), _config(model.optimizer)])
    text = f"{structure}{settings}{_vocabularies(model)}"
    text = text if drawn else re.sub("(['\"]seed['\"]): \\d+", r"\1: None", text)
    return hashlib.sha256(text.encode()).hexdigest()


def _vocabularies(model: keras.Model) -> str:
    """Of layers that were adapted to texts: neither weights nor configuration hold them."""
    layers = model._flatten_layers(include_self=False)
    found = [
        list(map(str, layer.get_vocabulary()))
        for layer in layers
        if hasattr(layer, "get_vocabulary")
    ]
    return repr(found) if found else ""


def hash_weights(weights: Sequence[Array]) -> str:
    """SHA-256 of types, shapes and values, in order."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def describe_callback(callback: object) -> list[object]:
    """Its class and plain settings, JSON-ready."""
    settings = {
        key: repr(value)  # some are infinite, which JSON does not know
        for key, value in vars(callback).items()
        if not key.startswith("_") and isinstance(value, bool | int | float | str)
    }
    return [type(callback).__qualname__, settings]


def _config(part: keras.Layer) -> object:
    try:
        config: object = part.get_config()
    except (NotImplementedError, TypeError):  # TypeError: it holds an object of its own
        return None
    return config


def _finite(value: object) -> float | None:
    """A metric as a plain number: the mean of one that has a value a class; None if not finite."""
    number = None if value is None else float(np.mean(np.asarray(value)))
    return None if number is None or not math.isfinite(number) else number


def _equal(a: Arrays, b: Arrays) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
