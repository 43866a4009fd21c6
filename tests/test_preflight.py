"""The pre-flight check: every planted fault found, no sound model refused, nothing left behind."""

import os
import subprocess
import sys

import numpy as np
import pytest

from deepcaptcha import InputError, environment
from deepcaptcha.cli import main
from deepcaptcha.preflight import check

from .planted import CASES, FAULTY, SOUND, blobs, compiled, digits, mlp

QUICK = ("dead ReLU: dead_dense", "NaN in the data: nan_pixel", "sound: sound_mlp")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case, id=case.name, marks=() if case.name in QUICK else pytest.mark.integration
        )
        for case in CASES
    ],
)
def test_planted_faults_are_found_and_sound_models_are_not_refused(case):
    keras = environment.load_keras()
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model, data = case.make()
    found = check(model, **data)
    errors = {finding.code for finding in found if finding.severity == "error"}
    warned = {finding.code for finding in found if finding.severity != "information"}
    if case.expect is None:
        assert not errors
    else:
        assert case.expect in warned


def test_there_are_as_many_sound_models_as_faulty_ones_and_half_are_held_out():
    assert len({case.name.split(":")[0] for case in FAULTY}) == 13
    assert len(SOUND) >= len(FAULTY)
    assert sum(case.held_out for case in FAULTY) == 13
    assert sum(case.held_out for case in SOUND) >= 13


def test_the_model_and_its_optimizer_are_left_exactly_as_found():
    keras = environment.load_keras()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(4, activation="softmax"),
        ]
    )
    compiled(model)
    data = blobs()
    model.fit(data["x"], data["y"], epochs=1, verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.asarray(variable).copy() for variable in variables]
    check(model, **data)
    now = [*model.variables, *model.optimizer.variables]
    assert [id(v) for v in now] == [id(v) for v in variables]
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, now, strict=True))


def test_several_inputs_and_outputs_are_checked_too():
    keras = environment.load_keras()
    one, two = keras.Input((4,), name="one"), keras.Input((8,), name="two")
    joined = keras.layers.Concatenate()([one, two])
    model = keras.Model(
        {"one": one, "two": two},
        {
            "kind": keras.layers.Dense(4, activation="softmax", name="kind")(joined),
            "sum": keras.layers.Dense(1, name="sum")(joined),
        },
    )
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "sum": "mse"})
    data = blobs()
    x = {"one": data["x"][:, :4], "two": data["x"][:, 4:]}
    y = {"kind": data["y"], "sum": data["x"].sum(axis=1, keepdims=True)}
    assert [f.code for f in check(model, x, y) if f.severity == "error"] == []
    y["sum"] = y["sum"] * np.nan
    assert [f.code for f in check(model, x, y) if f.severity == "error"] == ["not finite"]


def test_what_cannot_be_checked_is_refused_in_one_line():
    keras = environment.load_keras()
    data = digits()
    with pytest.raises(InputError, match="not compiled"):
        check(keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()]), **data)
    with pytest.raises(InputError, match="600, 500 examples"):
        check(mlp(), data["x"], data["y"][:500])
    with pytest.raises(InputError, match="at least one"):
        check(mlp(), data["x"][:0], data["y"][:0])
    with pytest.raises(InputError, match="validation data hold no example"):
        check(mlp(), **data, validation=(data["x"][:0], data["y"][:0]))
    with pytest.raises(InputError, match="single numbers"):
        check(mlp(), [1.0, 2.0], [0.0, 1.0])


def test_a_loss_of_ones_own_may_read_targets_of_any_kind():
    """Class numbers beside a softmax are no targets out of its reach."""
    keras = environment.load_keras()

    def picked(y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    assert [f.code for f in check(mlp(loss=picked), **digits()) if f.severity == "error"] == []


def test_ctrl_c_ends_a_command_in_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepcaptcha.command_check.check_variant", interrupted)
    assert main(["check", "same"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["same"], 1),
        (["same", "--recipe", "sound-subset"], 0),
        (["same-reshape-first"], 0),
    ],
)
def test_the_question_is_told_from_its_repairs(arguments, code, capsys):
    assert main(["check", *arguments]) == code
    told = capsys.readouterr().out
    assert ("error: lost examples: after 50 steps" in told) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "sane"], "unknown variant 'sane'"),
        (["check", "same", "--recipe", "row"], "unknown recipe 'row'"),
        (["check", "same", "--seed", "-1"], "--seed is '-1'; a whole number >= 0"),
        (["check", "same", "--data", "missing.npz"], "missing.npz"),
        (["predict", "--seeds", "101"], "--seeds is 101; the baseline of same raw-subset has 100"),
        (["predict", "--baselines", "nowhere"], "no baseline of same raw-subset in nowhere"),
        (["symptoms", "--ledger", "nowhere"], "nowhere holds no trials with symptoms"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.integration
def test_a_model_of_a_process_with_many_threads_is_checked_as_it_is():
    """A notebook has long imported TensorFlow by the time its model is looked at."""
    code = (
        "import keras, numpy as np;"
        "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]);"
        "model.compile('adam', 'mse');"
        "x = np.random.default_rng(0).normal(size=(64, 2)).astype('float32');"
        "y = x.sum(axis=1, keepdims=True);"
        "from deepcaptcha import check;"
        "print([f.code for f in check(model, x, y) if f.severity == 'error'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
