"""Bisection: what is promised of a cell, what is concluded from the cells, and real interventions."""

import itertools
import json
import sys
import threading
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcaptcha import RECIPES, InputError, bisect
from deepcaptcha.bisection.bisect import CellTrials, answer_chances
from deepcaptcha.bisection.words import cell_table, finding_lines
from deepcaptcha.cli.main import main
from deepcaptcha.keras.settings import Training
from deepcaptcha.keras.source import KerasSource
from deepcaptcha.networks.recipes import load_digits
from deepcaptcha.trials import worker
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import LostTrialError, run_source
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.design import design_plan
from tests.helpers import BothNeeded, interrupt, interruptible, make_trial, points

RAW = RECIPES["raw-subset"]
QUICK = {"p_good": 0.9, "p_bad": 0.1, "alpha": 0.2, "beta": 0.2}  # the fewest trials a cell


def switches(**faults):
    raise AssertionError("nothing here builds a model")


def source(name, arguments, build=switches):
    return KerasSource(
        build, load_digits, RAW.target, RAW.training, name, RAW.name, arguments, RAW.facts
    )


def pair(count):
    """Two sources with `count` differing arguments, False in A and True in B."""
    names = "abcdefgh"[:count]
    return tuple(
        source(name, dict.fromkeys(names, value)) for name, value in (("old", False), ("new", True))
    )


def finished(seed, outcome):
    future = Future()
    future.set_result(make_trial(seed, outcome=outcome))
    return future


def world(trains, asked=None):
    """A `run` that answers for a cell without training: `trains(names that are True)` is True, False
    or, for a rate between, None: every second seed converges."""

    def run(source, seed, known, steps):
        if asked is not None:
            asked.append((source.name, seed))
        answer = trains({name for name, value in source.arguments.items() if value})
        converged = seed % 2 == 0 if answer is None else answer
        return make_trial(seed, source.name, "converged" if converged else "stuck")

    return run


def sets(found):
    return [(s.names, s.standing) for s in found]


def answers(found):
    return {cell.taken: cell.answer for cell in found.cells}


# What is promised of one cell


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.6, 0.9])
def test_the_chances_of_the_answers_by_enumeration(probability):
    """Every sequence of outcomes, one by one, and the answer of each."""
    plan = design_plan(0.9, 0.3, 0.1, 0.1)
    assert plan.max_trials <= 12
    expected = dict.fromkeys(("trains", "fails", "undecided"), 0.0)
    for outcomes in itertools.product((True, False), repeat=plan.max_trials):
        cell = CellTrials((), source("x", {}), 0)
        cell.started = len(outcomes)
        cell.finished = {
            i: finished(i, "converged" if up else "slow") for i, up in enumerate(outcomes)
        }
        ups = sum(outcomes)
        chance = probability**ups * (1 - probability) ** (len(outcomes) - ups)
        expected[cell.judge(plan).answer] += chance
    assert answer_chances(plan, probability) == pytest.approx(expected)


@pytest.mark.parametrize("cells", [2, 16, 96])
def test_a_cell_keeps_its_share_of_the_error_rates(cells):
    plan = design_plan(0.75, 0.35, 0.05 / cells, 0.05 / cells)
    for low in (0.0, 0.1, 0.35):
        assert answer_chances(plan, low)["trains"] <= 0.05 / cells
        assert answer_chances(plan, low)["fails"] >= 0.9
    for high in (0.75, 0.9, 1.0):
        assert answer_chances(plan, high)["fails"] <= 0.05 / cells
        assert answer_chances(plan, high)["trains"] >= 0.9
    between = answer_chances(plan, 0.55)
    assert between["undecided"] >= 1 / 3
    assert sum(between.values()) == pytest.approx(1)


@given(st.lists(st.booleans(), min_size=40, max_size=40), st.randoms(use_true_random=False))
def test_trials_are_read_in_seed_order_whatever_finishes_first(outcomes, chance):
    plan = design_plan(0.75, 0.35, 0.025, 0.025)
    assert plan.max_trials <= 40
    decision, read, converged = plan.judge(outcomes)
    assert decision != "continue"
    trials = CellTrials(("a",), source("x", {}), 0)
    trials.started = len(outcomes)
    arrival = list(range(len(outcomes)))
    chance.shuffle(arrival)
    for seed in arrival:
        needed = set(range(read)) <= set(trials.finished)
        assert (trials.judge(plan) is not None) == needed
        trials.finished[seed] = finished(seed, "converged" if outcomes[seed] else "stuck")
    cell = trials.judge(plan)
    assert (cell.trials, cell.converged) == (read, converged)
    assert cell.outcomes == {
        "converged": converged,
        "stuck": read - converged,
        "slow": 0,
        "diverged": 0,
    }


