"""What the package offers, and that nothing heavy loads before it is needed. Which room may import
which is a contract in `pyproject.toml` (`make lint`)."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import deepcaptcha

HEAVY = ("tensorflow", "keras", "scipy", "rich", "matplotlib", "jinja2", "distributed")


def loaded_by(statement):
    """Which of HEAVY a fresh Python has loaded after the statement."""
    code = f"{statement}; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "statement",
    [
        "import deepcaptcha, deepcaptcha.plugin.hooks",
        "from deepcaptcha.cli.main import main; assert not main(['list', 'same'])",
    ],
)
def test_nothing_heavy_is_loaded_for(statement):
    assert loaded_by(statement) == []


def test_naming_what_is_to_be_trained_loads_no_framework():
    names = (
        "VARIANTS, RECIPES, build, Target, Trial, FunctionSource, Runner, Claim, Examples, Finding"
    )
    loaded = loaded_by(f"from deepcaptcha import {names}")
    assert not {"tensorflow", "keras", "matplotlib", "jinja2", "distributed"} & set(loaded)


def test_a_confirmation_asks_for_the_code_that_trains_without_loading_it():
    statement = "from deepcaptcha.plugin.given import GivenSource as Given"
    given = "Given(dict, None, None, None, 'mine')"
    assert not {"tensorflow", "keras"} & set(loaded_by(f"{statement}; assert {given}.code"))


def named_for_types():
    """Name -> module, as the block for mypy and IDEs imports them."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(deepcaptcha))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for alias in node.names:
                assert alias.asname == alias.name  # else it is no re-export
                found[alias.name] = node.module
    return found


def test_what_mypy_sees_is_what_is_loaded():
    assert named_for_types() == deepcaptcha._HOME
    assert (Path(deepcaptcha.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", deepcaptcha.__all__)
def test_every_public_name_can_be_had(name):
    thing = getattr(deepcaptcha, name)
    assert name in dir(deepcaptcha)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__module__ == f"deepcaptcha.{deepcaptcha._HOME[name]}"
        assert inspect.getdoc(thing)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'deepcaptcha' has no attribute 'run_trail'"):
        deepcaptcha.run_trail  # noqa: B018
