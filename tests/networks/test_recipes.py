"""Recipes, and the examples they make of the digits."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras.settings import Training
from deepcaptcha.networks.architecture import Architecture
from deepcaptcha.networks.digits import Digits, load_mnist
from deepcaptcha.networks.recipes import RECIPES, Recipe, find_recipe, load_examples
from deepcaptcha.networks.variants import VARIANTS, question_architecture
from deepcaptcha.trials.trial import Target
from tests.helpers import changed

RAW = RECIPES["raw-subset"]


def test_the_named_recipes_are_as_declared():
    figures = {
        name: (
            r.n_train,
            r.scaling,
            r.target.epochs,
            r.training.batch,
            r.target.value,
            r.validation_split,
        )
        for name, r in RECIPES.items()
    }
    assert figures == {
        "raw-subset": (6400, "raw", 5, 32, 0.9, None),
        "sound-subset": (6400, "unit", 3, 32, 0.9, None),
        "question": (60_000, "raw", 10, 32, 0.9, 0.1),
        "captcha": (40_000, "ink", 3, 32, 0.9, None),
        "captcha-white": (40_000, "unit", 3, 32, 0.9, None),
    }
    assert {r.training.optimizer for r in RECIPES.values()} == {"adam"}
    captcha = RECIPES["captcha"]
    assert (captcha.image_shape, captcha.n_prediction) == ((30, 80, 1), 4)
    assert replace(captcha, name="captcha-white", scaling="unit") == RECIPES["captcha-white"]


def test_examples_of_the_subset():
    raw, unit = load_examples(RAW), load_examples(RECIPES["sound-subset"])
    assert (raw.x_train.shape, raw.y_train.shape) == ((6400, 28, 28, 1), (6400, 1, 10))
    assert raw.x_validation.shape == (2000, 28, 28, 1)
    assert (raw.x_train.max(), unit.x_train.max()) == (255, 1)
    np.testing.assert_array_equal(raw.x_train / np.float32(255), unit.x_train)
    digits = load_mnist().train
    np.testing.assert_array_equal(raw.y_train[:, 0].argmax(1), digits.labels[:6400])
    assert (raw.y_train.sum(axis=-1) == 1).all()
    assert raw.sha256 != unit.sha256


@pytest.mark.parametrize("share", [0.1, 0.25, 0.37])
def test_validation_split_takes_what_keras_takes(share):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    recipe = replace(RAW, n_train=1001, validation_split=share)
    ours = load_examples(recipe)
    whole = load_examples(replace(RAW, n_train=1001))
    (x, _, _), (x_validation, _, _) = train_validation_split(
        (whole.x_train, whole.y_train, None), validation_split=share
    )
    np.testing.assert_array_equal(ours.x_train, np.asarray(x))
    np.testing.assert_array_equal(ours.x_validation, np.asarray(x_validation))


def test_strips_have_a_row_of_labels_a_digit():
    examples = load_examples(replace(RAW, n_prediction=3, n_train=100, n_validation=50))
    assert (examples.x_train.shape, examples.y_train.shape) == ((100, 28, 84, 1), (100, 3, 10))
    assert examples.x_validation.shape == (50, 28, 84, 1)


def test_the_question_wants_more_digits_than_the_subset_has():
    with pytest.raises(InputError, match=r"question wants 60000 training digits .* has 12000"):
        load_examples(replace(RECIPES["question"], data="subset"))


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="train data: 0 inputs"):
        load_examples(replace(RAW, n_train=1, validation_split=0.5))


def test_labels_out_of_range_are_refused():
    with pytest.raises(InputError, match="label 9 is out of range for n_class 8"):
        load_examples(replace(RAW, n_class=8))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(replace, RAW, n_train=0), "recipe raw-subset: n_train is 0"),
        (partial(replace, RAW, scaling="half"), "scaling is 'half'; 'raw', 'unit' or 'ink'"),
        (partial(replace, RAW, validation_split=1.0), "validation_split is 1.0; between 0 and 1"),
        (partial(Target, epochs=2.5), "epochs is 2.5"),
        (partial(Target, mode="best"), "mode is 'best'"),
        (partial(Target, 1.2), "target is 1.2; an accuracy lies above 0 and at most at 1"),
        (partial(Target, float("nan")), "target is nan; a finite number"),
        (partial(Target, np.float32(0.5)), "; a finite number is needed"),
        (partial(Target, chance=float("inf")), "chance is inf; a finite number"),
        (partial(Training, batch=0), "batch is 0"),
        (partial(Training, steps_per_execution=2.0), "steps_per_execution is 2.0"),
        (
            partial(Training, optimizer_settings={"learning_rate": np.float32(0.5)}),
            "a training cannot be recorded as JSON",
        ),
        (
            partial(Training, optimizer_settings={"learning_rate": float("inf")}),
            "a training cannot be recorded as JSON",
        ),
    ],
)
def test_an_impossible_recipe_is_refused(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


def test_an_unknown_recipe_lists_the_known():
    with pytest.raises(InputError, match="unknown recipe 'raw'; known: raw-subset, sound-subset"):
        find_recipe("raw")


def test_a_recipe_travels():
    recipe = changed(RAW, optimizer="sgd", optimizer_settings={"learning_rate": 0.1})
    assert recipe.training == Training("sgd", {"learning_rate": 0.1})
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert hash(pickle.loads(pickle.dumps(recipe))) == hash(recipe)
    with pytest.raises(TypeError):
        recipe.training.optimizer_settings["learning_rate"] = 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_record(name):
    assert Recipe.from_dict(RECIPES[name].as_dict()) == RECIPES[name]


def test_a_recipe_hands_out_sources_of_networks():
    """Of a variant's name, a variant, or an architecture, fitted to its images."""
    captcha = RECIPES["captcha"]
    by_name, by_variant, own = (
        captcha.source(network)
        for network in ("pool4", VARIANTS["pool4"], question_architecture(dense=(7,)))
    )
    assert (by_name.name, by_variant.name, own.name) == ("pool4", "pool4", "network")
    assert captcha.source(question_architecture(), name="mine").name == "mine"
    assert by_name.arguments == by_variant.arguments
    fitted = Architecture.from_arguments(**own.arguments)
    assert fitted == captcha.fit(question_architecture(dense=(7,)))
    assert (by_name.recipe, by_name.target, by_name.training, by_name.reuse_model) == (
        "captcha",
        captcha.target,
        captcha.training,
        True,
    )
    assert {"name": "captcha", **by_name.recorded} == captcha.as_dict()
    np.testing.assert_array_equal(RAW.source("same").examples.x_train, load_examples(RAW).x_train)


def test_an_unknown_network_lists_the_known():
    with pytest.raises(InputError, match="unknown variant 'sam'; known: same, valid, extra-conv"):
        RAW.source("sam")


def test_digits_unpack():
    images, labels = Digits(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8))
    assert len(images) == len(labels)
