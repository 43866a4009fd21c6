"""Imports run one way, and nothing heavy loads before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "deepcaptcha"

# A module may import those before it in this list, never those after it.
ORDER = [
    "errors",
    "environment",
    "architecture",
    "variants",
    "data",
    "captcha_images",
    "examples",
    "recipe",
    "pipelines",
    "factory",
    "training",
    "frozen",
    "symptoms",
    "throwaway",
    "prediction",
    "seeds",
    "exact_tests",
    "plan",
    "design",
    "statements",
    "minimal_sets",
    "identity",
    "models",
    "trial",
    "symptom_probes",
    "configuration",
    "ledger",
    "verdict",
    "baseline",
    "study",
    "cluster",
    "resumable",
    "table",
    "report",
    "diagnosis",
    "progress",
    "finding",
    "structure",
    "behaviour",
    "preflight",
    "comparison",
    "association",
    "marker",
    "rehearsal",
    "judge",
    "contracted",
    "contracts",
    "page_content",
    "drawing",
    "figures",
    "page",
    "trial_pool",
    "cells",
    "bisection",
    "bisection_report",
    "options",
    "command_list",
    "command_study",
    "command_report",
    "command_judge",
    "command_check",
    "command_symptoms",
    "command_bisect",
    "experiments",
    "laboratory",
    "experiment_record",
    "record",
    "answer",
    "answer_tables",
    "answer_figures",
    "command_experiment",
    "command_explain",
    "command_retrain",
    "cli",
    "__main__",
    "settings",
    "suite",
    "plugin",
]
DEEPCAPTCHA_ONLY = {
    "architecture",
    "variants",
    "factory",
    "statements",
    "experiments",
    "laboratory",
}
MAY_KNOW_DEEPCAPTCHA = {
    "factory",
    "variants",
    "training",
    "command_list",
    "command_study",
    "command_judge",
    "command_check",
    "command_symptoms",
    "command_bisect",
    "experiments",
    "laboratory",
    "record",
    "answer",
    "answer_tables",
    "answer_figures",
    "command_experiment",
    "command_explain",
    "command_retrain",
    "cli",
}


def imports(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            if node.module:
                yield node.module.split(".")[0]
            else:
                yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_upwards(module):
    allowed = set(ORDER[: ORDER.index(module)])
    assert set(imports(module)) <= allowed
    if module not in MAY_KNOW_DEEPCAPTCHA:
        assert not set(imports(module)) & DEEPCAPTCHA_ONLY


def test_every_module_has_its_place():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(ORDER)


def loaded_by(statement, *modules):
    code = f"{statement}; import sys; print([m for m in {modules!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "statement",
    [
        "import deepcaptcha",
        "import deepcaptcha.plugin",
        "from deepcaptcha.cli import main; main(['params', 'same'])",
        "from deepcaptcha import VARIANTS, RECIPES, Trial, build, run_trial",
        "import deepcaptcha.study, deepcaptcha.cluster, deepcaptcha.plan, deepcaptcha.ledger",
    ],
)
def test_importing_loads_nothing_that_only_some_need(statement):
    heavy = ("tensorflow", "keras", "scipy.stats", "matplotlib", "jinja2", "distributed")
    assert loaded_by(statement, *heavy) == []


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import deepcaptcha", "numpy", "scipy", "rich") == []
