"""Each contract met and broken by small models."""

from functools import partial

import numpy as np
import pytest

from deepcaptcha import Contracted, InputError, parametrize_with_contracts
from deepcaptcha.keras.backend import keras
from deepcaptcha.plugin.contracts import (
    CONTRACTS,
    Contract,
    DoesNotApply,
    is_reproducible,
    overfits_one_batch,
    parameter_count,
    passes_preflight,
    saves_and_loads,
    shapes,
)

RANDOM = np.random.RandomState(0)
X = RANDOM.rand(64, 2).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def mlp(rate=0.03, seed=None):
    """(2 + 1) * 8 + (8 + 1) * 1 = 33 parameters."""
    if seed is not None:
        keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.compile(keras.optimizers.Adam(rate), "mean_squared_error")
    return model


def subclassed():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.out = keras.layers.Dense(1)

        def call(self, x):
            return self.out(x)

    model = Own()
    model.compile("sgd", "mse")
    return model


def two_outputs():
    """With a loss of one's own, so that Keras alone looks at the labels' shape."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", lambda y, prediction: keras.ops.square(y - prediction))
    return model


def contracted(build=mlp, **settings):
    return Contracted(build, train=(X, Y), validation=(X, Y), **settings)


def test_shapes():
    shapes(contracted(shapes={"hidden": (8,), "out": (1,)}))
    with pytest.raises(AssertionError, match=r"layer out gives \(1,\); \(2,\) is declared"):
        shapes(contracted(shapes={"out": (2,)}))
    with pytest.raises(AssertionError, match="there is no layer end; there are hidden, out"):
        shapes(contracted(shapes={"end": (1,)}))
    with pytest.raises(DoesNotApply, match="Own is subclassed: its layers have no shape until"):
        shapes(contracted(subclassed, shapes={"out": (1,)}))
    with pytest.raises(DoesNotApply, match="no shapes are declared"):
        shapes(contracted())


def test_parameter_count():
    parameter_count(contracted(parameters=33))
    parameter_count(contracted(subclassed, parameters=3))
    with pytest.raises(AssertionError) as error:
        parameter_count(contracted(parameters=34))
    assert str(error.value) == (
        "the model has 33 parameters; 34 are declared. By layer: hidden 24, out 9"
    )


def test_overfitting_one_batch():
    overfits_one_batch(contracted())
    still = contracted(partial(mlp, 0.0), overfit_steps=5)
    with pytest.raises(AssertionError) as error:
        overfits_one_batch(still)
    words = str(error.value)
    assert "in 5 steps;" in words
    start, least = words.split(" from ")[1].split(" in ")[0].split(" to ")
    assert start == least
    assert ", 0.1 of its start, is expected" in words


@pytest.mark.integration
def test_reproducibility():
    is_reproducible(contracted())
    with pytest.raises(
        AssertionError, match="seeds 1 and 2 give the same weights; does the factory"
    ):
        is_reproducible(contracted(partial(mlp, seed=3)))


@pytest.mark.integration
def test_a_factory_that_draws_from_the_system_is_not_reproducible():
    def build():
        model = mlp()
        model.set_weights([np.random.default_rng().random(w.shape) for w in model.get_weights()])
        return model

    with pytest.raises(AssertionError, match="two models built under seed 1 start from different"):
        is_reproducible(contracted(build))


def test_saving_and_loading():
    saves_and_loads(contracted())
    with pytest.raises(AssertionError, match=r"could not be saved and loaded: .*Own"):
        saves_and_loads(contracted(subclassed))


def test_a_layer_that_forgets_a_setting_is_seen():
    @keras.saving.register_keras_serializable("tests")
    class Times(keras.layers.Layer):
        def __init__(self, factor=1.0, **settings):
            super().__init__(**settings)
            self.factor = factor

        def call(self, x):
            return self.factor * x

        def get_config(self):
            return super().get_config()

    def build():
        model = keras.Sequential([keras.Input((2,)), Times(3.0), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    with pytest.raises(AssertionError, match="predictions differ by up to"):
        saves_and_loads(contracted(build))


@pytest.mark.integration
def test_the_preflight_check():
    held = np.random.RandomState(1).rand(64, 2).astype("float32")
    passes_preflight(Contracted(mlp, train=(X, Y), validation=(held, Y)))
    broken = np.where(X > 0.9, np.nan, X)
    with pytest.raises(AssertionError, match="not finite: "):
        passes_preflight(Contracted(mlp, train=(broken, Y), validation=(X, Y)))
    mixed = np.concatenate([X[:32], held[32:]])
    with pytest.raises(AssertionError, match="leak: 32 of 64 validation examples are copies"):
        passes_preflight(Contracted(mlp, train=(X, Y), validation=(mixed, Y)))


def test_one_test_a_factory_and_contract():
    claim = {"target": 0.1, "epochs": 1, "p_good": 0.9, "p_bad": 0.1, "monitor": "val_loss"}
    known = {"save and load": "not registered", "convergence": "too slow"}
    mark = parametrize_with_contracts(
        [contracted(name="one of (2)"), contracted(subclassed, claim=claim, known_failures=known)]
    ).mark
    name, parameters = mark.args
    ids = [parameter.id for parameter in parameters]
    assert (name, mark.kwargs) == ("contract", {"indirect": True})
    assert len(ids) == len(set(ids)) == 2 * len(CONTRACTS)
    assert {"one_of_2_-shapes", "one_of_2_-one-batch_overfit", "subclassed-save_and_load"} <= set(
        ids
    )
    marks = {
        parameter.id: [(m.name, m.kwargs) for m in parameter.marks] for parameter in parameters
    }
    assert marks["one_of_2_-convergence"] == marks["subclassed-shapes"] == []
    assert marks["subclassed-convergence"] == [
        ("convergence", claim),
        ("xfail", {"strict": True, "reason": "too slow"}),
    ]
    assert marks["subclassed-save_and_load"][0][1]["reason"] == "not registered"


@pytest.mark.parametrize("known", [{"saving": "no"}, {"shapes": ""}])
def test_known_failures_are_of_contracts_and_have_a_reason(known):
    with pytest.raises(InputError, match=r"known_failures.*a reason is needed, and one of shapes,"):
        parametrize_with_contracts([contracted(known_failures=known)])


def test_a_broken_contract_and_bad_input_are_told_in_one_message():
    def verify(factory, name):
        Contract(factory, name).verify(lambda: None)

    with pytest.raises(pytest.fail.Exception, match=r"^the model has 33"):
        verify(contracted(parameters=1), "parameter count")
    with pytest.raises(pytest.fail.Exception, match=r"^train is None; a pair"):
        verify(Contracted(mlp, train=None, validation=None), "save and load")
    with pytest.raises(pytest.skip.Exception, match="no claim is declared"):
        verify(contracted(), "convergence")


def test_what_keras_refuses_is_told_in_one_message():
    """One output, and labels of two: Keras' squared error broadcasts no three against two."""
    labels = np.zeros((64, 3), "float32")
    it = Contracted(two_outputs, train=(X, labels), validation=(X, labels))
    with pytest.raises(pytest.fail.Exception) as failure:
        Contract(it, "one-batch overfit").verify(lambda: None)
    assert str(failure.value).startswith("Dimensions must be equal")
    assert str(failure.value).isprintable()
