"""What test modules share. Importing it imports no framework, and no test module."""

import os
import signal
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from deepcaptcha.keras.data import Examples
from deepcaptcha.networks.build import build
from deepcaptcha.networks.recipes import RECIPES, Recipe, load_digits
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.trial import Epoch, Trial

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
"""Of processes that import test modules."""


def changed(recipe, **fields):
    """The recipe with some of its recorded fields changed, those of training and target included."""
    return Recipe.from_dict({**recipe.as_dict(), **fields})


SAME = partial(build, VARIANTS["same"].architecture)
SMALL = changed(
    RECIPES["sound-subset"], n_train=960, n_validation=300, epochs=1, steps_per_execution=10
)
POINTS = changed(SMALL, name="points", batch=8, epochs=4, target=0.9, steps_per_execution=4)
"""For `points` and a single layer."""
FROZEN = changed(POINTS, name="frozen", epochs=6, steps_per_execution=8)
"""For `points` and `hidden_softmax`."""
TINY = changed(
    RECIPES["sound-subset"],
    name="tiny",
    n_train=64,
    n_validation=50,
    epochs=1,
    batch=16,
    target=0.99,
)


def make_trial(seed=0, name="same", outcome="converged", weights="aa", epochs=1):
    """A record as a source's `run` returns it, without any training."""
    reached = epochs if outcome == "converged" else None
    return Trial(
        name=name,
        recipe="points",
        seed=seed,
        outcome=outcome,
        stop_reason="target" if reached else "epochs",
        epochs_to_target=reached,
        steps_to_target=reached and 8 * reached,
        frozen_at_step=None,
        epochs=tuple(Epoch({"loss": 0.5, "val_accuracy": None}, 0.25, True) for _ in range(epochs)),
        seconds=1.5,
        weights_sha256=weights,
        identity={"seed": seed, "factory": name, "recipe": {"name": "points", "epochs": 5}},
    )


def points(count=64, seed=0):
    """Two classes of points on a line, easily told apart by one dense layer."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % 2
    x = (random.rand(count, 1) + labels[:, None]).astype("float32") - 1
    return Examples(x, np.eye(2, dtype="float32")[labels], x, np.eye(2, dtype="float32")[labels])


def dense_model(units=2, activation="softmax", **settings):
    """One dense layer for `points`."""
    from deepcaptcha.keras.backend import keras

    return keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(units, activation=activation, **settings)]
    )


def hidden_softmax(slope=400.0, **dense):
    """Softmax hidden behind a reshape, so steep that every point is clipped, all to class 0."""
    from deepcaptcha.keras.backend import keras

    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(2, activation="softmax", **dense),
            keras.layers.Reshape((2,)),
        ]
    )
    model.layers[0].set_weights([np.zeros((1, 2), "float32"), np.array([slope, 0], "float32")])
    return model


def source_of(build, recipe, data=None, **options):
    """The trials of a factory under a recipe, on other data where given; options as KerasSource's."""
    from deepcaptcha.keras.source import KerasSource

    return KerasSource(
        build,
        load_digits if data is None else data,
        recipe.target,
        recipe.training,
        recipe=recipe.name,
        facts=recipe.facts,
        **options,
    )


def train(build, recipe, seed=0, data=None, *, steps=None, **options):
    """One trial of `source_of`."""
    return source_of(build, recipe, data, **options).run(seed, steps=steps)


def ending(trial):
    """What a trial came to, without the time it took."""
    return trial.weights_sha256, trial.epochs, trial.identity, trial.outcome


def wanted(count=4):
    """Sources and seeds of so many trials of a fraction of a second, two of each seed."""
    return [(TINY.source(name), seed) for seed in range(count // 2) for name in ("valid", "pool4")]


def figures(trials):
    """What trials came to, to the bit, whichever process trained them."""
    return [(t.name, t.seed, t.outcome, t.weights_sha256, t.epochs) for t in trials]


@contextmanager
def interruptible(command, **options):
    """Start `command` with text pipes, in a session of its own, and leave nothing of it at the end.

    Ctrl-C reaches it also where the tests themselves were started with `&` in a script: such a shell has
    them ignore the signal, and so would every process they start.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def interrupt(process, after):
    """Press Ctrl-C when a line of its standard error starts with `after`; what it wrote to standard
    output and, from then on, to standard error. A minute is more than it may take."""
    for line in process.stderr:
        if line.startswith(after):
            break
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)
