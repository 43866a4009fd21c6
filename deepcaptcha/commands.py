"""The long commands of the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import environment, seeds
from .errors import InputError
from .factory import build
from .recipe import Recipe, find_recipe, load_examples
from .report import Column, Summary, Table, interval_text, summarise
from .study import TRIALS_PER_PROCESS, Task, cores, process_executor, run_study
from .trial import Trial
from .variants import VARIANTS, Variant, find_variant


def study(options: argparse.Namespace) -> int:
    """Train variants x recipes x seeds, keep every trial, print the table; 130 when interrupted."""
    variants = [find_variant(name) for name in _names(options.variants, list(VARIANTS))]
    recipes = [_recipe(name, options.data) for name in _names(options.recipes, [])]
    chosen = seeds.take(options.stream, _whole("--seeds", options.seeds))
    jobs = cores() if options.jobs is None else _whole("--jobs", options.jobs)
    output = Path(options.output)
    for recipe in recipes:
        load_examples(recipe)  # a missing file or too few digits is known before any process starts
    # Seed by seed, so that an interrupted study holds about equally many trials of every row.
    tasks = [
        Task(variant.name, partial(build, variant.architecture), recipe, seed)
        for seed in chosen
        for recipe in recipes
        for variant in variants
    ]
    done: list[Trial] = []
    interrupted = False
    try:
        with _progress(len(tasks), options.json) as advance:

            def keep(trial: Trial) -> None:
                done.append(trial)
                advance(trial)

            records = run_study(
                tasks,
                partial(process_executor, jobs),
                output / "ledger",
                reuse=not options.fresh,
                wave=TRIALS_PER_PROCESS * jobs,
                on_trial=keep,
            )
            for problem in records.problems:
                print(f"deepcaptcha: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        interrupted = True
        print(
            f"deepcaptcha: stopped with {len(done)} of {len(tasks)} trials; the same command goes on",
            file=sys.stderr,
        )
    _publish(done, variants, recipes, output, options)
    return 130 if interrupted else 0


def _publish(
    trials: Sequence[Trial],
    variants: Sequence[Variant],
    recipes: Sequence[Recipe],
    output: Path,
    options: argparse.Namespace,
) -> None:
    rows = [
        (variant, recipe, summarise(chosen))
        for recipe in recipes
        for variant in variants
        if (chosen := [t for t in trials if (t.name, t.recipe) == (variant.name, recipe.name)])
    ]
    tables = [
        _study_table(recipe, [row for row in rows if row[1] is recipe])
        for recipe in recipes
        if any(row[1] is recipe for row in rows)
    ]
    record = {
        "environment": environment.describe(),
        "stream": options.stream,
        "recipes": [recipe.as_dict() for recipe in recipes],
        "rows": [
            {
                "variant": variant.name,
                "recipe": recipe.name,
                "features_shape": variant.architecture.features_shape,
                "parameters": variant.architecture.parameters,
                "said": variant.said,
                **summary.as_dict(),
            }
            for variant, recipe, summary in rows
        ],
    }
    try:
        (output / "study.json").write_text(json.dumps(record, indent=2) + "\n")
        (output / "study.md").write_text("\n".join(table.as_markdown() for table in tables))
    except OSError as error:
        raise InputError(f"cannot write the table to {output}: {error.strerror}") from None
    if options.json:
        print(json.dumps(record, indent=2))
        return
    for table in tables:
        table.write(sys.stdout)
        print()
    print(f"Also in {output / 'study.md'} and study.json; every trial in {output / 'ledger'}.")


def _study_table(recipe: Recipe, rows: Sequence[tuple[Variant, Recipe, Summary]]) -> Table:
    pixels = "0..255" if recipe.scaling == "raw" else "0..1"
    target = f"{recipe.monitor} >= {recipe.target:.2f} within {recipe.epochs} epochs"
    return Table(
        f"{recipe.name}: {recipe.n_train:,} digits, pixels {pixels}, {target}",
        (
            Column("variant", prose=True),
            Column("last conv"),
            Column("parameters"),
            Column("converged"),
            Column("95 % interval"),
            Column("epochs"),
            Column("failures", prose=True),
            Column("what is said of it", prose=True),
        ),
        tuple(
            (
                variant.name,
                str(variant.architecture.features_shape),
                f"{variant.architecture.parameters:,}",
                f"{summary.converged} / {summary.trials}",
                interval_text(summary.interval),
                "" if summary.median_epochs is None else f"{summary.median_epochs:g}",
                summary.failures,
                variant.said,
            )
            for variant, _, summary in rows
        ),
    )


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Trial], None]]:
    """A live bar in a terminal, a plain line a trial elsewhere; both on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    def text(trial: Trial) -> str:
        return f"{trial.name} {trial.recipe} seed {trial.seed}: {trial.outcome}"

    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        count = 0

        def line(trial: Trial) -> None:
            nonlocal count
            count += 1
            if not quiet:
                print(f"[{count}/{total}] {text(trial)}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=total)
        yield lambda trial: progress.update(bar, advance=1, description=text(trial))


def _recipe(name: str, data: str | None) -> Recipe:
    recipe = find_recipe(name)
    return recipe if data is None else replace(recipe, data=data)


def _names(text: str | None, default: Sequence[str]) -> list[str]:
    if text is None:
        return list(default)
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError("an empty list of names; give names separated by commas")
    return names


def _whole(option: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise InputError(f"{option} is {text!r}; a whole number >= 1 is needed")
    return value
