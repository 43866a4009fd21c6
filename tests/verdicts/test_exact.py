"""Exact tests against hand arithmetic."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from deepcaptcha.verdicts.exact import fisher, holm, mcnemar, permutation, rank_sum, smallest_shift


def test_fisher_by_hand():
    # 3 of 3 against 0 of 3: one of C(6, 3) = 20 ways to share out three successes
    assert fisher((3, 3), (0, 3), "greater") == pytest.approx(1 / 20)
    assert fisher((3, 3), (0, 3), "less") == pytest.approx(1)
    assert fisher((0, 3), (3, 3)) == pytest.approx(2 / 20)


def test_mcnemar_by_hand():
    # Of four pairs that differ the first succeeds in three: (4 + 1) / 2**4 that it does so often.
    pairs = [(True, False)] * 3 + [(False, True)] + [(True, True)] * 5
    assert mcnemar(pairs, "greater") == pytest.approx(5 / 16)
    assert mcnemar(pairs, "less") == pytest.approx(15 / 16)
    assert mcnemar(pairs) == pytest.approx(10 / 16)
    assert mcnemar([(True, True), (False, False)]) == 1


def test_holm_by_hand():
    # 3 * 0.01, max(that, 2 * 0.02), max(that, 0.5); then back into the given order
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def level(*values):
    return [(0, value) for value in values]


def test_rank_sums_by_hand():
    # 4 and 5 of 1..5: one of C(5, 2) = 10 choices has so high a sum, and all have one as low.
    tails = rank_sum(level(4, 5), level(1, 2, 3))
    assert (tails.low, tails.high) == pytest.approx((1, 1 / 10))
    assert tails.p == pytest.approx(2 / 10)
    # With ties, 1 2 2 2 have mid-ranks 1 3 3 3: the three choices of two without the 1 are as high.
    tails = rank_sum(level(2, 2), level(1, 2))
    assert (tails.low, tails.high) == pytest.approx((1, 3 / 6))
    assert rank_sum(level(1, 1), level(1, 1, 1)).p == 1
    # A level above any value: whatever is there, that one ranks last.
    assert rank_sum([(1, -9.0)], level(1, 2, 3)).high == pytest.approx(1 / 4)


def test_rank_sums_without_ties_are_scipys():
    random = np.random.default_rng(3)
    for few, many in ((4, 20), (4, 100), (9, 7), (12, 30)):
        values = random.normal(size=few + many)
        new, old = values[:few] + 0.8, values[few:]
        tails = rank_sum(level(*new), level(*old))
        for alternative, found in (
            ("two-sided", tails.p),
            ("less", tails.low),
            ("greater", tails.high),
        ):
            expected = mannwhitneyu(new, old, alternative=alternative, method="exact").pvalue
            assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("few", [1, 3, 7])
def test_permutations_are_those_of_every_choice(few):
    """All choices of `few` of ten scores with ties, enumerated."""
    scores = [3, -1, 0, 0, 4, 4, 4, 17, 2, 0]
    sums = [sum(choice) for choice in itertools.combinations(scores, few)]
    own = sum(scores[:few])
    tails = permutation(scores[:few], scores[few:])
    assert tails.low == pytest.approx(sum(each <= own for each in sums) / len(sums))
    assert tails.high == pytest.approx(sum(each >= own for each in sums) / len(sums))


def test_no_more_than_the_level_is_called_different():
    """Over all 210 ways to draw 4 of ten with ties, each p-value is reached at most so often."""
    pool = [(0, value) for value in (1, 1, 2, 3, 3, 3, 4, 5, 6)] + [(2, 0)]
    found = []
    for places in itertools.combinations(range(10), 4):
        new = [pool[place] for place in places]
        old = [pool[place] for place in range(10) if place not in places]
        found.append(rank_sum(new, old).p)
    for bound in sorted(set(found)):
        assert sum(p <= bound * (1 + 1e-9) for p in found) / 210 <= bound * (1 + 1e-9)


def test_the_smallest_shift_seen_is_seen_nine_times_in_ten():
    """By another simulation, with SciPy's exact test and other draws."""
    random = np.random.default_rng(11)
    values = random.normal(size=60)
    shift = smallest_shift(tuple(values), 0, 4, 0.01)
    for factor, least, most in ((1.15, 0.88, 1.0), (0.8, 0.0, 0.88)):
        seen = [
            mannwhitneyu(
                random.choice(values, 4) + factor * shift, values, method="asymptotic"
            ).pvalue
            <= 0.01
            for _ in range(300)
        ]
        assert least <= np.mean(seen) <= most
    assert smallest_shift(tuple(values), 0, 4, 1e-7) == math.inf  # 2 / C(64, 4) is 3e-6
    assert smallest_shift((0.5,) * 60, 0, 4, 0.01) == 0
    # Of 60, 30 without a value rank above whatever is shifted.
    assert smallest_shift(tuple(values[:30]), 30, 4, 0.01) == math.inf
