"""Designed plans: every expected number comes from enumeration or SciPy."""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from deepcaptcha.errors import InputError
from deepcaptcha.verdicts.design import _search, design_plan, fixed_plan, lower_bound
from deepcaptcha.verdicts.plan import Plan, exact_error_rates, operating_characteristic
from tests.verdicts.examples import MIRRORED

Boundaries = tuple[tuple[int, ...], tuple[int, ...]]


def objective(plan: Plan) -> float:
    at_good = operating_characteristic(plan, plan.p_good).expected_trials
    return (at_good + operating_characteristic(plan, plan.p_bad).expected_trials) / 2


def every_boundary(max_trials: int) -> Iterator[Boundaries]:
    """All pairs of boundaries that rise by 0 or 1 a trial and meet at the last one. Any other plan
    only goes on where the end is certain, or differs where it never comes."""
    rises = list(itertools.product((0, 1), repeat=max_trials))
    for up in rises:
        accept = tuple(itertools.accumulate(up, initial=1))
        for down in rises:
            reject = tuple(itertools.accumulate(down, initial=-1))
            apart = all(low < high for low, high in zip(reject, accept, strict=True))
            if apart and accept[-1] == reject[-1] + 1:
                yield accept, reject


def walk(accept: tuple[int, ...], reject: tuple[int, ...], p: Fraction) -> tuple[Fraction, ...]:
    """(P(accept), P(reject), expected trials) by forward sums over points, in Fractions."""
    accepted = rejected = expected = Fraction(0)
    reach = {0: Fraction(1)}
    for high, low in zip(accept, reject, strict=True):
        accepted += sum(chance for s, chance in reach.items() if s >= high)
        rejected += sum(chance for s, chance in reach.items() if s <= low)
        live = {s: chance for s, chance in reach.items() if low < s < high}
        expected += sum(live.values())
        reach = {}
        for s, chance in live.items():
            reach[s] = reach.get(s, Fraction(0)) + chance * (1 - p)
            reach[s + 1] = reach.get(s + 1, Fraction(0)) + chance * p
    return accepted, rejected, expected


REFERENCE = (0.95, 0.5, 0.01, 0.01)
rates = st.builds(lambda k: k / 1000, st.integers(10, 250))
SMALL = [
    (0.9, 0.4, 0.15, 0.15, 6),
    (0.8, 0.2, 0.1, 0.1, 6),
    (0.95, 0.6, 0.2, 0.1, 6),
    (0.6, 0.1, 0.05, 0.2, 7),
    (0.7, 0.2, 0.29, 0.234, 5),
    (0.9, 0.3, 0.02, 0.03, 7),
]


@pytest.mark.integration
@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_design_is_the_best_of_all_boundaries(
    problem: tuple[float, float, float, float, int],
) -> None:
    good, bad, alpha, beta = (Fraction(str(rate)) for rate in problem[:4])
    best = None
    for accept, reject in every_boundary(problem[4]):
        _, wrong_reject, at_good = walk(accept, reject, good)
        wrong_accept, _, at_bad = walk(accept, reject, bad)
        if wrong_reject <= alpha and wrong_accept <= beta:
            mean = (at_good + at_bad) / 2
            best = mean if best is None else min(best, mean)
    if best is None:
        with pytest.raises(InputError, match=f"max_trials={problem[4]} is too small"):
            design_plan(*problem)
        return
    assert objective(design_plan(*problem)) == pytest.approx(float(best), rel=1e-9)
    assert lower_bound(*problem) <= best


def test_the_least_max_trials_is_true() -> None:
    """The fixed plan takes 8 trials; splitting the paths to its threshold, 7 do, and 6 do not, by
    trying all boundaries."""
    good, bad, alpha, beta = problem = (0.8, 0.31, 0.064, 0.128)
    assert fixed_plan(*problem)[0] == 8
    with pytest.raises(InputError, match=r"max_trials=5 is too small.* least is 7"):
        design_plan(*problem, 5)
    assert design_plan(*problem, 7).max_trials == 7
    for accept, reject in every_boundary(6):
        wrong_reject = walk(accept, reject, Fraction(str(good)))[1]
        wrong_accept = walk(accept, reject, Fraction(str(bad)))[0]
        assert wrong_reject > Fraction(str(alpha)) or wrong_accept > Fraction(str(beta))


