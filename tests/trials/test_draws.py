"""Trials that are draws of one model, by what they record."""

from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials.draws import SAME_START, require_draws, same_start, tells_apart
from tests.helpers import make_trial


def drawn(seed, start, end, shapes=((2, 1),), data="d", kind="k", **fields):
    trial = make_trial(seed, weights=end)
    identity = {"initial_weights": start, "shapes": [list(s) for s in shapes], "data": data}
    return replace(
        trial, identity={**trial.identity, **identity}, digests={"configuration": kind}, **fields
    )


FIRST = drawn(1, "a", "b")
UNTRAINED = {"outcome": "slow", "epochs_to_target": None}


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([drawn(2, "c", "b")], "seeds 1 and 2 ended in the same weights, bit for bit, and are one"),
        ([drawn(2, "c", "d"), drawn(3, "d", "e")], "seed 3 began with the weights in which seed 2"),
        # Of several processes: a later seed may be trained before an earlier one.
        ([drawn(2, "c", "a")], "seed 1 began with the weights in which seed 2 ended"),
        (
            [drawn(2, "c", "d", [(3, 1)])],
            r"seed 2 trained another architecture \(weights of shape \[3, 1\], not \[2, 1\]\)",
        ),
        (
            [drawn(2, "c", "d", [(2, 1), (1,)])],
            r"another architecture \(weights 2, not 1\) than seed 1",
        ),
        (
            [drawn(2, "c", "d", kind="l")],
            r"another architecture \(the same shapes, other layers or",
        ),
        ([drawn(2, "c", "d", data="e")], "seed 2 trained other data than seed 1"),
    ],
)
def test_trials_that_are_no_draws_of_one_model_are_refused(others, words):
    begins = "^same under points gives no independent trials of one model: .*"
    with pytest.raises(InputError, match=begins + words):
        require_draws([FIRST, *others])


@pytest.mark.parametrize(
    "others",
    [
        [drawn(2, "c", "d"), drawn(3, "e", "f")],
        [drawn(2, "a", "d")],  # pretrained
        [drawn(1, "a", "b")],  # the same seed, trained again
        [drawn(2, "c", "n", outcome="diverged"), drawn(3, "d", "n", outcome="diverged")],  # all NaN
        # Nothing moves from where all begin: the verdict is red, and says why.
        [drawn(2, "z", "z", **UNTRAINED), drawn(3, "z", "z", **UNTRAINED)],
        [make_trial(2, weights="b"), make_trial(3, weights="b")],  # of a function
    ],
)
def test_sound_trials_pass(others):
    require_draws([FIRST, *others])


def test_a_start_that_is_always_the_same_is_said():
    assert same_start(["a", "a", "a"]) == SAME_START
    assert [same_start(starts) for starts in (["a"], ["a", "b"], ["", ""], [])] == [""] * 4


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
