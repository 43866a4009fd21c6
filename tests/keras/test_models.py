"""Models built anew and traced ones put back to their start: the same training, bit for bit."""

import numpy as np
import pytest

from deepcaptcha.keras import source, training
from deepcaptcha.keras.backend import keras, tf
from tests.helpers import (
    POINTS,
    SAME,
    SMALL,
    changed,
    dense_model,
    ending,
    points,
    source_of,
    train,
)


@pytest.fixture
def traced(monkeypatch):
    """The models that this process keeps, of which there are none yet."""
    kept = {}
    monkeypatch.setattr(source, "_traced", kept)
    return kept


@pytest.mark.integration
def test_a_reused_model_trains_bit_for_bit_as_a_new_one(traced):
    """Also after a trial that diverged, and after one of another seed."""
    recipe = changed(SMALL, n_train=320)
    broken = changed(recipe, optimizer_settings={"learning_rate": 1e30})
    order = ((recipe, 1), (broken, 2), (recipe, 3), (broken, 4), (recipe, 1))
    fresh = [train(SAME, *one) for one in order]
    reused = [train(SAME, *one, reuse_model=True) for one in order]
    assert [ending(trial) for trial in reused] == [ending(trial) for trial in fresh]
    assert [trial.outcome == "diverged" for trial in fresh] == [False, True, False, True, False]
    assert len(traced) == 2


@pytest.mark.integration
def test_a_reused_model_draws_its_dropout_as_a_new_one(traced):
    fresh = [train(dropout_model, POINTS, seed, points()) for seed in (1, 2)]
    reused = [train(dropout_model, POINTS, seed, points(), reuse_model=True) for seed in (1, 2)]
    assert [ending(trial) for trial in reused] == [ending(trial) for trial in fresh]
    assert len(traced) == 1


def dropout_model():
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(8),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def drawn_by_tensorflow():
    model = dense_model()
    model.layers[0].set_weights([tf.random.normal((1, 2)).numpy(), np.zeros(2)])
    return model


def test_a_model_drawn_by_tensorflows_own_generator_starts_as_a_new_one(traced):
    """Its seed is not set for a model put back to its start."""
    fresh, reused = (
        source_of(drawn_by_tensorflow, POINTS, points(), reuse_model=reuse)
        for reuse in (False, True)
    )
    for seed in (1, 2, 1):
        assert fresh.identity(seed) == reused.identity(seed)
    assert not traced


@pytest.mark.integration
def test_a_model_drawn_by_tensorflows_own_generator_is_built_anew(traced):
    fresh = [train(drawn_by_tensorflow, POINTS, seed, points()) for seed in (1, 2)]
    reused = [
        train(drawn_by_tensorflow, POINTS, seed, points(), reuse_model=True) for seed in (1, 2)
    ]
    assert [ending(trial) for trial in reused] == [ending(trial) for trial in fresh]
    assert not traced


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**31, 2**32 - 1])
def test_the_order_of_the_examples_is_that_of_a_stock_shuffle(seed):
    numbers = tf.data.Dataset.range(200)
    ours = training.shuffled(numbers, 200, seed)
    tf.random.set_seed(seed)
    stock = numbers.shuffle(200, seed=seed)
    tf.random.set_seed(1)
    epochs = [list(made.as_numpy_iterator()) for made in (ours, ours, stock, stock)]
    assert epochs[:2] == epochs[2:]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == list(range(200))
