"""A residual network learns three images by heart, but predicts one class for all of them."""

import keras
import numpy as np
from keras import layers

from deepcaptcha.networks.recipes import load_digits
from tests.reports.report import Report


def data(side):
    digits = load_digits()
    classes = digits.y_train.argmax(axis=-1).reshape(-1)
    rows = [np.flatnonzero(classes == digit)[0] for digit in (0, 1, 7)]
    images = digits.x_train[rows], np.eye(3, dtype="float32")
    return images, images


def build(side):
    momentum = 0.99 if side == "broken" else 0.01

    def convolve(x, filters, size, strides=1):
        x = layers.Conv2D(filters, size, strides, padding="same")(x)
        return layers.BatchNormalization(momentum=momentum)(x)

    inputs = keras.Input((28, 28, 1))
    x = layers.ReLU()(convolve(inputs, 8, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for filters, strides in ((8, 1), (16, 2)):
        inner = layers.ReLU()(convolve(x, filters, 1, strides))
        inner = layers.ReLU()(convolve(inner, filters, 3))
        outer = convolve(x, 4 * filters, 1, strides) if x.shape[-1] != 4 * filters else x
        x = layers.ReLU()(layers.Add()([convolve(inner, 4 * filters, 1), outer]))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="three images",
    source="Stack Overflow question 47157526",
    components=("architecture", "budget"),
    cause="after five steps batch normalization's moving averages are still near their start",
    fix="a smaller momentum of batch normalization, or hundreds of epochs",
    data=data,
    build=build,
    target=0.5,
    epochs=12,
    monitor="val_loss",
    mode="min",
)
