"""TensorFlow computes at the top of the module, as a text model's vocabulary does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

TEXTS = np.array(["good film", "bad film", "good book", "bad book"] * 16)
LABELS = np.array([1, 0, 1, 0] * 16, "float32")
VECTORIZE = keras.layers.TextVectorization(max_tokens=10, output_sequence_length=2)
VECTORIZE.adapt(TEXTS)
DATA = tf.data.Dataset.from_tensor_slices((VECTORIZE(TEXTS), LABELS)).batch(8)


def build():
    layers = [
        keras.Input((2,), dtype="int64"),
        keras.layers.Embedding(10, 4),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
    return model


def make():
    return DATA


@pytest.mark.convergence(target=0.9, epochs=6, p_good=0.999, p_bad=0.05)
@pytest.mark.parametrize("given", [make, DATA], ids=["function", "dataset"])
def test_text(given, convergence):
    convergence.check(build, train=given, validation=given, name="text")
