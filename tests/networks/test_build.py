"""Keras models against the arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from deepcaptcha.errors import InputError
from deepcaptcha.networks.architecture import ConvBlock
from deepcaptcha.networks.build import (
    assert_parameter_count,
    build,
    create_DeepCAPCHA,
    working_DeepCAPCHA,
)
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.networks.variants import VARIANTS, question_architecture
from tests.helpers import BY_HAND, architectures


def layers_of(model):
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_layer_has_the_shape_and_count_of_its_row(name):
    architecture = VARIANTS[name].architecture
    model = build(architecture)
    assert [
        (layer.name, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in layers_of(model)
    ] == [(row.name, row.output_shape, row.parameters) for row in architecture.rows]
    assert model.count_params() == BY_HAND[name][1]
    assert_parameter_count(model, architecture)


@settings(max_examples=12)  # each builds a Keras model; the arithmetic alone is drawn more often
@given(architectures())
def test_any_architecture_agrees_with_keras_layer_by_layer(architecture):
    model = build(architecture)
    for layer, row in zip(layers_of(model), architecture.rows, strict=True):
        assert (layer.name, layer.count_params()) == (row.name, row.parameters)
        assert tuple(layer.output.shape[1:]) == row.output_shape


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_fitted_to_a_recipe(name):
    architecture = VARIANTS[name].architecture
    assert RECIPES["raw-subset"].fit(architecture) == architecture
    fitted = RECIPES["captcha"].fit(architecture)
    assert fitted.rows[-1].output_shape == (4, 10)
    assert replace(fitted, input_shape=(28, 28, 1), n_prediction=1) == architecture
    if name == "same":
        # 30 x 80 is halved three times to 3 x 10; by hand:
        # 320 + 13,872 + 27,712 + (3*10*64*512 + 512) + (512*40 + 40) = 1,045,976
        assert (fitted.features_shape, fitted.parameters) == ((3, 10, 64), 1_045_976)


def test_an_architecture_that_cannot_fit_is_refused():
    deep = question_architecture(input_shape=(64, 64, 1), extra=(ConvBlock(64), ConvBlock(64)))
    with pytest.raises(InputError, match="pool5: a 2 x 2 pool does not fit into its 1 x 1 input"):
        RECIPES["sound-subset"].fit(deep)


def test_a_wrong_count_names_the_first_layer_that_differs():
    model = build(VARIANTS["last20"].architecture)
    with pytest.raises(AssertionError, match=r"layer conv3 .* 8660 .* 3\*3\*48\*64 \+ 64 = 27712"):
        assert_parameter_count(model, VARIANTS["same"].architecture)


def test_a_missing_layer_is_told():
    model = build(VARIANTS["same"].architecture)
    with pytest.raises(AssertionError, match=r"10 layers, the architecture 11"):
        assert_parameter_count(model, VARIANTS["same-reshape-first"].architecture)


def three_digits(head):
    return build(question_architecture(head=head, input_shape=(28, 84, 1), n_prediction=3))


NOISE = np.random.RandomState(0).rand(4, 28, 84, 1).astype("float32")


def test_head_reshape_softmax_gives_each_digit_its_own_distribution():
    rows = np.asarray(three_digits("reshape-softmax")(NOISE)).sum(axis=-1)
    np.testing.assert_allclose(rows, np.ones((4, 3)), rtol=1e-5)


def test_head_of_the_question_shares_one_distribution_among_all_digits():
    """The known exception: one softmax over all units, so the rows of a string sum to 1 together."""
    rows = np.asarray(three_digits("softmax-reshape")(NOISE)).sum(axis=-1)
    np.testing.assert_allclose(rows.sum(axis=-1), np.ones(4), rtol=1e-5)
    assert (rows < 0.9).all()


def test_head_logits_is_not_a_distribution():
    rows = np.asarray(three_digits("logits")(NOISE)).sum(axis=-1)
    assert np.abs(rows - 1).max() > 1e-3


@pytest.mark.parametrize(
    ("function", "parameters"), [(create_DeepCAPCHA, 342_458), (working_DeepCAPCHA, 80_314)]
)
def test_the_questions_functions_compile_and_show_their_summary(function, parameters, capsys):
    model = function()
    assert model.count_params() == parameters
    assert (model.input_shape, model.output_shape) == ((None, 28, 28, 1), (None, 1, 10))
    assert model.compiled
    assert model.loss == "categorical_crossentropy"
    assert "conv3" in capsys.readouterr().out


def test_the_questions_functions_take_its_arguments(capsys):
    model = create_DeepCAPCHA(
        input_shape=(28, 56, 1), n_prediction=2, n_class=11, optimizer="sgd", show_summary=False
    )
    assert model.output_shape == (None, 2, 11)
    assert type(model.optimizer).__name__ == "SGD"
    assert capsys.readouterr().out == ""


def test_the_rows_do_not_depend_on_the_batch():
    architecture = replace(VARIANTS["valid"].architecture, n_prediction=2)
    assert np.asarray(build(architecture)(np.zeros((3, 28, 28, 1), "float32"))).shape == (3, 2, 10)
