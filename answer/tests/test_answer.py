"""The answer's judgements on small records made by hand, and the committed answer itself."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from answer.__main__ import main
from answer.experiments import EXPERIMENTS
from answer.explain import TEMPLATE, answer_content
from answer.judging import (
    expectations,
    judged_pairs,
    rank_correlation,
    recorded_symptoms,
    score_checks,
)
from answer.record import RECORDED, ExperimentRecord, Record
from answer.statements import PAIRS
from deepcaptcha import VARIANTS
from deepcaptcha.report.page import fill
from deepcaptcha.verdicts.baseline import Baseline

KNOWN = {experiment.name: experiment for experiment in EXPERIMENTS}
ROOT = Path(__file__).parents[2]


def baseline(converged, stuck, seen=30):
    """Of trials that had been seen, all slow, and so many others."""
    outcomes = ("slow",) * seen + ("converged",) * converged + ("stuck",) * stuck
    return Baseline("a", {"name": "b"}, (), "", 1, 0, outcomes, (None,) * len(outcomes), HERE, "")


HERE = {
    **dict.fromkeys(("tensorflow", "keras", "numpy", "python", "processor"), "1"),
    "instructions": [],
    "threads": 1,
    "onednn": True,
}


def record(rows=None, experiments=(), checks=()):
    every = {
        (name, recipe): baseline(5, 5, 0 if recipe == "question" else 30)
        for name in VARIANTS
        for recipe in RECORDED
    }
    measured = {
        name: ExperimentRecord(name, {k: dict(enumerate(v)) for k, v in cells.items()}, HERE, "")
        for name, cells in experiments
    }
    symptoms = {"predictors": [], "modes": {"clipped": 4, "learning": 1}}
    return Record({**every, **(rows or {})}, measured, symptoms, {"raw-subset": list(checks)})


def ended(converged, stuck):
    outcomes = ["converged"] * converged + ["stuck"] * stuck
    return [{"outcome": outcome, "epochs_to_target": None} for outcome in outcomes]


def trainings(**stuck):
    """Every training experiment with 10 of 20 stuck in each cell, but for the numbers given."""
    return [
        (e.name, {c.label: ended(20 - (k := stuck.get(c.label, 10)), k) for c in e.conditions})
        for e in EXPERIMENTS
        if e.measure in ("training", "rescue")
    ]


def test_pairs_are_judged_on_unseen_seeds_and_adjusted_together():
    rows = {("same-logits", "raw-subset"): baseline(10, 0), ("same", "raw-subset"): baseline(0, 10)}
    found = {(one.pair.better, one.pair.worse): one for one in judged_pairs(record(rows))}
    judged = found[("same-logits", "raw-subset"), ("same", "raw-subset")]
    # 10 of 10 against 0 of 10 is one of C(20, 10) = 184,756 ways, the smallest p of 12.
    assert judged.p == pytest.approx(12 / 184_756)
    assert judged.against
    assert not found[("valid", "raw-subset"), ("pool4", "raw-subset")].against


def test_pairs_of_twins_are_one_and_their_repair_counts_once():
    weights = tuple(f"{place:x}" for place in range(40))
    one = replace(baseline(10, 0), weights=weights)
    rows = {("same-reshape-first", "raw-subset"): one, ("same-logits", "raw-subset"): one}
    twins = record({**rows, ("same", "raw-subset"): baseline(0, 10)})
    assert twins.twins == {("same-logits", "raw-subset"): ("same-reshape-first", "raw-subset")}
    pairs = [judged.pair for judged in judged_pairs(twins)]
    assert len(pairs) == len(PAIRS) - 1
    assert not [pair for pair in pairs if pair.better == ("same-logits", "raw-subset")]
    other = replace(one, weights=(*weights[:-1], "another"))
    assert not record({**rows, ("same-logits", "raw-subset"): other}).twins


def test_what_is_recorded_of_symptoms_is_computed_again():
    """3 of 4 stuck and 1 of 5 converged trials in one network, 1 of 1 and none of 2 in another: by
    enumeration (`test_judging.py`), and a twin's network once."""
    strata = {"raw-subset valid": [3, 1, 1, 4], "raw-subset pool4": [1, 0, 0, 2]}
    twin = {"raw-subset same-logits": [0, 0, 5, 0], "raw-subset same-reshape-first": [0, 0, 5, 0]}
    share = {"measure": "lost_share", "step": 50, "threshold": 0.5}
    told = [
        {
            "predictor": share,
            "stuck": [4, 5],
            "converged": [11, 17],
            "p": 1,
            "strata": strata | twin,
        },
        {"predictor": share, "stuck": [1, 5], "converged": [0, 17], "p": 0.25},
    ]
    weights = tuple(f"{place:x}" for place in range(40))
    one = replace(baseline(10, 0), weights=weights)
    rows = {(name, "raw-subset"): one for name in ("same-reshape-first", "same-logits")}
    found = recorded_symptoms(replace(record(rows), symptoms={"predictors": told}))
    assert [(each.stuck, each.converged, each.computed) for each in found] == [
        ((4, 5), (6, 12), True),
        ((1, 5), (0, 17), False),
    ]
    # Of 126 ways to give 4 symptoms to 9 trials 20 and 1 have 3 and 4 of the 4 stuck ones; of 3 ways to
    # give one symptom to 3 trials 1 has the stuck one: 3 + 1 stuck, or 4 + 0, or 4 + 1.
    chance = 20 / 126 * 1 / 3 + 1 / 126
    # The second was told as 2 * 0.125, the smaller one of two, and is now the larger one.
    assert [each.p for each in found] == pytest.approx([2 * chance, 0.125])


