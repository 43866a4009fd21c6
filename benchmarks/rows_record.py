"""Records at their largest: a ledger of 10,000 trials, and the page of a hundred rows of them."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from deepcaptcha.report.page import write_report
from deepcaptcha.trials.ledger import Ledger, read_ledger

from .processes import REPOSITORY, Measured
from .row import Benchmark, Row, less_is_better

_ROWS, _SEEDS, _TURNS = 100, 100, 5
_EXAMPLE = REPOSITORY / "tests" / "data" / "ledger-0.2.jsonl"


def _record(folder: Path) -> Path:
    """A ledger of as many trials, each of the size of a real one, a third of which missed the target;
    its file."""
    example, *_ = read_ledger(_EXAMPLE).trials
    missed = replace(example, outcome="slow", epochs_to_target=None, steps_to_target=None)
    with Ledger(folder) as book:
        for place in range(_ROWS * _SEEDS):
            row, seed = divmod(place, _SEEDS)
            identity = {**example.identity, "seed": seed, "factory": str(row)}
            ended = missed if place % 3 == 0 else example
            book.append(replace(ended, name=f"network-{row}", seed=seed, identity=identity))
    return book.path


def _seconds(what: Callable[[], object]) -> float:
    began = time.process_time()
    what()
    return time.process_time() - began


def _large(measured: Mapping[str, Measured], *, name: str, ours: str, peer: str, how: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        path = _record(Path(folder) / "ledger")
        tasks: Mapping[str, Callable[[], object]] = {
            "lines": lambda: [json.loads(line) for line in path.open()],
            "read": lambda: read_ledger(path),
            "page": lambda: write_report(Path(folder) / "page.html", path, "make bench"),
        }
        turns = [(_seconds(tasks[ours]), _seconds(tasks[peer])) for _ in range(_TURNS)]
    medians = (statistics.median(each) for each in zip(*turns, strict=True))
    how = f"{how}; CPU seconds, median of {_TURNS} by turns"
    return less_is_better(name, *medians, "seconds", how)


BENCHMARKS = (
    Benchmark(
        "ledger-10000",
        partial(
            _large,
            name="ledger-10000",
            ours="read",
            peer="lines",
            how="a ledger of 10,000 trials, every digest and field checked; peer: json.loads alone",
        ),
    ),
    Benchmark(
        "page-100-rows",
        partial(
            _large,
            name="page-100-rows",
            ours="page",
            peer="read",
            how="the page of 100 rows of 100 trials; peer: reading the ledger, which is a part of it",
        ),
    ),
)
