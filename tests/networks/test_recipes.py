"""Recipes, and the examples they make of the digits."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcaptcha import RECIPES, InputError, load_mnist
from deepcaptcha.networks.digits import Digits
from deepcaptcha.networks.recipes import find_recipe, load_examples

RAW = RECIPES["raw-subset"]


def test_the_named_recipes_are_as_declared():
    figures = {
        name: (r.n_train, r.scaling, r.epochs, r.batch, r.target, r.validation_split)
        for name, r in RECIPES.items()
    }
    assert figures == {
        "raw-subset": (6400, "raw", 5, 32, 0.9, None),
        "sound-subset": (6400, "unit", 3, 32, 0.9, None),
        "question": (60_000, "raw", 10, 32, 0.9, 0.1),
        "captcha": (40_000, "ink", 3, 32, 0.9, None),
        "captcha-white": (40_000, "unit", 3, 32, 0.9, None),
    }
    assert {r.optimizer for r in RECIPES.values()} == {"adam"}
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
    ("change", "words"),
    [
        ({"n_train": 0}, "recipe raw-subset: n_train is 0"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"scaling": "half"}, "scaling is 'half'; 'raw', 'unit' or 'ink'"),
        ({"mode": "best"}, "mode is 'best'"),
        ({"validation_split": 1.0}, "validation_split is 1.0; between 0 and 1"),
        ({"target": 1.2}, "target is 1.2; an accuracy lies above 0 and at most at 1"),
        ({"target": float("nan")}, "target is nan; a finite number"),
        ({"target": np.float32(0.5)}, "it cannot be recorded as JSON"),
        ({"chance": float("inf")}, "it cannot be recorded as JSON"),
    ],
)
def test_an_impossible_recipe_is_refused(change, words):
    with pytest.raises(InputError) as error:
        replace(RAW, **change)
    assert words in str(error.value)


def test_an_unknown_recipe_lists_the_known():
    with pytest.raises(InputError, match="unknown recipe 'raw'; known: raw-subset, sound-subset"):
        find_recipe("raw")


def test_a_recipe_travels():
    recipe = replace(RAW, optimizer="sgd", optimizer_settings={"learning_rate": 0.1})
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@given(st.floats(0, 1), st.floats(0.01, 1))
def test_meeting_a_target_has_a_direction(value, target):
    assert replace(RAW, target=target).meets_target(value) == (value >= target)
    least = replace(RAW, target=target, monitor="val_loss", mode="min")
    assert least.meets_target(value) == (value <= target)
    assert not least.meets_target(float("nan"))


def test_digits_unpack():
    images, labels = Digits(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8))
    assert len(images) == len(labels)
