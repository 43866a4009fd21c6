"""Which changes are offered, and what they make of a model: each only where it changes anything."""

import re

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.finding import Finding
from deepcaptcha.keras.backend import keras, tf
from deepcaptcha.keras.data import Examples, read_data
from deepcaptcha.repairs.candidates import RULES, candidates, not_offered, pairs
from deepcaptcha.repairs.changes import Repaired, probabilities, resplit
from deepcaptcha.repairs.measure import MONITOR
from deepcaptcha.repairs.model import read_head
from deepcaptcha.trials.trial import Target
from tests.helpers import ROOT
from tests.repairs.models import (
    case,
    dense,
    examples,
    numbers,
    offered,
    one_hot,
    pixels,
    source,
    turns,
)

L = keras.layers
RELU = L.Dense(5, "relu")
SOFTMAX = L.Dense(3, "softmax")
ALWAYS = {
    "learning rate / 10",
    "learning rate x 10",
    "gradients clipped",
    "batch size",
    "more epochs",
}
ERROR = Target(0.1, 2, "val_mse", "min")


def softmax_model(*hidden, **settings):
    return dense(*hidden, L.Dense(3, "softmax"), **settings)


def good():
    return examples(numbers(), one_hot(turns()))


# name of the candidate, factory, data, target: where it is offered
HIDDEN = (dense(SOFTMAX, L.Reshape((1, 3))), examples(numbers(), one_hot(turns())[:, None]), None)
OFFERED = [
    ("inputs by range", softmax_model(), examples(pixels(), one_hot(turns())), None),
    ("inputs standardized", softmax_model(), examples(pixels(), one_hot(turns())), None),
    ("rows shuffled", softmax_model(), examples(numbers(), one_hot(np.sort(turns()))), None),
    (
        "labels from 0",
        softmax_model(loss="sparse_categorical_crossentropy"),
        examples(numbers(), turns() + 1),
        None,
    ),
    (
        "labels from 0",
        dense(L.Dense(1, "sigmoid"), loss="binary_crossentropy"),
        examples(numbers(), 2 * turns(classes=2) - 1),
        None,
    ),
    (
        "output activation",
        dense(L.Dense(1, "softmax"), loss="mse"),
        examples(numbers(), turns(classes=2)),
        None,
    ),
    (
        "output activation",
        dense(L.Dense(1, "relu"), loss="mse", metrics=["mse"]),
        examples(numbers(), numbers((60, 1))),
        ERROR,
    ),
    (
        "an output for each class",
        dense(L.Dense(1, "sigmoid"), loss="binary_crossentropy"),
        examples(numbers(), turns()),
        None,
    ),
    ("loss that fits", softmax_model(loss="mse"), good(), None),
    ("activation last", *HIDDEN),
    ("logits", *HIDDEN),
    (
        "targets standardized",
        dense(L.Dense(1), loss="mse", metrics=["mse"]),
        examples(numbers(), 1e6 * numbers((60, 1))),
        ERROR,
    ),
    (
        "targets standardized",
        dense(L.Dense(1), loss="mse", metrics=["mse"]),
        examples(numbers(), 70 + numbers((60, 1))),
        ERROR,
    ),
    ("leaky_relu", softmax_model(RELU), good(), None),
    ("leaky_relu", softmax_model(L.Dense(5), L.ReLU()), good(), None),
    ("relu", softmax_model(L.Dense(5, "tanh")), good(), None),
    ("initializers", softmax_model(L.Dense(5, "relu", kernel_initializer="ones")), good(), None),
    ("initializers", softmax_model(*[L.Dense(5, "relu") for _ in range(7)]), good(), None),
    ("biases at 0", softmax_model(L.Dense(5, bias_initializer="ones")), good(), None),
    ("momentum 0.5", softmax_model(L.BatchNormalization()), good(), None),
    ("wider layers", softmax_model(L.Dense(2, "relu")), good(), None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "build", "data", "target"), OFFERED, ids=[c[0] for c in OFFERED])
def test_is_offered(name, build, data, target):
    assert name in offered(build, data, target)


def test_nothing_else_is_offered_for_a_sound_model():
    assert set(offered(softmax_model(), good())) == ALWAYS


def test_every_candidate_is_offered_somewhere():
    others = {"targets in the outputs' shape", "padding masked"}  # tested below
    assert {name for name, *_ in OFFERED} | ALWAYS | others == {rule.name for rule in RULES}


