"""Small models and data that repairs are offered for."""

import numpy as np

from deepcaptcha.keras.backend import keras
from deepcaptcha.keras.data import Examples
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.repairs.candidates import candidates
from deepcaptcha.repairs.case import Case
from deepcaptcha.trials.trial import Target


def examples(x, y, held=12):
    return Examples(x[:-held], y[:-held], x[-held:], y[-held:])


def numbers(shape=(60, 4), seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def pixels(count=60, width=4, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, size=(count, width)).astype("float32")


def turns(count=60, classes=3):
    return np.arange(count) % classes


def one_hot(labels, classes=3):
    return np.eye(classes, dtype="float32")[labels]


def dense(*layers, width=4, loss="categorical_crossentropy", metrics=("accuracy",), rate=0.001):
    """A factory of a compiled Sequential model."""

    def build():
        made = []
        for place, layer in enumerate(layers):
            config = layer.get_config()
            if len(config["name"]) > 5 or config["name"] == "dense":  # its own, not the test's
                config["name"] = f"layer_{place}"
            made.append(type(layer).from_config(config))
        model = keras.Sequential([keras.Input((width,)), *made])
        model.compile(keras.optimizers.SGD(rate), loss, metrics=list(metrics))
        return model

    return build


def source(build, data, target=None, **settings):
    training = Training(batch=16, steps_per_execution=1)
    return KerasSource(build, data, target or Target(0.9, 2), training, **settings)


def case(build, data, target=None):
    return Case.of(source(build, data, target))


def offered(build, data, target=None, **settings):
    return {each.name: each for each in candidates(case(build, data, target), **settings)}
