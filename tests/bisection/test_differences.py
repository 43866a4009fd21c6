"""Two sources: how they differ, what lies between, and what cannot be compared."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha import RECIPES, VARIANTS, Architecture, InputError
from deepcaptcha.bisection.differences import find_differences, mix
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.networks.recipes import load_digits

RAW, SOUND = RECIPES["raw-subset"], RECIPES["sound-subset"]


def network(units=8, head="softmax", n_class=10):
    raise AssertionError("nothing here builds a model")


def source(name="a", recipe=RAW, build=network, **arguments):
    return KerasSource(
        build,
        load_digits,
        recipe.target,
        recipe.training,
        name,
        recipe.name,
        {"units": 8, "head": "softmax", **arguments},
        recipe.facts,
    )


def recorded(mixed):
    return {"name": mixed.recipe, **mixed.recorded}


def names_of(differences):
    return [difference.name for difference in differences]


def test_arguments_and_recipe_fields_that_differ_are_named_with_their_values():
    a, b = source(), source("b", SOUND, units=16)
    assert names_of(find_differences(a, b)) == ["units", "scaling", "epochs"]
    assert [d.text for d in find_differences(a, b)] == [
        "units 8 -> 16",
        "scaling 'raw' -> 'unit'",
        "epochs 5 -> 3",
    ]
    assert find_differences(a, b)[0].reversed().text == "units 16 -> 8"


def test_arguments_may_hold_arrays():
    a, b = (
        source(name, units={"first": np.arange(3), "rest": [np.full(2, fill)]})
        for name, fill in (("a", 1), ("b", 2))
    )
    assert names_of(find_differences(a, b)) == ["units"]
    with pytest.raises(InputError, match="do not differ"):
        find_differences(a, source("c", units=dict(a.arguments["units"])))


def test_what_belongs_together_moves_together():
    training = Training("sgd", {"momentum": 0.9})
    other = replace(RAW, training=training, scaling="unit")
    a, b = source(), source("b", other, units=16, head="logits")
    assert names_of(find_differences(a, b)) == [
        "units",
        "head",
        "scaling",
        "optimizer+optimizer_settings",
    ]
    assert names_of(find_differences(a, b, [["head", "loss"]]))[1] == "head"  # loss is the same
    joined = find_differences(a, b, [["units", "head"], ["optimizer", "head"]])
    assert [set(d.values) for d in joined] == [
        {"units", "head", "optimizer", "optimizer_settings"},
        {"scaling"},
    ]


def test_an_argument_and_a_recipe_field_of_one_name_are_one_difference():
    a, b = source(n_class=10), source("b", replace(RAW, n_class=12), n_class=12)
    (difference,) = find_differences(a, b)
    assert difference.text == "n_class 10 -> 12"
    mixed = mix(a, b, [difference], "mixed")
    assert (mixed.arguments["n_class"], mixed.facts["n_class"]) == (12, 12)


def test_an_argument_and_a_recipe_field_of_one_name_have_one_value():
    a, b = source(n_class=10), source("b", n_class=12)
    with pytest.raises(InputError, match=r"b: n_class is 10 and the argument of that name 12"):
        find_differences(a, b)


def test_arrays_are_compared_by_value():
    a, b = (source(name, units=np.zeros(2)) for name in "ab")
    with pytest.raises(InputError, match="do not differ"):
        find_differences(a, b)
    assert names_of(find_differences(a, source("c", units=np.zeros(3)))) == ["units"]
    several, same = (source(name, units=[np.zeros(2), np.ones(2)]) for name in "de")
    with pytest.raises(InputError, match="do not differ"):
        find_differences(several, same)
    assert names_of(find_differences(several, a)) == ["units"]


def test_a_mixture_has_what_was_taken_and_a_recipe_keeps_its_name_while_it_is_the_same():
    a, b = source(), source("b", SOUND, units=16)
    units, scaling, epochs = find_differences(a, b)
    assert recorded(mix(a, b, [units], "x")) == RAW.as_dict()
    assert dict(mix(a, b, [units], "x").arguments) == {"units": 16, "head": "softmax"}
    assert recorded(mix(a, b, [scaling, epochs], "x")) == SOUND.as_dict()
    renamed = replace(RAW, name="raw-subset + scaling", scaling="unit")
    assert recorded(mix(a, b, [scaling], "x")) == renamed.as_dict()
    assert dict(mix(a, b, [scaling], "x").arguments) == dict(a.arguments)


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (source("b"), "a and b do not differ"),
        (source("b", replace(RAW, name="renamed")), "do not differ"),
        (source("b", n_class=3), "the same argument names; not in both: n_class"),
        (source("b", build=lambda units, head: None), "a and b have different factories"),
    ],
)
def test_what_cannot_be_bisected_is_refused(b, words):
    with pytest.raises(InputError, match=words):
        find_differences(source(), b)


def test_a_group_with_an_unknown_name_is_refused():
    with pytest.raises(InputError, match=r"nothing is named 'haed'; known: units, head, data"):
        find_differences(source(), source("b", units=3), [["haed", "units"]])


def test_arguments_that_the_factory_does_not_take_are_refused():
    with pytest.raises(InputError, match=r"a: the factory does not take its arguments: .*layers"):
        source(layers=3)
    with pytest.raises(InputError, match="the factory is 3; a callable"):
        source(build=3)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_the_command_lines_arguments_give_the_very_architecture(variant):
    arguments = variant.architecture.arguments
    assert Architecture.from_arguments(**arguments) == variant.architecture
    assert pickle.loads(pickle.dumps(RAW.source(variant))).factory.keywords == arguments


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("valid", "paddings ('same', 'same', 'same') -> ('valid', 'valid', 'valid')"),
        ("pool4", "pools (2, 2, 2) -> (2, 2, 4)"),
        ("stride2-first", "strides (1, 1, 1) -> (2, 1, 1)"),
        ("last20", "filters (32, 48, 64) -> (32, 48, 20)"),
        ("dense64", "dense (512,) -> (64,)"),
        ("same-logits", "head 'softmax-reshape' -> 'logits'"),
    ],
)
def test_each_repair_of_the_question_is_one_difference(variant, expected):
    a, b = RAW.source("same"), RAW.source(variant)
    assert [difference.text for difference in find_differences(a, b)] == [expected]
