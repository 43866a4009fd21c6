"""The answer's judgements on small records made by hand, and the committed answer itself."""

import json
from collections import Counter
from pathlib import Path

import pytest

from answer.__main__ import main
from answer.experiments import EXPERIMENTS
from answer.explain import TEMPLATE, answer_content
from answer.judging import expectations, judged_pairs, rank_correlation, score_checks
from answer.record import RECORDED, ExperimentRecord, Record
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


def test_a_correlation_that_follows_from_its_ranks():
    heads = [v for v in VARIANTS.values() if v.architecture.head == "softmax-reshape"]
    order = sorted(heads, key=lambda v: v.architecture.parameters)
    sizes = Counter(v.architecture.parameters for v in order)
    # The more parameters, the fewer converge; equal numbers, equally many: ranks exactly reversed.
    rates = {size: 10 - place for place, size in enumerate(sorted(sizes))}
    rows = {(v.name, "raw-subset"): baseline(rates[v.architecture.parameters], 10) for v in heads}
    rho, _, networks = rank_correlation(record(rows), "parameters")
    assert (rho, networks) == (pytest.approx(-1), 10)


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
    assert (first.met, first.shown) == (True, "9.0 times")
    assert not others[0].met  # 2 against 2


def _moved(nats):
    moved = dict.fromkeys(("movement", "movement of dense1", "size"), nats)
    return {**moved, "lost_before": 0.5, "lost_after": 0.5}


def answered(rows, stuck, moved):
    step = {c.label: [_moved(moved(c))] for c in KNOWN["step"].conditions}
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
