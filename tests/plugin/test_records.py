"""What a run leaves for others: JSON, saved sessions, annotations; and a failure that is known."""

import json

import pytest

from deepcaptcha.cli.main import main
from deepcaptcha.report.session import saved_sessions
from tests.plugin.examples import here

INI = "[pytest]\nconvergence_single_thread = true\nconvergence_ledger = kept/ledger\n"

CHANCES = """
import pytest

@pytest.mark.convergence(target=0.9, epochs=1, p_good=0.9, p_bad=0.2, monitor="accuracy", {marker})
def test_it(convergence):
    def train(seed):
        return {{"accuracy": {accuracy}, "loss": seed / 7}}

    convergence.check_training(train, name="guess", version="1")
"""


@pytest.fixture
def project(pytester):
    pytester.makeini(INI)
    return pytester


def run(project, *arguments, accuracy=0.95, marker=""):
    project.makepyfile(test_it=CHANCES.format(accuracy=accuracy, marker=marker))
    return here(project, *arguments)


def test_verdicts_as_json(project):
    run(project, "--convergence-json", "verdicts.json").assert_outcomes(passed=1)
    record = json.loads((project.path / "verdicts.json").read_text())
    (row,) = record["rows"]
    assert (row["name"], row["colour"], row["summary"]["converged"]) == (
        "guess",
        "green",
        row["summary"]["trials"],
    )
    assert record["again"].startswith("--convergence-seed 2000000")


def test_saved_sessions_are_numbered_and_the_last_two_compared(project, capsys, monkeypatch):
    monkeypatch.chdir(project.path)
    assert main(["compare"]) == 2
    assert "0 saved sessions are beside" in capsys.readouterr().err
    for accuracy, name in ((0.95, "before"), (0.95, "same"), (0.91, "after")):
        run(project, "--convergence-fresh", f"--convergence-save={name}", accuracy=accuracy)
    ledger = project.path / "kept" / "ledger"
    folders = [folder.name for folder in saved_sessions(ledger)]
    assert folders == ["0001_before", "0002_same", "0003_after"]
    assert json.loads((saved_sessions(ledger)[0] / "verdicts.json").read_text())["rows"]
    capsys.readouterr()
    main(["compare"])
    text = capsys.readouterr().out
    assert "0002_same" in text.splitlines()[0]
    assert "0003_after" in text.splitlines()[0]
    assert "guess" in text


def test_a_name_that_is_no_part_of_a_file_is_refused(project):
    result = run(project, "--convergence-save", "../x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "'../x' is given; letters, digits, '.', '_' and '-' are needed" in result.stderr.str()


def test_on_github_a_red_row_is_told_beside_its_test(project, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    text = run(project, accuracy=0.1).stdout.str()
    assert "::error file=test_it.py,line=3,title=guess under own-training%3A red::" in text
    assert "## Verdicts: 1 to look at, 0 green" in (project.path / "summary.md").read_text()


@pytest.mark.parametrize(
    ("accuracy", "until", "outcomes", "words"),
    [
        (0.1, "2999-01-01", {"xfailed": 1}, ""),
        (
            0.1,
            "2000-01-01",
            {"failed": 1},
            "It was known to fail until 2000-01-01: the new optimizer.",
        ),
        (0.95, "2999-01-01", {"failed": 1}, "it is green, and known to fail until 2999-01-01"),
        (0.95, "2000-01-01", {"passed": 1}, ""),
    ],
)
def test_a_known_failure_is_expected_until_its_day(project, accuracy, until, outcomes, words):
    marker = f"known_failure='the new optimizer', until='{until}'"
    result = run(project, accuracy=accuracy, marker=marker)
    result.assert_outcomes(**outcomes)
    assert words in result.stdout.str()


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("known_failure='x'", "known_failure and until are given together"),
        (
            "known_failure='x', until='soon'",
            "until is 'soon'; a day such as '2027-01-31' is needed",
        ),
        # Python reads it as a day; beside 2027-01-01 its text would come last.
        (
            "known_failure='x', until='20270131'",
            "until is '20270131'; a day such as '2027-01-31' is needed",
        ),
        (
            "also=['val_loss']",
            "also has 'val_loss'; a condition such as 'val_loss <= 0.3' is needed",
        ),
        ("also='val_loss <= 1'", "also is 'val_loss <= 1'; a list such as"),
    ],
)
def test_words_that_say_nothing_are_refused(project, marker, words):
    result = run(project, marker=marker)
    result.assert_outcomes(errors=1)
    assert words in result.stdout.str()


def test_records_that_were_asked_for_and_not_written_are_told(project):
    text = run(
        project, "--convergence-json", "a.json", "--convergence-save=b", accuracy="None"
    ).stdout.str()
    assert "No json a.json: no verdict was reached" in text
    assert "No save b: no verdict was reached" in text


def test_whatever_else_is_told_accepts_no_row(project):
    accept = ("--convergence-accept=row9", "--convergence-reason=why")
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def telling(convergence):
            convergence.tell("its trials ran here")
        """
    )
    result = run(project, *accept)
    result.assert_outcomes(passed=1)
    assert "No row row9 with a baseline was judged; nothing is accepted" in result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


TWINS = """
import pytest

CLAIM = {{"target": 0.9, "epochs": 1, "p_good": 0.9, "p_bad": 0.2, "monitor": "accuracy"}}

@pytest.mark.parametrize(
    "name",
    [
        pytest.param("one", marks=pytest.mark.convergence(**CLAIM)),
        pytest.param("two", marks=pytest.mark.convergence(**CLAIM, twin="one")),
    ],
)
def test_it(convergence, name):
    def train(seed):
        yield {{"accuracy": 0.95, "own": seed / 7 + {moved} * (name == "two")}}

    convergence.check_training(train, name=name, version="1")
"""


@pytest.mark.parametrize(
    ("moved", "code"), [(0, pytest.ExitCode.OK), (1, pytest.ExitCode.TESTS_FAILED)]
)
def test_a_twin_without_a_baseline_that_is_none_fails_the_session(project, moved, code):
    project.makepyfile(test_it=TWINS.format(moved=moved))
    result = here(project)
    result.assert_outcomes(passed=2)
    assert result.ret == code
    told = "two is declared the twin of one, and seed 2000000 ended in other weights"
    assert (told in " ".join(str(result.stdout).split())) is bool(moved)
