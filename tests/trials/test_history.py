"""Symptoms from the record of a trial."""

import math
from dataclasses import replace

import pytest

from deepcaptcha import run_trial
from deepcaptcha.diagnosis.probes import END
from deepcaptcha.trials.history import diagnose, symptom_lines
from deepcaptcha.trials.trial import Epoch
from tests.keras.test_fit import points
from tests.keras.test_frozen import RECIPE, hidden_softmax
from tests.trials.test_ledger import make_trial


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
        (
            missed(epoch(5.0, 0.3), epoch(9.0, 0.3)),
            "rising loss",
            "from 5 in the first epoch to 9 in epoch 2",
        ),
        # 0.996 is not all of them.
        (missed(epoch(FLOOR, 0.1, 0.996)), "clipped", ">99 % of the training examples"),
        # Learned by heart: the examples cost nothing, which is no fault of the loss.
        (missed(epoch(1e-7, 1.0, 1.0, False)), "no gradient", "every training example is right"),
        (missed(epoch(3.0, 0.5, 1.0, False)), "no gradient", "the loss is flat"),
        # Half the examples without a gradient, but learned ones: the loss is far below the floor.
        (missed(epoch(0.4, 0.85, 0.6), outcome="slow"), "learning", "when its one epoch was over"),
        (missed(epoch(FLOOR, 0.1, None)), "learning", "still changed"),
    ],
)
def test_each_symptom_is_told_from_the_others(trial, symptom, words):
    diagnosis = diagnose(trial)
    assert diagnosis.symptom == symptom
    assert words in diagnosis.sentence


def test_the_training_accuracy_is_read_by_any_name():
    """Not `frozen`, which would have one look for a learning rate of zero."""
    lost = Epoch({"loss": FLOOR, "val_acc": 0.9, "acc": 0.1}, 1.0, False)
    assert diagnose(missed(lost)).symptom == "clipped"
    assert diagnose(missed(replace(lost, metrics={"loss": FLOOR}))).symptom == "no gradient"


def test_a_training_that_logs_no_loss_did_not_lose_it_to_nan():
    silent = Epoch({"own": 1.0}, None, True)
    broken = diagnose(missed(silent, outcome="diverged"))
    assert "first in a weight" in broken.sentence
    assert diagnose(missed(silent)).symptom == "learning"


def at_end(trial, **measured):
    return replace(trial, probes={END: [[8, measured]]})


def test_a_plateau_says_of_the_gradients_what_was_measured():
    flat = missed(epoch(math.log(10)))
    assert "gradient" not in diagnose(flat).sentence
    alive = at_end(flat, gradient_norms={"conv": 0.5, "dense": 1e-9})
    assert "gradients are alive (the least norm is 1e-09, of dense)" in diagnose(alive).sentence
    dead = at_end(flat, gradient_norms={"conv": 0.0, "dense": 0.0, "out": 1e-9})
    assert "no gradient reaches conv, dense;" in diagnose(dead).sentence
    assert "alive" not in diagnose(dead).sentence


def test_predictions_of_one_class_are_told_where_the_loss_is_not_that_of_guessing():
    one = at_end(missed(epoch(4.0), epoch(3.0)), most_frequent_share=1.0)
    assert diagnose(one).symptom == "constant predictions"
    nearly = at_end(missed(epoch(4.0), epoch(3.0)), most_frequent_share=0.99)
    assert diagnose(nearly).symptom == "learning"


def test_a_single_output_has_no_plateau_of_guessing():
    trial = missed(epoch(0.0, 0.5))
    recipe = {**trial.identity["recipe"], "n_class": 1}
    assert diagnose(replace(trial, identity={"recipe": recipe})).symptom == "learning"


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
        "1 of 3 that missed the target is not finite",
    ]
    assert symptom_lines([make_trial()]) == []