# What is concluded from the cells


@pytest.mark.parametrize(
    ("trains", "repairing", "breaking"),
    [
        (lambda on: "b" in on, [("b",)], [("b",)]),
        (lambda on: {"a", "b"} <= on, [("a", "b")], [("a",), ("b",)]),
        (lambda on: bool(on & {"a", "c"}), [("a",), ("c",)], [("a", "c")]),
        # Not monotone: b repairs alone, and not beside a; c repairs that.
        (lambda on: on in ({"b"}, {"a", "b", "c"}), [("b",)], [("a",), ("b",), ("c",)]),
    ],
)
def test_minimal_sets_of_three_differences(trains, repairing, breaking):
    found = bisect(*pair(3), **QUICK, run=world(trains))
    assert found.verified
    assert found.found
    assert len(found.cells) == found.declared == 8
    assert sets(found.repairing) == [(names, "minimal") for names in repairing]
    assert sets(found.breaking) == [(names, "minimal") for names in breaking]
    lines = finding_lines(found)
    assert sum("cause found by intervention" in line for line in lines) == len(repairing + breaking)


def test_every_cell_of_a_factorial_reads_the_same_seeds_from_the_first():
    asked = []
    found = bisect(*pair(2), **QUICK, first_seed=70, run=world(lambda on: "a" in on, asked))
    assert {cell.first_seed for cell in found.cells} == {70}
    seeds = {}
    for name, seed in asked:
        seeds.setdefault(name, []).append(seed)
    assert set(seeds) == {"old", "new", "old + a", "old + b"}
    assert all(s == list(range(70, 70 + len(s))) for s in seeds.values())
    assert found.trained == len(asked) == sum(cell.trials for cell in found.cells)


def test_an_undecided_part_leaves_the_set_minimal_as_far_as_decided():
    rate = {"p_good": 0.9, "p_bad": 0.1, "alpha": 0.05, "beta": 0.05}
    found = bisect(*pair(2), **rate, run=world(lambda on: None if on == {"a"} else len(on) == 2))
    assert answers(found)["a",] == "undecided"
    assert sets(found.repairing) == [(("a", "b"), "minimal as far as decided"), (("a",), "open")]
    assert not found.found
    text = " ".join(finding_lines(found))
    assert "`a` and `b` together repair `old`" in text
    assert "minimal as far as decided" in text
    assert "`a`: undecided whether it would repair `old`" in text


def test_the_other_order_gives_the_same_finding():
    a, b = pair(2)
    there = bisect(a, b, **QUICK, run=world(lambda on: "a" in on))
    back = bisect(b, a, **QUICK, run=world(lambda on: "a" in on))
    assert (there.swapped, back.swapped) == (False, True)
    assert back.as_dict() == {
        **there.as_dict(),
        "swapped": True,
        "cells": back.as_dict()["cells"],  # the same, in another order
    }
    assert answers(back) == answers(there)
    assert "`a` alone repairs `old`: cause found by intervention (a False -> True)." in (
        finding_lines(back)
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (True, "both train, nothing to bisect"),
        (False, "both fail, nothing to bisect"),
        (None, "an end is undecided, nothing to bisect"),
    ],
)
def test_ends_that_do_not_differ_in_training_are_refused_with_their_evidence(answer, words):
    found = bisect(*pair(3), p_good=0.9, p_bad=0.1, run=world(lambda on: answer))
    assert (found.verified, found.found, found.repairing, found.breaking) == (False, False, (), ())
    assert len(found.cells) == 2
    assert words in finding_lines(found)[0]
    assert (
        f"{found.cells[0].converged} of {found.cells[0].trials} converged"
        in finding_lines(found)[0]
    )
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_cell_that_cannot_be_built_neither_trains_nor_fails():
    sound = world(lambda on: len(on) == 2)

    def run(source, seed, known, steps):
        if source.arguments == {"a": True, "b": False}:
            raise ValueError("shapes (3, 3) and (1, 1)\ndo not fit")
        return sound(source, seed, known, steps)

    found = bisect(*pair(2), **QUICK, run=run)
    assert answers(found)["a",] == "impossible"
    assert sets(found.repairing) == [(("a", "b"), "minimal")]
    assert sets(found.breaking) == [(("a",), "minimal")]
    row = next(row for row in cell_table(found).rows if row[0] == "a")
    assert row == ("a", "0 / 0", "", "", "impossible: shapes (3, 3) and (1, 1) do not fit")


