"""Many measurements over processes, each kept in a file as it is made, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, as_completed
from pathlib import Path
from typing import Any

from deepcaptcha.errors import InputError
from deepcaptcha.trials.runner import process_executor

_MEASUREMENTS_PER_PROCESS = 20  # models built and dropped leave memory behind

Key = tuple[Any, ...]
"""What a measurement is kept under: whatever its result depends on."""


def fingerprint(*parts: Any) -> str:
    """A few digits that stand for JSON-ready parts in a key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def measure_all(
    measure: Callable[..., Any],
    wanted: Mapping[Key, tuple[Any, ...]],
    path: Path,
    jobs: int,
    on_result: Callable[[Key], None] = lambda key: None,
    *,
    fresh: bool = False,
) -> dict[Key, Any]:
    """`measure(*arguments)` for each key and its arguments, in the order wanted, over `jobs` processes.

    `measure` pickles, keys and results are JSON-ready. Results that the file at `path` holds are not
    measured again, unless `fresh`, which empties it first; each new one is added to it at once.
    `on_result` hears of every result. Raises InputError where a process dies or the file cannot be
    read or written.
    """
    size = _MEASUREMENTS_PER_PROCESS * jobs
    try:
        done = {} if fresh else _read(path)
        left = [key for key in wanted if key not in done]
        for key in wanted.keys() & done.keys():
            on_result(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if fresh else "a") as file:
            while left:
                wave, left = left[:size], left[size:]
                with process_executor(jobs) as executor:
                    running = {executor.submit(measure, *wanted[key]): key for key in wave}
                    for future in as_completed(running):
                        key = running[future]
                        done[key] = future.result()
                        # The line begins with its break: one that was cut off before spoils only itself.
                        file.write("\n" + json.dumps({"key": key, "result": done[key]}))
                        file.flush()
                        on_result(key)
    except BrokenExecutor:
        raise InputError(
            "a process died during a measurement; is there enough memory? What was measured is kept, "
            "and the same command goes on"
        ) from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    return {key: done[key] for key in wanted}


def _read(path: Path) -> dict[Key, Any]:
    """What the file holds; a line that was cut off, or that another was written behind, is no result."""
    found: dict[Key, Any] = {}
    if not path.exists():
        return found
    for line in path.read_bytes().splitlines():
        try:
            fields = json.loads(line)
            found[tuple(fields["key"])] = fields["result"]
        except (ValueError, KeyError, TypeError):
            continue
    return found
