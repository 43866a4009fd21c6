"""Networks of one's own: modules of the current folder, with and without TensorFlow."""

import json
import sys

import numpy as np
import pytest

from deepcaptcha.cli.main import main
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.place import default_ledger

PERCEPTRON = """
import os
import numpy as np
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target

def train(seed, rate=0.1):
    "Two clouds of points, learned by a perceptron."
    draw = np.random.default_rng(seed)
    y = draw.integers(2, size=200)
    x = np.c_[4 * y[:, None] + draw.standard_normal((200, 2)), np.ones(200)]
    weights = np.zeros(3)
    while True:
        for point, label in zip(x, y):
            weights += rate * (label - (point @ weights > 0)) * point
        yield {"accuracy": float(np.mean((x @ weights > 0) == y))}

def ends_at_times(seed):
    if seed in (0, 2_000_000):
        raise ValueError("no luck")
    if seed == 1:
        raise SystemExit(0)
    return {"accuracy": 1.0}

def rounds(seed):
    "Its loss has a last digit of the worker's environment and of the seed."
    names = "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"
    place = sum(int(os.environ[name]) * 2**n for n, name in enumerate(names))
    loss = 1 / (3 + seed % 7)
    return {"accuracy": 1.0, "loss": loss + 1e-6 * place * (1 + seed % 3)}

def learn_nothing(seed):
    while True:
        yield {"accuracy": 0.5}

source = FunctionSource(train, Target(0.9, 3, "accuracy"), version="1")
nothing = 3
"""
KERAS = """
import keras, numpy as np

def build():
    layers = [keras.Input((2,)), keras.layers.Dense(2, activation="softmax", name="classes")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def build_uncompiled():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])

def build_without_input():
    return keras.Sequential([keras.layers.Dense(2)])

def build_frozen():
    model = build()
    model.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def points():
    draw = np.random.default_rng(0)
    y = draw.integers(2, size=400)
    return (4 * y[:, None] + draw.standard_normal((400, 2)) - 2).astype("float32"), y

def data():
    x, y = points()
    return (x[:300], y[:300]), (x[300:], y[300:])

def triple():
    return 1, 2, 3

def build_torn():
    return {}["units"]

def leave():
    raise SystemExit(0)

def broken():
    raise RuntimeError("no disk")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with modules of one's own that no other test has imported."""
    (tmp_path / "own_perceptron.py").write_text(PERCEPTRON)
    (tmp_path / "own_keras.py").write_text(KERAS)
    (tmp_path / "own_broken.py").write_text("import no_such_library")
    (tmp_path / "own_torn.py").write_text("1 / 0")
    (tmp_path / "own_script.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("own_perceptron", "own_keras"):
        sys.modules.pop(name, None)


ACCURACY = ["--monitor", "accuracy"]


def test_a_function_is_judged_without_tensorflow(here, capsys):
    arguments = ["own_perceptron:train", "--target", "0.9", "--epochs", "3", *ACCURACY]
    assert main(["judge", *arguments, "--ledger", str(here / "ledger")]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("green: own_perceptron:train reached its target")
    assert told.err.startswith("seed 2000000: converged\n")
    trials = read_ledger(here / "ledger").trials
    assert trials
    assert {(t.target.value, t.target.epochs, t.target.monitor) for t in trials} == {
        (0.9, 3, "accuracy")
    }


def test_a_function_of_a_file_is_judged_from_anywhere(here, capsys, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    name = f"{here / 'own_perceptron.py'}:train"
    assert main(["judge", name, *ACCURACY, "--ledger", str(here / "ledger")]) == 0
    assert capsys.readouterr().out.startswith(f"green: {name} reached")


def test_one_that_learns_nothing_is_red(here, capsys):
    arguments = ["own_perceptron:learn_nothing", "--epochs", "2", *ACCURACY, "--json"]
    assert main(["judge", *arguments]) == 1
    record = json.loads(capsys.readouterr().out)
    assert (record["colour"], record["successes"]) == ("red", 0)
    assert read_ledger(default_ledger(here)).trials


def test_a_source_brings_its_own_target(here, capsys):
    assert main(["judge", "own_perceptron:source", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["colour"] == "green"


@pytest.mark.integration
def test_functions_are_studied_side_by_side(here, capsys):
    networks = ["own_perceptron:train", "own_perceptron:learn_nothing"]
    arguments = [*networks, "--seeds", "2", "--epochs", "2", *ACCURACY, "--jobs", "2"]
    output = ["--output", "build/my study"]
    assert main(["study", *arguments, *output, "--baselines", "kept"]) == 0
    told = capsys.readouterr()
    assert "accuracy >= 0.90 within 2 epochs" in told.out
    assert "report --ledger 'build/my study/ledger'\n" in told.out  # as a shell takes it
    rows = json.loads((here / "build" / "my study" / "study.json").read_text())["rows"]
    assert [(row["variant"], row["converged"], row["trials"]) for row in rows] == [
        ("own_perceptron:train", 2, 2),
        ("own_perceptron:learn_nothing", 0, 2),
    ]
    assert len(list((here / "kept").glob("*/*.json"))) == 2
    assert "2 baselines written to kept." in told.err
    # A ruler is measured on what is recorded; these functions round the same in every environment.
    assert main(["study", *arguments, "--ruler", "--baselines", "kept", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "oneDNN off: other bits in 0 of 2 rows" in told["sentences"]
    assert told["ruler"] == []


@pytest.mark.integration
def test_a_left_out_arithmetic_is_judged_at_the_level_of_a_rows_own_seeds(here, capsys):
    arguments = ["own_perceptron:rounds", "--seeds", "4", *ACCURACY, "--jobs", "1"]
    assert main(["study", *arguments, "--baselines", "kept"]) == 0
    assert main(["study", *arguments, "--ruler", "--baselines", "kept"]) == 0
    # Of 5 % comparisons have two fifths, and one row two of them.
    told = "left out, oneDNN off is called a change in 0 of 1 rows at a row's level of 0.01"
    assert told in capsys.readouterr().out


@pytest.mark.integration
def test_trainings_that_fail_cost_themselves_and_the_exit_code(here, capsys):
    words = "own_perceptron:ends_at_times own-training seed {} failed: {}"
    arguments = ["own_perceptron:ends_at_times", "--epochs", "2", *ACCURACY]
    assert main(["study", *arguments, "--seeds", "4", "--jobs", "1"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-2:] == [
        "deepcaptcha: " + words.format(0, "ValueError: no luck"),
        "deepcaptcha: " + words.format(1, "RuntimeError: what trains called sys.exit(0)"),
    ]
    assert "2 / 2" in told.out
    record = json.loads((here / "build" / "study" / "study.json").read_text())
    assert [row["trials"] for row in record["rows"]] == [2]
    assert [(each["seed"], each["reason"][:18]) for each in record["failed"]] == [
        (0, "failed: ValueError"),
        (1, "failed: RuntimeErr"),
    ]
    assert words.format(0, "ValueError: no luck") in (here / "build/study/study.md").read_text()
    assert main(["judge", *arguments]) == 2
    line = "deepcaptcha: " + words.format(2_000_000, "ValueError: no luck")
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.integration
def test_a_factory_is_judged_on_its_own_data(here, capsys):
    arguments = ["own_keras:build", "--data", "own_keras:data", "--target", "0.9", "--epochs", "3"]
    assert main(["judge", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["colour"] == "green"
    assert read_ledger(default_ledger(here)).trials[0].name == "own_keras:build"


@pytest.mark.integration
@pytest.mark.parametrize("held", ["validation", "test", None])
def test_a_factory_is_checked_on_arrays_of_a_file(held, here, capsys):
    draw = np.random.default_rng(0)
    y = draw.integers(2, size=100)
    x = (4 * y[:, None] + draw.standard_normal((100, 2)) - 2).astype("float32")
    others = {} if held is None else {f"x_{held}": x[80:], f"y_{held}": y[80:]}
    np.savez("data.npz", x_train=x[:80], y_train=y[:80], **others)
    assert main(["check", "own_keras:build", "--data", "data.npz", "--seed", "3"]) == 0
    assert "own_keras:build, seed 3: nothing that stops it" in capsys.readouterr().out


def test_training_data_alone_do_for_a_check(here, capsys):
    assert main(["check", "own_keras:build", "--data", "own_keras:points"]) == 0
    assert main(["judge", "own_keras:build", "--data", "own_keras:points"]) == 2
    assert "own_keras:points gives no validation data" in capsys.readouterr().err


def test_a_finding_names_its_fix(here, capsys):
    assert main(["check", "own_keras:build_frozen", "--data", "own_keras:data"]) == 1
    out = capsys.readouterr().out
    assert "error: frozen: " in out or "no layer is trainable" in out or "error: " in out
    assert "\n  Fix: " in out
    assert "own_keras:build_frozen, seed 0: 1 error\n" in out


def test_the_layers_of_ones_own_are_listed(here, capsys):
    assert main(["list", "own_keras:build"]) == 0
    first, total = capsys.readouterr().out.splitlines()
    assert first.split() == ["classes", "(2)", "6"]  # two weights and a bias for each class
    assert total.split() == ["total", "6"]


def test_a_built_in_network_may_have_another_target(tmp_path, monkeypatch):
    """Which is recorded, and told from the recipe it was."""
    from deepcaptcha.cli.main import _parser
    from deepcaptcha.cli.subject import read_subject

    options = _parser().parse_args(
        ["judge", "valid:sound-subset", "--epochs", "2", "--batch", "64"]
    )
    source = read_subject(options.network, options.data).source(options)
    assert (source.name, source.target.epochs, source.training.batch) == ("valid", 2, 64)
    assert source.recipe != "sound-subset"


DATA = ["--data", "own_keras:data"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "own_keras:build"], "each a pair (x, y) or a dataset, or --data FILE.npz\n"),
        (["judge", "own_keras:build"], "own_keras:build needs data: give --data module:function"),
        (
            ["check", "no_such:build", *DATA],
            "no_such cannot be imported: ModuleNotFoundError: No mod",
        ),
        (
            ["check", "own_broken:build", *DATA],
            "own_broken cannot be imported: ModuleNotFoundError",
        ),
        (
            ["check", "own_torn:build", *DATA],
            "own_torn cannot be imported: ZeroDivisionError: divis",
        ),
        (
            ["check", "own_keras:bild", *DATA],
            "own_keras has no 'bild'; package.module:object is need",
        ),
        (["check", "own_keras:", *DATA], "'own_keras:' names nothing; package.module:object"),
        (["check", "own_script:build"], "own_script cannot be imported: SystemExit: 0"),
        (
            ["judge", "own_keras:build", "--data", "own_keras:leave"],
            "own_keras:leave() failed: Syst",
        ),
        (
            ["check", "own_keras:build_torn", *DATA],
            "own_keras:build_torn() failed: KeyError: units\n",
        ),
        (["list", "own_keras:build_torn"], "own_keras:build_torn() failed: KeyError: units\n"),
        (
            ["judge", "own_keras:build_torn", *DATA],
            "own_keras:build_torn cannot be trained: KeyErr",
        ),
        (["check", "own_perceptron:train"], "own_perceptron:train is a function train(seed); it"),
        (
            ["repair", "own_keras:build", *DATA, "--only", "magic"],
            "deepcaptcha: no repair is named 'magic'; known: activation last",
        ),
        (
            ["check", "own_perceptron:nothing", *DATA],
            "own_perceptron:nothing is of type int; a facto",
        ),
        (["check", "own_keras:points", *DATA], "the factory returned tuple; a new keras.Model"),
        (["check", "own_keras:build_uncompiled", *DATA], "the model is not compiled; compile it"),
        (["judge", "own_keras:build_uncompiled", *DATA], "model that is not compiled; compile it"),
        (["judge", "own_keras:build", *DATA, "--monitor", "val_f1"], "val_f1"),
        (
            ["check", "own_keras:build", "--data", "own_keras:triple"],
            "own_keras:triple gives tuple",
        ),
        (
            ["check", "own_keras:build", "--data", "own_keras:broken"],
            "own_keras:broken() failed: Runt",
        ),
        (
            ["check", "own_keras:build", "--data", "none.npz"],
            "cannot read the data from none.npz: No",
        ),
        (["check", "own_keras:build", "--data", "own_keras.py"], "'own_keras.py' names nothing"),
        (["check", "own_perceptron:source"], "own_perceptron:source is no Keras network"),
        (["judge", "own_perceptron:train", *DATA], "own_perceptron:train brings its own data"),
        (["judge", "own_perceptron:source", "--target", "0.5"], "source brings its own target"),
        (
            ["judge", "own_perceptron:train", "--batch", "8"],
            "train brings its own batch; leave it out",
        ),
        (
            ["judge", "own_perceptron:train"],
            "the target is on 'val_accuracy', which own_perceptron:t",
        ),
        (
            ["list", "own_keras:build_without_input"],
            "not all layers of own_keras:build_without_input",
        ),
        (["list", "own_perceptron:train"], "own_perceptron:train is no factory of Keras models"),
        (["study", "own_perceptron:train", "--symptoms"], "symptoms are measured on Keras models"),
        (
            ["study", "own_perceptron:train", "--ruler", "--baselines", "b", "--executor", "dask"],
            "--ruler trains in processes of this machine, and measures no symptoms",
        ),
        (
            ["bisect", "own_perceptron:source", "same"],
            "source has no settings to change; a Keras ne",
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "told",
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, here, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["train", "source"])
def test_what_is_no_keras_network_is_told_by_a_search_for_a_repair_too(name, here, capsys):
    assert main(["repair", f"own_perceptron:{name}"]) == 2
    check, search = capsys.readouterr().err.splitlines()
    assert "it can only be trained" in check
    assert "is no Keras network, and only those can be changed" in search


def test_a_file_without_the_arrays_is_one_line(here, capsys):
    np.savez("other.npz", images=np.zeros(3))
    assert main(["check", "own_keras:build", "--data", "other.npz"]) == 2
    assert "other.npz holds images; the arrays x_train, y_train and" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "judge"])
def test_without_tensorflow_a_network_is_one_line(command, monkeypatch, capsys):
    for name in ("backend", "source", "fit"):
        monkeypatch.delitem(sys.modules, f"deepcaptcha.keras.{name}", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([command, "same"]) == 2
    error = capsys.readouterr().err
    assert "pytest-deepcaptcha with its extra `keras`" in error
    assert len(error.splitlines()) == 1
