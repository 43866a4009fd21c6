"""One linear unit is to double the numbers from 0 to 199, row by row, and ends in no number at all."""

import keras
import numpy as np
from keras import layers

from tests.reports.report import Report


def data(side):
    x = np.arange(200, dtype="float32")[:, None]
    y = 2 * x
    held_out = np.arange(200) % 5 == 2
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])


def build(side):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    rule = keras.optimizers.SGD(0.001 if side == "broken" else 0.00001)
    model.compile(rule, "mean_squared_error")
    return model


REPORT = Report(
    name="doubled numbers",
    source="GitHub keras-team/keras issue 3040",
    # Scaled inputs would do as well; what the asker changed was the rate.
    components=("optimizer", "data"),
    cause="the learning rate is too high for inputs up to 199: each step overshoots more than the last",
    fix="a much smaller learning rate",
    data=data,
    build=build,
    target=1.0,
    epochs=2,
    batch_size=1,
    monitor="val_loss",
    mode="min",
)
