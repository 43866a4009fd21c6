"""Where a project's trials are kept unless it says otherwise: in the user's cache, a folder a root.

pytest tells the plugin that root; the command line, which runs without pytest, finds the same one here.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError

INI = "convergence_ledger"
"""The setting by which a project names another folder, relative to its root."""

_ALONE = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_FILES = (*_ALONE, "pyproject.toml", "tox.ini", "setup.cfg")
"""Where pytest looks for its settings, in its own order; those `_ALONE` hold nothing else, and mark a
root also where they are empty."""


def default_ledger(root: Path) -> Path:
    """The folder of the project with this root: its name is there for people, the digest of its path
    keeps two of one name apart."""
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    return user_cache() / "deepcaptcha" / f"{root.resolve().name or 'root'}-{digest}" / "ledger"


def user_cache() -> Path:
    """The platform's folder for what can be made again."""
    if sys.platform == "win32":
        given = os.environ.get("LOCALAPPDATA", "")
        return Path(given) if given else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a user of a number alone, as containers have
        return Path(tempfile.gettempdir())


def find_ledger() -> Path:
    """The ledger of the project that the working folder belongs to: what its ini file names, or else
    `default_ledger`. As in pytest, the root is the nearest folder upwards with settings of pytest, or
    else with a pyproject.toml, or else a setup.py; the working folder itself without any.

    Raises InputError for a file of settings that cannot be read.
    """
    start = Path.cwd()
    folders = (start, *start.parents)
    for folder in folders:
        for name in _FILES:
            settings = _settings(folder / name)
            if settings or (settings is not None and name in _ALONE):
                named = settings.get(INI, "")
                return folder / str(named) if named else default_ledger(folder)
    marked = (
        folder
        for name in ("pyproject.toml", "setup.py")
        for folder in folders
        if (folder / name).is_file()
    )
    return default_ledger(next(marked, start))


def _settings(path: Path) -> Mapping[str, object] | None:
    """pytest's settings in a file; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        text = path.read_text("utf-8")
        if path.suffix != ".toml":
            parser = configparser.ConfigParser(interpolation=None, strict=False)
            parser.read_string(text)
            section = "tool:pytest" if path.suffix == ".cfg" else "pytest"
            return dict(parser[section]) if parser.has_section(section) else {}
        document = tomllib.loads(text)
    except (OSError, ValueError, configparser.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if path.name == "pyproject.toml":
        document = document.get("tool", {})
    own: Mapping[str, object] = document.get("pytest", {})
    inner = own.get("ini_options")
    return inner if isinstance(inner, dict) else own
