"""Fahrenheit from 13 temperatures in Celsius: 500 epochs of one batch are too few for the offset."""

import numpy as np

from tests.reports.report import Report

CELSIUS = (-40, -30, -20, -10, -5, 0, 5, 8, 10, 15, 22, 30, 38)


def data(side):
    x = np.array(CELSIUS, "float32")[:, None]
    if side == "fixed":
        x = np.repeat(x, 5, axis=0)  # five passes an epoch, as 2,500 epochs
    others = np.arange(-35, 40, 5, dtype="float32")[:, None]
    return (x, 1.8 * x + 32), (others, 1.8 * others + 32)


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


REPORT = Report(
    name="500 epochs of one batch",
    source="Data Science question 68962",
    components=("budget", "optimizer"),
    cause="500 epochs of a single batch are 500 steps: the weight arrives at 1.8, the offset stops"
    " at 29.2 on its way to 32",
    fix="more epochs (10,000 in the report); the answer also names a rate that is too low",
    data=data,
    build=build,
    target=1.0,
    epochs=500,
    batch_size=13,
    monitor="val_loss",
    mode="min",
)
