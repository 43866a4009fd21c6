"""The plugin in projects of its own: options, budget, seeds, baselines, words.

What trains is a function that yields numbers, and nearly every run is one in this process: a process
of its own costs a second, one with TensorFlow six, and only a few tests are about that.
"""

import json
import re

import pytest
import scipy.stats  # noqa: F401 - neither it nor NumPy can be loaded anew by each run in this process

import deepcaptcha.plugin.judging  # noqa: F401 - as above
from deepcaptcha.plugin.options import SETTINGS
from deepcaptcha.trials.ledger import read_ledger
from tests.helpers import APART, PROJECT

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
    trials = read_ledger(project.path / "build" / "ledger").trials
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
    trials = read_ledger(guesses.path / "build" / "ledger").trials
    assert min(trial.seed for trial in trials) == int(seed)
    other = here(guesses, "--convergence-seed", "any", "-k", "stuck")
    assert set(re.findall(r"--convergence-seed (\d+)", other.stdout.str())) not in (set(), {seed})


@pytest.mark.integration
def test_worker_processes_give_the_same_verdicts(guesses):
    result = here(guesses, "--convergence-jobs", "2")
    result.assert_outcomes(passed=1, failed=1)
    assert re.search(r"0 of \d trials were so \(95 % interval 0-\d+ %\)", result.stdout.str())
    assert re.search(r"\d trials took 0.0 minutes on 2 workers;", result.stdout.str())
    trials = read_ledger(guesses.path / "build" / "ledger").trials
    here(guesses, "--convergence-ledger", "here")
    mine = read_ledger(guesses.path / "here").trials
    assert {trial.seed for trial in mine} <= {trial.seed for trial in trials}
    assert {t.weights_sha256 for t in mine} <= {t.weights_sha256 for t in trials}


