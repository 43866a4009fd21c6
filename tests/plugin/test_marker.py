"""What a marker may say."""

import pytest

from deepcaptcha import InputError
from deepcaptcha.plugin.marker import Declared, read_marker
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

FULL = {"target": 0.95, "epochs": 3, "p_good": 0.95, "p_bad": 0.5}


def test_a_bare_marker_counts_one_verdict_and_claims_nothing():
    assert read_marker((), {}) == Declared(1, None, None, None)
    assert read_marker((), {"hypotheses": 3}) == Declared(3, None, None, None)
    twin = read_marker((), {"hypotheses": 3, "rows": 1, "twin": "same-logits"})
    assert twin == Declared(3, rows=1, twin="same-logits")
    assert read_marker((), {"start": "same"}) == Declared(start="same")


def test_a_full_marker():
    declared = read_marker((), {**FULL, "batch": 16})
    assert declared.claim == Claim("trains", 0.95, 0.5)
    assert (declared.target, declared.batch) == (Target(0.95, 3, "val_accuracy", "max", None), 16)
    loss = read_marker((), {**FULL, "monitor": "val_loss", "mode": "min", "chance": 2})
    assert loss.target == Target(0.95, 3, "val_loss", "min", 2)
    assert read_marker((), {**FULL, "kind": "stuck"}).claim == Claim("stuck", 0.95, 0.5)
    assert read_marker((), {"target": 1.0, "epochs": 1, "kind": "mixed"}).claim == Claim("mixed")
    assert read_marker((), {**FULL, "chance": None}).target.chance is None
    assert read_marker((), {"p_good": 0.9, "p_bad": 0.1}) == Declared(
        1, Claim("trains", 0.9, 0.1), None, None
    )


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"hypotheses": 0}, "write pytest.mark.convergence(hypotheses=N), N a whole number >= 1"),
        ({"hypotheses": True}, "write pytest.mark.convergence(hypotheses=N)"),
        ({**FULL, "epoch": 1}, "does not know epoch (did you mean 'epochs'?); it knows"),
        (
            {**FULL, "monitor": "val_acuracy"},
            "'val_acuracy' (did you mean 'val_accuracy'?), and mode",
        ),
        ({**FULL, "goal": 1}, "does not know goal; it knows hypotheses, target, epochs"),
        ({**FULL, "target": 1.2}, "target is 1.2; an accuracy lies above 0 and at most at 1"),
        ({**FULL, "target": 95}, "target is 95; an accuracy"),
        ({**FULL, "epochs": 0}, "epochs is 0; a whole number"),
        ({**FULL, "p_bad": 0.95}, "needs 0 < p_bad < p_good < 1, not p_bad 0.95 and p_good 0.95"),
        ({"target": 0.9, "epochs": 1}, "needs 0 < p_bad < p_good < 1, not p_bad None"),
        ({**FULL, "kind": "works"}, "a claim is trains, stuck, mixed, not 'works'"),
        (
            {**FULL, "monitor": "val_loss"},
            "monitor is 'val_loss', and mode is missing: 'max' if more",
        ),
        ({**FULL, "monitor": "val_loss", "mode": "least"}, "mode is 'least'; 'max' or 'min'"),
        ({**FULL, "target": "0.9"}, "target is '0.9'; a number is needed"),
        ({**FULL, "target": None}, "target is None; a number is needed"),
        ({**FULL, "target": True}, "target is True; a number is needed"),
        ({**FULL, "monitor": None}, "monitor is None; a text is needed"),
        ({**FULL, "mode": ["max"]}, "mode is ['max']; a text is needed"),
        ({**FULL, "kind": None}, "kind is None; a text is needed"),
        ({**FULL, "p_good": "0.9"}, "p_good is '0.9'; a number is needed"),
        ({**FULL, "p_bad": None}, "p_bad is None; a number is needed"),
        ({**FULL, "chance": "x"}, "chance is 'x'; a number is needed"),
        ({**FULL, "epochs": 2.0}, "epochs is 2.0; a whole number"),
        ({**FULL, "batch": None}, "batch is None; a whole number"),
        (
            {"rows": 1},
            "rows is 1; a whole number is needed, and 2 of the 1 hypotheses for each row",
        ),
        ({"hypotheses": 3, "rows": -1}, "rows is -1; a whole number is needed"),
        ({"twin": 1}, "twin is 1; a text is needed"),
        ({"start": "zero"}, "start is 'zero'; 'same' is needed, where all trials are meant to"),
        (
            {**FULL, "chance": 0.95},
            "chance is 0.95, and already meets the target, val_accuracy >= 0.95 within 3 epochs",
        ),
        (
            {**FULL, "monitor": "val_loss", "mode": "min", "chance": 0.5},
            "chance is 0.5, and already meets the target, val_loss <= 0.95 within 3 epochs",
        ),
    ],
)
def test_an_impossible_marker_is_one_clear_line(keywords, words):
    with pytest.raises(InputError) as error:
        read_marker((), keywords)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keywords", "missing"),
    [
        ({"epochs": 1}, "target"),
        ({"target": 0.9}, "epochs"),
        ({"monitor": "accuracy"}, "target and epochs"),
    ],
)
def test_a_target_is_named_as_a_whole(keywords, missing):
    with pytest.raises(InputError, match=f"^nothing says {missing}; write pytest.mark.convergence"):
        read_marker((), {**keywords, "p_good": 0.9, "p_bad": 0.1})


def test_batches_alone_say_nothing_of_a_target():
    declared = read_marker((), {"batch": 16, "p_good": 0.9, "p_bad": 0.5})
    assert (declared.batch, declared.target) == (16, None)
