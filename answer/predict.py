"""`python -m answer predict`: how true the check's errors are of trials that were recorded."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepcaptcha.cli.check import check_network
from deepcaptcha.cli.options import names, whole
from deepcaptcha.cli.progress import shown_progress
from deepcaptcha.errors import InputError
from deepcaptcha.finding import percent
from deepcaptcha.keras import environment
from deepcaptcha.networks.recipes import Recipe, find_recipe
from deepcaptcha.networks.variants import VARIANTS, find_variant
from deepcaptcha.report.table import Table, columns
from deepcaptcha.trials.runner import cores
from deepcaptcha.verdicts.baseline import Baseline, read_baseline

from .prediction import Case, Confusion, confusion, leave_one_out
from .resumable import Key, fingerprint, measure_all


@dataclass(frozen=True)
class _Checked:
    variant: str
    recipe: str
    seed: int
    lost_share: float
    errors: tuple[str, ...]


def _checked(variant: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    found = check_network(variant, recipe, seed)
    lost = [finding.value for finding in found if finding.code == "lost examples"]
    errors = tuple(finding.code for finding in found if finding.severity == "error")
    return asdict(_Checked(variant, recipe.name, seed, lost[0] if lost else 0.0, errors))


def predict(options: argparse.Namespace) -> int:
    """Check every recorded trial's model before training, and score the errors against how the trial
    ended."""
    rows = [
        (find_variant(name).name, find_recipe(recipe))
        for recipe in names(options.recipes, [])
        for name in names(options.variants, list(VARIANTS))
    ]
    seeds = whole("--seeds", options.seeds)
    baselines = {(v, r.name): _baseline(Path(options.baselines), v, r.name, seeds) for v, r in rows}
    path = Path(options.output) / "checks.jsonl"
    here = environment.describe()
    wanted: dict[Key, tuple[Any, ...]] = {
        (variant, recipe.name, seed, fingerprint(recipe.as_dict(), here)): (variant, recipe, seed)
        for variant, recipe in rows
        for first in [baselines[variant, recipe.name].first_seed]
        for seed in range(first, first + seeds)
    }
    jobs = cores() if options.jobs is None else whole("--jobs", options.jobs)
    with shown_progress(len(wanted), options.json) as advance:
        found = measure_all(
            _checked,
            wanted,
            path,
            jobs,
            lambda key: advance("{} {} seed {}".format(*key[:3])),
            fresh=options.fresh,
        )
    checked = [_Checked(**fields) for fields in found.values()]
    cases = {
        recipe: [
            (
                c,
                baselines[c.variant, recipe].outcomes[
                    c.seed - baselines[c.variant, recipe].first_seed
                ],
            )
            for c in checked
            if c.recipe == recipe
        ]
        for recipe in dict.fromkeys(recipe.name for _, recipe in rows)
    }
    if options.json:
        print(
            json.dumps({r: [{**asdict(c), "outcome": o} for c, o in rs] for r, rs in cases.items()})
        )
        return 0
    for recipe, scored in cases.items():
        _prediction_table(recipe, scored).write(sys.stdout)
        print()
    return 0


def _baseline(folder: Path, variant: str, recipe: str, seeds: int) -> Baseline:
    baseline = read_baseline(folder, variant, recipe)
    if baseline is None:
        raise InputError(
            f"no baseline of {variant} {recipe} in {folder}; give --baselines its folder"
        )
    if len(baseline.outcomes) < seeds:
        raise InputError(
            f"--seeds is {seeds}; the baseline of {variant} {recipe} has {len(baseline.outcomes)}"
        )
    return baseline


def _prediction_table(recipe: str, scored: Sequence[tuple[_Checked, str]]) -> Table:
    cases = [Case(c.variant, c.lost_share, outcome == "stuck") for c, outcome in scored]
    chosen = leave_one_out(cases)
    rows = []
    for variant, (threshold, left_out) in chosen.items():
        own = [(c, outcome) for c, outcome in scored if c.variant == variant]
        alarmed = sum(bool(c.errors) for c, _ in own)
        fixed = _confusion(own)
        rows.append(
            (
                variant,
                f"{sum(o == 'stuck' for _, o in own)} / {len(own)}",
                f"{alarmed} / {len(own)}",
                *_scores(fixed),
                f"{threshold:.2f}",
                *_scores(left_out),
            )
        )
    total = sum((c for _, c in chosen.values()), Confusion())
    rows.append(
        (
            "all",
            f"{sum(case.stuck for case in cases)} / {len(cases)}",
            f"{sum(bool(c.errors) for c, _ in scored)} / {len(cases)}",
            *_scores(_confusion(scored)),
            "",
            *_scores(total),
        )
    )
    return Table(
        f"{recipe}: does an error of the check foretell a stuck trial?",
        columns(
            "<variant",
            "stuck",
            "errors",
            "precision",
            "recall",
            "others' threshold",
            "precision",
            "recall",
        ),
        tuple(rows),
    )


def _confusion(scored: Sequence[tuple[_Checked, str]]) -> Confusion:
    return confusion([Case(c.variant, float(bool(c.errors)), o == "stuck") for c, o in scored], 0.5)


def _scores(counts: Confusion) -> tuple[str, str]:
    def share(value: float | None, of: int) -> str:
        return "-" if value is None else f"{percent(value)} of {of}"

    return (
        share(counts.precision, counts.hits + counts.false_alarms),
        share(counts.recall, counts.hits + counts.misses),
    )
