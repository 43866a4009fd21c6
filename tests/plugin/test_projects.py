"""The plugin in other people's projects, each run as a process of its own."""

import re
import shlex
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deepcaptcha.plugin.contracts import CONTRACTS
from deepcaptcha.trials.ledger import read_ledger, trial_key
from deepcaptcha.trials.place import default_ledger
from tests.plugin.examples import INI, run

HERE = Path(__file__).parent / "projects"

pytestmark = pytest.mark.integration


@pytest.fixture
def project(pytester):
    """A function that makes a project of some of the modules, beside the factories and functions."""

    def make(*names, ini=""):
        pytester.makeini(INI + ini)
        for name in names:
            shutil.copy(HERE / f"{name}.py", pytester.path / f"test_{name}.py")
        for name in ("factories", "functions"):
            shutil.copy(HERE / f"{name}.py", pytester.path)
        return pytester

    return make


def verdicts(text):
    """The lines of verdicts, but for their seconds, sorted."""
    return sorted(
        re.findall(r"^(convergence: .* \d+-\d+ %\)); \d+ s(?:; .*)?$", text, re.MULTILINE)
    )


def test_factories_contracts_and_mistakes(project, monkeypatch):
    """Everything with TensorFlow in two runs, in one process and in two workers: starting it takes
    longer than the rest."""
    # 18 verdicts of test_verdicts, one of a mistake, one of a contract.
    pytester = project(
        "verdicts",
        "contracts",
        "mistakes",
        ini="convergence_alpha = 0.06\nconvergence_beta = 0.06\nconvergence_hypotheses = 20\n",
    )
    # The contracts run once; their hypothesis still counts in the second run.
    runs = {
        "0": ([], {"passed": 7 + 14, "failed": 7 + 1, "skipped": 5, "xfailed": 6 + 1}),
        "2": (
            ["test_verdicts.py", "test_mistakes.py"],
            {"passed": 6 + 1, "failed": 6 + 1, "xfailed": 6},
        ),
    }
    found = []
    for workers, (modules, outcomes) in runs.items():
        folder = pytester.path / f"with-{workers}"
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
        folder.mkdir()
        arguments = [f"--convergence-ledger={folder}", f"--junitxml={folder / 'junit.xml'}"]
        result = run(pytester, "-n", workers, "-v", "-rs", *arguments, *modules)
        result.assert_outcomes(**outcomes)
        text = result.stdout.str()
        recorded = read_ledger(folder).trials
        check_mistakes(text + result.stderr.str(), recorded)
        if workers == "0":
            check_contracts(text)
        lines = [line for line in verdicts(text) if "0.999/0.05" in line]
        found.append((lines, {trial_key(t): t.weights_sha256 for t in recorded}))
    (lines, trials), others = found
    assert others[0] == lines
    assert others[1].items() < trials.items()
    assert len(trials) == len(others[1]) + 1  # the contract needs one trial of build_mlp more
    assert len(lines) == 18
    # Two successes of two decide at 0.999 / 0.05 within 0.06 / 20 = 0.003: their chance is
    # 0.05 ** 2 = 0.0025. One failure does: the chance of any in two is 1 - 0.999 ** 2 = 0.002. The
    # intervals end where one such outcome has a chance of 2.5 %: 0.025 ** (1 / 2) and 1 - 0.025.
    green = [line for line in lines if ": green, 2 of 2 (95 % interval 15-100 %)" in line]
    red = [line for line in lines if ": red, 0 of 1 (95 % interval 0-98 %)" in line]
    assert (len(green), len(red)) == (6, 12)
    text = " ".join(text.split())
    for words in (
        "build_regression is claimed 'trains' in at least 99.9 % of trainings; 0",
        "The target, val_loss <= 0.02 within 1 epochs, was missed: stuck 1.",
        "frozen, 1 of 1 that missed the target: no weight changed in epoch 1",
        "pytest test_verdicts.py::test_regression_without_a_rate --convergence-hypotheses 20 "
        "--convergence-seed 2000000",
        "20 hypotheses share the suite's rates",
        "24 trials took",
    ):
        assert words in text
    assert "retracing" not in text
    check_junit(folder / "junit.xml")
    summary = (folder / "summary.md").read_text()
    head, _, folded = summary.partition("<details>")
    assert head.startswith("## Verdicts: 12 to look at, 6 green")
    assert (head.count("\n| build_"), folded.count("\n| build_")) == (12, 18)
    assert "- Again: --convergence-seed 2000000 --convergence-hypotheses 20" in summary


