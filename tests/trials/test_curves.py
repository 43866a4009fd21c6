"""Numbers of learning curves, and the symptoms they are, on histories made by hand."""

import math
from dataclasses import replace

import pytest

from deepcaptcha.trials.curves import (
    curves_of,
    epochs_needed,
    falling_share,
    movement,
    pace,
    swing,
    turning_share,
)
from deepcaptcha.trials.history import diagnose
from deepcaptcha.trials.trial import Epoch, Target
from tests.helpers import make_trial


def test_movement_leaves_out_the_first_epoch_of_several():
    assert movement((105.0, 2.30, 2.31)) == pytest.approx(0.01 / 2.31)
    assert movement((4.0, 3.0)) == 0.25
    assert movement((0.0, 0.0)) == 0
    assert math.isnan(movement((1.0,)))


def test_turns_swings_and_falls():
    saw = (1.0, 2.0, 1.0, 2.0)
    assert turning_share(saw) == 1
    assert swing(saw) == pytest.approx(1 / 1.5)  # each change is 1, the mean 1.5
    assert swing((6.0, 4.2, 4.3, 4.1)) == pytest.approx(0.2 / 4.65)  # of 1.8, 0.1 and 0.2
    assert falling_share(saw) == pytest.approx(1 / 3)
    assert turning_share((4.0, 3.0, 2.0)) == 0
    assert math.isnan(turning_share((4.0, 3.0)))


def test_the_pace_of_a_straight_line_is_1():
    assert pace((10.0, 9.0, 8.0, 7.0, 6.0)) == 1
    assert pace((10.0, 4.0, 2.0, 1.5, 1.0)) == 0.125  # 4 an epoch, then 0.5
    assert math.isnan(pace((10.0, 9.0)))


def test_epochs_needed_of_a_curve_known_by_formula():
    """8 / epoch is 1 after 8 epochs: the power law's end, exactly. The line through the last three
    values, 4, 8/3 and 2, falls by 1 an epoch from 26/9 in epoch 3."""
    needed = epochs_needed((8.0, 4.0, 8 / 3, 2.0), Target(1.0, 4, "loss", "min"))
    assert needed == pytest.approx((3 + 26 / 9 - 1, 8))


def test_epochs_needed_of_a_measure_without_bound():
    low, high = epochs_needed((10.0, 20.0, 30.0), Target(40.0, 3, "score"))
    assert low == pytest.approx(4)  # 10 an epoch
    assert high == pytest.approx(5.59, abs=0.01)  # numpy.polyfit(numpy.log([1, 2, 3]), ..., 1)


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ((0.5, 0.6), Target(0.9, 5)),
        ((0.5, 0.4, 0.3), Target(0.9, 5)),
        ((0.5, 0.5, 0.5), Target(0.9, 5)),
        ((0.5, 0.6, 0.7), Target(1.0, 5)),  # a power law never gets to its bound
    ],
)
def test_epochs_needed_are_not_told_where_no_line_leads(values, target):
    assert epochs_needed(values, target) is None


def history(target=None, outcome="slow", n_class=10, **logged):
    """A trial that missed `target`, with the curves given by their names."""
    target = Target(0.9, 20) if target is None else target
    epochs = tuple(
        Epoch(dict(zip(logged, values, strict=True)), 0.0, True)
        for values in zip(*logged.values(), strict=True)
    )
    recipe = {"name": "made", "n_class": n_class, **target.as_dict()}
    trial = make_trial(outcome=outcome)
    return replace(trial, epochs=epochs, identity={**trial.identity, "recipe": recipe})


def test_a_loss_that_keras_never_saw_is_no_curve():
    trial = history(loss=(0.0, 0.0), val_loss=(5.0, 4.0), val_accuracy=(0.1, 0.2))
    assert curves_of(trial).loss == ()
    assert "(val_accuracy 0.1 to 0.2)" in diagnose(trial).sentence


ERROR = Target(0.5, 20, "val_error", "min")

