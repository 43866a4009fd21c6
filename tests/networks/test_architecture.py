"""The arithmetic of shapes and sizes, without TensorFlow."""

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcaptcha.errors import InputError
from deepcaptcha.networks.architecture import Architecture, ConvBlock
from deepcaptcha.networks.variants import VARIANTS
from tests.helpers import BY_HAND, architectures


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_agrees_with_the_hand_calculation(name):
    architecture = VARIANTS[name].architecture
    assert (architecture.features_shape, architecture.parameters) == BY_HAND[name]


def test_every_variant_of_question_and_answer_is_there():
    assert set(VARIANTS) == set(BY_HAND)
    assert {v.name for v in VARIANTS.values() if v.remark} == {
        "stride2-third",
        "last20",
        "two-by-two",
    }


def test_rows_write_their_arithmetic_out():
    rows = {row.name: row for row in VARIANTS["same"].architecture.rows}
    assert rows["conv1"].arithmetic == "3*3*1*32 + 32 = 320"
    assert rows["conv1"].output_shape == (28, 28, 32)
    assert rows["dense1"].arithmetic == "576*512 + 512 = 295424"
    assert rows["pool3"].arithmetic == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks": (ConvBlock(4, kernel=30, padding="valid"),)}, "conv1: a 30 x 30 kernel"),
        (
            {"blocks": (ConvBlock(4, pool=29),)},
            "pool1: a 29 x 29 pool does not fit into its 28 x 28",
        ),
        ({"blocks": (ConvBlock(4),) * 5}, "pool5: a 2 x 2 pool does not fit into its 1 x 1"),
        ({"blocks": (ConvBlock(0),)}, "conv1: filters is 0"),
        ({"blocks": (ConvBlock(4, stride=-1),)}, "conv1: stride is -1"),
        ({"blocks": (ConvBlock(4, padding="full"),)}, "conv1: unknown padding 'full'"),
        ({"blocks": (32,)}, "conv1: 32 is no ConvBlock"),
        ({"dense": 512}, "dense is 512; a tuple is needed"),
        ({"input_shape": None}, "input_shape is None; a tuple is needed"),
        ({"dense": (512, 0)}, "dense2: units is 0"),
        ({"dense": (2.5,)}, "dense1: units is 2.5"),
        ({"head": "sigmoid"}, "head: unknown kind 'sigmoid'"),
        ({"n_class": 1}, "head: n_class is 1; a whole number >= 2"),
        ({"n_prediction": True}, "head: n_prediction is True"),
        ({"input_shape": (28, 28)}, "input: shape (28, 28) has 2 axes"),
        ({"input_shape": (28, 0, 1)}, "input: width is 0"),
    ],
)
def test_an_impossible_architecture_names_layer_and_numbers(change, words):
    with pytest.raises(InputError) as error:
        replace(VARIANTS["same"].architecture, **change)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@given(architectures())
def test_an_architecture_comes_back_from_its_arguments(architecture):
    assert Architecture.from_arguments(**architecture.arguments) == architecture


def test_arguments_are_the_fields_across_the_blocks():
    arguments = VARIANTS["extra-conv"].architecture.arguments
    assert arguments == {
        "filters": (32, 48, 64),
        "kernels": (3, 3, 3),
        "strides": (1, 1, 1),
        "paddings": ("same", "same", "same"),
        "pools": (2, 2, 2),
        "extra": (ConvBlock(64),),
        "dense": (512,),
        "head": "softmax-reshape",
        "input_shape": (28, 28, 1),
        "n_prediction": 1,
        "n_class": 10,
    }


def sides(length, kernel, stride, padding):
    """Output length by walking the window over the input, counting where it may stand."""
    if padding == "valid":
        return sum(1 for start in range(0, length, stride) if start + kernel <= length)
    return sum(1 for _ in range(0, length, stride))


@given(architectures())
def test_shapes_agree_with_a_walking_window(architecture):
    height, width, _ = architecture.input_shape
    rows = {row.name: row.output_shape for row in architecture.rows}
    for number, block in enumerate(architecture.blocks, start=1):
        height = sides(height, block.kernel, block.stride, block.padding)
        width = sides(width, block.kernel, block.stride, block.padding)
        assert rows[f"conv{number}"] == (height, width, block.filters)
        height = sides(height, block.pool, block.pool, "valid")
        width = sides(width, block.pool, block.pool, "valid")
    assert architecture.features_shape[:2] == (height, width)


@given(architectures())
def test_the_head_does_not_change_the_count(architecture):
    counts = {
        replace(architecture, head=head).parameters
        for head in ("softmax-reshape", "reshape-softmax", "logits")
    }
    assert len(counts) == 1


@given(architectures(), st.integers(1, 50))
def test_one_more_class_costs_one_column_a_prediction(architecture, more):
    wider = replace(architecture, n_class=architecture.n_class + more)
    last = architecture.dense[-1] if architecture.dense else prod(architecture.features_shape)
    grown = wider.parameters - architecture.parameters
    assert grown == more * architecture.n_prediction * (last + 1)


@given(architectures(), st.integers(1, 20))
def test_a_wider_input_channel_costs_only_the_first_kernel(architecture, more):
    height, width, channels = architecture.input_shape
    if not architecture.blocks:
        return
    wider = replace(architecture, input_shape=(height, width, channels + more))
    first = architecture.blocks[0]
    assert wider.parameters - architecture.parameters == first.kernel**2 * more * first.filters


@given(architectures())
def test_every_count_is_the_value_of_its_own_text(architecture):
    for row in architecture.rows:
        if row.arithmetic:
            left, right = row.arithmetic.split(" = ")
            assert eval(left) == int(right) == row.parameters
        else:
            assert row.parameters == 0
