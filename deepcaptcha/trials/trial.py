"""One training run: a factory, a recipe and a seed in, an immutable record out.

A trial is a pure function of those three and the environment: two runs agree bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..keras import environment, frozen, training
from ..keras.data import Data
from ..keras.examples import Examples
from ..keras.identity import hash_weights, identify
from ..keras.models import Factory, prepare_model
from ..networks.recipes import Recipe, load_examples

if TYPE_CHECKING:
    import keras

Outcome = Literal["converged", "stuck", "slow", "diverged"]
StopReason = Literal["target", "epochs", "frozen", "not finite"]
Moment = Literal["start", "execution", "epoch", "end"]
Callbacks = Callable[[], "Sequence[keras.callbacks.Callback]"]

STUCK_SHARE = 0.25
"""A run that misses its target is stuck if it never got this share of the way from chance to it."""


@dataclass(frozen=True)
class Epoch:
    """One epoch: Keras' metrics at its end (None: not finite), the share of training examples whose
    loss had an exactly zero gradient when they were trained on (None where the model hides it), and
    whether any weight changed."""

    metrics: Mapping[str, float | None]
    zero_gradient_share: float | None
    weights_changed: bool


@dataclass(frozen=True)
class Trial:
    """The record of one training run, JSON-ready through `as_dict`.

    - `outcome`: `converged` (target met at the end of an epoch); else `diverged` (a weight or the
      last loss is not finite), `stuck` (proved frozen, no weight changed in the last epoch, or never
      a quarter of the way from chance to the target), or `slow`.
    - `epochs_to_target`, `steps_to_target`: batches; None unless converged.
    - `frozen_at_step`: the step at which the run was proved never to move again.
    - `seconds`: wall time of building and training.
    - `weights_sha256`: of the weights at the end. `identity`: what was trained, on what, where.
    - `probes`: name -> list of [step, value].
    """

    name: str
    recipe: str
    seed: int
    outcome: Outcome
    stop_reason: StopReason
    epochs_to_target: int | None
    steps_to_target: int | None
    frozen_at_step: int | None
    epochs: tuple[Epoch, ...]
    seconds: float
    weights_sha256: str
    identity: Mapping[str, Any]
    probes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended_early(self) -> bool:
        """Whether a callback ended it before its last epoch, without target or proof."""
        return self.stop_reason == "epochs" and len(self.epochs) < self.identity["recipe"]["epochs"]

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Trial:
        """The inverse of `as_dict`; TypeError or KeyError for other fields."""
        epochs = tuple(Epoch(**epoch) for epoch in fields["epochs"])
        return cls(**{**fields, "epochs": epochs})


@dataclass(frozen=True)
class Probe:
    """A measurement taken along with a trial: `measure(run)` is called at the moments named, and what
    it returns, unless None, joins the record under `name` as [step, value]. It must not change the
    run; what it returns must be JSON-ready."""

    name: str
    measure: Callable[[Run], Any]
    at: tuple[Moment, ...] = ("epoch",)


@dataclass
class Run:
    """The state of a trial while it runs; what probes see. `step` counts batches; in `kept` a probe may
    leave what it traced, for later trials of the same traced model."""

    model: keras.Model
    examples: Data
    recipe: Recipe
    kept: dict[str, Any]
    step: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    stop_reason: StopReason = "epochs"
    frozen_at_step: int | None = None
    converged: bool = False
    finite: bool = True
    measured: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch, the last one possibly smaller."""
        return self.examples.steps(self.recipe.batch)


def run_trial(
    build: Factory,
    recipe: Recipe,
    seed: int,
    *,
    name: str | None = None,
    examples: Data | None = None,
    callbacks: Callbacks | None = None,
    version: str | None = None,
    probes: Sequence[Probe] = (),
    stop_when_frozen: bool = True,
    recall: Callable[[Mapping[str, Any]], Trial | None] = lambda identity: None,
    traced: dict[bytes, training.Prepared] | None = None,
) -> Trial:
    """Train what `build()` returns once and report how it went.

    `build` returns a new Keras model; an uncompiled one is compiled as the recipe says. `seed`
    (0 .. 2**32 - 1) fixes the weights and the order of the examples. `examples` stand in for the
    recipe's digits. `callbacks()` makes new Keras callbacks for the trial, which then gets no proof:
    they may change what the proof relies on. `version` joins the identity, for code that no
    configuration shows. `stop_when_frozen=False` trains a proved-frozen run to its end all the same.
    `recall(identity)` may answer with an earlier record of the very same trial, which is returned.
    `traced` keeps compiled models between trials, as for `prepare_model`.

    Raises InputError for a factory that returns no model, data that does not fit the model, or
    callbacks that are not made by a function.
    """
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}; a whole number from 0 to 2**32 - 1 is needed")
    examples = load_examples(recipe) if examples is None else examples
    started = time.perf_counter()
    prepared = prepare_model(build, recipe, examples, seed, traced)
    called = make_callbacks(callbacks)
    identity = identify(prepared.model, recipe, seed, examples, called, version)
    if (known := recall(identity)) is not None:
        return known
    run = Run(prepared.model, examples, recipe, prepared.kept)
    _fit(run, prepared, seed, called, probes, stop_when_frozen)
    epochs_to_target = len(run.epochs) if run.converged else None
    return Trial(
        name=name or str(getattr(build, "__name__", type(build).__name__)),
        recipe=recipe.name,
        seed=seed,
        outcome=_outcome(run),
        stop_reason=run.stop_reason,
        epochs_to_target=epochs_to_target,
        steps_to_target=epochs_to_target and epochs_to_target * run.steps_per_epoch,
        frozen_at_step=run.frozen_at_step,
        epochs=tuple(run.epochs),
        seconds=round(time.perf_counter() - started, 3),
        weights_sha256=hash_weights(prepared.model.get_weights()),
        identity=identity,
        probes=run.measured,
    )


