"""Measures the cells of `experiments`, one seed at a time; results are plain dicts, JSON-ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepcaptcha.diagnosis.observe import Observed, Observer
from deepcaptcha.diagnosis.steps import ThrowawaySteps
from deepcaptcha.errors import InputError
from deepcaptcha.finding import EPSILON
from deepcaptcha.keras import environment
from deepcaptcha.keras.examples import Examples
from deepcaptcha.keras.models import new_model
from deepcaptcha.keras.training import compile_model
from deepcaptcha.networks.build import build
from deepcaptcha.networks.recipes import RECIPES, Recipe, load_examples
from deepcaptcha.networks.variants import find_variant
from deepcaptcha.trials.trial import Probe, Run, Trial, run_trial

from .experiments import Cell, Measure

if TYPE_CHECKING:
    import keras

SHOWN = 512
"""The first training examples, on which a step or a trajectory is looked at."""

TRAJECTORY_STEPS, TRAJECTORY_EPOCHS, BETWEEN_LOOKS = 1500, 8, 10


def measure_cell(measure: Measure, cell: Cell, seed: int) -> Any:
    """What `measure` says of the cell with this seed, as the functions below tell."""
    return _MEASURES[measure](cell, seed)


def _step(cell: Cell, seed: int) -> dict[str, float | None]:
    """One optimizer step on the first batch: `movement`, the median over the SHOWN examples of the
    largest change of a logit (less the mean over the classes), in nats; `movement of LAYER`, the same
    where that layer alone takes its part of the step; `size`, the same of the largest logit before;
    and the share of lost examples before and after."""
    recipe, examples = _recipe(cell), _examples(cell.pixels)
    model = new_model(_factory(cell), recipe, examples, seed)
    compile_model(model, recipe, examples)
    observer = Observer(model, training=False)
    x, y = examples.x_train[:SHOWN], examples.y_train[:SHOWN]
    before = observer.observe(x, y)
    start = [layer.get_weights() for layer in model.layers]
    first_batch = np.arange(recipe.batch, dtype=np.int64)[np.newaxis]
    ThrowawaySteps(model, examples.x_train, examples.y_train).run(first_batch)
    after = observer.observe(x, y)
    end = [layer.get_weights() for layer in model.layers]
    alone = {}
    for chosen in model.layers:
        if chosen.weights:
            for layer, old, new in zip(model.layers, start, end, strict=True):
                layer.set_weights(new if layer is chosen else old)
            alone[f"movement of {chosen.name}"] = _round(_movement(before, observer.observe(x, y)))
    return {
        "movement": _round(_movement(before, after)),
        **alone,
        "size": _round(_median_of_largest(_logits(before))),
        "lost_before": before.lost_share,
        "lost_after": after.lost_share,
    }


def _training(cell: Cell, seed: int) -> dict[str, Any]:
    """How one training ends."""
    examples = _examples(cell.pixels)
    return _ending(run_trial(_factory(cell), _recipe(cell), seed, examples=examples))


def _rescue(cell: Cell, seed: int) -> dict[str, Any]:
    """How a training ends that goes on, with a new optimizer, from the last weights of one of `same`;
    `before` is how that one ended."""
    assert cell.goes_on_as is not None
    recipe, kept = _recipe(cell), []

    def keep(run: Run) -> None:
        kept.append(run.model.get_weights())

    trial = run_trial(_factory(cell), recipe, seed, probes=[Probe("weights", keep, at=("end",))])
    after = _factory(replace(cell, variant=cell.goes_on_as))

    def go_on() -> keras.Model:
        model = after()
        model.set_weights(kept[-1])
        return model

    return {"before": trial.outcome, **_ending(run_trial(go_on, recipe, seed))}


def _trajectory(cell: Cell, seed: int) -> list[list[float | None]]:
    """Rows [step, zero-gradient share, lost share, movement of the logits since the start in nats,
    change of the weights since the row before as a share of their norm at the start], trained on
    whatever is reached or proved."""
    recipe = replace(
        _recipe(cell), epochs=TRAJECTORY_EPOCHS, target=1.0, steps_per_execution=BETWEEN_LOOKS
    )
    kept: dict[str, Any] = {}

    def look(run: Run) -> list[float | None] | None:
        if run.step > TRAJECTORY_STEPS:
            return None
        weights = np.concatenate([weight.ravel() for weight in run.model.get_weights()])
        if not kept:
            kept["observer"] = Observer(run.model, training=False)
        x, y = _examples(cell.pixels).x_train[:SHOWN], _examples(cell.pixels).y_train[:SHOWN]
        seen = kept["observer"].observe(x, y)
        first, norm = kept.setdefault("first", (seen, float(np.linalg.norm(weights))))
        change = float(np.linalg.norm(weights - kept.get("weights", weights))) / norm
        kept["weights"] = weights
        return [
            seen.zero_gradient_share,
            seen.lost_share,
            _round(_movement(first, seen)),
            _round(change),
        ]

    trial = run_trial(
        _factory(cell),
        recipe,
        seed,
        examples=_examples(cell.pixels),
        probes=[Probe("looks", look, at=("start", "execution"))],
        stop_when_frozen=False,
    )
    return [[step, *values] for step, values in trial.probes["looks"]]


_MEASURES: Mapping[Measure, Callable[[Cell, int], Any]] = {
    "step": _step,
    "training": _training,
    "rescue": _rescue,
    "trajectory": _trajectory,
}


def _factory(cell: Cell) -> Callable[[], keras.Model]:
    architecture = find_variant(cell.variant).architecture

    def make() -> keras.Model:
        model = build(architecture)
        if cell.clip is not None:
            model.compile(
                optimizer=environment.load_keras().optimizers.Adam(cell.learning_rate),
                loss=_clipped_crossentropy(cell.clip),
                metrics=["accuracy"],
            )
        return model

    return make


def _clipped_crossentropy(epsilon: float) -> Callable[[Any, Any], Any]:
    """Cross-entropy of probabilities as Keras' TensorFlow backend takes it, clipped at `epsilon`
    instead of `finding.EPSILON`."""
    tf = environment.load_tensorflow()
    if not 0 < epsilon <= EPSILON:
        raise InputError(f"clip is {epsilon!r}; above 0 and at most {EPSILON:g} is needed")

    def clipped_crossentropy(y_true: Any, y_pred: Any) -> Any:
        y_pred = y_pred / tf.reduce_sum(y_pred, axis=-1, keepdims=True)
        return -tf.reduce_sum(
            y_true * tf.math.log(tf.clip_by_value(y_pred, epsilon, 1 - epsilon)), axis=-1
        )

    return clipped_crossentropy


def _recipe(cell: Cell) -> Recipe:
    settings = {"learning_rate": cell.learning_rate}
    return replace(RECIPES["raw-subset"], epochs=cell.epochs, optimizer_settings=settings)


@lru_cache(maxsize=2)
def _examples(pixels: float) -> Examples:
    raw = load_examples(RECIPES["raw-subset"])
    factor = np.float32(pixels)
    return replace(raw, x_train=raw.x_train * factor, x_validation=raw.x_validation * factor)


def _ending(trial: Trial) -> dict[str, Any]:
    return {
        "outcome": trial.outcome,
        "epochs_to_target": trial.epochs_to_target,
        "frozen_at_step": trial.frozen_at_step,
    }


def _movement(before: Observed, after: Observed) -> float:
    return _median_of_largest(_logits(after) - _logits(before))


def _median_of_largest(logits: NDArray[Any]) -> float:
    return float(np.median(np.abs(logits).max(axis=-1)))


def _logits(seen: Observed) -> NDArray[Any]:
    """The logits less their mean over the classes, of which softmax knows nothing."""
    assert seen.logits is not None  # every head of ours shows them
    logits: NDArray[Any] = seen.logits - seen.logits.mean(axis=-1, keepdims=True)
    return logits


def _round(value: float) -> float:
    """Six digits: enough to draw, and the same whichever way a sum was taken."""
    return float(f"{value:.6g}")
