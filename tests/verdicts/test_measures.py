"""Measures of a trial, by hand."""

from dataclasses import replace

import pytest

from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.baseline import make_baseline
from deepcaptcha.verdicts.measures import (
    Course,
    Measure,
    Reading,
    chance_of,
    course_of,
    courses_of,
    measures_of,
    outcomes_of,
    spread_of,
    time_to_target,
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
