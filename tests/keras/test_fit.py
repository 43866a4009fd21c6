"""Trials of small recipes: outcomes, records, repeatability."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from deepcaptcha import RECIPES, VARIANTS, Examples, InputError, Probe, Trial, build, run_trial
from deepcaptcha.keras import environment
from deepcaptcha.keras.identity import identify
from deepcaptcha.keras.training import compile_model
from deepcaptcha.networks.recipes import load_examples
from deepcaptcha.networks.variants import question_architecture

SAME = partial(build, VARIANTS["same"].architecture)
SMALL = replace(
    RECIPES["sound-subset"], n_train=960, n_validation=300, epochs=1, steps_per_execution=10
)


def points(count=64, seed=0):
    """Two classes of points on a line, easily told apart by one dense layer."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % 2
    x = (random.rand(count, 1) + labels[:, None]).astype("float32") - 1
    return Examples(x, np.eye(2, dtype="float32")[labels], x, np.eye(2, dtype="float32")[labels])


def dense_model(units=2, activation="softmax", **settings):
    keras = environment.load_keras()
    return keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(units, activation=activation, **settings)]
    )


def ending(trial):
    """What a trial came to, without the time it took."""
    return trial.weights_sha256, trial.epochs, trial.identity, trial.outcome


POINTS = replace(SMALL, name="points", batch=8, epochs=4, target=0.9, steps_per_execution=4)


def test_a_sound_network_trains_on_real_digits():
    """One real training to the real target: the quick stand-in for the slow suite."""
    recipe = replace(RECIPES["sound-subset"], n_train=3200, n_validation=1000)
    trial = run_trial(SAME, recipe, seed=0)
    assert trial.outcome == "converged"
    assert trial.epochs[-1].metrics["val_accuracy"] >= 0.9
    assert trial.epochs_to_target == len(trial.epochs) <= 3
    assert trial.steps_to_target == 100 * trial.epochs_to_target  # 3200 / 32
    assert trial.stop_reason == "target"


