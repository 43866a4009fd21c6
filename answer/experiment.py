"""`python -m answer experiment`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepcaptcha.cli.options import names, whole
from deepcaptcha.cli.progress import shown_progress
from deepcaptcha.errors import InputError
from deepcaptcha.finding import percent
from deepcaptcha.keras import environment
from deepcaptcha.report.table import Table, columns
from deepcaptcha.trials import seeds
from deepcaptcha.trials.runner import cores
from deepcaptcha.verdicts.baseline import read_baseline

from .experiment_record import write_measured
from .experiments import EXPERIMENTS, Cell, Experiment
from .laboratory import measure_cell
from .resumable import Key, fingerprint, measure_all


def experiment(options: argparse.Namespace) -> int:
    """Measure the cells of the experiments named, print what they show, and record it if asked to."""
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    chosen = names(options.names, list(known))
    for name in chosen:
        if name not in known:
            raise InputError(f"unknown experiment {name!r}; known: {', '.join(known)}")
    jobs = cores() if options.jobs is None else whole("--jobs", options.jobs)
    limit = None if options.seeds is None else whole("--seeds", options.seeds)
    here = environment.describe()
    wanted: dict[Key, tuple[Any, ...]] = {
        (name, cell.label, seed, fingerprint(asdict(cell), here)): (known[name].measure, cell, seed)
        for name in chosen
        for cell in known[name].cells
        for seed in _seeds(known[name], cell, limit, Path(options.baselines))
    }
    path = Path(options.output) / "measured.jsonl"
    with shown_progress(len(wanted), options.json) as advance:
        measured = measure_all(
            measure_cell,
            wanted,
            path,
            jobs,
            lambda key: advance("{}: {}, seed {}".format(*key[:3])),
        )
    cells: dict[str, dict[str, dict[int, Any]]] = {}
    for (name, label, seed, _), result in measured.items():
        cells.setdefault(name, {}).setdefault(label, {})[seed] = result
    if options.record:
        for name in chosen:
            write_measured(Path(options.record), name, cells[name], here)
    if options.json:
        print(json.dumps(cells))
        return 0
    for name in chosen:
        _table(known[name], cells[name]).write(sys.stdout)
        print()
    return 0


def _seeds(experiment: Experiment, cell: Cell, limit: int | None, baselines: Path) -> list[int]:
    if experiment.measure != "trajectory":
        return list(seeds.take("baseline", limit or experiment.seeds))
    baseline = read_baseline(baselines, "same", "raw-subset")
    outcome = "converged" if cell.label == "converging" else "stuck"
    if baseline is None or outcome not in baseline.outcomes:
        raise InputError(
            f"no baseline of same raw-subset in {baselines} with a trial that is {outcome}; give "
            "--baselines its folder"
        )
    return [baseline.first_seed + baseline.outcomes.index(outcome)]


def _table(experiment: Experiment, cells: Mapping[str, Mapping[int, Any]]) -> Table:
    return Table(
        f"{experiment.name}: {experiment.link}",
        columns("<cell", "seeds", "<shown"),
        tuple(
            (label, str(len(results)), _shown(experiment, list(results.values())))
            for label, results in cells.items()
        ),
    )


def _shown(experiment: Experiment, results: list[Any]) -> str:
    if experiment.measure == "step":
        movement = statistics.median(result["movement"] for result in results)
        lost = statistics.median(result["lost_after"] for result in results)
        return f"logits move {movement:.3g} nats, {percent(lost)} lost after the step"
    if experiment.measure == "trajectory":
        step, zero, _, movement, _ = results[0][-1]
        return f"at step {step} {percent(zero)} with zero gradient, logits {movement:.3g} nats away"
    counts = Counter(result["outcome"] for result in results)
    return ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common())
