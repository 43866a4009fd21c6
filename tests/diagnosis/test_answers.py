"""What loss and outputs can do; every expected number is worked out by hand."""

import math

import numpy as np
import pytest

from deepcaptcha.diagnosis.answers import (
    Answers,
    constant_cost,
    cost,
    output_ranges,
    perfect_costs,
    read_targets,
    tell_classes,
)
from deepcaptcha.diagnosis.check import check
from deepcaptcha.keras.backend import keras, tf
from tests.diagnosis.models import blobs, compiled, stack, table, tabular

layers, losses = keras.layers, keras.losses
X = np.random.default_rng(0).standard_normal((32, 3)).astype("float32")
BLOBS = blobs()


def errors(model, x, y, **more):
    return {f.code: f for f in check(model, x, y, **more) if f.severity == "error"}


def model(*last, loss="mse", features=3):
    keras.utils.set_random_seed(0)
    return stack((features,), *last, loss=loss)


def test_targets_in_the_form_of_the_outputs():
    same = read_targets(np.array([[1], [2]], "uint8"), np.zeros((2, 1)))
    assert (same.kind, same.perfect.tolist()) == ("numbers", [[1], [2]])
    flat = read_targets(np.array([True, False]), np.zeros((2, 1)))
    assert flat.perfect.tolist() == [[1], [0]]
    classes = read_targets(np.array([2.0, 0.0]), np.zeros((2, 3)))
    assert (classes.kind, classes.perfect.tolist()) == ("classes", [[0, 0, 1], [1, 0, 0]])
    places = read_targets(np.array([[1, 0]]), np.zeros((1, 2, 2)))
    assert places.perfect.tolist() == [[[0, 1], [1, 0]]]
    assert read_targets(np.array([0, 3]), np.zeros((2, 3))) == Answers("classes", None)
    assert read_targets(np.array([0.5, 1]), np.zeros((2, 3))) == Answers(None, None)
    assert read_targets(np.array(["a", "b"]), np.zeros((2, 1))) == Answers(None, None)
    assert read_targets(np.zeros((2, 7)), np.zeros((2, 3))) == Answers(None, None)


def test_what_tells_classes():
    assert tell_classes(np.eye(3))
    assert tell_classes(np.array([[0.0], [1.0]]))
    assert not tell_classes(np.array([[1.0, 1.0], [0.0, 1.0]]))  # several right
    assert not tell_classes(np.array([[0.5], [1.0]]))


def test_the_best_constant_answer_and_the_perfect_one():
    """Targets 0, 0, 0, 4 have mean 1 and median 0: squares cost (1 + 1 + 1 + 9) / 4 = 3 about the mean,
    distances (0 + 0 + 0 + 4) / 4 = 1 about the median."""
    y, outputs = np.array([[0.0], [0.0], [0.0], [4.0]]), np.full((4, 1), 7.0, "float32")
    for loss, constant in (("mse", 3), ("mae", 1)):
        made = model(layers.Dense(1), loss=loss)
        answers = read_targets(y, outputs)
        assert constant_cost(made, y, answers, outputs) == pytest.approx(constant)
        as_is, as_logits = perfect_costs(made, y, answers.perfect, outputs)
        assert as_is == 0
        assert math.isnan(as_logits)


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_base_rate_is_the_best_constant_of_a_cross_entropy(from_logits):
    """Of one in four: -(ln 0.25 + 3 ln 0.75) / 4 = 0.5623. As logits, 1 for 1 and 0 for 0 cost
    (ln(1 + 1/e) + 3 ln 2) / 4 = (0.3133 + 2.0794) / 4 = 0.5982, and sure ones nothing."""
    y, outputs = np.array([[0.0], [0.0], [0.0], [1.0]]), np.full((4, 1), 0.5, "float32")
    made = model(layers.Dense(1), loss=losses.BinaryCrossentropy(from_logits=from_logits))
    answers = read_targets(y, outputs)
    assert constant_cost(made, y, answers, outputs) == pytest.approx(0.5623, abs=1e-4)
    as_is, as_logits = perfect_costs(made, y, answers.perfect, outputs)
    assert as_is == pytest.approx(0.5982 if from_logits else 0, abs=1e-4)
    assert as_logits == pytest.approx(0, abs=1e-6)


