"""Did a symptom, or a score of the check, foretell the stuck trials? Counted by hand."""

import itertools
import math
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import fisher_exact

from answer.__main__ import main
from answer.judging import (
    Case,
    Confusion,
    Predictor,
    associate,
    best_threshold,
    confusion,
    leave_one_out,
    stratified,
)
from answer.record import read_record
from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.trials.history import PREDICTORS
from deepcaptcha.trials.trial import Trial


def trial(name, outcome, probes):
    return Trial(name, "points", 0, outcome, "epochs", None, None, None, (), 1.0, "", {}, probes)


def measured(name, outcome, share):
    values = {"lost_share": share, "dead_units": None}
    return trial(name, outcome, {PREDICTORS: [[50, values]]})


def test_trials_are_counted_by_how_they_ended():
    trials = [
        *[measured("a", "stuck", 0.9)] * 3,
        measured("a", "stuck", 0.1),
        *[measured("a", "converged", 0.2)] * 4,
        measured("b", "converged", 0.6),
        measured("a", "slow", 0.9),
        trial("a", "stuck", {}),  # not measured
    ]
    share, dead = Predictor("lost_share", 50, 0.5), Predictor("dead_units", 50, 0.5)
    first, second = associate(trials, [share, dead])
    assert (first.stuck, first.converged) == ((3, 4), (1, 5))
    # Stratum a alone counts: Fisher's (3, 1, 0, 4) is 5 / 70; Holm doubles it for two symptoms.
    assert first.p == pytest.approx(2 * 5 / 70)
    assert first.least_p == pytest.approx(5 / 70)
    assert first.strata == {"points a": (3, 1, 0, 4), "points b": (0, 0, 1, 0)}
    assert (second.stuck, second.p, second.strata) == ((0, 0), 1.0, {})
    assert share.words == "lost share >= 0.5 at step 50"


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


CASES = [
    Case("a", 0.9, True),
    Case("a", 0.2, False),
    Case("b", 0.6, True),
    Case("b", 0.1, False),
    Case("c", 0.3, True),
    Case("c", 0.4, False),
]


def test_counts_and_their_shares():
    counts = confusion(CASES, 0.35)
    assert counts == Confusion(hits=2, false_alarms=1, misses=1, left_alone=2)
    assert (counts.precision, counts.recall, counts.right) == (2 / 3, 2 / 3, 4)
    assert confusion(CASES, 0.9).hits == 1  # the threshold itself is an alarm
    assert Confusion(left_alone=3).precision is None
    assert Confusion(left_alone=3).recall is None


def test_the_threshold_lies_in_the_middle_of_the_widest_gap_that_errs_least():
    # Without c: 0.2 and 0.6 are told apart by anything between, 0.4 in the middle.
    assert best_threshold([case for case in CASES if case.group != "c"]) == 0.4
    assert best_threshold([Case("a", 0.5, False), Case("b", 0.7, False)]) == math.inf
    assert best_threshold([Case("a", 0.5, True), Case("b", 0.7, True)]) == 0.5
    assert best_threshold([]) == math.inf  # one architecture alone has no others


def test_each_group_is_scored_by_a_threshold_of_the_others():
    scored = leave_one_out(CASES)
    assert scored["c"] == (0.4, Confusion(false_alarms=1, misses=1))
    # Without b two thresholds err once; the wider gap is from 0.4 to 0.9.
    assert scored["b"] == (pytest.approx(0.65), Confusion(misses=1, left_alone=1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "--seeds", "101"], "--seeds is 101; the baseline of same raw-subset has 100"),
        (["predict", "--baselines", "nowhere"], "no baseline of same raw-subset in nowhere"),
        (["symptoms", "--ledger", "nowhere"], "nowhere holds no trials with symptoms"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.slow
def test_the_first_symptom_is_counted_again_from_initial_weights():
    """Of one network, as for `symptoms.json`: which of 100 starts have lost half of the examples."""
    from deepcaptcha.diagnosis.observe import Observer
    from deepcaptcha.diagnosis.probes import EXAMPLES

    row, source = ("two-by-two", "raw-subset"), RECIPES["raw-subset"].source("two-by-two")
    record = read_record(Path(__file__).parents[2] / "fixtures")
    baseline, first = record.baselines[row], record.symptoms["predictors"][0]
    model, x, y, _ = source.start(baseline.first_seed)
    observer, counts = Observer(model, training=False), Counter()
    for place, outcome in enumerate(baseline.outcomes):
        model.set_weights(source.start(baseline.first_seed + place)[0].get_weights())
        lost = observer.observe(x[:EXAMPLES], y[:EXAMPLES]).lost_share
        counts[outcome, lost >= first["predictor"]["threshold"]] += 1
    ends = itertools.product(("stuck", "converged"), (True, False))
    assert first["strata"]["raw-subset two-by-two"] == [counts[end] for end in ends]
