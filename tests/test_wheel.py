"""The wheel in an environment of its own, without this repository and without TensorFlow: its base
dependencies, copied from here, and pytest-xdist."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COPIED = (
    *("numpy", "scipy", "cloudpickle"),
    *("rich", "markdown-it-py", "mdurl", "Pygments"),
    *("pytest", "pluggy", "iniconfig", "packaging", "pytest-xdist", "execnet"),
)

# A perceptron learns what a line separates and nothing else: of XOR it gets at most three corners right.
PERCEPTRON = """
import numpy as np
import pytest

CORNERS = np.array([(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)])  # with a constant for the bias
OR, XOR = np.array([-1, 1, 1, 1]), np.array([-1, 1, 1, -1])


def perceptron(seed, answers):
    weights = np.random.default_rng(seed).standard_normal(3)
    for _ in range(30):
        for corner, answer in zip(CORNERS, answers, strict=True):
            if answer * (corner @ weights) <= 0:
                weights += answer * corner
        yield {"accuracy": np.mean(answers * (CORNERS @ weights) > 0)}


def train_or(seed):
    return perceptron(seed, OR)


def train_xor(seed):
    return perceptron(seed, XOR)


claim = pytest.mark.convergence(
    target=0.9, epochs=30, p_good=0.95, p_bad=0.5, monitor="accuracy"
)


@claim
def test_or(convergence):
    convergence.check_training(train_or)


@claim
def test_xor(convergence):
    convergence.check_training(train_xor)


@claim
@pytest.mark.xfail(strict=True, raises=pytest.fail.Exception, reason="no line separates it")
def test_xor_as_known(convergence):
    convergence.check_training(lambda seed: perceptron(seed, XOR), name="xor")
