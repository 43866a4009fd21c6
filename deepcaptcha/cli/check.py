"""`python -m deepcaptcha check`: what can be said before training."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..finding import Finding
from ..keras import environment
from ..networks.build import build, fit_to
from ..networks.recipes import Recipe, find_recipe, load_examples
from ..networks.variants import find_variant
from ..trials.seeds import LAST_SEED
from .options import whole

if TYPE_CHECKING:
    import keras


def check_variant(options: argparse.Namespace) -> int:
    """Print the findings on one variant under one recipe; 1 if any is an error."""
    variant = find_variant(options.variant)
    recipe = find_recipe(options.recipe, options.data)
    seed = whole("--seed", options.seed, least=0, most=LAST_SEED)
    found = check_network(variant.name, recipe, seed)
    failed = any(finding.severity == "error" for finding in found)
    if options.json:
        print(json.dumps([finding.as_dict() for finding in found], indent=2))
        return int(failed)
    for finding in found:
        print(
            f"{finding.severity}: {finding.code}: {finding.sentence}.\n  To fix it: {finding.fix}."
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


def check_network(variant: str, recipe: Recipe, seed: int) -> tuple[Finding, ...]:
    """The findings on a variant under a recipe, its weights drawn from the seed."""
    from ..diagnosis.check import check

    return check(*compiled(variant, recipe, seed))


def compiled(variant: str, recipe: Recipe, seed: int) -> tuple[keras.Model, Any, Any, Any]:
    """What `preflight.check` takes: a variant's model as it begins a trial of the recipe, the training
    images (n, height, width, 1) and targets (n, n_prediction, n_class), and such a pair of validation.
    InputError for a name or data that cannot be found."""
    from ..keras.training import compile_model

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
