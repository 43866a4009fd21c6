"""An opaque twin computes what its model does, and shows nothing of how."""

import numpy as np
import pytest

from deepcaptcha.keras.backend import keras, tf
from tests.reports.opaque import opaque
from tests.reports.report import reports


def small_model():
    """Layers with states, masks and seeds of their own, in and out of a nested model."""
    layers = keras.layers
    words = keras.Input((6,), dtype="int32", name="words")
    x = layers.Embedding(20, 4, mask_zero=True)(words)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(x)
    x = layers.Dropout(0.5)(layers.LSTM(4, kernel_regularizer="l2")(x))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="tanh")])
    x = layers.BatchNormalization()(inner(x)) * 2
    model = keras.Model({"words": words}, layers.Dense(3, activation="softmax")(x))
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(reduction="sum"),
        metrics=["accuracy"],
        run_eagerly=True,  # a batch costs less than a trace
    )
    return model


def small_data():
    draw = np.random.default_rng(0)
    x = draw.integers(1, 20, (16, 6))
    x[:, 3:] *= draw.integers(2, size=(16, 1))  # half of them end in padding
    return {"words": x}, draw.integers(3, size=16)


def made(build, seed=0):
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    return build()


def assert_alike(build, x, y):
    """Outputs and losses of a batch, and a step of training, from the same weights and seeds."""
    own, twin = made(build), opaque(made(build))
    for model in (own, twin):
        model(x)
    np.testing.assert_allclose(own(x, training=False), twin(x, training=False), 1e-6, 1e-6)
    for _ in range(2):  # the second after a step
        mine, its = (model.test_on_batch(x, y, return_dict=True) for model in (own, twin))
        assert list(mine) == list(its)
        np.testing.assert_allclose(list(its.values()), list(mine.values()), 1e-6)
        mine, its = (model.train_on_batch(x, y, return_dict=True) for model in (own, twin))
        np.testing.assert_allclose(list(its.values()), list(mine.values()), 1e-6)
    return twin


def test_a_twin_computes_the_same_through_masks_states_and_seeds():
    twin = assert_alike(small_model, *small_data())
    assert [len(twin.trainable_weights), len(twin.non_trainable_weights)] == [
        len(part) for part in (small_model().trainable_weights, small_model().non_trainable_weights)
    ]


def test_a_twin_shows_no_name_that_tells():
    twin = opaque(made(small_model))
    hidden = [layer for layer in twin.layers if not isinstance(layer, keras.layers.InputLayer)]
    shown = [twin.name, type(twin.loss).__name__, twin.loss.name]
    for layer in hidden:
        assert type(layer).__mro__[1] is keras.layers.Layer
        assert list(layer._flatten_layers()) == [layer]
        shown += [type(layer).__name__, layer.name, *vars(layer)]
        shown += [variable.path for variable in layer.variables]
        assert not hasattr(layer, "activation")
    told = " ".join(shown).lower()
    words = (
        "embed recurrent kernel bias moving gamma lstm gru dense dropout softmax cross mask_zero"
    )
    assert [word for word in words.split() if word in told] == []


def test_frozen_layers_stay_frozen_in_the_twin():
    model = made(small_model)
    model.layers[-1].trainable = False
    count = len(model.trainable_weights)
    assert len(opaque(model).trainable_weights) == count


def test_a_model_with_a_step_of_its_own_stays_as_it_is():
    class Own(keras.Model):
        def train_step(self, data):
            return {}

    inputs = keras.Input((1,))
    model = Own(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    assert opaque(model) is model


def test_a_sequential_model_has_a_twin_too():
    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    assert_alike(build, np.ones((4, 3), "float32"), np.arange(4.0))


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")  # Keras', of what is broken
@pytest.mark.parametrize("report", reports("first"), ids=lambda report: report.name)
def test_the_twin_of_a_report_computes_the_same(report):
    # TensorFlow refuses the labels of one, so that it has no loss to compare.
    (x, y), _ = report.data("fixed" if report.name == "class numbers from 1" else "broken")
    first = slice(report.batch_size)
    x, y = tf.nest.map_structure(lambda part: part[first], (x, y))
    model = made(lambda: report.build("broken"))
    if type(model).train_step is keras.Model.train_step:
        assert_alike(lambda: report.build("broken"), x, y)
    else:
        assert opaque(model) is model
