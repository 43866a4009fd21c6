"""Four streams that never meet; trials that are draws of one model, by what they record."""

from dataclasses import replace
from itertools import combinations

import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials.seeds import (
    SAME_START,
    STREAMS,
    first_seed,
    require_draws,
    same_start,
    take,
)
from tests.helpers import make_trial


def test_streams_are_disjoint_and_are_seeds():
    assert set(STREAMS) == {"pilot", "baseline", "pull-request", "nightly"}
    for a, b in combinations(STREAMS.values(), 2):
        assert a[-1] < b[0] or b[-1] < a[0]
    assert all(stream[0] >= 0 and stream[-1] < 2**32 for stream in STREAMS.values())


def test_only_nightly_is_fresh():
    assert [first_seed(s) for s in ("pilot", "baseline", "pull-request")] == [0, 10**6, 2 * 10**6]
    assert len({first_seed("nightly") for _ in range(20)}) > 1
    for _ in range(20):
        chosen = take("nightly", 100)
        assert chosen[0] in STREAMS["nightly"]
        assert chosen[-1] in STREAMS["nightly"]


@pytest.mark.parametrize("count", [0, -1, 10_001, 2.0])
def test_no_seeds_are_refused(count):
    with pytest.raises(InputError, match="seeds; a whole number from 1 to 10000"):
        take("pilot", count)


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
