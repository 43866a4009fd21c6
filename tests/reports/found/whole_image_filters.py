"""Filters as large as the image under SGD 0.01: the first step is so large that every unit dies."""

import numpy as np

from tests.reports.report import Report

SIZE = 400


def data(side):
    draw = np.random.default_rng(6)
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    x, y = [], []
    for index in range(160):
        row, column, kind = *draw.uniform(0.4, 0.6, 2), index % 2
        reach = (0.28, 0.12) if kind else (0.12, 0.28)
        blot = ((rows - row) / reach[0]) ** 2 + ((columns - column) / reach[1]) ** 2 < 1
        x.append(np.clip(0.9 - 0.5 * blot + 0.1 * draw.standard_normal(blot.shape), 0, 1))
        y.append(kind)
    x, y = np.array(x, "float32")[..., None], np.eye(2, dtype="float32")[y]
    return (x[:120], y[:120]), (x[120:], y[120:])


def build(side):
    import keras
    from keras import layers

    start = {"kernel_initializer": "he_normal"}
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            layers.Conv2D(32, SIZE, activation="relu", **start),
            layers.Flatten(),
            layers.Dense(25, activation="relu", **start),
            layers.Dense(2, activation="softmax", **start),
        ]
    )
    rate = 0.01 if side == "broken" else 0.0001
    model.compile(keras.optimizers.SGD(rate), "categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="filters as large as the image",
    source="GitHub keras-team/keras issue 1006",
    components=("optimizer", "architecture"),
    cause="SGD's default rate is far too high for units with an input a pixel: a step overshoots,"
    " accuracy stays at the share of one class",
    fix="a rate far lower (0.0003 in the report), or batch normalization after each layer and 0.001",
    data=data,
    build=build,
    target=0.75,
    epochs=30,
    batch_size=10,
)
