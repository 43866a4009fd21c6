"""The pre-flight check: every planted fault found, no sound model refused, nothing left behind."""

import os
import subprocess
import sys

import numpy as np
import pytest

from deepcaptcha import InputError
from deepcaptcha.cli.main import main
from deepcaptcha.diagnosis.check import check
from deepcaptcha.keras.backend import keras, tf
from tests.diagnosis.models import blobs, compiled, digits, mlp, stack, table, tabular
from tests.diagnosis.planted import CASES, FAULTY
from tests.diagnosis.sound import SOUND

QUICK = ("dead ReLU: dead_dense", "NaN in the data: nan_pixel", "sound: sound_mlp")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case, id=case.name, marks=() if case.name in QUICK else pytest.mark.integration
        )
        for case in CASES
    ],
)
def test_planted_faults_are_found_and_sound_models_are_not_refused(case):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model, data = case.make()
    found = check(model, **data)
    assert case.wrong_errors(found) == []
    assert case.expect is None or case.is_found(found)


def test_there_are_as_many_sound_models_as_faulty_ones_and_half_are_held_out():
    assert len({case.name.split(":")[0] for case in FAULTY}) == 13
    assert len(SOUND) >= len(FAULTY)
    assert sum(case.held_out for case in FAULTY) == 13
    assert sum(case.held_out for case in SOUND) >= 13


@pytest.mark.integration
def test_the_model_and_its_optimizer_are_left_exactly_as_found():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(4, activation="softmax"),
        ]
    )
    compiled(model)
    data = blobs()
    model.fit(data["x"], data["y"], epochs=1, verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.asarray(variable).copy() for variable in variables]
    check(model, **data)
    now = [*model.variables, *model.optimizer.variables]
    assert [id(v) for v in now] == [id(v) for v in variables]
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, now, strict=True))


@pytest.mark.integration
def test_several_inputs_and_outputs_are_checked_too():
    one, two = keras.Input((4,), name="one"), keras.Input((8,), name="two")
    joined = keras.layers.Concatenate()([one, two])
    model = keras.Model(
        {"one": one, "two": two},
        {
            "kind": keras.layers.Dense(4, activation="softmax", name="kind")(joined),
            "sum": keras.layers.Dense(1, name="sum")(joined),
        },
    )
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "sum": "mse"})
    data = blobs()
    x = {"one": data["x"][:, :4], "two": data["x"][:, 4:]}
    y = {"kind": data["y"], "sum": data["x"].sum(axis=1, keepdims=True)}
    assert [f.code for f in check(model, x, y) if f.severity == "error"] == []
    y["sum"] = y["sum"] * np.nan
    assert [f.code for f in check(model, x, y) if f.severity == "error"] == ["not finite"]


def test_what_cannot_be_checked_is_refused_in_one_line():
    data = digits()
    with pytest.raises(InputError, match="not compiled"):
        check(keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()]), **data)
    with pytest.raises(InputError, match="600, 500 examples"):
        check(mlp(), data["x"], data["y"][:500])
    with pytest.raises(InputError, match="at least one"):
        check(mlp(), data["x"][:0], data["y"][:0])
    with pytest.raises(InputError, match="validation data hold no example"):
        check(mlp(), **data, validation=(data["x"][:0], data["y"][:0]))
    with pytest.raises(InputError, match="validation x holds single numbers"):
        check(mlp(), **data, validation=(data["x"][:1].tolist(), data["y"][:1]))
    pair = ([data["x"], data["x"]], data["y"])
    with pytest.raises(InputError, match=r"inputs of 600, 600 examples; as many .*, 1, of equally"):
        check(mlp(), **data, validation=pair)
    with pytest.raises(InputError, match=r"^x holds single numbers"):
        check(mlp(), [1.0, 2.0], [0.0, 1.0])
    with pytest.raises(InputError, match="y holds a NoneType; arrays whose first axis"):
        check(mlp(), data["x"], None)
    dataset = tf.data.Dataset.from_tensor_slices((data["x"], data["y"]))
    with pytest.raises(InputError, match=r"^y or sample_weight stands beside a dataset"):
        check(mlp(), dataset, data["y"])
    with pytest.raises(InputError, match="single examples; batch"):
        check(mlp(), dataset)
    with pytest.raises(InputError, match="no batch"):
        check(mlp(), dataset.batch(32).take(0))
    with pytest.raises(InputError, match="600, 600, 5 examples"):
        check(mlp(), **data, sample_weight=np.ones(5))
    with pytest.raises(InputError, match="both given; fit takes one"):
        check(mlp(), **data, sample_weight=np.ones(600), class_weight={0: 2.0})
    with pytest.raises(InputError, match="class_weight is given for 2 targets"):
        check(mlp(), data["x"], [data["y"], data["y"]], class_weight={0: 2.0})


