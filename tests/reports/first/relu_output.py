"""A ReLU answers for a probability, and the only input is as large as 100,000."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    """Is a whole number below 100,000 at least 50,000?"""
    x = np.random.default_rng(106).integers(100_000, size=(2500, 1)).astype("float32")
    y = (x[:, 0] >= 50_000).astype("int64")
    if side == "fixed":
        x = (x - x[:2000].mean()) / x[:2000].std()
    return cut(x, y, 2000)


def build(side):
    layers = keras.layers
    last = {"broken": "relu", "fixed": "sigmoid"}[side]
    model = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(3, activation="relu"),
            layers.Dense(5, activation="relu"),
            layers.Dense(1, activation=last),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="ReLU as the output, unscaled input",
    source="public question on Keras",
    components=("output", "data"),
    cause="binary cross-entropy is given a ReLU's output, of an input that is not scaled",
    fix="sigmoid as the output, and a scaled input",
    data=data,
    build=build,
    target=0.9,
    epochs=10,
    batch_size=5,
)
