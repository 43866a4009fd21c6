"""`python -m deepcaptcha study`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError
from ..keras import environment
from ..networks.build import build, fit_to
from ..networks.recipes import Recipe, find_recipe, load_examples
from ..networks.variants import VARIANTS, Variant, find_variant
from ..report.table import Table, columns
from ..report.words import Summary, failures_text, interval_text, summarise
from ..trials import dask as cluster
from ..trials import seeds
from ..trials.history import symptom_lines
from ..trials.runner import (
    REUSING_TRIALS_PER_PROCESS,
    Executors,
    Task,
    cores,
    process_executor,
    run_study,
)
from ..trials.trial import Trial
from ..verdicts.baseline import make_baseline, write_baseline
from .options import names, whole
from .progress import trial_progress


def study(options: argparse.Namespace) -> int:
    """Train variants x recipes x seeds, keep every trial, print the table; 130 when interrupted."""
    variants = [find_variant(name) for name in names(options.variants, list(VARIANTS))]
    recipes = [find_recipe(name, options.data) for name in names(options.recipes, [])]
    chosen = seeds.take(options.stream, whole("--seeds", options.seeds))
    executors, wave = _executors(options.executor, options.jobs)
    output = Path(options.output)
    # Trials with symptoms are records of their own: an older one without would stand in for them.
    ledger = output / ("symptoms" if options.symptoms else "ledger")
    for recipe in recipes:
        load_examples(recipe)  # a missing file or too few digits is known before any process starts
    # One recipe's variants take turns: a process keeps their traced models, and an interrupted study
    # holds about equally many trials of each.
    tasks = [
        Task(
            variant.name,
            partial(build, variant.architecture),
            recipe,
            seed,
            reuse_model=True,
            symptoms=options.symptoms,
        )
        for recipe in recipes
        for seed in chosen
        for variant in _fitted(variants, recipe)
    ]
    done: list[Trial] = []
    interrupted = False
    try:
        with trial_progress(len(tasks), options.json) as advance:

            def keep(trial: Trial) -> None:
                done.append(trial)
                advance(trial)

            records = run_study(
                tasks,
                executors,
                ledger,
                reuse=not options.fresh,
                wave=wave,
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
    # Whatever order they finished in, they are read in the order of the tasks.
    place = {(task.name, task.recipe.name, task.seed): row for row, task in enumerate(tasks)}
    done.sort(key=lambda trial: place[trial.name, trial.recipe, trial.seed])
    if done:
        _publish(done, variants, recipes, output, ledger, options)
    if options.record and not interrupted:
        _record(done, Path(options.record))
    return 130 if interrupted else 0


def _executors(text: str, jobs_text: str | None) -> tuple[Executors, int | None]:
    """What --executor names, and after how many trials it is made anew (None: never)."""
    kind, _, address = text.partition(":")
    if kind not in ("process", "dask") or (text != kind and not (kind == "dask" and address)):
        raise InputError(
            f"--executor is {text!r}; process, dask or dask:ADDRESS is needed, "
            "such as dask:tcp://127.0.0.1:8786"
        )
    if kind == "dask":
        cluster.require_extra()
    if address:
        if jobs_text is not None:
            raise InputError("--jobs is for this machine; a scheduler has workers of its own")
        return partial(cluster.dask_executor, address), None
    jobs = cores() if jobs_text is None else whole("--jobs", jobs_text)
    executor = process_executor if kind == "process" else partial(cluster.dask_executor, None)
    return partial(executor, jobs), REUSING_TRIALS_PER_PROCESS * jobs


def _record(trials: Sequence[Trial], folder: Path) -> None:
    rows: dict[tuple[str, str], list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.seed):
        rows.setdefault((trial.name, trial.recipe), []).append(trial)
    for row in rows.values():
        write_baseline(folder, make_baseline(row))
    print(f"{len(rows)} baselines written to {folder}.", file=sys.stderr)


def _publish(
    trials: Sequence[Trial],
    variants: Sequence[Variant],
    recipes: Sequence[Recipe],
    output: Path,
    ledger: Path,
    options: argparse.Namespace,
) -> None:
    rows = [
        (variant, recipe, summarise(chosen))
        for recipe in recipes
        for variant in _fitted(variants, recipe)
        if (chosen := [t for t in trials if (t.name, t.recipe) == (variant.name, recipe.name)])
    ]
    tables = [
        _study_table(recipe, [row for row in rows if row[1] is recipe])
        for recipe in recipes
        if any(row[1] is recipe for row in rows)
    ]
    symptoms = symptom_lines(trials)
    record = {
        "environment": environment.describe(),
        "stream": options.stream,
        "recipes": [recipe.as_dict() for recipe in recipes],
        "symptoms": symptoms,
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
        (output / "study.md").write_text(
            "\n".join([table.as_markdown() for table in tables] + [f"{s}.\n" for s in symptoms])
        )
    except OSError as error:
        raise InputError(f"cannot write the table to {output}: {error.strerror}") from None
    if options.json:
        print(json.dumps(record, indent=2))
        return
    for table in tables:
        table.write(sys.stdout)
        print()
    for line in symptoms:
        print(f"{line}.\n")
    print(f"Also in {output / 'study.md'} and study.json; every trial in {ledger}.")
    print(f"As a page: python -m deepcaptcha report --ledger {ledger}")


def _study_table(recipe: Recipe, rows: Sequence[tuple[Variant, Recipe, Summary]]) -> Table:
    target = f"{recipe.monitor} >= {recipe.target:.2f} within {recipe.epochs} epochs"
    return Table(
        f"{recipe.name}: {recipe.n_train:,} images, pixels {recipe.pixels}, {target}",
        columns(
            "<variant",
            "last conv",
            "parameters",
            "converged",
            "95 % interval",
            "epochs",
            "<failures",
            "<what is said of it",
        ),
        tuple(
            (
                variant.name,
                str(variant.architecture.features_shape),
                f"{variant.architecture.parameters:,}",
                f"{summary.converged} / {summary.trials}",
                interval_text(summary.interval),
                "" if summary.median_epochs is None else f"{summary.median_epochs:g}",
                failures_text(summary.outcomes),
                variant.said,
            )
            for variant, _, summary in rows
        ),
    )


def _fitted(variants: Sequence[Variant], recipe: Recipe) -> list[Variant]:
    return [replace(v, architecture=fit_to(v.architecture, recipe)) for v in variants]