def errors(model, x, y=None, **more):
    return [f.code for f in check(model, x, y, **more) if f.severity == "error"]


def own_model(layer=None, **methods):
    """A subclassed model that does not declare its outputs: a softmax of 4, or another layer."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.only = layer or keras.layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.only(x)

    return type("Mine", (Own,), methods)()


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["subclassed", "places", "one output"])
def test_labels_out_of_range_are_found_wherever_they_are(kind):
    layers = keras.layers
    x, y = blobs()["x"], blobs()["y"]
    model = {
        "subclassed": lambda: compiled(own_model()),
        "places": lambda: stack((12,), layers.Dense(20), layers.Reshape((5, 4)), layers.Softmax()),
        "one output": lambda: tabular("sigmoid", 1, 12),
    }[kind]()
    y = {"subclassed": y, "places": np.repeat(y[:, None], 5, axis=1), "one output": 0 * y}[kind]
    assert errors(model, x, y) == []
    y = y.copy()
    y.flat[17] = 1 if kind == "one output" else 4
    only = [finding for finding in check(model, x, y) if finding.severity == "error"]
    assert [(finding.code, finding.value) for finding in only] == [("labels", 1)]


@pytest.mark.integration
def test_a_label_that_the_loss_ignores_is_none_out_of_range():
    data = blobs()
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    y = data["y"].copy()
    y[:50] = -1
    assert errors(tabular("softmax", 4, 12, loss=loss), data["x"], y) == []


@pytest.mark.integration
def test_what_cannot_be_trained_is_told_in_one_line_of_keras_words():
    data = blobs()
    wrong = tabular("softmax", 4, 12, loss="categorical_crossentropy")
    with pytest.raises(InputError, match=r"^one batch could not be trained: .*same rank") as told:
        check(wrong, data["x"], data["y"])
    assert "\n" not in str(told.value)
    words = np.array([f"word {i}" for i in range(600)])[:, None]
    with pytest.raises(InputError, match="one batch could not be trained"):
        check(tabular("softmax", 4, 1), words, data["y"])
    with pytest.raises(InputError, match="No loss to compute"):
        check(tabular("softmax", 4, 12, loss=None), data["x"], data["y"])


@pytest.mark.integration
def test_words_are_looked_up_by_the_model():
    words = np.array([["low"], ["high"]])[blobs(2)["y"]]
    look_up = keras.layers.StringLookup(vocabulary=["low", "high"], output_mode="one_hot")
    inputs = keras.Input((1,), dtype="string")
    outputs = keras.layers.Dense(2, activation="softmax")(look_up(inputs))
    assert errors(compiled(keras.Model(inputs, outputs)), words, blobs(2)["y"]) == []


@pytest.mark.integration
def test_a_loss_that_layers_add_is_enough_and_needs_no_targets():

    class Adds(keras.layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(keras.ops.square(x)))
            return x

    model = stack((12,), keras.layers.Dense(3), Adds(), loss=None)
    assert errors(model, blobs()["x"], blobs()["y"]) == []
    assert errors(model, blobs()["x"]) == []


def squared_error_step(self, data):
    """Of a model's own: targets (n,) against outputs (n, 1) make a table of n x n."""
    x, y = data
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(tf.cast(y, "float32") - self(x, training=True)))
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply(gradients, self.trainable_variables)
    return {"loss": loss}


@pytest.mark.integration
def test_a_step_of_ones_own_is_taken_and_a_loss_that_mixes_the_examples_is_found_in_it():
    x = table()["x"]
    y = (x[:, 0] - 2 * x[:, 1])[:, None]

    def model():
        own = own_model(keras.layers.Dense(1), train_step=squared_error_step)
        own.compile(keras.optimizers.Adam(0.01))
        return own

    assert errors(model(), x, y) == []
    assert errors(model(), x, y[:, 0]) == ["blind loss"]


@pytest.mark.integration
def test_a_loss_of_ones_own_that_mixes_the_examples_is_found():
    """Keras makes shapes agree for its own losses and for functions, but not for a class of losses."""

    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.square(y_true - y_pred)

    data = table()
    assert errors(tabular(loss=Own()), data["x"], data["y"]) == []
    assert errors(tabular(loss=Own()), data["x"], data["y"][:, 0]) == ["blind loss"]
    assert errors(tabular(loss="mse"), data["x"], data["y"][:, 0]) == []


class Pair(keras.Model):
    """A generator and a discriminator with an optimizer each, which trains without being called."""

    def __init__(self):
        super().__init__()
        self.drawn = keras.Sequential([keras.Input((3,)), keras.layers.Dense(12)])
        self.judge = keras.Sequential([keras.Input((12,)), keras.layers.Dense(1)])

    def compile(self):
        super().compile()
        self.first, self.second = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01)

    def train_step(self, x):
        noise = tf.random.normal((tf.shape(x)[0], 3))
        for part, optimizer, sign in ((self.judge, self.first, 1), (self.drawn, self.second, -1)):
            with tf.GradientTape() as tape:
                told = tf.math.softplus(-self.judge(x)) + tf.math.softplus(
                    self.judge(self.drawn(noise))
                )
                loss = sign * tf.reduce_mean(told)
            gradients = tape.gradient(loss, part.trainable_variables)
            optimizer.apply(gradients, part.trainable_variables)
        return {"loss": loss}


