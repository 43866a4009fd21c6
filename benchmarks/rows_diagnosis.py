"""What looking costs: the check before training, and symptoms measured along a trial."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from deepcaptcha.networks.recipes import RECIPES, Recipe, load_examples
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.seeds import STREAMS
from deepcaptcha.trials.worker import workers

from .processes import Measured
from .row import Benchmark, Row, less_is_better

_REPEATS = 5
_AIM = 4.0  # seconds; what a check may take after import


def check_seconds(variant: str, recipe: Recipe) -> float:
    """Seconds of a check, its model and data being there."""
    from deepcaptcha.diagnosis.check import check
    from deepcaptcha.keras.fit import new_model
    from deepcaptcha.keras.training import compile_model

    source = recipe.source(variant)
    data = load_examples(recipe)
    model = new_model(source.factory, source.training, data, seed=0)
    compile_model(model, source.training, source.target, data)
    began = time.perf_counter()
    check(model, data.x_train, data.y_train, (data.x_validation, data.y_validation))
    return time.perf_counter() - began


def _check(measured: Mapping[str, Measured]) -> Row:
    recipe = RECIPES["raw-subset"]
    with workers(1) as processes:
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
    from deepcaptcha.diagnosis.probes import SYMPTOMS

    first = STREAMS["pilot"].start
    without = RECIPES["raw-subset"].source(variant)
    measuring = replace(without, probes=SYMPTOMS)
    wanted = [
        (source, seed)
        for seed in range(first, first + 1 + _REPEATS)
        for source in (without, measuring)
    ]
    with tempfile.TemporaryDirectory() as folder, Runner(Path(folder), jobs=1) as runner:
        trials = runner.run_all(wanted)
    spent: dict[bool, list[float]] = {True: [], False: []}
    for trial in trials:
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
