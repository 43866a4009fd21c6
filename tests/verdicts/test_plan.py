"""Sequential plans: every expected number comes from enumeration, SciPy or a published table."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepcaptcha.errors import InputError
from deepcaptcha.verdicts.plan import (
    Plan,
    binomial_interval,
    confidence_interval,
    confidence_sequence,
    exact_error_rates,
    operating_characteristic,
    remaining,
    worst_expected_trials,
)
from tests.verdicts.examples import MIRRORED

# Literals, as a design once gave them, so that tests of what a plan does spend no time on designing it.
DESIGNED = Plan(
    *(0.95, 0.5, 0.01, 0.01, 22),
    (1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 16, 16, 17, 18, 18, 18),
    (-1, -1, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15, 16, 17),
)
ENUMERATED = [
    Plan(0.9, 0.4, 0.1, 0.1, 7, (1, 2, 3, 3, 4, 5, 5, 5), (-1, -1, 0, 1, 2, 3, 4, 4)),
    Plan(0.6, 0.1, 0.1, 0.15, 7, (1, 1, 2, 2, 2, 2, 2, 3), (-1, -1, -1, 0, 0, 1, 1, 2)),
    Plan(
        *(0.95, 0.5, 0.05, 0.05, 13),
        (1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 9, 10, 11),
        (-1, -1, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10),
    ),
]
COVERING = [
    DESIGNED,
    Plan(0.8, 0.3, 0.1, 0.1, 8, (1, 2, 3, 3, 3, 4, 5, 5, 5), (-1, -1, 0, 0, 1, 2, 2, 3, 4)),
    Plan(
        *(0.5, 0.1, 0.05, 0.05, 17),
        (1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5),
        (-1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4),
    ),
]


def single_look(size: int, accept_at: int, p_good: float = 0.9, p_bad: float = 0.5) -> Plan:
    """All `size` trials are always read."""
    accept = (*range(1, size + 1), accept_at)
    return Plan(p_good, p_bad, 0.1, 0.1, size, accept, (*[-1] * size, accept_at - 1))


def simon(first: int, rejects: int, size: int, at_most: int) -> Plan:
    """Simon's two stages: stop for futility at `rejects` of `first`, else accept above `at_most`."""
    reject = [-1] * (size + 1)
    reject[first], reject[size] = rejects, at_most
    return Plan(0.5, 0.1, 0.1, 0.1, size, (*range(1, size + 1), at_most + 1), tuple(reject))


def plan_id(plan: Plan) -> str:
    return f"{plan.p_good}-{plan.p_bad}-{plan.max_trials}"


@pytest.mark.parametrize("plan", [*ENUMERATED, single_look(9, 7), simon(5, 0, 12, 3)], ids=plan_id)
def test_against_every_sequence_of_outcomes(plan: Plan) -> None:
    """The plan judges all 2 ** max_trials sequences; their weights are added up as Fractions."""
    ends: dict[tuple[str, int, int], Fraction] = {}
    for outcomes in itertools.product((False, True), repeat=plan.max_trials):
        end = plan.judge(outcomes)
        assert end[0] != "continue"
        assert end[2] == sum(outcomes[: end[1]])
        weight = Fraction(1, 2 ** (plan.max_trials - end[1]))  # of sequences that share the prefix
        ends[end] = ends.get(end, Fraction(0)) + weight
    for probability in (plan.p_bad, 0.73, plan.p_good):
        p = Fraction(str(probability))
        chances = {
            end: paths * p ** end[2] * (1 - p) ** (end[1] - end[2]) for end, paths in ends.items()
        }
        accept = sum(chance for end, chance in chances.items() if end[0] == "accept")
        expected = sum(chance * end[1] for end, chance in chances.items())
        found = operating_characteristic(plan, probability)
        assert found.accept == pytest.approx(float(accept), rel=1e-12)
        assert found.expected_trials == pytest.approx(float(expected), rel=1e-12)
        assert sum(chances.values()) == 1
        if probability == plan.p_good:
            assert exact_error_rates(plan)[0] == 1 - accept
        if probability == plan.p_bad:
            assert exact_error_rates(plan)[1] == accept


