"""A Keras source: prefixes, identities, changes of its settings, and its way to other processes."""

import json
import pickle
from dataclasses import replace

import cloudpickle
import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras import source as module
from deepcaptcha.keras.backend import keras
from deepcaptcha.keras.data import Examples
from deepcaptcha.keras.fit import Probe, hash_weights
from deepcaptcha.keras.rehearsal import rehearsed_source
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.trial import Target, Trial
from tests.helpers import CREEPING, POINTS, dense_model, drawn_dense, ending, points, source_of

# Of a trial in a ledger of 0.2; baselines and ledgers are recognized by them.
IDENTITY = {
    "factory",
    "shapes",
    "initial_weights",
    "recipe",
    "data",
    "seed",
    "environment",
    "protocol",
}
RECORDED = {
    "name",
    "data",
    "n_train",
    "n_validation",
    "validation_split",
    "scaling",
    "n_prediction",
    "n_class",
    "optimizer",
    "optimizer_settings",
    "loss",
    "batch",
    "epochs",
    "monitor",
    "mode",
    "target",
    "chance",
    "steps_per_execution",
}


def weights(run):
    return hash_weights(run.model.get_weights())


def test_a_prefix_is_the_beginning_of_the_whole_and_is_never_recorded(tmp_path):
    """Of two epochs of 10 batches, four an execution: 12 are reached in the middle of the second."""
    probe = Probe("weights", weights, at=("execution",))
    source = source_of(drawn_dense, CREEPING, points(), probes=(probe,), reuse_model=True)
    with Runner(tmp_path) as runner:
        whole, prefix = runner.run(source, 3), runner.run(source, 3, steps=12)
    assert (whole.stop_reason, prefix.stop_reason) == ("epochs", "steps")
    assert [step for step, _ in whole.probes["weights"]] == [4, 8, 10, 14, 18, 20]
    assert prefix.probes["weights"] == whole.probes["weights"][:4]
    assert prefix.weights_sha256 == dict(whole.probes["weights"])[14] != whole.weights_sha256
    assert prefix.epochs[0] == whole.epochs[0]
    assert prefix.identity == {**whole.identity, "steps": 12}
    (path,) = tmp_path.glob("*.jsonl")
    assert len(path.read_text().splitlines()) == 1 + 1  # its format, and the whole


def test_a_prefix_that_met_its_target_can_be_kept():
    any_loss = Target(1e9, epochs=2, monitor="val_loss", mode="min")
    met = replace(source_of(drawn_dense, CREEPING, points()), target=any_loss).run(3, steps=4)
    assert (met.outcome, met.stop_reason, met.epochs_to_target) == ("converged", "steps", None)
    assert Trial.from_dict(json.loads(json.dumps(met.as_dict()))) == met


def test_a_trial_is_the_same_whoever_asked_for_identities_before():
    """Two sources of equal models share what this process traced, and both could be at their start."""
    one, other = (source_of(drawn_dense, CREEPING, points(), reuse_model=True) for _ in range(2))
    alone = one.run(1)
    assert one.identity(1) == alone.identity
    assert ending(one.run(1)) == ending(alone)
    one.identity(1)
    other.identity(2)
    assert ending(one.run(1)) == ending(alone)
    one.identity(1)
    np.random.seed(5)
    assert ending(one.run(1)) == ending(alone)


def drawing_as_it_trains():
    """Draws from NumPy's generator at every epoch's end."""

    class Shaken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            layer = self.model.layers[-1]
            layer.set_weights([w + np.random.rand(*w.shape) for w in layer.get_weights()])

    return [Shaken()]


def test_what_is_drawn_between_identity_and_run_changes_nothing():
    source = source_of(
        drawn_dense, CREEPING, points(), callbacks=drawing_as_it_trains, reuse_model=True
    )
    alone = source.run(1)
    source.identity(1)
    np.random.rand()
    assert ending(source.run(1)) == ending(alone)


def test_an_identity_is_that_of_the_data_that_are_trained_on():
    """Loaded once a trial, also where a function loads others each time."""
    loaded = []

    def load():
        loaded.append(points(seed=len(loaded)))
        return loaded[-1]

    source = KerasSource(drawn_dense, load, CREEPING.target, CREEPING.training, reuse_model=True)
    trial = source.run(0)
    assert trial.identity["data"] == loaded[0].sha256
    assert len(loaded) == 1


def test_the_recorded_names_are_those_of_version_0_2():
    assert {"name", *RECIPES["raw-subset"].source("same").recorded} == RECORDED


