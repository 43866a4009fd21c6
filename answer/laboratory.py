"""Measures conditions and checks, one seed at a time; results are plain dicts and lists, JSON-ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from deepcaptcha.diagnosis.check import check
from deepcaptcha.diagnosis.observe import Observed, Observer
from deepcaptcha.diagnosis.steps import ThrowawaySteps
from deepcaptcha.errors import InputError
from deepcaptcha.finding import EPSILON
from deepcaptcha.keras.backend import keras, tf
from deepcaptcha.keras.data import Array, Examples
from deepcaptcha.keras.fit import Probe, Run
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.networks.build import build
from deepcaptcha.networks.recipes import RECIPES, Recipe, load_examples
from deepcaptcha.networks.variants import find_variant
from deepcaptcha.trials.trial import Trial

from .experiments import Condition, Measure

Result = dict[str, Any]
Tensor = Any

SHOWN = 512
"""The first training examples, on which a step or a trajectory is looked at."""

TRAJECTORY_STEPS, TRAJECTORY_EPOCHS, BETWEEN_LOOKS = 1500, 8, 10

_RAW = RECIPES["raw-subset"]


def measure_condition(measure: Measure, condition: Condition, seed: int) -> object:
    """What `measure` says of the condition with this seed, as the functions below tell."""
    measures: Mapping[Measure, Callable[[Condition, int], object]] = {
        "step": _step,
        "training": _training,
        "rescue": _rescue,
        "trajectory": _trajectory,
    }
    return measures[measure](condition, seed)


def check_start(variant: str, recipe: Recipe, seed: int) -> Result:
    """What the check says of a variant's model as a trial of the recipe begins with it."""
    found = check(*recipe.source(variant).start(seed))
    return {
        "variant": variant,
        "recipe": recipe.name,
        "seed": seed,
        "lost_share": next((one.value for one in found if one.code == "lost examples"), 0.0),
        "errors": [one.code for one in found if one.severity == "error"],
    }


def _step(condition: Condition, seed: int) -> Result:
    """One optimizer step on the first batch: `movement`, the median over the SHOWN examples of the
    largest change of a logit (less the mean over the classes), in nats; `movement of LAYER`, the same
    where that layer alone takes its part of the step; `size`, the same of the largest logit before;
    and the share of lost examples before and after."""
    source, examples = _source(condition), _examples(condition.pixels)
    model, *_ = source.start(seed)
    observer = Observer(model, training=False)
    x, y = examples.x_train[:SHOWN], examples.y_train[:SHOWN]
    before = observer.observe(x, y)
    start = [layer.get_weights() for layer in model.layers]
    first_batch = np.arange(source.training.batch, dtype=np.int64)[np.newaxis]
    ThrowawaySteps(model, examples.x_train, examples.y_train).run(first_batch)
    after = observer.observe(x, y)
    end = [layer.get_weights() for layer in model.layers]
    alone = {}
    for chosen in model.layers:
        if chosen.weights:
            for layer, old, new in zip(model.layers, start, end, strict=True):
                layer.set_weights(new if layer is chosen else old)
            alone[f"movement of {chosen.name}"] = _movement(before, observer.observe(x, y))
    return {
        "movement": _movement(before, after),
        **alone,
        "size": _round(_median_of_largest(_logits(before))),
        "lost_before": before.lost_share,
        "lost_after": after.lost_share,
    }


def _training(condition: Condition, seed: int) -> Result:
    """How one training ends."""
    return _ending(_source(condition).run(seed))


def _rescue(condition: Condition, seed: int) -> Result:
    """How a training ends that goes on, with a new optimizer, from the last weights of one of `same`;
    `before` is how that one ended."""
    assert condition.goes_on_as is not None
    kept: list[list[Array]] = []
    keep = Probe("weights", lambda run: kept.append(run.model.get_weights()), at=("end",))
    trial = replace(_source(condition), probes=(keep,)).run(seed)
    after = _source(replace(condition, variant=condition.goes_on_as))

    def go_on() -> keras.Model:
        model = after.build()
        model.set_weights(kept[-1])
        return model

    # Under a name of its own: a trial of the same row must not begin where another ended.
    again = replace(after, build=go_on, name=f"{after.name}, going on")
    return {"before": trial.outcome, **_ending(again.run(seed))}


