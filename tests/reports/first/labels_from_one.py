"""Seven classes, numbered from 1 to 7, before a softmax of seven."""

from deepcaptcha.keras.backend import keras
from tests.reports.data import digits, divided
from tests.reports.report import Report


def data(side):
    first = {"broken": 1, "fixed": 0}[side]
    pairs = divided(digits(1500, 400, classes=7), 255)
    return tuple((x, y + first) for x, y in pairs)


def build(side):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.6),
            layers.Dense(100, activation="relu"),
            layers.Dense(7, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="class numbers from 1",
    source="public question on Keras",
    components=("labels",),
    cause="the last class has no output, and the first output no class",
    fix="number the classes from 0",
    data=data,
    build=build,
    target=0.8,
    epochs=6,
)
