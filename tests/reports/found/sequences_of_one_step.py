"""The mean of the last three numbers by an LSTM that is given one number at a time."""

import numpy as np

from tests.reports.report import Report


def data(side):
    numbers = np.random.default_rng(3).integers(0, 10, 1302).astype("float32")
    windows = np.lib.stride_tricks.sliding_window_view(numbers, 3)
    x = windows[:, -1:] if side == "broken" else windows
    x, y = x[..., None].copy(), windows.mean(axis=1)
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


def build(side):
    import keras
    from keras import layers

    steps = 1 if side == "broken" else 3
    model = keras.Sequential(
        [keras.Input((steps, 1)), layers.LSTM(4), layers.Dense(1, activation="linear")]
    )
    model.compile(keras.optimizers.Adam(0.001), "mse")
    return model


REPORT = Report(
    name="sequences of one step",
    source="question Proper Shape of LSTM Dataset for Keras",
    components=("data",),
    cause="a series was reshaped to (n, 1, 1): each example is a sequence of one step, and the state"
    " that should remember the numbers before starts anew with each",
    fix="examples of three steps, (n, 3, 1)",
    data=data,
    build=build,
    target=0.5,
    epochs=5,
    batch_size=1,
    monitor="val_loss",
    mode="min",
)
