"""The committed record that the answer is computed from, and how experiments are written into it."""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcaptcha.errors import InputError, write_file
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.verdicts.baseline import Baseline, read_baseline
from deepcaptcha.verdicts.whole import twins_of

from .experiments import EXPERIMENTS
from .statements import SEEN, RowName

Json = Mapping[str, Any]
Results = Mapping[str, Mapping[int, Any]]
"""A condition's label -> seed -> what was measured, as `laboratory` tells."""

RECORDED: Mapping[str, int] = MappingProxyType(
    {"raw-subset": 100, "sound-subset": 100, "question": 20}
)
"""Recipe every variant was trained under -> trials declared of each, before the first was run."""


@dataclass(frozen=True)
class ExperimentRecord:
    """What one experiment showed, where and when."""

    name: str
    cells: Results
    environment: Json
    date: str

    def results(self, label: str) -> list[Any]:
        """A cell's results in seed order."""
        return [result for _, result in sorted(self.cells[label].items())]

    def median(self, label: str, key: str) -> float:
        """The median of one of a cell's figures."""
        return float(statistics.median(result[key] for result in self.results(label)))


@dataclass(frozen=True)
class Record:
    """What was measured: baselines by (variant, recipe), experiments by name, and what the commands
    `symptoms` and `predict` print as JSON."""

    baselines: Mapping[RowName, Baseline]
    experiments: Mapping[str, ExperimentRecord]
    symptoms: Json
    checks: Json

    def outcomes(self, row: RowName) -> Sequence[str]:
        """A row's outcomes in seed order."""
        return self.baselines[row].outcomes

    def unseen(self, row: RowName) -> Sequence[str]:
        """Those of the seeds that nobody had seen when statements and pairs were written down."""
        return self.outcomes(row)[SEEN.get(row[1], 0) :]

    @cached_property
    def twins(self) -> Mapping[RowName, RowName]:
        """Rows all of whose trainings ended with the weights of another row's: each is that row's
        training, and no further evidence."""
        found = {}
        for recipe in RECORDED:
            weights = {name: self.baselines[name, recipe].weights for name in VARIANTS}
            for twin, first in twins_of(weights).items():
                found[twin, recipe] = first, recipe
        return found

    def once(self, row: RowName) -> RowName:
        """The row that counts for this one: itself, or the one whose training it is."""
        return self.twins.get(row, row)


def read_record(folder: Path) -> Record:
    """The record in `folder`; InputError naming what is missing."""
    rows = [(name, recipe) for recipe in RECORDED for name in VARIANTS]
    baselines = {row: require_baseline(folder / "baselines", *row) for row in rows}
    experiments = {e.name: read_measured(folder / "experiments", e.name) for e in EXPERIMENTS}
    for experiment in EXPERIMENTS:
        counts = {k: len(results) for k, results in experiments[experiment.name].cells.items()}
        declared = {condition.label: experiment.seeds for condition in experiment.conditions}
        if counts != declared:
            raise InputError(
                f"the experiment {experiment.name} was recorded with {counts} seeds, and {declared} are "
                "declared; record it anew"
            )
    symptoms = _read(folder / "symptoms.json")
    if symptoms.get("recipes") != ["raw-subset"]:
        raise InputError(
            f"{folder / 'symptoms.json'} is of {symptoms.get('recipes')}; ['raw-subset'] is needed"
        )
    return Record(baselines, experiments, symptoms, _read(folder / "checks.json"))


def require_baseline(folder: Path, name: str, recipe: str) -> Baseline:
    """The recorded baseline; InputError where there is none."""
    baseline = read_baseline(folder, name, recipe)
    if baseline is None:
        raise InputError(
            f"no baseline of {name} {recipe} in {folder}; name the folder that has one"
        )
    return baseline


def _read(path: Path) -> Json:
    try:
        found: Json = json.loads(path.read_text())
        return found
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); fixtures/README.md tells how to make it"
        ) from None


def write_measured(folder: Path, name: str, cells: Results, environment: Json) -> None:
    """Write one experiment's results, a line a seed, replacing older ones."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    head = {"name": name, "date": date, "environment": environment}
    lines = [f'  "{key}": {json.dumps(value)}' for key, value in head.items()]
    parts = []
    for label, results in cells.items():
        seeds = [f'      "{seed}": {json.dumps(result)}' for seed, result in results.items()]
        parts.append(f"    {json.dumps(label)}: {{\n" + ",\n".join(seeds) + "\n    }")
    lines.append('  "cells": {\n' + ",\n".join(parts) + "\n  }")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    write_file(folder / f"{name}.json", text, "the experiment")


def read_measured(folder: Path, name: str) -> ExperimentRecord:
    """One experiment's results; InputError where they are missing or damaged."""
    path = folder / f"{name}.json"
    try:
        fields = json.loads(path.read_text())
        cells = {
            label: {int(seed): result for seed, result in results.items()}
            for label, results in fields["cells"].items()
        }
        return ExperimentRecord(fields["name"], cells, fields["environment"], fields["date"])
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"the experiment {path} cannot be read ({error}); record it: "
            f"python -m answer experiment {name} --record {folder}"
        ) from None
