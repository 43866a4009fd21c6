"""The plugin in projects of its own: options, budget, seeds, baselines, words.

What trains is a function that yields numbers, and nearly every run is one in this process: a process
of its own costs a second, one with TensorFlow six, and only a few tests are about that.
"""

import json
import re
from dataclasses import replace

import pytest
import scipy.stats  # noqa: F401 - neither it nor NumPy can be loaded anew by each run in this process

import deepcaptcha.plugin.judging  # noqa: F401 - as above
from deepcaptcha.keras.environment import SETTINGS as SETTINGS_OF_A_TRIAL
from deepcaptcha.keras.environment import is_left_alone
from deepcaptcha.plugin.options import SETTINGS
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.place import default_ledger
from deepcaptcha.verdicts.baseline import read_baseline, write_baseline
from tests.helpers import APART, PROJECT, ROOT

INI = "[pytest]\nconvergence_single_thread = true\n"


GUESSES = """
from pathlib import Path
import pytest
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

HERE = Path(__file__).parent

def guess(seed):
    yield {"val_accuracy": 0.1, "seed": seed}

GUESS = FunctionSource(guess, Target(0.99, epochs=1, chance=0.1), recipe="tiny")

@pytest.mark.convergence
@pytest.mark.parametrize("kind", ["trains", "stuck"])
def test_guesses(kind, convergence):
    convergence.judge(GUESS, Claim(kind, 0.9, 0.2))
"""

# Three hypotheses; each test passes only where the suite's rates are shared among so many.
COUNTED = """
import pytest

@pytest.mark.convergence(hypotheses={0})
def test_shared(convergence):
    assert convergence.budget.hypotheses == 3
"""


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    pytester.makeini(INI)
    pytester.makepyfile(test_it=PROJECT)
    return pytester


