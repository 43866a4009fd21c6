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
from statistics import fmean

from . import environment, seeds
from .baseline import make_baseline, write_baseline
from .comparison import compare, comparison_table, environments
from .errors import InputError
from .factory import build
from .ledger import Records, read_ledger
from .plan import (
    design_plan,
    exact_error_rates,
    fixed_plan,
    lower_bound,
    operating_characteristic,
    worst_expected_trials,
)
from .recipe import Recipe, find_recipe, load_examples
from .report import Column, Summary, Table, interval_text, summarise
from .study import REUSING_TRIALS_PER_PROCESS, Task, cores, process_executor, run_study
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
    # One recipe's variants take turns: a process keeps their traced models, and an interrupted study
    # holds about equally many trials of each.
    tasks = [
        Task(variant.name, partial(build, variant.architecture), recipe, seed, reuse_model=True)
        for recipe in recipes
        for seed in chosen
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
                wave=REUSING_TRIALS_PER_PROCESS * jobs,
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
    if done:
        _publish(done, variants, recipes, output, options)
    if options.record and not interrupted:
        _record(done, Path(options.record))
    return 130 if interrupted else 0


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


def plan(options: argparse.Namespace) -> int:
    """Print the plan for two rates: boundaries, achieved rates, cost in trials and minutes."""
    rates = [
        _number(f"--{name}", getattr(options, name.replace("-", "_")))
        for name in ("p-good", "p-bad", "alpha", "beta")
    ]
    most = None if options.max_trials is None else _whole("--max-trials", options.max_trials)
    chosen = design_plan(*rates, most)
    size, accept_at = fixed_plan(*rates)
    alpha, beta = exact_error_rates(chosen)
    good, bad = (operating_characteristic(chosen, p).expected_trials for p in rates[:2])
    worst_at, worst = worst_expected_trials(chosen)
    p_good, p_bad, *errors = rates
    bound = lower_bound(p_good, p_bad, errors[0], errors[1], chosen.max_trials)
    if options.json:
        record = {
            **chosen.__dict__,
            "declared_alpha": chosen.alpha,
            "declared_beta": chosen.beta,
            "alpha": float(alpha),
            "beta": float(beta),
            "expected_trials_good": good,
            "expected_trials_bad": bad,
            "worst_expected_trials": worst,
            "lower_bound": bound,
            "fixed_plan": {"trials": size, "accept_at": accept_at},
        }
        print(json.dumps(record, indent=2))
        return 0
    print(f"{'trials':>6}  {'green from':>10}  {'red up to':>9}")
    for trials in range(1, chosen.max_trials + 1):
        green, red = chosen.accept[trials], chosen.reject[trials]
        if green <= trials or red >= 0:
            print(
                f"{trials:>6}  {green if green <= trials else '-':>10}  {red if red >= 0 else '-':>9}"
            )

    print(f"false red    {float(alpha):.4%} at {p_good:g} (declared {chosen.alpha:.4%})")
    print(f"false green  {float(beta):.4%} at {p_bad:g} (declared {chosen.beta:.4%})")
    print(
        f"trials       {good:.2f} expected at {p_good:g}, {bad:.2f} at {p_bad:g}, "
        f"at most {worst:.2f} (at {worst_at:.2f}), never more than {chosen.max_trials}"
    )
    half = (good + bad) / 2
    print(
        f"             mean of the two {half:.3f}, {half / bound - 1:.2%} above the lower bound "
        f"{bound:.3f}; a fixed plan takes {size} (green from {accept_at})"
    )
    for recipe, seconds in _trial_seconds(Path(options.ledger)).items():
        print(
            f"minutes      {recipe}: {good * seconds / 60:.1f} expected, "
            f"{chosen.max_trials * seconds / 60:.1f} at most ({seconds:.1f} s a trial, one process)"
        )
    return 0


def _trial_seconds(ledger: Path) -> dict[str, float]:
    """Recipe -> mean seconds a trial, of what the ledger holds."""
    seconds: dict[str, list[float]] = {}
    for trial in read_ledger(ledger).trials:
        seconds.setdefault(trial.recipe, []).append(trial.seconds)
    return {recipe: fmean(values) for recipe, values in seconds.items()}


def compare_ledgers(options: argparse.Namespace) -> int:
    """Print what changed between two ledgers; 1 if a row trains less reliably."""
    before, after = (_full_ledger(Path(path)) for path in (options.before, options.after))
    rows = compare(before, after, paired=options.paired)
    worse = any(r.changed and r.after[0] / r.after[1] < r.before[0] / r.before[1] for r in rows)
    if options.json:
        print(
            json.dumps(
                {
                    "environment": environments(before, after),
                    "rows": [{**row.__dict__, "changed": row.changed} for row in rows],
                },
                indent=2,
            )
        )
        return int(worse)
    print(f"Environment: {environments(before, after)}")
    comparison_table(rows).write(sys.stdout)
    return int(worse)


def _full_ledger(path: Path) -> Records:
    records = read_ledger(path)
    if not records.trials:
        raise InputError(f"the ledger {path} holds no trials; give a study's ledger folder")
    for problem in records.problems:
        print(f"deepcaptcha: {problem}", file=sys.stderr)
    return records


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


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} is {text!r}; a number between 0 and 1 is needed") from None


def _whole(option: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise InputError(f"{option} is {text!r}; a whole number >= 1 is needed")
    return value
