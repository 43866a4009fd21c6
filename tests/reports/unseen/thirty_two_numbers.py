"""Images of digits through thirty-two numbers and back: what comes back is far from the images."""

import keras
from keras import layers, ops

from deepcaptcha.networks.recipes import load_digits
from tests.reports.report import Report


def relative_error(y_true, y_pred):
    """Squared error over the targets' own squares: the same whatever unit the pixels are in."""
    return ops.mean(ops.square(y_true - y_pred)) / ops.mean(ops.square(y_true))


def data(side):
    digits = load_digits()
    scale = 1 if side == "broken" else 255
    train, validation = digits.x_train[:6000], digits.x_validation[:1000]
    x, held_out = train.reshape(-1, 784) / scale, validation.reshape(-1, 784) / scale
    return (x, x), (held_out, held_out)


def build(side):
    model = keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(784, activation="sigmoid"),
        ]
    )
    # 1.0 was the default of this rule when the question was asked.
    rule = keras.optimizers.Adadelta(1.0)
    model.compile(rule, "binary_crossentropy", metrics=[relative_error])
    return model


REPORT = Report(
    name="thirty-two numbers",
    source="GitHub keras-team/keras issue 3642",
    # The pixels are inputs and targets at once: either word is right for their scale.
    components=("data", "labels"),
    cause="the pixels are left at 0 to 255, where a sigmoid under binary cross-entropy needs 0 to 1",
    fix="divide the pixels by 255",
    data=data,
    build=build,
    target=0.5,
    epochs=50,
    batch_size=256,
    monitor="val_relative_error",
    mode="min",
)
