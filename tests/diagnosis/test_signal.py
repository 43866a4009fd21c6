"""Where the signal of the inputs ends, in models small enough to work out by hand."""

import numpy as np
import pytest

from deepcaptcha.diagnosis.signal import (
    Signal,
    end_of_signal,
    first_steep_slope,
    is_called,
    layer_signals,
    spread,
)
from deepcaptcha.keras.backend import keras
from tests.diagnosis.models import stack

layers = keras.layers


def test_the_largest_difference_as_a_share_of_the_largest_value():
    # Columns 1..5 and -8..-8: 4 of 8.
    assert spread(np.array([[1, -8], [5, -8]])) == 4 / 8
    assert spread(np.full((3, 2), 7)) == 0
    assert spread(np.zeros((3, 2))) == 0
    assert np.isnan(spread(np.array([[np.nan], [1.0]])))
    assert spread(np.array([[0], [255]], "uint8")) == 1


def signal(name, size):
    return Signal(name, size, None, True, True)


def test_the_signal_ends_after_the_last_layer_that_tells_examples_apart():
    a, positions, b, c = (signal(n, s) for n, s in (("a", 1), ("p", 0), ("b", 0.1), ("c", 0)))
    assert [s.layer for s in end_of_signal([a, positions, b, c])] == ["c"]
    assert [s.layer for s in end_of_signal([a, positions, b])] == []
    assert [s.layer for s in end_of_signal([positions, c])] == ["p", "c"]
    assert end_of_signal([signal("not finite", np.nan)]) == []


def by_hand():
    """relu(x, -x, -1, -1): of positive inputs three of four units are dead; then their sum, then 0."""
    model = stack(
        (1,),
        layers.Dense(4, activation="relu", name="hidden"),
        layers.Dense(1, name="sum"),
        layers.Dense(1, name="zero"),
        loss="mse",
    )
    bias = np.array([0.0, 0.0, -1.0, -1.0])
    none = np.zeros(1)
    model.set_weights(
        [np.array([[1.0, -1, 0, 0]]), bias, np.ones((4, 1)), none, np.zeros((1, 1)), none]
    )
    return model


def test_every_layer_has_its_signal():
    x = np.array([[1.0], [4.0]], "float32")
    outputs, signals = layer_signals(by_hand(), x, training=False)
    assert [array.tolist() for array in outputs] == [[[0], [0]]]
    told = {s.layer: (s.spread, s.dead_share, s.finite, s.trained) for s in signals}
    # (4 - 1) / 4. "sum" has no negative value here either, but each of its units is alive.
    assert told == {
        "hidden": (0.75, 0.75, True, True),
        "sum": (0.75, 0, True, True),
        "zero": (0, 1, True, True),
    }
    assert [s.layer for s in end_of_signal(signals)] == ["zero"]
    both = np.array([[1.0], [-4.0]], "float32")
    _, signals = layer_signals(by_hand(), both, training=False)
    assert signals[0].dead_share == 0.5


def test_a_layer_inside_another_is_not_told_twice():
    """The cell of a recurrent layer is called at each time step; a model in the model is no layer."""
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="inner")])
    model = stack(
        (5, 1), layers.SimpleRNN(2, name="recurrent"), inner, layers.Dense(1, name="last")
    )
    _, signals = layer_signals(model, np.ones((2, 5, 1), "float32"), training=False)
    assert [s.layer for s in signals] == ["recurrent", "inner", "last"]


def test_the_first_layer_that_is_not_finite():
    model = stack((1,), layers.Dense(1, name="fine"), layers.Lambda(keras.ops.log, name="log"))
    model.set_weights([np.array([[1.0]]), np.zeros(1)])
    _, signals = layer_signals(model, np.array([[1.0], [-1.0]], "float32"), training=False)
    assert [(s.layer, s.finite) for s in signals] == [("fine", True), ("log", False)]


class Length(layers.Layer):
    """sqrt(sum x^2), whose slope x / length is 0 / 0 at 0."""

    def call(self, x):
        return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=-1, keepdims=True))


def root(y_true, y_pred):
    return keras.ops.sqrt(keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1))


def test_where_the_slope_is_not_finite_although_the_value_is():
    zero, one = np.zeros((2, 3), "float32"), np.ones((2, 3), "float32")
    y = np.ones((2, 1), "float32")
    first, last = layers.Dense(2, use_bias=False), layers.Dense(1)
    model = stack((3,), first, Length(name="length"), last, loss="mse")
    assert first_steep_slope(model, zero, y) == "length"
    assert first_steep_slope(model, one, y) is None
    model = stack((3,), layers.Dense(1, use_bias=False), loss=root)
    assert first_steep_slope(model, zero, 0 * y) == ""  # the loss itself
    assert first_steep_slope(model, zero, y) is None


def test_a_model_that_trains_without_being_called():

    class Uncalled(keras.Model):
        def train_step(self, data):
            return {}

    assert not is_called(Uncalled())
    assert is_called(by_hand())
    assert layer_signals(Uncalled(), np.ones((2, 1)), training=True) == ([], [])


@pytest.mark.parametrize("training", [False, True])
def test_dropout_draws_in_training_only(training):
    model = stack((50,), layers.Dropout(0.5, name="dropout"))
    outputs, _ = layer_signals(model, np.ones((2, 50), "float32"), training=training)
    assert (0 in outputs[0]) == training
