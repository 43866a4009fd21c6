"""Two configurations: how they differ, what lies between, and what cannot be compared."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha import RECIPES, VARIANTS, Configuration, InputError
from deepcaptcha.bisection.configuration import find_differences, mix
from deepcaptcha.cli.bisect import architecture_from, arguments_of, build_network

RAW, SOUND = RECIPES["raw-subset"], RECIPES["sound-subset"]


def network(units=8, head="softmax", n_class=10):
    raise AssertionError("nothing here builds a model")


def configuration(name="a", recipe=RAW, build=network, **arguments):
    return Configuration(build, {"units": 8, "head": "softmax", **arguments}, recipe, name)


def names_of(differences):
    return [difference.name for difference in differences]


def test_arguments_and_recipe_fields_that_differ_are_named_with_their_values():
    a, b = configuration(), configuration("b", SOUND, units=16)
    assert names_of(find_differences(a, b)) == ["units", "scaling", "epochs"]
    assert [d.text for d in find_differences(a, b)] == [
        "units 8 -> 16",
        "scaling 'raw' -> 'unit'",
        "epochs 5 -> 3",
    ]
    assert find_differences(a, b)[0].reversed().text == "units 16 -> 8"


def test_arguments_may_hold_arrays():
    a, b = (
        configuration(name, units={"first": np.arange(3), "rest": [np.full(2, fill)]})
        for name, fill in (("a", 1), ("b", 2))
    )
    assert names_of(find_differences(a, b)) == ["units"]
    with pytest.raises(InputError, match="do not differ"):
        find_differences(a, configuration("c", units=dict(a.arguments["units"])))


def test_what_belongs_together_moves_together():
    other = replace(RAW, optimizer="sgd", optimizer_settings={"momentum": 0.9}, scaling="unit")
    a, b = configuration(), configuration("b", other, units=16, head="logits")
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
    a, b = configuration(n_class=10), configuration("b", replace(RAW, n_class=12), n_class=12)
    (difference,) = find_differences(a, b)
    assert difference.text == "n_class 10 -> 12"
    mixed = mix(a, b, [difference], "mixed")
    assert (mixed.arguments["n_class"], mixed.recipe.n_class) == (12, 12)


def test_arrays_are_compared_by_value():
    a, b = (configuration(name, units=np.zeros(2)) for name in "ab")
    with pytest.raises(InputError, match="do not differ"):
        find_differences(a, b)
    assert names_of(find_differences(a, configuration("c", units=np.zeros(3)))) == ["units"]
    several, same = (configuration(name, units=[np.zeros(2), np.ones(2)]) for name in "de")
    with pytest.raises(InputError, match="do not differ"):
        find_differences(several, same)
    assert names_of(find_differences(several, a)) == ["units"]


def test_a_mixture_has_what_was_taken_and_a_recipe_keeps_its_name_while_it_is_the_same():
    a, b = configuration(), configuration("b", SOUND, units=16)
    units, scaling, epochs = find_differences(a, b)
    assert mix(a, b, [units], "x").recipe == RAW
    assert dict(mix(a, b, [units], "x").arguments) == {"units": 16, "head": "softmax"}
    assert mix(a, b, [scaling, epochs], "x").recipe == SOUND
    assert mix(a, b, [scaling], "x").recipe == replace(
        RAW, name="raw-subset + scaling", scaling="unit"
    )
    assert dict(mix(a, b, [scaling], "x").arguments) == dict(a.arguments)


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (configuration("b"), "a and b do not differ"),
        (configuration("b", replace(RAW, name="renamed")), "do not differ"),
        (configuration("b", n_class=3), "the same argument names; not in both: n_class"),
        (configuration("b", build=lambda units, head: None), "a and b have different factories"),
    ],
)
def test_what_cannot_be_bisected_is_refused(b, words):
    with pytest.raises(InputError, match=words):
        find_differences(configuration(), b)


def test_a_group_with_an_unknown_name_is_refused():
    with pytest.raises(InputError, match=r"nothing is named 'haed'; known: units, head, data"):
        find_differences(configuration(), configuration("b", units=3), [["haed", "units"]])


def test_arguments_that_the_factory_does_not_take_are_refused():
    with pytest.raises(InputError, match=r"a: the factory does not take its arguments: .*layers"):
        configuration(layers=3)
    with pytest.raises(InputError, match="the factory is 3; a callable"):
        configuration(build=3)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_the_command_lines_arguments_give_the_very_architecture(variant):
    arguments = arguments_of(variant.architecture)
    assert architecture_from(**arguments) == variant.architecture
    configuration = Configuration(build_network, arguments, RAW, variant.name)
    assert pickle.loads(pickle.dumps(configuration.factory)).keywords == arguments


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
    a, b = (
        Configuration(build_network, arguments_of(VARIANTS[name].architecture), RAW, name)
        for name in ("same", variant)
    )
    assert [difference.text for difference in find_differences(a, b)] == [expected]
