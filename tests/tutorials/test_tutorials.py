"""Each tutorial, block by block, with the package that it is about: a block of Python that names a file
becomes that file, commands are run, and what the page shows of their output is in it.

It needs nothing of this repository but the pages, so that it also runs beside an installed wheel
(`make tutorials`).
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "tutorials"
NEEDED = {
    "judge": (),
    "scikit-learn": ("sklearn",),
    "jax": ("jax", "optax"),
    "pytorch": ("torch",),
}
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# file: (\S+)\n")

pytestmark = pytest.mark.integration


def run(command, folder, workers):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    options = f"-n {workers} --convergence-ledger ledger -W error"
    variables = {**kept, "PYTEST_ADDOPTS": options, "COLUMNS": "400"}  # no line is cut
    variables.pop("GITHUB_STEP_SUMMARY", None)
    program, *words = shlex.split(command)
    assert program in ("pytest", "python")
    call = [sys.executable, *(["-m", "pytest"] if program == "pytest" else []), *words]
    done = subprocess.run(call, cwd=folder, env=variables, capture_output=True, text=True)
    return done.stdout + done.stderr


def pattern(line):
    """Of a line that is shown, where `...` stands for anything."""
    return r".*".join(re.escape(part.strip()) for part in line.split("..."))


def trials(folder):
    return sum(len(path.read_text().splitlines()) - 1 for path in folder.glob("ledger/*.jsonl"))


def test_every_page_is_run():
    assert {page.stem for page in PAGES.glob("*.md")} == {*NEEDED, "index"}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", NEEDED)
def test_a_tutorial_shows_what_happens(name, workers, tmp_path):
    if missing := [each for each in NEEDED[name] if importlib.util.find_spec(each) is None]:
        pytest.skip(f"{missing[0]} is not installed; `make tutorials` installs it")
    for language, text in BLOCK.findall((PAGES / f"{name}.md").read_text()):
        if language == "python":
            file = FILE.match(text)
            (tmp_path / file.group(1)).write_text(text)
            continue
        command, *shown = text.removeprefix("$ ").splitlines()
        if command.startswith("pip "):
            continue
        before = trials(tmp_path)
        output = run(command, tmp_path, workers)
        for line in shown:
            assert re.search(pattern(line), output), f"{command}: {line}\n\n{output}"
        if "--convergence-reuse" in command:
            assert trials(tmp_path) == before > 0
