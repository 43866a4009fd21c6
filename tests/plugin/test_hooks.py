"""The plugin in projects of its own: options, budget, seeds, baselines, words."""

import json
import re

import pytest

import deepcaptcha.verdicts.judge  # noqa: F401 - NumPy cannot be loaded anew by each run in this process

INI = "[pytest]\nconvergence_single_thread = true\n"

PROJECT = """
from dataclasses import replace
from functools import partial
from pathlib import Path
import pytest
from deepcaptcha import RECIPES, VARIANTS, build
from deepcaptcha.verdicts.claim import Claim

TINY = replace(
    RECIPES["sound-subset"], name="tiny", n_train=64, n_validation=50, epochs=1, batch=16, target=0.99
)
HERE = Path(__file__).parents[1]

@pytest.mark.convergence
@pytest.mark.parametrize("kind", ["trains", "stuck"])
def test_four_steps_teach_nothing(kind, convergence):
    convergence.judge(
        partial(build, VARIANTS["valid"].architecture), TINY, Claim(kind, 0.9, 0.2),
        name="valid", reuse_model=True,
    )
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
def suite(pytester):
    """Two modules that ask for two verdicts and one, and one that asks for none; nothing is trained."""
    pytester.makepyfile(
        test_two=COUNTED.format(2), test_one=COUNTED.format(1), test_no="def test_no():\n    pass\n"
    )
    return pytester


def run(pytester, *arguments):
    return pytester.runpytest_subprocess(*arguments)


def here(pytester, *arguments):
    """As `run`, in this process, for what trains nothing."""
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", *arguments)


@pytest.mark.integration
def test_a_true_claim_is_green_and_a_false_one_says_why(project, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "convergence: again with --convergence-seed 2000000" in text
    assert "valid under tiny is claimed 'trains' in at least 90 % of trainings" in text
    assert "The target, val_accuracy >= 0.99 within 1 epochs, was missed: stuck" in text
    assert re.search(r"0 of \d trials were so \(95 % interval 0-\d+ %\)", text)
    assert "2 hypotheses share the suite's rates" in text
    assert "--convergence-hypotheses 2 --convergence-seed 2000000" in text
    assert "No summary" not in text
    assert "Traceback" not in text


@pytest.mark.integration
def test_two_workers_give_the_same_verdicts_and_one_drawn_seed(project):
    result = run(project, "-n", "2", "--convergence-seed", "any")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    (seed,) = set(re.findall(r"--convergence-seed (\d+)", text))
    assert int(seed) >= 10**9
    assert "expect at most 18 false alarms a year" in text  # 365 nights * 5 %
    seeds = sorted(
        json.loads(line)["seed"]
        for path in (project.path / "build" / "ledger").glob("*.jsonl")
        for line in path.read_text().splitlines()[1:]
    )
    assert seeds[0] == int(seed)


@pytest.mark.integration
def test_reuse_takes_trials_from_the_ledger(project):
    run(project, "-k", "stuck")
    again = run(project, "-k", "stuck", "--convergence-reuse")
    again.assert_outcomes(passed=1, deselected=1)
    files = sorted((project.path / "build" / "ledger").glob("*.jsonl"))
    assert [len(path.read_text().splitlines()) > 1 for path in files] == [True, False]
    assert "2 hypotheses share" in again.stdout.str()  # counted before -k deselected one


@pytest.mark.integration
def test_a_missing_baseline_is_written_and_fails(project):
    source = PROJECT.replace('name="valid",', 'name="valid", baselines=HERE / "baselines",')
    project.makepyfile(test_it=source)
    undeclared = run(project, "-k", "stuck")
    undeclared.assert_outcomes(failed=1, deselected=1)
    assert "asks for 3 verdicts and its test declares 1; mark it with" in undeclared.stdout.str()
    marked = source.replace("mark.convergence\n", "mark.convergence(hypotheses=3)\n")
    project.makepyfile(test_it=marked)
    first = run(project, "-k", "stuck")
    first.assert_outcomes(failed=1, deselected=1)
    assert "valid tiny had no baseline; it is now" in first.stdout.str()
    written = json.loads((project.path / "baselines" / "tiny" / "valid.json").read_text())
    assert len(written["outcomes"]) == 30
    assert written["first_seed"] == 1_000_000
    second = run(project, "-k", "stuck")
    second.assert_outcomes(passed=1, deselected=1)
    assert "cannot tell whether as reliable: " in " ".join(second.stdout.str().split())


@pytest.mark.integration
def test_a_pinned_number_holds_whatever_is_selected(project):
    project.makeini(INI + "convergence_hypotheses = 7\n")
    for arguments in ([], ["test_it.py::test_four_steps_teach_nothing[stuck]"], ["--lf"]):
        run(project, "--collect-only", *arguments).assert_outcomes()
    result = run(project, "test_it.py::test_four_steps_teach_nothing[stuck]")
    assert "7 hypotheses share the suite's rates" in result.stdout.str()


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
def test_a_wrong_marker_is_one_clear_line_that_names_its_test(project, marker, words):
    project.makepyfile(
        test_it=PROJECT.replace("mark.convergence\n", f"mark.convergence({marker})\n")
    )
    result = here(project, "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if words in line]
    assert "test_it.py::test_four_steps_teach_nothing[trains]: " in line
    assert "Traceback" not in result.stderr.str()


@pytest.mark.integration
def test_a_wrong_marker_fails_every_verdict_of_two_workers(project):
    project.makepyfile(test_it=PROJECT.replace("mark.convergence\n", "mark.convergence(2)\n"))
    result = run(project, "-n", "2")
    result.assert_outcomes(errors=2)
    text = result.stdout.str()
    assert text.count("nothing[trains]: write pytest.mark.convergence(hypotheses=N)") >= 2
    assert "INTERNALERROR" not in text
    assert not (project.path / "build").exists()


@pytest.mark.integration
def test_every_option_has_an_ini_twin_and_counts_more(project):
    project.makeini(
        INI + "convergence_seed = 7\nconvergence_hypotheses = 9\nconvergence_alpha = 0.2\n"
        "convergence_beta = 0.1\nconvergence_ledger = kept\nconvergence_reuse = true\n"
        "convergence_record = true\n"
    )
    project.makeconftest(
        """
        from deepcaptcha.plugin.hooks import options as settings

        def pytest_sessionstart(session):
            print("SETTINGS", [settings.find(session.config, s.name)[0] for s in settings.SETTINGS])
        """
    )
    text = run(project, "--collect-only", "-s").stdout.str()
    assert "SETTINGS [7, '9', '0.2', '0.1', 'kept', '', True, True]" in text
    assert "again with --convergence-seed 7 --convergence-hypotheses 9" in text
    given = ("--convergence-seed=8", "--convergence-alpha=0.3", "--convergence-ledger=other")
    text = run(project, "--collect-only", "-s", *given).stdout.str()
    assert "SETTINGS [8, '9', '0.3', '0.1', 'other', '', True, True]" in text
    assert "--convergence-seed 8 --convergence-hypotheses 9 --convergence-alpha 0.3" in text


def test_the_marker_is_registered(project):
    text = here(project, "--markers").stdout.str()
    assert "@pytest.mark.convergence(hypotheses=1, target" in text
    # Other people's own names.
    assert "@pytest.mark.slow" not in text
    assert "@pytest.mark.integration" not in text


def test_an_unmarked_test_is_refused_before_any_training(project):
    project.makepyfile(test_it=PROJECT.replace("@pytest.mark.convergence\n", ""))
    result = run(project)
    result.assert_outcomes(errors=2)
    assert "must carry pytest.mark.convergence" in result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--convergence-seed", "some"], "--convergence-seed is 'some'; 'fixed', 'any' or"),
        (["-o", "convergence_hypotheses=no"], "convergence_hypotheses is 'no'; a whole number"),
        (["-o", "convergence_alpha=5"], "convergence_alpha is '5'; a number between 0 and 1"),
        (["--convergence-beta", "no"], "--convergence-beta is 'no'; a number between 0 and 1"),
        (["--convergence-hypotheses", "0"], "--convergence-hypotheses is '0'; a whole number"),
    ],
)
def test_a_wrong_option_is_one_clear_line(project, arguments, words):
    result = here(project, "--collect-only", *arguments)
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
        ["--convergence-hypotheses=2"],
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


@pytest.mark.integration
def test_two_workers_and_their_controller_know_the_shares_of_the_whole(suite):
    header = (
        "convergence: again with --convergence-seed 2000000 --convergence-hypotheses 3; tensorflow "
    )
    unknown = run(suite, "-n", "2", "test_one.py")
    unknown.assert_outcomes(errors=1)
    for arguments, passed in ([], 3), (["test_one.py"], 1):
        result = run(suite, "-n", "2", *arguments)
        result.assert_outcomes(passed=passed)
        assert result.stdout.str().count(header) == 1
    here(suite, "test_two.py").assert_outcomes(passed=1)


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
def test_a_report_is_written_by_the_controller_of_two_workers(project):
    project.makeini(INI + "convergence_report = made/report.html\n")
    given = (
        "--convergence-seed=any",
        "--convergence-hypotheses",
        "9",
        "--convergence-alpha",
        "0.2",
    )
    result = run(project, *given, "-n", "2", "--convergence-seed", "2000000")
    result.assert_outcomes(passed=1, failed=1)
    path = project.path / "made" / "report.html"
    assert f"Report: {path}" in result.stdout.str()
    page = path.read_text()
    assert "2 rows judged: 1 red, 1 green, 0 cannot tell. " in page
    assert (
        "Red: valid (test_four_steps_teach_nothing[trains]) under tiny." in page
    )  # of two so named
    assert "9 hypotheses share the suite&#39;s rates" in page
    again = "--convergence-seed 2000000 --convergence-hypotheses 9 --convergence-alpha 0.2"
    assert f" -n 2 {again}" in page
    assert f"Again: {again}" in result.stdout.str()
    assert "--convergence-seed=any" not in page
    assert "--convergence-hypotheses 9 -n" not in page
    assert len(re.findall("<svg", page)) == 1 + 2 * 3  # P(converge); curves, epochs, walk for each


@pytest.mark.integration
def test_a_report_or_a_summary_that_cannot_be_written_is_told(project, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/null/summary.md")
    result = run(project, "-k", "stuck", "--convergence-report", "/dev/null/x.html")
    result.assert_outcomes(passed=1, deselected=1)
    assert "No report: cannot write the report /dev/null/x.html" in result.stdout.str()
    assert "No summary in /dev/null/summary.md: Not a directory" in result.stdout.str()


def test_no_verdict_no_report(suite):
    assert "No report" not in here(suite).stdout.str()
    result = here(suite, "--convergence-report", "report.html")
    assert "No report report.html: no verdict was reached" in result.stdout.str()


def test_a_report_without_its_extra_is_refused_before_any_training(project):
    project.makepyfile(sitecustomize="import sys; sys.modules['jinja2'] = None")
    project._monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    result = run(project, "--convergence-report", "report.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "pytest-deepcaptcha with its extra `report`" in result.stderr.str()


def test_an_installed_plugin_leaves_other_projects_alone(pytester):
    pytester.makepyfile(
        """
        import os, sys
        def test_nothing_was_set_or_imported():
            assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
            assert not {"tensorflow", "keras", "scipy", "numpy"} & set(sys.modules)
        """
    )
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        pytester._monkeypatch.delenv(name, raising=False)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    assert "convergence:" not in result.stdout.str()


PREPARED = """
import os
ready = os.environ.get("TF_ENABLE_ONEDNN_OPTS"), os.environ.get("TF_NUM_INTRAOP_THREADS")

def test_it():
    assert ready == ("1", "1")
"""


def test_all_is_set_before_the_first_module_beside_one_that_asks_for_verdicts(suite):
    suite.makepyfile(test_a=PREPARED, test_z=PREPARED)
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        suite._monkeypatch.delenv(name, raising=False)
    result = run(suite, "-p", "no:hypothesispytest", "-k", "test_it")
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


@pytest.mark.integration
def test_the_controller_of_two_workers_never_imports_tensorflow(project):
    project.makeconftest(
        """
        import sys
        def pytest_sessionfinish(session):
            if not hasattr(session.config, "workerinput"):
                print("CONTROLLER", sorted({"tensorflow", "keras"} & set(sys.modules)))
        """
    )
    result = run(project, "-n", "2", "-k", "stuck", "-s")
    assert "CONTROLLER []" in result.stdout.str()
