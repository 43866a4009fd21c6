"""The plugin in projects of its own: verdicts, workers, seeds, reports, and who is left alone.

What trains is a function that yields numbers, and nearly every run is one in this process: a process
of its own costs a second, one with TensorFlow six, and only a few tests are about that.
"""

import re

import pytest

from deepcaptcha.keras.environment import SETTINGS as SETTINGS_OF_A_TRIAL
from deepcaptcha.keras.environment import is_left_alone
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.place import default_ledger
from tests.helpers import PROJECT
from tests.plugin.examples import INI, here, run


@pytest.fixture
def project(pytester):
    pytester.makeini(INI)
    pytester.makepyfile(test_it=PROJECT)
    return pytester


def test_a_true_claim_is_green_and_a_false_one_says_why(guesses, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    result = here(guesses)
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "convergence: again with --convergence-seed 2000000 --convergence-hypotheses 2; " in text
    assert "guess under tiny is claimed 'trains' in at least 90 % of trainings" in text
    assert "The target, val_accuracy >= 0.99 within 1 epochs, was missed: stuck" in text
    assert re.search(r"0 of \d trials were so \(95 % interval 0-\d+ %\)", text)
    assert "2 hypotheses share the suite's rates" in text
    assert "--convergence-hypotheses 2 --convergence-seed 2000000" in text
    assert "No summary" not in text
    assert "Traceback" not in text


CONTROLLER = """
import sys

def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        print("CONTROLLER", sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


@pytest.mark.integration
def test_two_workers_train_a_network_and_their_controller_writes_the_report(project):
    """The controller never imports TensorFlow, and draws one seed for all."""
    project.makeconftest(CONTROLLER)
    project.makeini(INI + "convergence_report = made/report.html\nconvergence_seed = any\n")
    given = ("--convergence-seed=any", "--convergence-hypotheses", "9", "--convergence-alpha")
    result = run(project, *given, "0.2", "-n", "2", "-s")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "valid under tiny is claimed 'trains' in at least 90 % of trainings" in text
    assert "CONTROLLER []" in text
    (seed,) = set(re.findall(r"--convergence-seed (\d+)", text))
    assert int(seed) >= 10**9
    assert "expect at most 73 false alarms a year" in text  # 365 nights * 20 %
    trials = read_ledger(default_ledger(project.path)).trials
    assert min(trial.seed for trial in trials) == int(seed)
    path = project.path / "made" / "report.html"
    assert f"Report: {path}" in text
    page = path.read_text()
    assert "2 rows judged: 1 red, 1 green, 0 cannot tell. " in page
    # Of two so named.
    assert "Red: valid (test_four_steps_teach_nothing[trains]) under tiny." in page
    assert "9 hypotheses share the suite&#39;s rates" in page
    again = f"--convergence-seed {seed} --convergence-hypotheses 9 --convergence-alpha 0.2"
    assert f" -n 2 -s {again}" in page
    assert f"Again: {again}" in text
    assert "--convergence-seed=any" not in page
    assert "--convergence-hypotheses 9 -n" not in page
    assert len(re.findall("<svg", page)) == 1 + 2 * 3  # P(converge); curves, epochs, walk for each


@pytest.mark.integration
def test_a_drawn_seed_is_one_for_two_workers_and_one_process(guesses):
    guesses.makeini("[pytest]\nconvergence_seed = any\n")
    result = run(guesses, "-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    (seed,) = set(re.findall(r"--convergence-seed (\d+)", text))
    assert int(seed) >= 10**9
    assert "expect at most 18 false alarms a year" in text  # 365 nights * 5 %
    trials = read_ledger(default_ledger(guesses.path)).trials
    assert min(trial.seed for trial in trials) == int(seed)
    other = here(guesses, "--convergence-seed", "any", "-k", "stuck")
    assert set(re.findall(r"--convergence-seed (\d+)", other.stdout.str())) not in (set(), {seed})


@pytest.mark.integration
def test_worker_processes_give_the_same_verdicts(guesses):
    result = here(guesses, "--convergence-jobs", "2")
    result.assert_outcomes(passed=1, failed=1)
    assert re.search(r"0 of \d trials were so \(95 % interval 0-\d+ %\)", result.stdout.str())
    assert re.search(r"\d trials took .+ on 2 workers;", result.stdout.str())
    trials = read_ledger(default_ledger(guesses.path)).trials
    here(guesses, "--convergence-ledger", "here")
    mine = read_ledger(guesses.path / "here").trials
    assert {trial.seed for trial in mine} <= {trial.seed for trial in trials}
    assert {t.weights_sha256 for t in mine} <= {t.weights_sha256 for t in trials}


def test_the_header_names_what_is_installed(suite):
    assert re.search(
        r"; tensorflow \d\S*, keras \d\S*, numpy \d\S*, one thread a process, oneDNN on$",
        here(suite, "--collect-only").stdout.str(),
        re.MULTILINE,
    )
    suite.makeconftest(
        """
        from deepcaptcha.keras import environment

        facts = environment.describe()
        missing = dict.fromkeys(("tensorflow", "keras"), "not installed")
        environment.describe = lambda: {**facts, **missing}
        """
    )
    text = run(suite, "--collect-only").stdout.str()
    assert re.search(r"--convergence-hypotheses 3; numpy \d\S*$", text, re.MULTILINE)


@pytest.mark.integration
def test_a_report_or_a_summary_that_cannot_be_written_is_told(guesses, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/null/summary.md")
    result = run(guesses, "-k", "stuck", "--convergence-report", "/dev/null/x.html")
    result.assert_outcomes(passed=1, deselected=1)
    assert "No report: cannot write the report /dev/null/x.html" in result.stdout.str()
    assert "No summary in /dev/null/summary.md: Not a directory" in result.stdout.str()


def test_no_verdict_no_report(suite):
    assert "No report" not in here(suite).stdout.str()
    result = here(suite, "--convergence-report", "report.html")
    assert "No report report.html: no verdict was reached" in result.stdout.str()


def test_a_report_without_its_extra_is_refused_before_any_training(guesses):
    guesses.makepyfile(sitecustomize="import sys; sys.modules['jinja2'] = None")
    guesses._monkeypatch.setenv("PYTHONPATH", str(guesses.path), prepend=":")
    result = run(guesses, "--convergence-report", "report.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "pytest-deepcaptcha with its extra `report`" in result.stderr.str()


HEAVY = """
import os, sys
def test_nothing_was_set_or_imported():
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    assert not {"tensorflow", "keras", "scipy", "numpy", "rich"} & set(sys.modules)
"""


def test_an_installed_plugin_leaves_other_projects_alone(pytester):
    pytester.makepyfile(HEAVY)
    for name in SETTINGS_OF_A_TRIAL:
        pytester._monkeypatch.delenv(name, raising=False)
    result = run(pytester, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert "convergence:" not in result.stdout.str()


PREPARED = """
import os
# Only a comment speaks of pytest.mark.convergence.
FOUND = {{name for name in {0} if name in os.environ}}

def test_it():
    assert FOUND == set({1})
"""


@pytest.mark.parametrize("ini", ["[pytest]\n", INI], ids=["plain", "single-thread"])
def test_nothing_is_set_beside_verdicts_unless_the_project_asks_for_it(suite, ini):
    names = [*SETTINGS_OF_A_TRIAL, "KERAS_BACKEND"]
    expected = list(SETTINGS_OF_A_TRIAL) if ini == INI else []
    suite.makeini(ini)
    suite.makepyfile(test_a=PREPARED.format(names, expected))
    for name in names:
        suite._monkeypatch.delenv(name, raising=False)
    run(suite, "-k", "test_it").assert_outcomes(passed=1, deselected=3)


def test_a_run_within_a_test_leaves_the_process_as_it_was(suite):
    before = is_left_alone()
    here(suite).assert_outcomes(passed=3)
    assert is_left_alone() == before
    assert suite.runpytest_inprocess("--no-such-option").ret == pytest.ExitCode.USAGE_ERROR
    assert is_left_alone() == before


@pytest.mark.integration
def test_tensorflow_that_came_too_early_fails_the_verdicts_alone(project):
    """Where the project asks for trainings in the processes of its tests."""
    project.makepyfile(test_no="def test_no():\n    pass\n", early="import tensorflow")
    for name in SETTINGS_OF_A_TRIAL:
        project._monkeypatch.delenv(name, raising=False)
    project._monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    result = run(project, "-p", "early")
    result.assert_outcomes(passed=1, failed=2)
    text = result.stdout.str()
    # Of both tests; where `CI` is set pytest repeats a whole message in its short summary.
    (line,) = {line for line in text.splitlines() if line.startswith("TensorFlow was imported")}
    assert line.endswith("or leave it out: worker processes set their own")
    assert "Traceback" not in text + result.stderr.str()
