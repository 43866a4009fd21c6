"""`python -m deepcaptcha params`, `variants` and `recipes`: what there is."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ..networks.recipes import RECIPES
from ..networks.variants import VARIANTS, find_variant
from ..report.table import Table, columns


def params(options: argparse.Namespace) -> int:
    """Print a variant's layers, shapes and parameter counts."""
    variant = find_variant(options.variant)
    architecture = variant.architecture
    if options.json:
        _print_json(
            {
                "variant": variant.name,
                "features_shape": architecture.features_shape,
                "parameters": architecture.parameters,
                "layers": [row.__dict__ for row in architecture.rows],
            }
        )
        return 0
    for row in architecture.rows:
        shape = str(row.output_shape).replace(",)", ")")
        print(f"{row.name:<14} {shape:<14} {row.parameters:>8,}  {row.arithmetic}".rstrip())
    print(f"{'total':<14} {'':<14} {architecture.parameters:>8,}")
    return 0


def variants(options: argparse.Namespace) -> int:
    """Print the variants and what is said of them."""
    if options.json:
        _print_json(
            [
                {
                    "variant": variant.name,
                    "change": variant.change,
                    "features_shape": variant.architecture.features_shape,
                    "parameters": variant.architecture.parameters,
                    "by": variant.by,
                    "said": variant.said,
                    "remark": variant.remark,
                }
                for variant in VARIANTS.values()
            ]
        )
        return 0
    Table(
        "Variants",
        columns("<variant", "last conv", "parameters", "<change", "<what is said of it"),
        tuple(
            (
                variant.name,
                str(variant.architecture.features_shape),
                f"{variant.architecture.parameters:,}",
                variant.change,
                f"{variant.by}: {variant.said}"
                + (f" ({variant.remark})" if variant.remark else ""),
            )
            for variant in VARIANTS.values()
        ),
    ).write(sys.stdout)
    return 0


def recipes(options: argparse.Namespace) -> int:
    """Print the recipes."""
    if options.json:
        _print_json([recipe.as_dict() for recipe in RECIPES.values()])
        return 0
    Table(
        "Recipes",
        columns("<recipe", "images", "pixels", "epochs", "batch", "<validation", "<target"),
        tuple(
            (
                recipe.name,
                f"{recipe.n_train:,} of {recipe.data}",
                recipe.pixels,
                str(recipe.epochs),
                str(recipe.batch),
                f"last {recipe.validation_split:.0%} of them"
                if recipe.validation_split
                else f"{recipe.n_validation:,} test images",
                f"{recipe.monitor} >= {recipe.target:.2f}",
            )
            for recipe in RECIPES.values()
        ),
    ).write(sys.stdout)
    return 0


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))
