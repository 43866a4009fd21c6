"""Short texts, padded behind to a hundred words; an LSTM reads all of the padding last."""

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.reports.data import cut
from tests.reports.report import Report


def data(side):
    """Texts of 6 to 15 words below 200, of which three tell the class; 0 is padding."""
    draw = np.random.default_rng(205)
    kind = draw.integers(2, size=1100)
    x = np.zeros((1100, 100), "int32")
    for row, own in zip(x, kind, strict=True):
        words = draw.integers(22, 200, size=draw.integers(6, 16))
        words[draw.permutation(len(words))[:3]] = draw.integers(2, 12, size=3) + 10 * own
        row[: len(words)] = words
    return cut(x, kind.astype("float32"), 800)


def build(side):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((100,), dtype="int32"),
            layers.Embedding(200, 16, mask_zero=side == "fixed"),
            layers.LSTM(16),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model


REPORT = Report(
    name="padding behind, no mask",
    source="public question on Keras",
    components=("data", "architecture"),
    cause="the state after 85 steps of padding no longer depends on the words before them",
    fix="mask_zero in the embedding, or padding in front",
    data=data,
    build=build,
    target=0.9,
    epochs=4,
)
