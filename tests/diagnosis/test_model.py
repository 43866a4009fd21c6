"""What a loss expects of a model's head, and how the loss was given to `compile`."""

import math
from contextlib import nullcontext

import numpy as np
import pytest

from deepcaptcha.diagnosis.check import check
from deepcaptcha.diagnosis.model import weight_findings
from deepcaptcha.diagnosis.observe import Observer
from deepcaptcha.keras.backend import keras
from tests.diagnosis.planted import blobs, compiled, stack, table, tabular

BLOBS = blobs()


def errors(model, x=BLOBS["x"], y=BLOBS["y"], **more):
    return {f.code: f for f in check(model, x, y, **more) if f.severity == "error"}


def found(model, x=BLOBS["x"], y=BLOBS["y"]):
    return {finding.code: finding for finding in check(model, x, y)}


def one_hot():
    return np.eye(4, dtype="float32")[BLOBS["y"]]


def classifier(*layers, **settings):
    return stack((12,), *layers, **settings)


@pytest.mark.integration
def test_a_softmax_that_the_loss_sees_may_be_told_from_logits():
    """Keras takes the logits behind it: after training, the weights are the same bits."""
    ends = []
    for from_logits in (False, True):
        keras.utils.set_random_seed(0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        model = tabular("softmax", 4, 12, loss=loss)
        assert errors(model) == {}
        with (
            pytest.warns(UserWarning, match="received `from_logits=True`")
            if from_logits
            else nullcontext()
        ):
            model.fit(BLOBS["x"], BLOBS["y"], shuffle=False, verbose=0)
        ends.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.integration
def test_one_softmax_over_several_predictions_is_no_wrong_axis():
    """The question's own head, made for several digits. Keras divides by the sum over the classes, so
    that the loss is that of a softmax for each prediction."""
    layers, losses = keras.layers, []
    y = np.stack([one_hot(), one_hot()[:, ::-1]], axis=1)
    for head in (
        [layers.Dense(8, activation="softmax", name="out"), layers.Reshape((2, 4))],
        [layers.Dense(8, name="out"), layers.Reshape((2, 4)), layers.Softmax()],
    ):
        keras.utils.set_random_seed(0)
        model = classifier(*head, loss="categorical_crossentropy")
        model.get_layer("out").set_weights([np.full((12, 8), 0.01), np.arange(8.0)])
        assert "softmax axis" not in found(model, y=y)
        losses.append(model.evaluate(BLOBS["x"], y, verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.integration
@pytest.mark.parametrize("by_loss", [True, False])
def test_a_second_softmax_leaves_this_much_at_most(by_loss):
    layers = keras.layers
    last = layers.Reshape((1, 4)) if by_loss else layers.Softmax()
    model = classifier(
        layers.Dense(4, activation="softmax"),
        last,
        loss=keras.losses.CategoricalCrossentropy(from_logits=by_loss),
    )
    y = one_hot()[:, None] if by_loss else one_hot()
    twice = errors(model, y=y)["softmax twice"]
    # At best 1, 0, 0, 0 come out of the first: 2.71828 / (2.71828 + 1 + 1 + 1) = 0.4754.
    assert twice.value == pytest.approx(0.4754, abs=1e-4)
    assert "at most 0.48 for any class" in twice.sentence
    assert ("hides the logits, which the loss expects" in twice.sentence) == by_loss


@pytest.mark.integration
def test_a_second_sigmoid_leaves_this_much_at_most():
    layers = keras.layers
    model = classifier(
        layers.Dense(1, activation="sigmoid"),
        layers.Activation("sigmoid"),
        loss="binary_crossentropy",
    )
    y = (BLOBS["y"] % 2)[:, None].astype("float32")
    # 2.71828 / (2.71828 + 1) = 0.7311, the sigmoid of 1
    assert errors(model, y=y)["softmax twice"].value == pytest.approx(0.7311, abs=1e-4)


def as_list(loss):
    return [loss]


def as_mapping(loss):
    return {"only": loss}


def as_function(loss):
    return getattr(keras.losses, loss)


def as_object(loss):
    words = "".join(part.capitalize() for part in loss.split("_"))
    return getattr(keras.losses, words)()


@pytest.mark.integration
@pytest.mark.parametrize("given", [str, as_list, as_mapping, as_function, as_object])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "binary_crossentropy"])
def test_logits_for_a_loss_of_probabilities_however_it_is_given(given, loss):
    binary = loss.startswith("binary")
    inputs = keras.Input((12,))
    outputs = keras.layers.Dense(1 if binary else 4, name="only")(inputs)
    model = compiled(keras.Model(inputs, outputs), loss=given(loss))
    y = (BLOBS["y"] % 2)[:, None].astype("float32") if binary else BLOBS["y"]
    assert errors(model, y=y)["loss mismatch"].value > 0.1
    beyond = errors(model, y=y + 7)["labels"]
    assert "lie outside 0..1" in beyond.sentence if binary else "0..3" in beyond.sentence


@pytest.mark.integration
def test_hidden_heads_are_called_what_they_are():
    layers = keras.layers
    model = classifier(
        layers.Dense(1, activation="sigmoid"), layers.Reshape((1, 1)), loss="binary_crossentropy"
    )
    y = (BLOBS["y"] % 2)[:, None, None].astype("float32")
    hidden = found(model, 1e4 * BLOBS["x"], y)
    assert hidden["hidden sigmoid"].sentence.startswith("an operation after sigmoid hides")
    assert "softmax" not in hidden["lost examples"].sentence + hidden["lost examples"].fix


def test_the_rate_of_an_optimizer_for_mixed_precision_is_that_of_the_one_inside():
    schedules = keras.optimizers.schedules
    rise = schedules.CosineDecay(0.0, 1000, warmup_target=0.003, warmup_steps=100)
    for rate, codes in ((rise, []), (0.0, ["learning rate"])):
        inner = keras.optimizers.Adam(rate)
        model = tabular(
            optimizer=keras.optimizers.LossScaleOptimizer(inner), loss="mean_squared_error"
        )
        assert [finding.code for finding in weight_findings(model)] == codes


@pytest.mark.integration
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_softmax_of_half_precision_is_hidden_by_the_cast_of_the_loss(dtype):
    """With logits (100, 0) the wrong examples have a gradient only where the loss sees the logits."""
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(2, dtype=policy),
            keras.layers.Activation("softmax", dtype=dtype),
        ]
    )
    model.set_weights([np.array([[100.0, 0.0]]), np.zeros(2)])
    compiled(model)
    observer = Observer(model, training=False)
    seen = observer.observe(np.ones((4, 1), "float32"), np.array([0, 0, 0, 1]))
    assert observer.head.hidden == (dtype == "float16")
    assert seen.lost_share == (0.25 if dtype == "float16" else 0)


