"""Fahrenheit from Celsius by one linear unit: 500 steps are too few for the offset."""

import numpy as np

from tests.reports.report import Report


def data(side):
    # the report: 13 temperatures, 500 epochs of one batch; here as many steps in fewer epochs
    x = np.linspace(-40, 40, 65, dtype="float32")[:, None]
    if side == "fixed":
        x = np.repeat(x, 5, axis=0)  # five passes an epoch, as five times the epochs
    others = np.linspace(-35, 35, 15, dtype="float32")[:, None]
    return (x, 1.8 * x + 32), (others, 1.8 * others + 32)


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


REPORT = Report(
    name="500 steps for an offset",
    source="Data Science question 68962",
    components=("budget", "optimizer"),
    cause="training stops after 500 steps: the weight is at 1.8, the offset about 29 on its way to 32",
    fix="more epochs (10,000 in the report); the answer also names a rate that is too low",
    data=data,
    build=build,
    target=1.0,
    epochs=100,
    batch_size=13,
    monitor="val_loss",
    mode="min",
)
