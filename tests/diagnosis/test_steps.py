"""Throw-away steps: the same as Keras' own, and taken back without a trace."""

import numpy as np
import pytest

from deepcaptcha.diagnosis.steps import ThrowawaySteps, left_as_found
from deepcaptcha.keras.backend import keras

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((40, 5)).astype("float32")
Y = DRAW.standard_normal((40, 1)).astype("float32")


def network(dropout=0.0):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(dropout),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    return model


def state(model):
    return [
        np.asarray(variable).copy() for variable in [*model.variables, *model.optimizer.variables]
    ]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.integration
def test_steps_are_those_of_keras():
    order = DRAW.permutation(40).reshape(5, 8)
    moved, trained = network(), network()
    ThrowawaySteps(moved, X, Y).run(order)
    for rows in order:
        trained.train_on_batch(X[rows], Y[rows])
    for a, b in zip(moved.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_restarted_copy_repeats_itself():
    model = network()
    steps = ThrowawaySteps(model, X, Y)
    order = DRAW.permutation(40).reshape(5, 8)
    ends = []
    for _ in range(2):
        with left_as_found(model):
            steps.run(order)
            ends.append(model.get_weights())
        steps.restart()
    assert same(*ends)


def test_the_model_and_its_optimizer_are_left_as_found():
    """Weights, batch statistics, random states, metrics and the moments of a used optimizer."""
    model = network(dropout=0.3)
    model.fit(X, Y, epochs=1, verbose=0)
    before = state(model)
    with left_as_found(model):
        ThrowawaySteps(model, X, Y).run(np.arange(40).reshape(5, 8))
        moved = state(model)
    assert not same(before, moved)
    assert same(before, state(model))


def test_metrics_made_by_the_steps_start_anew():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, [keras.layers.Dense(1, name=name)(inputs) for name in "ab"])
    model.compile("sgd", ["mse", "mse"])
    with left_as_found(model):
        ThrowawaySteps(model, X, [Y, Y]).run(np.arange(16).reshape(2, 8))
    # the whole loss, and one for each output: a sum and a count each
    assert [float(np.asarray(variable)) for variable in model.metrics_variables] == [0.0] * 6


def test_what_keras_draws_next_is_what_it_would_have_drawn():

    def draw():
        return np.asarray(keras.random.normal((3,)))

    model = network()
    keras.utils.set_random_seed(0)
    _, expected = draw(), draw()
    keras.utils.set_random_seed(0)
    draw()
    with left_as_found(model):
        draw()
    assert np.array_equal(draw(), expected)


def test_weights_cut_off_from_the_loss_are_named():
    model = network()
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 0)
    model.layers[-1].trainable = False
    model.compile(optimizer="sgd", loss="mse")
    steps = ThrowawaySteps(model, X, Y)
    steps.run(np.arange(16).reshape(2, 8))
    # Nothing passes a last layer of zeros that may not change.
    assert [v.path for v in steps.untouched] == [v.path for v in model.trainable_variables]
