"""`list`: what there is."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..finding import percent
from ..networks.architecture import LayerRow
from ..networks.recipes import RECIPES
from ..networks.variants import CLAIMS, HYPOTHESES, ROWS, VARIANTS
from ..report.table import Table, columns
from ..report.words import interval_text
from ..verdicts.baseline import read_baseline
from ..verdicts.claim import Budget, Claim, chance_to_pass
from ..verdicts.plan import binomial_interval
from .arguments import command, option
from .progress import say
from .subject import HELP, read_subject

Json = dict[str, Any]

_BASELINES = Path("fixtures/baselines")


@command(
    "List the variants, recipes and claims, or a network's layers.",
    option("what", f"variants, recipes, claims, or a network: {HELP}", "WHAT", nargs="?"),
    option(
        "--baselines",
        f"records beside the claims; default {_BASELINES}, where there is such a folder",
        "DIR",
        Path,
    ),
)
def list_(options: Namespace) -> int:
    """Print what is asked for; of everything, all but layers."""
    tables = {"variants": _variants, "recipes": _recipes, "claims": _claims}
    if options.what is not None and options.what not in tables:
        return _layers(options.what, options.json)
    wanted = list(tables) if options.what is None else [options.what]
    found = {what: tables[what](options.baselines) for what in wanted}
    if options.json:
        records = {what: record for what, (record, _) in found.items()}
        print(json.dumps(records if options.what is None else records[options.what], indent=2))
        return 0
    for place, (_, table) in enumerate(found.values()):
        print(end="\n" if place else "")
        table.write(sys.stdout)
    return 0


def _layers(text: str, as_json: bool) -> int:
    """Print a network's layers, shapes and parameter counts."""
    subject = read_subject(text, None)
    name, features = text, None
    if subject.known is not None:
        variant, recipe = subject.known
        architecture = recipe.fit(variant.architecture)
        name, features, layers = variant.name, architecture.features_shape, architecture.rows
    else:
        model = subject.model()
        try:
            layers = tuple(
                LayerRow(each.name, tuple(each.output.shape[1:]), each.count_params())
                for each in model.layers
                if type(each).__name__ != "InputLayer"
            )
        except (AttributeError, ValueError):
            raise InputError(
                f"not all layers of {text} have one shape; begin its model with keras.Input"
            ) from None
    total = sum(layer.parameters for layer in layers)
    if as_json:
        record = {"variant": name, "features_shape": features, "parameters": total}
        print(json.dumps({**record, "layers": [asdict(layer) for layer in layers]}, indent=2))
        return 0
    for layer in layers:
        shape = str(layer.output_shape).replace(",)", ")")
        told = f"{layer.name:<14} {shape:<14} {layer.parameters:>8,}  {layer.arithmetic}"
        say(told.rstrip())
    print(f"{'total':<14} {'':<14} {total:>8,}")
    return 0


def _variants(_: Path | None) -> tuple[list[Json], Table]:
    records: list[Json] = []
    rows = []
    for variant in VARIANTS.values():
        shape = variant.architecture.features_shape
        parameters = variant.architecture.parameters
        sizes = {"features_shape": shape, "parameters": parameters}
        words = {"by": variant.by, "said": variant.said, "remark": variant.remark}
        records.append({"variant": variant.name, "change": variant.change, **sizes, **words})
        remark = f" ({variant.remark})" if variant.remark else ""
        said = f"{variant.by}: {variant.said}{remark}"
        rows.append((variant.name, str(shape), f"{parameters:,}", variant.change, said))
    titles = ("<variant", "last conv", "parameters", "<change", "<what is said of it")
    return records, Table("Variants", columns(*titles), tuple(rows))


def _recipes(_: Path | None) -> tuple[list[Json], Table]:
    rows = (
        (
            recipe.name,
            f"{recipe.n_train:,} of {recipe.data}",
            recipe.pixels,
            str(recipe.target.epochs),
            str(recipe.training.batch),
            f"last {recipe.validation_split:.0%} of them"
            if recipe.validation_split
            else f"{recipe.n_validation:,} test images",
            f"{recipe.target.monitor} >= {recipe.target.value:.2f}",
        )
        for recipe in RECIPES.values()
    )
    titles = ("<recipe", "images", "pixels", "epochs", "batch", "<validation", "<target")
    records = [recipe.as_dict() for recipe in RECIPES.values()]
    return records, Table("Recipes", columns(*titles), tuple(rows))


def _claims(baselines: Path | None) -> tuple[Json, Table]:
    folder = _BASELINES if baselines is None and _BASELINES.is_dir() else baselines
    budget = Budget(HYPOTHESES, rows=ROWS)
    records = [
        {
            "variant": variant,
            "recipe": recipe,
            "claim": claim.kind,
            "p_good": claim.p_good,
            "p_bad": claim.p_bad,
            **({} if folder is None else _recorded(variant, recipe, claim, budget, folder)),
        }
        for (variant, recipe), claim in CLAIMS.items()
    ]
    titles = ("<variant", "<recipe", "claim", "p_good", "p_bad", "recorded", "95 % interval")
    table = Table(
        f"Claims: {HYPOTHESES} hypotheses share alpha {budget.alpha:.0%} and beta {budget.beta:.0%}",
        columns(*titles, "passes"),
        tuple(
            (
                *(each[key] for key in ("variant", "recipe", "claim")),
                *("" if each[key] is None else f"{each[key]:g}" for key in ("p_good", "p_bad")),
                f"{each['successes']}/{each['trials']}" if folder else "",
                interval_text(each["interval"]) if folder else "",
                "" if each.get("chance_to_pass") is None else percent(each["chance_to_pass"]),
            )
            for each in records
        ),
    )
    return {"hypotheses": HYPOTHESES, "claims": records}, table.without_empty_columns()


def _recorded(variant: str, recipe: str, claim: Claim, budget: Budget, folder: Path) -> Json:
    """What was recorded of a claim's row, and its chance to pass at the rate recorded."""
    recorded = read_baseline(folder, variant, recipe)
    if recorded is None:
        raise InputError(
            f"no record of {variant} {recipe} in {folder}; give --baselines its folder"
        )
    outcome = "stuck" if claim.kind == "stuck" else "converged"
    successes, trials = recorded.outcomes.count(outcome), len(recorded.outcomes)
    judged = claim.kind != "mixed"
    return {
        "successes": successes,
        "trials": trials,
        "interval": binomial_interval(successes, trials),
        "chance_to_pass": chance_to_pass(claim, budget, successes / trials) if judged else None,
    }
