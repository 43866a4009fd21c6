"""Symptoms along a trial: measured where declared, and without changing the trial."""

import numpy as np
import pytest

from deepcaptcha import Examples
from deepcaptcha.diagnosis.probes import SYMPTOMS
from deepcaptcha.trials.history import END, PREDICTORS, diagnose
from tests.helpers import FROZEN, POINTS, changed, dense_model, hidden_softmax, points, train


@pytest.mark.integration
def test_a_trial_with_symptoms_is_the_same_trial():
    plain = train(hidden_softmax, FROZEN, 0, data=points())
    seen = train(hidden_softmax, FROZEN, 0, data=points(), probes=SYMPTOMS)
    assert (seen.weights_sha256, seen.epochs) == (plain.weights_sha256, plain.epochs)
    assert (seen.outcome, seen.frozen_at_step) == (plain.outcome, plain.frozen_at_step)
    assert plain.probes == {}
    [[step, end]] = seen.probes[END]
    assert step == seen.frozen_at_step
    # It says class 0 of everything and half of the points are of class 1: none has a gradient, half
    # are lost.
    assert (end["zero_gradient_share"], end["lost_share"]) == (1, 0.5)
    assert end["most_frequent_share"] == 1
    assert set(end["gradient_norms"].values()) == {0}
    assert seen.probes[PREDICTORS][0][0] == 0


@pytest.mark.integration
def test_a_trial_that_converged_has_no_state_at_its_end():
    recipe = changed(POINTS, optimizer_settings={"learning_rate": 0.1})
    trial = train(dense_model, recipe, 0, data=points(), probes=SYMPTOMS)
    assert trial.outcome == "converged"
    assert END not in trial.probes
    assert [step for step, _ in trial.probes[PREDICTORS]] == [0]


def test_a_weight_that_is_not_finite_is_named():
    given = points()
    x = given.x_train.copy()
    x[3] = np.nan
    broken = Examples(x, given.y_train, given.x_validation, given.y_validation)
    trial = train(dense_model, POINTS, 0, data=broken, probes=SYMPTOMS)
    assert trial.outcome == "diverged"
    [[_, end]] = trial.probes[END]
    assert end["first_not_finite"].endswith("/kernel")
    assert end["first_not_finite"] in diagnose(trial).sentence


@pytest.mark.integration
def test_a_layer_without_a_living_unit_is_told():
    def dead():
        from deepcaptcha.keras.backend import keras

        constant = keras.initializers.Constant(-100)
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((1,)),
                layers.Dense(4, activation="relu", bias_initializer=constant, name="silent"),
                layers.Dense(2, activation="softmax"),
            ]
        )

    trial = train(dead, POINTS, 0, data=points(), probes=SYMPTOMS)
    found = diagnose(trial)
    assert found.code == "dead units"
    assert "any ReLU unit of silent" in found.sentence
