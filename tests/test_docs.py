"""Every example and every command of README and docs is run, at small size where it is long."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import deepcaptcha
from answer.__main__ import main as answer_main
from deepcaptcha.cli.main import main as deepcaptcha_main
from deepcaptcha.keras.environment import SETTINGS

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ANSWER.md",
    ROOT / "tests" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# file: (\S+)\n")

API = (ROOT / "docs" / "api.md").read_text()

# Arguments that make a long command short; of two equal options the last one counts.
SMALLER = {
    "bisect": "--p-good 0.99 --p-bad 0.01 --alpha 0.2 --beta 0.2 --jobs 1 --epochs 1",
    "repair": "--p-good 0.99 --p-bad 0.01 --alpha 0.2 --trials 3",
    "judge": "--p-good 0.99 --p-bad 0.01 --alpha 0.2 --beta 0.2",
    "predict": "--variants same --recipes raw-subset --seeds 1 --jobs 1",
    "retrain": "--variants valid --recipes sound-subset --trials 1 --jobs 1",
    "experiment": "step --seeds 1 --jobs 1",
    "study": "--variants valid --seeds 1 --recipes sound-subset --jobs 1",
}
# Commands that end in something else than 0, which is what they are there to show.
ENDS = {"check same": 1, "judge same": 1, "repair same": 1}
COMMANDS = {"list", "check", "judge", "study", "bisect", "repair", "compare", "report", "plan"}
# They work on what an earlier command of the page left, here a study of one row.
LEFT = {"compare": "{0} {0}", "report": "--ledger {0} --page {1}", "symptoms": "--ledger {0}"}


# What the README's four lines leave to the reader: a model and data.
OWN = """
import keras, numpy as np, pytest

draw = np.random.default_rng(0)
y = draw.integers(2, size=400)
x = (4 * y[:, None] + draw.standard_normal((400, 2))).astype("float32")
x_validation, y_validation = x[300:], y[300:]

def build_model():
    layers = [keras.Input((2,)), keras.layers.Dense(2, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

"""


def blocks(page, language):
    return [
        "\n".join(line.removeprefix(indent) for line in text.splitlines()) + "\n"
        for indent, found, text in BLOCK.findall(page.read_text())
        if found == language
    ]


# Minutes of drawing and training: `tests/networks/test_captcha_training.py` does it.
LONG = ("study --recipes captcha",)


def files(page):
    """Name -> text of the blocks that say which file they are."""
    return {name.group(1): text for text in blocks(page, "python") if (name := FILE.match(text))}


def commands():
    """Command -> the first page that has it."""
    found = {}
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if line.startswith("$ "):
                    found.setdefault(line[2:].split(" #")[0].strip(), page)
    return found


def environment(*folders):
    """Without the settings of a trial, which this process has and a reader's has not."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *folders]))}


def test_no_command_is_of_a_kind_that_no_test_runs():
    kinds = ("make ", "python -m answer ", "python -m deepcaptcha ", "pytest ", "pip install ")
    assert not [command for command in commands() if not command.startswith(kinds)]


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("pip ")])
def test_what_is_installed_is_ours(command):
    """`tests/test_wheel.py` installs what it can without an index."""
    (what,) = shlex.split(command)[2:]
    place, extra = re.fullmatch(r"(.+)\[(\w+)\]", what).groups()
    assert place in (".", f"pytest_deepcaptcha-{deepcaptcha.__version__}-py3-none-any.whl")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extra in project["optional-dependencies"]


def test_no_hint_has_anybody_install_the_other_project():
    folders = [ROOT / name for name in ("deepcaptcha", "answer", "benchmarks", "docs")]
    texts = {path: path.read_text() for folder in folders for path in folder.rglob("*.py")}
    texts |= {page: "".join(blocks(page, "console")) for page in PAGES}
    other = re.compile(r"(?<!pytest-)deepcaptcha\[|pip install '?deepcaptcha")
    assert not [path for path, text in texts.items() if other.search(text)]


def test_the_readme_shows_every_command(capsys):
    found = re.findall(r"^\$ python -m deepcaptcha (\w+)", PAGES[0].read_text(), re.MULTILINE)
    assert set(found) == COMMANDS
    with pytest.raises(SystemExit):
        deepcaptcha_main(["--help"])
    assert set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)) == COMMANDS


def test_the_reference_has_every_public_name():
    found = re.findall(r"^\.\. auto\w+:: deepcaptcha\.(\w+)$", API, re.MULTILINE)
    assert sorted(found) == sorted(deepcaptcha.__all__)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make ")])
def test_every_make_command_exists(command):
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Of the README's own `study --symptoms`, of one row."""
    folder = tmp_path_factory.mktemp("study")
    smaller = "--variants same --seeds 1 --jobs 1"
    (command,) = [c for c in commands() if c.endswith("study --symptoms --recipes raw-subset")]
    assert not _run([*shlex.split(command)[3:], *smaller.split()], folder).returncode
    return folder / "symptoms"


@pytest.mark.integration
@pytest.mark.parametrize(
    "command",
    [c for c in commands() if c.startswith(("python -m deepcaptcha ", "python -m answer "))],
)
def test_every_command_runs(command, tmp_path, request):
    module, *words = shlex.split(command)[2:]
    for name, text in files(commands()[command]).items():
        (tmp_path / name).write_text(text)
    if " ".join(words).startswith(LONG):
        assert "usage" in _run([*words, "--help"], tmp_path, module).stdout
        return
    if words[0] in LEFT:
        ledger = request.getfixturevalue("ledger")
        words = [words[0], *LEFT[words[0]].format(ledger, tmp_path / "report.html").split()]
    done = _run([*words, *shlex.split(SMALLER.get(words[0], ""))], tmp_path, module)
    assert done.returncode == ENDS.get(" ".join(words[:2]), 0), done.stderr
    assert done.stdout


def _run(words, folder, module="deepcaptcha"):
    if (
        words[0] in ("study", "predict", "bisect", "experiment", "explain", "retrain")
        and "--help" not in words
    ):
        words = [*words, "--output", str(folder)]
        words += ["--baselines", str(folder)] if "--baselines" in words else []
    if words[0] in ("judge", "repair"):
        words = [*words, "--ledger", str(folder)]
    # In this process, which has TensorFlow already: `tests/cli` starts the program itself.
    main = {"deepcaptcha": deepcaptcha_main, "answer": answer_main}[module]
    before = set(sys.modules)
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", environment(folder)["PYTHONPATH"])
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(folder):
            del sys.modules[name]
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.mark.integration
@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python")], ids=lambda page: page.stem
)
def test_every_python_example_runs(page, tmp_path):
    """Blocks that name a file become that file; the others run one after another beside them, and
    `pytest` runs the tests that the page has written."""
    parts = blocks(page, "python")
    marked = [text for text in parts if text.startswith("@pytest.mark")]
    parts = [text for text in parts if text not in marked]
    written = files(page)
    if marked:
        written["test_own.py"] = OWN + "".join(marked)
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    script = "\n".join(text for text in parts if not FILE.match(text))
    run = {"cwd": tmp_path, "env": environment(tmp_path), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", script], **run)
    assert done.returncode == 0, done.stderr
    if any(name.startswith("test_") for name in written):
        lines = re.findall(r"^\$ (pytest.*)$", "".join(blocks(page, "console")), re.MULTILINE)
        for line in lines or ["pytest"]:
            done = subprocess.run([sys.executable, "-m", *shlex.split(line)], **run)
            assert done.returncode == 0, done.stdout
