"""What throw-away trainings show, and what they cost: findings of `check` on models of a few units."""

import math

import numpy as np
import pytest

from deepcaptcha.diagnosis import check as checked
from deepcaptcha.diagnosis.check import EPOCHS, MOST_ERRORS, check
from deepcaptcha.diagnosis.steps import BATCH, EXAMPLES, STEPS, effort
from deepcaptcha.diagnosis.trainer import Tried
from deepcaptcha.finding import advise
from deepcaptcha.keras.backend import keras, tf
from tests.diagnosis.models import blobs, compiled, sequences, sgd, stack, table, tabular
from tests.diagnosis.test_signal import Length, root

layers = keras.layers


def found(model, x, y=None, **more):
    keras.utils.set_random_seed(0)
    return check(model, x, y, **more)


def errors(*arguments, **more):
    return {f.code: f for f in found(*arguments, **more) if f.severity == "error"}


def tried(start, end, constant=10.0, steps=50):
    return Tried(start, end, constant, None, None, [], [], steps, None, [], 0.0)


def test_skill_and_pace():
    """From 10.0 to 9.5 in 50 steps is 0.01 a step: 15 % of 10 are saved after 150 of them."""
    assert tried(10.0, 9.5).skill == pytest.approx(0.05)
    assert tried(10.0, 9.5).needed == pytest.approx(150)
    assert tried(12.0, 11.5).needed == pytest.approx(350)
    assert tried(10.0, 10.5).needed == math.inf
    assert tried(10.0, math.nan).skill == -math.inf
    assert math.isnan(tried(10.0, 9.5, constant=0.0).skill)


def test_effort_follows_from_the_size_of_the_model_alone():
    """A hidden layer of 5,000 x 5,000 has 25 million weights: at 6e-8 s each, a step takes 1.5 s."""
    small = effort(tabular(), 10_000)
    assert (small.steps, small.batch, small.examples, small.few) == (STEPS, BATCH, EXAMPLES, 64)
    assert small.is_whole
    assert effort(tabular(), 20).batch == 20
    big = effort(stack((5000,), layers.Dense(5000)), 10_000)
    assert big.steps == 8
    assert not big.is_whole
    assert big == effort(stack((5000,), layers.Dense(5000)), 10_000)


def test_a_fixed_batch_is_kept_to():
    inputs = keras.Input(batch_shape=(20, 20, 1))
    fixed = effort(keras.Model(inputs, layers.LSTM(2, stateful=True)(inputs)), 600)
    assert (fixed.batch, fixed.examples, fixed.few) == (20, 500, 20)


@pytest.mark.integration
def test_a_recurrent_network_that_keeps_its_state_is_checked():
    inputs = keras.Input(batch_shape=(20, 20, 1))
    recurrent = layers.LSTM(4, stateful=True)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(recurrent(inputs)))
    compiled(model, loss="binary_crossentropy")
    assert errors(model, **sequences()) == {}
    assert all(not np.asarray(state).any() for state in recurrent.states)


@pytest.mark.integration
@pytest.mark.parametrize("part", ["layer", "loss"])
def test_a_slope_that_is_not_finite_is_named_where_it_is(part):
    """A third of the inputs is 0, where the square root is steep."""
    data = table()
    data["x"][::3] = 0
    if part == "loss":
        data["y"][::3] = 0
        model = stack((8,), layers.Dense(1, use_bias=False), loss=root)
    else:
        first = layers.Dense(3, use_bias=False)
        model = stack((8,), first, Length(name="length"), layers.Dense(1), loss="mse")
    (only,) = errors(model, **data).values()
    assert (only.code, only.component) == (
        "not finite",
        "loss" if part == "loss" else "architecture",
    )
    where = "the loss" if part == "loss" else "layer length"
    assert only.sentence.startswith(f"the slope of {where} is not finite")


@pytest.mark.integration
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_gradients_that_vanish_through_sigmoids(activation):
    """Each sigmoid has a slope of 1/4 at most: ten of them leave less than 1e-6 of a gradient, and of a
    difference between two inputs."""
    hidden = [layers.Dense(16, activation=activation) for _ in range(10)]
    model = stack((12,), *hidden, layers.Dense(4, activation="softmax"))
    named = errors(model, **blobs())
    if activation == "relu":
        assert named == {}
    else:
        assert {*named} & {"vanishing gradient", "constant answer"}
        assert {f.component for f in named.values()} == {"architecture"}


@pytest.mark.integration
def test_a_pace_is_an_error_only_for_a_training_whose_length_is_known():
    """600 examples are 19 batches of 32 an epoch."""

    def slow(**more):
        model = tabular("softmax", 4, 12, optimizer=sgd(1e-7))
        return {f.code: f for f in found(model, **blobs(), **more)}.get("slow")

    assert (slow().severity, slow(epochs=5).severity) == ("warning", "error")
    assert f"the training has {19 * EPOCHS}" in slow().sentence
    assert "the training has 95" in slow(epochs=5).sentence
    assert "the training has 15" in slow(epochs=5, batch=200).sentence
    assert slow(epochs=10**7) is None


