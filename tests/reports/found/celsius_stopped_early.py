"""Fahrenheit from 13 temperatures in Celsius: 500 epochs of one batch are too few for the offset."""

import numpy as np

from tests.reports.report import Report

CELSIUS = (-40, -30, -20, -10, -5, 0, 5, 8, 10, 15, 22, 30, 38)


def data(side):
    x = np.array(CELSIUS, "float32")[:, None]
    if side == "fixed":
        x = np.repeat(x, 20, axis=0)  # 20 passes an epoch: as 10,000 epochs
    others = np.arange(-35, 40, 5, dtype="float32")[:, None]
    return (x, 1.8 * x + 32), (others, 1.8 * others + 32)


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


REPORT = Report(
    name="500 epochs of one batch",
    source="Data Science question 68962",
    components=("budget", "optimizer"),
    cause="500 epochs of a single batch are 500 steps of at most about the rate each: the weight"
    " arrives, the offset of 32 does not",
    fix="10,000 epochs; the answer uses a rate ten times as high",
    data=data,
    build=build,
    target=1.0,
    epochs=500,
    batch_size=13,
    monitor="val_loss",
    mode="min",
)
