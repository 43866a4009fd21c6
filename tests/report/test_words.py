"""What people read."""

import io
from dataclasses import replace

import pytest

from deepcaptcha.finding import Finding, number, percent
from deepcaptcha.report.words import (
    explanation,
    failure_message,
    failures_text,
    interval_text,
    made_lines,
    summary_lines,
    undecided_message,
    verdict_line,
    verdict_properties,
    verdict_table,
)
from deepcaptcha.trials.trial import OUTCOMES, Target
from deepcaptcha.verdicts.claim import Budget, Claim, Summary, Verdict, summarise
from deepcaptcha.verdicts.judge import Evidence
from tests.helpers import make_trial


def test_a_summary_by_hand():
    trials = [
        make_trial(0, epochs=1),
        make_trial(1, epochs=2),
        make_trial(2, epochs=4),
        make_trial(3, outcome="stuck", epochs=5),
        make_trial(4, outcome="slow", epochs=5),
    ]
    summary = summarise(trials)
    assert (summary.converged, summary.trials, summary.median_epochs) == (3, 5, 2)
    assert failures_text(summary.outcomes) == "stuck 1, slow 1"
    assert (summary.epochs, summary.epochs_planned, summary.seconds) == (17, 25, 7.5)
    # Clopper and Pearson for 3 of 5, from published tables: 0.147 to 0.947
    assert summary.interval == pytest.approx((0.147, 0.947), abs=5e-4)


def test_a_summary_without_success_has_no_median():
    assert summarise([make_trial(outcome="stuck")]).median_epochs is None


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1, "100 %")],
)
def test_percents_never_round_to_certainty(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1053412398112345.0, "1.05e15"),
        (-811_700.0, "-812,000"),
        (14_500.0, "14,500"),
        (2.3026, "2.3"),
        (0.00988, "0.00988"),
        (1e-7, "1e-7"),
        (0, "0"),
    ],
)
def test_numbers_have_three_digits_that_a_person_can_read(value, text):
    assert number(value) == text


def test_interval_text():
    assert interval_text((0.147, 0.947)) == "14-95 %"


OWN = Verdict("trains", "green", 10, 10, (0.69, 1.0))
EVIDENCE = Evidence(
    name="valid",
    recipe="raw",
    target=Target(),
    claim=Claim("trains", 0.6, 0.25),
    budget=Budget(5),
    verdicts=(
        OWN,
        replace(OWN, hypothesis="as reliable", detects=0.72, note="detects a fall"),
        replace(OWN, hypothesis="as fast", note="p 0.4"),
    ),
    trials=(),
    summary=Summary(
        trials=13,
        converged=10,
        median_epochs=2,
        outcomes={"converged": 10, "stuck": 2, "slow": 1, "diverged": 0},
        epochs=35,
        epochs_planned=65,
        seconds=19.5,
    ),
    symptoms=(),
    symptom_counts={"clipped": 2, "learning": 1},
    failed_seeds=(),
    frozen=0,
    epochs_saved_by_proof=0,
)
BLIND = replace(
    EVIDENCE,
    name="dense64",
    verdicts=(
        OWN,
        replace(OWN, hypothesis="as reliable", colour="cannot tell", note="it is too low"),
    ),
)


def test_a_verdict_is_one_row_with_its_comparisons():
    table = verdict_table([EVIDENCE, BLIND])
    compared = [column.title for column in table.columns].index("as reliable")
    assert table.columns[compared + 1].title == "as fast"
    assert [row[compared : compared + 2] for row in table.rows] == [
        ("cannot tell", ""),  # by name: dense64 first
        ("green (72 %)", "green"),
    ]
    assert table.rows[0][-2:] == ("stuck 2, slow 1", "clipped 2, learning 1")
    file = io.StringIO()
    table.write(file)
    assert max(map(len, file.getvalue().splitlines())) <= 80
    assert "\n  missed:" not in file.getvalue()  # still a row a verdict


def test_a_column_that_says_nothing_is_left_out():
    every = replace(EVIDENCE.summary, outcomes=dict.fromkeys(OUTCOMES, 0))
    alone = replace(EVIDENCE, verdicts=(OWN,), summary=every, symptom_counts={})
    titles = [column.title for column in verdict_table([alone]).columns]
    assert titles == [
        *("factory", "recipe", "claim", "k/n", "95 % interval", "verdict", "epochs", "min")
    ]


