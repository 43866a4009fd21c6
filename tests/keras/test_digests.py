"""What a trial keeps of its beginning, and what it follows from: harmless names are no part of it."""

from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha.keras.backend import keras
from deepcaptcha.keras.data import Examples, Pipelines
from deepcaptcha.keras.digests import (
    compiled_text,
    hash_neutral_configuration,
    make_digests,
    own_code,
)
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.keras.training import feed, first_order
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import make_baseline
from deepcaptcha.verdicts.confirm import choose_repetition, confirm
from tests.helpers import points

TARGET = Target(0.99, epochs=2)
DATA = points(480)  # 60 batches of 8


def build(name="hidden", optimizer="adam", loss="categorical_crossentropy", units=2):
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(3, activation="tanh", name=name),
            keras.layers.Dense(units, activation="softmax"),
        ]
    )
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def source(build=build, data=DATA, target=TARGET, **settings):
    training = Training(batch=8, steps_per_execution=10)
    return KerasSource(build, data, target, training, "row", **settings)


@pytest.fixture(scope="module")
def first():
    return source().run(3)


def with_validation(x, y=DATA.y_validation):
    return Examples(DATA.x_train, DATA.y_train, x, y)


def test_the_first_loss_is_that_of_the_first_batch_before_any_update(first):
    """Cross-entropy worked out in NumPy, of the model as its seed draws it."""
    model = source().start(3)[0]
    x, y = next(iter(feed(DATA, 8, 3)[0]))
    chances = np.asarray(model(x), "float64")
    by_hand = -np.mean(np.sum(np.asarray(y) * np.log(chances), axis=1))
    assert first.first_loss == pytest.approx(by_hand, rel=1e-5)


def test_losses_are_the_means_over_fifty_steps(first):
    """Against Keras' own running mean, which a callback reads after every batch."""
    means = []

    def callbacks():
        return [keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: seen(b, logs))]

    def seen(batch, logs):
        means.append(float(logs["loss"]))

    watched = replace(
        source(callbacks=callbacks), training=Training(batch=8, steps_per_execution=1)
    ).run(3)
    assert watched.weights_sha256 == first.weights_sha256
    assert len(means) == 60 * len(first.epochs) > 60
    for number, epoch in enumerate(first.epochs):
        (loss,) = epoch.losses  # 60 steps hold 50 once
        assert loss == pytest.approx(means[60 * number + 49], rel=1e-5)


def test_at_most_forty_losses_are_kept_and_none_after_the_second_epoch():
    """1,100 batches an epoch hold 50 steps 22 times: 22, then 18, then none."""
    data = points(1100)
    target = Target(1e-9, epochs=3, monitor="val_loss", mode="min")
    trial = replace(source(data=data, target=target), training=Training(batch=1)).run(0)
    assert [len(epoch.losses) for epoch in trial.epochs] == [22, 18, 0]


def test_a_model_that_trains_itself_is_left_alone():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, activation="softmax")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            return super().train_step(data)

    def build_own():
        model = Own()
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        return model

    trial = source(build_own, target=Target(0.99, epochs=1)).run(0)
    assert trial.first_loss is None
    assert "code" not in trial.digests


def test_the_order_is_that_of_the_first_epoch():
    """Each batch as the training is fed it, looked up in the data."""
    order = first_order(DATA, 3)
    fed = np.concatenate([np.asarray(x) for x, _ in feed(DATA, 8, 3)[0]])
    np.testing.assert_array_equal(fed, DATA.x_train[order])
    assert sorted(order) == list(range(480))


def digests(model=None, data=DATA, target=TARGET, seed=3, batch=8):
    return make_digests(build() if model is None else model, data, target, (), batch, seed, None)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seed": 4}, {"order"}),
        ({"target": Target(0.9, epochs=2)}, {"target"}),
        ({"target": Target(0.99, epochs=3)}, {"epochs"}),
        ({"target": Target(0.99, epochs=2, chance=0.1)}, {"target"}),
        ({"batch": 4}, {"batch"}),
        ({"data": with_validation(DATA.x_validation * 255)}, {"validation data", "copies"}),
        ({"data": with_validation(DATA.x_train[::-1].copy())}, {"validation data"}),
        (
            {"data": replace(DATA, x_train=DATA.x_train[::-1], y_train=DATA.y_train[::-1])},
            {"training data"},
        ),
    ],
)
def test_each_digest_is_of_its_own_part(change, names):
    model = build()
    was, now = digests(model), digests(model, **change)
    assert {name for name in was if was[name] != now[name]} == names


def wired(swapped):
    inputs = [keras.Input((1,), name=name) for name in ("a", "b")]
    if swapped:
        inputs.reverse()
    left, right = (keras.layers.Dense(2)(part) for part in inputs)
    model = keras.Model(
        sorted(inputs, key=lambda x: x.name), keras.layers.Subtract()([left, right])
    )
    model.compile("adam", "mse")
    return model


def policy(dtype):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, dtype=dtype)])
    model.compile("adam", "mse")
    return model


