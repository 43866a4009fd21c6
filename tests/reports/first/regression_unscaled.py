"""A straight line by plain gradient descent, an example a step, its input in the hundreds."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    draw = np.random.default_rng(204)
    x = draw.uniform(1, 600, (200, 1))
    y = 75 - 0.04 * x + draw.normal(0, 2, (200, 1))
    if side == "fixed":
        x, y = ((part - part[:100].mean()) / part[:100].std() for part in (x, y))
    return cut(x.astype("float32"), y.astype("float32"), 100)


def build(side):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    # The share of variance explained, which has no unit, so that both sides have one target.
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score(name="explained")])
    return model


REPORT = Report(
    name="linear regression becomes NaN",
    source="public question on Keras",
    components=("data", "optimizer"),
    cause="neither input nor target is scaled, and each step overshoots the last",
    fix="scale both",
    data=data,
    build=build,
    target=0.6,
    epochs=3,
    batch_size=1,
    monitor="val_explained",
)