@pytest.mark.integration
def test_two_runs_agree_bit_for_bit_here_and_in_a_fresh_process():
    first, second = run_trial(SAME, SMALL, seed=7), run_trial(SAME, SMALL, seed=7)
    code = (
        "from tests.keras.test_fit import *;"
        "print(json.dumps(run_trial(SAME, SMALL, seed=7).as_dict()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    third = Trial.from_dict(json.loads(done.stdout.splitlines()[-1]))
    assert ending(first) == ending(second) == ending(third)
    assert run_trial(SAME, SMALL, seed=8).weights_sha256 != first.weights_sha256


def test_a_trial_is_json_ready_and_comes_back():
    trial = run_trial(dense_model, POINTS, 0, examples=points())
    again = Trial.from_dict(json.loads(json.dumps(trial.as_dict(), allow_nan=False)))
    assert again == replace(trial, epochs=again.epochs)
    assert again.epochs == trial.epochs


@pytest.mark.integration
def test_accuracy_is_kept_per_digit_and_per_string():
    recipe = replace(SMALL, n_prediction=2)
    architecture = question_architecture(
        head="reshape-softmax", input_shape=(28, 56, 1), n_prediction=2
    )
    metrics = run_trial(partial(build, architecture), recipe, 0).epochs[-1].metrics
    assert 0 <= metrics["val_string_accuracy"] <= metrics["val_accuracy"] <= 1


@pytest.mark.integration
def test_a_model_named_logits_has_its_loss_from_logits():
    recipe = replace(SMALL, n_train=320)
    logits = run_trial(partial(build, VARIANTS["same-logits"].architecture), recipe, 3)
    softmax = run_trial(partial(build, VARIANTS["same-reshape-first"].architecture), recipe, 3)
    assert logits.epochs[0].metrics["loss"] == pytest.approx(
        softmax.epochs[0].metrics["loss"], rel=1e-4
    )


def test_a_loss_may_bear_the_name_of_its_class():
    model = build(VARIANTS["same-logits"].architecture)
    examples = load_examples(replace(SMALL, n_train=32, n_validation=32))
    compile_model(model, replace(SMALL, loss="CategoricalCrossentropy"), examples)
    assert model.loss.from_logits


def zero_gradient_by_hand(probability, label):
    """The clip of Keras' cross-entropy: no gradient where the target's share lies outside
    [1e-7, 1 - 1e-7]."""
    target = float(probability[label])
    return not 1e-7 <= target <= np.float32(1 - 1e-7)


@pytest.mark.parametrize("hidden", [True, False])
def test_zero_gradient_share_counts_clipped_examples(hidden):
    """A frozen linear model (learning rate 0) with a huge slope: p is 0 or 1 for most points."""
    keras = environment.load_keras()
    slope = 60.0

    def factory():
        layers = [keras.Input((1,)), keras.layers.Dense(2, activation="softmax")]
        if hidden:
            layers.append(keras.layers.Reshape((2,)))
        model = keras.Sequential(layers)
        model.layers[0].set_weights([np.array([[slope, 0]], "float32"), np.zeros(2, "float32")])
        return model

    examples = points()
    recipe = replace(POINTS, optimizer="sgd", optimizer_settings={"learning_rate": 0.0}, epochs=1)
    share = run_trial(factory, recipe, 0, examples=examples).epochs[0].zero_gradient_share
    z = slope * examples.x_train[:, 0].astype("float64")
    p = 1 / (1 + np.exp(-z))
    by_hand = np.mean(
        [
            zero_gradient_by_hand((a, 1 - a), label)
            for a, label in zip(p, examples.y_train.argmax(1), strict=True)
        ]
    )
    if hidden:
        assert share == pytest.approx(by_hand)
        assert 0.2 < share < 1
    else:  # Keras takes the loss from the logits, where a wrong answer always has a gradient
        assert share == 0


def test_outcome_slow_when_it_learns_but_not_enough():
    recipe = replace(POINTS, target=1.0, epochs=1, optimizer_settings={"learning_rate": 1e-5})
    examples = points()
    trial = run_trial(partial(fixed_dense, 0.4), recipe, 0, examples=examples)
    assert (trial.outcome, trial.stop_reason) == ("slow", "epochs")
    assert (trial.epochs_to_target, trial.steps_to_target) == (None, None)


def fixed_dense(bias):
    """Predicts class 1 right of `-bias`: with bias 0.4 it is right for about 80 % of the points."""
    model = dense_model()
    model.layers[0].set_weights([np.array([[0, 9]], "float32"), np.array([0, 9 * bias], "float32")])
    return model


def test_outcome_stuck_when_it_never_leaves_chance():
    recipe = replace(POINTS, optimizer_settings={"learning_rate": 1e-6}, epochs=1)
    trial = run_trial(partial(fixed_dense, 5.0), recipe, 0, examples=points())
    assert trial.outcome == "stuck"
    assert trial.epochs[-1].metrics["val_accuracy"] == 0.5
    assert trial.epochs[-1].weights_changed


def test_outcome_stuck_when_no_weight_moves():
    recipe = replace(POINTS, target=1.0, optimizer="sgd", optimizer_settings={"learning_rate": 0.0})
    trial = run_trial(partial(fixed_dense, 0.4), recipe, 0, examples=points())
    assert trial.outcome == "stuck"
    assert not any(epoch.weights_changed for epoch in trial.epochs)
    assert trial.frozen_at_step is None


def test_outcome_diverged_stops_at_the_first_weight_that_is_not_finite():
    examples = points()
    x = examples.x_train.copy()
    x[3] = np.nan
    broken = Examples(x, examples.y_train, examples.x_validation, examples.y_validation)
    trial = run_trial(dense_model, POINTS, 0, examples=broken)
    assert (trial.outcome, trial.stop_reason) == ("diverged", "not finite")
    assert len(trial.epochs) == 1
    assert trial.epochs[0].metrics["loss"] is None
    json.dumps(trial.as_dict(), allow_nan=False)


def test_a_training_step_that_logs_no_loss_has_not_diverged():
    keras = environment.load_keras()

    class Silent(keras.Model):
        def train_step(self, data):
            return {"seen": keras.ops.mean(data[0])}

    def factory():
        inputs = keras.Input((1,))
        model = Silent(inputs, keras.layers.Dense(2)(inputs))
        model.compile("sgd", "mse")
        return model

    recipe = replace(POINTS, epochs=1, monitor="val_loss", mode="min", target=0.0)
    trial = run_trial(factory, recipe, 0, examples=points())
    assert "seen" in trial.epochs[0].metrics
    assert "loss" not in trial.epochs[0].metrics
    assert trial.outcome == "stuck"  # it trains nothing, so no weight moves


@pytest.mark.integration
def test_a_trial_tells_whether_a_callback_ended_it():
    keras = environment.load_keras()

    class StopAfterTwo(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    recipe = replace(POINTS, epochs=3, target=1.0, optimizer_settings={"learning_rate": 1e-6})
    early = run_trial(dense_model, recipe, 0, examples=points(), callbacks=lambda: [StopAfterTwo()])
    assert (len(early.epochs), early.stop_reason, early.ended_early) == (2, "epochs", True)
    assert not replace(early, epochs=early.epochs[:1] * 3).ended_early
    assert not replace(early, stop_reason="target").ended_early
    assert not replace(early, stop_reason="frozen").ended_early


def test_chance_of_a_binary_model_is_the_larger_class():
    """Sigmoid and labels (n, 1): half of them are right by chance, and 0.75 is well on the way."""
    keras = environment.load_keras()
    examples = points()
    labels = examples.y_train.argmax(1)[:, None].astype("float32")
    binary = Examples(examples.x_train, labels, examples.x_train, labels)

    def factory():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
        model.layers[0].set_weights([np.array([[9]], "float32"), np.array([4], "float32")])
        model.compile(keras.optimizers.SGD(1e-6), "binary_crossentropy", metrics=["accuracy"])
        return model

    trial = run_trial(factory, replace(POINTS, target=1.0, epochs=1), 0, examples=binary)
    assert 0.65 < trial.epochs[-1].metrics["val_accuracy"] < 1
    assert trial.outcome == "slow"


def subclassed(**compile_settings):
    keras = environment.load_keras()

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, activation="softmax")

        def call(self, x):
            return self.dense(x)

    return Own()


def unbuilt():
    keras = environment.load_keras()
    return keras.Sequential(
        [keras.layers.Dense(2, activation="softmax"), keras.layers.Reshape((2,))]
    )


@pytest.mark.integration
@pytest.mark.parametrize("build", [subclassed, unbuilt])
def test_a_model_that_is_not_built_yet_is_built_from_the_seed(build):
    first, second = (run_trial(build, POINTS, 4, examples=points()) for _ in range(2))
    assert first.weights_sha256 == second.weights_sha256
    assert first.identity == second.identity
    assert first.identity["shapes"] == [[1, 2], [2]]
    assert first.outcome in ("converged", "slow", "stuck")


@pytest.mark.integration
def test_a_proof_does_not_stop_a_run_judged_by_a_training_metric():
    """The epoch's mean still counts the batches before the proof, so only later epochs can tell."""
    from .test_frozen import hidden_softmax

    recipe = replace(POINTS, monitor="accuracy", epochs=3, target=0.9, steps_per_execution=8)
    stopped, ran_on = (
        run_trial(hidden_softmax, recipe, 0, examples=points(), stop_when_frozen=stop)
        for stop in (True, False)
    )
    assert len(stopped.epochs) == len(ran_on.epochs) == 3
    assert stopped.outcome == ran_on.outcome
    assert stopped.frozen_at_step == 8


def test_steps_are_counted_as_they_were_trained():
    """10 batches an epoch, four an execution: the last execution of an epoch has two."""
    recipe = replace(POINTS, epochs=2, target=1.0, batch=7, steps_per_execution=4)
    probe = Probe("steps", lambda run: run.step, at=("execution",))
    trial = run_trial(dense_model, recipe, 0, examples=points(), probes=(probe,))
    assert [step for step, _ in trial.probes["steps"]] == [4, 8, 10, 14, 18, 20]


def test_metrics_with_a_value_a_class_and_metrics_that_are_never_finite():
    keras = environment.load_keras()
    examples = points()
    nothing = Examples(
        examples.x_train, examples.y_train, examples.x_train * np.nan, examples.y_train
    )

    def factory():
        model = dense_model()
        model.compile(
            "adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score(name="f1")]
        )
        return model

    recipe = replace(POINTS, monitor="val_loss", mode="min", target=0.0, chance=1.0, epochs=2)
    trial = run_trial(factory, recipe, 0, examples=nothing)
    assert trial.outcome == "diverged"
    assert trial.epochs[-1].metrics["val_loss"] is None
    assert 0 <= trial.epochs[-1].metrics["f1"] <= 1


def test_a_target_may_be_a_loss_to_go_below():
    recipe = replace(
        POINTS,
        monitor="val_loss",
        mode="min",
        target=0.6,
        epochs=9,
        optimizer="sgd",
        optimizer_settings={"learning_rate": 0.1},
    )
    trial = run_trial(dense_model, recipe, 0, examples=points())
    assert trial.outcome == "converged"
    losses = [epoch.metrics["val_loss"] for epoch in trial.epochs]
    assert losses[-1] <= 0.6 < min(losses[:-1], default=1)


def test_probes_join_the_record_at_their_moments():
    probes = (
        Probe("executions", lambda run: run.step, at=("execution",)),
        Probe("ends", lambda run: len(run.epochs), at=("start", "epoch", "end")),
        Probe("nothing", lambda run: None),
    )
    recipe = replace(POINTS, epochs=2, target=1.0)
    trial = run_trial(dense_model, recipe, 0, examples=points(), probes=probes)
    assert trial.probes["executions"] == [[step, step] for step in (4, 8, 12, 16)]
    assert trial.probes["ends"] == [[0, 0], [8, 1], [16, 2], [16, 2]]
    assert "nothing" not in trial.probes


def test_a_recalled_trial_is_not_trained_again():
    recorded = run_trial(dense_model, POINTS, 5, examples=points())
    asked = []

    def recall(identity):
        asked.append(identity)
        return recorded

    assert run_trial(dense_model, POINTS, 5, examples=points(), recall=recall) is recorded
    assert asked == [recorded.identity]


class Halved:
    """A loss that is an object, so that only its address would tell it from another."""

    def __call__(self, y, prediction):
        return (y - prediction) ** 2 / 2


def with_object(place):
    """A model that holds an object without a configuration, as its loss, bound in it or in a layer."""
    keras = environment.load_keras()
    keras.utils.clear_session()  # the same automatic names each time

    class Holding(keras.layers.Layer):
        def call(self, x):
            return x

        def get_config(self):
            return {**super().get_config(), "held": Halved()}

    layers = [Holding()] if place == "layer" else []
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(2)])
    loss = {"loss": Halved(), "bound": partial(Halved())}.get(place, "mse")
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


