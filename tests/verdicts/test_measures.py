"""Measures of a trial by hand, and the ruler of what rounding does to them."""

import json
from dataclasses import replace

import pytest
from scipy.stats import t

from deepcaptcha import InputError
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.baseline import Baseline, make_baseline
from deepcaptcha.verdicts.measures import (
    Course,
    Measure,
    Reading,
    Shift,
    chance_of,
    course_of,
    courses_of,
    leave_one_out,
    measures_of,
    outcomes_of,
    ruler_of,
    shifts_of,
    spread_of,
    time_to_target,
    tolerance,
)
from tests.verdicts.examples import trial

TARGET = Target(0.9, epochs=3)


def logged(accuracy, loss=0.5, **others):
    return {"loss": loss, "val_loss": 0.25, "val_accuracy": accuracy, **others}


def course(*accuracies, outcome="converged", **fields):
    return Course(7, outcome, tuple(logged(accuracy) for accuracy in accuracies), **fields)


def measure(name, recorded=None):
    found = measures_of(recorded or [course(0.5, 0.95)], TARGET, 0.1)
    return next(each for each in found if each.name == name)


def test_the_time_to_the_target_is_linear_between_two_epochs_ends():
    # From 0.1 at the start to 0.9 at 0.8 of the way to 1.1; from 0.5 to 1.0, 0.9 is at 4/5.
    assert time_to_target(course(1.0), TARGET, 0.1) == pytest.approx(0.8 / 0.9)
    assert time_to_target(course(0.5, 1.0), TARGET, 0.1) == pytest.approx(1.8)
    assert time_to_target(course(0.5, 0.9), TARGET, 0.1) == pytest.approx(2)
    assert time_to_target(course(0.5, 0.8), TARGET, 0.1) is None
    # Without a start, and after what is not finite, an epoch counts whole.
    assert time_to_target(course(1.0), TARGET, None) == 1
    assert time_to_target(course(None, 1.0), TARGET, 0.1) == 2
    # A loss that falls from 2 at chance through 0.5 to 0.25: 0.4 is 2/5 of the way in the second.
    falling = Target(0.4, 3, "val_loss", "min")
    losses = Course(0, "converged", ({"val_loss": 0.5}, {"val_loss": 0.25}))
    assert time_to_target(losses, falling, 2.0) == pytest.approx(1.4)


def test_a_target_of_several_conditions_counts_whole_epochs_and_needs_all_their_values():
    both = Target(0.9, 3, also=("recall >= 0.5",))
    epochs = [logged(0.95, recall=0.4), logged(0.95, recall=0.6)]
    recorded = Course(7, "converged", tuple(epochs))
    time = next(m for m in measures_of([recorded], both, 0.1) if m.kind == "time")
    assert time.read(recorded) == Reading(0, 2.0)
    # Of trainings that no longer log one of them it says nothing.
    assert time.read(course(0.95, 0.95)) is None


def test_chance_is_the_targets_own_or_that_of_a_guess():
    assert chance_of(replace(TARGET, chance=0.2), {"n_class": 10}) == 0.2
    assert chance_of(TARGET, {"n_class": 10}) == 0.1
    assert chance_of(TARGET, {}) is None
    assert chance_of(Target(0.1, 3, "loss", "min"), {"n_class": 10}) is None


def test_a_record_fixes_its_measures():
    names = [m.name for m in measures_of([course(0.95), course(0.5, 0.95)], TARGET)]
    assert names == [
        "training loss after epoch 1",
        "validation loss after epoch 1",
        "val_accuracy after epoch 1",
        "time to target",
    ]
    longer = [m.name for m in measures_of([course(0.5, 0.95), course(0.5, 0.6, 0.95)], TARGET)]
    assert longer[3:6] == [
        "training loss after epoch 2",
        "validation loss after epoch 2",
        "val_accuracy after epoch 2",
    ]
    within = [course(0.95, losses=((2.0, 1.5, 1.0, 0.5),)), course(0.9, losses=((2.1, 1.4),))]
    # The series that all have is of two: its first is its middle.
    assert [m.name for m in measures_of(within, TARGET)][:2] == [
        "training loss after 50 steps",
        "training loss after epoch 1",
    ]
    assert [m.name for m in measures_of(within[:1] * 2, TARGET)][:2] == [
        "training loss after 50 steps",
        "training loss after 100 steps",
    ]
    assert measures_of([], TARGET) == ()


def test_what_was_not_logged_is_no_measure():
    bare = Course(0, "converged", ({"val_accuracy": 0.95},))
    assert [m.name for m in measures_of([bare] * 2, TARGET)] == [
        "val_accuracy after epoch 1",
        "time to target",
    ]
    # Of a row that is stuck, three of four trials never have a time.
    stuck = [course(0.1, 0.1, 0.1, outcome="stuck")] * 3 + [course(0.1, 0.1, 0.95)]
    assert "time to target" not in [m.name for m in measures_of(stuck, TARGET)]


def test_readings_are_turned_so_that_more_is_worse():
    assert measure("training loss after epoch 1").read(course(0.5)) == Reading(0, 0.5)
    assert measure("val_accuracy after epoch 1").read(course(0.5)) == Reading(0, -0.5)
    within = Measure("", "step", "loss", 1)
    assert within.read(course(0.5, losses=((2.0, 1.5),))) == Reading(0, 1.5)
    assert within.read(course(0.5)) is None
    assert within.read(course(0.5, losses=((2.0, None),), outcome="slow")).level == 3
    # A first epoch of fewer steps that ended with a finite loss says nothing; one that broke does.
    assert within.read(course(0.5, losses=((2.0,),))) is None
    broken = Course(7, "diverged", ({"loss": None},), losses=((2.0,),))
    assert within.read(broken).level == 3
    assert within.read(replace(broken, history=())).level == 3


