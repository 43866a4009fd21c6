"""What is said of a model itself: its head, its loss however it is given, its averages, padding."""

import math
from contextlib import nullcontext

import numpy as np
import pytest

from deepcaptcha.diagnosis.answers import cost
from deepcaptcha.diagnosis.check import check
from deepcaptcha.diagnosis.model import (
    inference_findings,
    looked_up_inputs,
    padding_findings,
    weight_findings,
)
from deepcaptcha.diagnosis.observe import Observer
from deepcaptcha.keras.backend import keras
from tests.diagnosis.models import blobs, compiled, stack, table, tabular

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
        assert errors(model, y=y) == {}
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
    twice = errors(model, y=y)["out of reach"]
    # At best 1, 0, 0, 0 come out of the first: 2.71828 / (2.71828 + 1 + 1 + 1) = 0.4754, and the others
    # are 1 / 5.71828 = 0.1749. Then being right costs -ln 0.4754 = 0.7437.
    if by_loss:
        assert twice.value == pytest.approx(0.7437, abs=1e-4)
        assert "the loss takes them for logits: being right costs 0.744" in twice.sentence
    else:
        assert twice.value == 1
        assert "outside 0.175..0.475, which is all" in twice.sentence


@pytest.mark.integration
def test_a_second_sigmoid_leaves_this_much_at_most():
    layers = keras.layers
    model = classifier(
        layers.Dense(1, activation="sigmoid"),
        layers.Activation("sigmoid"),
        loss="binary_crossentropy",
    )
    y = (BLOBS["y"] % 2)[:, None].astype("float32")
    # The sigmoid of 0 is 0.5, and that of 1 is 2.71828 / (2.71828 + 1) = 0.7311.
    assert "outside 0.5..0.731," in errors(model, y=y)["out of reach"].sentence


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
    if not binary:
        assert "lie outside 0..3" in errors(model, y=y + 7)["labels"].sentence


@pytest.mark.integration
def test_hidden_heads_are_called_what_they_are():
    layers = keras.layers
    model = classifier(
        layers.Dense(1, activation="sigmoid"), layers.Reshape((1, 1)), loss="binary_crossentropy"
    )
    y = (BLOBS["y"] % 2)[:, None, None].astype("float32")
    lost = found(model, 1e4 * BLOBS["x"], y)["lost examples"]
    assert "an operation after sigmoid hides the logits" in lost.sentence
    assert "softmax" not in lost.sentence + lost.fix


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
    assert errors(model) == {}


@pytest.mark.integration
def test_a_loss_of_ones_own_is_no_obstacle():

    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    data = table()
    assert errors(tabular(loss=Own()), data["x"], data["y"].astype("int32")) == {}


@pytest.mark.integration
def test_a_sum_and_a_penalty_are_no_dear_answers():
    """32 losses of about ln 4 make more than twice ln 4, and so do large weights' squares."""
    summed = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    # Four classes of the same weights are equally probable: each example costs ln 4, whatever it is.
    alike = {"activation": "softmax", "kernel_initializer": "ones"}
    model = classifier(keras.layers.Dense(4, **alike), loss=summed)
    assert model.evaluate(BLOBS["x"], BLOBS["y"], verbose=0) > 2 * math.log(4)
    equal = np.full((600, 4), 0.25, "float32")
    assert cost(model, BLOBS["y"], equal) == pytest.approx(math.log(4))
    assert errors(model) == {}
    penalty = keras.regularizers.L2(10.0)
    model = classifier(keras.layers.Dense(4, **alike, kernel_regularizer=penalty))
    assert float(model.losses[0]) == 10 * 12 * 4
    assert cost(model, BLOBS["y"], equal) == pytest.approx(
        math.log(4), rel=1e-4
    )  # of 480, in float32


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


class Wrapped(keras.layers.Layer):
    """Batch normalization inside a layer of one's own."""

    def __init__(self, momentum):
        super().__init__()
        self.inside = keras.layers.BatchNormalization(momentum=momentum)

    def call(self, x, training=None):
        return self.inside(x, training=training)


@pytest.mark.parametrize("layer", [keras.layers.BatchNormalization, Wrapped])
@pytest.mark.parametrize(("momentum", "steps"), [(0.99, 20), (0.9, 5)])
def test_what_is_left_of_the_start_of_averages(layer, momentum, steps):
    """0.99 ** 20 = 0.818 and 0.9 ** 5 = 0.590: an error where the training is known to be so short."""
    model = classifier(layer(momentum=momentum), keras.layers.Dense(1), loss="mse")
    x = BLOBS["x"][:32]
    for certain, severity in ((True, "error"), (False, "warning")):
        (only,) = inference_findings(model, x, steps, certain)
        assert (only.code, only.severity) == ("averages", severity)
        assert only.value == pytest.approx(momentum**steps, rel=1e-3)
    assert [*inference_findings(model, x, 100 * steps, True)] == []  # 0.99 ** 2000 = 2e-9
    assert all(not float(np.asarray(v).max()) for v in model.variables if "mean" in v.path)


def test_answers_that_are_drawn_in_inference():

    class Noise(keras.layers.Layer):
        def call(self, x):
            return x + 0.1 * keras.random.normal(keras.ops.shape(x))

    (only,) = inference_findings(
        classifier(Noise(), keras.layers.Dense(1), loss="mse"), BLOBS["x"][:32], 100, True
    )
    assert (only.code, only.severity) == ("random answers", "warning")
    sound = classifier(keras.layers.Dropout(0.5), keras.layers.Dense(1), loss="mse")
    assert [*inference_findings(sound, BLOBS["x"][:32], 100, True)] == []


def test_numbers_that_are_looked_up_change_nothing_by_a_quarter():
    layers = keras.layers
    words, pixels = keras.Input((3,), dtype="int32"), keras.Input((3,))
    read = layers.Flatten()(layers.Embedding(9, 2)(words))
    model = compiled(
        keras.Model([words, pixels], layers.Dense(1)(layers.Concatenate()([read, pixels])))
    )
    whole = np.arange(12).reshape(4, 3) % 9
    assert looked_up_inputs(model, [whole, whole]) == [True, False]
    assert looked_up_inputs(model, [whole, whole + 0.5]) == [True, False]


def padded_sequences():
    """A number first, then 40 zeros: what a plain LSTM reads last drowns it."""
    x = np.zeros((32, 40, 1), "float32")
    x[:, :4, 0] = np.random.default_rng(0).choice([-1.0, 1.0], size=(32, 4))
    return x


@pytest.mark.parametrize("masked", [False, True])
def test_padding_at_the_end_drowns_a_sequence_unless_it_is_masked(masked):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    mask = [layers.Masking(0.0)] if masked else []
    model = stack((40, 1), *mask, layers.LSTM(4), layers.Dense(1), loss="mse")
    told = [*padding_findings(model, padded_sequences())]
    assert [(f.code, f.severity) for f in told] == ([] if masked else [("padding", "error")])
    if told:  # 36 of 40 places, moved to the front: what matters is read last
        assert told[0].value > 10
        assert told[0].sentence.startswith("90 % of the inputs are one value at the end")
