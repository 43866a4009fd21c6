"""A convolutional network is shown the answer itself and still says yes to everything."""

import keras
import numpy as np
from keras import layers

from tests.reports.report import Report


def data(side):
    draw = np.random.default_rng(11)
    y = draw.integers(0, 2, 700).astype("float32")
    x = draw.random((700, 33, 12, 2)).astype("float32")
    x[..., 1] = y[:, None, None]
    return (x[:500], y[:500, None]), (x[500:], y[500:, None])


def build(side):
    broken = side == "broken"
    model = keras.Sequential(
        [
            keras.Input((33, 12, 2)),
            layers.Conv2D(10, 3, activation="relu"),
            layers.Conv2D(20, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(1, activation="softmax" if broken else "sigmoid"),
        ]
    )
    loss = "categorical_crossentropy" if broken else "binary_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


REPORT = Report(
    name="answer among the inputs",
    source="Cross Validated question 481881",
    components=("output", "loss"),
    cause="the softmax is over a single unit, so that the answer is always 1",
    fix="a sigmoid and binary cross-entropy",
    data=data,
    build=build,
    target=0.9,
    epochs=3,
)