@pytest.fixture
def guesses(pytester, monkeypatch):
    """One claim that is true, and one that is false, of a function that learns nothing."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    pytester.makeini(INI)
    pytester.makepyfile(test_it=GUESSES)
    return pytester


@pytest.fixture
def suite(pytester):
    """Two modules that ask for two verdicts and one, and one that asks for none; nothing is trained."""
    pytester.makepyfile(
        test_two=COUNTED.format(2), test_one=COUNTED.format(1), test_no="def test_no():\n    pass\n"
    )
    return pytester


def run(pytester, *arguments):
    return pytester.runpytest_subprocess(*APART, *arguments)


def here(pytester, *arguments):
    """As `run`, in this process."""
    return pytester.runpytest_inprocess(*APART, *arguments)


def files(folder):
    """Trials in each file of a ledger, the oldest file first."""
    return [len(path.read_text().splitlines()) - 1 for path in sorted(folder.glob("*.jsonl"))]


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
    assert re.search(r"\d trials took \d+\.\d minutes on 2 workers;", result.stdout.str())
    trials = read_ledger(default_ledger(guesses.path)).trials
    here(guesses, "--convergence-ledger", "here")
    mine = read_ledger(guesses.path / "here").trials
    assert {trial.seed for trial in mine} <= {trial.seed for trial in trials}
    assert {t.weights_sha256 for t in mine} <= {t.weights_sha256 for t in trials}


def test_reuse_takes_trials_from_the_ledger(guesses):
    here(guesses, "-k", "stuck")
    again = here(guesses, "-k", "stuck", "--convergence-reuse")
    again.assert_outcomes(passed=1, deselected=1)
    first, second = files(default_ledger(guesses.path))
    assert first > 0
    assert second == 0
    assert "2 hypotheses share" in again.stdout.str()  # counted before -k deselected one


def test_damaged_and_unsigned_records_are_told_once(guesses):
    """And how the ledger ends that was written: that lines were cut off is known by nothing else."""
    here(guesses, "-k", "stuck")
    ledger = default_ledger(guesses.path)
    (first,) = ledger.glob("*.jsonl")
    first.write_text(first.read_text().replace('"seconds":0', '"seconds":1', 1))
    old = ledger / "old.jsonl"
    old.write_text((ROOT / "tests" / "data" / "ledger-0.2.jsonl").read_text())
    result = here(guesses, "--convergence-reuse", "--convergence-report", "page.html")
    text = result.stdout.str()
    assert text.count("line 2 is damaged and was skipped") == 1
    assert text.count("2 of its trials are unsigned, recorded by an earlier version") == 1
    (path,) = {*first.parent.glob("trials-*.jsonl")} - {first}
    ends = json.loads(path.read_text().splitlines()[-1])["digest"]
    result.stdout.fnmatch_lines([f"Recorded in *: {path.name} ends with {ends[:12]}"])
    assert "line 2 is damaged and was skipped" in (guesses.path / "page.html").read_text()


def test_baselines_without_a_digest_are_told_once(guesses):
    source = GUESSES.replace("0.2))", '0.2), baselines=HERE / "baselines")')
    guesses.makepyfile(
        test_it=source.replace("convergence\n", "convergence(hypotheses=3, rows=1)\n")
    )
    here(guesses, "--convergence-record")
    path = guesses.path / "baselines" / "tiny" / "guess.json"
    assert "unsigned" not in here(guesses).stdout.str()
    record = {**json.loads(path.read_text()), "format": 2}
    del record["digest"]
    path.write_text(json.dumps(record))
    assert here(guesses).stdout.str().count("unsigned baselines in ") == 1


@pytest.mark.integration
def test_a_missing_baseline_is_written_and_fails(guesses):
    source = GUESSES.replace("0.2))", '0.2), baselines=HERE / "baselines")')
    guesses.makepyfile(test_it=source)
    undeclared = here(guesses, "-k", "stuck")
    undeclared.assert_outcomes(failed=1, deselected=1)
    assert (
        "asks for 3 verdicts, two of them against its baseline, and its test declares 1 and 0 rows; "
        "mark it with pytest.mark.convergence(hypotheses=3, rows=1)"
    ) in undeclared.stdout.str()
    marked = source.replace("mark.convergence\n", "mark.convergence(hypotheses=3, rows=1)\n")
    guesses.makepyfile(test_it=marked)
    first = here(guesses, "-k", "stuck")
    first.assert_outcomes(failed=1, deselected=1)
    assert "guess under tiny had no baseline; it is now" in first.stdout.str()
    written = json.loads((guesses.path / "baselines" / "tiny" / "guess.json").read_text())
    assert len(written["outcomes"]) == 30
    assert written["first_seed"] == 1_000_000
    second = here(guesses, "-k", "stuck")
    second.assert_outcomes(passed=1, deselected=1)
    assert "cannot tell whether as reliable: " in " ".join(second.stdout.str().split())


@pytest.mark.integration
def test_a_pinned_number_holds_whatever_is_selected(guesses):
    guesses.makeini("[pytest]\nconvergence_hypotheses = 7\n")
    one = "test_it.py::test_guesses[stuck]"
    for arguments in ([], [one], ["--lf"]):
        here(guesses, "--collect-only", *arguments).assert_outcomes()
    assert "7 hypotheses share the suite's rates" in here(guesses, one).stdout.str()


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("2", "write pytest.mark.convergence(hypotheses=N)"),
        ("target='0.9', epochs=1, p_good=0.9, p_bad=0.2", "target is '0.9'; a number is needed"),
        ("target=1.5, epochs=1, p_good=0.9, p_bad=0.2", "target is 1.5; an accuracy lies above 0"),
        (
            "target=0.5, epochs=1, p_good=0.2, p_bad=0.9",
            "needs 0 < p_bad < p_good < 1, not p_bad 0.9",
        ),
    ],
)
def test_a_wrong_marker_fails_its_own_test_in_one_clear_line(guesses, marker, words):
    guesses.makepyfile(
        test_no=f"""
import pytest

@pytest.mark.convergence({marker})
def test_no(convergence):
    assert False, "never reached"