def _trajectory(condition: Condition, seed: int) -> list[list[float | None]]:
    """Rows [step, zero-gradient share, lost share, movement of the logits since the start in nats,
    change of the weights since the row before as a share of their norm at the start], trained on
    whatever is reached or proved."""
    examples = _examples(condition.pixels)
    x, y = examples.x_train[:SHOWN], examples.y_train[:SHOWN]
    kept: dict[str, Any] = {}

    def look(run: Run) -> list[float | None] | None:
        if run.step > TRAJECTORY_STEPS:
            return None
        weights = np.concatenate([weight.ravel() for weight in run.model.get_weights()])
        if not kept:
            kept["observer"] = Observer(run.model, training=False)
        seen = kept["observer"].observe(x, y)
        first, norm = kept.setdefault("first", (seen, float(np.linalg.norm(weights))))
        change = float(np.linalg.norm(weights - kept.get("weights", weights))) / norm
        kept["weights"] = weights
        return [seen.zero_gradient_share, seen.lost_share, _movement(first, seen), _round(change)]

    source = _source(condition)
    trial = replace(
        source,
        target=replace(source.target, value=1.0, epochs=TRAJECTORY_EPOCHS),
        training=replace(source.training, steps_per_execution=BETWEEN_LOOKS),
        probes=(Probe("looks", look, at=("start", "execution")),),
        stop_when_frozen=False,
    ).run(seed)
    return [[step, *values] for step, values in trial.probes["looks"]]


def _source(condition: Condition) -> KerasSource:
    """The trials of a condition."""
    architecture = find_variant(condition.variant).architecture

    def make() -> keras.Model:
        model = build(architecture)
        if condition.clip is not None:
            model.compile(
                optimizer=keras.optimizers.Adam(condition.learning_rate),
                loss=_clipped_crossentropy(condition.clip),
                metrics=["accuracy"],
            )
        return model

    settings = {"learning_rate": condition.learning_rate}
    return KerasSource(
        make,
        _examples(condition.pixels),
        replace(_RAW.target, epochs=condition.epochs),
        replace(_RAW.training, optimizer_settings=settings),
        condition.label,
        _RAW.name,
        facts=_RAW.facts,
    )


def _clipped_crossentropy(epsilon: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of probabilities as Keras' TensorFlow backend takes it, clipped at `epsilon`
    instead of EPSILON."""
    if not 0 < epsilon <= EPSILON:
        raise InputError(f"clip is {epsilon!r}; above 0 and at most {EPSILON:g} is needed")

    def clipped_crossentropy(y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_pred = y_pred / tf.reduce_sum(y_pred, axis=-1, keepdims=True)
        return -tf.reduce_sum(
            y_true * tf.math.log(tf.clip_by_value(y_pred, epsilon, 1 - epsilon)), axis=-1
        )

    return clipped_crossentropy


@lru_cache(maxsize=2)
def _examples(pixels: float) -> Examples:
    raw = load_examples(_RAW)
    factor = np.float32(pixels)
    return replace(raw, x_train=raw.x_train * factor, x_validation=raw.x_validation * factor)


def _ending(trial: Trial) -> Result:
    return {
        name: getattr(trial, name) for name in ("outcome", "epochs_to_target", "frozen_at_step")
    }


def _movement(before: Observed, after: Observed) -> float:
    return _round(_median_of_largest(_logits(after) - _logits(before)))


def _median_of_largest(logits: Array) -> float:
    return float(np.median(np.abs(logits).max(axis=-1)))


def _logits(seen: Observed) -> Array:
    """The logits less their mean over the classes, of which softmax knows nothing."""
    assert seen.logits is not None  # every head of ours shows them
    logits: Array = seen.logits - seen.logits.mean(axis=-1, keepdims=True)
    return logits


def _round(value: float) -> float:
    """Six digits: enough to draw, and the same whichever way a sum was taken."""
    return float(f"{value:.6g}")
