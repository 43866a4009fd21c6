import json
from pathlib import Path

import numpy as np
import pytest

from answer.__main__ import main
from answer.experiments import EXPERIMENTS, Condition, Contrast, Ratio
from answer.record import read_measured, write_measured
from deepcaptcha.errors import InputError
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.verdicts.baseline import read_baseline

FIXTURES = Path(__file__).parents[2] / "fixtures"
KNOWN = {experiment.name: experiment for experiment in EXPERIMENTS}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_what_is_expected_is_of_conditions_that_are_measured(experiment):
    labels = [condition.label for condition in experiment.conditions]
    assert len(set(labels)) == len(labels)
    for condition in experiment.conditions:
        assert {condition.variant, condition.goes_on_as or "same"} <= set(VARIANTS)
    for expected in experiment.expected:
        assert {expected.a, expected.b} <= set(labels)
        assert isinstance(expected, Ratio if experiment.measure == "step" else Contrast)


def test_a_condition_trains_by_what_it_declares():
    from answer.laboratory import _source

    asked = RECIPES["raw-subset"].as_dict()
    del asked["name"]
    for condition in (each for experiment in EXPERIMENTS for each in experiment.conditions):
        changed = {
            "epochs": condition.epochs,
            "optimizer_settings": {"learning_rate": condition.learning_rate},
        }
        assert _source(condition).recorded == {**asked, **changed}
    assert _source(Condition("", learning_rate=0.0001, epochs=50)).target.epochs == 50


def test_only_the_pixels_and_the_rate_differ_from_what_was_asked():
    factors = {each.label: each.pixels for each in KNOWN["step"].conditions}
    assert factors["same"] == 1
    assert factors["same, pixels / 81"] == pytest.approx(1 / 81)
    assert factors["valid, pixels * 9"] == 9


def test_results_are_read_back_as_they_were_written(tmp_path):
    cells = {"a": {7: {"outcome": "stuck"}, 6: {"outcome": "converged"}}, "b": {6: [[0, None]]}}
    write_measured(tmp_path / "new", "pixels", cells, {"tensorflow": "2"})
    measured = read_measured(tmp_path / "new", "pixels")
    assert measured.cells == cells
    assert measured.results("a") == [{"outcome": "converged"}, {"outcome": "stuck"}]  # by seed
    with pytest.raises(InputError, match=r"step\.json cannot be read .*experiment step --record"):
        read_measured(tmp_path / "new", "step")


@pytest.mark.parametrize(
    ("name", "label"), [("pixels", "same"), ("learning-rate", "rate 0.001"), ("pixels", "valid")]
)
def test_an_unchanged_condition_is_the_same_training_as_the_baseline(name, label):
    (condition,) = (each for each in KNOWN[name].conditions if each.label == label)
    baseline = read_baseline(FIXTURES / "baselines", condition.variant, "raw-subset")
    measured = read_measured(FIXTURES / "experiments", name)
    assert measured.environment == baseline.environment
    for place, result in enumerate(measured.results(label)):
        assert result["outcome"] == baseline.outcomes[place]
        assert result["epochs_to_target"] == baseline.epochs_to_target[place]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "unknown 'nothing'; known: step, pixels"),
        (["step", "--seeds", "0"], "--seeds: '0' is no whole number >= 1"),
        (["trajectory", "--baselines", "nowhere"], "no baseline of same raw-subset in nowhere"),
    ],
)
def test_bad_input(arguments, words, capsys):
    assert main(["experiment", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize("predicted", [0.5, 1e-5, 1e-9, 1 - 1e-9])
def test_our_clipped_loss_is_keras_own_at_its_own_clip(predicted):
    from answer.laboratory import _clipped_crossentropy, keras

    y = np.float32([[[1, 0]]])
    p = np.float32([[[predicted, 1 - predicted]]])
    keras_own = keras.losses.categorical_crossentropy(y, p)
    assert np.asarray(_clipped_crossentropy(1e-7)(y, p)) == pytest.approx(np.asarray(keras_own))


def test_a_clip_beyond_keras_own_shows_what_keras_hides():
    from answer.laboratory import _clipped_crossentropy

    y, p = np.float32([[[1, 0]]]), np.float32([[[1e-20, 1]]])
    assert float(_clipped_crossentropy(1e-30)(y, p)[0, 0]) == pytest.approx(20 * np.log(10))
    assert float(_clipped_crossentropy(1e-7)(y, p)[0, 0]) == pytest.approx(7 * np.log(10))
    with pytest.raises(InputError, match=r"clip is 0\.5"):
        _clipped_crossentropy(0.5)


def test_one_step_from_the_same_start():
    from answer.laboratory import measure_condition

    hidden, seen = (
        measure_condition("step", Condition("", name), 0) for name in ("same", "same-reshape-first")
    )
    # Equal shapes draw equal weights, so both heads start from the same logits; no loss that sees them
    # loses an example.
    assert hidden["size"] == seen["size"]
    assert hidden["lost_before"] > 0 == seen["lost_before"]


def test_what_a_step_and_a_scale_do_follows_from_arithmetic():
    from answer.laboratory import measure_condition

    plain, smaller, slower = (
        measure_condition("step", condition, 0)
        for condition in (
            Condition(""),
            Condition("", pixels=1 / 16),
            Condition("", learning_rate=0.0001),
        )
    )
    # Biases start at 0 and ReLU is homogeneous: a sixteenth of the pixels, a sixteenth of the logits.
    assert smaller["size"] == pytest.approx(plain["size"] / 16, rel=1e-4)
    # Adam's first step is the rate times the gradient's sign, and in its last layer's weights a network
    # is linear: a tenth of the rate, a tenth of what that layer's part moves.
    moved = "movement of probabilities"
    assert slower[moved] == pytest.approx(plain[moved] / 10, rel=1e-3)


@pytest.mark.integration
def test_stuck_weights_go_on_with_a_loss_that_sees(tmp_path, capsys):
    arguments = ["experiment", "rescue", "--seeds", "1", "--output", str(tmp_path), "--json"]
    assert main([*arguments, "--record", str(tmp_path / "record")]) == 0
    cells = json.loads(capsys.readouterr().out)["rescue"]
    ((blind,), (seeing,)) = (cells[label].values() for label in ("as it was", "reshape first"))
    # The first seed of the baseline stream is stuck in fixtures/baselines as well.
    assert blind["before"] == seeing["before"] == "stuck"
    assert (blind["outcome"], seeing["outcome"]) == ("stuck", "converged")
    assert blind["frozen_at_step"] == 50  # at the first look: nothing has moved
    measured = read_measured(tmp_path / "record", "rescue")
    assert measured.results("reshape first") == [seeing]
