"""Trials of small recipes: outcomes, records, repeatability."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras.backend import keras
from deepcaptcha.keras.data import Examples
from deepcaptcha.keras.fit import Probe, Run
from deepcaptcha.keras.training import compile_model
from deepcaptcha.networks.build import build
from deepcaptcha.networks.recipes import RECIPES, load_examples
from deepcaptcha.networks.variants import VARIANTS, question_architecture
from deepcaptcha.trials.trial import Epoch, Target, Trial
from tests.helpers import (
    CREEPING,
    ENVIRONMENT,
    POINTS,
    SAME,
    SMALL,
    changed,
    dense_model,
    drawn_dense,
    ending,
    hidden_softmax,
    points,
    source_of,
    train,
)


def test_a_sound_network_trains_on_real_digits():
    """One real training to the real target: the quick stand-in for the slow suite."""
    recipe = changed(RECIPES["sound-subset"], n_train=3200, n_validation=1000)
    trial = train(SAME, recipe, seed=0)
    assert trial.outcome == "converged"
    assert trial.epochs[-1].metrics["val_accuracy"] >= 0.9
    assert trial.epochs_to_target == len(trial.epochs) <= 3
    assert trial.steps_to_target == 100 * trial.epochs_to_target  # 3200 / 32
    assert trial.stop_reason == "target"


@pytest.mark.integration
def test_two_runs_agree_bit_for_bit_here_and_in_a_fresh_process():
    first, second = train(SAME, SMALL, seed=7), train(SAME, SMALL, seed=7)
    code = (
        "import json; from tests.helpers import SAME, SMALL, rehearsed_points, train;"
        "rehearsed_points();"  # whose first look at the data and the model must not spoil it
        "print(json.dumps(train(SAME, SMALL, seed=7).as_dict()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    third = Trial.from_dict(json.loads(done.stdout.splitlines()[-1]))
    assert ending(first) == ending(second) == ending(third)
    assert train(SAME, SMALL, seed=8).weights_sha256 != first.weights_sha256


@pytest.fixture(scope="module")
def probed():
    """10 batches an epoch, four an execution: the last execution of an epoch has two."""
    probes = (
        Probe("executions", lambda run: run.step, at=("execution",)),
        Probe("ends", lambda run: len(run.epochs), at=("start", "epoch", "end")),
        Probe("nothing", lambda run: None),
    )
    return train(drawn_dense, CREEPING, 1, points(), probes=probes, reuse_model=True)


def test_a_trial_is_json_ready_and_comes_back(probed):
    again = Trial.from_dict(json.loads(json.dumps(probed.as_dict(), allow_nan=False)))
    assert again == replace(probed, epochs=again.epochs)
    assert again.epochs == probed.epochs


def test_probes_join_the_record_at_their_moments_and_steps_are_counted_as_trained(probed):
    assert probed.probes["executions"] == [[step, step] for step in (4, 8, 10, 14, 18, 20)]
    assert probed.probes["ends"] == [[0, 0], [10, 1], [20, 2], [20, 2]]
    assert "nothing" not in probed.probes


@pytest.mark.integration
def test_accuracy_is_kept_per_digit_and_per_string():
    recipe = changed(SMALL, n_prediction=2)
    architecture = question_architecture(
        head="reshape-softmax", input_shape=(28, 56, 1), n_prediction=2
    )
    metrics = train(partial(build, architecture), recipe, 0).epochs[-1].metrics
    assert 0 <= metrics["val_string_accuracy"] <= metrics["val_accuracy"] <= 1


@pytest.mark.integration
def test_a_model_named_logits_has_its_loss_from_logits():
    recipe = changed(SMALL, n_train=320)
    logits = train(partial(build, VARIANTS["same-logits"].architecture), recipe, 3)
    softmax = train(partial(build, VARIANTS["same-reshape-first"].architecture), recipe, 3)
    assert logits.epochs[0].metrics["loss"] == pytest.approx(
        softmax.epochs[0].metrics["loss"], rel=1e-4
    )


def test_a_loss_may_bear_the_name_of_its_class():
    model = build(VARIANTS["same-logits"].architecture)
    examples = load_examples(changed(SMALL, n_train=32, n_validation=32))
    training = replace(SMALL.training, loss="CategoricalCrossentropy")
    compile_model(model, training, SMALL.target, examples)
    assert model.loss.from_logits


def zero_gradient_by_hand(probability, label):
    """The clip of Keras' cross-entropy: no gradient where the target's share lies outside
    [1e-7, 1 - 1e-7]."""
    target = float(probability[label])
    return not 1e-7 <= target <= np.float32(1 - 1e-7)


@pytest.mark.parametrize("hidden", [True, False])
def test_zero_gradient_share_counts_clipped_examples_and_no_weight_moves(hidden):
    """A linear model that is not trained (learning rate 0), with a huge slope: p is 0 or 1 for most
    points. It is stuck, though it is right about 80 % of them."""
    slope, bias = 60.0, 24.0

    def factory():
        layers = [keras.Input((1,)), keras.layers.Dense(2, activation="softmax")]
        if hidden:
            layers.append(keras.layers.Reshape((2,)))
        model = keras.Sequential(layers)
        weights = [np.array([[0, slope]], "float32"), np.array([0, bias], "float32")]
        model.layers[0].set_weights(weights)
        return model

    examples = points()
    recipe = changed(
        POINTS, optimizer="sgd", optimizer_settings={"learning_rate": 0.0}, epochs=2, target=1.0
    )
    trial = train(factory, recipe, 0, examples)
    share = trial.epochs[0].zero_gradient_share
    p = 1 / (1 + np.exp(slope * examples.x_train[:, 0].astype("float64") + bias))
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
    assert 0.7 < trial.epochs[-1].metrics["val_accuracy"] < 0.9
    assert trial.outcome == "stuck"
    assert not any(epoch.weights_changed for epoch in trial.epochs)
    assert trial.frozen_at_step is None


def test_outcome_slow_when_it_learns_but_not_enough(probed):
    assert (probed.outcome, probed.stop_reason) == ("slow", "epochs")
    assert (probed.epochs_to_target, probed.steps_to_target) == (None, None)
    assert 0.7 < probed.epochs[-1].metrics["val_accuracy"] < 0.9


def test_outcome_stuck_when_it_never_leaves_chance():
    trial = train(drawn_dense, CREEPING, 0, points(), reuse_model=True)
    assert trial.outcome == "stuck"
    assert trial.epochs[-1].metrics["val_accuracy"] == 0.5
    assert trial.epochs[-1].weights_changed


def test_outcome_diverged_stops_at_the_first_weight_that_is_not_finite():
    examples = points()
    x = examples.x_train.copy()
    x[3] = np.nan
    broken = Examples(x, examples.y_train, examples.x_validation, examples.y_validation)
    trial = train(drawn_dense, CREEPING, 0, broken, reuse_model=True)
    assert (trial.outcome, trial.stop_reason) == ("diverged", "not finite")
    assert len(trial.epochs) == 1
    assert trial.epochs[0].metrics["loss"] is None
    json.dumps(trial.as_dict(), allow_nan=False)


def test_a_training_step_that_logs_no_loss_has_not_diverged():
    class Silent(keras.Model):
        def train_step(self, data):
            return {"seen": keras.ops.mean(data[0])}

    def factory():
        inputs = keras.Input((1,))
        model = Silent(inputs, keras.layers.Dense(2)(inputs))
        model.compile("sgd", "mse")
        return model

    recipe = changed(POINTS, epochs=1, monitor="val_loss", mode="min", target=0.0)
    trial = train(factory, recipe, 0, points())
    assert "seen" in trial.epochs[0].metrics
    assert "loss" not in trial.epochs[0].metrics
    assert trial.outcome == "stuck"  # it trains nothing, so no weight moves


@pytest.mark.integration
def test_a_trial_tells_whether_a_callback_ended_it():
    class StopAfterTwo(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    recipe = changed(POINTS, epochs=3, target=1.0, optimizer_settings={"learning_rate": 1e-6})
    early = train(dense_model, recipe, 0, points(), callbacks=lambda: [StopAfterTwo()])
    assert (len(early.epochs), early.stop_reason, early.ended_early) == (2, "epochs", True)
    assert not replace(early, epochs=early.epochs[:1] * 3).ended_early
    assert not replace(early, stop_reason="target").ended_early
    assert not replace(early, stop_reason="frozen").ended_early


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize(
    ("classes", "accuracy", "outcome"),
    # A quarter of the way from the larger class' share to 1 is 0.625, or 0.8125.
    [((32, 32), 0.62, "stuck"), ((32, 32), 0.63, "slow"), ((48, 16), 0.81, "stuck")],
)
def test_chance_is_the_share_of_the_larger_class(one_hot, classes, accuracy, outcome):
    labels = np.repeat([0, 1], classes)
    y = np.eye(2, dtype="float32")[labels] if one_hot else labels[:, None].astype("float32")
    x = np.zeros((64, 1), "float32")
    epoch = Epoch({"val_accuracy": accuracy, "loss": 1.0}, weights_changed=True)
    run = Run(None, Examples(x, y, x, y), POINTS.training, Target(1.0), {}, epochs=[epoch])
    assert run.outcome == outcome


@pytest.mark.integration
def test_chance_of_a_binary_model_is_the_larger_class():
    """Sigmoid and labels (n, 1): half of them are right by chance, and 0.75 is well on the way."""
    examples = points()
    labels = examples.y_train.argmax(1)[:, None].astype("float32")
    binary = Examples(examples.x_train, labels, examples.x_train, labels)

    def factory():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
        model.layers[0].set_weights([np.array([[9]], "float32"), np.array([4], "float32")])
        model.compile(keras.optimizers.SGD(1e-6), "binary_crossentropy", metrics=["accuracy"])
        return model

    trial = train(factory, changed(POINTS, target=1.0, epochs=1), 0, binary)
    assert 0.65 < trial.epochs[-1].metrics["val_accuracy"] < 1
    assert trial.outcome == "slow"


def subclassed(**compile_settings):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, activation="softmax")

        def call(self, x):
            return self.dense(x)

    return Own()


def unbuilt():
    return keras.Sequential(
        [keras.layers.Dense(2, activation="softmax"), keras.layers.Reshape((2,))]
    )


@pytest.mark.integration
@pytest.mark.parametrize("build", [subclassed, unbuilt])
def test_a_model_that_is_not_built_yet_is_built_from_the_seed(build):
    first, second = (train(build, POINTS, 4, points()) for _ in range(2))
    assert first.weights_sha256 == second.weights_sha256
    assert first.identity == second.identity
    assert first.identity["shapes"] == [[1, 2], [2]]
    assert first.outcome in ("converged", "slow", "stuck")


@pytest.mark.integration
def test_a_proof_does_not_stop_a_run_judged_by_a_training_metric():
    """The epoch's mean still counts the batches before the proof, so only later epochs can tell."""
    recipe = changed(POINTS, monitor="accuracy", epochs=3, target=0.9, steps_per_execution=8)
    stopped, ran_on = (
        train(hidden_softmax, recipe, 0, points(), stop_when_frozen=stop) for stop in (True, False)
    )
    assert len(stopped.epochs) == len(ran_on.epochs) == 3
    assert stopped.outcome == ran_on.outcome
    assert stopped.frozen_at_step == 8


