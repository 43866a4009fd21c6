"""The public reports are whole; that each broken version fails and each fixed one trains was seen when
they were written."""

import math
from contextlib import nullcontext
from typing import get_args

import numpy as np
import pytest

from deepcaptcha.finding import Component
from deepcaptcha.trials.trial import Target
from tests.reports.report import GROUPS, reports

SIDES = ("broken", "fixed")
REFUSED = {"class numbers from 1": "label value"}
"""What TensorFlow says on a CPU of broken versions that it does not train; a GPU trains them to NaN."""
REPORTS = [
    pytest.param(report, id=f"{group}: {report.name}")
    for group in GROUPS
    for report in reports(group)
]


def leaves(part):
    """The arrays of a nest of tuples and mappings."""
    if isinstance(part, dict):
        part = tuple(part.values())
    if isinstance(part, tuple | list):
        return [leaf for each in part for leaf in leaves(each)]
    return [part]


def test_there_are_the_thirteen_and_the_two_forms_of_one_of_them():
    assert len(reports("first")) == 14


def test_no_two_reports_have_one_name():
    names = [param.values[0].name for param in REPORTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_is_whole(report):
    assert report.components
    assert len(set(report.components)) == len(report.components)
    assert set(report.components) <= set(get_args(Component))
    assert report.source
    for sentence in (report.cause, report.fix):
        assert sentence
        assert not sentence.endswith(".")
    assert report.batch_size >= 1
    # Raises what nobody could reach: an accuracy above 1, no epochs.
    target = Target(report.target, report.epochs, report.monitor, report.mode)
    assert target.monitor.startswith("val_")
    assert math.isfinite(target.value)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("report", REPORTS)
def test_a_report_has_the_same_data_whenever_it_is_asked(report, side):
    once, again = report.data(side), report.data(side)
    for x, y in once:
        assert len({len(array) for array in leaves((x, y))}) == 1
        assert len(leaves(x)[0]) > 0
    for one, other in zip(leaves(once), leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")  # Keras', of what is broken
@pytest.mark.filterwarnings("ignore:In loss:SyntaxWarning")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("report", REPORTS)
def test_a_report_trains_on_a_batch_and_logs_its_monitor(report, side):
    from deepcaptcha.keras.backend import keras, tf

    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    (x, y), validation = report.data(side)
    first = slice(report.batch_size)
    model = report.build(side)
    refused = REFUSED.get(report.name) if side == "broken" else None
    with nullcontext() if refused is None else pytest.raises(tf.errors.OpError, match=refused):
        history = model.fit(
            *_take((x, y), first),
            validation_data=_take(validation, first),
            batch_size=report.batch_size,
            verbose=0,
        )
        assert report.monitor in history.history


def _take(part, rows):
    if isinstance(part, dict):
        return {name: _take(each, rows) for name, each in part.items()}
    if isinstance(part, tuple | list):
        return type(part)(_take(each, rows) for each in part)
    return part[rows]
