"""Softmax over one unit is 1 whatever goes in; squared error cannot tell it so."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    """Points of the unit square on either side of x + y = 1/2, as many on each."""
    draw = np.random.default_rng(101)
    above = np.arange(120) % 2
    share = draw.uniform(0.05, 0.95, 120)
    total = np.where(above, draw.uniform(0.55, 1.6, 120), draw.uniform(0.05, 0.45, 120))
    x = np.stack([share * total, (1 - share) * total], axis=1).astype("float32")
    return cut(x, above.astype("int32"), 80)


def build(side):
    layers = keras.layers
    settings = {"kernel_initializer": "random_uniform"}
    last = {"broken": "softmax", "fixed": "sigmoid"}[side]
    model = keras.Sequential([keras.Input((2,))])
    for _ in range(2):
        model.add(layers.Dense(64, activation="tanh", **settings))
        model.add(layers.Dropout(0.5))
    model.add(layers.Dense(1, activation=last, **settings))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    model.compile(optimizer, "mean_squared_error", metrics=["accuracy"])
    return model


REPORT = Report(
    name="softmax over one unit, squared error",
    source="public question on Keras",
    components=("output",),
    cause="softmax over a single unit is 1 for every input",
    fix="sigmoid in place of softmax",
    data=data,
    build=build,
    target=0.9,
    epochs=30,
    batch_size=16,
)