@pytest.mark.integration
def test_identities_are_those_of_version_0_2():
    x, y = np.zeros((8, 1), "float32"), np.eye(2, dtype="float32")[np.arange(8) % 2]
    named = RECIPES["raw-subset"].source("same").identity(0)
    given = rehearsed_source(
        dense_model, (x, y), (x, y), Target(0.9, 2), training=Training(), batch=4
    ).identity(0)
    assert set(named) == set(given) == IDENTITY
    assert set(named["recipe"]) == set(given["recipe"]) == RECORDED
    both = {
        "validation_split": None,
        "scaling": "raw",
        "n_prediction": 1,
        "optimizer": "adam",
        "optimizer_settings": {"learning_rate": 0.001},
        "loss": "categorical_crossentropy",
        "monitor": "val_accuracy",
        "mode": "max",
        "target": 0.9,
        "chance": None,
    }
    assert named["recipe"] == {
        **both,
        "name": "raw-subset",
        "data": "subset",
        "n_train": 6400,
        "n_validation": 2000,
        "n_class": 10,
        "batch": 32,
        "epochs": 5,
        "steps_per_execution": 50,
    }
    assert given["recipe"] == {
        **both,
        "name": "8 examples",
        "data": "given",
        "n_train": 8,
        "n_validation": 8,
        "n_class": 2,
        "batch": 4,
        "epochs": 2,
        "steps_per_execution": 2,
    }


def line(count, slope=1.0):
    """`count` points on a line."""
    given = points(count)
    x = slope * given.x_train
    return Examples(x, given.y_train, x, given.y_train)


SOURCE = KerasSource(
    dense_model,
    line,
    Target(0.9, 4),
    Training(batch=8),
    name="dense",
    recipe="line",
    arguments={"units": 2, "activation": "softmax"},
    facts={"count": 64, "slope": 2.0},
)


def test_settings_are_arguments_facts_training_and_target():
    assert SOURCE.settings == {
        "units": 2,
        "activation": "softmax",
        "count": 64,
        "slope": 2.0,
        **Training(batch=8).as_dict(),
        **Target(0.9, 4).as_dict(),
    }
    assert set(SOURCE.settings) - set(SOURCE.recorded) == {"units", "activation"}
    assert SOURCE.examples.n_train == 64


@pytest.mark.parametrize(
    ("changes", "recipe"),
    [
        ({"activation": "sigmoid"}, "line"),
        ({"batch": 16, "target": 0.8, "activation": "sigmoid"}, "line + batch, target"),
        ({"count": 32}, "line + count"),
    ],
)
def test_a_change_reaches_whatever_has_the_setting(changes, recipe):
    other = SOURCE.replace("other", **changes)
    assert other.settings == {**SOURCE.settings, **changes}
    assert (other.name, other.recipe) == ("other", recipe)
    assert other.base == SOURCE.base
    assert SOURCE.replace("other", "mine", **changes).recipe == "mine"
    assert SOURCE.settings["batch"] == 8
    assert other.examples.n_train == changes.get("count", 64)
    assert (other.training.batch, other.target.value) == (
        changes.get("batch", 8),
        changes.get("target", 0.9),
    )


def test_a_setting_that_is_argument_and_fact_is_changed_in_both():
    digits = RECIPES["sound-subset"].source("same").replace("wide", n_prediction=2)
    assert digits.arguments["n_prediction"] == digits.facts["n_prediction"] == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"momentum": 1},
            "nothing is named 'momentum'; known: units, activation, count, slope, opti",
        ),
        ({"batch": 0}, "batch is 0; a whole number >= 1"),
        ({"target": 1.5}, "target is 1.5; an accuracy"),
    ],
)
def test_a_change_that_cannot_be_is_refused(changes, words):
    with pytest.raises(InputError) as error:
        SOURCE.replace("other", **changes)
    assert words in str(error.value)


def test_data_that_are_given_cannot_be_changed():
    given = source_of(dense_model, POINTS, points())
    with pytest.raises(InputError, match="n_train is of data that are given; a function must load"):
        given.replace("other", n_train=32)
    assert given.replace("other", batch=16).training.batch == 16


def test_arguments_that_the_factory_does_not_take_are_refused():
    with pytest.raises(InputError, match="dense: the factory does not take its arguments: missing"):
        KerasSource(lambda units, more: None, line, Target(), name="dense", arguments={"units": 2})


def test_a_source_travels_with_closures_and_without_its_model():
    units = 2
    source = source_of(lambda: dense_model(units), CREEPING, lambda **facts: points())
    identity = source.identity(0)
    again = pickle.loads(cloudpickle.dumps(source))
    assert len(cloudpickle.dumps(source)) < 20_000
    assert again.settings == source.settings
    assert again.identity(0) == identity


def test_models_are_forgotten():
    source_of(drawn_dense, CREEPING, points(), reuse_model=True).identity(0)
    assert module._traced
    assert module._ready
    module.forget_models()
    assert not module._traced
    assert not module._ready
