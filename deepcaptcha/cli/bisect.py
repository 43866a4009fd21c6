"""`python -m deepcaptcha bisect`: which change repairs a variant under a recipe."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bisection.bisect import bisect as bisect_configurations
from ..bisection.configuration import Configuration
from ..bisection.words import cell_table, finding_lines
from ..errors import InputError
from ..networks.architecture import Architecture, ConvBlock
from ..networks.build import build, fit_to
from ..networks.recipes import find_recipe, load_examples
from ..networks.variants import find_variant
from ..trials import seeds
from ..trials.runner import cores
from .options import names, number, whole
from .progress import trial_progress

if TYPE_CHECKING:
    import keras

_MAIN_BLOCKS = 3  # of the question's network; what lies beyond is one difference
_BLOCK_ARGUMENTS = {
    "filters": "filters",
    "kernels": "kernel",
    "strides": "stride",
    "paddings": "padding",
    "pools": "pool",
}


def bisect(options: argparse.Namespace) -> int:
    """Bisect two configurations; 0 if a minimal repairing set was found, 1 if not, 130 when
    interrupted."""
    a, b = (_configuration(text, options.data) for text in (options.a, options.b))
    jobs = cores() if options.jobs is None else whole("--jobs", options.jobs)
    max_cells = None if options.cells is None else whole("--cells", options.cells)
    for configuration in (a, b):
        load_examples(configuration.recipe)  # a missing file is known before any process starts
    count = 0
    try:
        with trial_progress(None, options.json) as advance:

            def keep(trial: Any) -> None:
                nonlocal count
                count += 1
                advance(trial)

            found = bisect_configurations(
                a,
                b,
                together=[names(group, []) for group in options.together],
                p_good=number("--p-good", options.p_good),
                p_bad=number("--p-bad", options.p_bad),
                alpha=number("--alpha", options.alpha),
                beta=number("--beta", options.beta),
                max_cells=max_cells,
                first_seed=seeds.first_seed(options.stream)
                if options.seed is None
                else whole("--seed", options.seed, least=0, most=seeds.LAST_SEED),
                reuse_model=True,
                folder=Path(options.output) / "ledger",
                reuse=not options.fresh,
                jobs=jobs,
                on_trial=keep,
            )
    except KeyboardInterrupt:
        print(
            f"deepcaptcha: stopped after {count} trials; the same command goes on", file=sys.stderr
        )
        return 130
    if options.json:
        print(json.dumps({**found.as_dict(), "sentences": finding_lines(found)}, indent=2))
    else:
        cell_table(found).write(sys.stdout)
        print()
        for line in finding_lines(found):
            print(line)
    return 0 if found.found else 1


def _configuration(text: str, data: str | None) -> Configuration:
    variant, colon, recipe_name = text.partition(":")
    if not colon:
        raise InputError(f"{text!r} names no recipe; write VARIANT:RECIPE, such as same:raw-subset")
    recipe = find_recipe(recipe_name, data)
    arguments = arguments_of(fit_to(find_variant(variant).architecture, recipe))
    return Configuration(build_network, arguments, recipe, text)


def arguments_of(architecture: Architecture) -> dict[str, Any]:
    """The named arguments of `build_network` that give this architecture: its three main blocks' fields
    across the blocks, further blocks as they are, and the rest."""
    blocks = architecture.blocks
    return {
        **{
            name: tuple(getattr(block, field) for block in blocks[:_MAIN_BLOCKS])
            for name, field in _BLOCK_ARGUMENTS.items()
        },
        "extra": blocks[_MAIN_BLOCKS:],
        "dense": architecture.dense,
        "head": architecture.head,
        "input_shape": architecture.input_shape,
        "n_prediction": architecture.n_prediction,
        "n_class": architecture.n_class,
    }


def architecture_from(*, extra: Sequence[ConvBlock], **arguments: Any) -> Architecture:
    """The inverse of `arguments_of`."""
    sizes = zip(*(arguments.pop(name) for name in _BLOCK_ARGUMENTS), strict=True)
    fields = _BLOCK_ARGUMENTS.values()
    blocks = [ConvBlock(**dict(zip(fields, values, strict=True))) for values in sizes]
    return Architecture(blocks=(*blocks, *extra), **arguments)


def build_network(**arguments: Any) -> keras.Model:
    """A model from the arguments that `arguments_of` names. The head carries the loss with it: an
    output named `logits` has its loss taken from logits."""
    return build(architecture_from(**arguments))