"""
    )
    result = here(guesses)
    result.assert_outcomes(passed=1, failed=1, errors=1)
    (line,) = {line for line in result.stdout.lines if words in line and "ERROR" not in line}
    assert "test_no" not in line  # pytest has named it already
    assert "3 hypotheses share the suite's rates" in result.stdout.str()  # as if it were right


@pytest.mark.integration
def test_a_wrong_marker_fails_its_own_test_under_two_workers(guesses):
    guesses.makepyfile(test_no=COUNTED.format("2.5"))
    result = run(guesses, "-n", "2")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    assert "write pytest.mark.convergence(hypotheses=N)" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_every_option_has_an_ini_twin_and_counts_more(guesses):
    assert [setting.name for setting in SETTINGS] == [
        *("seed", "hypotheses", "rows", "pinned", "alpha", "beta", "ledger", "report"),
        *("json", "save", "jobs"),
        *("max_trials", "timeout", "minutes", "reuse", "fresh", "repair", "record", "accept"),
        *("reason", "strict", "confirm"),
    ]
    guesses.makeini(
        "[pytest]\nconvergence_seed = 7\nconvergence_hypotheses = 10\nconvergence_rows = 4\n"
        "convergence_alpha = 0.2\n"
        "convergence_beta = 0.1\nconvergence_ledger = kept\nconvergence_jobs = 3\n"
        "convergence_timeout = 60\n"
        "convergence_max_trials = 6\nconvergence_minutes = 1.5\n"
        "convergence_reuse = true\nconvergence_record = true\nconvergence_strict = true\n"
        "convergence_confirm = true\n"
    )
    guesses.makeconftest(
        """
        from deepcaptcha.plugin.options import read_options

        def pytest_sessionstart(session):
            found = vars(read_options(session.config))
            root = session.config.rootpath
            print("SETTINGS", [v.relative_to(root).name if v and k == "ledger" else v
                               for k, v in found.items()])
        """
    )
    text = here(guesses, "--collect-only", "-s").stdout.str()
    assert (
        "SETTINGS [7, 10, 4, False, 0.2, 0.1, 'kept', None, None, None, 3, 60, 6, 1.5, True, False, "
        "None, True, None, None, True, True]" in text
    )
    assert (
        "again with --convergence-seed 7 --convergence-hypotheses 10 --convergence-rows 4" in text
    )
    given = ("--convergence-seed=8", "--convergence-alpha=0.3", "--convergence-ledger=other")
    given += ("--convergence-strict",)
    text = here(guesses, "--collect-only", "-s", *given).stdout.str()
    assert (
        "SETTINGS [8, 10, 4, False, 0.3, 0.1, 'other', None, None, None, 3, 60, 6, 1.5, True, False, "
        "None, True, None, None, True, True]" in text
    )
    assert (
        "--convergence-seed 8 --convergence-hypotheses 10 --convergence-rows 4 --convergence-alpha 0.3 "
        "--convergence-strict" in text
    )


def test_the_marker_is_registered(guesses):
    text = here(guesses, "--markers").stdout.str()
    assert "@pytest.mark.convergence(hypotheses=1, target" in text
    # Other people's own names.
    assert "@pytest.mark.slow" not in text
    assert "@pytest.mark.integration" not in text


def test_an_unmarked_test_is_refused_before_any_training(guesses):
    guesses.makepyfile(test_it=GUESSES.replace("@pytest.mark.convergence\n", ""))
    result = here(guesses)
    result.assert_outcomes(errors=2)
    assert "must carry pytest.mark.convergence" in result.stdout.str()
    assert not default_ledger(guesses.path).exists()
    guesses.makeconftest(  # too late to be counted
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.convergence(hypotheses=1))
        """
    )
    late = here(guesses)
    late.assert_outcomes(errors=2)
    assert "must carry pytest.mark.convergence when it is collected" in late.stdout.str()


