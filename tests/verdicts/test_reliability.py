"""Whether a row reaches its target as often, and as fast, as its baseline did."""

import math
from dataclasses import replace

from deepcaptcha.verdicts.claim import Budget, detectable_rate
from deepcaptcha.verdicts.plan import operating_characteristic
from deepcaptcha.verdicts.reliability import judge_reliability, judge_speed, regression_plan
from tests.verdicts.examples import baseline, trial

ONE = Budget(1)


def steady(outcome="converged", epochs=1):
    return lambda index: trial(2_000_000 + index, outcome, epochs)


def test_a_model_as_reliable_as_ever_is_green_and_a_broken_one_red():
    assert judge_reliability(baseline(), ONE, steady()).colour == "green"
    assert judge_reliability(baseline(), ONE, steady("stuck")).colour == "red"
    assert judge_reliability(baseline(), ONE, steady("slow")).colour == "red"


def test_the_plan_of_a_comparison_starts_at_the_lower_bound():
    # One-sided, for 30 of 30: 0.1 ** (1 / 30) = 0.926
    plan = regression_plan(baseline(30), ONE)
    assert (plan.p_good, plan.p_bad) == (0.92, 0.76)
    assert (plan.alpha, plan.beta) == (0.05, 0.1)
    # 20 of 30: SciPy's beta.ppf(0.1, 20, 11) is 0.535
    plan = regression_plan(baseline(20), ONE)
    assert (plan.p_good, plan.p_bad) == (0.53, 0.28)
    # Of alpha, comparisons have 2 in 5, and 24 rows have two of them each.
    assert regression_plan(baseline(30), Budget(67, rows=24)).alpha == 0.0004166


def test_where_nothing_can_fall_it_cannot_tell():
    verdict = judge_reliability(baseline(3), ONE, steady("stuck"))
    assert verdict.colour == "cannot tell"
    assert verdict.trials == 0
    assert "a baseline of 10 % leaves no fall of 25 points to detect" in verdict.note


def test_the_note_says_what_would_be_detected():
    verdict = judge_reliability(baseline(), ONE, steady())
    plan = regression_plan(baseline(), ONE)
    rate = detectable_rate(plan)
    assert f"from 100 % to {100 * rate:.0f} % with" in verdict.note
    assert 1 - operating_characteristic(plan, rate).accept >= 0.9
    assert 1 - operating_characteristic(plan, rate + 0.01).accept < 0.9


def test_a_slower_model_is_red_a_faster_one_green():
    slow, fast = baseline(epochs=4), baseline(epochs=1)
    assert judge_speed(fast, ONE, steady(epochs=4), 8).colour == "red"
    assert judge_speed(slow, ONE, steady(epochs=1), 8).colour == "green"
    assert judge_speed(fast, ONE, steady(epochs=1), 8).colour == "green"
    # all 8 new trials are the slowest of 38: p = 1 / C(38, 8) = 1 / 48,903,492
    assert judge_speed(fast, ONE, steady(epochs=4), 8).note == (
        "4 epochs to target, baseline 1 epoch; p 2e-08"
    )


def test_a_green_row_says_how_many_epochs_more_it_would_have_seen():
    # Among 30 that all took one epoch, 8 that took two are the slowest of all.
    assert judge_speed(baseline(epochs=1), ONE, steady(epochs=1), 8).sees == 1
    # Where half the record took five epochs and half one, two more are not seen at once by two trials.
    ranks = replace(baseline(), epochs_to_target=(1,) * 15 + (5,) * 15)
    assert judge_speed(ranks, ONE, steady(epochs=1), 2).sees > 1


def test_a_trial_that_misses_its_target_ranks_after_all_that_met_it():
    verdict = judge_speed(baseline(29), ONE, steady("stuck"), 2)
    # As two new ones share the last three places: 3 of C(32, 2) = 496 choices.
    assert verdict.note == f"missed to target, baseline 1 epoch or missed; p {3 / 496:.2g}"
    assert verdict.colour == "red"
    # Among 15 that met it and 15 that missed, six that missed share the last 21 places of 36.
    half = judge_speed(baseline(15), ONE, steady("stuck"), 6)
    assert half.note.endswith(f"p {math.comb(21, 6) / math.comb(36, 6):.2g}")


def test_a_row_that_cannot_turn_red_cannot_be_told_fast():
    asked = []
    verdict = judge_speed(baseline(1, of=30), ONE, asked.append, 4)
    # Four misses beside 29: of C(34, 4) choices, those of four among 33 misses, C(33, 4).
    assert verdict.colour == "cannot tell"
    assert (
        verdict.note == f"4 trials that all missed their target would not be red (p {30 / 34:.2g})"
    )
    assert (verdict.alpha, verdict.trials, asked) == (None, 0, [])
