"""The fourth power of numbers up to 100 by a small network: targets of up to 1e8."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    x = np.random.default_rng(211).uniform(-100, 100, (1500, 1))
    y = x**4
    if side == "fixed":
        x, y = x / 100, y / 1e8
    return cut(x.astype("float32"), y.astype("float32"), 1000)


def build(side):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(50, activation="sigmoid"),
            layers.Dense(50, activation="elu"),
            layers.Dense(1),
        ]
    )
    # The share of variance explained, which has no unit, so that both sides have one target.
    explained = keras.metrics.R2Score(name="explained")
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=[explained])
    return model


REPORT = Report(
    name="fourth power, unscaled",
    source="public question on Keras",
    components=("data", "labels"),
    cause="inputs saturate the sigmoid, and targets of 1e8 are out of reach of steps of 0.01",
    fix="scale both",
    data=data,
    build=build,
    target=0.8,
    epochs=50,
    monitor="val_explained",
)
