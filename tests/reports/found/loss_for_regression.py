"""Ten digits under squared error, the whole training set a batch, SGD 0.001: every step is tiny."""

import numpy as np

from deepcaptcha.networks.digits import load_mnist
from tests.reports.report import Report


def data(side):
    (images, labels), (others, answers) = load_mnist()
    one = np.eye(10, dtype="float32")
    return (
        (images[:1000].astype("float32") / 255, one[labels[:1000]]),
        (others[:1000].astype("float32") / 255, one[answers[:1000]]),
    )


def build(side):
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="sigmoid"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    rate, loss = (
        (0.001, "mean_squared_error") if side == "broken" else (0.5, "categorical_crossentropy")
    )
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


REPORT = Report(
    name="squared error and a tiny rate on a softmax",
    source="Stack Overflow question 73462535",
    components=("loss", "optimizer"),
    cause="squared error of a softmax over ten classes has gradients so small that SGD at 0.001, one"
    " full batch an epoch, hardly moves the weights",
    fix="categorical cross-entropy, and a rate at which a step changes something (the asker's own way"
    " out was a rate above 1 under squared error)",
    data=data,
    build=build,
    target=0.8,
    epochs=200,
    batch_size=1000,
)