def test_several_classes_cost_the_entropy_of_their_shares():
    """Half, a quarter, a quarter: 0.5 ln 2 + 0.5 ln 4 = 1.0397."""
    y, outputs = np.array([0, 0, 1, 2]), np.full((4, 3), 1 / 3, "float32")
    for from_logits in (False, True):
        loss = losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        made = model(layers.Dense(3), loss=loss)
        answers = read_targets(y, outputs)
        assert constant_cost(made, y, answers, outputs) == pytest.approx(1.0397, abs=1e-4)


def test_a_cost_is_without_what_regularizers_add():
    made = model(layers.Dense(1, kernel_regularizer="l2"))
    assert float(made.losses[0]) > 0
    assert cost(made, np.ones((2, 1)), np.zeros((2, 1), "float32")) == pytest.approx(1, rel=1e-6)


INF = math.inf
# Softmax of (1, 0, 0) at best: e / (e + 2) = 0.5761, and 1 / (e + 2) = 0.2119 at worst.
TWICE = (0.2119, 0.5761)


@pytest.mark.parametrize(
    ("last", "low", "high", "sums"),
    [
        ([layers.Dense(2, activation="sigmoid")], 0, 1, []),
        ([layers.Dense(2, activation="tanh")], -1, 1, []),
        ([layers.Dense(2, activation="relu")], 0, INF, []),
        ([layers.Dense(2)], -INF, INF, []),
        ([layers.Dense(3, activation="softmax")], 0, 1, [-1]),
        ([layers.Dense(3), layers.Softmax()], 0, 1, [-1]),
        ([layers.Dense(3, activation="softmax"), layers.Softmax()], *TWICE, [-1]),
        ([layers.Dense(6), layers.Reshape((2, 3)), layers.Softmax(axis=1)], 0, 1, [-2]),
    ],
)
def test_what_the_outputs_can_reach(last, low, high, sums):
    made = model(*last)
    before = made.get_weights()
    ends = output_ranges(made, X)
    assert ends[0] == pytest.approx(low, abs=1e-3)
    assert ends[1] == pytest.approx(high, abs=1e-3)
    assert [*ends[2]] == sums
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))


def test_where_the_last_weights_change_nothing_no_range_is_told():
    made = model(layers.Dense(1), layers.Lambda(tf.zeros_like))
    assert output_ranges(made, X) is None


@pytest.mark.parametrize("sums", [0, 3])
def test_target_rows_that_sum_to_nothing_or_to_three_are_out_of_a_softmax_reach(sums):
    """A third of the rows; the others are one-hot."""
    y = np.eye(4, dtype="float32")[BLOBS["y"]]
    y[::3] = [1, 1, 1, 0] if sums else 0
    made = tabular("softmax", 4, 12, loss="categorical_crossentropy")
    only = errors(made, BLOBS["x"], y)["out of reach"]
    assert only.value == pytest.approx(1 / 3, abs=0.1)  # of the 64 examples looked at
    assert (only.component, "end the model in sigmoid" in only.fix) == ("output", True)


def test_one_unit_under_softmax_answers_one_thing():
    y = (BLOBS["y"] > 1).astype("float32")
    only = errors(tabular("softmax", 1, 12, loss="binary_crossentropy"), BLOBS["x"], y)
    assert "the model answers 1 to every example" in only["constant answer"].sentence


@pytest.mark.integration
@pytest.mark.parametrize("start", ["zeros", "ones"])
def test_a_last_kernel_of_one_value_is_no_constant_answer(start):
    """The first step makes it different, but for softmax of equal units no answer differs before it."""
    last = layers.Dense(4, kernel_initializer=start)
    hidden = layers.Dense(16, activation="relu")
    made = stack((12,), hidden, last, layers.Softmax())
    assert errors(made, **BLOBS) == {}


