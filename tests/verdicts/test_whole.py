"""All rows of a session: misses and measures of all together, twins, names and records."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import hypergeom
from scipy.stats import t as student

from deepcaptcha import InputError
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.baseline import write_baseline
from deepcaptcha.verdicts.claim import Budget, Claim
from deepcaptcha.verdicts.comparison import compare_courses
from deepcaptcha.verdicts.judge import Evidence, judge
from deepcaptcha.verdicts.measures import Course, measures_of
from deepcaptcha.verdicts.ruler import Shift
from deepcaptcha.verdicts.whole import (
    Whole,
    judge_rows,
    judge_whole,
    judge_whole_again,
    shared_names,
    twins_of,
    unnamed_baselines,
    untrue_twins,
    whole_sees,
)
from tests.verdicts.examples import LOGGED, courses, logged, trial, with_numbers

TARGET = Target(0.9, epochs=3)


def outcomes(missed, count, first=0):
    """A row's courses without numbers; those of the `missed` seeds did not converge."""
    return [Course(first + n, "stuck" if n in missed else "converged", ()) for n in range(count)]


def test_misses_of_all_rows_are_one_hypergeometric_tail():
    rows = ("a", "b", "c")
    recorded = {row: outcomes((), 40) for row in rows}
    declared = Whole(seeds=6, alpha=0.01)
    # One miss in each of three rows, on three seeds: that 3 of the 46 seeds that miss are all new.
    apart = {row: outcomes((n,), 6) for n, row in enumerate(rows)}
    verdict = judge_whole(declared, recorded, apart, {})
    p = hypergeom.sf(2, 46, 3, 6)
    assert (verdict.colour, verdict.note) == ("red", f"more misses, p {p:.2g}")
    assert (verdict.hypothesis, verdict.successes, verdict.trials) == ("the whole", 15, 18)
    # On one seed they are one event: 6 / 46, however many rows it hits.
    together = {row: outcomes((2,), 6) for row in rows}
    assert judge_whole(declared, recorded, together, {}).colour == "green"
    assert judge_whole(replace(declared, alpha=6.01 / 46), recorded, together, {}).colour == "red"
    # Two rows that are twins count once: two misses are left, of which C(6, 2) / C(46, 2) are new.
    twice = replace(declared, twins={"b": "a"})
    same = {"a": apart["a"], "b": apart["a"], "c": apart["c"]}
    verdict = judge_whole(replace(twice, alpha=0.02), recorded, same, {})
    assert (verdict.colour, verdict.trials) == ("red", 12)
    assert verdict.note == f"more misses, p {15 / 1035:.2g}"
    assert judge_whole(twice, recorded, same, {}).colour == "green"


def test_a_measure_that_moves_a_little_in_every_row_is_seen_by_all_together():
    random = np.random.default_rng(5)
    rows = [f"row {n}" for n in range(12)]
    values = {row: random.normal(0.5, 0.02, 80) for row in rows}
    recorded = {row: courses(values[row][:70]) for row in rows}
    measures = {row: measures_of(recorded[row], TARGET, 0.1) for row in rows}
    new = {row: courses(values[row][70:] + 0.016, first=0) for row in rows}
    declared = Whole(seeds=10, alpha=0.01)
    level = 0.01 / len(rows)
    alone = [
        compare_courses(measures[row][:1], recorded[row], new[row], level)[0].p for row in rows
    ]
    assert min(alone) > level
    verdict = judge_whole(declared, recorded, new, measures)
    assert verdict.colour == "red"
    assert "worse in training loss after epoch 1 over all rows" in verdict.note
    same = {row: courses(values[row][70:], first=0) for row in rows}
    assert judge_whole(declared, recorded, same, measures).colour == "green"
    lower = {row: courses(values[row][70:] - 0.03, first=0) for row in rows}
    assert judge_whole(declared, recorded, lower, measures).colour == "yellow"
    assert judge_whole(declared, recorded, lower, measures, strict=True).colour == "red"


