"""Batch normalization whose moving averages have hardly moved when training ends."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    """Colour pictures of chairs and lamps on white, 0..255."""
    draw = np.random.default_rng(105)
    kind = np.arange(128) % 2
    x = np.full((128, 56, 56, 3), 255.0)
    for picture, is_chair in zip(x, kind, strict=True):
        shade, (top, left) = draw.uniform(30, 160, 3), draw.integers(10, 25, 2)
        part = picture[top : top + 26, left : left + 18]
        if is_chair:  # back, seat and front leg
            part[:, :4] = part[12:15] = part[12:, 15:] = shade
        else:  # shade, pole and foot
            part[:9] = part[:, 8:10] = part[24:] = shade
        picture += draw.normal(0, 4, picture.shape)
    return cut(np.clip(x, 0, 255).astype("float32"), kind, 64)


def build(side):
    layers = keras.layers
    momentum = {"broken": 0.99, "fixed": 0.5}[side]
    model = keras.Sequential(
        [
            keras.Input((56, 56, 3)),
            layers.Conv2D(5, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(10, 4, strides=2, padding="same"),
            layers.BatchNormalization(momentum=momentum),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="batch normalization, two dozen steps",
    source="public question on Keras",
    components=("architecture", "budget"),
    cause="with momentum 0.99 the moving averages are still near their start, so inference differs",
    fix="a smaller momentum, or many more steps",
    data=data,
    build=build,
    target=0.85,
    epochs=3,
    batch_size=8,
)