@pytest.mark.parametrize("place", ["loss", "bound", "layer"])
def test_no_memory_address_joins_the_identity(place):
    models = [with_object(place), with_object(place)]  # both alive, so at two addresses
    first, second = (identify(model, POINTS, 0, points())["factory"] for model in models)
    assert first == second
    models[1].optimizer.learning_rate = 0.2
    assert identify(models[1], POINTS, 0, points())["factory"] != first


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"recipe": replace(POINTS, batch=16)},
        {"examples": points(seed=1)},
        {"build": partial(dense_model, use_bias=False)},
        {"build": partial(dense_model, kernel_initializer="zeros")},
    ],
)
def test_identity_tells_trials_apart(change):
    base = {"build": dense_model, "recipe": POINTS, "seed": 5, "examples": points()}
    identities = []

    class SeenError(Exception):
        pass

    def recall(identity):
        identities.append(identity)
        raise SeenError

    for arguments in (base, base, {**base, **change}):
        with pytest.raises(SeenError):
            run_trial(recall=recall, **arguments)
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"build": lambda: None}, "the factory returned NoneType; a new keras.Model"),
        ({"build": 3}, "the factory is 3; a callable without arguments"),
        ({"seed": -1}, "seed is -1; a whole number from 0"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"build": SAME}, "the model's input has shape (28, 28, 1) and the data's (1,)"),
        ({"build": partial(dense_model, units=3)}, "the model's output has shape (3,)"),
        ({"recipe": replace(POINTS, monitor="val_f1")}, "on 'val_f1', which training does not log"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, words):
    base = {"build": dense_model, "recipe": POINTS, "seed": 0, "examples": points()}
    with pytest.raises(InputError) as error:
        run_trial(**{**base, **arguments})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.integration
