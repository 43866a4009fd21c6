"""Exclusive or of two bits by too few ReLU units: the loss stays on a plateau, accuracy at 3/4."""

import numpy as np

from tests.reports.report import Report


def data(side):
    bits = np.random.default_rng(0).integers(0, 2, (1100, 2))
    x, y = bits.astype("float32"), (bits[:, :1] != bits[:, 1:]).astype("float32")
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(1 if side == "broken" else 8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="exclusive or by too few ReLU units",
    source="Cross Validated question 320672",
    components=("architecture",),
    cause="one hidden ReLU unit cannot represent exclusive or (the asker saw the same with up to four),"
    " and the loss stays on a plateau",
    fix="five hidden units or more",
    data=data,
    build=build,
    target=0.99,
    epochs=20,
    batch_size=4,
)