def check_contracts(text):
    for name in CONTRACTS:
        identifier = f"test_contracts.py::test_factories[build_mlp-{name.replace(' ', '_')}]"
        assert identifier in text
    assert "the model has 82 parameters; 81 are declared" in text
    assert "Own is subclassed: its layers have no shape until they are called" in text
    assert "SKIPPED [2]" in text
    assert "no claim is declared" in text


def check_mistakes(text, trials):
    assert "train is None; a pair (x, y) of arrays" in text
    assert "Traceback" not in text
    assert "During handling" not in text
    assert "bad input" not in {trial.name for trial in trials}


def check_junit(path):
    cases = {case.get("name"): case for case in ElementTree.parse(path).iter("testcase")}
    properties = {
        name: {p.get("name"): p.get("value") for p in case.iter("property")}
        for name, case in cases.items()
    }
    lstm = properties["test_lstm"]
    assert lstm["convergence.factory"] == "build_lstm"
    assert lstm["convergence.target"] == "val_accuracy >= 0.9 within 6 epochs"
    assert (lstm["convergence.verdict"], lstm["convergence.trials"]) == ("green", "2")
    known = properties["test_known_regression"]
    assert known["convergence.claim"] == "trains 0.999/0.05"
    assert known["convergence.failed_seeds"] == "2000000"
    assert not any(
        value.startswith("{") for found in properties.values() for value in found.values()
    )


GREEN = "convergence: perceptron trains 0.95/0.1: green, "
RED = "convergence: still trains 0.95/0.1: red, 0 of "


@pytest.mark.parametrize(
    ("mode", "busy"),
    [
        ("load", {2}),
        ("worksteal", {2}),
        # xdist 3.8 groups by what it appends to a node's id, which pytest 9.2 no longer lets it.
        ("loadgroup", {1, 2}),
        ("loadfile", {1}),
        ("loadscope", {1}),
        ("each", {2}),
    ],
)
def test_ways_to_distribute(project, mode, busy):
    """Where every worker runs every test, their very same trials are told of once."""
    pytester = project("tiny")
    path = pytester.path / "test_tiny.py"
    path.write_text(path.read_text().replace('xdist_group("other")', 'xdist_group("one")'))
    result = run(pytester, "-v", "-n", "2", "--dist", mode)
    times = 2 if mode == "each" else 1
    result.assert_outcomes(passed=times, failed=times)
    text = result.stdout.str()
    workers = set(re.findall(r"^\[(gw\d)\] .* test_tiny.py::test_", text, re.MULTILINE))
    assert len(workers) in busy
    assert " again: pytest test_tiny.py::test_does_not --convergence" in text
    red, green = sorted(verdicts(result.stdout.str()), reverse=True)
    assert red.startswith(RED)
    assert green.startswith(GREEN)


def test_ways_to_select(project):
    """The failing test comes first, and its number of verdicts is pinned."""
    pytester = project("tiny", ini="convergence_hypotheses = 2\n")
    result = run(pytester, "--collect-only", "-q")
    assert "2 tests collected" in result.stdout.str()
    assert not default_ledger(pytester.path).exists()
    result = run(pytester, "-x", "-v")
    result.assert_outcomes(failed=1)
    assert len(verdicts(result.stdout.str())) == 1
    trained = read_ledger(default_ledger(pytester.path)).trials
    assert {trial.name for trial in trained} == {"still"}
    result = run(pytester, "--lf", "-v", "--convergence-reuse")
    result.assert_outcomes(failed=1)
    assert verdicts(result.stdout.str())[0].startswith(RED)
    assert read_ledger(default_ledger(pytester.path)).trials == trained  # none trained again
    result = run(pytester, "-p", "no:cacheprovider", "-v", "-k", "test_trains")
    result.assert_outcomes(passed=1, deselected=1)
    assert verdicts(result.stdout.str())[0].startswith(GREEN)


