"""Findings on data alone; every expected number is counted by hand."""

import numpy as np
import pytest

from deepcaptcha.diagnosis.data import class_numbers, data_findings, nearest

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((200, 3)).astype("float32")
LABELS = (X[:, 0] > 0).astype("int64")


def found(x=X, y=LABELS, classes=2, looked_up=False, held=None, **more):
    """Of one input and one target; `held` are their validation arrays."""
    validation = None if held is None else ([held[0]], [held[1]])
    findings = data_findings(
        [x], [y], classes=classes, looked_up=[looked_up], validation=validation, **more
    )
    return {finding.code: finding for finding in findings}


def copied(held, x=X):
    """The finding on a validation set of these inputs, with targets that tell nothing."""
    return found(x, np.zeros((len(x), 2)), None, held=(held, np.zeros((len(held), 2)))).get("leak")


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
    pixels = found(x.astype("uint8"), np.arange(200) % 2)
    assert pixels["scale"].value == pytest.approx(100.005)
    assert found(x.astype("int32"), np.arange(200) % 2, looked_up=True) == {}  # word numbers


def test_an_input_that_is_constant_is_an_endless_offset_and_alone_no_data_at_all():
    y, draw = np.arange(20) % 2, np.random.default_rng(0).standard_normal((20, 2))
    constant = np.ones((20, 2), "float32")
    both = data_findings(
        [constant, draw], [y], classes=2, looked_up=[False, False], validation=None
    )
    assert [(f.code, f.value) for f in both] == [("offset", np.inf)]
    only = found(constant, y)
    assert [(f.code, f.severity) for f in only.values()] == [("same inputs", "error")]
    assert only["same inputs"].sentence == "all 20 examples have the same inputs"


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
    ("copies", "severity"),
    [(1, "warning"), (6, "warning"), (7, "error"), (200, "warning"), (0, None)],
)
def test_copies_of_training_examples_are_a_leak(copies, severity):
    held = np.random.default_rng(2).standard_normal((200, 3)).astype("float32")
    held[:copies] = X[:copies] if copies == len(X) else X[10 : 10 + copies]
    leak = copied(held)
    assert (leak and leak.severity) == severity
    if leak:
        assert leak.value == copies / 200


def test_data_that_repeat_themselves_anyway_are_no_leak():
    x = np.tile(X[:50], (4, 1))
    assert copied(X[:50], x) is None


def test_tables_of_few_values_are_no_leak():
    """400 and 100 rows of 9 or 17 fair coins, 60 draws of each: nothing is copied."""
    errors = 0
    for columns in (9, 17):
        for seed in range(60):
            rows = np.random.default_rng(seed).integers(2, size=(500, columns)).astype("float32")
            leak = copied(rows[400:], rows[:400])
            errors += leak is not None and leak.severity == "error"
    assert errors == 0


def test_copies_among_rows_that_repeat_themselves_are_found():
    """Of 400 training rows of 17 coins few repeat another (400 / 2**17 = 0.3 %); 50 copies of 100 do."""
    rows = np.random.default_rng(0).integers(2, size=(450, 17)).astype("float32")
    held = np.concatenate([rows[400:], rows[:50]])
    assert copied(held, rows[:400]).severity == "error"


def test_copies_of_another_dtype_and_of_words_are_copies():
    assert copied(X.astype("float64")).value == 1
    words = np.array([f"word {i}" for i in range(200)])[:, None]
    assert copied(words.astype(object), words).value == 1


def test_a_copy_is_one_of_inputs_and_targets():
    """Two of a kind may look alike: only with the same target is it the same example."""
    numbers = X @ [1.0, 2.0, -1.0]
    assert found(y=numbers, classes=None, held=(X, numbers))["leak"].value == 1
    assert "leak" not in found(y=numbers, classes=None, held=(X, numbers + 1))


def held_back(x, y):
    return found(held=(x, y)).get("validation differs")


def test_validation_inputs_prepared_otherwise_are_told_by_their_mean_or_deviation():
    """Mean 0 and deviation 1 in training: 3.5 is so many deviations away; times 255 is 255 as wide."""
    fresh = np.random.default_rng(5).standard_normal((200, 3)).astype("float32")
    y = (fresh[:, 0] > 0).astype("int64")
    assert held_back(fresh, y) is None
    assert held_back(fresh + 2, y) is None
    moved, wide = held_back(fresh + 3.5, y), held_back(255 * fresh, y)
    assert (moved.severity, moved.component) == ("error", "data")
    assert moved.value == pytest.approx(3.5, abs=0.2)
    assert wide.value == pytest.approx(255, rel=0.1)
    words = found(looked_up=True, held=(fresh + 3.5, y))
    assert "validation differs" not in words


def test_classes_that_only_validation_has_and_shares_that_differ():
    """Training has half of each of 0 and 1."""
    fresh = np.random.default_rng(5).standard_normal((200, 3)).astype("float32")
    absent, few = (
        found(classes=3, held=(fresh, np.repeat([0, 1, 2], [200 - n - 100, 100, n])))
        for n in (10, 9)
    )
    # 10 of 200 are the 5 % from which it is an error, 9 are 4.5 %.
    assert (absent["validation differs"].severity, absent["validation differs"].value) == (
        "error",
        0.05,
    )
    assert "validation differs" not in few
    # 84 % against about half: about a third of the examples are of another class than in training.
    unlike = found(held=(fresh, np.repeat([0, 1], [168, 32])))["validation differs"]
    assert unlike.severity == "warning"
    assert unlike.value == pytest.approx(abs(0.84 - (LABELS == 0).mean()))


def test_rows_class_after_class_are_told_where_fit_will_split_them():
    order = np.argsort(LABELS, kind="stable")
    told = found(X[order], LABELS[order])["validation differs"]
    assert (told.severity, told.value) == ("warning", 1)  # two classes, one change
    assert "class after class" in told.sentence
    assert found(X[order], LABELS[order], held=(X[order] + 0.1, LABELS[order])) == {}


def test_weights_of_zero_are_told():
    """Half of the examples are of class 1."""
    assert found(weights=[np.ones(200)]) == {}
    none = found(weights=[np.zeros(200)])["weights"]
    assert (none.severity, none.value) == ("error", 1)
    one = found(weights=[(LABELS == 0) * 1.0])["weights"]
    assert (one.severity, one.value) == ("error", (LABELS == 1).mean())
    y = np.where(X[:, 1] > 1, 2, LABELS)
    two = found(y=y, classes=3, weights=[(y != 2) * 1.0])["weights"]
    assert (two.severity, two.value) == ("warning", (y == 2).mean())
    assert found(weights=[np.full(200, np.nan)])["not finite"].value == 200


def test_neighbours_are_drawn_and_not_the_first_rows():
    """The first 500 rows are of one class, of which nothing can be told."""
    draw = np.random.default_rng(6)
    x = draw.standard_normal((1500, 3)).astype("float32")
    y = np.concatenate([np.zeros(500, int), draw.integers(2, size=1000)])
    assert "unrelated labels" in found(x, y)


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
