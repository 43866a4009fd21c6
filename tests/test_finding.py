"""Findings on data alone; every expected number is counted by hand."""

import json

import numpy as np
import pytest

from deepcaptcha.finding import Finding, class_numbers, data_findings

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((200, 3)).astype("float32")
LABELS = (X[:, 0] > 0).astype("int64")


def found(x=X, y=LABELS, classes=2, prepared_inside=False, x_validation=None):
    validation = None if x_validation is None else [x_validation]
    findings = data_findings(
        [x], [y], classes=classes, prepared_inside=prepared_inside, x_validation=validation
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
    assert found(x.astype("int32"), np.arange(200) % 2) == {}  # word numbers


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


@pytest.mark.parametrize(("copies", "severity"), [(1, "warning"), (4, "error"), (0, None)])
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


def test_class_numbers_of_every_form():
    one_hot = np.eye(3, dtype="float32")[[2, 0, 1]]
    assert class_numbers(one_hot, 3).tolist() == [2, 0, 1]
    assert class_numbers(one_hot[:, None], 3).tolist() == [2, 0, 1]
    assert class_numbers(np.array([[2.0], [0.0]]), 3).tolist() == [2, 0]
    assert class_numbers(np.array([0.5, 1.0]), 3) is None
    assert class_numbers(np.full((2, 3), 1 / 3), 3) is None  # soft labels


@pytest.mark.parametrize(("value", "written"), [(np.nan, "null"), (np.inf, "null"), (0.5, "0.5")])
def test_a_finding_is_written_as_json_that_others_read(value, written):
    finding = Finding("offset", "warning", float(value), "", "")
    assert f'"value": {written}' in json.dumps(finding.as_dict(), allow_nan=False)
