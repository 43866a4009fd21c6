"""Findings on data alone; every expected number is counted by hand."""

import numpy as np
import pytest

from deepcaptcha.diagnosis.data import class_numbers, data_findings, nearest

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((200, 3)).astype("float32")
LABELS = (X[:, 0] > 0).astype("int64")


def found(x=X, y=LABELS, classes=2, prepared_inside=False, x_validation=None, **more):
    validation = None if x_validation is None else [x_validation]
    findings = data_findings(
        [x], [y], classes=classes, prepared_inside=prepared_inside, x_validation=validation, **more
    )
    return {finding.code: finding for finding in findings}


def test_ordinary_data_have_no_finding():
    assert found() == {}


@pytest.mark.parametrize(("value", "place"), [(np.nan, "x"), (np.inf, "x"), (np.nan, "y")])
def test_examples_that_are_not_finite_are_counted(value, place):
    x, y = X.copy(), LABELS.astype("float32")
    if place == "x":
        x[3:5, 1] = value
        x[3, 2] = value
    else:
        y[3:5] = value
    only = found(x, y)
    assert list(only) == ["not finite"]
    assert only["not finite"].value == 2
    assert ("inputs" if place == "x" else "targets") in only["not finite"].sentence


def test_offset_and_scale_are_in_the_inputs_own_units():
    # Half 99 and half 101: mean 100, deviation 1; root mean square sqrt(100**2 + 1) = 100.005.
    x = np.where(np.arange(200)[:, None] % 2, 99, 101).astype("float32")
    both = found(x, np.arange(200) % 2)
    assert both["offset"].value == pytest.approx(100)
    assert both["scale"].value == pytest.approx(100.005)
    assert all(finding.severity == "warning" for finding in both.values())
    assert found(x, np.arange(200) % 2, prepared_inside=True) == {}
    pixels = found(x.astype("uint8"), np.arange(200) % 2)
    assert pixels["scale"].value == pytest.approx(100.005)
    assert found(x.astype("int32"), np.arange(200) % 2, looked_up=True) == {}  # word numbers


def test_constant_inputs_are_an_endless_offset():
    assert found(np.ones((20, 2), "float32"), np.arange(20) % 2)["offset"].value == np.inf


def test_labels_out_of_range_and_one_sided_ones():
    labels = LABELS.copy()
    labels[:3] = [2, -1, 7]
    outside = found(y=labels)["labels"]
    assert (outside.severity, outside.value) == ("error", 3)
    assert "0..1, from -1 to 7" in outside.sentence
    mostly = np.zeros(200, "int64")
    mostly[:10] = 1
    assert found(y=mostly)["balance"].value == 0.95


def test_shuffled_labels_look_unrelated_and_numbers_too():
    shuffled = np.random.default_rng(1).permutation(LABELS)
    assert found(y=shuffled)["unrelated labels"].severity == "warning"
    numbers = (X @ [1.0, 2.0, -1.0]).astype("float32")
    assert found(y=numbers, classes=None) == {}
    assert "unrelated labels" in found(
        y=np.random.default_rng(1).permutation(numbers), classes=None
    )


# No training example repeats another, so that a rate of 1 in 201 is not remarkable. At this rate 200
# examples hold about Poisson(1) copies: 6 or more with probability 5.9e-4, 7 or more 8.3e-5.
@pytest.mark.parametrize(
    ("copies", "severity"), [(1, "warning"), (6, "warning"), (7, "error"), (0, None)]
)
def test_copies_of_training_examples_are_a_leak(copies, severity):
    held = np.random.default_rng(2).standard_normal((200, 3)).astype("float32")
    held[:copies] = X[10 : 10 + copies]
    leak = found(x_validation=held).get("leak")
    assert (leak and leak.severity) == severity
    if leak:
        assert leak.value == copies / 200


def test_data_that_repeat_themselves_anyway_are_no_leak():
    x = np.tile(X[:50], (4, 1))
    assert "leak" not in found(x, np.tile(LABELS[:50], 4), x_validation=X[:50])


def test_tables_of_few_values_are_no_leak():
    """400 and 100 rows of 9 or 17 fair coins, 60 draws of each: nothing is copied."""
    errors = 0
    for columns in (9, 17):
        for seed in range(60):
            rows = np.random.default_rng(seed).integers(2, size=(500, columns)).astype("float32")
            leak = found(rows[:400], rows[:400, :2], None, x_validation=rows[400:]).get("leak")
            errors += leak is not None and leak.severity == "error"
    assert errors == 0


def test_copies_among_rows_that_repeat_themselves_are_found():
    """Of 400 training rows of 17 coins few repeat another (400 / 2**17 = 0.3 %); 50 copies of 100 do."""
    rows = np.random.default_rng(0).integers(2, size=(450, 17)).astype("float32")
    held = np.concatenate([rows[400:], rows[:50]])
    assert found(rows[:400], rows[:400, :2], None, x_validation=held)["leak"].severity == "error"


def test_copies_of_another_dtype_and_of_words_are_copies():
    assert found(x_validation=X.astype("float64"))["leak"].value == 1
    words = np.array([f"word {i}" for i in range(200)])[:, None]
    assert (
        found(words, np.zeros((200, 2)), None, x_validation=words.astype(object))["leak"].value == 1
    )


def test_words_have_no_scale_and_no_neighbours():
    words = np.array([f"word {i}" for i in range(200)])[:, None]
    assert found(words, LABELS) == found(words.astype(object), LABELS) == {}


@pytest.mark.parametrize("count", [4, 6])
def test_so_few_examples_prove_nothing(count):
    """Of two classes half each, 6 examples agree by chance with probability 1 / 64 > 0.01; of numbers,
    4 are in order with 1 / 24."""
    x = np.random.default_rng(3).standard_normal((count, 3)).astype("float32")
    assert "unrelated labels" not in found(x, np.arange(count) % 2)
    if count == 4:
        assert "unrelated labels" not in found(x, x[:, 0], classes=None)


def test_a_label_as_large_as_a_telephone_number_is_told():
    labels = LABELS.copy()
    labels[0] = 10**13
    assert found(y=labels)["labels"].value == 1


def test_nearest_neighbours_are_those_of_scipy_also_far_from_zero_and_in_many_columns():
    from scipy.spatial.distance import cdist

    draw = np.random.default_rng(4)
    for x in (
        (1000 + draw.standard_normal((50, 3))).astype("float32"),
        draw.integers(0, 256, (50, 70, 70, 3), dtype=np.uint8),
    ):
        rows = x.reshape(50, -1).astype("float64")
        distances = cdist(rows, rows)
        np.fill_diagonal(distances, np.inf)
        assert nearest(x).tolist() == distances.argmin(axis=1).tolist()


def test_class_numbers_of_every_form():
    one_hot = np.eye(3, dtype="float32")[[2, 0, 1]]
    assert class_numbers(one_hot, 3).tolist() == [2, 0, 1]
    assert class_numbers(one_hot[:, None], 3).tolist() == [2, 0, 1]
    assert class_numbers(np.array([[2.0], [0.0]]), 3).tolist() == [2, 0]
    assert class_numbers(np.array([0.5, 1.0]), 3) is None
    assert class_numbers(np.full((2, 3), 1 / 3), 3) is None  # soft labels