def test_the_lines_below_say_what_a_comparison_sees_and_why_it_cannot_tell():
    lines = summary_lines([EVIDENCE, BLIND], workers=1, nightly=False)
    assert lines[2:] == [
        "verdict (p), as reliable (p): a fall of the rate to p turns it red with 90 % probability.",
        "dense64 under raw: cannot tell whether as reliable: it is too low.",
    ]
    assert len(summary_lines([replace(BLIND, verdicts=(OWN,))], workers=1, nightly=False)) == 2
    # 365 nights * 5 %
    night = "Run every night, expect at most 18 false alarms a year."
    assert summary_lines([EVIDENCE, BLIND], workers=1, nightly=True) == [*lines, night]


def test_what_keeps_several_rows_from_being_confirmed_is_told_once():
    reason = "not confirmed: no record of this environment; the nearest differs: keras 3 -> 4"
    rows = [
        replace(
            EVIDENCE,
            name=name,
            confirmation=f"{reason}; compared by {count} trainings",
            summary=replace(EVIDENCE.summary, trials=count),
        )
        for name, count in (("one", 4), ("two", 3))
    ]
    changed = replace(EVIDENCE, confirmation="changed: loss: 1, recorded 2; compared by 1 training")
    lines = summary_lines([*rows, changed], workers=1, nightly=False)
    assert lines[:2] == [
        f"2 rows: {reason}; 7 trainings in all.",
        f"{EVIDENCE.name} under {EVIDENCE.recipe}: {changed.confirmation}.",
    ]
    assert summary_lines(rows[:1], 1, False)[0].endswith("keras 3 -> 4; compared by 4 trainings.")


JUDGED = replace(
    EVIDENCE,
    name="build_model",
    recipe="192 examples",
    target=Target(0.02, 6, "val_loss", "min"),
    claim=Claim("trains", 0.95, 0.5),
    budget=Budget(7),
    verdicts=(
        Verdict("trains", "red", 1, 4, (0.01, 0.81), alpha=0.004),
        replace(OWN, hypothesis="as fast"),
    ),
    summary=replace(
        EVIDENCE.summary,
        outcomes={"converged": 1, "stuck": 3, "slow": 0, "diverged": 0},
        seconds=12.4,
    ),
    failed_seeds=(5, 6, 8),
)


def test_a_verdict_in_a_line():
    assert verdict_line(JUDGED) == (
        "convergence: build_model trains 0.95/0.5: red, 1 of 4 (95 % interval 1-81 %); as fast: green; "
        "12 s"
    )


def test_a_line_of_a_mixed_claim_has_no_rates():
    mixed = replace(JUDGED, claim=Claim("mixed"))
    assert verdict_line(mixed).startswith("convergence: build_model mixed: red, ")


def test_a_verdict_in_pairs_of_texts_without_empty_ones():
    pairs = dict(verdict_properties(JUDGED))
    assert pairs == {
        "convergence.factory": "build_model",
        "convergence.recipe": "192 examples",
        "convergence.target": "val_loss <= 0.02 within 6 epochs",
        "convergence.claim": "trains 0.95/0.5",
        "convergence.verdict": "red",
        "convergence.successes": "1",
        "convergence.trials": "4",
        "convergence.interval_95": "1-81 %",
        "convergence.as_fast": "green",
        "convergence.outcomes_missed": "stuck 3",
        "convergence.failed_seeds": "5 6 8",
        "convergence.hypotheses": "7",
        "convergence.seconds": "12.4",
    }