def test_names_and_objects_for_names_are_no_part_of_a_configuration():
    named = hash_neutral_configuration(build())
    assert hash_neutral_configuration(build("renamed")) == named
    assert hash_neutral_configuration(build(optimizer=keras.optimizers.Adam())) == named
    assert hash_neutral_configuration(build(loss=keras.losses.CategoricalCrossentropy())) == named
    by_short_name, by_class = layered(loss="mse"), layered(loss=keras.losses.MeanSquaredError())
    assert hash_neutral_configuration(by_short_name) == hash_neutral_configuration(by_class)
    assert hash_neutral_configuration(wired(False)) == hash_neutral_configuration(wired(False))


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(units=3),
        lambda: build(optimizer=keras.optimizers.Adam(0.002)),
        lambda: build(optimizer="sgd"),
        lambda: build(loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1)),
        lambda: build(loss="mse"),
    ],
)
def test_what_changes_a_training_changes_its_configuration(other):
    assert hash_neutral_configuration(other()) != hash_neutral_configuration(build())


def test_wiring_and_types_are_part_of_a_configuration():
    assert hash_neutral_configuration(wired(True)) != hash_neutral_configuration(wired(False))
    assert hash_neutral_configuration(policy("mixed_float16")) != hash_neutral_configuration(
        policy("float32")
    )


def twice(x):
    return 2 * x


class Noise(keras.layers.GaussianNoise):
    pass


def layered(*layers, optimizer="adam", loss="mse"):
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(2)])
    model.compile(optimizer, loss)
    return model


def scheduled():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.9)
    return layered(optimizer=keras.optimizers.Adam(schedule))


def patched():
    model = layered()
    model.train_step = lambda data: {}
    return model


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize(
    ("model", "found"),
    [
        (build, []),
        (lambda: layered(keras.layers.Dropout(0.5)), []),
        (lambda: layered(Noise(0.1)), ["Noise", "Noise"]),  # as an object and in the configuration
        (lambda: layered(keras.layers.Lambda(twice)), ["twice"]),
        (lambda: layered(keras.layers.Dense(2, activation=twice)), ["twice"]),
        (lambda: layered(loss=lambda y, p: (y - p) ** 2), ["lambda"]),
        (scheduled, ["a schedule of the learning rate"]),
        (patched, ["Sequential.train_step"]),
    ],
)
def test_what_may_act_later_is_found(model, found):
    assert own_code(model(), DATA, ()) == found


def test_callbacks_and_pipelines_may_act_later():
    callbacks = [keras.callbacks.EarlyStopping()]
    pipelines = Pipelines(None, None, 1, 8, 8, 8, (None, None), None, ("a", "b"))
    assert own_code(build(), DATA, callbacks) == ["callbacks"]
    assert own_code(build(), pipelines, ()) == ["a data pipeline"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changed", "differing"),
    [
        # The same bits, and so the same row.
        ({}, ""),
        ({"build": lambda: build("renamed")}, ""),
        ({"build": lambda: build(optimizer=keras.optimizers.Adam())}, ""),
        # The same weights, and yet something else.
        ({"data": with_validation(DATA.x_validation * 255)}, "validation data, val_"),
        ({"data": with_validation(DATA.x_train[::-1], DATA.y_train[::-1])}, "validation data"),
        ({"target": Target(0.999, epochs=2)}, "target"),
        ({"target": Target(0.99, epochs=2, chance=0.25)}, "target"),
        # Other weights too.
        (
            {"data": replace(DATA, x_train=DATA.x_train[::-1], y_train=DATA.y_train[::-1])},
            "training data, weights",
        ),
        (
            {"build": lambda: build(optimizer=keras.optimizers.Adam(0.002))},
            "configuration, weights",
        ),
    ],
)
def test_a_row_is_unchanged_only_where_all_is(first, changed, differing):
    record = make_baseline([first])
    now = source(**changed)
    chosen = choose_repetition(record, now.code)
    found = confirm(record, chosen, now.run(chosen.seed, steps=chosen.steps))
    told = [difference.what for difference in found.differences]
    for part in filter(None, differing.split(", ")):
        assert any(part in each for each in told), told
    assert found.unchanged == (differing == "")
    assert ("last weights" in told) == ("weights" in differing)


@pytest.mark.parametrize(
    ("optimizer", "loss", "words"),
    [
        ("adam", "mse", "Adam, learning rate 0.001; loss mse"),
        (
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            "SGD, learning rate 0.1, momentum 0.9; loss CategoricalCrossentropy from logits",
        ),
        (
            keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
            ["mse"],
            "Adam, learning rate by ExponentialDecay; loss mse",
        ),
    ],
    ids=["names", "objects", "schedule"],
)
def test_what_was_compiled_is_told_from_the_model_itself(optimizer, loss, words):
    assert compiled_text(build(optimizer=optimizer, loss=loss)) == words


def test_code_of_ones_own_is_in_the_identity():
    """So that a trial without it, of the same configuration, never stands for one with it."""
    plain = source().identity(3)

    def patched():
        model = build()
        model.train_step = model.train_step
        return model

    assert "own_code" not in plain
    assert source(patched).identity(3) == {**plain, "own_code": True}
