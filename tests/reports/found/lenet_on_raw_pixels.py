"""Ten digits as 0..255 into two convolutions: they learn, but less than in as many epochs scaled."""

import numpy as np

from deepcaptcha.networks.digits import load_mnist
from tests.reports.report import Report


def data(side):
    (images, labels), (others, answers) = load_mnist()
    divisor = 1 if side == "broken" else 255
    one = np.eye(10, dtype="float32")
    return (
        (images[:6000, ..., None].astype("float32") / divisor, one[labels[:6000]]),
        (others[..., None].astype("float32") / divisor, one[answers]),
    )


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(20, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="convolutions on raw pixels",
    source="Stack Overflow question 48284427",
    components=("data",),
    cause="pixels of 0..255 are not scaled, so that the same epochs end at a lower accuracy",
    fix="divide the pixels by 255 (both versions were trained by the asker)",
    data=data,
    build=build,
    target=0.955,
    epochs=6,
    batch_size=128,
)
