"""The simulation of false alarms and power: its draws, and that its rules are the real ones."""

import numpy as np
import pytest

from benchmarks.power import MOST, NOW, Reference, World, before, new, rate_text, row_seen
from deepcaptcha.verdicts.as_before import Looks, judge_as_before

WORLD = World()


def test_twins_of_the_record_are_drawn_alike_and_counted_once():
    # They ended with the same weights in each of their 100 recorded trials.
    assert WORLD.twins == {
        "same-logits raw-subset": "same-reshape-first raw-subset",
        "same-logits sound-subset": "same-reshape-first sound-subset",
    }
    drawn = WORLD.draw(np.random.default_rng(0), 50)
    one, other = (
        WORLD.names.index(f"{n} raw-subset") for n in ("same-logits", "same-reshape-first")
    )
    assert (drawn.epochs[one] == drawn.epochs[other]).all()
    assert (drawn.numbers[one] == drawn.numbers[other]).all()


def test_a_fall_is_one_of_as_many_points():
    row = WORLD.names.index("same sound-subset")
    drawn = WORLD.draw(np.random.default_rng(0), 4000, fall={row: 0.1})
    # Recorded at 100 of 100; 5 standard deviations of a binomial share are 0.024.
    assert (drawn.epochs[row] > 0).mean() == pytest.approx(0.9, abs=0.024)
    assert (drawn.epochs[WORLD.names.index("last20 sound-subset")] > 0).all()


def test_a_row_is_judged_as_the_suite_judges_it():
    random = np.random.default_rng(4)
    base = Reference.of(WORLD, WORLD.draw(random, 40))
    row = WORLD.names.index("valid sound-subset")
    for shift in (0.0, 1.5, 4.0):
        courses = WORLD.draw(random, 16, shift={row: shift}).courses(row, 16, 3)
        verdict = judge_as_before(
            base.measures[row],
            base.courses[row],
            courses.__getitem__,
            NOW.comparison_alpha,
            monitor="val_accuracy",
        )
        seen = row_seen(base, row, courses, Looks())
        assert seen == (verdict.colour != "green", verdict.trials)


@pytest.mark.integration
def test_a_night_on_which_nothing_trains_is_red_by_both_rules():
    random = np.random.default_rng(1)
    drawn = WORLD.draw(random, WORLD.seeds)
    broken = WORLD.draw(random, MOST, fall=dict.fromkeys(range(len(WORLD.rows)), 1.0))
    assert before(WORLD, drawn, broken).red >= {"claims", "as reliable"}
    found = new(WORLD, Reference.of(WORLD, drawn), broken)
    assert found.red == {"claims", "as reliable", "as before", "the whole"}
    # Two of 24 rows are twins, and the whole reads 14 seeds of each. Only pool4, drawn as 77 of 100, is
    # read to the last look at 16: four misses have p 2 C(27, 4) / C(104, 4) = 0.0076, by Holm over four
    # measures 0.031, which is doubt (last20, 61 of 100: 0.21, which is none); eight have 1.8e-4, above
    # that look's quarter of 4.5e-4.
    assert found.on_a_change == 21 * 14 + 16


def test_a_rate_is_told_with_its_error():
    # 5 of 100: the square root of 0.05 x 0.95 / 100 is 2.2 points; none of 50 is told as one would be.
    assert rate_text(5, 100) == "5.0 % +- 2.2"
    assert rate_text(0, 50) == "0.0 % +- 2.0"
