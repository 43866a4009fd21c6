"""A verdict in a line and in pairs."""

from deepcaptcha.verdict_words import verdict_line, verdict_properties

CLAIM = {
    "hypothesis": "trains",
    "colour": "red",
    "successes": 1,
    "trials": 4,
    "interval": [0.01, 0.81],
}
EVIDENCE = {
    "name": "build_model",
    "recipe": "192 examples",
    "target": "val_loss <= 0.02 within 6 epochs",
    "claim": "trains",
    "p_good": 0.95,
    "p_bad": 0.5,
    "hypotheses": 7,
    "verdicts": [CLAIM, {"hypothesis": "as fast", "colour": "green"}],
    "summary": {"seconds": 12.4},
    "failures": "stuck 3",
    "failed_seeds": [5, 6, 8],
    "symptoms": [],
}


def test_a_line():
    assert verdict_line(EVIDENCE) == (
        "convergence: build_model trains 0.95/0.5: red, 1 of 4 (95 % interval 1-81 %); as fast: green; "
        "12 s"
    )


def test_a_mixed_claim_has_no_rates():
    mixed = {**EVIDENCE, "claim": "mixed", "p_good": None, "p_bad": None}
    assert verdict_line(mixed).startswith("convergence: build_model mixed: red, ")


def test_pairs_are_texts_without_empty_ones():
    pairs = dict(verdict_properties(EVIDENCE))
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
