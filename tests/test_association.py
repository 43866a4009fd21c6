"""Did a symptom foretell the stuck trials? Exact tests against enumeration and Fisher's."""

import itertools
from dataclasses import replace

import pytest
from scipy.stats import fisher_exact

from deepcaptcha.association import Predictor, associate, stratified_test
from deepcaptcha.symptom_probes import PREDICTORS

from .test_ledger import make_trial


@pytest.mark.parametrize("table", [(8, 2, 1, 9), (3, 3, 3, 3), (0, 5, 4, 1), (5, 0, 0, 5)])
def test_one_stratum_is_fishers_exact_test(table):
    a, b, c, d = table
    p, _ = stratified_test([table])
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
    assert stratified_test(tables) == pytest.approx(chance_by_enumeration(tables))


def test_a_stratum_where_all_ended_alike_tells_nothing():
    assert stratified_test([(4, 1, 0, 0)]) == (1.0, 1.0)
    assert stratified_test([(4, 1, 0, 0), (2, 0, 0, 2)]) == stratified_test([(2, 0, 0, 2)])
    assert stratified_test([]) == (1.0, 1.0)


def measured(name, outcome, share):
    values = {"lost_share": share, "dead_units": None}
    return replace(make_trial(name=name, outcome=outcome), probes={PREDICTORS: [[50, values]]})


def test_trials_are_counted_by_how_they_ended():
    trials = [
        *[measured("a", "stuck", 0.9)] * 3,
        measured("a", "stuck", 0.1),
        *[measured("a", "converged", 0.2)] * 4,
        measured("b", "converged", 0.6),
        measured("a", "slow", 0.9),
        make_trial(name="a", outcome="stuck"),  # not measured
    ]
    share, dead = Predictor("lost_share", 50, 0.5), Predictor("dead_units", 50, 0.5)
    first, second = associate(trials, [share, dead])
    assert (first.stuck, first.converged) == ((3, 4), (1, 5))
    # Stratum a alone counts: Fisher's (3, 1, 0, 4) is 5 / 70; Holm doubles it for two symptoms.
    assert first.p == pytest.approx(2 * 5 / 70)
    assert first.least_p == pytest.approx(5 / 70)
    assert (second.stuck, second.p) == ((0, 0), 1.0)
    assert share.words == "lost share >= 0.5 at step 50"
