"""Repairs shown by real trainings: the question's network, and two causes at once."""

from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha.keras.backend import keras
from deepcaptcha.networks.digits import Digits, digit_strips, load_mnist
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.repairs.result import repair_lines
from deepcaptcha.repairs.search import repair
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

CLAIM = Claim("trains", 0.9, 0.1)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    return tmp_path_factory.mktemp("ledger")


@pytest.mark.parametrize("name", ["activation last", "logits", "inputs by range"])
def test_the_questions_network_is_repaired_by_each_of_three_changes(name, ledger):
    recipe = replace(RECIPES["raw-subset"], n_train=3200, n_validation=1000, target=Target(0.8, 2))
    found = repair(
        recipe.source("same"), claim=CLAIM, only=[name], runner=Runner(ledger), max_trials=30
    )
    assert found.shown, repair_lines(found)
    assert found.found.names == (name,)
    assert found.found.unrepaired == 0
    assert found.found.unrepaired_trials == found.found.trials


def test_unscaled_pixels_and_a_wrong_loss_are_found_together(tmp_path):
    (images, labels), _ = load_mnist("subset")
    x = images[:1500].reshape(1500, -1).astype("float32")
    y = np.eye(10, dtype="float32")[labels[:1500]]

    def build():
        layers = [keras.layers.Dense(32, "relu"), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential([keras.Input((784,)), *layers])
        model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["accuracy"])
        return model

    found = repair(
        build,
        (x[:1200], y[:1200]),
        (x[1200:], y[1200:]),
        target=Target(0.75, 8),
        claim=CLAIM,
        only=["inputs by range", "loss that fits", "gradients clipped", "learning rate / 10"],
        runner=Runner(tmp_path),
    )
    assert found.shown, repair_lines(found)
    assert found.found.names == ("inputs by range", "loss that fits")
    assert found.found.components == ("data", "loss")
    assert not found.cause  # only some changes were tried


def test_white_paper_is_repaired_by_its_offset():
    """As `captcha-white`, smaller: ink is 0 and the paper 1, so that a step moves all pixels' weights
    alike, units die, and the network sits at guessing."""
    parts = []
    for part, count in zip(load_mnist("subset"), (1500, 400), strict=True):
        strips = digit_strips(2, Digits(part.images[:count], part.labels[:count]))
        white = 1 - strips.images.astype("float32") / 255
        parts.append((white, np.eye(10, dtype="float32")[strips.labels]))

    def build():
        layers = keras.layers
        model = keras.Sequential([keras.Input((28, 56)), layers.Flatten()])
        for layer in (layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(20)):
            model.add(layer)
        model.add(layers.Reshape((2, 10)))
        model.add(layers.Softmax())
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        return model

    found = repair(build, *parts, target=Target(0.5, 2), claim=CLAIM)
    assert found.shown, repair_lines(found)
    assert found.found.names == ("inputs standardized",), repair_lines(found)
    assert found.found.components == ("data",)
    assert found.found.unrepaired == 0
