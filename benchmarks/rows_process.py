"""Whole processes: import, workers that share the cores, the quick suite."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.seeds import STREAMS
from deepcaptcha.trials.trial import Target, Trial
from deepcaptcha.trials.worker import workers

from .processes import Measured, Skip, say, seconds
from .row import Benchmark, Row, less_is_better, more_is_better

_REPEATS = 3
_TRIALS_PER_WORKER = 6
_MODULES, _TURNS = 100, 7
_AIM = 30.0  # seconds; what the quick suite may take
_SHORT = replace(
    RECIPES["sound-subset"],
    name="short",
    n_train=3200,
    n_validation=1000,
    target=Target(1.0, epochs=1),
)

Processes = Callable[[int], AbstractContextManager[Executor]]


def _cold_import(measured: Mapping[str, Measured]) -> Row:
    ours, peer = [], []
    for _ in range(_REPEATS + 2):
        ours.append(seconds([sys.executable, "-c", "import deepcaptcha"]))
        peer.append(seconds([sys.executable, "-c", "import keras"]))
    how = (
        f"python -c 'import deepcaptcha' and 'import keras' in fresh processes, median of {len(ours)}; "
        "TensorFlow and Keras are loaded by the first training"
    )
    medians = statistics.median(ours), statistics.median(peer)
    return less_is_better("cold-import", *medians, "seconds", how)


_PLAIN = ("", "def test_{0}():\n    pass\n\n\n")
_ASKING = (
    "import numpy\nimport pytest\n\n\n",
    "@pytest.mark.convergence(target=0.9, epochs=5, p_good=0.9, p_bad=0.5)\n"
    "def test_{0}(convergence):\n    pass\n\n\n",
)
"""The head of a module, and each of its tests, in a project without and with convergence tests."""


def _collection(
    measured: Mapping[str, Measured], *, name: str, module: tuple[str, str], of: str, may: int
) -> Row:
    ours, peer = [], []
    head, test = module
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        for number in range(_MODULES):
            text = head + "".join(test.format(place) for place in range(10))
            (Path(folder) / f"test_{number}.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", folder]
        for _ in range(_TURNS):
            ours.append(seconds(command))
            peer.append(seconds([*command, "-p", "no:deepcaptcha"]))
    medians = statistics.median(ours), statistics.median(peer)
    added = 1000 * (medians[0] - medians[1])
    how = (
        f"pytest --collect-only of {_MODULES} modules of ten {of}, with the plugin and with -p "
        f"no:deepcaptcha, median of {_TURNS} by turns: it adds {added:.0f} ms and may add {may}"
    )
    return less_is_better(name, *medians, "seconds", how)


def _quick_suite(measured: Mapping[str, Measured]) -> Row:
    spent = seconds([sys.executable, "-m", "pytest", "-n", "auto", "-q"])
    how = "pytest -n auto, once, everything unmarked; peer: not a measurement but the aim"
    return less_is_better("quick-suite", spent, _AIM, "seconds", how)


def _dask(count: int) -> AbstractContextManager[Executor]:
    from deepcaptcha.trials.dask import dask_executor

    return dask_executor(jobs=count)


def _scaling(
    measured: Mapping[str, Measured], *, name: str, processes: Processes, what: str
) -> Row:
    found: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(_REPEATS):
        for count in found:
            found[count].append(_trials_per_second(processes, count))
        say(
            f"{name}: turn {turn + 1} of {_REPEATS}, load average {os.getloadavg()[0]:.1f} of at most 2"
        )
    how = (
        f"trials/s of a Runner over {what} with 2 workers and with 1, each with a ledger on disk; "
        f"{_TRIALS_PER_WORKER} trials a worker (one epoch of `valid` on 3,200 digits) after one that "
        "traces, starting the processes left out; ideal: 2"
    )
    two, one = statistics.median(found[2]), statistics.median(found[1])
    return more_is_better(name, two, one, "trials/s", how)


def _scaling_dask(measured: Mapping[str, Measured]) -> Row:
    for module in ("distributed", "deepcaptcha.trials.dask"):
        if find_spec(module) is None:
            raise Skip(f"there is no {module} here")
    return _scaling(
        measured, name="scaling-dask-2-workers", processes=_dask, what="a Dask cluster of its own"
    )


def _trials_per_second(processes: Processes, count: int) -> float:
    """Trials a second between the moment every worker has finished its first and the last."""
    ended: list[float] = []

    def note(trial: Trial) -> None:
        ended.append(time.perf_counter())

    first = STREAMS["pilot"].start
    source = _SHORT.source("valid")
    wanted = [(source, first + n) for n in range(count * (1 + _TRIALS_PER_WORKER))]
    with (
        tempfile.TemporaryDirectory() as folder,
        Runner(Path(folder), executors=partial(processes, count), on_trial=note) as runner,
    ):
        runner.run_all(wanted)
    return (len(ended) - count) / (ended[-1] - ended[count - 1])


BENCHMARKS = (
    Benchmark("cold-import", _cold_import),
    Benchmark(
        "plugin-collection",
        partial(
            _collection,
            name="plugin-collection",
            module=_PLAIN,
            of="tests that do not use it",
            may=100,
        ),
    ),
    Benchmark(
        "plugin-collection-1000",
        partial(
            _collection,
            name="plugin-collection-1000",
            module=_ASKING,
            of="tests that ask for verdicts",
            may=300,
        ),
    ),
    Benchmark(
        "scaling-2-workers",
        partial(_scaling, name="scaling-2-workers", processes=workers, what="its own workers"),
    ),
    Benchmark("scaling-dask-2-workers", _scaling_dask),
    Benchmark("quick-suite", _quick_suite, on_request=True),
)
