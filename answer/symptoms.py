"""`python -m answer symptoms`: what stuck trials showed, before and after."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepcaptcha.errors import InputError
from deepcaptcha.finding import percent
from deepcaptcha.report.table import Table, columns
from deepcaptcha.report.words import interval_text
from deepcaptcha.trials.history import PREDICTORS, symptom_counts
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.verdicts.plan import binomial_interval

from .association import Association, associate


def symptoms(options: argparse.Namespace) -> int:
    """Print P(symptom | stuck) and P(symptom | converged) of each declared predictor, and the
    failures by mode."""
    records = read_ledger(Path(options.ledger))
    trials = records.trials
    for problem in records.problems:
        print(f"deepcaptcha: {problem}", file=sys.stderr)
    if not any(PREDICTORS in trial.probes for trial in trials):
        raise InputError(
            f"{options.ledger} holds no trials with symptoms; run `study --symptoms` first"
        )
    found = associate(trials)
    for association in found:
        if not association.stuck[1] + association.converged[1]:
            print(
                f"deepcaptcha: no trial was measured for {association.predictor.words}: no execution "
                "ended at that step; use a steps_per_execution that divides it",
                file=sys.stderr,
            )
    modes = symptom_counts(trials)
    missed = sum(modes.values())
    intervals = {mode: binomial_interval(count, missed) for mode, count in modes.items()}
    if options.json:
        record: dict[str, Any] = {
            "trials": len(trials),
            "recipes": sorted({trial.recipe for trial in trials}),
            "predictors": [asdict(association) for association in found],
            "modes": modes,
            "mode_intervals": intervals,
        }
        print(json.dumps(record, indent=2))
        return 0
    _predictors_table(found).write(sys.stdout)
    print()
    Table(
        f"Failures: {missed} of {len(trials)} trials",
        columns("<mode", "trials", "share", "95 % interval"),
        tuple(
            (
                mode,
                str(count),
                percent(count / missed),
                interval_text(intervals[mode]),
            )
            for mode, count in modes.items()
        ),
    ).write(sys.stdout)
    return 0


def _predictors_table(found: tuple[Association, ...]) -> Table:
    def share(counts: tuple[int, int]) -> str:
        shown, of = counts
        return f"{shown} / {of}"

    return Table(
        "Symptoms declared before the trials, and how the trials ended",
        columns("<symptom", "shown by stuck", "by converged", "p (Holm)", "least p, unadjusted"),
        tuple(
            (
                association.predictor.words,
                share(association.stuck),
                share(association.converged),
                f"{association.p:.2g}",
                f"{association.least_p:.2g}",
            )
            for association in found
        ),
    )
