"""This project's side of each comparison, in processes of its own: `python -m benchmarks.ours`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.peers import peak_megabytes
from benchmarks.turns import Facts, serve
from deepcaptcha.networks.build import build
from deepcaptcha.networks.recipes import RECIPES, Recipe, load_examples
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.runner import run_source
from deepcaptcha.trials.seeds import STREAMS
from deepcaptcha.trials.trial import Target

ONE_EPOCH = replace(RECIPES["sound-subset"], name="one-epoch", target=Target(1.0, epochs=1))
"""6,400 digits, pixels 0..1, and a validation on 2,000: the shortest trial there is, in which whatever
a trial costs besides its epochs weighs most."""


def _trials(variant: str, recipe: Recipe, first_seed: int) -> Callable[[], Facts]:
    """Runs the next trial of one variant and recipe as a study's process does, its traced model kept."""
    source = recipe.source(variant)  # imports Keras, which a process does once
    seeds = itertools.count(first_seed)

    def run() -> Facts:
        began = time.perf_counter()
        trial = run_source(source, next(seeds))
        spent = time.perf_counter() - began
        steps = trial.frozen_at_step if trial.stop_reason == "frozen" else None
        samples = steps * recipe.training.batch if steps else len(trial.epochs) * recipe.n_train
        return {"samples": samples, "seconds": spent, "outcome": trial.outcome}

    return run


def trial(variant: str = "valid") -> tuple[Facts, Callable[[], Facts]]:
    """A turn is one whole trial of one epoch, from asking for it to its record; the first, which also
    traces the model, is reported as ready. `megabytes`: the most held so far."""
    run = _trials(variant, ONE_EPOCH, STREAMS["pilot"].start)

    def turn() -> Facts:
        return {**run(), "megabytes": peak_megabytes()}

    return turn(), turn


def stuck() -> tuple[Facts, Callable[[], Facts]]:
    """A turn is one trial of `same` on raw pixels, which mostly ends at the proof that it is stuck."""
    run = _trials("same", RECIPES["raw-subset"], STREAMS["baseline"].start)
    return run(), run


def kernels(variant: str = "valid") -> tuple[Facts, Callable[[], Facts]]:
    """A turn is one trial, and then as many training steps of the same network in one compiled loop
    over tensors in memory: no metrics, validation, callbacks, data set or Python between two steps."""
    run = _trials(variant, ONE_EPOCH, STREAMS["pilot"].start)
    ready = run()
    from deepcaptcha.keras.training import compile_model

    model = build(VARIANTS[variant].architecture)
    compile_model(model, ONE_EPOCH.training, ONE_EPOCH.target, load_examples(ONE_EPOCH))
    bare = _bare_steps(model, ONE_EPOCH)
    bare()

    def turn() -> Facts:
        facts = run()
        began = time.perf_counter()
        bare()
        return {**facts, "bare_seconds": time.perf_counter() - began}

    return ready, turn


def _bare_steps(model: Any, recipe: Recipe) -> Callable[[], Any]:
    from deepcaptcha.keras.backend import tf

    examples = load_examples(recipe)
    x, y = tf.constant(examples.x_train), tf.constant(examples.y_train)
    order = (
        np.random.RandomState(0)
        .permutation(len(examples.x_train))
        .reshape(-1, recipe.training.batch)
    )
    batches = tf.constant(order)

    @tf.function
    def steps() -> Any:
        loss = tf.constant(0.0)
        for rows in batches:
            with tf.GradientTape() as tape:
                outputs = model(tf.gather(x, rows), training=True)
                loss = model.compute_loss(None, tf.gather(y, rows), outputs)
            gradients = tape.gradient(loss, model.trainable_weights)
            model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: steps().numpy()


if __name__ == "__main__":
    serve({"trial": trial, "stuck": stuck, "kernels": kernels})