def test_mirrored_plan_has_mirrored_properties() -> None:
    plan = MIRRORED
    trials = range(plan.max_trials + 1)
    accept = tuple(n - low for n, low in zip(trials, plan.reject, strict=True))
    reject = tuple(n - high for n, high in zip(trials, plan.accept, strict=True))
    mirror = Plan(0.6, 0.1, 0.1, 0.05, plan.max_trials, accept, reject)
    assert exact_error_rates(mirror) == exact_error_rates(plan)[::-1]
    here, there = operating_characteristic(plan, 0.7), operating_characteristic(mirror, 0.3)
    assert here.accept == pytest.approx(1 - there.accept, abs=1e-12)
    assert here.expected_trials == pytest.approx(there.expected_trials, abs=1e-12)
    stop = plan.judge([True, False] * plan.max_trials)[1:]
    low, high = confidence_interval(plan, stop[1], stop[0])
    turned = confidence_interval(mirror, stop[0] - stop[1], stop[0])
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_single_look_has_binomial_tails(probability: float) -> None:
    found = operating_characteristic(single_look(25, 18), probability)
    assert found.accept == pytest.approx(stats.binom.sf(17, 25, probability), abs=1e-13)
    assert found.expected_trials == pytest.approx(25, abs=1e-12)


@pytest.mark.parametrize(
    ("design", "low", "expected", "early"),
    # Simon, Controlled Clinical Trials 10 (1989) 1-10, optimal designs for errors of 5 % and 20 %:
    # r1/n1, r/n, p0, EN(p0), PET(p0), with p1 = p0 + 0.2. By hand, 9 + 8 (1 - 0.95^9) = 11.96.
    [((9, 0, 17, 2), 0.05, 12.0, 0.63), ((10, 1, 29, 5), 0.1, 15.0, 0.74)],
)
def test_simon_two_stage_designs(
    design: tuple[int, int, int, int], low: float, expected: float, early: float
) -> None:
    plan = simon(*design)
    first, rejects, size, at_most = design
    found = operating_characteristic(plan, low)
    assert round(found.expected_trials, 1) == expected
    assert round((size - found.expected_trials) / (size - first), 2) == early
    # P(accept), from two independent binomials.
    for probability in (low, low + 0.2):
        x = np.arange(rejects + 1, first + 1)
        tails = stats.binom.sf(at_most - x, size - first, probability)
        accept = float(stats.binom.pmf(x, first, probability) @ tails)
        assert operating_characteristic(plan, probability).accept == pytest.approx(
            accept, abs=1e-12
        )
    assert operating_characteristic(plan, low).accept <= 0.05
    assert operating_characteristic(plan, low + 0.2).accept >= 0.8


def test_no_better_than_wald() -> None:
    """Wald's lower bounds on the expected trials of any test with the achieved rates (Wald 1947,
    A:197): (b log(b / (1 - a)) + (1 - b) log((1 - b) / a)) / the mean log likelihood ratio."""
    plan = DESIGNED
    alpha, beta = (float(rate) for rate in exact_error_rates(plan))
    for p, q, miss, wrong in ((0.95, 0.5, alpha, beta), (0.5, 0.95, beta, alpha)):
        needed = (1 - miss) * math.log((1 - miss) / wrong) + miss * math.log(miss / (1 - wrong))
        gained = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        assert operating_characteristic(plan, p).expected_trials >= needed / gained


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.95, 0.5])
def test_simulation(probability: float) -> None:
    plan, runs = DESIGNED, 4000
    outcomes = np.random.default_rng(7).random((runs, plan.max_trials)) < probability
    ends = [plan.judge(row) for row in outcomes]
    found = operating_characteristic(plan, probability)
    accepted = sum(end[0] == "accept" for end in ends) / runs
    error = math.sqrt(found.accept * (1 - found.accept) / runs)
    assert abs(accepted - found.accept) <= 4.5 * error, f"{accepted} of {runs}, {found}"
    read = np.array([end[1] for end in ends])
    assert abs(read.mean() - found.expected_trials) <= 4.5 * read.std() / math.sqrt(runs)


def test_worst_expected_trials() -> None:
    plan = DESIGNED
    p, worst = worst_expected_trials(plan)
    curve = [operating_characteristic(plan, q).expected_trials for q in np.linspace(0, 1, 501)]
    assert max(curve) <= worst <= max(curve) + 1e-3
    assert operating_characteristic(plan, p).expected_trials == pytest.approx(worst, rel=1e-12)
    assert worst_expected_trials(single_look(5, 3))[1] == pytest.approx(5)
    # Accept at the first success, at most 3 trials: 3 are certain if p = 0.
    first = Plan(0.9, 0.2, 0.1, 0.5, 3, (1, 1, 1, 1), (-1, -1, -1, 0))
    assert worst_expected_trials(first) == (0.0, 3.0)