"""

# What mypy in strict mode says of a user's module, line by line: None where all is well.
TYPED = {
    "from collections.abc import Iterator": None,
    "import deepcaptcha": None,
    "def train(seed: int) -> Iterator[dict[str, float]]:": None,
    "    yield {'accuracy': 1.0}": None,
    "def test_it(convergence: deepcaptcha.Convergence) -> None:": None,
    "    convergence.check_training(train)": None,
    "    convergence.check_training('train')": 'Argument 1 to "check_training"',
    "target = deepcaptcha.Target(0.9, monitor='accuracy')": None,
    "deepcaptcha.Target('high')": 'Argument 1 to "Target"',
    "reveal_type(deepcaptcha.FunctionSource(train, target).run(0).seconds)": 'Revealed type is "float"',
    "deepcaptcha.VARIANTS['same'].architecture.paremeters": 'has no attribute "paremeters"',
    "deepcaptcha.run_trail": 'Module has no attribute "run_trail"',
}

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel):
    """Of the environment."""
    folder = wheel.parent
    venv.create(folder / "environment", with_pip=True)
    names = {"base": str(folder / "environment"), "platbase": str(folder / "environment")}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=names))
    for name in COPIED:
        for file in importlib.metadata.distribution(name).files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)
    python = Path(sysconfig.get_path("scripts", "venv", vars=names)) / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    return python


def run(python, folder, *arguments):
    """Where nothing but the environment says what can be imported."""
    ours = ("PYTHONPATH", "PYTEST_ADDOPTS", "GITHUB_STEP_SUMMARY")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment = {k: v for k, v in environment.items() if not k.startswith("PYTEST_XDIST")}
    environment["COLUMNS"] = "400"  # no sentence is cut
    return subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    assert wheel.name == "pytest_deepcaptcha-0.3.0-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "deepcaptcha",
        "pytest_deepcaptcha-0.3.0.dist-info",
    }
    assert {"deepcaptcha/py.typed", "deepcaptcha/_fixtures/mnist.npz"} <= set(names)
    assert not [name for name in names if {"answer", "benchmarks", "tests"} & {*name.split("/")}]


def test_the_base_dependencies_are_all_it_asks_for(python, tmp_path):
    done = run(python, tmp_path, "-m", "pip", "check")
    assert done.returncode == 0, done.stdout
    done = run(python, tmp_path, "-c", "import tensorflow")
    assert "No module named 'tensorflow'" in done.stderr


def test_the_plugin_loads_and_imports_nothing_in_a_project_that_does_not_use_it(python, tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "conftest.py").write_text(
        "import sys\n\n\ndef pytest_sessionfinish():\n"
        "    ours = sys.modules['deepcaptcha.plugin.hooks'].__file__\n"
        "    heavy = {'numpy', 'scipy', 'rich', 'cloudpickle'} & set(sys.modules)\n"
        "    print('PLUGIN', ours, sorted(heavy))\n"
    )
    done = run(python, tmp_path, "-m", "pytest", "--collect-only", "-q", "-s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 test collected" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PLUGIN")]
    assert str(ROOT) not in line
    assert line.endswith("[]")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("--version", "0.3.0"),
        ("list", "raw-subset"),
        ("list same", "342,458"),  # by hand: tests/networks/test_architecture.py
        ("plan --p-good 0.95 --p-bad 0.5 --alpha 0.01 --beta 0.01", "green"),
    ],
)
def test_arithmetic_needs_no_framework(python, tmp_path, command, words):
    done = run(python, tmp_path, "-m", "deepcaptcha", *command.split())
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert not done.stderr


def test_the_program_is_installed_under_its_own_name(python, tmp_path):
    done = run(python.parent / "deepcaptcha", tmp_path, "--version")
    assert done.returncode == 0, done.stderr
    assert "0.3.0" in done.stdout


def test_public_names_of_the_core_need_no_framework(python, tmp_path):
    names = "VARIANTS, RECIPES, Target, Trial, FunctionSource, Runner, Claim, Examples, InputError"
    done = run(python, tmp_path, "-c", f"from deepcaptcha import {names}; print(VARIANTS['same'])")
    assert done.returncode == 0, done.stderr


def test_mypy_sees_the_types_of_the_installed_package(python, tmp_path):
    (tmp_path / "typed.py").write_text("\n".join(TYPED) + "\n")
    done = run(
        sys.executable,
        tmp_path,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        python,
        "typed.py",
    )
    said = {}
    for line in done.stdout.splitlines()[:-1]:
        place, _, words = line.removeprefix("typed.py:").partition(": ")
        said.setdefault(int(place), words)
    assert not done.stderr
    for number, (line, expected) in enumerate(TYPED.items(), 1):
        assert (number in said) == (expected is not None), (line, said.get(number))
        assert (expected or "") in said.get(number, ""), line


@pytest.mark.parametrize("command", ["check same", "judge same", "study --variants same --seeds 1"])
def test_whoever_asks_for_a_network_is_told_in_one_line(python, tmp_path, command):
    done = run(python, tmp_path, "-m", "deepcaptcha", *command.split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pytest-deepcaptcha with its extra `keras`" in line
    assert not done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_numpy_perceptron_in_four_lines(python, tmp_path, workers):
    """It passes, fails, and fails as known."""
    (tmp_path / "test_perceptron.py").write_text(PERCEPTRON)
    done = run(python, tmp_path, "-m", "pytest", "-n", workers, "-rA")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 1 xfailed" in done.stdout
    outcomes = {
        line.split()[1].partition("::")[2]: line.split()[0]
        for line in done.stdout.splitlines()
        if line.startswith(("PASSED ", "FAILED ", "XFAIL ")) and "::" in line
    }
    assert outcomes == {"test_or": "PASSED", "test_xor": "FAILED", "test_xor_as_known": "XFAIL"}
    (failure,) = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert "train_xor" in failure
    assert "is claimed 'trains' in at least 95 % of trainings; 0 of " in failure


def test_a_test_that_needs_keras_says_so_in_one_line(python, tmp_path):
    (tmp_path / "test_keras.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.convergence(target=0.9, epochs=1, p_good=0.95, p_bad=0.5)\n"
        "def test_it(convergence):\n"
        "    convergence.check(lambda: None, train=([[1.0]], [1]), validation=([[1.0]], [1]))\n"
    )
    done = run(python, tmp_path, "-m", "pytest", "-rf")
    assert "1 failed" in done.stdout
    (failure,) = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert "Keras models need Keras and TensorFlow" in failure
