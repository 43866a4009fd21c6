"""What a repair is judged by, against arithmetic by hand and scikit-learn's definitions in words."""

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras.backend import keras
from deepcaptcha.repairs import changes
from deepcaptcha.repairs.candidates import not_offered
from deepcaptcha.repairs.measure import Measure, Metric, held_out_target
from deepcaptcha.trials.trial import Target
from tests.repairs.models import case, dense, examples, numbers, one_hot, turns

L = keras.layers


def rows(*values):
    return np.array(values, dtype="float64")


def test_accuracy_is_of_the_likeliest_class():
    measure = Measure("accuracy", np.array([0, 1, 2, 1]), "max")
    outputs = rows([9, 0, 0], [0, 1, 0], [1, 0, 0], [0, 2, 1])
    assert measure.value(outputs) == 0.75
    assert measure.value(outputs, values=(1, 0, 2)) == 0  # outputs stand for other classes
    assert measure.constant == 0.5
    assert np.isnan(measure.value(outputs * np.nan))


def test_accuracy_of_one_output():
    two = Measure("accuracy", np.array([0, 1, 1]), "max", (0, 1))
    assert two.value(rows([0.4], [0.6], [0.4])) == pytest.approx(2 / 3)
    signs = Measure("accuracy", np.array([-1, 1, 1]), "max", (-1, 1), threshold=0.0)
    assert signs.value(rows([-0.4], [0.6], [0.4])) == 1
    digits = Measure("accuracy", np.array([3, 0]), "max", (0, 1, 2, 3))
    assert digits.value(rows([2.6], [0.7])) == 0.5


def test_accuracy_of_strings_is_of_all_positions():
    truth = np.array([[1, 2], [1, 0], [1, 2]])
    outputs = one_hot(np.array([[1, 2], [1, 2], [1, 2]]))
    assert Measure("string accuracy", truth, "max").value(outputs) == pytest.approx(2 / 3)
    assert Measure("accuracy", truth, "max").value(outputs) == pytest.approx(5 / 6)
    assert Measure("string accuracy", truth, "max").constant == pytest.approx(2 / 3)


def test_cross_entropy_is_the_same_in_every_coding():
    truth = np.array([0, 1])
    measure = Measure("cross-entropy", truth, "min", (0, 1))
    by_hand = -(np.log(0.8) + np.log(0.3)) / 2
    assert measure.value(rows([0.2], [0.3])) == pytest.approx(by_hand)
    assert measure.value(rows([0.8, 0.2], [0.7, 0.3])) == pytest.approx(by_hand)
    assert measure.value(rows([1, 0], [1, 0])) == pytest.approx(-np.log(1e-7) / 2)
    assert measure.constant == pytest.approx(np.log(2))


def test_errors_and_their_best_constants():
    truth = rows([0.0], [0.0], [3.0])
    squared = Measure("mean squared error", truth, "min")
    assert squared.value(rows([1.0], [0.0], [1.0])) == pytest.approx(5 / 3)
    assert squared.constant == pytest.approx(2)  # about the mean
    assert Measure("mean absolute error", truth, "min").constant == pytest.approx(1)  # the median
    assert Measure("root mean squared error", truth, "min").constant == pytest.approx(2**0.5)
    with pytest.raises(InputError, match="cannot be compared"):
        squared.value(rows([1, 2], [3, 4], [5, 6]))


def test_scaled_targets_are_judged_in_their_own_unit():
    y = rows([10.0], [30.0])
    by = {"offset": (20.0,), "scale": (10.0,)}
    data = examples(numbers((4, 2)), np.vstack([y, y]), held=2)
    scaled = changes.scaled_targets(data, **by).y_validation
    np.testing.assert_allclose(scaled, [[-1], [1]])
    np.testing.assert_allclose(changes.unscaled(scaled, **by), y)
    assert changes.Change().undone(y) is y


def test_a_metric_of_keras_is_computed_as_keras_does():
    truth, outputs = rows([0], [1], [1], [0]).astype("float32"), rows([0.1], [0.8], [0.3], [0.4])
    area = Metric.of(keras.metrics.AUC(name="area"))
    assert area(truth, outputs) == pytest.approx(0.75, abs=0.01)  # 3 of 4 pairs in order
    assert Metric.of("mse")(truth, outputs) == pytest.approx((0.01 + 0.04 + 0.49 + 0.16) / 4)
    assert Metric.of("huber")(truth, outputs) == pytest.approx((0.01 + 0.04 + 0.49 + 0.16) / 8)
    own = Measure("own", truth, "max", own=area, name="area")
    assert own.constant == pytest.approx(0.5)


class Weighted(keras.metrics.Mean):
    """Cannot be made again: no configuration has its argument."""

    def __init__(self, weight):
        super().__init__(name="weighted")
        self.weight = weight


class Bare(keras.losses.Loss):
    def __init__(self, weight):
        super().__init__(name="bare")

    def get_config(self):
        raise NotImplementedError

    def call(self, truth, outputs):
        return keras.ops.mean(keras.ops.square(truth - outputs), axis=-1)


def raising(truth, outputs):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("loss", "metric", "monitor"),
    [
        ("mse", Weighted(2), "val_weighted"),
        (Bare(2), "mse", "val_loss"),
        ("mse", raising, "val_raising"),
    ],
)
def test_what_cannot_be_computed_here_is_left_to_keras(loss, metric, monitor):
    build = dense(L.Dense(1), loss=loss, metrics=[metric])
    found = case(build, examples(numbers(), numbers((60, 1))), Target(0.1, 2, monitor, "min"))
    assert found.measure is None
    assert found.target == Target(0.1, 2, monitor, "min")
    (line,) = not_offered(found)
    assert f"the target is on {monitor}, which only Keras' own log has" in line


def test_the_target_is_the_users_and_better_than_a_constant():
    assert held_out_target(Target(0.9, 3), 0.5, "max").value == 0.9
    assert held_out_target(Target(0.9, 3), 0.96, "max").value > 0.96
    low = Target(5.0, 3, "val_mse", "min")
    assert held_out_target(low, 2.0, "min").value < 2
    assert held_out_target(low, 9.0, "min").value == 5
    with pytest.raises(InputError, match="perfect"):
        held_out_target(Target(0.9, 3), 1.0, "max")


CASES = [
    (dense(L.Dense(3, "softmax")), one_hot(turns()), Target(0.9, 2), "accuracy"),
    (
        dense(L.Dense(3, "softmax")),
        one_hot(turns()),
        Target(0.5, 2, "val_loss", "min"),
        "cross-entropy",
    ),
    (
        dense(L.Dense(1), loss="mae", metrics=["mse"]),
        numbers((60, 1)),
        Target(0.5, 2, "val_loss", "min"),
        "mean absolute error",
    ),
    (
        dense(L.Dense(1), loss="huber", metrics=[keras.metrics.RootMeanSquaredError(name="far")]),
        numbers((60, 1)),
        Target(0.5, 2, "val_far", "min"),
        "root mean squared error",
    ),
    (
        dense(L.Dense(1), loss="huber", metrics=["mse"]),
        numbers((60, 1)),
        Target(0.5, 2, "val_loss", "min"),
        "own",
    ),
    (dense(L.Dense(1), loss="mse"), numbers((60, 1)), Target(0.5, 2, "val_unknown", "min"), None),
]


@pytest.mark.parametrize(("build", "y", "target", "unit"), CASES, ids=[str(c[-1]) for c in CASES])
def test_the_measure_is_what_the_user_watches(build, y, target, unit):
    found = case(build, examples(numbers(), y), target).measure
    assert (found and found.unit) == unit