def test_judge_reads_no_further_than_the_decision() -> None:
    plan = DESIGNED
    outcomes = iter([True] * 30)
    assert plan.judge(outcomes) == ("accept", 7, 7)  # accept[7] is the first within reach
    assert len(list(outcomes)) == 23
    assert plan.judge([True] * 3) == ("continue", 3, 3)
    assert plan.judge([]) == ("continue", 0, 0)
    assert plan.judge(np.array([False, False])) == ("reject", 2, 0)


def stopping_points(plan: Plan) -> dict[tuple[int, int], int]:
    """(successes, trials): the number of paths, counted here by walking."""
    ends: dict[tuple[int, int], int] = {}
    live = {(0, 0): 1}
    while live:
        (successes, trials), paths = live.popitem()
        if plan.decide(successes, trials) != "continue":
            ends[successes, trials] = ends.get((successes, trials), 0) + paths
            continue
        for step in (0, 1):
            point = (successes + step, trials + 1)
            live[point] = live.get(point, 0) + paths
    return ends


@pytest.mark.parametrize("plan", [*COVERING, simon(9, 0, 17, 2), single_look(12, 8)], ids=plan_id)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_covers(plan: Plan, confidence: float) -> None:
    ends = stopping_points(plan)
    limits = {end: confidence_interval(plan, *end, confidence) for end in ends}
    assert min(low for low, _ in limits.values()) == 0.0
    assert max(high for _, high in limits.values()) == 1.0
    edges = [edge + nudge for pair in limits.values() for edge in pair for nudge in (-1e-9, 1e-9)]
    for p in [*np.linspace(0, 1, 101), *(edge for edge in edges if 0 <= edge <= 1)]:
        covered = sum(
            paths * p**successes * (1 - p) ** (trials - successes)
            for (successes, trials), paths in ends.items()
            if limits[successes, trials][0] <= p <= limits[successes, trials][1]
        )
        assert covered >= confidence - 1e-9, f"coverage {covered} at p={p}"
    for (successes, trials), (low, high) in limits.items():
        assert low <= successes / trials <= high
        wider = confidence_interval(plan, successes, trials, 0.99)
        assert wider[0] <= low
        assert high <= wider[1]


def test_interval_agrees_with_the_decision_order() -> None:
    """An earlier acceptance is stronger evidence, so both limits lie higher."""
    plan = DESIGNED
    accepted = sorted((n, s) for s, n in stopping_points(plan) if plan.decide(s, n) == "accept")
    limits = [confidence_interval(plan, s, n) for n, s in accepted]
    assert limits == sorted(limits, reverse=True)


@pytest.mark.parametrize("successes", [0, 1, 7, 11, 12])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_fixed_intervals_are_clopper_pearson(successes: int, confidence: float) -> None:
    exact = stats.binomtest(successes, 12).proportion_ci(confidence, method="exact")
    assert binomial_interval(successes, 12, confidence) == pytest.approx(tuple(exact), abs=1e-12)
    single = confidence_interval(single_look(12, 8), successes, 12, confidence)
    assert single == pytest.approx(tuple(exact), abs=1e-12)


