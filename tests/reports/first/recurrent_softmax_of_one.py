"""An LSTM that answers by softmax over one unit; binary cross-entropy falls all the same."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    """Four steps of 16 bits: has the last step more ones in its first half than in its second?"""
    x = np.random.default_rng(201).integers(2, size=(1600, 4, 16)).astype("float32")
    first, second = x[:, -1, :8].sum(axis=1), x[:, -1, 8:].sum(axis=1)
    return cut(x, (first > second).astype("float32"), 1200)


def build(side):
    layers = keras.layers
    last = {"broken": "softmax", "fixed": "sigmoid"}[side]
    model = keras.Sequential(
        [keras.Input((4, 16)), layers.LSTM(16), layers.Dense(1, activation=last)]
    )
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="LSTM, softmax over one unit",
    source="public question on Keras",
    components=("output",),
    cause="softmax over a single unit answers 1 to everything",
    fix="sigmoid in place of softmax",
    data=data,
    build=build,
    target=0.85,
    epochs=5,
)
