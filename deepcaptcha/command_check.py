"""`python -m deepcaptcha check` and `predict`: what can be said before training, and how true it is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import environment
from .baseline import Baseline, read_baseline
from .errors import InputError
from .factory import build, fit_to
from .finding import Finding
from .options import names, whole
from .prediction import Case, Confusion, confusion, leave_one_out
from .progress import shown_progress
from .recipe import Recipe, find_recipe, load_examples
from .report import percent
from .resumable import Key, fingerprint, measure_all
from .seeds import LAST_SEED
from .study import cores
from .table import Table, columns
from .variants import VARIANTS, find_variant

if TYPE_CHECKING:
    import keras


def check_variant(options: argparse.Namespace) -> int:
    """Print the findings on one variant under one recipe; 1 if any is an error."""
    variant = find_variant(options.variant)
    recipe = find_recipe(options.recipe, options.data)
    seed = whole("--seed", options.seed, least=0, most=LAST_SEED)
    found = _check(variant.name, recipe, seed)
    failed = any(finding.severity == "error" for finding in found)
    if options.json:
        print(json.dumps([finding.as_dict() for finding in found], indent=2))
        return int(failed)
    for finding in found:
        print(
            f"{finding.severity}: {finding.code}: {finding.sentence}.\n  To mend it: {finding.mend}."
        )
    errors = sum(finding.severity == "error" for finding in found)
    print(
        f"{variant.name} under {recipe.name}, seed {seed}: "
        + (
            f"{errors} error{'s' * (errors != 1)}"
            if errors
            else "nothing that stops it from training"
        )
    )
    return int(failed)


def _check(variant: str, recipe: Recipe, seed: int) -> tuple[Finding, ...]:
    from .preflight import check

    return check(*compiled(variant, recipe, seed))


def compiled(variant: str, recipe: Recipe, seed: int) -> tuple[keras.Model, Any, Any, Any]:
    """What `preflight.check` takes: a variant's model as it begins a trial of the recipe, the training
    images (n, height, width, 1) and targets (n, n_prediction, n_class), and such a pair of validation.
    InputError for a name or data that cannot be found."""
    from .training import compile_model

    keras = environment.load_keras()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    examples = load_examples(recipe)
    model = build(fit_to(find_variant(variant).architecture, recipe))
    compile_model(model, recipe, examples)
    return (
        model,
        examples.x_train,
        examples.y_train,
        (examples.x_validation, examples.y_validation),
    )


@dataclass(frozen=True)
class _Checked:
    variant: str
    recipe: str
    seed: int
    lost_share: float
    errors: tuple[str, ...]


def _checked(variant: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    found = _check(variant, recipe, seed)
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
