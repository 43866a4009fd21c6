"""What benchmarks compute and do not time."""

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.arithmetic import (
    Pace,
    Work,
    compare_work,
    fixed_work,
    forward_operations,
    multiply_adds,
    sequential_work,
    stopping_plan,
    training_operations,
)
from benchmarks.rows_speed import TEAMS
from deepcaptcha import VARIANTS
from deepcaptcha.verdicts.baseline import Baseline
from deepcaptcha.verdicts.plan import Plan


def make_baseline(outcomes, epochs):
    return Baseline("n", {}, (), "", 1, 0, tuple(outcomes), tuple(epochs), {}, "")


@pytest.mark.parametrize(
    ("variant", "layers", "training"),
    [
        # By hand: output height * width * filters * (3 * 3 * channels in); dense: inputs * units.
        # Training: 2 operations * (2 * first layer + 3 * the others).
        ("valid", (194_688, 1_672_704, 248_832, 32_768, 5_120), 12_535_296),
        ("same", (225_792, 2_709_504, 1_354_752, 294_912, 5_120), 27_088_896),
        # 14 x 14 after the first convolution, 7 x 7 after its pooling, then 3 x 3 and 1 x 1.
        ("stride2-first", (56_448, 677_376, 248_832, 32_768, 5_120), 6_010_368),
    ],
)
def test_multiply_adds_are_those_counted_by_hand(variant, layers, training):
    architecture = VARIANTS[variant].architecture
    assert multiply_adds(architecture) == layers
    assert forward_operations(architecture) == 2 * sum(layers)
    assert training_operations(architecture) == training


def test_work_of_a_sequential_plan_by_hand():
    # Two trials at most; a first failure rejects. At a rate of 1/2: 1 + 1/2 = 1.5 trials expected.
    plan = Plan(0.9, 0.1, 0.5, 0.5, 2, (1, 2, 2), (-1, 0, 1))
    mixed = make_baseline(["converged", "stuck", "slow", "converged"], [1, None, None, 3])
    # (1 * 100 + 30 + 5 * 100 + 3 * 100) / 4 = 232.5 examples a trial.
    assert sequential_work(plan, [mixed], epoch=100, epochs=5, stuck=30) == Work(1, 1.5, 348.75)
    # At a rate of 1 both trials are read.
    sure = make_baseline(["converged"], [2])
    assert sequential_work(plan, [mixed, sure], 100, 5, 30) == Work(2, 3.5, 348.75 + 400)


def test_the_product_is_the_ratio_of_the_two_times():
    # By hand: ours 40 / 20 + (4 * 0.5 + 2 * 1) / 2 = 4 s, 10 examples/s;
    # peer 600 / 20 + 12 * 5 / 2 = 60 s, 10 examples/s; trials 6 / 2, examples a trial 50 / 10.
    ours, our_pace = Work(2, 4, 40), Pace(20, 2, overhead=0.5, setup=1)
    peer, peer_pace = fixed_work(2, 6, 50), Pace(20, 2, overhead=5)
    product = compare_work(ours, our_pace, peer, peer_pace)
    assert (product.trials, product.samples, product.speed) == pytest.approx((3, 5, 1))
    assert our_pace.seconds(ours) == pytest.approx(4)
    assert peer_pace.seconds(peer) == pytest.approx(60)
    assert product.ratio == pytest.approx(60 / 4)


def test_another_tools_stop_becomes_the_shortest_plan_that_keeps_the_rates():
    # Passes only at three successes of three, never fails before: P(pass) = p ** 3. At p_good 0.9:
    # 1 - 0.729 = 0.271 wrong reds; at p_bad 0.1: 0.001 wrong greens. Two of two never pass.
    cutoffs = [(1, -1), (2, -1), (3, -1), (3, -1), (4, -1)]
    plan = stopping_plan((0.9, 0.1, 0.3, 0.01), cutoffs)
    assert plan is not None
    assert (plan.max_trials, plan.accept[3], plan.reject[3]) == (3, 3, 2)
    # One failure and three of three are out of reach: it stops there.
    assert plan.reject == (-1, 0, 1, 2)
    assert stopping_plan((0.9, 0.1, 0.2, 0.01), cutoffs[:4]) is None


def test_every_benchmark_names_teams_that_exist():
    assert {name for benchmark in BENCHMARKS.values() for name in benchmark.teams} <= set(TEAMS)