@pytest.mark.integration
def test_all_optimizers_of_a_step_of_ones_own_are_left_as_found():
    model = Pair()
    model.compile()
    model.fit(blobs()["x"], epochs=1, verbose=0)

    def state():
        own = (*model.variables, *model.first.variables, *model.second.variables)
        return [np.asarray(variable).copy() for variable in own]

    before = state()
    assert errors(model, blobs()["x"]) == []
    assert all(np.array_equal(a, b) for a, b in zip(before, state(), strict=True))


@pytest.mark.integration
def test_a_schedule_needs_no_config():

    class Halved(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.01 / (1.0 + tf.cast(step, "float32"))

    model = tabular("softmax", 4, 12, optimizer=keras.optimizers.Adam(Halved()))
    rate = model.optimizer._learning_rate
    assert errors(model, **blobs()) == []
    assert model.optimizer._learning_rate is rate


@pytest.mark.integration
def test_models_that_have_learnt_are_no_errors():
    """Outputs of 1 and 0 behind a reshape: a loss of 1.2e-7 and no gradient, as all is right."""
    layers = keras.layers
    model = stack(
        (4,),
        layers.Dense(4, activation="softmax"),
        layers.Reshape((1, 4)),
        loss="categorical_crossentropy",
    )
    model.set_weights([100 * np.eye(4), np.zeros(4)])
    x = np.eye(4, dtype="float32")[blobs()["y"]]
    assert [f.code for f in check(model, x, x[:, None]) if f.severity != "information"] == []


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_loss_that_rises_from_next_to_nothing_is_not_unstable(kind):
    """A model fitted to the end, then tuned on with a lively optimizer: its loss rises more than twofold
    and stays far below what guessing costs, ln 4 or the targets' variance of 5.5."""
    keras.utils.set_random_seed(0)
    if kind == "classes":
        model, data = tabular("softmax", 4, 12), {**blobs(), "x": 3 * blobs()["x"]}
    else:
        model, data = tabular(loss="mse", optimizer=keras.optimizers.Adam(0.01)), table()
    model.fit(data["x"], data["y"], epochs=60, verbose=0)
    model.compile(keras.optimizers.Adam(0.05), model.loss)
    assert errors(model, **data) == []


@pytest.mark.integration
def test_a_loss_that_becomes_nan_is_told_in_words():
    model = tabular(loss="mse", optimizer=keras.optimizers.SGD(1e30))
    (only,) = [f for f in check(model, **table()) if f.severity == "error"]
    assert only.code == "unstable"  # a thousandth of such a rate is no better
    assert "no longer finite" in only.sentence
    assert "nan" not in only.sentence


@pytest.mark.integration
def test_pixels_of_whole_numbers_have_a_scale_and_word_numbers_have_none():
    data = digits(scale=1)
    data["x"] = data["x"].astype("uint8")
    assert "scale" in [finding.code for finding in check(mlp(), **data)]


def test_a_loss_of_ones_own_may_read_targets_of_any_kind():
    """Class numbers beside a softmax are no targets out of its reach."""

    def picked(y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    assert [f.code for f in check(mlp(loss=picked), **digits()) if f.severity == "error"] == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["same"], 1),
        (["same:sound-subset"], 0),
        (["same-reshape-first"], 0),
    ],
)
def test_the_question_is_told_from_its_repairs(arguments, code, capsys):
    assert main(["check", *arguments]) == code
    told = capsys.readouterr().out
    assert ("error: scale: 50 steps take the loss" in told) == bool(code)
    assert ("warning: lost examples: after 50 steps" in told) == bool(code)


@pytest.mark.integration
def test_a_model_of_a_process_with_many_threads_is_checked_as_it_is():
    """A notebook has long imported TensorFlow by the time its model is looked at."""
    code = (
        "import keras, numpy as np;"
        "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]);"
        "model.compile('adam', 'mse');"
        "x = np.random.default_rng(0).normal(size=(64, 2)).astype('float32');"
        "y = x.sum(axis=1, keepdims=True);"
        "from deepcaptcha import check;"
        "print([f.code for f in check(model, x, y) if f.severity == 'error'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("validation", [[], (np.zeros((4, 1)),)])
def test_validation_that_is_no_pair_is_one_line(validation):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((8, 1), "float32")
    with pytest.raises(InputError, match=r"^validation is .*; a pair \(x, y\) is needed$"):
        check(model, x, x, validation)
