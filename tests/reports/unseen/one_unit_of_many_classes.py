"""Sequences of category numbers, one sigmoid unit, and a loss that only looks at the true class."""

import keras
import numpy as np
from keras import layers

from tests.reports.report import Report


def data(side):
    draw = np.random.default_rng(12)
    x = draw.integers(0, 6, (4000, 5, 10)).astype("float32")
    last = x[:, -1, 0] + x[:, -1, 1] + x[:, -2, 0]
    y = (last > np.quantile(last, 0.7)).astype("float32")[:, None]
    return (x[:3000], y[:3000]), (x[3000:], y[3000:])


def build(side):
    model = keras.Sequential(
        [
            keras.Input((5, 10)),
            layers.LSTM(32, recurrent_activation="hard_sigmoid"),
            layers.Dense(16),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    loss = "categorical_crossentropy" if side == "broken" else "binary_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


REPORT = Report(
    name="one unit of many classes",
    source="Cross Validated question 565956",
    components=("loss", "output"),
    cause="categorical cross-entropy over one output is least when it is 1 for every example",
    fix="binary cross-entropy, or two outputs under softmax with one-hot labels",
    data=data,
    build=build,
    target=0.9,
    epochs=12,
)