def test_reuse_takes_trials_from_the_ledger(guesses):
    here(guesses, "-k", "stuck")
    again = here(guesses, "-k", "stuck", "--convergence-reuse")
    again.assert_outcomes(passed=1, deselected=1)
    first, second = files(guesses.path / "build" / "ledger")
    assert first > 0
    assert second == 0
    assert "2 hypotheses share" in again.stdout.str()  # counted before -k deselected one


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
    assert "guess tiny had no baseline; it is now" in first.stdout.str()
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
def test_a_wrong_marker_is_one_clear_line_that_names_its_test(guesses, marker, words):
    guesses.makepyfile(
        test_it=GUESSES.replace("mark.convergence\n", f"mark.convergence({marker})\n")
    )
    result = here(guesses, "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if words in line]
    assert "test_it.py::test_guesses[trains]: " in line
    assert "Traceback" not in result.stderr.str()


@pytest.mark.integration
def test_a_wrong_marker_fails_every_verdict_of_two_workers(guesses):
    guesses.makepyfile(test_it=GUESSES.replace("mark.convergence\n", "mark.convergence(2)\n"))
    result = run(guesses, "-n", "2")
    result.assert_outcomes(errors=2)
    text = result.stdout.str()
    assert text.count("guesses[trains]: write pytest.mark.convergence(hypotheses=N)") >= 2
    assert "INTERNALERROR" not in text
    assert not (guesses.path / "build").exists()


def test_every_option_has_an_ini_twin_and_counts_more(guesses):
    assert [setting.name for setting in SETTINGS] == [
        *("seed", "hypotheses", "rows", "alpha", "beta", "ledger", "report", "jobs"),
        *("timeout", "reuse", "repair", "record", "accept", "reason", "strict", "confirm"),
    ]
    guesses.makeini(
        "[pytest]\nconvergence_seed = 7\nconvergence_hypotheses = 9\nconvergence_rows = 4\n"
        "convergence_alpha = 0.2\n"
        "convergence_beta = 0.1\nconvergence_ledger = kept\nconvergence_jobs = 3\n"
        "convergence_timeout = 60\n"
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
        "SETTINGS [7, 9, 4, 0.2, 0.1, 'kept', None, 3, 60, True, None, True, None, None, True, True]"
        in text
    )
    assert "again with --convergence-seed 7 --convergence-hypotheses 9 --convergence-rows 4" in text
    given = ("--convergence-seed=8", "--convergence-alpha=0.3", "--convergence-ledger=other")
    given += ("--convergence-strict",)
    text = here(guesses, "--collect-only", "-s", *given).stdout.str()
    assert (
        "SETTINGS [8, 9, 4, 0.3, 0.1, 'other', None, 3, 60, True, None, True, None, None, True, True]"
        in text
    )
    assert (
        "--convergence-seed 8 --convergence-hypotheses 9 --convergence-rows 4 --convergence-alpha 0.3 "
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
    assert not (guesses.path / "build").exists()


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
            "--convergence-timeout needs --convergence-jobs: a training in the test's own process",
        ),
        (["-o", "convergence_alpha="], "convergence_alpha: '' is given; a number between 0 and 1"),
    ],
)
def test_a_wrong_option_is_one_clear_line(guesses, arguments, words):
    result = here(guesses, "--collect-only", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert "Traceback" not in result.stderr.str()


def test_a_part_of_the_suite_has_the_shares_of_the_whole(suite):
    assert here(suite, "--collect-only", "test_one.py").ret == 0
    unknown = here(suite, "test_one.py", "test_no.py")
    unknown.assert_outcomes(passed=1, errors=1)
    assert "let `pytest --collect-only` count them once, or pin" in unknown.stdout.str()
    here(suite).assert_outcomes(passed=3)
    for arguments in (["test_one.py"], ["--lf"], ["--ignore=test_two.py"], ["-k", "one"]):
        assert here(suite, *arguments).ret == 0
    here(suite, "test_one.py", "-p", "no:cacheprovider").assert_outcomes(errors=1)
    here(suite, "test_one.py", "--convergence-hypotheses", "3").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["test_one.py"],
        ["test_one.py::test_shared"],
        ["--lf"],
        ["--ignore=test_two.py"],
        ["--ignore-glob=*two*"],
        ["--deselect=test_two.py::test_shared"],
        ["--convergence-hypotheses=2", "--convergence-rows=1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_shares_that_nobody_knows_fail_the_verdicts_alone(suite, arguments):
    result = here(suite, *arguments)
    outcomes = result.parseoutcomes()
    assert outcomes["errors"] >= 1
    assert outcomes.get("failed", 0) == 0  # none was judged with other shares
    assert outcomes.get("passed", 0) == ("test_one" not in arguments[0])
    here(suite, "test_one.py").assert_outcomes(errors=1)  # and none was remembered


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
    unknown = here(rowed, pinned[0], "test_one.py")
    unknown.assert_outcomes(errors=1)
    assert "pin their number: ini convergence_rows = N, or --convergence-rows N" in str(
        unknown.stdout
    )
    here(rowed, *pinned, "test_one.py").assert_outcomes(passed=1)
    told = "convergence: alpha of claims: 0.4 x 0.05 / 2 claims = 0.01 each; as before: 0.4 x"
    assert told in str(here(rowed).stdout)
    part = here(rowed, "test_one.py", "test_twin.py")
    part.assert_outcomes(passed=2)  # as counted when all were collected
    few = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=1")
    few.assert_outcomes(errors=3)
    assert "1 rows are declared, and 2 were collected" in str(few.stdout)
    many = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=4")
    assert "4 rows are declared, which are two verdicts each, and 6 hypotheses" in str(many.stdout)


def test_the_number_that_is_not_pinned_is_remembered(rowed):
    pinned = "--convergence-hypotheses=6"
    here(rowed, pinned).assert_outcomes(passed=3)
    here(rowed, pinned, "test_one.py").assert_outcomes(passed=1)


@pytest.mark.integration
def test_two_workers_and_their_controller_know_the_shares_of_the_whole(suite):
    header = "convergence: again with --convergence-seed 2000000 --convergence-hypotheses 3; "
    unknown = run(suite, "-n", "2", "test_one.py")
    unknown.assert_outcomes(errors=1)
    for arguments, passed in ([], 3), (["test_one.py"], 1):
        result = run(suite, "-n", "2", *arguments)
        result.assert_outcomes(passed=passed)
        assert result.stdout.str().count(header) == 1
    here(suite, "test_two.py").assert_outcomes(passed=1)


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


def test_what_the_project_itself_leaves_out_is_no_part_of_its_suite(suite):
    suite.makepyfile(test_more=COUNTED.format(1))
    suite.makeini("[pytest]\naddopts = --ignore test_more.py\n")
    here(suite).assert_outcomes(passed=3)
    suite.makeini(
        "[pytest]\naddopts = --ignore=test_more.py\ntestpaths = test_one.py test_two.py\n"
    )
    here(suite, "test_two.py", "test_one.py", "-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_a_suite_that_is_broken_or_has_grown_is_counted_again(suite):
    suite.makepyfile(test_broken="import nothing_of_that_name\n")
    here(suite, "--continue-on-collection-errors").assert_outcomes(passed=1, errors=3)
    (suite.path / "test_broken.py").unlink()
    here(suite, "--collect-only", "-q")
    here(suite, "test_two.py").assert_outcomes(passed=1)
    suite.makepyfile(test_two=COUNTED.format(4))
    grown = here(suite, "test_two.py")
    grown.assert_outcomes(errors=1)
    assert "3 hypotheses are declared, and 4 were collected" in grown.stdout.str()


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
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        pytester._monkeypatch.delenv(name, raising=False)
    result = run(pytester, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert "convergence:" not in result.stdout.str()


PREPARED = """
import os
ready = os.environ.get("TF_ENABLE_ONEDNN_OPTS"), os.environ.get("TF_NUM_INTRAOP_THREADS")

def test_it():
    assert ready == {0}
"""


@pytest.mark.parametrize(
    ("arguments", "ready"), [([], ("1", "1")), (["--convergence-jobs=1"], (None, None))]
)
def test_all_is_set_before_the_first_module_beside_one_that_asks_for_verdicts(
    suite, arguments, ready
):
    """But not where worker processes, which set it for themselves, train."""
    suite.makepyfile(test_a=PREPARED.format(ready), test_z=PREPARED.format(ready))
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        suite._monkeypatch.delenv(name, raising=False)
    result = run(suite, "-k", "test_it", *arguments)
    result.assert_outcomes(passed=2, deselected=3)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("ini", "module", "arguments"),
    [("[pytest]\n", "conftest", []), (INI, "early", ["-p", "early"])],
    ids=["conftest", "plugin"],
)
def test_tensorflow_that_came_too_early_fails_the_verdicts_alone(project, ini, module, arguments):
    project.makeini(ini)
    project.makepyfile(test_no="def test_no():\n    pass\n", **{module: "import tensorflow"})
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        project._monkeypatch.delenv(name, raising=False)
    project._monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    result = run(project, *arguments)
    result.assert_outcomes(passed=1, failed=2)
    text = result.stdout.str()
    # Where `CI` is set pytest repeats a whole message in its short summary.
    start = "test_it.py::test_four_steps_teach_nothing[trains]: TensorFlow was imported"
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    assert line.endswith("under pytest, set the ini value convergence_single_thread = true")
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

    (pytester.path / "baselines" / "tiny" / "gone.json").write_text(path.read_text())
    assert "Baselines that no test names: tiny/gone." in here(pytester).stdout.str()