def test_reference_point() -> None:
    """The optimum 7.651256355 at 22 trials and the bound 7.541762 are from SciPy's HiGHS: a mixed
    integer program, and its relaxation, over the flow through the points (trials, successes)."""
    assert fixed_plan(*REFERENCE) == (17, 14)
    assert stats.binom.cdf(13, 17, 0.95) <= 0.01
    assert stats.binom.sf(13, 17, 0.5) <= 0.01
    for size in range(1, 17):
        both = (
            stats.binom.cdf(c - 1, size, 0.95) <= 0.01 >= stats.binom.sf(c - 1, size, 0.5)
            for c in range(size + 2)
        )
        assert not any(both)
    plan = design_plan(*REFERENCE)
    assert plan.max_trials == 22  # 17 and a quarter, rounded up
    assert objective(plan) == pytest.approx(7.651256355, abs=1e-8)
    assert lower_bound(*REFERENCE, 22) == pytest.approx(7.541762, abs=1e-4)
    assert lower_bound(*REFERENCE, 22) <= 7.541763


@pytest.mark.parametrize(
    ("problem", "most"),
    [
        ((0.95, 0.5, 0.002, 0.002), 0.01),
        ((0.9, 0.6, 0.002, 0.002), 0.005),
        ((0.5, 0.1, 0.005, 0.005), 0.005),
        ((0.9, 0.7, 0.01, 0.01), 0.002),
    ],
    ids=str,
)
def test_design_is_near_its_lower_bound(
    problem: tuple[float, float, float, float], most: float
) -> None:
    plan = design_plan(*problem)
    bound = lower_bound(*problem, plan.max_trials)
    assert bound <= objective(plan) <= bound * (1 + most)


@pytest.mark.integration
@settings(max_examples=5)
@given(rates, rates, st.integers(5, 45), st.integers(30, 50))
def test_every_design_keeps_its_promises(alpha: float, beta: float, bad: int, apart: int) -> None:
    p_bad, p_good = bad / 100, (bad + apart) / 100
    plan = design_plan(p_good, p_bad, alpha, beta)
    achieved = exact_error_rates(plan)
    assert achieved[0] <= Fraction(str(alpha))
    assert achieved[1] <= Fraction(str(beta))
    for bounds in (plan.accept, plan.reject):
        assert all(step in (0, 1) for step in np.diff(bounds))
    # It always decides: all outcomes alike, and at the last trial whatever the successes.
    assert plan.judge([True] * plan.max_trials)[0] == "accept"
    assert plan.judge([False] * plan.max_trials)[0] == "reject"
    for successes in range(plan.max_trials + 1):
        assert plan.decide(successes, plan.max_trials) != "continue"
    assert lower_bound(p_good, p_bad, alpha, beta, plan.max_trials) <= objective(plan)


@pytest.mark.parametrize(
    ("problem", "most"),
    [
        # A search of 8 s on two cores gave 22.498 and one of 40 s 44.753.
        ((0.95, 0.5, 1e-6, 1e-6, 84), 22.498),
        ((0.95, 0.5, 1e-12, 1e-12, 187), 44.753),
        ((0.97, 0.81, 0.0008, 0.1, 75), math.inf),
    ],
    ids=str,
)
def test_large_designs_are_near_their_bound_too(
    problem: tuple[float, float, float, float, int], most: float
) -> None:
    plan = design_plan(*problem[:4])
    assert plan.max_trials == problem[4]
    assert lower_bound(*problem) <= objective(plan) <= 1.005 * lower_bound(*problem)
    assert objective(plan) <= 1.003 * most


def test_trials_that_no_plan_needs_are_never_read() -> None:
    """The fixed plan takes 11; whatever may be read beyond 40 saves nothing."""
    plan = design_plan(0.95, 0.5, 0.05, 0.05, 1000)
    assert plan.max_trials == 1000
    assert plan.accept[40:] == plan.accept[40:41] * 961
    assert plan.reject[40] == plan.accept[40] - 1
    assert lower_bound(0.95, 0.5, 0.05, 0.05, 1000) <= objective(plan)
    assert operating_characteristic(plan, 0.75).expected_trials < 11


@pytest.mark.parametrize(("alpha", "beta"), [(0.9, 0.05), (0.94, 0.05), (0.05, 0.94), (0.5, 0.49)])
def test_careless_rates_have_a_plan_that_reads_at_least_one_trial(
    alpha: float, beta: float
) -> None:
    plan = design_plan(0.95, 0.5, alpha, beta)
    assert (plan.accept[0], plan.reject[0]) == (1, -1)
    assert lower_bound(0.95, 0.5, alpha, beta, plan.max_trials) >= 1
    achieved = exact_error_rates(plan)
    assert achieved[0] <= Fraction(str(alpha))
    assert achieved[1] <= Fraction(str(beta))


