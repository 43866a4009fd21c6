"""The plugin on each of Keras' backends, and beside tests that have nothing to do with it."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from deepcaptcha.keras.environment import SETTINGS
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.source import distribution_version
from tests.plugin.examples import run

HERE = Path(__file__).parent / "projects"

pytestmark = pytest.mark.integration


@pytest.fixture
def project(pytester, monkeypatch):
    """A function that makes a project of some modules, on a backend, without any setting of ours."""
    for name in (*SETTINGS, "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)

    def make(*names, backend=None, ini=""):
        if backend is not None and importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed; the nightly job has it")
        expected = {} if backend is None else {"KERAS_BACKEND": backend}
        for name, value in {**expected, "EXPECTED": json.dumps(expected)}.items():
            monkeypatch.setenv(name, value)
        pytester.makeini(f"[pytest]\nconvergence_ledger = build/ledger\n{ini}")
        for name in names:
            shutil.copy(HERE / f"{name}.py", pytester.path / f"test_{name}.py")
        return pytester

    return make


@pytest.mark.parametrize("backend", [None, "jax", "torch"])
def test_each_backend_trains_and_other_tests_are_as_without_the_plugin(project, backend):
    """They run after two verdicts, one of them red and explained, in one process."""
    pytester = project("backends", "unrelated", backend=backend)
    result = run(pytester, "-v", "-rP")
    result.assert_outcomes(passed=1 + 3, failed=1)
    text = " ".join(result.stdout.str().split())
    name = backend or "tensorflow"
    assert f"backend and threads: {name}" in text
    assert f"; {name} {distribution_version(name)}, keras " in text
    assert re.search(r"convergence: nested trains 0.999/0.05: green, \d of \d", text)
    assert re.search(r"convergence: still trains 0.999/0.05: red, 0 of \d", text)
    cannot = f"check works on TensorFlow alone, and Keras' backend is {name}; start Python with"
    assert (cannot in text) == (backend is not None)
    assert ("Which change repairs it" in text) == (backend is None)
    assert "claim no bits" not in text
    trials = read_ledger(pytester.path / "build/ledger").trials
    environments = [trial.identity["environment"] for trial in trials]
    assert {(e.get("backend"), e["threads"], e.get("onednn")) for e in environments} == {
        (backend, 1, None if backend else True)
    }
    assert {e[name] for e in environments} == {distribution_version(name)}
    without = run(pytester, "-v", "-p", "no:deepcaptcha", "test_unrelated.py")
    without.assert_outcomes(passed=3)


@pytest.mark.parametrize("ini", ["", "convergence_single_thread = true\n"], ids=["workers", "here"])
def test_tensorflow_may_compute_at_the_top_of_a_module(project, ini):
    pytester = project("early", ini=ini)
    result = run(pytester, "-v")
    result.assert_outcomes(passed=2)
    assert "claim no bits" not in result.stdout.str()
    trials = read_ledger(pytester.path / "build/ledger").trials
    assert {trial.identity["environment"]["threads"] for trial in trials} == {1}


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_factories_of_a_test_module_are_found_by_workers_however_pytest_imports_it(project, mode):
    """And Keras' settings are those that hold where the test runs."""
    pytester = project("backends")
    pytester.makeconftest("import keras\nkeras.config.set_epsilon(1e-5)\n")
    folder = pytester.mkdir("some-tests")
    shutil.move(pytester.path / "test_backends.py", folder)
    module = folder / "test_backends.py"
    text = module.read_text().replace("check(nested", "check(build")
    held = "    import keras\n\n    assert keras.config.epsilon() == 1e-5\n"
    module.write_text(text.replace("    import keras\n", held))
    result = run(pytester, "-v", f"--import-mode={mode}", "-k", "test_trains")
    result.assert_outcomes(passed=1, deselected=1)
    assert "claim no bits" not in result.stdout.str()


HELD = """
import threading
import pytest

@pytest.mark.convergence(target=0.5, epochs=1, p_good=0.999, p_bad=0.05, monitor="value", mode="max")
def test_it(convergence):
    lock = threading.Lock()  # which no pickle holds

    def train(seed):
        with lock:
            return {"value": 1.0}

    convergence.check_training(train, version="1")
"""


def test_what_cannot_be_sent_trains_here_and_says_so_once(project):
    pytester = project()
    pytester.makepyfile(HELD)
    result = run(pytester, "-v")
    result.assert_outcomes(passed=1)
    (line,) = (line for line in result.stdout.lines if "claim no bits" in line)
    assert line.startswith("test_it: train cannot be sent to another process (")
