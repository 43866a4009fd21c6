"""Where a project's ledger is: pytest itself says what its root is."""

import os
import tempfile
from pathlib import Path

import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras import environment
from deepcaptcha.trials.place import default_ledger, find_ledger, user_cache


def test_each_root_has_a_folder_of_its_own_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mine, other = (default_ledger(tmp_path / name / "project") for name in "ab")
    assert mine != other
    assert {mine.parents[1], other.parents[1]} == {tmp_path / "cache" / "deepcaptcha"}
    assert mine.parent.name.startswith("project-")
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert default_ledger(tmp_path / "link" / "project") == mine
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # is to be ignored, says its specification
    assert user_cache() == Path.home() / ".cache"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)  # of no name, as in a container
    assert user_cache() == Path(tempfile.gettempdir())
    assert environment._configured() == "tensorflow"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "darwin")
    assert user_cache() == Path.home() / "Library" / "Caches"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert user_cache() == tmp_path / "local"


# The files of a project, and the folder below its top that is worked in.
PROJECTS = {
    "nothing": ({}, "."),
    "pytest.ini": ({"pytest.ini": ""}, "tests"),
    "a section": ({"tox.ini": "[pytest]\naddopts = -q\n"}, "tests"),
    "no section": ({"tox.ini": "[tox]\n", "setup.py": ""}, "tests"),
    "pyproject": ({"pyproject.toml": "[project]\nname = 'a'\nversion = '1'\n"}, "tests/deep"),
    "nearest": ({"pytest.ini": "", "tests/setup.cfg": "[tool:pytest]\naddopts = -q\n"}, "tests"),
    "named": ({"pytest.ini": "[pytest]\nconvergence_ledger = kept/here\n"}, "tests"),
    "toml": (
        {"pyproject.toml": "[tool.pytest.ini_options]\nconvergence_ledger = 'kept'\n"},
        "tests",
    ),
    "native": ({"pyproject.toml": "[tool.pytest]\nconvergence_ledger = 'kept'\n"}, "."),
}


@pytest.mark.parametrize(("files", "folder"), PROJECTS.values(), ids=PROJECTS)
def test_the_command_line_finds_the_ledger_of_pytest(pytester, monkeypatch, files, folder):
    for name, text in files.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    here = pytester.path / folder
    here.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    config = pytester.parseconfig()
    own = config.getini("convergence_ledger")
    assert find_ledger() == (
        config.rootpath / own if own else default_ledger(Path(os.fspath(config.rootpath)))
    )


def test_a_file_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^cannot read .*pyproject.toml: "):
        find_ledger()
