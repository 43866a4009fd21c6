"""What a model shows at one moment, against models small enough to work out by hand."""

import math

import numpy as np
import pytest

from deepcaptcha.diagnosis.observe import Observer, first_not_finite, gradient_norms
from deepcaptcha.keras.backend import keras


def by_hand():
    """h = relu(x, -x, -1); logits (20 h0, 0); softmax hidden by a reshape."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(3, activation="relu", name="hidden"),
            keras.layers.Dense(2, activation="softmax"),
            keras.layers.Reshape((1, 2)),
        ]
    )
    model.set_weights(
        [
            np.array([[1.0, -1.0, 0.0]]),
            np.array([0.0, 0.0, -1.0]),
            np.array([[20.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
            np.zeros(2),
        ]
    )
    model.compile(optimizer="sgd", loss="categorical_crossentropy")
    return model


def test_every_number_is_what_arithmetic_says():
    x = np.array([[1.0], [1.0], [2.0], [-1.0]], "float32")
    y = np.eye(2, dtype="float32")[[1, 0, 1, 0]][:, None]
    observer = Observer(by_hand(), training=False)
    seen = observer.observe(x, y)
    # exp(-20) = 2e-9 is clipped to 1e-7: two wrong at -ln(1e-7), one right at 1.2e-7, one at ln 2
    assert seen.loss == pytest.approx((2 * -math.log(1e-7) + math.log(2)) / 4, rel=1e-5)
    assert seen.zero_gradient_share == 3 / 4
    assert seen.lost_share == 2 / 4
    assert seen.most_frequent_share == 1  # argmax takes the first of two equals
    assert seen.dead_units == {"hidden": pytest.approx(1 / 3)}
    assert seen.logits.tolist() == [[20, 0], [20, 0], [40, 0], [0, 0]]
    assert (observer.head.kind, observer.head.hidden) == ("Softmax", True)
    # Without the negative example the second unit is silent too.
    assert observer.observe(x[:3], y[:3]).dead_units == {"hidden": pytest.approx(2 / 3)}


def test_examples_beyond_one_batch_are_averaged_by_their_number():
    x = np.concatenate([np.full((256, 1), 1.0), np.full((44, 1), -1.0)]).astype("float32")
    y = np.eye(2, dtype="float32")[np.ones(300, int)][:, None]
    seen = Observer(by_hand(), training=False).observe(x, y)
    assert seen.lost_share == pytest.approx(256 / 300)
    assert len(seen.outputs[0]) == 300
    assert seen.dead_units == {"hidden": pytest.approx(1 / 3)}  # each unit of its own batch


def test_a_gradient_worked_out_by_hand():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    model.set_weights([np.array([[1.0]]), np.zeros(1)])
    model.compile(optimizer="sgd", loss="mse")
    # (w x + b)^2 at x = 2, w = 1, b = 0: d/dw = 2 * 2 * 2 = 8, d/db = 4; norm sqrt(80)
    norms = gradient_norms(model, np.array([[2.0]], "float32"), np.zeros((1, 1), "float32"))
    assert list(norms.values()) == [pytest.approx(math.sqrt(80))]
    assert first_not_finite(model) is None
    model.set_weights([np.array([[np.nan]]), np.zeros(1)])
    assert first_not_finite(model).endswith("line/kernel")


def test_a_row_of_an_embedding_that_is_read_twice_has_the_sum_of_both_gradients():
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), keras.layers.Embedding(3, 1), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(1, use_bias=False, trainable=False))
    model.set_weights([np.array([[1.0], [0.0], [0.0]]), np.ones((2, 1))])
    model.compile(optimizer="sgd", loss="mse")
    # (e0 + e0)^2 at e0 = 1: d/d e0 = 2 * 2 * 2 = 8, of which each of the two readings gives 4.
    norms = gradient_norms(model, np.zeros((1, 2), "int32"), np.zeros((1, 1), "float32"))
    assert list(norms.values()) == [pytest.approx(8)]


def test_looking_leaves_the_metrics_of_a_running_epoch_alone():
    """A loss of several outputs counts each of them as it is computed."""
    inputs = keras.Input((2,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": "mse", "b": "mse"})
    x = np.ones((4, 2), "float32")
    y = {"a": np.ones((4, 1), "float32"), "b": np.zeros((4, 1), "float32")}
    Observer(model, training=False).observe(x, y)  # makes the metrics
    assert [float(np.asarray(variable)) for variable in model.metrics_variables] == [0.0] * 6
    model.train_on_batch(x, y)
    before = [np.asarray(variable).copy() for variable in model.metrics_variables]
    seen = Observer(model, training=False).observe(x, y)
    assert all(
        np.array_equal(a, np.asarray(b))
        for a, b in zip(before, model.metrics_variables, strict=True)
    )
    assert (seen.logits, seen.lost_share, seen.most_frequent_share) == (None, None, None)
