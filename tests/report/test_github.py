"""What GitHub shows, in the syntax of its workflow commands: `::error file={name},line={n}::{message}`,
with % and newline escaped as %25 and %0A, and in a property : and , as %3A and %2C."""

from deepcaptcha.report.github import annotation, step_summary
from tests.report.examples import judged

GREEN, _ = judged("sound", ["converged"] * 4)
RED, _ = judged("a,b:c", ["stuck"] * 4)


def test_a_red_row_is_an_error_beside_its_test():
    said = annotation(RED, "tests/test_a.py", 7)
    head, _, message = said.rpartition("::")
    assert head == "::error file=tests/test_a.py,line=7,title=a%2Cb%3Ac under points%3A red"
    assert "of trainings; 0 of 2 trials were so" in message
    assert "90 %25 of trainings" in message
    assert "%0A" in message
    assert "\n" not in said


def test_a_green_row_has_no_annotation():
    assert annotation(GREEN, "tests/test_a.py", 7) == ""


def test_the_summary_shows_first_what_is_not_green():
    said = step_summary([GREEN, RED], ["Again: --convergence-seed 1"])
    head, folded = said.split("<details>")
    assert head.startswith("## Verdicts: 1 to look at, 1 green\n")
    assert "a,b:c" in head
    assert "sound" not in head
    assert "sound" in folded
    assert "- Again: --convergence-seed 1\n" in folded


def test_the_summary_of_green_rows_is_a_line():
    head, _ = step_summary([GREEN], []).split("<details>")
    assert head == "## Verdicts: 0 to look at, 1 green\n\n"