def test_a_trial_that_was_lost_says_nothing_of_its_cell():
    sound = world(lambda on: len(on) == 2)

    def run(source, seed, known, steps):
        if source.arguments == {"a": True, "b": False}:
            raise LostTrialError(source, seed, "died 3 times with its process")
        return sound(source, seed, known, steps)

    with pytest.raises(LostTrialError, match="died 3 times"):
        bisect(*pair(2), **QUICK, run=run)


def test_an_end_that_cannot_be_built_is_a_mistake():
    def run(source, seed, known, steps):
        raise ValueError("no such layer")

    with pytest.raises(InputError, match="old cannot be trained: no such layer"):
        bisect(*pair(1), **QUICK, run=run)


def test_errors_that_are_no_refusal_are_not_swallowed():
    def run(source, seed, known, steps):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        bisect(*pair(2), **QUICK, run=run)


def test_a_search_uses_new_seeds_for_every_cell_and_keeps_to_its_bound():
    found = bisect(*pair(8), run=world(lambda on: {"c", "g"} <= on))
    assert not found.factorial
    assert len(found.cells) <= found.declared == 64
    assert found.plan.alpha <= 0.05 / 64
    ends, others = found.cells[:2], found.cells[2:]
    assert {cell.first_seed for cell in ends} == {0}
    most = found.plan.max_trials
    assert [cell.first_seed for cell in others] == [most * (1 + i) for i in range(len(others))]
    assert sets(found.repairing) == [(("c", "g"), "minimal")]
    assert sets(found.breaking) == [(("c",), "minimal"), (("g",), "minimal")]
    short = bisect(*pair(8), max_cells=5, run=world(lambda on: {"c", "g"} <= on))
    assert len(short.cells) == 5
    assert not short.found
    assert "The search ended at its bound of 5 cells." in finding_lines(short)


def test_bounds_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="5 cells is for more than 4 differences; here are 2"):
        bisect(*pair(2), max_cells=5)
    with pytest.raises(InputError, match="the bound of cells is 1; a whole number >= 2"):
        bisect(*pair(5), max_cells=1)
    with pytest.raises(InputError, match="p_bad must be less than p_good"):
        bisect(*pair(1), p_good=0.3, p_bad=0.6)


# Real interventions


def hidden_softmax(bias):
    """Softmax hidden behind a reshape: a steep bias clips every point, and no gradient is left. The
    weights start at zero, so that no start is right by luck."""
    from deepcaptcha.keras.backend import keras

    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(
                2,
                activation="softmax",
                kernel_initializer="zeros",
                bias_initializer=keras.initializers.Constant([bias, 0.0]),
            ),
            keras.layers.Reshape((2,)),
        ]
    )