def test_tensorflow_with_other_settings_or_more_threads_is_one_clear_error():
    """In one fresh process: without the settings, and with them once it runs on two threads."""
    code = (
        "import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None)\n"
        "import tensorflow as tf\n"
        "from deepcaptcha import environment, InputError\n"
        "def load():\n"
        "    try: environment.load_keras()\n"
        "    except InputError as error: print('refused:', error)\n"
        "load()\n"
        "os.environ.update(environment.SETTINGS)\n"
        "tf.config.threading.set_intra_op_parallelism_threads(2); tf.constant(1)\n"
        "load()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported, running = done.stdout.splitlines()
    assert "refused: TensorFlow was imported before its settings" in imported
    assert "TF_ENABLE_ONEDNN_OPTS=1" in imported
    assert "refused: TensorFlow already runs with 2 intra-op" in running


@pytest.mark.slow
def test_a_three_digit_model_learns_to_read_strips():
    recipe = replace(RECIPES["sound-subset"], name="strips", n_prediction=3, epochs=6)
    architecture = question_architecture(
        head="reshape-softmax", input_shape=(28, 84, 1), n_prediction=3
    )
    trial = run_trial(partial(build, architecture), recipe, seed=0)
    print(trial.epochs_to_target, trial.epochs[-1].metrics)
    assert trial.outcome == "converged"
    assert trial.epochs[-1].metrics["val_accuracy"] >= 0.9
    assert 0.7 < trial.epochs[-1].metrics["val_string_accuracy"] < 0.95