CASES = {
    # 28 times the training loss after the first epoch, and rising as more is learned.
    "behind in validation, data": history(
        accuracy=(0.6, 0.8, 0.95),
        loss=(1.0, 0.5, 0.2),
        val_accuracy=(0.1, 0.1, 0.1),
        val_loss=(4, 5, 6),
    ),
    # The same, but falling: averages that catch up.
    "behind in validation, architecture": history(
        accuracy=(0.6, 0.8, 0.95),
        loss=(1.0, 0.5, 0.2),
        val_accuracy=(0.5, 0.5, 0.6),
        val_loss=(4, 2, 1),
    ),
    # Only the metrics are logged.
    "behind in validation, data, by its metrics": history(
        accuracy=(0.6, 0.95), val_accuracy=(0.5, 0.6)
    ),
    "overfitted, data": history(
        accuracy=(0.5, 0.8, 0.95, 1.0),
        loss=(1.5, 0.7, 0.3, 0.1),
        val_accuracy=(0.5, 0.6, 0.6, 0.6),
        val_loss=(1.4, 1.2, 1.4, 1.6),
    ),
    # Never better than ln 10 = 2.303, what guessing costs.
    "overfitted, labels": history(
        accuracy=(0.1, 0.2, 0.3),
        loss=(2.33, 2.2, 1.95),
        val_accuracy=(0.1, 0.09, 0.1),
        val_loss=(2.35, 2.4, 2.5),
    ),
    "constant metric, architecture": history(
        accuracy=(0.3, 0.4, 0.4, 0.4, 0.4),
        loss=(0.71, 0.66, 0.61, 0.56, 0.51),
        val_accuracy=(0.4, 0.4, 0.4, 0.4, 0.4),
        val_loss=(0.67, 0.62, 0.57, 0.52, 0.47),
        n_class=1,
    ),
    # 7.0 to 5.3 in the first epoch, then nothing: half a percent.
    "unmoved, loss": history(ERROR, loss=(7.0, 5.31, 5.3, 5.33), val_error=(5.2, 5.1, 5.3, 5.2)),
    "oscillating, optimizer": history(
        loss=(5.0, 2.0, 6.0, 3.0, 5.0), val_accuracy=(0.2,) * 4 + (0.3,)
    ),
    "oscillating, optimizer, in validation": history(
        loss=(2.0, 1.57, 1.61, 1.6, 1.59),
        val_accuracy=(0.4, 0.3, 0.4, 0.3, 0.4),
        val_loss=(1.6, 2.0, 1.6, 2.1, 1.65),
    ),
    "rising loss, optimizer": history(loss=(1.0, 1.2, 1.4), val_accuracy=(0.3, 0.2, 0.25)),
    # A hundredth of the way in five epochs, in a straight line.
    "too slow, optimizer": history(
        accuracy=(0.1, 0.11, 0.12, 0.13, 0.14),
        loss=(2.50, 2.49, 2.48, 2.47, 2.46),
        val_accuracy=(0.1, 0.11, 0.12, 0.12, 0.13),
    ),
    # The same of targets in the millions: steps of a usual size do not get there.
    "too slow, data": history(
        Target(1.0, 5, "val_loss", "min"),
        loss=(2.50e12, 2.49e12, 2.48e12, 2.47e12, 2.46e12),
        val_loss=(2.51e12, 2.50e12, 2.49e12, 2.48e12, 2.47e12),
        n_class=1,
    ),
    # 4 / epoch; the numbers stand in a test of their own, below.
    "too few epochs, budget": history(
        Target(0.5, 4, "val_error", "min"),
        loss=(8.0, 4.0, 3.0, 2.0),
        val_error=(4.0, 2.0, 4 / 3, 1.0),
    ),
    # What was asked came no nearer, the training loss neither: 3 % in the second half.
    "flat, output": history(
        Target(1.0, 20, "val_loss", "min"),
        loss=(6.0, 4.2, 4.3, 4.1),
        val_loss=(4.5, 4.2, 4.3, 4.25),
    ),
    # It came no nearer, while the training loss fell.
    "flat, data": history(
        loss=(2.1, 1.8, 1.7, 1.6),
        val_accuracy=(0.40, 0.43, 0.42, 0.44),
        val_loss=(2, 1.95, 1.94, 1.96),
    ),
    # Falling, but what it gains shrinks too fast to say when.
    "learning, budget": history(
        Target(0.95, 20),
        accuracy=(0.65, 0.88, 0.91, 0.92),
        loss=(1.3, 0.5, 0.37, 0.3),
        val_accuracy=(0.84, 0.88, 0.87, 0.89),
        val_loss=(0.67, 0.45, 0.43, 0.44),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_curves_are_told_apart(case):
    code, component, *_ = case.split(", ")
    found = diagnose(CASES[case])
    assert (found.code, found.component) == (code, component)


@pytest.mark.parametrize(
    "logged",
    [
        {"loss": (0.5, 0.4, 0.35, 0.3), "val_accuracy": (0.95, 0.95, 0.94, 0.95)},
        {"accuracy": (0.9, 0.95), "val_accuracy": (0.91, 0.93)},
    ],
)
def test_a_monitor_that_was_reached_is_not_told_as_missed(logged):
    """What is missed is the other condition of the target."""
    held = {"val_loss": (0.33, 0.32, 0.325, 0.32)[: len(logged["val_accuracy"])]}
    kept = held if "loss" in logged else {"size": held["val_loss"]}
    target = Target(0.9, 20, also=(f"{next(iter(kept))} <= 0.3",))
    found = diagnose(history(target, **logged, **kept))
    assert found.code == "learning"
    assert "meets the target" not in found.sentence


def test_more_epochs_are_advised_only_where_their_number_is_known():
    advised = [case for case, trial in CASES.items() if "more epochs" in diagnose(trial).fix]
    assert advised == ["too few epochs, budget"]
    # 4 / epoch is 0.5 after 8 epochs; the line through 2, 4/3 and 1 falls by a half an epoch from 13/9
    # in epoch 3, and is there in epoch 4.89.
    assert diagnose(CASES["too few epochs, budget"]).sentence == (
        "val_error went from 4 to 1 in 4 epochs and, going on so, would reach 0.5 after some 5 to 8"
    )


def test_a_training_that_moves_nothing_but_evenly_is_slow_and_not_unmoved():
    """A learning rate of 1e-7: 0.05 % in five epochs, no answer turned."""
    trial = history(
        accuracy=(0.08,) * 5,
        loss=(2.4120, 2.4117, 2.4114, 2.4111, 2.4108),
        val_accuracy=(0.07,) * 5,
        val_loss=(2.4110, 2.4107, 2.4104, 2.4101, 2.4098),
    )
    assert diagnose(trial).code == "too slow"


def test_learning_by_heart_is_not_slow():
    """The training loss falls in a straight line, and the validation loss rises."""
    assert diagnose(CASES["overfitted, labels"]).code != "too slow"
    longer = history(
        loss=(2.33, 2.26, 2.21, 2.15, 2.1),
        val_loss=(2.35, 2.35, 2.36, 2.41, 2.41),
        val_accuracy=(0.09, 0.08, 0.08, 0.08, 0.1),
    )
    assert diagnose(longer).code not in ("too slow", "too few epochs")