@pytest.mark.integration
def test_a_model_of_mixed_precision_is_checked():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = tabular("softmax", 4, 12)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    findings = found(model)
    assert [f.severity for f in findings.values() if f.severity == "error"] == []
    assert "dtype='float32'" in findings["hidden softmax"].fix


@pytest.mark.integration
def test_a_loss_of_ones_own_is_no_obstacle():

    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    data = table()
    assert errors(tabular(loss=Own()), data["x"], data["y"].astype("int32")) == {}


@pytest.mark.integration
def test_a_sum_and_a_penalty_are_no_first_loss():
    """32 losses of about ln 4 make more than twice ln 4, and so do large weights' squares."""
    summed = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    # Four classes of the same weights are equally probable: each example costs ln 4, whatever it is.
    alike = {"activation": "softmax", "kernel_initializer": "ones"}
    model = classifier(keras.layers.Dense(4, **alike), loss=summed)
    assert model.evaluate(BLOBS["x"], BLOBS["y"], verbose=0) > 2 * math.log(4)
    assert "first loss" not in found(model)
    penalty = keras.regularizers.L2(10.0)
    model = classifier(keras.layers.Dense(4, **alike, kernel_regularizer=penalty))
    assert float(model.losses[0]) == 10 * 12 * 4
    assert "first loss" not in found(model)


@pytest.mark.integration
def test_class_axis_first():
    layers = keras.layers
    x = np.random.default_rng(0).standard_normal((64, 3, 8)).astype("float32")
    y = np.eye(3, dtype="float32")[x.argmax(axis=1)].transpose(0, 2, 1)
    model = stack(
        (3, 8),
        layers.Permute((2, 1)),
        layers.Dense(3),
        layers.Permute((2, 1)),
        layers.Softmax(axis=1),
        loss=keras.losses.CategoricalCrossentropy(axis=1),
    )
    assert errors(model, x, y) == {}
