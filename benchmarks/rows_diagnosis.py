"""What looking costs: the pre-flight check, and symptoms measured along a trial."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from deepcaptcha import RECIPES, VARIANTS, build
from deepcaptcha.cli.check import compiled
from deepcaptcha.networks.recipes import Recipe
from deepcaptcha.trials.runner import Task, process_executor, run_study
from deepcaptcha.trials.seeds import STREAMS

from .processes import Measured
from .row import Benchmark, Row, less_is_better

_REPEATS = 5
_AIM = 4.0  # seconds; what a check may take after import


def check_seconds(variant: str, recipe: Recipe) -> float:
    """Seconds of a check, its model and data being there."""
    from deepcaptcha.diagnosis.check import check

    model_and_data = compiled(variant, recipe, seed=0)
    began = time.perf_counter()
    check(*model_and_data)
    return time.perf_counter() - began


def _check(measured: Mapping[str, Measured]) -> Row:
    recipe = RECIPES["raw-subset"]
    with process_executor(1) as processes:
        processes.submit(check_seconds, "valid", recipe).result()  # imports
        spent = [
            processes.submit(check_seconds, name, recipe).result()
            for _ in range(_REPEATS)
            for name in VARIANTS
        ]
    how = (
        f"check() of the {len(VARIANTS)} variants under raw-subset, data and model there, slowest of "
        f"{len(spent)}; peer: not a measurement but the aim"
    )
    return less_is_better("check", max(spent), _AIM, "seconds", how)


def _symptoms(measured: Mapping[str, Measured], *, variant: str) -> Row:
    first = STREAMS["pilot"].start
    build_it = partial(build, VARIANTS[variant].architecture)
    tasks = [
        Task(variant, build_it, RECIPES["raw-subset"], seed, True, symptoms=symptoms)
        for seed in range(first, first + 1 + _REPEATS)
        for symptoms in (False, True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        records = run_study(tasks, partial(process_executor, 1), Path(folder))
    spent: dict[bool, list[float]] = {True: [], False: []}
    for trial in records.trials:
        if trial.seed != first:  # those that traced
            spent[bool(trial.probes)].append(trial.seconds)
    how = (
        f"seconds of a trial of `{variant}` under raw-subset with symptoms measured and without, the "
        f"same {_REPEATS} seeds in turn, one process, median"
    )
    medians = statistics.median(spent[True]), statistics.median(spent[False])
    return less_is_better(f"symptoms-{variant}", *medians, "seconds", how)


BENCHMARKS = (
    Benchmark("check", _check),
    Benchmark("symptoms-same", partial(_symptoms, variant="same")),
    Benchmark("symptoms-valid", partial(_symptoms, variant="valid")),
)
