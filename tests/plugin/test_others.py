"""The plugin beside other plugins and other ways to write tests; what trains costs nothing."""

import os
import sys

import pytest

from deepcaptcha.trials.ledger import read_ledger
from tests.helpers import APART
from tests.plugin.examples import here

FUNCTIONS = """
from itertools import count

TRIES = count()

def learn(seed):
    yield {"val_accuracy": 0.5 + seed % 100 / 1000}
    yield {"val_accuracy": 0.95}

def fickle(seed):
    yield {"val_accuracy": 0.5 + seed % 100 / 1000}
    yield {"val_accuracy": 0.95 if next(TRIES) > 1 else 0.1}
"""

MARKER = """
import unittest
import pytest
from functions import fickle, learn
pytestmark = pytest.mark.convergence(target=0.9, epochs=2, p_good=0.95, p_bad=0.1, chance=0.0)
"""

# Two trials decide: both succeed with a chance of 0.1 ** 2 = 0.01 at p_bad and fail with one of
# 0.05 ** 2 = 0.0025 at p_good, both within the 0.025 that each of two hypotheses has.
CLASSES = f"""{MARKER}
class TestPlain:
    def test_in_a_class(self, convergence):
        convergence.check_training(learn)

class Case(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, convergence):
        self.convergence = convergence

    def test_in_a_case(self):
        self.convergence.check_training(learn)
"""

FICKLE = f"""{MARKER}
def test_fickle(convergence):
    convergence.check_training(fickle)
"""


@pytest.fixture
def project(pytester):
    pytester.makeini("[pytest]\nconvergence_ledger = build/ledger\n")
    pytester.makepyfile(functions=FUNCTIONS)
    return pytester


def lines(result):
    return [
        line
        for line in result.outlines
        if line.startswith("convergence: ") and " trains " in line and " s" in line[-3:]
    ]


def test_classes_and_unittest_cases_ask_for_verdicts(project):
    project.makepyfile(CLASSES)
    result = here(project, "-v")
    result.assert_outcomes(passed=2)
    assert len(lines(result)) == 2
    assert {t.seed for t in read_ledger(project.path / "build" / "ledger").trials} == {
        2_000_000,
        2_000_001,
    }


@pytest.mark.integration
def test_in_any_order_the_verdicts_are_the_same(project):
    """Which pytest-randomly makes, and seeds every generator before every test."""
    pytest.importorskip("pytest_randomly")
    project.makepyfile(CLASSES)
    found = []
    for order in (["-p", "no:randomly"], ["-p", "randomly", "--randomly-seed", "3"]):
        folder = project.path / f"ledger-{len(found)}"
        options = ("-v", "-p", "no:hypothesispytest", *order, "--convergence-ledger", folder)
        project.runpytest_subprocess(*options).assert_outcomes(passed=2)
        trials = read_ledger(folder).trials
        found.append(sorted((trial.seed, trial.weights_sha256) for trial in trials))
    assert found[0] == found[1]


def test_a_red_verdict_stands_when_its_test_is_run_again(project):
    """The function would succeed in its third and fourth trial: a second try is no second chance."""
    pytest.importorskip("pytest_rerunfailures")
    project.makepyfile(FICKLE)
    result = here(project, "-v", "--reruns", "2")
    assert result.parseoutcomes() == {"failed": 1, "rerun": 2}
    (line,) = lines(result)
    assert "fickle trains 0.95/0.1: red, 0 of 2" in line
    assert "2 trials took" in result.stdout.str()
    assert len(read_ledger(project.path / "build" / "ledger").trials) == 2


RECORDED = """
from pathlib import Path
from random import Random
import pytest

def learn(seed):
    yield {"val_accuracy": 0.9 + Random(seed).random() / 10}

@pytest.mark.convergence(target=0.9, epochs=2, p_good=0.95, p_bad=0.1, hypotheses=3, rows=1)
def test_it(convergence):
    convergence.check_training(learn, baselines=Path(__file__).parent / "baselines")
"""


def test_a_missing_baseline_still_fails_when_its_test_is_run_again(project):
    """By the one that the first try wrote it would be green, and CI would never ask for it."""
    pytest.importorskip("pytest_rerunfailures")
    project.makepyfile(RECORDED)
    result = here(project, "--reruns", "1")
    assert result.parseoutcomes() == {"failed": 1, "rerun": 1}
    assert "learn had no baseline; it is now" in result.stdout.str()
    here(project, "--reruns", "1").assert_outcomes(passed=1)


TWICE = """
import sys
import pytest
found = [int(pytest.main(sys.argv[1:])) for _ in range(2)]
print("CODES", found)
"""


@pytest.mark.integration
def test_two_sessions_of_one_process_are_two_suites(project):
    project.makepyfile(CLASSES)
    script = project.makepyfile(twice=TWICE)
    result = project.run(sys.executable, script, "-v", "--convergence-fresh", *APART)
    assert "CODES [0, 0]" in result.stdout.str()
    assert len(lines(result)) == 4
    assert result.stdout.str().count("2 hypotheses share the suite's rates") == 2
    sizes = [
        len(p.read_text().splitlines()) for p in (project.path / "build/ledger").glob("*.jsonl")
    ]
    assert sizes == [1 + 4, 1 + 4]


def test_where_nothing_can_be_written_the_line_says_so(project):
    """Whoever is root may write anywhere: there a file is in the way of the folder."""
    project.makepyfile(CLASSES)
    if os.geteuid():
        project.path.chmod(0o555)
    else:
        (project.path / "build").write_text("")
    try:
        result = here(project, "-v", "-p", "no:cacheprovider")
    finally:
        project.path.chmod(0o755)
    text = result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "Traceback" not in text
    assert "cannot record trials in" in text
    assert "; choose a writable folder" in text
    kept = os.fspath(project.mkdir("kept"))
    result = here(project, "-v", "-p", "no:cacheprovider", "--convergence-ledger", kept)
    result.assert_outcomes(passed=2)