LOSS = changed(POINTS, monitor="val_loss", mode="min", target=0.6, chance=1.0, epochs=9)


def scored_dense():
    model = dense_model()
    f1 = keras.metrics.F1Score(name="f1")
    model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", metrics=[f1])
    return model


def test_metrics_with_a_value_a_class_and_metrics_that_are_never_finite():
    given = points()
    nothing = Examples(given.x_train, given.y_train, given.x_train * np.nan, given.y_train)
    trial = train(scored_dense, LOSS, 0, nothing, reuse_model=True)
    assert trial.outcome == "diverged"
    assert trial.epochs[-1].metrics["val_loss"] is None
    assert 0 <= trial.epochs[-1].metrics["f1"] <= 1


def test_a_target_may_be_a_loss_to_go_below():
    trial = train(scored_dense, LOSS, 0, points(), reuse_model=True)
    assert trial.outcome == "converged"
    losses = [epoch.metrics["val_loss"] for epoch in trial.epochs]
    assert losses[-1] <= 0.6 < min(losses[:-1], default=1)


class Halved:
    """A loss that is an object, so that only its address would tell it from another."""

    def __call__(self, y, prediction):
        return (y - prediction) ** 2 / 2


def with_object(place):
    """A model that holds an object without a configuration, as its loss, bound in it or in a layer."""

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
    models = []

    def factory(rate=0.1):
        models.append(with_object(place))  # all alive, so at other addresses
        models[-1].optimizer.learning_rate = rate
        return models[-1]

    first, second, other = (
        source_of(build, POINTS, points()).identity(0)["factory"]
        for build in (factory, factory, partial(factory, 0.2))
    )
    assert first == second != other


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"recipe": changed(POINTS, batch=16)},
        {"data": points(seed=1)},
        {"build": partial(dense_model, use_bias=False)},
        {"build": partial(dense_model, kernel_initializer="zeros")},
    ],
)
def test_identity_tells_trials_apart(change):
    base = {"build": dense_model, "recipe": POINTS, "seed": 5, "data": points()}
    first, again, other = (identity(**arguments) for arguments in (base, base, {**base, **change}))
    assert first == again != other


def identity(seed, **arguments):
    return source_of(**arguments).identity(seed)


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
        pytest.param(
            {"recipe": changed(POINTS, monitor="val_f1")},
            "on 'val_f1', which training does not log",
            marks=pytest.mark.integration,  # it trains an epoch
        ),
    ],
)
def test_bad_input_is_one_clear_line(arguments, words):
    base = {"build": dense_model, "recipe": POINTS, "seed": 0, "data": points()}
    with pytest.raises(InputError) as error:
        train(**{**base, **arguments})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_three_digit_model_learns_to_read_strips():
    recipe = changed(RECIPES["sound-subset"], name="strips", n_prediction=3, epochs=6)
    architecture = question_architecture(
        head="reshape-softmax", input_shape=(28, 84, 1), n_prediction=3
    )
    trial = train(partial(build, architecture), recipe, seed=0)
    print(trial.epochs_to_target, trial.epochs[-1].metrics)
    assert trial.outcome == "converged"
    assert trial.epochs[-1].metrics["val_accuracy"] >= 0.9
    assert 0.7 < trial.epochs[-1].metrics["val_string_accuracy"] < 0.95