@pytest.mark.integration
def test_one_unit_under_categorical_cross_entropy_costs_nothing_whatever_is_answered():
    """-ln(p / p) = 0: Keras divides by the sum over the classes."""
    y = (BLOBS["y"] > 1).astype("float32")[:, None]
    only = errors(tabular("sigmoid", 1, 12, loss="categorical_crossentropy"), BLOBS["x"], y)
    assert [(f.code, f.component) for f in only.values()] == [("blind loss", "loss")]


@pytest.mark.integration
def test_a_cross_entropy_that_falls_below_nothing():
    """Targets 0, 3, 6, 9 from logits: softplus(z) - z y is about z (1 - y), so z = 1e6 y costs -72e6 for
    y = 9, -30e6 for 6 and -6e6 for 3; with the last two classes clipped to 1 it would cost 0."""
    loss = losses.BinaryCrossentropy(from_logits=True)
    y = 3 * BLOBS["y"].astype("float32")[:, None]
    only = errors(tabular(None, 1, 12, loss=loss), BLOBS["x"], y)
    assert [(f.code, f.component) for f in only.values()] == [("negative loss", "loss")]
    assert -36e6 < only["negative loss"].value < -18e6  # about (72 + 30 + 6) / 4 = 27 millions
    assert errors(tabular(None, 1, 12, loss=loss), BLOBS["x"], (y > 3).astype("float32")) == {}


@pytest.mark.integration
def test_a_loss_that_may_be_negative_is_none_that_falls_below_nothing():
    """The cosine of outputs and targets lies in -1..1; a critic's loss falls with its outputs, for
    targets in 0..1 as well."""

    def critic(y_true, y_pred):
        return -keras.ops.mean(y_true * y_pred, axis=-1)

    y = 4 * BLOBS["x"][:, :2]
    assert "negative loss" not in errors(
        tabular(None, 2, 12, loss="cosine_similarity"), BLOBS["x"], y
    )
    assert "negative loss" not in errors(
        tabular(None, 1, 12, loss=critic), BLOBS["x"], np.sign(y[:, :1])
    )


def sequences(label):
    """64 sequences of 8 time steps, of which every second has this label, the others 1, 2, 3."""
    x = np.random.default_rng(0).standard_normal((64, 8, 4)).astype("float32")
    y = np.tile(np.pad([1, 2, 3], (0, 9)), (64, 1)).astype("int32")
    y[::2] = np.pad(label, (0, 12 - len(label)))
    return x, y


@pytest.mark.integration
@pytest.mark.parametrize(
    ("label", "needed"),
    [([1, 2, 3, 4, 1, 2, 3, 4, 1], 9), ([1, 1, 1, 1, 1], 9), ([1, 2, 3, 4, 1, 2, 3, 4], 8)],
)
def test_a_label_longer_than_its_time_steps(label, needed):
    """Nine characters in eight steps; five equal ones need four gaps between them; eight fit."""
    x, y = sequences(label)
    made = stack((8, 4), layers.Dense(5), loss=losses.CTC())
    found = errors(made, x, y)
    assert ("labels" in found) == (needed > 8)
    if needed > 8:
        assert list(found) == ["labels"]
        assert found["labels"].value == 0.5
        assert (
            f"more than the 8 time steps of the output, up to {needed}:" in found["labels"].sentence
        )


def test_a_loss_of_labels_before_its_outputs_are_bounded_is_told_to_expect_probabilities():
    x, y = BLOBS["x"], (BLOBS["y"] > 1).astype("float32")[:, None]
    only = errors(tabular(None, 1, 12, loss="binary_crossentropy"), 5 * x, y)["loss mismatch"]
    assert (only.component, "end the model in sigmoid" in only.fix) == ("output", True)


