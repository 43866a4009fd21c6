"""What test modules share. Importing it imports no framework, and no test module."""

import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from deepcaptcha.errors import InputError
from deepcaptcha.keras.data import Examples
from deepcaptcha.keras.settings import Training
from deepcaptcha.networks.architecture import Architecture, ConvBlock
from deepcaptcha.networks.build import build
from deepcaptcha.networks.recipes import RECIPES, Recipe, load_digits
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Epoch, Target, Trial

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
"""Of processes that import test modules."""


APART = ("-p", "no:hypothesispytest", "-p", "no:randomly")
"""Of pytest in pytest: without the plugins that are this suite's own, or that nobody asked for."""


def changed(recipe, **fields):
    """The recipe with some of its recorded fields changed, those of training and target included."""
    return Recipe.from_dict({**recipe.as_dict(), **fields})


SAME = partial(build, VARIANTS["same"].architecture)
SMALL = changed(
    RECIPES["sound-subset"], n_train=960, n_validation=300, epochs=1, steps_per_execution=10
)
POINTS = changed(SMALL, name="points", batch=8, epochs=4, target=0.9, steps_per_execution=4)
"""For `points` and a single layer."""
CREEPING = changed(
    POINTS, batch=7, epochs=2, target=1.0, optimizer_settings={"learning_rate": 1e-6}
)
"""For `points` and `drawn_dense`: 10 batches an epoch, four an execution, and weights that hardly move.
With `reuse_model` a process traces it once, which is a second of every other small training."""
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
        identity={
            "seed": seed,
            "factory": name,
            "recipe": {"name": "points", **Target(0.9, 5).as_dict()},
        },
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


def drawn_dense():
    """Seed 0 predicts class 1 for every point, so that half of them are right; seed 1 for those right of
    -0.4, so that 80 % are."""
    bias = 5.0 if np.random.rand() > 0.5 else 0.4
    model = dense_model()
    model.layers[0].set_weights([np.array([[0, 9]], "float32"), np.array([0, 9 * bias], "float32")])
    return model


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


def rehearsed_points():
    """A source of one dense layer for `points`, checked as a user's is."""
    from deepcaptcha.keras.rehearsal import rehearsed_source

    given = points(16)
    pair = given.x_train, given.y_train
    return rehearsed_source(dense_model, pair, pair, Target(), training=Training())


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


# (last conv output, parameters), worked out by hand with pencil: see the arithmetic beside each.
BY_HAND = {
    "same": ((3, 3, 64), 320 + 13_872 + 27_712 + 295_424 + 5_130),  # 576*512+512, 512*10+10
    "valid": ((1, 1, 64), 320 + 13_872 + 27_712 + 33_280 + 5_130),  # 64*512+512
    "extra-conv": ((1, 1, 64), 320 + 13_872 + 27_712 + 36_928 + 33_280 + 5_130),  # 9*64*64+64
    "pool4": ((1, 1, 64), 80_314),  # as valid: the same five layers
    "stride2-first": ((1, 1, 64), 80_314),
    "stride2-second": ((1, 1, 64), 80_314),
    "stride2-third": ((2, 2, 64), 320 + 13_872 + 27_712 + 131_584 + 5_130),  # 256*512+512
    "last20": ((3, 3, 20), 320 + 13_872 + 8_660 + 92_672 + 5_130),  # 9*48*20+20, 180*512+512
    "dense64": ((3, 3, 64), 320 + 13_872 + 27_712 + 36_928 + 650),  # 576*64+64, 64*10+10
    "two-by-two": ((2, 2, 64), 178_618),  # as stride2-third
    "same-reshape-first": ((3, 3, 64), 342_458),
    "same-logits": ((3, 3, 64), 342_458),
}

_BLOCKS = st.builds(
    ConvBlock,
    filters=st.integers(1, 16),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.sampled_from(("same", "valid")),
    pool=st.integers(1, 3),
)


@st.composite
def architectures(draw):
    """Small architectures that exist; draws an impossible one are narrowed, not rejected."""
    chosen = []
    height, width = draw(st.integers(6, 20)), draw(st.integers(6, 20))
    shape = (height, width, draw(st.integers(1, 3)))
    for block in draw(st.lists(_BLOCKS, min_size=1, max_size=3)):
        try:
            Architecture((*chosen, block), input_shape=shape)
        except InputError:
            break
        chosen.append(block)
    return Architecture(
        tuple(chosen),
        dense=tuple(draw(st.lists(st.integers(1, 32), max_size=2))),
        head=draw(st.sampled_from(("softmax-reshape", "reshape-softmax", "logits"))),
        input_shape=shape,
        n_prediction=draw(st.integers(1, 4)),
        n_class=draw(st.integers(2, 12)),
    )


@dataclass(frozen=True)
class BothNeeded:
    """A source in the fewest lines: it converges where its settings `a` and `b` are both true."""

    name: str
    recipe: str
    settings: dict
    target: Target = field(default_factory=lambda: Target(0.5, 1, "value"))
    base: dict = field(default_factory=dict)

    @property
    def recorded(self):
        return self.settings

    def replace(self, name, recipe=None, **changes):
        settings = {**self.settings, **changes}
        return replace(self, name=name, recipe=recipe or "mixed", settings=settings)

    def _trained(self):
        return FunctionSource(self._train, self.target, self.name, version=repr(self.settings))

    def _train(self, seed):
        yield {"value": float(self.settings["a"] and self.settings["b"])}

    def identity(self, seed):
        return self._trained().identity(seed)

    def run(self, seed, *, steps=None):
        return replace(self._trained().run(seed, steps=steps), recipe=self.recipe)


PROJECT = """
from dataclasses import replace
import pytest
from deepcaptcha import RECIPES
from deepcaptcha.keras.settings import Training
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

TINY = replace(
    RECIPES["sound-subset"], name="tiny", n_train=64, n_validation=50,
    training=Training(batch=16), target=Target(0.99, epochs=1),
)

@pytest.mark.convergence
@pytest.mark.parametrize("kind", ["trains", "stuck"])
def test_four_steps_teach_nothing(kind, convergence):
    convergence.judge(TINY.source("valid"), Claim(kind, 0.9, 0.2))
"""
"""A test module whose two verdicts take four steps a trial."""