def test_the_seed_that_got_stuck_comes_again_alone_and_first(project):
    """Although the project deselects it, unless asked."""
    slow = "addopts = -m 'not slow' --strict-markers\nmarkers = slow: minutes\n"
    pytester = project("tiny", ini=slow)
    path = pytester.path / "test_tiny.py"
    path.write_text(path.read_text().replace("def test_does", "@pytest.mark.slow\ndef test_does"))
    result = run(pytester, "-m", "slow and convergence")
    # With CI set, pytest repeats the message in its short summary.
    (command,) = set(re.findall(r"One of them again: pytest (.*)", result.stdout.str()))
    assert command.startswith(
        "test_tiny.py::test_does_not -m 'slow and convergence' --convergence-"
    )
    assert "--convergence-hypotheses 2 " in command
    before = read_ledger(default_ledger(pytester.path)).trials
    result = run(pytester, *shlex.split(command), "--convergence-ledger", "again")
    result.assert_outcomes(failed=1)
    first = read_ledger(pytester.path / "again").trials[0]
    assert [t.weights_sha256 for t in before if t.seed == first.seed] == [first.weights_sha256]


def test_workers_train_whatever_the_threads_of_the_tests_are(project):
    pytester = project("mistakes")
    path = pytester.path / "test_mistakes.py"
    path.write_text(path.read_text().replace("train=None", "train=points(0)"))
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(
        """
        import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(2)
        tf.zeros(1)
        """
    )
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"):
        pytester._monkeypatch.delenv(name, raising=False)
    result = run(pytester, "-v", "-k", "bad_input")
    result.assert_outcomes(passed=1, deselected=1)
    (line,) = verdicts(result.stdout.str())
    assert line.startswith("convergence: bad input trains 0.999/0.05: green, ")


def test_what_keras_keeps_is_frozen_only_where_the_marker_is_used(pytester):
    pytester.makeini(INI)
    pytester.makepyfile(
        "import gc, keras\ndef test_frozen():\n    assert gc.get_freeze_count() == 0\n"
    )
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_functions_pass_fail_and_are_known_to_fail_without_keras(project, workers):
    pytester = project("trainings")
    (pytester.path / "factories.py").unlink()  # imports Keras
    pytester.makeconftest(
        """
        import sys

        def pytest_sessionfinish(session):
            assert not {"tensorflow", "keras"} & set(sys.modules)
        """
    )
    result = run(pytester, "-n", workers, "-v")
    result.assert_outcomes(passed=1, failed=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = [re.sub(r"\(.*", "", line) for line in verdicts(result.stdout.str())]
    assert found == [
        "convergence: perceptron trains 0.95/0.1: green, 2 of 2 ",
        "convergence: perceptron trains 0.95/0.1: red, 0 of 2 ",
        "convergence: perceptron trains 0.95/0.1: red, 0 of 2 ",
    ]


def test_two_checks_need_two_verdicts(project):
    pytester = project("tiny")
    path = pytester.path / "test_tiny.py"
    line = "    convergence.check_training(perceptron)\n"
    path.write_text(path.read_text().replace(line, 2 * line))
    result = run(pytester, "-k", "test_trains")
    result.assert_outcomes(failed=1, deselected=1)
    assert "and its test declares 1, of which 1 are used; mark it with" in result.stdout.str()


def test_a_contract_and_a_factory_are_selected_by_name(pytester):
    pytester.makepyfile(
        """
        from deepcaptcha import Contracted, parametrize_with_contracts

        def build_mlp():
            pass

        def build_other():
            pass

        FACTORIES = [Contracted(build, None, None) for build in (build_mlp, build_other)]

        @parametrize_with_contracts(FACTORIES)
        def test_factories(contract):
            contract()
        """
    )
    result = run(pytester, "--collect-only", "-q", "-k", "build_mlp and save_and_load")
    assert "1/14 tests collected (13 deselected)" in result.stdout.str()
