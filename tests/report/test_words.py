"""What people read."""

import io

import pytest

from deepcaptcha.report.words import (
    failures_text,
    interval_text,
    percent,
    summarise,
    summary_lines,
    verdict_line,
    verdict_properties,
    verdict_table,
)
from tests.trials.test_ledger import make_trial


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


def test_interval_text():
    assert interval_text((0.147, 0.947)) == "14-95 %"


CLAIM = {
    "hypothesis": "trains",
    "colour": "green",
    "successes": 10,
    "trials": 10,
    "interval": [0.69, 1.0],
    "detects": None,
    "note": "",
}
EVIDENCE = {
    "name": "valid",
    "recipe": "raw",
    "claim": "trains",
    "p_good": 0.6,
    "p_bad": 0.25,
    "hypotheses": 5,
    "alpha": 0.05,
    "beta": 0.05,
    "summary": summarise([make_trial(seed, epochs=2) for seed in range(10)]).as_dict(),
    "seconds_per_trial": 3.0,
    "worst_expected_trials": 20,
    "most_trials": 40,
    "frozen": 0,
    "epochs_saved_by_proof": 0,
    "environment": "",
    "failures": "stuck 2, slow 1",
    "symptom_counts": {"clipped": 2, "learning": 1},
    "verdicts": [
        CLAIM,
        {**CLAIM, "hypothesis": "as reliable", "detects": 0.72, "note": "detects a fall"},
        {**CLAIM, "hypothesis": "as fast", "note": "p 0.4"},
    ],
}
BLIND = {
    **EVIDENCE,
    "name": "dense64",
    "verdicts": [
        CLAIM,
        {**CLAIM, "hypothesis": "as reliable", "colour": "cannot tell", "note": "it is too low"},
    ],
}


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
    assert len(file.getvalue().splitlines()) == 2 + len(table.rows)  # nothing wraps in a log


def test_a_column_that_says_nothing_is_left_out():
    alone = {**EVIDENCE, "verdicts": [CLAIM], "failures": "", "symptom_counts": {}}
    titles = [column.title for column in verdict_table([alone]).columns]
    assert titles == [
        *("factory", "recipe", "claim", "k/n", "95 % interval", "verdict", "epochs", "min")
    ]


def test_the_lines_below_say_what_a_comparison_sees_and_why_it_cannot_tell():
    lines = summary_lines([EVIDENCE, BLIND], workers=1, nightly=False)
    assert lines[2:] == [
        "as reliable (p): a fall of the rate to p turns it red with 90 % probability.",
        "dense64 under raw: cannot tell whether as reliable: it is too low.",
    ]
    assert len(summary_lines([{**BLIND, "verdicts": [CLAIM]}], workers=1, nightly=False)) == 2


ONE_VERDICT = {**CLAIM, "colour": "red", "successes": 1, "trials": 4, "interval": [0.01, 0.81]}
JUDGED = {
    "name": "build_model",
    "recipe": "192 examples",
    "target": "val_loss <= 0.02 within 6 epochs",
    "claim": "trains",
    "p_good": 0.95,
    "p_bad": 0.5,
    "hypotheses": 7,
    "verdicts": [ONE_VERDICT, {"hypothesis": "as fast", "colour": "green"}],
    "summary": {"seconds": 12.4},
    "failures": "stuck 3",
    "failed_seeds": [5, 6, 8],
    "symptoms": [],
}


def test_a_verdict_in_a_line():
    assert verdict_line(JUDGED) == (
        "convergence: build_model trains 0.95/0.5: red, 1 of 4 (95 % interval 1-81 %); as fast: green; "
        "12 s"
    )


def test_a_line_of_a_mixed_claim_has_no_rates():
    mixed = {**JUDGED, "claim": "mixed", "p_good": None, "p_bad": None}
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
