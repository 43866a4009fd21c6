"""Copies among examples: counted, and more of them than chance brings."""

import math

import numpy as np
import pytest

from deepcaptcha.trials.copies import Copies, count_copies, read_copies


def test_copies_are_counted_by_hand():
    # The third row is the first, the last two are the second; of the validation one row is among them.
    train = np.array([[1, 2], [3, 4], [1, 2], [3, 4], [3, 4]], "float32")
    validation = np.array([[1, 2], [2, 1], [0, 0]], "float32")
    assert count_copies([train], [validation]) == Copies(3, 5, 1, 3)


@pytest.mark.parametrize(
    ("train", "validation", "copied"),
    [
        (np.float32([0.5, 2]), np.float64([0.5, 3]), 1),  # one number in two types
        (np.array([True, True]), np.array([False, True]), 1),
        (np.array([0, 1]), np.array([0.3, 0.9, 1.0]), 1),  # no number is cut to fit
        (np.uint8([0, 1]), np.array([256, 257]), 0),
        (np.float16([1.0]), np.float32([1.0001]), 0),
        (np.array([1]), np.array([np.nan]), 0),
        (np.array([1.0]), np.array(["1.0"]), 0),
        (np.array(["a", "b"]), np.array(["b", "bb"]), 1),
        (np.array([["a"], [None]], object), np.array([["b"], [None]], object), 1),
        (np.zeros((2, 0)), np.zeros((2, 0)), 2),
        (np.arange(8).reshape(2, 4)[:, ::2], np.array([[4, 6], [0, 1]]), 1),  # of a view
        (np.array([0.0]), np.array([1.0]), 0),
    ],
)
def test_examples_of_any_kind_have_copies(train, validation, copied):
    found = count_copies([train], [validation])
    assert (found.leaked, found.n_validation) == (copied, len(validation))


def test_of_several_inputs_all_must_agree():
    a, b = np.array([1, 2, 1]), np.array([[5], [6], [7]])
    assert count_copies([a, b], [a[:2], b[1:]]) == Copies(0, 3, 0, 2)
    assert count_copies([a, b], [a[:2], b[:2]]) == Copies(0, 3, 2, 2)


def test_what_is_written_is_read_again():
    made = Copies(0, 6400, 12, 2000)
    assert made.text == "0 of 6400 in training, 12 of 2000 in validation"
    assert read_copies(made.text) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "0 of 1 in training",
        "3 of 2 in training, 0 of 1 in validation",
        "0 of 0 in training, 0 of 0 in validation",
    ],
)
def test_other_words_are_no_copies(text):
    assert read_copies(text) is None


def test_a_leak_is_told_from_the_count_that_chance_seldom_brings():
    def p(count):
        """By enumeration: all `count` copies among 4,000 examples fell into the new half."""
        return math.comb(4000 - count, 2000 - count) / math.comb(4000, 2000)

    assert p(13) > 1e-4 > p(14)
    none = Copies(0, 6400, 0, 2000)
    assert Copies(0, 6400, 13, 2000).more_than(none) == ""
    assert Copies(0, 6400, 14, 2000).more_than(none) == (
        "14 of 2000 validation examples are copies of training examples, recorded 0 of 2000"
    )
    assert none.more_than(Copies(0, 6400, 14, 2000)) == ""  # fewer are no harm


def test_repeated_training_examples_are_told_and_what_always_repeats_is_not():
    words = Copies(3200, 6400, 0, 2000).more_than(Copies(0, 6400, 0, 2000))
    assert words == "3200 of 6400 training examples are copies of others, recorded 0 of 6400"
    # A table of few distinct rows, twice as long.
    assert Copies(1990, 2000, 500, 500).more_than(Copies(990, 1000, 250, 250)) == ""


def test_more_honest_examples_repeat_one_another_more_often():
    """Of 2,000 equally frequent values n draws hold 2,000 (1 - (1 - 1 / 2,000) ** n) in the mean."""

    def drawn(n):
        distinct = 2000 * (1 - (1 - 1 / 2000) ** n)
        return Copies(round(n - distinct), n, round(500 * distinct / 2000), 500)

    assert (drawn(1000), drawn(2000)) == (Copies(213, 1000, 197, 500), Copies(736, 2000, 316, 500))
    assert drawn(2000).more_than(drawn(1000)) == drawn(2400).more_than(drawn(2000)) == ""
    assert "480 of 500" in Copies(736, 2000, 480, 500).more_than(drawn(1000))
    assert "316 of 500" in drawn(2000).more_than(Copies(0, 1000, 0, 500))
