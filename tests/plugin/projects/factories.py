"""Six factories that know nothing of deepcaptcha, each with data that it learns in a few epochs.

`rate=0.0` makes any of them a factory that cannot learn. The tests of `tests/test_projects.py` copy this
module into projects of their own.
"""

import keras
import numpy as np
import tensorflow as tf

COUNT = 192


def points(seed):
    """Two numbers and which is larger."""
    x = np.random.RandomState(seed).rand(COUNT, 2)  # float64, as numpy makes it
    return x, (x[:, 0] > x[:, 1]).astype("int32")


def images(seed):
    """Noise 16 x 16 with a bright square in one of two corners."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 2, COUNT)
    x = random.rand(COUNT, 16, 16, 1).astype("float32") / 2
    x[labels == 0, 2:7, 2:7] += 1
    x[labels == 1, 9:14, 9:14] += 1
    return x, np.eye(2, dtype="float32")[labels]


def sums(seed):
    """Two numbers and their sum."""
    x = np.random.RandomState(seed).rand(COUNT, 2).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def sequences(seed, shuffled=True):
    """A pipeline of six numbers and whether they lie around 2.5 or around 0.5."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 2, (COUNT, 1))
    x = (random.randn(COUNT, 6, 1) / 2 + 2 * labels[:, None] + 0.5).astype("float32")
    pipeline = tf.data.Dataset.from_tensor_slices((x, labels.astype("float32")))
    return (pipeline.shuffle(COUNT) if shuffled else pipeline).batch(16)


def compiled(model, rate, loss, metrics=("accuracy",)):
    model.compile(keras.optimizers.Adam(rate), loss, metrics=list(metrics))
    return model


def build_mlp(rate=0.05):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(2, activation="softmax", name="classes"),
        ]
    )
    return compiled(model, rate, "sparse_categorical_crossentropy")


def build_lenet5(rate=0.003):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    return compiled(model, rate, "categorical_crossentropy")


def build_resnet(rate=0.01):
    layers = keras.layers
    inputs = keras.Input((16, 16, 1))
    start = x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    for activation in ("relu", None):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.5)(x)
        x = layers.Activation(activation)(x)
    x = layers.Activation("relu")(layers.Add()([start, x]))
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    outputs = layers.Dense(2, activation="softmax")(x)
    return compiled(keras.Model(inputs, outputs), rate, "categorical_crossentropy")


class Own(keras.Model):
    """Two dense layers, and no code to load it again."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(16, activation="relu")
        self.classes = keras.layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.classes(self.hidden(x))


def build_subclassed(rate=0.05):
    return compiled(Own(), rate, "sparse_categorical_crossentropy")


def build_lstm(rate=0.02):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((6, 1)), layers.LSTM(8), layers.Dense(1, activation="sigmoid")]
    )
    return compiled(model, rate, "binary_crossentropy")


def build_regression(rate=0.03):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(16, activation="relu"), layers.Dense(1)]
    )
    return compiled(model, rate, "mean_squared_error", metrics=())