def test_without_a_value_a_trial_ranks_by_its_outcome():
    after = measure("val_accuracy after epoch 2")
    early = after.read(course(0.95))  # it reached the target before there was one
    there = after.read(course(0.1, 0.1, 0.1, outcome="stuck"))
    broken = after.read(course(0.1, None, outcome="diverged"))
    ended = [after.read(course(0.1, outcome=o)) for o in ("slow", "stuck", "diverged")]
    assert early < there < ended[0] < ended[1] < ended[2] == broken
    time = measure("time to target")
    missed = [time.read(course(0.1, 0.1, 0.1, outcome=o)) for o in ("slow", "stuck", "diverged")]
    assert [reading.level for reading in missed] == [1, 2, 3]
    # What converged to another target did not reach this one.
    assert time.read(course(0.5)) == missed[0]
    assert after.read(Course(0, "slow", ({"loss": 1.0},) * 2)) is None
    # Not finite is the worst, whatever became of the trial.
    assert after.read(course(0.1, None)).level == 3


def test_courses_are_those_of_trials_and_of_a_baseline():
    made = replace(
        trial(3, initial_weights="ab" * 32),
        epochs=(Epoch(logged(0.95), losses=(2.0, 1.0)),),
        first_loss=2.3,
    )
    found = course_of(made)
    assert found == Course(3, "converged", (logged(0.95),), ((2.0, 1.0),), "ab" * 32, 2.3)
    recorded = replace(
        make_baseline([trial(3), trial(4, "stuck")]),
        history=((logged(0.95),), (logged(0.1), logged(0.1))),
        losses=(((2.0, 1.0),), ((), ())),
    )
    assert courses_of(recorded) == (
        Course(3, "converged", (logged(0.95),), ((2.0, 1.0),)),
        Course(4, "stuck", (logged(0.1), logged(0.1)), ((), ())),
    )
    starts = {"initial weights": ("abc", "def"), "order": ("o", "p")}
    begun = courses_of(replace(recorded, seed_digests=starts, first_losses=(2.3, None)))
    assert [(course.start, course.first_loss) for course in begun] == [("abc", 2.3), ("def", None)]
    assert begun[0].is_paired_with(replace(found, start="abcd"))
    bare = replace(recorded, history=(), losses=())
    assert courses_of(bare) == ()
    assert outcomes_of(bare) == (Course(3, "converged", ()), Course(4, "stuck", ()))


def test_a_baseline_keeps_its_ruler():
    kept = shift("oneDNN off", 0.25)
    recorded = replace(make_baseline([trial(3)]), ruler=(kept.as_dict(),))
    assert ruler_of(Baseline.from_dict(json.loads(json.dumps(recorded.as_dict())))) == (kept,)
    assert ruler_of(make_baseline([trial(3)])) == ()


@pytest.mark.parametrize(
    ("change", "paired"),
    [
        ({}, True),
        ({"start": "abc"}, True),  # a record keeps the first digits
        ({"first_loss": 2.3000001}, True),  # another arithmetic
        ({"seed": 8}, False),
        ({"start": "ac"}, False),
        ({"start": ""}, False),
        ({"first_loss": 2.4}, False),  # other labels, or another order
        ({"first_loss": None}, False),
    ],
)
def test_seeds_pair_where_a_training_began_alike(change, paired):
    one = course(0.9, start="abcd", first_loss=2.3)
    assert one.is_paired_with(replace(one, **change)) is paired


def test_the_spread_is_a_standard_deviation():
    # 1, 2, 3, 4 have a variance of 5/3; what has no value is left out.
    readings = [Reading(0, value) for value in (1, 2, 3, 4)] + [Reading(2, 0)]
    assert spread_of(readings) == pytest.approx((5 / 3) ** 0.5)
    assert spread_of(readings[:1]) == 0


def shift(arithmetic, value, row="a", measure="m", scatter=0.5, spread=10.0, seeds=5):
    return Shift(arithmetic, row, measure, value, scatter, spread, seeds)


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
    recorded = [
        replace(course(0.95), seed=s, history=(logged(0.95, 0.4 + s / 10),)) for s in (1, 2, 3)
    ]
    losses = {1: 0.51, 2: 0.63}
    again = [replace(each, history=(logged(0.95, losses[each.seed]),)) for each in recorded[:2]]
    measures = [measure("training loss after epoch 1", recorded)]
    (found,) = shifts_of("oneDNN off", "row", measures, recorded, again)
    # Differences of 0.01 and 0.03; 0.5, 0.6 and 0.7 spread by 0.1.
    assert (found.arithmetic, found.row, found.seeds) == ("oneDNN off", "row", 2)
    assert (found.shift, found.scatter) == (pytest.approx(0.02), pytest.approx(0.02 / 2**0.5))
    assert found.spread == pytest.approx(0.1)
    (single,) = shifts_of("oneDNN off", "row", measures, recorded, again[:1])
    assert (single.shift, single.scatter, single.seeds) == (pytest.approx(0.01), 0.0, 1)
    lost = [again[0], replace(again[1], history=(logged(0.95, None),))]
    assert shifts_of("oneDNN off", "row", measures, recorded, lost) == ()
