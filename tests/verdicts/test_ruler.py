"""The ruler: what rounding may do to a measure, and whether it calls an arithmetic a change."""

import json
from dataclasses import replace

import pytest
from scipy.stats import t

from deepcaptcha import InputError
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import Baseline, make_baseline
from deepcaptcha.verdicts.measures import measures_of
from deepcaptcha.verdicts.ruler import Shift, leave_one_out, ruler_of, shifts_of, tolerance
from tests.verdicts.examples import courses, logged, trial


def shift(arithmetic, value, row="a", measure="m", scatter=0.5, spread=10.0, seeds=5):
    return Shift(arithmetic, row, measure, value, scatter, spread, seeds)


def test_a_baseline_keeps_its_ruler():
    kept = shift("oneDNN off", 0.25)
    recorded = replace(make_baseline([trial(3)]), ruler=(kept.as_dict(),))
    assert ruler_of(Baseline.from_dict(json.loads(json.dumps(recorded.as_dict())))) == (kept,)
    assert ruler_of(make_baseline([trial(3)])) == ()


def test_the_tolerance_is_three_shifts_or_a_share_of_the_spread():
    ruler = [shift("one", 1.0), shift("two", -2.0, scatter=1.5, seeds=3), shift("one", 9, "b")]
    found = tolerance(ruler, "a", "m", 10.0)
    assert found.delta == 6.0  # 3 x 2
    assert tolerance(ruler, "a", "m", 100.0).delta == 15.0  # 0.15 x 100
    assert tolerance(ruler, "a", "m", 10.0, without="two").delta == 3.0
    # Its own row knows the scatter by 6 degrees only: (4 x 0.25 + 2 x 2.25 + 4 x 0.25) / 10 by hand,
    assert found.scatter == pytest.approx((6.5 / 10) ** 0.5)
    assert found.freedom == 10
    # and by 14 where two more arithmetics were tried on it: (4 x 0.25 x 3 + 2 x 2.25) / 14.
    more = tolerance([*ruler, shift("three", 0), shift("four", 0)], "a", "m", 10.0)
    assert (more.scatter, more.freedom) == (pytest.approx((7.5 / 14) ** 0.5), 14)
    # A row on which none was tried has those of all others, in its own spreads: 27 / 10 x 20.
    assert tolerance(ruler, "c", "m", 20.0).delta == pytest.approx(54)
    assert tolerance(ruler, "a", "other", 10.0) is None
    assert tolerance([shift("one", 1.0, seeds=1)], "a", "m", 10.0) is None  # how far it scatters?


def test_a_shift_is_told_from_the_largest_that_is_none():
    allowed = tolerance([shift("one", 1.0), shift("two", -2.0)], "a", "m", 10.0)
    assert allowed.p(6.0, 4) == pytest.approx(0.5)  # on the edge
    # One beyond it, where the mean of four scatters by 0.25: 4 on Student's t with 8 degrees.
    assert allowed.p(-7.0, 4) == pytest.approx(t.sf(4, 8))
    seen = allowed.smallest_seen(0.01, 4)
    assert seen == pytest.approx(6 + (t.isf(0.01, 8) + t.ppf(0.9, 8)) * 0.25)
    assert replace(allowed, scatter=0.0).p(6.1, 4) == 0
    assert replace(allowed, scatter=0.0).p(5.9, 4) == 1


def test_a_left_out_arithmetic_is_judged_by_the_others():
    quiet = [shift(name, 0.5, row) for name in ("one", "two", "three") for row in ("a", "b")]
    assert all(left.changed == () for left in leave_one_out(quiet, 0.01))
    loud = [*quiet, shift("four", 6.0), shift("four", 0.1, "b")]
    found = {left.arithmetic: left for left in leave_one_out(loud, 0.01)}
    # 6 beyond max(3 x 0.5, 0.15 x 10), which is 1.5
    assert found["four"].changed == (("a", "m"),)
    assert (found["four"].rows, found["four"].rows_changed) == (2, 1)
    assert found["one"].changed == ()
    # Where rounding is as coarse as seeds, nothing is compared seed by seed.
    coarse = [replace(each, scatter=6.0) for each in loud]
    assert all(left.changed == () for left in leave_one_out(coarse, 0.01))
    with pytest.raises(InputError, match="the ruler has 1 arithmetics; at least 2 are needed"):
        leave_one_out(loud[-1:], 0.01)


def test_the_shift_of_an_arithmetic_is_read_seed_by_seed():
    recorded = courses([0.5, 0.6, 0.7], first=1)
    again = courses([0.51, 0.63], first=1)
    measures = measures_of(recorded, Target(0.9, epochs=3), 0.1)
    measures = [each for each in measures if each.name == "training loss after epoch 1"]
    (found,) = shifts_of("oneDNN off", "row", measures, recorded, again)
    # Differences of 0.01 and 0.03; 0.5, 0.6 and 0.7 spread by 0.1.
    assert (found.arithmetic, found.row, found.seeds) == ("oneDNN off", "row", 2)
    assert (found.shift, found.scatter) == (pytest.approx(0.02), pytest.approx(0.02 / 2**0.5))
    assert found.spread == pytest.approx(0.1)
    (single,) = shifts_of("oneDNN off", "row", measures, recorded, again[:1])
    assert (single.shift, single.scatter, single.seeds) == (pytest.approx(0.01), 0.0, 1)
    lost = [again[0], replace(again[1], history=({**logged(0.95), "loss": None},))]
    assert shifts_of("oneDNN off", "row", measures, recorded, lost) == ()
