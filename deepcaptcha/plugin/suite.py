"""How many hypotheses share the suite's error rates, whatever part of it a run collects, and which files
of it declare some."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..errors import InputError

_KEY = "deepcaptcha/hypotheses"
_WORDS = (b"mark.convergence", b"parametrize_with_contracts")


def declares_hypotheses(path: Path) -> bool:
    """Whether a test module asks for verdicts, as its text shows; it is not imported."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return any(word in text for word in _WORDS)


def count_hypotheses(
    config: pytest.Config, pinned: int | None, collected: int, *, failed: bool
) -> int:
    """The whole suite's number: `pinned`, or `collected` where that was all of it, or else what was
    collected when it last was; at least 1. `failed`: some file could not be collected.

    Raises InputError where none of these is known, or the known one is less than `collected`.
    """
    if pinned is None and not failed and not _selects(config):
        _remember(config, collected)
        return max(collected, 1)
    known = known_hypotheses(config, pinned)
    if known is None:
        raise InputError(
            "only a part of the suite was collected, and its error rates are shared by all of it; let "
            "`pytest --collect-only` count them once, or pin their number: ini convergence_hypotheses "
            "= N, or --convergence-hypotheses N"
        )
    if known < collected:
        raise InputError(
            f"{known} hypotheses are declared, and {collected} were collected; their error rates would "
            "not add up to the suite's: "
            + ("pin more" if pinned else "let `pytest --collect-only` count them again")
        )
    return max(known, 1)


def known_hypotheses(config: pytest.Config, pinned: int | None) -> int | None:
    """The number that is pinned, or else remembered of the last collection of all; None without any."""
    cache = _cache(config)
    if pinned is not None or cache is None:
        return pinned
    found: object = cache.get(_KEY, None)
    return found if type(found) is int else None


def _remember(config: pytest.Config, collected: int) -> None:
    # A project that declares none gets no file of ours.
    cache = _cache(config)
    if cache is not None and collected != (cache.get(_KEY, None) or 0):
        cache.set(_KEY, collected)


def _cache(config: pytest.Config) -> pytest.Cache | None:
    return getattr(config, "cache", None)  # there is none with -p no:cacheprovider


def _selects(config: pytest.Config) -> bool:
    """Whether less than the suite is collected, but for what the ini file itself leaves out."""
    words = config.getini("addopts")
    own = {*words, *(word.partition("=")[2] for word in words)}
    left_out = [
        str(value)
        for name in ("ignore", "ignore_glob", "deselect")
        for value in config.getoption(name) or ()
    ]
    if config.getoption("lf", False) or not own.issuperset(left_out):
        return True
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return False
    given = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
    declared = config.getini("testpaths") or [""]
    return given != {(config.rootpath / path).resolve() for path in declared}
