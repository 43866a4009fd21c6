"""Many measurements over processes, each kept in a file as it is made, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, as_completed
from pathlib import Path

from deepcaptcha.errors import InputError
from deepcaptcha.trials.worker import workers

Key = tuple[str | int, ...]
"""What a measurement is kept under: whatever its result depends on."""


def fingerprint(*parts: object) -> str:
    """A few digits that stand for JSON-ready parts in a key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def measure_all(
    measure: Callable[..., object],
    wanted: Mapping[Key, tuple[object, ...]],
    path: Path,
    jobs: int | None = None,
    on_result: Callable[[Key], None] = lambda key: None,
    *,
    fresh: bool = False,
) -> dict[Key, object]:
    """`measure(*arguments)` for each key and its arguments, in the order wanted.

    - `measure`: results and keys are JSON-ready.
    - `path`: results that this file holds are not measured again; each new one joins it at once.
    - `jobs`: worker processes; None: one per core.
    - `on_result`: hears of every result. `fresh`: empties the file first.

    Raises InputError where a process dies or the file cannot be read or written.
    """
    try:
        done = {} if fresh else _read(path)
        for key in wanted.keys() & done.keys():
            on_result(key)
        left = [key for key in wanted if key not in done]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if fresh else "a") as file, workers(jobs) as executor:
            running = {executor.submit(measure, *wanted[key]): key for key in left}
            for future in as_completed(running):
                key = running[future]
                done[key] = future.result()
                # The line begins with its break: one that was cut off before spoils only itself.
                file.write("\n" + json.dumps({"key": key, "result": done[key]}))
                file.flush()
                on_result(key)
    except BrokenExecutor as error:
        raise InputError(
            f"a process died during a measurement ({error}); is there enough memory? What was measured "
            "is kept, and the same command goes on"
        ) from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    return {key: done[key] for key in wanted}


def _read(path: Path) -> dict[Key, object]:
    """What the file holds; a line that was cut off, or that another was written behind, is no result."""
    found: dict[Key, object] = {}
    if not path.exists():
        return found
    for line in path.read_bytes().splitlines():
        try:
            fields = json.loads(line)
            found[tuple(fields["key"])] = fields["result"]
        except (ValueError, KeyError, TypeError):
            continue
    return found
