"""A small recurrent classifier ends in a bare number under binary cross-entropy."""

import keras
import numpy as np
from keras import layers

from tests.reports.report import Report


def data(side):
    draw = np.random.default_rng(14)
    x = draw.normal(size=(2500, 8, 6)).astype("float32")
    y = (x[:, -1, 0] + x[:, -2, 1] > 0).astype("float32")
    return (x[:1750], y[:1750]), (x[1750:], y[1750:])


def build(side):
    model = keras.Sequential(
        [
            keras.Input((8, 6)),
            layers.LSTM(4),
            layers.Dense(1, activation=None if side == "broken" else "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="sequence without a probability",
    source="Cross Validated, Why the accuracy of the neural network is falling when epoch increases",
    components=("output",),
    cause="the last layer has no activation, so that it gives binary cross-entropy no probability",
    fix="a sigmoid in the last layer",
    data=data,
    build=build,
    target=0.85,
    epochs=40,
    batch_size=50,
)