def test_numbers_out_of_reach():
    """x0 - 2 x1 + sin x2 is below 0 half of the time, where relu cannot go."""
    only = errors(tabular("relu", loss="mse"), **table())["out of reach"]
    assert 0.4 < only.value < 0.6
    assert "outside 0..inf, which is all that the outputs reach" in only.sentence


@pytest.mark.integration
def test_several_outputs_have_labels_too():
    inputs = keras.Input((12,))
    outs = [layers.Dense(4, activation="softmax")(inputs), layers.Dense(1)(inputs)]
    made = keras.Model(inputs, outs)
    compiled(made, loss=["sparse_categorical_crossentropy", "mse"])
    right, number = BLOBS["y"], BLOBS["x"][:, :1]
    assert errors(made, BLOBS["x"], [right, number]) == {}
    only = errors(made, BLOBS["x"], [right + 1, number])
    assert [(f.code, f.value) for f in only.values()] == [("labels", (right == 3).sum())]


def relative(y, y_pred):
    """The cost of a gamma distribution's mean given by its logarithm: least at ln(y)."""
    return keras.ops.mean(y * keras.ops.exp(-y_pred) + y_pred, axis=-1)


def negative_log_likelihood(y, y_pred):
    """Of a normal distribution given by its mean and the logarithm of its deviation."""
    mean, scale = y_pred[:, :1], y_pred[:, 1:]
    error = (keras.ops.reshape(y, (-1, 1)) - mean) / keras.ops.exp(scale)
    return keras.ops.mean(scale + error**2 / 2, axis=-1)


def masked(y, y_pred):
    """The sparse cross-entropy of the examples that have a label: -100 is none."""
    y = keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32")
    there = keras.ops.cast(y >= 0, "float32")
    costs = keras.ops.sparse_categorical_crossentropy(keras.ops.maximum(y, 0), y_pred)
    return keras.ops.sum(costs * there) / keras.ops.sum(there)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("units", "activation", "loss", "targets"),
    [
        # -0.95 ln(1) - 0.05 ln(1e-7) = 0.81 for the targets themselves, ln 2 = 0.69 for a constant
        (1, "sigmoid", losses.BinaryCrossentropy(label_smoothing=0.1), lambda x: x[:, 0] > 0),
        (
            1,
            "sigmoid",
            losses.Dice(),
            lambda x: x[:, :1] > 0,
        ),  # a constant beyond 1 costs less than 0
        (1, None, relative, lambda x: np.exp(x[:, :1])),
        (2, None, negative_log_likelihood, lambda x: np.round(3 * x[:, :1] + 5)),
        (3, "softmax", masked, lambda x: np.where(x[:, 2] > 1, -100, x.argmax(axis=1))),
    ],
    ids=["smoothed", "dice", "logarithms", "mean and deviation", "masked"],
)
def test_a_loss_whose_best_answer_is_not_the_target_is_sound(units, activation, loss, targets):
    x = np.random.default_rng(0).standard_normal((256, 3)).astype("float32")
    made = model(layers.Dense(units, activation=activation), loss=loss)
    assert not errors(made, x, targets(x).astype("float32"))


def test_labels_beyond_the_outputs_stay_an_error_where_a_loss_of_ones_own_drops_them():
    def dropping(y, y_pred):
        kind = keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32")
        return losses.categorical_crossentropy(keras.ops.one_hot(kind, 3), y_pred)

    made = model(layers.Dense(3, activation="softmax"), loss=dropping)
    assert set(errors(made, X, X.argmax(axis=1) + 1)) == {"labels"}


@pytest.mark.integration
def test_far_targets_are_no_fault_of_the_layers():
    """Adam takes a bias at most 50 x 0.01 = 0.5 on its way to 12; the training has more."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((256, 3)).astype("float32")
    made = stack((3,), layers.Dense(1), loss="mse", optimizer=keras.optimizers.Adam(0.01))
    assert "cannot learn" not in errors(made, x, 0.4 * x[:, :1] + 12, epochs=400)