@pytest.mark.integration
def test_two_real_faults_that_only_together_repair_are_named_as_one_set(tmp_path):
    """Each fault alone keeps the model from training: a clipped softmax has no gradient, and a
    learning rate of zero makes nothing of one. Recorded trials are not trained again."""
    data, target = points(), Target(0.95, 3)
    faulty, sound = (
        Training(optimizer_settings={"learning_rate": rate}, batch=8, steps_per_execution=4)
        for rate in (0.0, 0.1)
    )
    a = KerasSource(hidden_softmax, data, target, faulty, "faulty", arguments={"bias": 400.0})
    b = KerasSource(hidden_softmax, data, target, sound, "sound", arguments={"bias": 0.0})
    recalled = []

    def run(source, seed, known, steps):
        recalled.append(len(known))
        return run_source(source, seed, known, steps)

    own = {**QUICK, "folder": tmp_path}
    found = bisect(a, b, **own, run=run)
    assert sets(found.repairing) == [(("bias", "optimizer_settings"), "minimal")]
    assert sets(found.breaking) == [(("bias",), "minimal"), (("optimizer_settings",), "minimal")]
    assert answers(found)["bias",] == answers(found)["optimizer_settings",] == "fails"
    assert (
        "`bias` and `optimizer_settings` together, and no part of them, repair `faulty`: cause found "
        "by intervention (bias 400.0 -> 0.0; optimizer_settings {'learning_rate': 0.0} -> "
        "{'learning_rate': 0.1})."
    ) in finding_lines(found)
    assert not any(recalled)
    again = bisect(a, b, **own, run=run)
    assert again == found
    assert recalled[found.trained :] == [1] * found.trained
    assert len(read_ledger(tmp_path).trials) == found.trained
    lines = sum(len(path.read_text().splitlines()) - 1 for path in tmp_path.glob("*.jsonl"))
    assert lines == found.trained


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["same:raw", "valid:raw-subset"], "unknown recipe 'raw'"),
        (["sane:raw-subset", "valid:raw-subset"], "unknown variant 'sane'"),
        (["same:raw-subset", "same:raw-subset"], "do not differ; nothing to bisect"),
        (["same:raw-subset", "valid:raw-subset", "--together", "heat,head"], "named 'heat'"),
        (["same:raw-subset", "valid:raw-subset", "--p-good", "much"], "--p-good: 'much' is no"),
        (["same:raw-subset", "valid:raw-subset", "--beta", "2"], "--beta: '2' is no number above"),
        (["same:raw-subset", "valid:raw-subset", "--first-seed", "x"], "'x' is no whole number"),
        (["same:raw-subset", "valid:raw-subset", "--cells", "9"], "a bound of 9 cells"),
        (["same:raw-subset", "valid:raw-subset", "--jobs", "0"], "--jobs: '0' is no whole"),
        (["same:raw-subset", "valid:raw-subset", "--data", "/no.npz"], "cannot read the digits"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments, words, capsys, tmp_path):
    assert main(["bisect", *arguments, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.integration
def test_ctrl_c_keeps_what_is_done(tmp_path):
    command = [
        *(sys.executable, "-m", "deepcaptcha", "bisect", "same:raw-subset", "valid:raw-subset"),
        *("--jobs", "1", "--output", str(tmp_path)),
    ]
    with interruptible(command) as process:
        _, err = interrupt(process, "[1]")
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "trials; the same command goes on" in err
    assert read_ledger(tmp_path / "ledger").trials


@pytest.mark.integration
def test_a_factory_that_cannot_be_sent_to_a_process_is_refused():
    lock = threading.Lock()  # cannot be pickled

    def build(fault):
        return lock

    a, b = (source(f"fault {fault}", {"fault": fault}, build) for fault in (True, False))
    with pytest.raises(InputError, match="fault True cannot be sent to another process"):
        bisect(a, b, jobs=1)


@pytest.mark.integration
def test_processes_and_their_replacement_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "GROWTH", 0)  # another worker after every trial
    a = BothNeeded("neither", "mixed", {"a": False, "b": False})
    b = BothNeeded("both", "mixed", {"a": True, "b": True})
    here = bisect(a, b, **QUICK)
    there = bisect(a, b, **QUICK, jobs=2, folder=tmp_path)
    assert there.cells == here.cells
    assert sets(there.repairing) == [(("a", "b"), "minimal")]
    assert sum(cell.trials for cell in there.cells) > 2
    assert len(read_ledger(tmp_path).trials) == there.trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "cause"),
    [
        ("same:sound-subset", ("scaling", "scaling 'raw' -> 'unit'")),
        ("same-reshape-first:raw-subset", ("head", "head 'softmax-reshape' -> 'reshape-softmax'")),
    ],
)
def test_the_questions_network_is_repaired_by_what_lets_the_loss_see(
    other, cause, tmp_path, capsys
):
    """Declared beforehand, on the seeds of pull requests: scaling alone, and reshaping first alone."""
    name, values = cause
    command = ["bisect", "same:raw-subset", other, "--stream", "pull-request"]
    assert main([*command, "--output", str(tmp_path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["repairing"] == [{"names": [name], "standing": "minimal"}]
    assert record["breaking"] == [{"names": [name], "standing": "minimal"}]
    assert record["sentences"][1] == (
        f"`{name}` alone repairs `same:raw-subset`: cause found by intervention ({values})."
    )