def make_callbacks(callbacks: Callbacks | None) -> tuple[keras.callbacks.Callback, ...]:
    """New callbacks for a trial; InputError unless a function makes a list of Keras callbacks."""
    if callbacks is None:
        return ()
    if not callable(callbacks):
        kind = type(callbacks).__name__
        raise InputError(
            f"callbacks is of type {kind}; a function that makes new ones for every trial is needed: "
            "lambda: [...]"
        )
    made = callbacks()
    base = environment.load_keras().callbacks.Callback
    if not isinstance(made, list | tuple) or not all(isinstance(one, base) for one in made):
        raise InputError(
            f"callbacks returned {made!r}; a function that makes a list of keras callbacks is needed"
        )
    return tuple(made)


def _fit(
    run: Run,
    prepared: training.Prepared,
    seed: int,
    callbacks: Sequence[Any],
    probes: Sequence[Probe],
    stop_when_frozen: bool,
) -> None:
    """Train `run.model`, keeping the record in `run`."""
    model, examples = run.model, run.examples
    latest = model.get_weights()
    at_epoch_start = latest
    arrays = None if callbacks or not isinstance(examples, Examples) else examples
    provable = (
        arrays is not None
        and isinstance(arrays.x_train, np.ndarray)
        and isinstance(arrays.y_train, np.ndarray)
        and frozen.refusal(model) is None
    )
    # A training metric of the epoch still counts what came before the proof; only a validation metric
    # is the same now as at the end of every later epoch.
    may_stop = run.recipe.monitor.startswith("val_")
    attempt_from = 0  # a failed proof is not tried again in the same epoch

    def measure(moment: Moment) -> None:
        for probe in probes:
            if moment in probe.at and (value := probe.measure(run)) is not None:
                run.measured.setdefault(probe.name, []).append([run.step, value])

    def after_execution(last_batch: int, logs: Any = None) -> None:
        nonlocal latest, attempt_from
        # Keras names the last batch a full execution would have had.
        done = min(last_batch + 1, run.steps_per_epoch)
        run.step = len(run.epochs) * run.steps_per_epoch + done
        before, latest = latest, model.get_weights()
        measure("execution")
        if not all(np.isfinite(weight).all() for weight in latest):
            # No later step can make such a weight finite again.
            run.finite = False
            if may_stop and not callbacks:
                run.stop_reason = "not finite"
                model.stop_training = True
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
                    run.stop_reason = "frozen"
                    model.stop_training = True

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        nonlocal at_epoch_start
        share = logs.pop(training.ZERO_GRADIENT_SHARE, None)
        logs.pop(f"val_{training.ZERO_GRADIENT_SHARE}", None)
        if run.recipe.monitor not in logs:
            raise InputError(
                f"the recipe's target is on {run.recipe.monitor!r}, which training does not log; "
                f"it logs {', '.join(sorted(logs))}"
            )
        metrics = {key: _finite(value) for key, value in logs.items()}
        run.epochs.append(Epoch(metrics, _finite(share), not _equal(at_epoch_start, latest)))
        at_epoch_start = latest
        measure("epoch")
        value = metrics[run.recipe.monitor]
        if value is not None and run.recipe.meets_target(value):
            run.converged = True
            run.stop_reason = "target"
            model.stop_training = True

    measure("start")
    training.fit(prepared, run.recipe, examples, seed, callbacks, after_execution, after_epoch)
    measure("end")


def _outcome(run: Run) -> Outcome:
    if run.converged:
        return "converged"
    values = [epoch.metrics[run.recipe.monitor] for epoch in run.epochs]
    reached = [value for value in values if value is not None]
    # A training step of the model's own may log no loss at all.
    if not run.finite or run.epochs[-1].metrics.get("loss", 0.0) is None or not reached:
        return "diverged"
    if run.frozen_at_step is not None or not run.epochs[-1].weights_changed:
        return "stuck"
    chance = _chance(run)
    if chance is None:
        return "slow"
    sign = 1 if run.recipe.mode == "max" else -1
    bar = chance + STUCK_SHARE * (run.recipe.target - chance)
    return "stuck" if max(sign * value for value in reached) < sign * bar else "slow"


def _chance(run: Run) -> float | None:
    if run.recipe.chance is not None or "accuracy" not in run.recipe.monitor:
        return run.recipe.chance
    labels = run.examples.y_validation
    if not isinstance(labels, np.ndarray):
        return None  # several outputs, and no telling which is monitored
    if labels.ndim > 1 and labels.shape[-1] > 1 and (labels.sum(axis=-1) == 1).all():  # one-hot
        labels = labels.argmax(axis=-1)
    return float(np.unique(labels, return_counts=True)[1].max() / labels.size)


def _finite(value: Any) -> float | None:
    """A metric as a plain number: the mean of one that has a value a class; None if not finite."""
    number = None if value is None else float(np.mean(value))
    return None if number is None or not math.isfinite(number) else number


def _equal(a: list[NDArray[Any]], b: list[NDArray[Any]]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