def test_the_message_of_a_red_test_reads_on_its_own():
    verdicts = (
        JUDGED.verdicts[0],
        Verdict("as reliable", "red", 1, 4, (0.01, 0.81), alpha=0.002, note="detects a fall"),
        Verdict("as fast", "red", 1, 4, (0.0, 1.0), alpha=0.001, note="p 0.0004"),
    )
    told = replace(
        JUDGED,
        verdicts=verdicts,
        symptoms=("3 are stuck",),
        environment="numpy 1 -> 2",
        repairs=("Which change repairs it: pytest x --convergence-repair",),
        compiled="Adam, learning rate 0.001; loss mse",
        again="pytest x --convergence-seed 5",
    )
    assert failure_message(told).splitlines() == [
        "build_model is claimed 'trains' in at least 95 % of trainings; 1 of 4 "
        "trials were so (95 % interval 1-81 %).",
        "The chance of such a red if all is well: 0.004.",
        "build_model trains less reliably than its baseline: 1 of 4 trials converged "
        "(95 % interval 1-81 %); detects a fall.",
        "The chance of such a red if all is well: 0.002.",
        "build_model trains more slowly than its baseline: p 0.0004.",
        "The chance of such a red if all is well: 0.001.",
        "The target, val_loss <= 0.02 within 6 epochs, was missed: stuck 3.",
        "3 are stuck.",
        "The baseline's environment differed: numpy 1 -> 2.",
        "Which change repairs it: pytest x --convergence-repair",
        "It was compiled with Adam, learning rate 0.001; loss mse.",
        "One of them again: pytest x --convergence-seed 5",
    ]


def too_wide(code):
    return Finding(code, "error", 150.0, f"{code} is 150", "data", f"divide the {code}")


def frozen(seed):
    trial = make_trial(seed, outcome="stuck")
    return replace(trial, epochs=(replace(trial.epochs[0], weights_changed=False),))


def test_an_explanation_begins_with_the_check_and_leaves_other_advice_out():
    trials = [make_trial(0), frozen(1), frozen(2)]
    measured = (
        "frozen, 2 of 2 that missed the target: no weight changed in epoch 1, and 25 % of the training "
        "examples have an exactly zero gradient"
    )
    assert explanation(trials, [too_wide("scale")]) == [
        "check, scale: scale is 150; divide the scale",
        measured,
    ]
    alone, *others = explanation(trials, [])
    assert alone.startswith(f"{measured}; look at the last layer")
    assert others == []


def test_an_explanation_tells_three_errors_and_why_there_was_no_check():
    errors = [too_wide(code) for code in ("one", "two", "three", "four")]
    lines = explanation([frozen(0)], errors)
    assert [line.split(":")[0] for line in lines[:-1]] == [
        "check, one",
        "check, two",
        "check, three",
    ]
    assert explanation([frozen(0)], [], "it has no loss")[0] == (
        "the check before training could not be run: it has no loss"
    )


def test_what_explains_a_red_test_fits_80_columns_and_commands_stay_whole():
    again = "pytest " + "x" * 100
    repair = f"Which change repairs it: {again} --convergence-repair"
    told = replace(JUDGED, symptoms=("a word " * 40,), repairs=(repair,), again=again)
    lines = failure_message(told).splitlines()
    words = [line for line in lines if "word" in line]
    assert len(words) == 4  # 280 characters
    assert all(len(line) < 80 for line in words)
    assert [line.startswith("  ") for line in words] == [False, True, True, True]
    assert repair in lines
    pairs = dict(verdict_properties(told))
    assert pairs["convergence.repairs"] == repair


def test_each_row_says_how_it_was_made_the_red_one_first():
    fine = replace(EVIDENCE, name="fine", test="test_it.py::test_fine", reused=4)
    red = replace(
        JUDGED,
        verdicts=(replace(OWN, colour="red"),),
        compiled="SGD, learning rate 0.1; loss mse",
        again="pytest x --convergence-seed 5",
    )
    first, second = made_lines([fine, red])
    assert first.startswith("build_model (red)")
    assert "; compiled with SGD, learning rate 0.1; loss mse; " in first
    assert first.endswith("; a failing seed again: `pytest x --convergence-seed 5`")
    assert second.startswith(
        "fine (green): `test_it.py::test_fine`; 13 trainings, 20 s; 4 of 13 from"
    )
    assert verdict_table([fine, red]).rows[0][0] == "build_model"


def test_an_undecided_row_says_what_would_decide_it():
    open_ = replace(OWN, colour="undecided", detects=None, note="stopped after 3 trainings; 4 more")
    told = replace(EVIDENCE, verdicts=(open_,))
    assert (told.colour, told.red) == ("undecided", False)
    assert undecided_message(told) == (
        "undecided, trains: 10 of 10 (95 % interval 69-100 %), stopped after 3 trainings; 4 more"
    )
    assert any(
        "undecided, stopped after 3 trainings" in each for each in summary_lines([told], 1, False)
    )
