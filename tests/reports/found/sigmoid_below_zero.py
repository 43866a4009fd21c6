"""A curve between -1 and 0 by one sigmoid unit, which answers between 0 and 1."""

import numpy as np

from tests.reports.report import Report


def data(side):
    sign = -1 if side == "broken" else 1

    def curve(count):
        x = np.linspace(-1, 1, count, dtype="float32")[:, None]
        return x, (sign / (np.exp(10 * x) + 1)).astype("float32")

    return curve(111), curve(11)


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mean_absolute_error"])
    return model


REPORT = Report(
    name="a sigmoid for targets below 0",
    source="Stack Overflow question 58887284",
    components=("output", "labels"),
    cause="the sigmoid answers between 0 and 1, all targets lie between -1 and 0",
    fix="targets normalized to 0..1 (here: the same curve above 0)",
    data=data,
    build=build,
    target=0.2,
    epochs=150,
    monitor="val_mean_absolute_error",
    mode="min",
)
