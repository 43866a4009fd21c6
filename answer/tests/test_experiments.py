import json
from pathlib import Path

import numpy as np
import pytest

from answer.__main__ import main
from answer.experiment_record import read_measured, write_measured
from answer.experiments import EXPERIMENTS, Cell, Contrast, Ratio
from deepcaptcha.errors import InputError
from deepcaptcha.keras import environment
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.verdicts.baseline import read_baseline

FIXTURES = Path(__file__).parents[2] / "fixtures"
KNOWN = {experiment.name: experiment for experiment in EXPERIMENTS}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_what_is_expected_is_of_cells_that_are_measured(experiment):
    labels = [cell.label for cell in experiment.cells]
    assert len(set(labels)) == len(labels)
    for cell in experiment.cells:
        assert {cell.variant, cell.goes_on_as or "same"} <= set(VARIANTS)
    for expected in experiment.expected:
        assert {expected.a, expected.b} <= set(labels)
        assert isinstance(expected, Ratio if experiment.measure == "step" else Contrast)


def test_a_cell_trains_by_what_it_declares():
    from answer.laboratory import _recipe

    asked = RECIPES["raw-subset"].as_dict()
    for cell in (cell for experiment in EXPERIMENTS for cell in experiment.cells):
        changed = {
            "epochs": cell.epochs,
            "optimizer_settings": {"learning_rate": cell.learning_rate},
        }
        assert _recipe(cell).as_dict() == {**asked, **changed}
    assert _recipe(Cell("", learning_rate=0.0001, epochs=50)).epochs == 50


def test_only_the_pixels_and_the_rate_differ_from_what_was_asked():
    factors = {cell.label: cell.pixels for cell in KNOWN["step"].cells}
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
    ("name", "label"),
    [("pixels", "same"), ("learning-rate", "rate 0.001"), ("pixels", "valid")],
)
def test_an_unchanged_cell_is_the_same_training_as_the_baseline(name, label):
    (cell,) = (cell for cell in KNOWN[name].cells if cell.label == label)
    baseline = read_baseline(FIXTURES / "baselines", cell.variant, "raw-subset")
    measured = read_measured(FIXTURES / "experiments", name)
    assert measured.environment == baseline.environment
    for place, result in enumerate(measured.results(label)):
        assert result["outcome"] == baseline.outcomes[place]
        assert result["epochs_to_target"] == baseline.epochs_to_target[place]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "unknown experiment 'nothing'; known: step, pixels"),
        (["step", "--seeds", "0"], "--seeds is '0'"),
        (["trajectory", "--baselines", "nowhere"], "no baseline of same raw-subset in nowhere"),
    ],
)
def test_bad_input(arguments, words, capsys):
    assert main(["experiment", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("predicted", [0.5, 1e-5, 1e-9, 1 - 1e-9])
def test_our_clipped_loss_is_keras_own_at_its_own_clip(predicted):
    from answer.laboratory import _clipped_crossentropy

    keras = environment.load_keras()
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
    from answer.laboratory import measure_cell

    hidden, seen = (
        measure_cell("step", Cell("", name), 0) for name in ("same", "same-reshape-first")
    )
    # Equal shapes draw equal weights, so both heads start from the same logits; no loss that sees them
    # loses an example.
    assert hidden["size"] == seen["size"]
    assert hidden["lost_before"] > 0 == seen["lost_before"]


def test_what_a_step_and_a_scale_do_follows_from_arithmetic():
    from answer.laboratory import measure_cell

    plain, smaller, slower = (
        measure_cell("step", cell, 0)
        for cell in (Cell(""), Cell("", pixels=1 / 16), Cell("", learning_rate=0.0001))
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
