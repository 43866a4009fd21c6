"""Pixels of 0..255 under plain gradient descent at Keras' own rate of 0.01."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import digits, divided
from tests.reports.report import Report


def data(side):
    classes = np.eye(10, dtype="float32")
    pairs = tuple((x, classes[y]) for x, y in digits(3000, 600))
    return divided(pairs, 255) if side == "fixed" else pairs


def build(side):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dense(100, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="raw pixels, plain gradient descent",
    source="public question on Keras",
    components=("data", "optimizer"),
    cause="the pixels are not scaled, and a step of 0.01 is far too long for them",
    fix="divide the pixels by 255",
    data=data,
    build=build,
    target=0.8,
    epochs=8,
)
