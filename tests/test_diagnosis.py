"""Symptoms from the record of a trial."""

import math
from dataclasses import replace

import pytest

from deepcaptcha import run_trial
from deepcaptcha.diagnosis import diagnose, symptom_lines
from deepcaptcha.trial import Epoch

from .test_frozen import RECIPE, hidden_softmax
from .test_ledger import make_trial
from .test_trial import points


def missed(*epochs, outcome="stuck"):
    trial = make_trial(outcome=outcome)
    recipe = {**trial.identity["recipe"], "n_class": 10}
    return replace(trial, epochs=epochs, identity={**trial.identity, "recipe": recipe})


def epoch(loss, accuracy=0.1, share=0.0, changed=True):
    return Epoch({"loss": loss, "accuracy": accuracy}, share, changed)


# -ln(1e-7) = 16.1181 by hand; nine of ten examples pay it at 10 % accuracy.
FLOOR = 16.1181 * 0.9


@pytest.mark.parametrize(
    ("trial", "symptom", "words"),
    [
        (missed(epoch(FLOOR, 0.1, 1.0, False)), "clipped", "100 % of the training examples"),
        (missed(epoch(16.1181 * 0.7, 0.3, 0.98)), "clipped", "98 % of the training examples"),
        # One class of ten is lost for good, the others are learned.
        (
            missed(epoch(1.63, 0.895, 0.29), outcome="slow"),
            "clipped",
            "29 % of the training examples",
        ),
        (
            missed(epoch(1.67, 0.88, 0.31), outcome="slow"),
            "clipped",
            "31 % of the training examples",
        ),
        # A loss from logits may cost as much and more, but never without a gradient.
        (missed(epoch(FLOOR, 0.1, 0.0)), "learning", "still changed"),
        (missed(epoch(2.0), epoch(None), outcome="diverged"), "not finite", "first in epoch 2"),
        (missed(epoch(2.0), outcome="diverged"), "not finite", "first in a weight"),
        (missed(epoch(2.5, changed=False)), "frozen", "no weight changed in epoch 1"),
        (missed(epoch(2.5), epoch(math.log(10))), "plateau", "close to ln 10 = 2.303"),
        (
            missed(epoch(1.2, 0.6), epoch(0.8, 0.7), outcome="slow"),
            "learning",
            "loss 1.200 to 0.800",
        ),
        # Half the examples without a gradient, but learned ones: the loss is far below the floor.
        (missed(epoch(0.4, 0.85, 0.6), outcome="slow"), "learning", "when its 1 epochs were over"),
        (missed(epoch(FLOOR, 0.1, None)), "learning", "still changed"),
    ],
)
def test_each_symptom_is_told_from_the_others(trial, symptom, words):
    diagnosis = diagnose(trial)
    assert diagnosis.symptom == symptom
    assert words in diagnosis.sentence


def test_a_trial_that_converged_has_no_symptom():
    assert diagnose(make_trial()) is None


def test_a_real_run_with_a_hidden_saturated_softmax_is_told():
    trial = run_trial(hidden_softmax, RECIPE, 0, examples=points())
    diagnosis = diagnose(trial)
    assert diagnosis.symptom == "clipped"
    # half of the points are of class 0, which is what it always says: 16.118 * 0.5 = 8.06
    assert "the loss is 8.06, near 16.118 * (1 - accuracy)" in diagnosis.sentence


def test_symptoms_are_counted():
    trials = [make_trial(), missed(epoch(FLOOR, 0.1, 1.0)), missed(epoch(FLOOR, 0.1, 1.0))]
    lines = symptom_lines([*trials, missed(epoch(None), outcome="diverged")])
    assert [line.split(":")[0] for line in lines] == [
        "2 of 3 that missed the target are clipped",
        "1 of 3 that missed the target are not finite",
    ]
    assert symptom_lines([make_trial()]) == []
