"""The committed record that the answer is computed from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcaptcha.errors import InputError
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.verdicts.baseline import Baseline, read_baseline

from .experiment_record import Measured, read_measured
from .experiments import EXPERIMENTS
from .statements import SEEN, Row

RECORDED: Mapping[str, int] = MappingProxyType(
    {"raw-subset": 100, "sound-subset": 100, "question": 20}
)
"""Recipe every variant was trained under -> trials declared of each, before the first was run."""


@dataclass(frozen=True)
class Record:
    """What was measured: baselines by (variant, recipe), experiments by name, and what the commands
    `symptoms` and `predict` print as JSON."""

    baselines: Mapping[Row, Baseline]
    experiments: Mapping[str, Measured]
    symptoms: Mapping[str, Any]
    checks: Mapping[str, Any]

    def outcomes(self, row: Row) -> Sequence[str]:
        """A row's outcomes in seed order."""
        return self.baselines[row].outcomes

    def unseen(self, row: Row) -> Sequence[str]:
        """Those of the seeds that nobody had seen when statements and pairs were written down."""
        return self.outcomes(row)[SEEN.get(row[1], 0) :]


def read_record(folder: Path) -> Record:
    """The record in `folder`; InputError naming what is missing."""
    baselines = {}
    for recipe in RECORDED:
        for name in VARIANTS:
            baseline = read_baseline(folder / "baselines", name, recipe)
            if baseline is None:
                raise InputError(f"no baseline of {name} {recipe} in {folder / 'baselines'}")
            baselines[name, recipe] = baseline
    experiments = {e.name: read_measured(folder / "experiments", e.name) for e in EXPERIMENTS}
    for experiment in EXPERIMENTS:
        counts = {k: len(results) for k, results in experiments[experiment.name].cells.items()}
        if counts != (declared := {cell.label: experiment.seeds for cell in experiment.cells}):
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


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text())
        return found
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); fixtures/README.md tells how to make it"
        ) from None