def test_a_correlation_that_follows_from_its_ranks():
    heads = [v for v in VARIANTS.values() if v.architecture.head == "softmax-reshape"]
    order = sorted(heads, key=lambda v: v.architecture.parameters)
    sizes = Counter(v.architecture.parameters for v in order)
    # The more parameters, the fewer converge; equal numbers, equally many: ranks exactly reversed.
    rates = {size: 10 - place for place, size in enumerate(sorted(sizes))}
    rows = {(v.name, "raw-subset"): baseline(rates[v.architecture.parameters], 10) for v in heads}
    found = rank_correlation(record(rows), "parameters")
    assert (found.rho, found.networks) == (pytest.approx(-1), 10)


def test_a_contrast_is_judged_by_mcnemars_test_over_all_contrasts():
    (experiment,) = (e for e in EXPERIMENTS if e.name == "clip")
    measured = trainings(**{"clip at 1e-7": 20, "clip at 1e-30": 0})
    (expected,) = expectations(record(experiments=measured), experiment)
    assert expected.met
    # 20 of 20 seeds differ in one direction: 2 ** -20 = 9.5e-7, times six contrasts.
    assert expected.shown == "20 of 20 against 0 of 20, p 5.7e-06"
    (expected,) = expectations(record(experiments=trainings()), experiment)
    assert not expected.met


def test_only_what_was_stuck_is_rescued():
    (experiment,) = (e for e in EXPERIMENTS if e.name == "rescue")
    rescued = [{**one, "before": "stuck"} for one in ended(8, 0)]
    fine = [{**one, "before": "converged"} for one in ended(2, 0)]
    blind = [{**one, "before": "stuck"} for one in ended(0, 8)]
    cells = {"reshape first": [*rescued, *fine], "as it was": [*blind, *fine]}
    others = [each for each in trainings() if each[0] != "rescue"]
    (expected,) = expectations(record(experiments=[*others, ("rescue", cells)]), experiment)
    assert expected.shown.startswith("8 of 8 against 0 of 8")


