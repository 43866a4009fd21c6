"""Images in the order of their classes; the last fifth, held out as it lies, is the last class."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut, digits
from tests.reports.report import Report


def data(side):
    """300 digits of each of five classes."""
    images, labels = digits(4000, 0, classes=5)[0]
    order = np.concatenate([np.flatnonzero(labels == digit)[:300] for digit in range(5)])
    if side == "fixed":
        np.random.default_rng(103).shuffle(order)
    return cut(images[order] / np.float32(255), np.eye(5, dtype="float32")[labels[order]], 1200)


def build(side):
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (8, 16):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(5, activation="softmax"))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="held-out fifth of sorted data",
    source="public question on Keras",
    components=("data",),
    cause="the validation examples are all of one class, which the training examples lack",
    fix="shuffle before the split",
    data=data,
    build=build,
    target=0.85,
    epochs=6,
)
