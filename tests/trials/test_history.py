"""Symptoms from the record of a trial."""

import math
from dataclasses import replace

import pytest

from deepcaptcha.trials.history import END, diagnose, state_at_end, symptom_lines
from deepcaptcha.trials.trial import Epoch
from tests.helpers import FROZEN, hidden_softmax, make_trial, points, train


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
        # Right answers without a gradient: the outputs are exactly 0 and 1, and the wrong ones stay.
        (
            missed(epoch(0.55, 0.45, 0.45, False)),
            "frozen",
            "and 45 % of the training examples have an exactly zero gradient",
        ),
        (missed(epoch(0.0, 0.45, None, False)), "frozen", "and the loss is exactly 0"),
        (missed(epoch(2.5), epoch(math.log(10))), "plateau", "close to ln 10 = 2.303"),
        # No constant answer costs 2.4: 4 % more than a guess.
        (missed(epoch(2.5), epoch(2.4)), "plateau", "2.400, above ln 10 = 2.303"),
        (
            missed(epoch(1.2, 0.6), epoch(0.8, 0.7), outcome="slow"),
            "learning",
            "loss 1.2 to 0.8",
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
    found = diagnose(trial)
    assert found.code == symptom
    assert words in found.sentence


def test_a_frozen_trial_is_advised_by_its_gradients():
    """At zero gradients it is not the learning rate that is zero."""
    frozen = [
        (epoch(2.5, 0.1, 0.0, False), "optimizer"),
        (epoch(0.55, 0.45, 0.45, False), "output"),
        (epoch(0.0, 0.45, None, False), "loss"),
    ]
    assert [diagnose(missed(last)).component for last, _ in frozen] == [c for _, c in frozen]


@pytest.mark.parametrize(
    ("loss", "accuracy", "code"),
    [
        (-17.3, 0.4, "negative loss"),
        # 1 - 0.0693 / ln 2 = 0.9: at least nine of ten answers are right where it costs so little.
        (0.0693, 0.4, "loss against accuracy"),
        (0.0693, 0.84, "loss against accuracy"),
        (0.0693, 0.86, "learning"),
        (0.8, 0.4, "learning"),
    ],
)
def test_a_cross_entropy_that_its_accuracy_cannot_have(loss, accuracy, code):
    assert diagnose(missed(epoch(loss, accuracy))).code == code


def test_a_loss_below_0_is_no_fault_where_it_is_the_target_or_a_metric_gains():
    falling = {"loss": -3.0, "val_loss": -2.5}
    aim = {"monitor": "val_loss", "mode": "min", "target": -5.0}
    assert diagnose(without_a_model(falling, **aim)).code == "learning"
    gains = {"loss": -3.0, "val_score": 0.5}
    assert diagnose(without_a_model(gains, monitor="val_score", outcome="slow")).code == "learning"
    assert diagnose(without_a_model(gains, monitor="val_score")).code == "negative loss"


def test_only_an_accuracy_is_read_as_one():
    best_five = Epoch({"loss": 0.0693, "top_k_categorical_accuracy": 0.4}, 0.0, True)
    assert diagnose(missed(best_five)).code == "learning"


def test_the_training_accuracy_is_read_by_any_name():
    """Not `frozen`, which would have one look for a learning rate of zero."""
    lost = Epoch({"loss": FLOOR, "val_acc": 0.9, "acc": 0.1}, 1.0, False)
    assert diagnose(missed(lost)).code == "clipped"
    assert diagnose(missed(replace(lost, metrics={"loss": FLOOR}))).code == "no gradient"


def test_a_training_that_logs_no_loss_did_not_lose_it_to_nan():
    silent = Epoch({"own": 1.0}, None, True)
    broken = diagnose(missed(silent, outcome="diverged"))
    assert "first in a weight" in broken.sentence
    assert diagnose(missed(silent)).code == "learning"


def at_end(trial, **measured):
    return replace(trial, probes={END: [[8, measured]]})


def test_a_plateau_says_of_the_gradients_what_was_measured():
    flat = missed(epoch(math.log(10)))
    assert "gradient" not in diagnose(flat).sentence
    alive = at_end(flat, gradient_norms={"conv": 0.5, "dense": 1e-9})
    assert "gradients are alive (the least norm is 1e-09, of dense)" in diagnose(alive).sentence
    dead = at_end(flat, gradient_norms={"conv": 0.0, "dense": 0.0, "out": 1e-9})
    assert diagnose(dead).sentence.endswith(", no gradient reaches conv, dense")
    assert "alive" not in diagnose(dead).sentence


def test_predictions_of_one_class_are_told_where_the_loss_is_not_that_of_guessing():
    one = at_end(missed(epoch(4.0), epoch(3.0)), most_frequent_share=1.0)
    assert diagnose(one).code == "constant predictions"
    nearly = at_end(missed(epoch(4.0), epoch(3.0)), most_frequent_share=0.99)
    assert diagnose(nearly).code == "learning"


def test_a_single_output_has_no_plateau_of_guessing():
    trial = missed(epoch(0.0, 0.5))
    recipe = {**trial.identity["recipe"], "n_class": 1}
    assert diagnose(replace(trial, identity={"recipe": recipe})).code == "learning"


def test_a_trial_that_converged_has_no_symptom():
    assert diagnose(make_trial()) is None


@pytest.mark.integration
def test_a_real_run_with_a_hidden_saturated_softmax_is_told():
    trial = train(hidden_softmax, FROZEN, 0, data=points())
    found = diagnose(trial)
    assert found.code == "clipped"
    # half of the points are of class 0, which is what it always says: 16.118 * 0.5 = 8.06
    assert "the loss is 8.06, near 16.118 * (1 - accuracy)" in found.sentence


def test_symptoms_are_counted():
    trials = [make_trial(), missed(epoch(FLOOR, 0.1, 1.0)), missed(epoch(FLOOR, 0.1, 1.0))]
    lines = symptom_lines([*trials, missed(epoch(None), outcome="diverged")])
    assert [line.split(":")[0] for line in lines] == [
        "clipped, 2 of 3 that missed the target",
        "not finite, 1 of 3 that missed the target",
    ]
    # What several would have one do may be opposites: the most frequent one's is told.
    assert [";" in line for line in lines] == [True, False]
    assert not any(";" in line for line in symptom_lines(trials, advice=False))
    assert symptom_lines([make_trial()]) == []


def test_a_line_says_how_many_what_was_measured_and_what_fixes_it():
    [line] = symptom_lines([missed(epoch(FLOOR, 0.1, 1.0))])
    assert line == (
        "clipped, 1 of 1 that missed the target: 100 % of the training examples have an exactly "
        "zero gradient and the loss is 14.51, near 16.118 * (1 - accuracy): softmax is saturated and "
        "the loss reads clipped probabilities; let the loss see the logits (softmax as the last "
        "operation, or from_logits=True), or scale the inputs to 0..1"
    )


@pytest.mark.parametrize(
    ("trial", "value"),
    [
        (missed(epoch(1.63, 0.895, 0.29), outcome="slow"), 0.29),
        (missed(epoch(2.0), epoch(None), outcome="diverged"), 2),
        (missed(epoch(2.5), epoch(2.5, changed=False)), 2),
        (missed(epoch(5.0, 0.3), epoch(9.0, 0.3)), 9.0),
    ],
)
def test_a_finding_on_a_trial_is_an_error_with_its_number(trial, value):
    found = diagnose(trial)
    assert (found.severity, found.value) == ("error", value)


def without_a_model(*metrics, outcome="stuck", **settings):
    """The trial of a function that tells nothing but its metrics."""
    trial = make_trial(outcome=outcome)
    epochs = tuple(Epoch(each, None, None) for each in metrics)
    recipe = {**trial.settings, **settings}
    return replace(trial, epochs=epochs, identity={"recipe": recipe})


@pytest.mark.parametrize(
    ("trial", "code", "sentence"),
    [
        (
            without_a_model({"loss": 1.2}, {"loss": 0.8}),
            "learning",
            "the target was not met at the end (loss 1.2 to 0.8)",
        ),
        # One report of a whole training: nobody knows how it got there, or whether it moved.
        (without_a_model({"loss": 1.2}), "learning", "the target was not met at the end"),
        (without_a_model({"score": 0.5}), "learning", "the target was not met at the end"),
        (
            without_a_model({"score": 0.5}, {"score": 0.5}),
            "frozen",
            "nothing that it logs changed in its 2 epochs",
        ),
        (
            without_a_model({"loss": 0.8}, {"loss": 1.2}),
            "rising loss",
            "the loss rose from 0.8 in the first epoch to 1.2 in epoch 2",
        ),
        (
            without_a_model({"loss": 2.4}, {"loss": 2.31}, n_class=10),
            "plateau",
            "the loss sits at 2.310, close to ln 10 = 2.303, what guessing costs",
        ),
        (
            without_a_model({"score": 0.5}, {"score": None}, outcome="diverged"),
            "not finite",
            "NaN or infinity appeared first in epoch 2",
        ),
        # Nobody saw a gradient: a loss at the clipped floor alone proves nothing.
        (
            without_a_model({"loss": 15.0, "accuracy": 0.1}, {"loss": 14.5, "accuracy": 0.1}),
            "learning",
            "the target was not met at the end (loss 15 to 14.5)",
        ),
    ],
)
def test_without_a_model_only_what_was_logged_is_told(trial, code, sentence):
    found = diagnose(trial)
    assert (found.code, found.sentence) == (code, sentence)
    assert [line.split(":")[0] for line in symptom_lines([trial])] == [
        f"{code}, 1 of 1 that missed the target"
    ]
    assert state_at_end(trial) == {}
