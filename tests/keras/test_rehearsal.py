"""A user's factory, data and callbacks: what fits becomes a source, what does not is refused at once."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from deepcaptcha.errors import InputError, error_words
from deepcaptcha.keras.backend import keras, tf
from deepcaptcha.keras.data import Examples
from deepcaptcha.keras.rehearsal import rehearsed_source
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.training import require_fit
from deepcaptcha.trials.source import function_name
from deepcaptcha.trials.trial import Target

RANDOM = np.random.RandomState(0)
X = RANDOM.rand(64, 2).astype("float32")
Y = (X[:, :1] > X[:, 1:]).astype("float32")
TARGET = Target(0.9, 2)


def mlp(loss="binary_crossentropy", compiled=True, monitor="accuracy"):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid", name="only")]
    )
    if compiled:
        model.compile(keras.optimizers.Adam(0.1), loss, metrics=[monitor])
    return model


def prepare(build=mlp, train=(X, Y), validation=(X, Y), target=TARGET, batch=16, **settings):
    return rehearsed_source(build, train, validation, target, batch=batch, **settings)


@pytest.mark.integration
def test_the_source_of_a_factory_and_arrays():
    source = prepare()
    assert (source.name, source.recipe) == ("mlp", "64 examples")
    assert source.target == TARGET
    assert (source.training.batch, source.training.steps_per_execution) == (16, 4)
    assert source.facts == {
        "data": "given",
        "n_train": 64,
        "n_validation": 64,
        "validation_split": None,
        "scaling": "raw",
        "n_prediction": 1,
        "n_class": 2,
    }
    assert not source.reuse_model
    first, second = source.run(0), source.run(0)
    assert first.weights_sha256 == second.weights_sha256
    assert "callbacks" not in first.identity
    assert "version" not in first.identity


def counter(seen):
    class Counter(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.started = float("inf")

        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

        def on_epoch_end(self, epoch, logs=None):
            logs["val_own"] = 1.0

    return Counter()


@pytest.mark.integration
def test_callbacks_are_new_each_trial_see_every_batch_and_may_log():
    seen = []
    target = Target(2.0, 2, "val_own")
    source = prepare(callbacks=lambda: [counter(seen)], version="2", target=target)
    assert source.training.steps_per_execution == 1
    seen.clear()
    trial = source.run(0)
    assert seen == 2 * [0, 1, 2, 3]
    assert trial.epochs[-1].metrics["val_own"] == 1.0
    ((name, settings),) = trial.identity["callbacks"]
    assert name.endswith("Counter")
    assert settings["started"] == "inf"
    assert trial.identity["version"] == "2"


@pytest.mark.integration
def test_callbacks_may_be_told_the_seed_and_keep_logs_apart(tmp_path):
    def callbacks(seed):
        return [keras.callbacks.CSVLogger(tmp_path / f"{seed}.csv")]

    source = prepare(callbacks=callbacks, target=Target(0.0, 1, "val_loss", "min"))
    first, second = source.run(3), source.run(4)
    assert {"3.csv", "4.csv"} <= {path.name for path in tmp_path.iterdir()}
    # Where it logs makes no other row of a trial.
    assert first.identity["callbacks"] == second.identity["callbacks"]
    assert first.digests["callbacks"] == second.digests["callbacks"]


@pytest.mark.integration
def test_a_training_ends_where_all_conditions_are_met():
    loss = Target(0.01, 4, "accuracy", also=["val_loss <= 1e-9"])
    assert prepare(target=Target(0.01, 4, "accuracy")).run(0).epochs_to_target == 1
    trial = prepare(target=loss).run(0)
    assert (trial.outcome, len(trial.epochs)) == ("slow", 4)


@pytest.mark.integration
def test_a_pipeline_made_by_a_function_is_shuffled_by_the_trials_seed():
    def train():
        return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(64).batch(20)

    source = prepare(train=train, validation=lambda: train().take(2), batch=None)
    assert (source.facts["n_train"], source.facts["n_validation"]) == (64, 40)
    assert source.training.batch == 20
    one, again, other = (source.run(seed) for seed in (3, 3, 4))
    assert one.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert one.identity == again.identity
    assert one.identity["data"] == other.identity["data"]


def two_outputs():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    both = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    outputs = {
        "sum": keras.layers.Dense(1, name="sum")(both),
        "more": keras.layers.Dense(1, activation="sigmoid", name="more")(both),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        {"sum": "mse", "more": "binary_crossentropy"},
        metrics={"more": ["accuracy"]},
    )
    return model


@pytest.mark.integration
def test_several_inputs_and_outputs_of_which_one_is_monitored():
    parts = {"a": X, "b": X}, {"sum": Y, "more": Y}
    target = replace(TARGET, monitor="val_more_accuracy")
    trial = prepare(two_outputs, parts, parts, target).run(0)
    assert {"val_more_accuracy", "val_sum_loss"} <= set(trial.epochs[-1].metrics)


@pytest.mark.integration
def test_an_uncompiled_model_is_compiled_as_the_training_says():
    target = replace(TARGET, monitor="val_loss", mode="min")
    training = Training("sgd", loss="mean_squared_error")
    source = prepare(partial(mlp, compiled=False), training=training, target=target)
    assert (source.name, source.training.optimizer) == ("mlp", "sgd")
    assert source.facts["n_class"] == 1
    assert set(source.run(0).epochs[-1].metrics) == {"loss", "val_loss"}


SHARED = {}


def same_model():
    return SHARED.setdefault("model", mlp())


def same_layer():
    layer = SHARED.setdefault("layer", keras.layers.Dense(1))
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("adam", "mse")
    return model


def same_layer_inside():
    """The layer of a wrapper that is new each time."""
    layer = SHARED.setdefault("inside", keras.layers.Dense(2, name="inside"))
    inside = keras.Sequential([keras.Input((2,)), layer])
    model = keras.Sequential([keras.Input((2,)), inside, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def same_optimizer():
    model = mlp(compiled=False)
    model.compile(SHARED.setdefault("optimizer", keras.optimizers.Adam()), "mse")
    return model


def test_a_model_in_place_of_its_function_is_told():
    words = r"^mine is a model; a function that .*: convergence.check\(build_model, \.\.\.\), where"
    with pytest.raises(InputError, match=words):
        rehearsed_source(keras.Sequential(name="mine"), None, None, Target())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"build": lambda: None}, "the factory returned NoneType; a new keras.Model each time"),
        ({"build": lambda: 3}, "the factory returned int"),
        (
            {"build": lambda units, *, rate: 3},
            "cannot be called without arguments (missing a required argument: 'units'); give "
            "functools.partial(<lambda>, units=..., rate=...)",
        ),
        ({"build": 3}, "the factory is 3; a callable without arguments is needed"),
        ({"build": same_model}, "the factory returned the same model twice; a new one is needed"),
        (
            {"build": same_layer},
            "share sequential/dense/kernel and so weights; it must make new layers",
        ),
        ({"build": same_layer_inside}, "share sequential/inside/kernel and so weights"),
        ({"build": same_optimizer}, "share one optimizer and so its memory"),
        (
            {"build": partial(mlp, compiled=False)},
            "that is not compiled; compile it, or give a training",
        ),
        (
            {"train": (X[:, :1], Y), "validation": (X[:, :1], Y)},
            "input has shape (2,) and the data's",
        ),
        ({"train": (X, X), "validation": (X, X)}, "output has shape (1,) and the data's (2,)"),
        ({"train": None}, "train is None; a pair (x, y)"),
        ({"train": (X[:0], Y[:0])}, "train data: 0 inputs and 0 labels"),
        (
            {"callbacks": lambda: None},
            "callbacks returned None; a function that makes a list of keras",
        ),
        (
            {"callbacks": lambda model, seed: []},
            "callbacks needs model, seed; a function of nothing, or of the trial's seed, is needed",
        ),
        (
            {"callbacks": []},
            "callbacks is of type list; a function that makes new ones for every trial is needed",
        ),
        ({"callbacks": lambda: [mlp]}, "a function that makes a list of keras callbacks is needed"),
    ],
)
def test_bad_input_is_one_clear_line_before_anything_is_traced(change, words):
    SHARED.clear()
    with pytest.raises(InputError) as error:
        prepare(**change)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_same_callback_twice_is_refused():
    kept = counter([])
    with pytest.raises(InputError, match="returned the same Counter twice; it must make new ones"):
        prepare(callbacks=lambda: [kept])


def test_a_batch_for_a_dataset_is_refused():
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    with pytest.raises(InputError, match="a dataset brings its own batches"):
        prepare(train=dataset, validation=dataset)


@pytest.mark.integration
def test_a_metric_that_is_not_logged_is_found_with_one_batch():
    with pytest.raises(InputError, match="on 'val_f1', which training does not log; it logs acc"):
        prepare(target=replace(TARGET, monitor="val_f1"))


@pytest.mark.integration
def test_what_keras_refuses_is_told_in_its_words():
    labels = np.full((64, 1), 7)
    with pytest.raises(InputError, match=r"one batch could not be trained: .*label value of 7"):
        prepare(partial(mlp, "sparse_categorical_crossentropy"), (X, labels), (X, labels))


@pytest.mark.integration
def test_labels_that_are_no_numbers_are_told_in_one_line():
    labels = np.full((64, 1), np.nan, "float32")
    with pytest.raises(InputError) as error:
        prepare(partial(mlp, "sparse_categorical_crossentropy"), (X, labels), (X, labels))
    assert "\n" not in str(error.value)


@pytest.mark.integration
@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_labels_that_are_words_are_refused_in_one_short_line(loss):
    words = np.array([["a"], ["b"]] * 32)
    with pytest.raises(InputError) as error:
        prepare(partial(mlp, loss), (X, words), (X, words))
    assert str(error.value) == (
        "one batch could not be trained: Cast string to float is not supported"
    )


@pytest.mark.integration
@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (KeyError("mask"), r"KeyError: .*\bmask\b"),
        (TypeError("no such operand"), "no such operand"),
    ],
)
def test_what_a_model_raises_itself_is_one_short_line(raised, words):
    class Broken(keras.Model):
        def call(self, x):
            raise raised

    def build():
        model = Broken()
        model.compile("sgd", "mse")
        return model

    with pytest.raises(InputError, match=f"^one batch could not be trained: .*{words}") as error:
        prepare(build)
    assert str(error.value).isprintable()  # in one line, nothing bold


def test_only_an_input_may_lack_a_last_axis_of_one():
    """Keras adds it: numbers for Input((1,)), and series of one number a step."""

    def fit(shape, x, y=Y):
        pool = [keras.layers.GlobalAveragePooling1D()] if len(shape) == 2 else []
        layers = [keras.Input(shape), *pool, keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        require_fit(model, Training(), Examples(x, y, x, y))
        assert model(x).shape == (64, 1)

    fit((1,), X[:, 0])
    fit((2, 1), X)
    fit((None, 1), X)
    for shape, x in (((2,), X[:, 0]), ((2, 1), X[:, 0]), ((3, 1), X)):
        with pytest.raises(InputError) as error:
            fit(shape, x)
        assert f"has shape {shape} and the data's {x.shape[1:]};" in str(error.value)


def test_the_words_of_an_error_in_user_code_begin_after_its_places():
    """As AutoGraph writes them: pairs of a place and its code, then what was raised."""
    place = '    File "/some/where.py", line 3, in call\n        return self.only(x)\n'
    error = ValueError(f"in user code:\n\n{place}{place}\n    ValueError: too\n    wide\n")
    assert error_words(error) == "ValueError: too wide"


@pytest.mark.integration
@pytest.mark.parametrize("given", [lambda loss: [loss], lambda loss: {"only": loss}])
def test_one_loss_in_a_list_or_mapping_tells_the_classes(given):
    def build():
        inputs = keras.Input((2,))
        outputs = keras.layers.Dense(1, activation="sigmoid", name="only")(inputs)
        model = keras.Model(inputs, outputs)
        model.compile("adam", given("binary_crossentropy"), metrics=["accuracy"])
        return model

    assert prepare(build).facts["n_class"] == 2


def test_only_a_loss_that_compares_outputs_needs_labels_of_their_shape():
    """Keras' sparse cross-entropy takes a column of class numbers; a loss of one's own, anything."""
    examples = Examples(X, Y, X, Y)

    def fit(loss):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
        model.compile("sgd", loss)
        require_fit(model, Training(), examples)

    fit("sparse_categorical_crossentropy")
    fit(keras.losses.SparseCategoricalCrossentropy())
    fit(lambda y, prediction: prediction - y)
    for loss in (
        "categorical_crossentropy",
        keras.losses.MeanSquaredError(),
        keras.losses.mean_squared_error,
    ):
        with pytest.raises(InputError, match=r"output has shape \(3,\) and the data's \(1,\)"):
            fit(loss)


def test_names():
    class Maker:
        def __call__(self):
            return None

    assert function_name(partial(partial(mlp, "mse"), True)) == "mlp"
    assert function_name(Maker()) == "Maker"