def unlike_columns():
    """Constant ones, of both signs, far from 0 and from 0 on."""
    draw = np.random.default_rng(3)
    columns = [
        np.full(60, 0.1),
        np.zeros(60),
        -500 * draw.random(60),
        draw.standard_normal(60),
        1000 + 3 * draw.random(60),
        draw.random(60),
    ]
    return np.stack(columns, axis=1).astype("float32")


@pytest.mark.parametrize("name", ["inputs by range", "inputs standardized"])
@pytest.mark.parametrize(
    "x",
    [unlike_columns(), pixels(width=6), numbers((60, 6)) - 40, 1000 + pixels(width=6) / 7],
    ids=["columns", "pixels", "negative", "far"],
)
def test_the_code_to_paste_is_the_change_that_was_tried(name, x):
    data = examples(x, one_hot(turns()))
    found = offered(dense(SOFTMAX, width=6), data)[name]
    pasted = {"numpy": np, "x_train": data.x_train, "x_validation": data.x_validation}
    exec(found.code, pasted)
    changed = found.change.data(data)
    for part in ("x_train", "x_validation"):
        np.testing.assert_allclose(pasted[part], getattr(changed, part), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("y", [300 * unlike_columns(), 1234.5678 + 50 * numbers((60, 1))])
def test_the_code_to_paste_scales_targets_as_the_change_does(y):
    data = examples(numbers(), y)
    build = dense(L.Dense(y.shape[1]), loss="mse", metrics=["mse"])
    found = offered(build, data, Target(1.0, 2, "val_mse", "min"))["targets standardized"]
    pasted = {"numpy": np, "y_train": data.y_train, "y_validation": data.y_validation}
    exec(found.code, pasted)
    np.testing.assert_allclose(
        pasted["y_train"], found.change.data(data).y_train, rtol=1e-4, atol=1e-5
    )


def test_scaled_inputs_are_scaled_by_the_training_data_alone():
    data = examples(np.vstack([pixels(48) * 0 + 100, pixels(12)]), one_hot(turns()))
    data.x_train[0] = 150
    found = offered(softmax_model(), data)["inputs by range"].change.data(data)
    np.testing.assert_allclose(found.x_train.max(), 1)
    np.testing.assert_allclose(found.x_validation, (data.x_validation - 100) / 50, rtol=1e-6)
    found = offered(softmax_model(), data)["inputs standardized"].change.data(data)
    assert abs(float(found.x_train.mean())) < 1e-5
    assert float(found.x_validation.max()) > 1


def test_columns_of_unlike_numbers_are_scaled_each_by_itself():
    x = numbers() * [1, 1e3, 1e-3, 10]
    candidate = offered(softmax_model(), examples(x.astype("float32"), one_hot(turns())))
    found = candidate["inputs standardized"].change.data(examples(x, one_hot(turns())))
    np.testing.assert_allclose(found.x_train.std(axis=0), 1, rtol=1e-4)


def test_words_are_not_scaled():
    x = np.random.default_rng(0).integers(1, 50, size=(60, 6))
    build = dense(L.Embedding(50, 4), L.Flatten(), L.Dense(3, "softmax"), width=6)
    assert not {"inputs by range", "inputs standardized"} & set(
        offered(build, examples(x, one_hot(turns())))
    )


def test_padding_is_masked_where_something_reads_the_mask():
    x = np.random.default_rng(0).integers(1, 50, size=(60, 6))
    x[:, 3:] = 0
    data = examples(x, one_hot(turns()))
    read = dense(L.Embedding(50, 4), L.LSTM(3), L.Dense(3, "softmax"), width=6)
    unread = dense(L.Embedding(50, 4), L.Flatten(), L.Dense(3, "softmax"), width=6)
    assert "padding masked" not in offered(unread, data)
    made = changed(read, data, "padding masked")
    assert made.layers[1].mask_zero

    def steps():
        model = keras.Sequential([keras.Input((6, 2)), L.LSTM(3), L.Dense(3, "softmax")])
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        return model

    x = numbers((60, 6, 2))
    x[:, 4:] = 0
    made = changed(steps, examples(x, one_hot(turns())), "padding masked")
    kinds = [type(layer).__name__ for layer in made.layers]
    assert kinds == ["InputLayer", "Masking", "LSTM", "Dense"]


def test_targets_take_the_outputs_shape_where_a_loss_of_ones_own_would_spread_them():
    class Distance(keras.losses.Loss):
        def call(self, y, p):
            return tf.reduce_mean(tf.square(y - p))

    data = examples(numbers(), numbers((60,)))
    own = dense(L.Dense(1), loss=Distance(), metrics=["mse"])
    found = offered(own, data, ERROR)["targets in the outputs' shape"].change.data(data)
    assert found.y_train.shape == (48, 1)
    keras_own = dense(L.Dense(1), loss="mse", metrics=["mse"])
    assert "targets in the outputs' shape" not in offered(keras_own, data, ERROR)


def changed(build, data, name, seed=0, target=None):
    """The model with the candidate's change, as a trial of this seed begins it."""
    from_ = source(build, data, target)
    change = offered(build, data, target)[name].change
    keras.utils.set_random_seed(seed)
    return Repaired(build, (change,), from_.training, from_.target, data.head(1))()


def test_hidden_softmax_is_made_the_last_operation_or_taken_away():
    data = examples(numbers(), one_hot(turns())[:, None])
    build = dense(
        L.Dense(5, "relu", name="first"), L.Dense(3, "softmax", name="end"), L.Reshape((1, 3))
    )
    last = changed(build, data, "activation last")
    assert read_head(last).activation == "softmax"
    assert not read_head(last).hidden
    assert read_head(last).after == ()
    logits = changed(build, data, "logits")
    assert read_head(logits).activations == ()
    assert logits.loss.from_logits
    keras.utils.set_random_seed(0)
    before = build()
    # The very weights that the seed draws for the model as it is.
    for mine, its in zip(before.get_weights(), last.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    found = probabilities(logits(data.x_train).numpy(), "categorical_crossentropy")
    np.testing.assert_allclose(found, last(data.x_train).numpy(), rtol=1e-5)


def test_a_model_is_changed_as_the_candidate_says():
    layers = [L.Dense(5, "relu", name="a", bias_initializer="ones"), L.BatchNormalization(name="b")]
    build = softmax_model(*layers)
    assert changed(build, good(), "leaky_relu").get_layer("a").activation.__name__ == "leaky_relu"
    assert changed(build, good(), "momentum 0.5").get_layer("b").momentum == 0.5
    assert not changed(build, good(), "biases at 0").get_layer("a").get_weights()[1].any()
    for name, rate in (("learning rate / 10", 0.0001), ("learning rate x 10", 0.01)):
        assert float(changed(build, good(), name).optimizer.learning_rate) == pytest.approx(rate)
    assert changed(build, good(), "gradients clipped").optimizer.global_clipnorm == 1


def test_a_schedule_is_scaled_as_a_whole():
    def build():
        model = keras.Sequential([keras.Input((4,)), L.Dense(3, "softmax")])
        rate = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
        model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
        return model

    schedule = changed(build, good(), "learning rate / 10").optimizer._learning_rate
    assert float(schedule(10)) == pytest.approx(0.025)  # 0.5 * 0.5 / 10


def test_an_output_for_each_class_learns_classes():
    data = examples(numbers(), turns() + 4)
    build = dense(L.Dense(1, "sigmoid"), loss="binary_crossentropy")
    made = changed(build, data, "an output for each class")
    assert made.output_shape == (None, 3)
    change = offered(build, data)["an output for each class"].change
    assert change.values == (4, 5, 6)
    assert set(change.data(data).y_train) == {0, 1, 2}


def test_a_model_of_ones_own_class_is_offered_what_needs_no_configuration():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = L.Dense(5, "relu")
            self.last = L.Dense(3, "softmax")

        def call(self, x):
            return self.last(self.inner(x))

    def build():
        model = Own()
        model.compile("sgd", "mse", metrics=["accuracy"])
        return model

    data = examples(pixels(), one_hot(turns()))
    assert set(offered(build, data)) == ALWAYS | {
        "inputs by range",
        "inputs standardized",
        "loss that fits",
    }
    (line,) = not_offered(case(build, data))
    assert "Own is a class of its own" in line


def test_own_layers_and_functions_are_kept():
    class Twice(L.Layer):  # without a configuration
        def call(self, x):
            return 2 * x

    def build():
        inputs = keras.Input((4,))
        x = L.Lambda(lambda x: x + 1)(Twice()(inputs))
        model = keras.Model(inputs, L.Dense(3, "softmax")(L.Dense(5, "relu", name="a")(x)))
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        return model

    assert changed(build, good(), "leaky_relu").get_layer("a").activation.__name__ == "leaky_relu"


def test_of_pipelines_the_data_stay():
    def part(count):
        parts = (pixels(count), one_hot(turns(count)))
        return tf.data.Dataset.from_tensor_slices(parts).batch(16)

    found = case(softmax_model(), read_data(part(48), part(12)))
    assert {each.name for each in candidates(found)} == ALWAYS - {"batch size"}
    (line,) = not_offered(found)
    assert "tf.data" in line


def test_classes_keep_their_numbers_under_a_measure_that_reads_them():
    build = dense(
        L.Dense(1, "sigmoid"), loss="binary_crossentropy", metrics=[keras.metrics.AUC(name="area")]
    )
    target = Target(0.9, 2, "val_area")
    found = case(build, examples(numbers(), turns() + 4), target)
    assert "labels from 0" not in {each.name for each in candidates(found)}
    (line,) = not_offered(found)
    assert "number classes anew" in line
    assert not not_offered(case(build, examples(numbers(), turns(classes=2)), target))


def test_findings_and_costs_order_the_candidates():
    told = [
        Finding("whatever", "error", 1.0, "told", "optimizer", "fix"),
        Finding("dead units", "warning", 1.0, "told", "architecture", "fix"),
    ]
    found = candidates(case(softmax_model(RELU), good()), told)
    assert found[0].name == "leaky_relu"  # by code
    assert found[1].component == "optimizer"
    assert found[-1].name == "more epochs"


def test_only_some_are_offered_if_asked_for():
    assert list(offered(softmax_model(RELU), good(), only=["leaky_relu"])) == ["leaky_relu"]
    with pytest.raises(InputError, match="no repair is named 'magic'; known: activation last"):
        offered(softmax_model(), good(), only=["magic"])


def test_two_of_one_slot_are_no_pair():
    found = offered(softmax_model(loss="mse"), examples(pixels(), one_hot(turns())))
    names = ["loss that fits", "inputs by range", "inputs standardized", "learning rate / 10"]
    made = [(a.name, b.name) for a, b in pairs([found[name] for name in names])]
    # Data come first, whichever was the better one.
    assert ("inputs by range", "loss that fits") in made
    assert len(made) == 5  # of 6 pairs


def test_rows_to_judge_on_are_the_same_whether_they_are_shuffled():
    data = examples(np.arange(60.0)[:, None], np.sort(turns()))
    before, after = (resplit(data, shuffled) for shuffled in (False, True))
    np.testing.assert_array_equal(before.x_validation, after.x_validation)
    assert len(np.unique(after.y_train)) == 3
    assert after.n_train == 48
    assert set(before.x_train.ravel()) == set(range(48)) - set(before.x_validation.ravel())
    assert not set(after.x_train.ravel()) & set(after.x_validation.ravel())


def test_the_identity_of_a_trial_knows_every_change():
    from deepcaptcha.repairs.search import changed_source

    data = examples(pixels(), one_hot(np.sort(turns())))
    build = softmax_model(
        L.Dense(5, "relu", bias_initializer="ones"), L.BatchNormalization(), loss="mse"
    )
    found = case(build, data)
    assert found.target.monitor == MONITOR
    parts = [(), *((each,) for each in candidates(found))]
    assert len(parts) >= 13
    identities = []
    for part in parts:
        made = changed_source(found, part)
        identity = dict(made.identity(3))
        # Not by its name alone.
        identity["recipe"] = {**identity["recipe"], "name": ""}
        identities.append(str(identity))
    assert len(set(identities)) == len(parts)


def test_nothing_of_the_users_is_changed():
    x, y = pixels(), one_hot(turns())
    parts = (x[:48], y[:48]), (x[48:], y[48:])
    copies = [np.copy(part) for pair in parts for part in pair]
    keras.utils.set_random_seed(1)
    mine = softmax_model(RELU, loss="mse")()
    mine.fit(*parts[0], verbose=0)
    weights = mine.get_weights()
    memory = [v.numpy().copy() for v in mine.optimizer.variables]
    shared = {"model": None}

    def build():
        shared["model"] = softmax_model(RELU, loss="mse")()
        return shared["model"]

    data = Examples(parts[0][0], parts[0][1], *parts[1])
    found = case(build, data)
    made = [each.change for each in candidates(found)]
    assert made
    for change in made:
        Repaired(build, (change,), found.source.training, found.source.target, data.head(1))()
        change.data(data)
    for before, after in zip(copies, [part for pair in parts for part in pair], strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(weights, mine.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(memory, mine.optimizer.variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_the_documents_list_every_candidate():
    text = (ROOT / "docs" / "diagnosis.md").read_text()
    found = re.findall(r"^\| `([^`]+)` \| (\w+) \|", text.partition("### Repairs")[2], re.MULTILINE)
    assert found == [(rule.name, rule.component) for rule in RULES]
