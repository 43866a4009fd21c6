"""Exact tests against hand arithmetic, enumeration and SciPy."""

import itertools

import pytest
from scipy.stats import fisher_exact

from deepcaptcha.verdicts.exact import fisher, holm, mcnemar, stratified


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


@pytest.mark.parametrize("table", [(8, 2, 1, 9), (3, 3, 3, 3), (0, 5, 4, 1), (5, 0, 0, 5)])
def test_one_stratum_is_fishers_exact_test(table):
    a, b, c, d = table
    p, _ = stratified([table])
    assert p == pytest.approx(fisher_exact([[a, b], [c, d]], alternative="greater").pvalue)


def chance_by_enumeration(tables):
    """Every way of handing the symptom to the trials of each stratum."""
    ways = []
    for a, b, c, d in tables:
        stuck = a + b
        ways.append(
            [
                sum(place < stuck for place in chosen)
                for chosen in itertools.combinations(range(a + b + c + d), a + c)
            ]
        )
    sums = [sum(way) for way in itertools.product(*ways)]
    observed = sum(table[0] for table in tables)
    return sum(s >= observed for s in sums) / len(sums), sums.count(max(sums)) / len(sums)


def test_strata_are_exact_by_enumeration():
    tables = [(2, 1, 1, 3), (3, 0, 1, 2), (0, 1, 0, 3)]
    assert stratified(tables) == pytest.approx(chance_by_enumeration(tables))


def test_a_stratum_where_all_ended_alike_tells_nothing():
    assert stratified([(4, 1, 0, 0)]) == (1.0, 1.0)
    assert stratified([(4, 1, 0, 0), (2, 0, 0, 2)]) == stratified([(2, 0, 0, 2)])
    assert stratified([]) == (1.0, 1.0)


def test_holm_by_hand():
    # 3 * 0.01, max(that, 2 * 0.02), max(that, 0.5); then back into the given order
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
