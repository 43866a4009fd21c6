"""The record of the experiments: what each cell showed, in seed order, as JSON."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcaptcha.errors import InputError


@dataclass(frozen=True)
class Measured:
    """One experiment's results: cell label -> seed -> result."""

    name: str
    cells: Mapping[str, Mapping[int, Any]]
    environment: Mapping[str, Any]
    date: str

    def results(self, label: str) -> list[Any]:
        """A cell's results in seed order."""
        return [result for _, result in sorted(self.cells[label].items())]


def write_measured(
    folder: Path, name: str, cells: Mapping[str, Mapping[int, Any]], environment: Mapping[str, Any]
) -> None:
    """Write one experiment's results, a line a seed, replacing older ones."""
    path = folder / f"{name}.json"
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    parts = [
        f"    {json.dumps(label)}: {{\n"
        + ",\n".join(f'      "{seed}": {json.dumps(result)}' for seed, result in results.items())
        + "\n    }"
        for label, results in cells.items()
    ]
    text = (
        f'{{\n  "name": {json.dumps(name)},\n  "date": "{date}",\n'
        f'  "environment": {json.dumps(environment)},\n  "cells": {{\n'
        + ",\n".join(parts)
        + "\n  }\n}\n"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write the experiment {path}: {error.strerror}") from None


def read_measured(folder: Path, name: str) -> Measured:
    """One experiment's results; InputError where they are missing or damaged."""
    path = folder / f"{name}.json"
    try:
        fields = json.loads(path.read_text())
        cells = {
            label: {int(seed): result for seed, result in results.items()}
            for label, results in fields["cells"].items()
        }
        return Measured(fields["name"], cells, fields["environment"], fields["date"])
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"the experiment {path} cannot be read ({error}); record it: "
            f"python -m answer experiment {name} --record {folder}"
        ) from None