def test_a_time_limit_is_for_workers_which_train_unless_told_otherwise(guesses):
    guesses.makeini("[pytest]\n")
    assert here(guesses, "--collect-only", "--convergence-timeout", "9").ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--convergence-seed", "some"], "--convergence-seed: 'some' is given; 'fixed', 'any' or"),
        (["--convergence-seed", "-1"], "--convergence-seed: '-1' is given; 'fixed', 'any' or"),
        (["-o", "convergence_hypotheses=no"], "convergence_hypotheses: 'no' is given; a whole num"),
        (
            ["-o", "convergence_alpha=5"],
            "convergence_alpha: '5' is given; a number between 0 and 1",
        ),
        (
            ["--convergence-beta", "no"],
            "--convergence-beta: 'no' is given; a number between 0 and 1",
        ),
        (
            ["--convergence-hypotheses", "0"],
            "--convergence-hypotheses: '0' is given; a whole number",
        ),
        (["--convergence-jobs", "0"], "--convergence-jobs: '0' is given; a whole number"),
        (
            ["--convergence-timeout", "9"],
            "single_thread, --convergence-timeout needs --convergence-jobs: a training in the",
        ),
        (["-o", "convergence_alpha="], "convergence_alpha: '' is given; a number between 0 and 1"),
    ],
)
def test_a_wrong_option_is_one_clear_line(guesses, arguments, words):
    result = here(guesses, "--collect-only", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


# What a test's verdicts share, for whoever asks.
SHOWN = """
import pytest

@pytest.mark.convergence(hypotheses={0})
@pytest.mark.parametrize("word", ["fox", "owl"])
def test_shown(convergence, word, record_property):
    print("SHARED", convergence.budget.hypotheses)
    assert word == "fox"
"""


@pytest.fixture
def shown(pytester):
    """A module of two tests with two verdicts each, and one of two tests with one each."""
    pytester.makepyfile(test_two=SHOWN.format(2), test_one=SHOWN.format(1))
    return pytester


def shared(pytester, *arguments):
    """By how many hypotheses the rates were divided, as each test found it."""
    return set(re.findall(r"SHARED (\d+)", here(pytester, "-s", *arguments).stdout.str()))


def test_the_rates_are_shared_by_what_is_collected_before_any_is_deselected(shown):
    assert shared(shown, "test_one.py") == {"2"}  # on a fresh checkout, whatever else there is
    assert shared(shown) == {"6"}
    for arguments in (["-k", "one and fox"], ["--deselect=test_two.py"], ["--lf"], ["--sw"]):
        assert shared(shown, *arguments) == {"6"}
    assert shared(shown, "test_one.py::test_shown[fox]") == {"1"}
    assert shared(shown, "--ignore=test_two.py", "-p", "no:cacheprovider") == {"2"}
    assert shared(shown, "test_one.py", "--convergence-hypotheses", "9") == {"9"}


def test_the_header_says_how_the_rates_are_shared(shown):
    text = here(shown, "--collect-only", "test_one.py").stdout.str()
    assert "alpha of 0.05 / 2 verdicts = 0.025 each (as collected)" in text
    text = here(shown, "--collect-only", "--convergence-hypotheses", "10").stdout.str()
    assert "alpha of 0.05 / 10 verdicts = 0.005 each (pinned)" in text
    here(shown, "test_two.py", "--convergence-hypotheses", "3").assert_outcomes(errors=2)


def test_whoever_wants_the_number_pinned_is_told_what_to_pin(suite):
    result = here(suite, "-o", "convergence_pinned=true")
    result.assert_outcomes(passed=1, errors=2)
    assert "and the number of hypotheses is not: ini convergence_hypotheses = N" in str(
        result.stdout
    )
    pinned = ("--convergence-pinned", "--convergence-hypotheses=3")
    here(suite, *pinned).assert_outcomes(passed=3)


# Two rows and the twin of one of them: 6 hypotheses of 2 rows, whatever is collected.
ROWED = """
import pytest

@pytest.mark.convergence(hypotheses=3, rows=1{0})
def test_shared(convergence):
    budget = convergence.budget
    assert (budget.hypotheses, budget.rows, budget.claims) == (6, 2, 2)
"""


@pytest.fixture
def rowed(pytester):
    pytester.makepyfile(
        test_one=ROWED.format(""), test_two=ROWED.format(""), test_twin=ROWED.format(', twin="one"')
    )
    return pytester


def test_rows_are_counted_like_hypotheses_and_twins_once(rowed):
    pinned = ("--convergence-hypotheses=6", "--convergence-rows=2")
    here(rowed, *pinned, "test_one.py").assert_outcomes(passed=1)
    told = "convergence: alpha of claims: 0.4 x 0.05 / 2 claims = 0.01 each; as before: 0.4 x"
    assert told in str(here(rowed).stdout)
    both = here(rowed, "--convergence-pinned", pinned[0])
    both.assert_outcomes(errors=3)
    assert "the number of rows is not: ini convergence_rows = N" in str(both.stdout)
    few = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=1")
    few.assert_outcomes(errors=3)
    assert "1 rows are pinned, and 2 were collected" in str(few.stdout)
    many = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=4")
    assert "4 rows are pinned, which are two verdicts each, and 6 hypotheses" in str(many.stdout)
    # 3 rows take all 6, and two claims would each have the whole part of claims.
    starved = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=3")
    starved.assert_outcomes(errors=3)
    assert "3 rows of 6 hypotheses are pinned, which leaves 0 for claims, and 2" in str(
        starved.stdout
    )


@pytest.mark.integration
def test_two_workers_and_their_controller_know_the_shares_of_the_whole(suite):
    header = "convergence: again with --convergence-seed 2000000 --convergence-hypotheses 3; "
    for arguments in [], ["-k", "one or no"], ["-p", "no:cacheprovider"]:
        result = run(suite, "-n", "2", *arguments)
        assert result.ret == pytest.ExitCode.OK
        assert result.stdout.str().count(header) == 1


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


# Six rows; row n misses its target at the judged seeds 2n and 2n + 1 while a file says so, which is too
# little for any row's own plan.
ROWS = """
from pathlib import Path
import pytest
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

HERE = Path(__file__).parent

@pytest.mark.parametrize(
    "row",
    [pytest.param(n, marks=pytest.mark.convergence(hypotheses=3, rows=1)) for n in range(6)],
)
def test_row(row, convergence):
    def train(seed):
        missed = (HERE / "worse").exists() and seed - 2_000_000 in (2 * row, 2 * row + 1)
        yield {"val_accuracy": 0.1 if missed else 0.95, "own": row + seed}

    source = FunctionSource(train, Target(0.9, epochs=1, chance=0.1), f"row{row}", "1", "tiny")
    convergence.judge(source, Claim("trains", 0.8, 0.3), baselines=HERE / "baselines")
"""


@pytest.mark.integration
def test_what_no_row_shows_the_suite_as_a_whole_does(pytester, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    pytester.makeini(INI)
    pytester.makepyfile(test_it=ROWS)
    here(pytester, "--convergence-record").assert_outcomes(passed=6)
    same = here(pytester)
    same.assert_outcomes(passed=6)
    assert same.ret == pytest.ExitCode.OK
    text = " ".join(same.stdout.str().split())
    assert "Baselines that no test names" not in text
    # By hand: 2 %, 2 % and 1 % of 5 %, shared by 6 claims and twelve comparisons of 6 rows.
    shares = (
        "claims: 0.4 x 0.05 / 6 claims = 0.00333 each; as before: 0.4 x 0.05 / 6 rows x 2 = 0.00167 each"
        "; the whole: 0.2 x 0.05 / 1 test = 0.01 each"
    )
    assert f"convergence: alpha of {shares}" in text
    assert "--convergence-hypotheses 18 --convergence-rows 6" in text
    assert "The suite as a whole: green; 6 rows, 14 seeds, 30 recorded: misses and" in text
    assert re.search(
        r"as before; sees a fall by \d+ points of every row's rate with 90 % power", text
    )

    (pytester.path / "worse").touch()
    worse = here(pytester)
    worse.assert_outcomes(passed=6)
    assert worse.ret == pytest.ExitCode.TESTS_FAILED
    assert "The suite as a whole: red; more misses" in worse.stdout.str()

    two = run(pytester, "-n", "2")  # whose controller has the courses from its workers
    two.assert_outcomes(passed=6)
    assert two.ret == pytest.ExitCode.TESTS_FAILED
    assert "The suite as a whole: red; more misses" in two.stdout.str()

    part = here(pytester, "-k", "row and not 3")
    assert part.ret == pytest.ExitCode.OK
    assert "The suite as a whole: cannot tell; 5 of 6 rows were judged." in part.stdout.str()


@pytest.mark.integration
def test_a_row_is_accepted_for_a_reason(pytester, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    pytester.makeini(INI)
    pytester.makepyfile(test_it=ROWS.replace("range(6)", "range(2)").replace("0.95", "HIGH"))
    high = pytester.path / "conftest.py"
    high.write_text("import builtins\nbuiltins.HIGH = 0.95\n")
    here(pytester, "--convergence-record").assert_outcomes(passed=2)
    high.write_text("import builtins\nbuiltins.HIGH = 0.92\n")
    here(pytester).assert_outcomes(failed=2)  # lower in each trial, though every one met its target
    lone = here(pytester, "--convergence-accept", "row0")
    assert lone.ret == pytest.ExitCode.USAGE_ERROR
    assert "--convergence-reason TEXT are given together" in lone.stderr.str()
    unknown = here(pytester, "-k", "0", "--convergence-accept=row9", "--convergence-reason=why")
    assert "No row row9 with a baseline was judged; nothing is accepted" in unknown.stdout.str()

    given = ("--convergence-accept", "row0 tiny", "--convergence-reason", "a smaller head")
    for workers in ([], ["-n", "2"]):
        result = run(pytester, *given, *workers)
        result.assert_outcomes(passed=1, failed=1)  # the other row is judged as ever
        text = " ".join(result.stdout.str().split())
        assert (
            "row0 under tiny is accepted, a smaller head: 30 of 30 converged, recorded 30 of"
            in text
        )
    assert "val_accuracy after epoch 1: 0.920, recorded 0.920 to 0.920" in text  # the second time
    path = pytester.path / "baselines" / "tiny" / "row0.json"
    first, second = json.loads(path.read_text())["accepted"]
    assert (first["reason"], second["reason"]) == ("a smaller head",) * 2
    assert any(
        line.startswith("val_accuracy after epoch 1: 0.920, recorded 0.950 to 0.950")
        for line in first["lines"]
    )
    here(pytester, "-k", "0").assert_outcomes(passed=1, deselected=1)

    made = read_baseline(pytester.path / "baselines", "row0", "tiny")
    write_baseline(pytester.path / "baselines", replace(made, name="gone"))
    assert "Baselines that no test names: tiny/gone." in here(pytester).stdout.str()
