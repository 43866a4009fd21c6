"""Deliberate regressions under sound-subset: is each seen, and is a mere rewrite left alone?"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deepcaptcha import RECIPES
from deepcaptcha.keras.backend import keras
from deepcaptcha.networks.variants import CLAIMS, HYPOTHESES, ROWS
from deepcaptcha.plugin.judging import Convergence
from deepcaptcha.plugin.marker import Declared
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.seeds import first_seed
from deepcaptcha.verdicts.claim import Budget

BASELINES = Path(__file__).parent.parent / "fixtures" / "baselines"
RECIPE = RECIPES["sound-subset"]


def same_network(initializer="glorot_uniform", activation="relu", optimizer=None):
    """The variant `same`, written anew as a Sequential model with other layer names."""
    layers = keras.layers

    def conv(filters):
        return layers.Conv2D(
            filters, 3, padding="same", activation=activation, kernel_initializer=initializer
        )

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(conv(32), layers.MaxPooling2D()),
            *(conv(48), layers.MaxPooling2D()),
            *(conv(64), layers.MaxPooling2D()),
            layers.Flatten(),
            layers.Dense(512, activation=activation, kernel_initializer=initializer),
            layers.Dense(10, activation="softmax", kernel_initializer=initializer),
            layers.Reshape((1, 10)),
        ]
    )
    if optimizer is not None:
        model.compile(optimizer, RECIPE.training.loss, metrics=["accuracy"])
    return model


def scaled_initializer():
    """Glorot's uniform initializer with limits 4 times as wide: variance times 16."""
    return same_network(
        keras.initializers.VarianceScaling(16.0, mode="fan_avg", distribution="uniform")
    )


def thirtyfold_learning_rate():
    return same_network(optimizer=keras.optimizers.Adam(0.03))


def dropped_activation():
    return same_network(activation=None)


def judge(build, tmp_path):
    """(evidence, failure message or None) of one row within the whole suite's budget."""
    reported = []
    # The row's own source, but for the network, which is no variant.
    source = replace(RECIPE.source("same"), build=build, arguments={}, reuse_model=False)
    with Runner(tmp_path, reuse=False) as runner:
        convergence = Convergence(
            Budget(HYPOTHESES, rows=ROWS),
            first_seed("pull-request"),
            runner,
            reported.append,
            "pytest",
            Declared(hypotheses=3, rows=1),
        )
        try:
            convergence.judge(source, CLAIMS["same", "sound-subset"], baselines=BASELINES)
        except pytest.fail.Exception as failure:
            return reported[0], str(failure)
    return reported[0], None


@pytest.mark.slow
@pytest.mark.parametrize("build", [scaled_initializer, thirtyfold_learning_rate])
def test_a_deliberate_regression_is_red(build, tmp_path):
    evidence, failure = judge(build, tmp_path)
    assert failure is not None
    assert "trains less reliably than its baseline" in failure
    assert re.search(r"^[a-z ]+, \d+ of \d+ that missed the target: ", failure, re.MULTILINE)
    assert evidence.verdicts[0].colour == "red"


@pytest.mark.slow
def test_a_dropped_activation_is_said_to_be_undetectable(tmp_path):
    """Max pooling alone is non-linear enough to reach 0.90 on digits in one epoch; the verdict stays
    green and says how large a fall it would have seen."""
    evidence, failure = judge(dropped_activation, tmp_path)
    assert failure is None
    assert "detects a fall from 100 % to" in evidence.verdicts[1].note


@pytest.mark.slow
def test_an_equivalent_rewrite_stays_green(tmp_path):
    evidence, failure = judge(same_network, tmp_path)
    assert failure is None
    assert {verdict.colour for verdict in evidence.verdicts} == {"green"}