@given(st.integers(1, 400), st.data())
def test_fixed_interval_contains_its_estimate_and_nests(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    narrow, wide = (binomial_interval(successes, trials, level) for level in (0.8, 0.99))
    assert 0 <= wide[0] <= narrow[0] <= successes / trials <= narrow[1] <= wide[1] <= 1


@pytest.mark.parametrize(
    ("accept", "reject"),
    [
        ((1, 2), (-1, 1)),  # too short
        ((1, 2, 2), (-1, -1, 1, 1)),  # of two lengths
        ((1, 2, 2), (-1, -1, 0)),  # undecided at the last trial
        ((1, 0, 2), (-1, 0, 1)),  # they cross
        ((1, 3, 2), (-1, -1, 1)),  # more successes than trials + 1
        ((1, 2, 2), (-2, -1, 1)),
    ],
)
def test_refuses_boundaries(accept: tuple[int, ...], reject: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"boundaries must have .* not Plan\("):
        Plan(0.9, 0.5, 0.1, 0.1, 2, accept, reject)


def test_refuses_points_and_outcomes() -> None:
    plan: Any = DESIGNED
    for successes, trials in ((3, 2), (-1, 2), (1, 23), (1.0, 2), (True, 2), (0, -1)):
        with pytest.raises(InputError, match=r"a whole number from 0 to \d+ is needed"):
            plan.decide(successes, trials)
    with pytest.raises(InputError, match="an outcome must be True or False, not 'stuck'"):
        plan.judge(["stuck"])
    wrong: Any
    for wrong in (-0.1, 1.1, math.nan, "0.5"):
        with pytest.raises(InputError, match="probability must be a number from 0 to 1, not"):
            operating_characteristic(plan, wrong)


def test_refuses_intervals() -> None:
    plan = DESIGNED
    successes: Any
    for successes, trials in ((0, 0), (3, 3), (2, 1), (5, 40)):
        with pytest.raises(
            InputError, match=f"cannot stop at {successes} successes in {trials} trials"
        ):
            confidence_interval(plan, successes, trials)
    for confidence in (0.0, 1.0, 95, math.nan):
        with pytest.raises(InputError, match=r"confidence is .*; between 0 and 1 is needed"):
            confidence_interval(plan, 7, 7, confidence)
        with pytest.raises(InputError, match="confidence is"):
            binomial_interval(7, 7, confidence)
    for successes, trials in ((1, 0), (3, 2), (-1, 2), (0.5, 2)):
        with pytest.raises(InputError, match=r"a whole number .* is needed"):
            binomial_interval(successes, trials)


def test_a_confidence_sequence_by_hand() -> None:
    assert confidence_sequence(0, 0) == (0, 1)
    # One success: the mixture's likelihood is 1/2, and 1/2 > 20 p below p = 1/40.
    assert confidence_sequence(1, 1) == (pytest.approx(0.025, abs=1e-8), 1)
    # Four failures: 1/5 > 20 (1 - p)^4 above 1 - 0.01 ** (1/4).
    assert confidence_sequence(0, 4) == (0, pytest.approx(1 - 0.01**0.25, abs=1e-8))
    # Two of five: B(3, 4) = 2! 3! / 6! = 1/60, and p^2 (1 - p)^3 = 1/1200 at both ends.
    for p in confidence_sequence(2, 5):
        assert p**2 * (1 - p) ** 3 == pytest.approx(1 / 1200, rel=1e-6)
    low, high = confidence_sequence(30, 40)
    assert confidence_sequence(10, 40) == pytest.approx((1 - high, 1 - low))
    with pytest.raises(InputError, match="confidence is 95"):
        confidence_sequence(1, 2, 95)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.5, 0.85, 0.95, 0.99])
def test_a_confidence_sequence_covers_at_all_times_at_once(p: float) -> None:
    """By enumeration: the chance that any of 150 intervals in a row misses p; whoever stops at the first
    of them that does is the worst that a cap can do."""
    inside, missed = {0: 1.0}, 0.0
    for trials in range(1, 151):
        reached: dict[int, float] = {}
        for successes, chance in inside.items():
            for up, share in ((1, p), (0, 1 - p)):
                reached[successes + up] = reached.get(successes + up, 0.0) + chance * share
        held = {s: confidence_sequence(s, trials) for s in reached}
        out = {s for s, (low, high) in held.items() if not low <= p <= high}
        missed += sum(reached[s] for s in out)
        inside = {s: chance for s, chance in reached.items() if s not in out}
    assert 0 < missed <= 0.05
    assert missed + sum(inside.values()) == pytest.approx(1)


def test_what_remains_of_a_plan_decides_as_the_whole_does() -> None:
    plan = ENUMERATED[2]
    for trials, successes in ((0, 0), (1, 1), (3, 2), (5, 4), (9, 7)):
        rest = remaining(plan, successes, trials)
        for outcomes in itertools.product((False, True), repeat=5):
            whole = [True] * successes + [False] * (trials - successes)
            decided = {plan.decide(sum(whole[:n]), n) for n in range(trials)}
            if "accept" in decided | {plan.decide(successes, trials)} or "reject" in decided:
                continue  # no way to this point
            expected = "continue"
            for n in range(len(outcomes) + 1):
                if trials + n > plan.max_trials or expected != "continue":
                    break
                expected = plan.decide(successes + sum(outcomes[:n]), trials + n)
            assert rest.judge(outcomes)[0] == expected
