"""One sigmoid is to tell ten digits apart, by binary cross-entropy against 0..9."""

from deepcaptcha.keras.backend import keras
from tests.reports.data import digits, divided
from tests.reports.report import Report


def data(side):
    pairs = tuple((x.reshape(len(x), 784), y) for x, y in digits(2000, 600))
    return divided(pairs, 255) if side == "fixed" else pairs


def build(side):
    layers = keras.layers
    units, activation, loss = {
        "broken": (1, "sigmoid", "binary_crossentropy"),
        "fixed": (10, "softmax", "sparse_categorical_crossentropy"),
    }[side]
    model = keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(units, activation=activation),
        ]
    )
    model.compile("adam", loss, metrics=["accuracy"])
    return model


REPORT = Report(
    name="one sigmoid for ten classes",
    source="public question on Keras",
    components=("output", "loss"),
    cause="a single sigmoid and binary cross-entropy cannot answer with one of ten classes",
    fix="ten units, softmax and (sparse) categorical cross-entropy",
    data=data,
    build=build,
    target=0.8,
    epochs=6,
)