@pytest.mark.integration
def test_a_learning_rate_is_named_by_the_one_with_which_the_same_steps_succeed():
    for rate, factor in ((10.0, 0.1), (1e-5, 100)):
        model = tabular("softmax", 4, 12, optimizer=keras.optimizers.Adam(rate))
        named = errors(model, **blobs(), epochs=1)["learning rate"]
        assert named.component == "optimizer"
        assert named.value in (factor, factor / 10, factor * 10)
        assert f"with a learning rate times {named.value:g}" in named.sentence


@pytest.mark.integration
def test_targets_far_away_are_named_as_such():
    data = table()
    named = errors(tabular(loss="mse"), data["x"], 1000 + 100 * data["y"], epochs=10)
    assert list(named) == ["target scale"]
    assert named["target scale"].value == pytest.approx(1000, rel=0.1)  # root mean square


@pytest.mark.integration
def test_a_dataset_of_batches_is_read_and_its_length_known():
    data = blobs()
    rows = tf.data.Dataset.from_tensor_slices((data["x"], data["y"]))
    model = tabular("softmax", 4, 12, optimizer=sgd(1e-7))

    def slow(dataset):
        return {f.code: f for f in found(model, dataset, epochs=5)}["slow"]

    known = slow(rows.batch(100))  # 6 batches an epoch
    assert (known.severity, "the training has 30" in known.sentence) == ("error", True)
    assert slow(rows.batch(100).repeat()).severity == "warning"
    keep = rows.batch(100).filter(lambda x, y: True)  # of which nobody knows how many stay
    assert slow(keep).severity == "warning"
    # Half of these are copies; of nothing but copies it is a warning.
    x = np.concatenate([data["x"][:25], data["x"][:25] + 1])
    y = np.concatenate([data["y"][:25], data["y"][:25]])
    leak = errors(
        tabular("softmax", 4, 12),
        rows.batch(32),
        validation=tf.data.Dataset.from_tensor_slices((x, y)).batch(25),
    )
    assert (list(leak), leak["leak"].value) == (["leak"], 0.5)


@pytest.mark.integration
def test_weights_of_examples_and_classes_matter():
    def weighted(**more):
        return found(tabular("softmax", 4, 12), **blobs(), **more)

    assert [f.code for f in weighted(sample_weight=np.ones(600))] == []
    assert [(f.code, f.severity) for f in weighted(sample_weight=np.zeros(600))] == [
        ("weights", "error")
    ]
    assert [(f.code, f.severity) for f in weighted(class_weight={2: 0.0})] == [
        ("weights", "warning")
    ]


@pytest.mark.integration
def test_weights_are_those_of_the_steps():
    """Weights of 1e-3 under plain SGD make it a thousand times slower."""
    model = tabular("softmax", 4, 12, optimizer=sgd(0.1))
    assert errors(model, **blobs(), epochs=1) == {}
    light = errors(model, **blobs(), epochs=1, sample_weight=np.full(600, 1e-6))
    assert list(light) != []


@pytest.mark.integration
def test_what_keras_warns_of_is_passed_on():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    told = found(tabular("softmax", 4, 12, loss=loss), **blobs())
    assert [(f.code, f.severity) for f in told] == [("Keras", "information")]
    assert "received `from_logits=True`" in told[0].sentence


def test_no_more_than_three_errors_and_each_code_by_its_gravest():
    many = [advise("scale", "error", float(i), f"{i}") for i in range(5)]
    ranked = checked._ranked([advise("offset", "warning", 1.0, "first"), *many])
    assert [f.severity for f in ranked] == ["error"] * MOST_ERRORS + ["warning"] * 3
    twice = checked._ranked(
        [advise("scale", "warning", 1.0, ""), advise("scale", "error", 2.0, "")]
    )
    assert [f.value for f in twice] == [2.0]


def test_inputs_that_are_all_the_same_are_told_and_nothing_else():
    model = tabular("softmax", 4, 12)
    (only,) = found(model, np.zeros((600, 12), "float32"), blobs()["y"])
    assert (only.code, only.severity) == ("same inputs", "error")


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["one axis", "uint8", "bool", "half"])
def test_data_of_any_number_type_and_one_axis(kind):
    data = table()
    model, y = stack((1,), layers.Dense(8), layers.Dense(1), loss="mse"), data["y"]
    if kind == "one axis":
        assert errors(model, data["x"][:, 1], y[:, 0]) == {}
    elif kind == "half":
        assert errors(model, data["x"][:, 1:2].astype("float16"), y.astype("float16")) == {}
    elif kind == "bool":
        binary = tabular("sigmoid", 1, 8, loss="binary_crossentropy")
        assert errors(binary, data["x"], y > 0) == {}
    else:
        whole = tabular("softmax", 4, 12)
        assert errors(whole, (2 * blobs()["x"]).clip(0, 255).astype("uint8"), blobs()["y"]) == {}
