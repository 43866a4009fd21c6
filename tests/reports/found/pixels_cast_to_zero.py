"""Pixels of 0..255 scaled to fractions within an array of integers: every image is 0 all over."""

import numpy as np

from deepcaptcha.networks.digits import load_mnist
from tests.reports.report import Report


def data(side):
    (images, labels), (others, answers) = load_mnist()

    def taken(pictures, kinds, count):
        kept = np.flatnonzero(kinds < 2)[:count]
        pixels = pictures[kept][..., None].copy()
        if side == "broken":
            pixels[:] = pixels / 256  # into uint8, which cuts the fractions off
        else:
            pixels = pixels.astype("float32") / 256
        return pixels.astype("float32"), np.eye(2, dtype="float32")[kinds[kept]]

    return taken(images, labels, 800), taken(others, answers, 200)


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="pixels cast to zero",
    source="GitHub keras-team/keras issue 255",
    components=("data",),
    cause="the pixels were scaled to fractions in an array of integers: all inputs are 0",
    fix="convert to floats before dividing",
    data=data,
    build=build,
    target=0.95,
    epochs=6,
)