def test_the_whole_needs_the_declared_seeds_of_every_row():
    recorded = {"a": outcomes((), 40), "b": outcomes((), 40)}
    with pytest.raises(InputError, match="b has 5 new trials; 6 are declared"):
        judge_whole(Whole(6), recorded, {"a": outcomes((), 6), "b": outcomes((), 5)}, {})
    for wrong in ((0,), (6, 0.0)):
        with pytest.raises(InputError, match="the whole suite's"):
            Whole(*wrong)


def test_the_whole_says_which_fall_it_would_have_seen():
    recorded = {f"row {n}": outcomes((), 60) for n in range(10)}
    # 10 seeds of 10 rows: of 100 trainings some two miss at 2 %, and 20 at 20 %.
    seen = whole_sees(Whole(10), recorded)
    assert seen in (0.05, 0.1)
    assert whole_sees(Whole(1), {"a": recorded["row 0"]}) is None


def moved(by, rows=8, arithmetic="", measure="loss"):
    """Each row's seeds moved by so much, of a spread of 10, and scattered by 1."""
    return [Shift(arithmetic, f"r{n}", measure, by, 1.0, 10.0, 4) for n in range(rows)]


def test_all_rows_together_see_a_shift_that_is_none_in_each():
    ruler = moved(0.1, arithmetic="oneDNN off") + moved(-0.2, arithmetic="AVX")
    # None of 1 spread in 10 is seen in a row, of which 0.15 is allowed; 0.06, 3 x 0.02, in all of them.
    verdict = judge_whole_again(moved(1.0), ruler, 0.02)
    assert (verdict.hypothesis, verdict.colour, verdict.alpha) == ("the whole", "red", 0.02)
    assert "moved in 8 rows together" in verdict.note
    assert "loss: +0.1 spreads, at most 0.06 allowed" in verdict.note
    # Beyond it by 0.04 with an error of 0.1 / sqrt(8 rows x 4 seeds): t is 2.26 of 48 degrees.
    assert f"p {student.sf(0.04 / (0.1 / 32**0.5), 48):.2g}" in verdict.note
    better = judge_whole_again(moved(-1.0), ruler, 0.02)
    assert better.colour == "yellow"
    assert judge_whole_again(moved(-1.0), ruler, 0.02, strict=True).colour == "red"
    none = judge_whole_again(moved(0.5), ruler, 0.02)
    assert (none.colour, "8 rows by 4 recorded seeds each moved by +0.05" in none.note) == (
        "green",
        True,
    )
    assert none.sees > 0.06
    assert judge_whole_again(moved(1.0, rows=1), ruler, 0.02) is None
    assert judge_whole_again(moved(1.0), (), 0.02) is None
    # An arithmetic tried on one seed of each row says how far it moved them, not how far they scatter.
    single = [replace(s, scatter=0.0, seeds=1) for s in moved(0.1, arithmetic="SSE")]
    assert judge_whole_again(moved(1.0), [*ruler, *single], 0.02).note == verdict.note
    assert judge_whole_again(moved(1.0), single, 0.02) is None
    # Eight means of which four are by a single seed: sqrt(4 / 4 + 4) / 8 of a seed's scatter.
    unequal = [replace(s, seeds=1 if place % 2 else 4) for place, s in enumerate(moved(1.0))]
    p = student.sf(0.04 / (0.1 * 5**0.5 / 8), 48)
    assert f"p {p:.2g}" in judge_whole_again(unequal, ruler, 0.5).note


def test_twins_end_with_the_same_weights():
    weights = {"a": ["x", "y"], "b": ["x", "z"], "c": ["x", "y"], "d": [], "e": []}
    assert twins_of(weights) == {"c": "a"}


ROWS = Budget(6, rows=2)


def whole(tmp_path, missed=(), names=("one", "two"), count=14, first=2_000_000, twin=""):
    """The evidence of rows with 40 recorded trials that all converged; `missed`: row and place of the
    new trials that did not."""
    for name in names:
        made = replace(with_numbers(), name=name, first_seed=1_000_000)
        path = write_baseline(tmp_path, made)

        def trial_at(index, own=name):
            outcome = "stuck" if (own, index) in missed else "converged"
            ended = {
                "epochs": (Epoch(logged(0.95, 0.46 + 3 * index / 1000)),),
                "weights_sha256": own,
            }
            return replace(trial(first + index, outcome, recipe=LOGGED), **ended)

        source = SimpleNamespace(name=name, recipe="points", target=Target())
        evidence = judge(source, Claim("mixed"), ROWS, trial_at, least=count)
        yield replace(evidence, baseline=str(path), twin=twin if name == "two" else "")