def test_a_ratio_is_one_of_medians():
    (experiment,) = (e for e in EXPERIMENTS if e.measure == "step")
    cells = {c.label: [_moved(1), _moved(2), _moved(90)] for c in experiment.conditions}
    cells["same"] = [_moved(18), _moved(0), _moved(100)]
    measured = [*trainings(), ("step", cells)]
    first, *others = expectations(record(experiments=measured), experiment)
    assert first.met
    # Of the 27 resamples of three seeds 7 have the median of the lowest, 7 that of the highest.
    assert first.shown == "9.0 times (0.0 to 18.0)"
    assert first.doubtful
    assert not others[0].met  # 2 against 2
    assert not others[0].doubtful


def _moved(nats):
    moved = dict.fromkeys(("movement", "movement of dense1", "size"), nats)
    return {**moved, "lost_before": 0.5, "lost_after": 0.5}


def answered(rows, stuck, moved):
    step = {c.label: [_moved(moved(c))] * 2 for c in KNOWN["step"].conditions}
    looks = {c.label: [[[0, 1.0, 0.5, 0.0, 0.0]]] for c in KNOWN["trajectory"].conditions}
    measured = [*trainings(**stuck), ("step", step), ("trajectory", looks)]
    checks = [{"variant": "same", "errors": [], "outcome": "stuck", "lost_share": 0.5}]
    return fill(TEMPLATE, answer_content(record(rows, measured, checks)), escape=False)


def test_the_words_of_the_answer_follow_from_the_numbers():
    cured = [("same-reshape-first", "raw-subset"), ("same-logits", "raw-subset")]
    rows = {
        **dict.fromkeys([*cured, ("same", "sound-subset")], baseline(70, 0)),
        ("same", "raw-subset"): baseline(0, 70),
    }
    stuck = {
        **dict.fromkeys(("same", "valid, pixels * 9", "rate 0.001"), 20),
        **dict.fromkeys(("same, pixels / 9", "valid", "rate 0.0001", "rate 0.0001, 50 epochs"), 0),
        "rate 0.0001, 5 epochs": 20,
        "clip at 1e-7": 20,
        "clip at 1e-30": 0,
        "as it was": 20,
        "reshape first": 0,
    }
    inputs = {"same": 9, "two-by-two": 4, "valid": 1, "same-reshape-first": 9}

    def in_proportion(condition):
        return inputs[condition.variant] * condition.pixels * condition.learning_rate

    said = answered(rows, stuck, in_proportion)
    assert "**The network is not too large." in said
    assert "move the logits further." in said
    assert "This breaks the chain" in said
    assert "**no**" not in said

    said = answered({("valid", "raw-subset"): baseline(6, 4)}, {}, lambda condition: 1)
    assert "**Not every experiment did" in said
    assert "Not even the direction is as expected everywhere." in said
    assert "- yes" not in said
    for claimed in (
        "not too large",
        "This breaks the chain",
        "without touching",
        "is enough",
        "So it is not",
    ):
        assert claimed not in said


def test_errors_of_the_check_are_scored_against_outcomes():
    def checked(errors, outcome, lost):
        return {"variant": "same", "errors": errors, "outcome": outcome, "lost_share": lost}

    checks = [
        checked(["lost examples"], "stuck", 0.9),
        checked(["lost examples"], "slow", 0.6),
        checked([], "stuck", 0.1),
        checked([], "converged", 0.0),
    ]
    scored = score_checks(checks)
    assert (scored.fixed.recall, scored.fixed.precision, scored.fixed.trials) == (0.5, 0.5, 4)


def test_the_committed_answer_is_what_the_record_says(tmp_path, capsys):
    folders = ["--record", str(ROOT / "fixtures"), "--output", str(tmp_path)]
    assert main(["explain", *folders, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert len(written) == 4
    for path in map(Path, written):
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes(), path.name


def test_a_record_that_is_not_there(tmp_path, capsys):
    assert main(["explain", "--record", str(tmp_path)]) == 2
    assert "no baseline of same raw-subset in" in capsys.readouterr().err
