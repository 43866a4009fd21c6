"""Claims, the suite's budget, and the verdict rule through the real code."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from deepcaptcha import InputError
from deepcaptcha.verdicts.claim import Budget, Claim, chance_to_pass, claim_plan, judge_claim
from tests.helpers import make_trial

TRAINS = Claim("trains", 0.9, 0.5)
ONE = Budget(1)
RECORDS = {
    outcome: make_trial(outcome=outcome) for outcome in ("converged", "stuck", "slow", "diverged")
}


def stream(*outcomes):
    asked = []

    def trial_at(index):
        asked.append(index)
        return RECORDS[outcomes[index]]

    return trial_at, asked


def test_a_claim_counts_its_own_outcome_only():
    stuck = Claim("stuck", 0.9, 0.5)
    assert [o for o in RECORDS if TRAINS.holds_in(RECORDS[o])] == ["converged"]
    assert [o for o in RECORDS if stuck.holds_in(RECORDS[o])] == ["stuck"]


def test_trials_are_read_in_seed_order_and_none_too_many():
    trial_at, asked = stream(*["converged"] * 30)
    verdict = judge_claim(TRAINS, ONE, trial_at)
    assert verdict.colour == "green"
    assert asked == list(range(verdict.trials))
    assert verdict.successes == verdict.trials


def test_a_model_that_never_trains_is_red_at_the_first_chance():
    trial_at, asked = stream(*["slow"] * 30)
    verdict = judge_claim(TRAINS, ONE, trial_at)
    assert (verdict.colour, verdict.successes) == ("red", 0)
    assert len(asked) == verdict.trials <= 4
    assert verdict.interval[0] == 0


def test_slow_or_diverged_does_not_satisfy_stuck():
    trial_at, _ = stream(*["slow", "diverged"] * 15)
    assert judge_claim(Claim("stuck", 0.9, 0.5), ONE, trial_at).colour == "red"


def test_a_mixed_claim_is_described_not_judged():
    trial_at, asked = stream(*["converged", "stuck"] * 10)
    verdict = judge_claim(Claim("mixed"), ONE, trial_at)
    assert (verdict.colour, verdict.successes, verdict.trials) == ("cannot tell", 10, 20)
    # Clopper and Pearson for 10 of 20, from published tables: 0.272 to 0.728
    assert verdict.interval == pytest.approx((0.272, 0.728), abs=5e-4)
    assert asked == list(range(20))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claim", "rate", "wrong", "declared"),
    [
        (TRAINS, 0.9, "red", 0.05),
        (TRAINS, 0.5, "green", 0.05),
        (Claim("stuck", 0.95, 0.6), 0.95, "red", 0.05),
        (Claim("stuck", 0.95, 0.6), 0.6, "green", 0.05),
    ],
)
def test_the_rule_keeps_its_rates_in_simulation(claim, rate, wrong, declared):
    """10,000 runs each through `judge_claim`; the bound is the binomial's 1 - 1e-6 quantile."""
    random = np.random.RandomState(1)
    runs, errors = 10_000, 0
    success = RECORDS["stuck" if claim.kind == "stuck" else "converged"]
    for _ in range(runs):
        draws = random.rand(60) < rate
        verdict = judge_claim(claim, ONE, lambda i, d=draws: success if d[i] else RECORDS["slow"])
        errors += verdict.colour == wrong
    assert errors <= binom.ppf(1 - 1e-6, runs, declared)
    exact = verdict.alpha if wrong == "red" else verdict.beta
    assert abs(errors / runs - exact) < 5 * np.sqrt(exact * (1 - exact) / runs)


@given(st.integers(1, 500), st.floats(0.001, 0.2), st.floats(0.001, 0.2))
def test_shares_never_add_up_to_more_than_the_suite_has(count, alpha, beta):
    share = Budget(count, alpha, beta).share
    for part, whole in zip(share, (alpha, beta), strict=True):
        assert count * Fraction(str(part)) <= Fraction(str(whole))
        assert part > 0.99 * whole / count


def test_more_hypotheses_make_a_verdict_stricter():
    lone, shared = claim_plan(TRAINS, ONE), claim_plan(TRAINS, Budget(40))
    assert shared.max_trials > lone.max_trials
    assert (shared.alpha, shared.beta) == (0.00125, 0.00125)  # 0.05 / 40


def test_the_chance_to_pass_rises_with_the_rate():
    chances = [chance_to_pass(TRAINS, ONE, rate) for rate in (0.5, 0.7, 0.9, 0.99)]
    assert chances == sorted(chances)
    assert chances[0] <= 0.05
    assert chances[2] >= 0.95


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("works",), "a claim is trains, stuck, mixed, not 'works'"),
        (("trains",), "needs 0 < p_bad < p_good < 1, not p_bad None"),
        (("trains", 0.5, 0.9), "not p_bad 0.9 and p_good 0.5"),
        (("stuck", 1.0, 0.5), "p_good 1.0"),
        (("mixed", 0.9, 0.5), "a mixed claim promises no rates"),
    ],
)
def test_an_impossible_claim_is_refused(arguments, words):
    with pytest.raises(InputError) as error:
        Claim(*arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "0 hypotheses"),
        ((2.5,), "2.5 hypotheses"),
        ((3, 0.0), "alpha is 0.0"),
        ((3, 0.05, 1.0), "beta is 1.0"),
    ],
)
def test_an_impossible_budget_is_refused(arguments, words):
    with pytest.raises(InputError) as error:
        Budget(*arguments)
    assert words in str(error.value)


def test_a_budget_with_compared_rows_has_three_parts():
    budget = Budget(67, rows=24)
    assert budget.claims == 19
    # 2 % of 5 for 19 claims, 2 % for twice 24 comparisons, 1 % for the whole
    assert budget.share == (0.001052, 0.002631)
    assert (budget.comparison_alpha, budget.whole_alpha) == (0.0004166, 0.01)
    parts = 19 * Fraction("0.001052") + 48 * Fraction("0.0004166") + Fraction("0.01")
    assert parts <= Fraction("0.05")
    assert budget.lines == (
        "claims: 0.4 x 0.05 / 19 claims = 0.00105 each",
        "as before: 0.4 x 0.05 / 24 rows x 2 = 0.000417 each",
        "the whole: 0.2 x 0.05 / 1 test = 0.01 each",
    )
    alone = Budget(5)
    assert (alone.share, alone.comparison_alpha, alone.whole_alpha) == ((0.01, 0.01), 0.01, 0)
    assert alone.lines == ("0.05 / 5 verdicts = 0.01 each",)
    assert Budget(6, rows=3).claims == 0
    for rows in (-1, 4, 1.0, True):
        with pytest.raises(InputError, match="rows are compared, by two of 7 hypotheses each"):
            Budget(7, rows=rows)
