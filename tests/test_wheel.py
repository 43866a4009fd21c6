"""The wheel in an environment of its own, without this repository and without TensorFlow."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "Pygments")

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Of a fresh environment that holds pytest, copied from here, and the wheel alone."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(wheel, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder / "environment", with_pip=True)
    names = {"base": str(folder / "environment"), "platbase": str(folder / "environment")}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=names))
    for name in PYTEST:
        for file in importlib.metadata.distribution(name).files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)
    python = Path(sysconfig.get_path("scripts", "venv", vars=names)) / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", *folder.glob("*.whl")]
    subprocess.run(install, check=True, capture_output=True)
    return python


def run(python, folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_plugin_loads_and_imports_nothing_in_a_project_that_does_not_use_it(python, tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "conftest.py").write_text(
        "import sys\n\n\ndef pytest_sessionfinish():\n"
        "    ours = sys.modules['deepcaptcha.plugin.hooks'].__file__\n"
        "    heavy = {'tensorflow', 'keras', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "    print('PLUGIN', ours, sorted(heavy))\n"
    )
    done = run(python, tmp_path, "-m", "pytest", "--collect-only", "-q", "-s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 test collected" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PLUGIN")]
    assert str(ROOT) not in line
    assert line.endswith("[]")


def test_the_environment_could_not_import_tensorflow_if_it_tried(python, tmp_path):
    done = run(
        python, tmp_path, "-c", "import deepcaptcha, deepcaptcha.plugin.hooks; import tensorflow"
    )
    assert "No module named 'tensorflow'" in done.stderr