def test_rows_whose_recorded_seeds_moved_are_judged_together(tmp_path):
    """By 0.1 spreads each, where 0.05 is allowed and rounding scatters a mean of 8 by 0.0035."""
    moved = [
        replace(
            row,
            moved=(Shift("", f"points {row.name}", "loss", 1.0, 0.1, 10.0, 4),),
            ruler=(Shift("oneDNN off", f"points {row.name}", "loss", 0.1, 0.1, 10.0, 4),),
        )
        for row in whole(tmp_path)
    ]
    verdict = judge_rows(moved)
    assert (verdict.hypothesis, verdict.colour) == ("the whole", "red")
    assert "moved in 2 rows together, more is worse: loss: +0.1 spreads" in verdict.note
    carried = [Evidence.from_dict(json.loads(json.dumps(row.as_dict()))) for row in moved]
    assert judge_rows(carried) == verdict
    alone = [replace(moved[0], moved=()), moved[1]]
    assert judge_rows(alone).note == "less than two rows have recorded seeds that pair"


def test_the_whole_is_judged_by_all_rows(tmp_path):
    same = judge_rows(list(whole(tmp_path)))
    assert (same.hypothesis, same.colour) == ("the whole", "green")
    assert same.note.startswith("2 rows, 14 seeds, 40 recorded: misses and ")
    assert same.note.endswith("of every row's rate with 90 % power")
    # Six of 14 seeds with a miss, none of 40: C(14, 6) / C(54, 6) = 0.00012; twice, for half of alpha.
    missed = [("one", 0), ("one", 1), ("one", 2), ("two", 3), ("two", 4), ("two", 5)]
    fell = judge_rows(list(whole(tmp_path, missed)))
    assert (fell.colour, fell.note) == ("red", "more misses, p 0.00023")
    carried = [
        Evidence.from_dict(json.loads(json.dumps(each.as_dict(), allow_nan=False)))
        for each in whole(tmp_path, missed)
    ]
    assert judge_rows(carried) == fell


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ("one",)}, "1 of 2 rows were judged"),
        ({"count": 3}, "points one has 3 new trials, and 14 are declared"),
        ({"first": 1_000_000}, "the recorded seeds themselves were judged"),
    ],
)
def test_the_whole_says_why_it_cannot_tell(tmp_path, change, words):
    verdict = judge_rows(list(whole(tmp_path, **change)))
    assert (verdict.colour, verdict.note) == ("cannot tell", words)


def test_records_that_no_row_names_are_told_of_the_recipes_that_were_compared(tmp_path):
    places = ("points/same", "points/gone", "x86_64-avx2/points/older", "question/nobody")
    for place in places:
        path = tmp_path / f"{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    row = SimpleNamespace(name="same", recipe="points", baseline=str(tmp_path / "points/same.json"))
    assert unnamed_baselines([row]) == ("points/gone", "points/older")


def test_a_twin_that_is_none_is_told(tmp_path):
    """Rows that end in other weights are two pieces of evidence, whatever is declared."""
    assert untrue_twins(list(whole(tmp_path))) == ()
    (line,) = untrue_twins(list(whole(tmp_path, twin="one")))
    assert "two under points is declared the twin of one, and seed 2000000 ended in other" in line
    (alone, *_), (*_, same) = whole(tmp_path), whole(tmp_path, names=("two",), twin="two")
    assert untrue_twins([alone, same]) == ()


def test_two_trainings_of_one_name_are_told_to_share_a_baseline(tmp_path):
    """As the cases of one test have it, whose function is the same with other arguments."""
    one, two = whole(tmp_path)
    assert shared_names([one, two, one]) == ()
    other = replace(two, name="one", baseline=one.baseline, test="test_it[b]")
    (line,) = shared_names([replace(one, test="test_it[a]"), other])
    assert line.startswith(
        "one under points is the name of two trainings, of test_it[a] and test_it[b],"
    )
