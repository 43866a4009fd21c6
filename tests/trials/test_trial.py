"""Targets, and how a training ended."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcaptcha.errors import InputError
from deepcaptcha.trials.trial import Epoch, Target, outcome_of, tells_apart


@given(st.floats(0, 1), st.floats(0.01, 1))
def test_meeting_a_target_has_a_direction(value, target):
    assert Target(target).is_met(value) == (value >= target)
    least = Target(target, monitor="val_loss", mode="min")
    assert least.is_met(value) == (value <= target)
    assert not least.is_met(float("nan"))


def test_a_target_in_words_and_back_from_its_record():
    most, least = Target(), Target(0.05, 1, "val_loss", "min", 2.3)
    assert most.text == "val_accuracy >= 0.9 within 5 epochs"
    assert least.text == "val_loss <= 0.05 within 1 epochs"
    assert least.as_dict() == {
        "target": 0.05,
        "epochs": 1,
        "monitor": "val_loss",
        "mode": "min",
        "chance": 2.3,
    }
    assert [Target.from_dict({**t.as_dict(), "batch": 3}) for t in (most, least)] == [most, least]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 2.5}, "epochs is 2.5; a whole number >= 1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"mode": "best"}, "mode is 'best'; 'max' or 'min'"),
        ({"value": 1.2}, "target is 1.2; an accuracy lies above 0 and at most at 1"),
        ({"value": 0.0}, "target is 0.0; an accuracy"),
        ({"value": float("nan")}, "target is nan; a finite number"),
        ({"chance": float("inf")}, "chance is inf; a finite number"),
        ({"chance": "guessing"}, "chance is 'guessing'; a finite number"),
        ({"value": "0.9"}, "target is '0.9'; a finite number"),
    ],
)
def test_an_impossible_target_is_refused(fields, words):
    with pytest.raises(InputError) as error:
        Target(**fields)
    assert words in str(error.value)


HALF = Epoch({"val_accuracy": 0.5, "loss": 1.0}, weights_changed=True)


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({}, "slow"),
        ({"finite": False}, "diverged"),
        ({"frozen": True}, "stuck"),
        ({"finite": False, "frozen": True}, "diverged"),
    ],
)
def test_what_was_seen_of_the_weights_counts(settings, outcome):
    assert outcome_of([HALF], Target(), 0.1, **settings) == outcome


def test_a_frozen_run_that_meets_its_target_has_converged():
    assert outcome_of([Epoch({"val_accuracy": 0.9})], Target(), 0.1, frozen=True) == "converged"


def test_no_changed_weight_in_the_last_epoch_is_stuck():
    still = Epoch(HALF.metrics, weights_changed=False)
    assert outcome_of([HALF, still], Target(), 0.1) == "stuck"
    assert outcome_of([still, HALF], Target(), 0.1) == "slow"
    # Weights that are seen to move are slow, even where the monitor is not.
    assert outcome_of([HALF, HALF], Target(), None) == "slow"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 1.0), False),
        ((0.9731, 123.0, None), False),  # shares of 10,000
        ((97 / 123,), False),
        ((float(np.float32(97) / np.float32(123)), float(np.float32(0.9))), False),
        ((0.1 * 3**0.5,), True),
        ((0.9, 2 / 3 + 1e-12), True),
        ((float(np.float32(0.1 * 3**0.5)),), False),  # one in single precision is not enough
        ((float(np.float32(0.1 * 3**0.5)), float(np.float32(0.2 * 5**0.5))), True),
        ((1e300, 1e-300), True),
    ],
)
def test_only_values_that_two_draws_do_not_share_tell_them_apart(values, expected):
    assert tells_apart([{"loss": value} for value in values]) is expected
