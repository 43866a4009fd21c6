"""A network on whatever backend Keras has, and one that cannot learn; who builds it imports Keras."""

import numpy as np
import pytest

X = np.random.RandomState(0).normal(size=(128, 2)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("float32")


def build(rate=0.2):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.convergence(target=0.9, epochs=4, p_good=0.999, p_bad=0.05)
def test_trains(convergence):
    def nested():
        return build()

    convergence.check(nested, train=(X, Y), validation=(X, Y))


@pytest.mark.convergence(target=0.9, epochs=1, p_good=0.999, p_bad=0.05)
def test_stands_still(convergence):
    convergence.check(lambda: build(rate=0.0), train=(X, Y), validation=(X, 1 - Y), name="still")
