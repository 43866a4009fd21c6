"""Two linear layers, one after the other, on a normalized input and targets to ten thousand."""

import keras
import numpy as np
from keras import layers

from tests.reports.report import Report


def data(side):
    x = np.arange(100, dtype="float32")[:, None]
    y = x**2 + 3
    x = (x - x.mean()) / x.std()
    if side == "fixed":
        y = (y - y.mean()) / y.std()
    held_out = np.arange(100) % 5 == 2
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])


def build(side):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score(name="r2")])
    return model


REPORT = Report(
    name="parabola by two lines",
    source="Cross Validated question 418955",
    # Targets are data and labels: either word is right for their scale.
    components=("data", "labels", "optimizer"),
    cause="the targets are not scaled, so that the first steps are far too large",
    fix="scale the targets, or take a much smaller learning rate",
    data=data,
    build=build,
    target=0.85,
    epochs=40,
    batch_size=8,
    monitor="val_r2",
)
