"""Sound models of many kinds, in which the check must find no error."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcaptcha.keras.backend import keras
from tests.diagnosis.models import (
    Case,
    blobs,
    compiled,
    conv,
    digits,
    mlp,
    question,
    sequences,
    sgd,
    stack,
    table,
    tabular,
    tokens,
)

layers, losses, schedules = keras.layers, keras.losses, keras.optimizers.schedules


def sound_mlp():
    return mlp(), digits()


def lenet():
    return (
        stack(
            (28, 28, 1),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
            optimizer=sgd(0.05, momentum=0.9),
        ),
        digits(),
    )


def batch_normed():
    return (
        stack(
            (28, 28, 1),
            layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ),
        digits(),
    )


def _residual(gamma: str) -> Any:
    inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    for _ in range(2):
        branch = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        branch = layers.BatchNormalization(gamma_initializer=gamma)(branch)
        x = layers.ReLU()(layers.Add()([x, branch]))
    outputs = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    return compiled(keras.Model(inputs, outputs))


def residual():
    return _residual("ones"), digits()


def residual_from_zero():
    return _residual("zeros"), digits()


def lstm():
    return (
        stack(
            (20, 1),
            layers.LSTM(16),
            layers.Dense(1, activation="sigmoid"),
            loss="binary_crossentropy",
        ),
        sequences(),
    )


def regression():
    return tabular(loss="mse"), table()


def dropout():
    return (
        stack(
            (28, 28, 1),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
            optimizer="rmsprop",
        ),
        digits(),
    )


def from_logits():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return mlp(head=None, loss=loss), digits()


def softmax_and_from_logits():
    """Keras' cross-entropy sees the softmax and takes its logits, whatever from_logits says: the weights
    after `fit` are the same bits with True and with False."""
    return conv(loss=losses.SparseCategoricalCrossentropy(from_logits=True)), digits()


def two_classes():
    data = blobs(2)
    model = tabular("sigmoid", 1, 12, loss="binary_crossentropy")
    return model, {**data, "y": data["y"].astype(np.float32)[:, None]}


def word_embedding():
    return (
        stack(
            (12,),
            layers.Embedding(5000, 16),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
            loss="binary_crossentropy",
        ),
        tokens(),
    )


def gru_regression():
    data = sequences()
    y = data["x"].mean(axis=1)
    return stack((20, 1), layers.GRU(8), layers.Dense(1), loss="mae"), {**data, "y": y}


def autoencoder():
    model = stack(
        (28, 28, 1),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(784, activation="sigmoid"),
        layers.Reshape((28, 28, 1)),
        loss="mse",
    )
    x = digits()["x"]
    return model, {"x": x, "y": x}


def own_validation():
    data = digits()
    return conv(), {
        "x": data["x"][:400],
        "y": data["y"][:400],
        "validation": (data["x"][400:], data["y"][400:]),
    }


def separable():
    return (
        stack(
            (28, 28, 1),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.SeparableConv2D(32, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
            optimizer="nadam",
        ),
        digits(),
    )


def bidirectional():
    return (
        stack(
            (20, 1),
            layers.Bidirectional(layers.LSTM(8, return_sequences=True)),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2, activation="softmax"),
        ),
        {**sequences(), "y": sequences()["y"][:, 0].astype(np.int64)},
    )


def normalized_table():
    data = table(offset=50.0)
    normalize = layers.Normalization()
    normalize.adapt(data["x"])
    return (
        stack(
            (8,),
            normalize,
            layers.Dense(32, activation="relu"),
            layers.Dense(1),
            loss=losses.Huber(),
        ),
        data,
    )


def selu():
    hidden = {"activation": "selu", "kernel_initializer": "lecun_normal"}
    return (
        stack(
            (28, 28, 1),
            layers.Flatten(),
            layers.Dense(64, **hidden),
            layers.AlphaDropout(0.1),
            layers.Dense(64, **hidden),
            layers.Dense(10, activation="softmax"),
            optimizer=sgd(0.01),
        ),
        digits(),
    )


def conv_on_series():
    return (
        stack(
            (20, 1),
            layers.Conv1D(8, 5, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
            loss="binary_crossentropy",
            optimizer="adamw",
        ),
        sequences(),
    )


def attention():
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Embedding(5000, 16)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    outputs = layers.Dense(1)(layers.GlobalAveragePooling1D()(x))
    loss = losses.BinaryCrossentropy(from_logits=True)
    return compiled(keras.Model(inputs, outputs), loss=loss), tokens()


def many_labels():
    data = blobs(4)
    bits = np.stack([data["y"] % 2, data["y"] // 2], axis=1).astype(np.float32)
    return tabular("sigmoid", 2, 12, loss="binary_crossentropy"), {**data, "y": bits}


def label_smoothing():
    return conv(loss=losses.CategoricalCrossentropy(label_smoothing=0.1)), digits(one_hot=True)


def warm_up():
    rise = schedules.CosineDecay(0.0, 1000, warmup_target=0.003, warmup_steps=100)
    return mlp(optimizer=keras.optimizers.AdamW(rise)), digits()


def partly_frozen():
    model = conv()
    model.layers[0].trainable = False
    return compiled(model), digits()


def subclassed():

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(32, activation="relu")
            self.second = layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.second(self.first(x))

    model = Own()
    model(blobs()["x"][:1])
    return compiled(model), blobs()


def hidden_softmax_unit_pixels():
    model, data = question("same")
    return model, {**data, "x": data["x"] / 255}


def raw_pixels_rescaled_inside():
    return (
        stack(
            (28, 28, 1),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ),
        digits(scale=1),
    )


SOUND = tuple(
    Case(f"sound: {make.__name__}", make, None, held_out)
    for held_out, makes in (
        (
            False,
            (
                sound_mlp,
                lenet,
                batch_normed,
                residual,
                lstm,
                regression,
                dropout,
                from_logits,
                two_classes,
                word_embedding,
                gru_regression,
                autoencoder,
                own_validation,
            ),
        ),
        (
            True,
            (
                residual_from_zero,
                separable,
                bidirectional,
                normalized_table,
                selu,
                conv_on_series,
                attention,
                many_labels,
                label_smoothing,
                softmax_and_from_logits,
                warm_up,
                partly_frozen,
                subclassed,
                hidden_softmax_unit_pixels,
                raw_pixels_rescaled_inside,
            ),
        ),
    )
    for make in makes
)
