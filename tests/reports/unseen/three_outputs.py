"""Images of many classes, and a last layer left over from a task of three."""

import keras
from keras import layers

from deepcaptcha.networks.recipes import load_digits
from tests.reports.report import Report


def data(side):
    digits = load_digits()
    parts = []
    for x, y in (
        (digits.x_train[:2000], digits.y_train[:2000]),
        (digits.x_validation[:500], digits.y_validation[:500]),
    ):
        parts.append((x / 255, y.argmax(axis=-1).reshape(-1)))
    return tuple(parts)


def build(side):
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(3 if side == "broken" else 10, activation="softmax"),
        ]
    )
    rule = keras.optimizers.Adam(0.001)
    loss = "sparse_categorical_crossentropy"
    # Compiled, as on the asker's device, a label beyond the outputs gives NaN; else it raises.
    model.compile(rule, loss, metrics=["accuracy"], jit_compile=True)
    return model


REPORT = Report(
    name="three outputs",
    source="DeepLearning.AI community, Can not achieve desired accuracy",
    components=("output",),
    cause="three outputs for more than three classes, whose numbers the loss looks up beyond the last",
    fix="as many outputs as there are classes",
    data=data,
    build=build,
    target=0.75,
    epochs=3,
)