def test_design_is_the_same_when_made_again() -> None:
    plan = design_plan(*REFERENCE)
    assert _search.__wrapped__((*REFERENCE, plan.max_trials))[1] == plan
    assert design_plan(*REFERENCE) is plan


@settings(max_examples=25)
@given(rates, rates, st.integers(2, 60), st.integers(20, 39))
@example(0.25, 0.25, 50, 25)  # ties: the tails at p = 1/2 are exactly 1/4
def test_fixed_plan_is_the_smallest(alpha: float, beta: float, bad: int, apart: int) -> None:
    p_bad, p_good = bad / 100, (bad + apart) / 100
    found = fixed_plan(p_good, p_bad, alpha, beta)

    def tail(size: int, p: float, accept: int) -> Fraction:
        """P(X < accept) by the binomial formula, in Fractions."""
        up = Fraction(str(p))
        return sum(
            (math.comb(size, k) * up**k * (1 - up) ** (size - k) for k in range(accept)),
            Fraction(0),
        )

    size = found[0]
    fits = [
        (n, c)
        for n in range(max(1, size - 4), size + 1)
        for c in range(n + 2)
        if tail(n, p_good, c) <= Fraction(str(alpha))
        and 1 - tail(n, p_bad, c) <= Fraction(str(beta))
    ]
    assert fits
    assert {n for n, _ in fits} == {size}
    assert found == max(fits)


@pytest.mark.parametrize("name", ["p_good", "p_bad", "alpha", "beta"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf, 1, True, "0.5", None])
def test_refuses_rates_outside_zero_and_one(name: str, value: object) -> None:
    arguments = dict(zip(("p_good", "p_bad", "alpha", "beta"), REFERENCE, strict=True)) | {
        name: value
    }
    for function in (design_plan, fixed_plan):
        with pytest.raises(InputError, match=rf"{name} is .*; between 0 and 1 is needed") as caught:
            function(**arguments)
        assert repr(value) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0, -3, 1001, 22.0, True, math.inf, "22"])
def test_refuses_max_trials(value: Any) -> None:
    design_plan(*REFERENCE, 22)  # so that a cached 22 could answer for 22.0
    for function in (design_plan, lower_bound):
        with pytest.raises(
            InputError, match=rf"max_trials is {value!r}; .* from 1 to 1000 is needed"
        ):
            function(*REFERENCE, value)


def test_refuses_rates_the_wrong_way_round_or_too_close() -> None:
    for bad in (0.9, 0.95):
        with pytest.raises(InputError, match=f"p_bad must be less than p_good, not {bad} >= 0.9"):
            design_plan(0.9, bad, 0.05, 0.05)
    with pytest.raises(InputError, match="take over 1000 trials; set them wider apart"):
        design_plan(0.51, 0.5, 0.05, 0.05)
    for alpha, beta in ((0.5, 0.5), (0.9, 0.6)):
        with pytest.raises(InputError, match=rf"alpha \+ beta must be less than 1, not {alpha} \+"):
            design_plan(0.9, 0.5, alpha, beta)
    with pytest.raises(InputError, match=r"max_trials=62 is too small .*; 67 are enough"):
        design_plan(0.95, 0.5, 1e-6, 1e-6, 62)
    # No plan is found there, and none is proved not to be: the search went on for minutes.
    with pytest.raises(InputError, match=r"max_trials=585 seems too small .*; 589 are enough"):
        design_plan(0.95, 0.9, 0.01, 0.01, 585)
    with pytest.raises(
        InputError, match=r"max_trials=3 is too small for both rates; the least is \d$"
    ):
        design_plan(0.9, 0.4, 0.1, 0.1, 3)


def test_failures_counted_instead_of_successes_are_the_same_problem() -> None:
    turned = (0.6, 0.1, 0.1, 0.05)
    assert objective(design_plan(*turned)) == pytest.approx(objective(MIRRORED), rel=0.01)
    bound = lower_bound(*turned, MIRRORED.max_trials)
    assert bound == pytest.approx(lower_bound(0.9, 0.4, 0.05, 0.1, MIRRORED.max_trials), rel=1e-4)
