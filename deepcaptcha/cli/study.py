"""`study`: many trials, each kept, and a table of them."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, write_file
from ..keras import environment
from ..networks.variants import VARIANTS
from ..report.table import Table, columns, markdown
from ..report.words import failures_text, interval_text, recorded_text
from ..trials import dask as cluster
from ..trials.draws import require_draws, same_start
from ..trials.history import symptom_lines
from ..trials.runner import LostTrialError, Runner
from ..trials.seeds import take
from ..trials.source import Source
from ..trials.trial import Target, Trial
from ..trials.worker import cores
from ..verdicts.baseline import find_record, make_baseline, write_record
from ..verdicts.claim import summarise
from ..verdicts.confirm import complete
from .arguments import (
    FRESH,
    TARGET,
    command,
    executor,
    flag,
    names,
    option,
    program,
    shared,
    whole_number,
)
from .progress import say, trial_progress, warn
from .ruler import measure_rounding
from .subject import HELP, Subject, read_subject

Json = dict[str, Any]
Groups = dict[tuple[str, Target], list[tuple[Subject, Source]]]
Rows = dict[tuple[str, str], list[Trial]]

_TIME_LIMIT = 3600  # seconds; no trial of the question's takes a tenth of it
_LIMITED = f"seconds that a trial may take in a process; default {_TIME_LIMIT}"


@command(
    "Train networks over several seeds and print a table.",
    option("networks", HELP, "NETWORK", nargs="*"),
    option("--variants", "default: all, where no network is named", "A,B", names),
    option("--recipes", "of variants; default raw-subset,sound-subset", "R,S", names),
    option("--seeds", "trials of each row", "N", whole_number(), 5),
    *shared(stream="pilot", jobs=None, output=Path("build/study")),
    option(
        "--executor",
        "process (default), dask (workers of its own on this machine, --jobs of them) or "
        "dask:ADDRESS of a scheduler such as dask:tcp://10.0.0.1:8786, its workers started with "
        "--nthreads 1 (needs the extra dask)",
        "E",
        executor,
    ),
    option("--time-limit", _LIMITED, "S", whole_number()),
    FRESH,
    flag("--symptoms", "measure symptoms too (own ledger)"),
    option("--baselines", "write each row as a baseline to this folder", "DIR", Path),
    flag(
        "--ruler",
        "train the first --seeds of the records in --baselines again in other arithmetics, and write "
        "there how far that moved their measures",
    ),
    *shared("data", *TARGET),
)
def study(options: Namespace) -> int:
    """Train networks x seeds, keep every trial, print the table; 130 when interrupted."""
    if options.ruler:
        sources = [source for group in _groups(options).values() for _, source in group]
        return measure_rounding(options, sources, options.time_limit or _TIME_LIMIT)
    seeds = take(options.stream, options.seeds)
    # Trials with symptoms are records of their own: an older one without would stand in for them.
    ledger = options.output / ("symptoms" if options.symptoms else "ledger")
    make_runner = _runner(options, ledger)
    groups = _groups(options)
    # A group takes turns: a process keeps its traced models, and an interrupted study holds about
    # equally many trials of each.
    wanted = [(source, seed) for group in groups.values() for seed in seeds for _, source in group]
    done: list[Trial] = []
    lost: list[LostTrialError] = []
    code = 0
    try:
        with (
            trial_progress(len(wanted), options.json, done) as advance,
            make_runner(on_trial=advance) as runner,
        ):
            try:
                with suppress(LostTrialError):
                    runner.run_all(wanted)
            finally:
                warn(*runner.problems)
            lost = runner.lost
    except KeyboardInterrupt:
        code = 130
        warn(f"stopped with {len(done)} of {len(wanted)} trials; the same command goes on")
    # Whatever order they finished in, they are read in the order in which they were wanted.
    found = {(trial.name, trial.recipe, trial.seed): trial for trial in done}
    rows: Rows = {}
    for source, seed in wanted:
        if trial := found.get((source.name, source.recipe, seed)):
            rows.setdefault((source.name, source.recipe), []).append(trial)
    notes, refused = _notes(rows)
    if rows or lost:
        _publish(groups, rows, lost, notes, options)
        if not options.json:
            end = f"; {recorded_text([runner.recorded])}" if runner.recorded else ""
            say(f"Every trial in {ledger}{end}.")
            say(f"As a page: {shlex.join([*program().split(), 'report', '--ledger', str(ledger)])}")
    if lost or refused:
        warn(*map(str, lost), *refused)
        return 2
    if options.baselines and not code:
        _record([source for group in groups.values() for _, source in group], rows, options)
        print(f"{len(rows)} baselines written to {options.baselines}.", file=sys.stderr)
    return code


def _notes(rows: Rows) -> tuple[list[str], list[str]]:
    """What is to be said of where trials start, and of those that are no evidence."""
    notes, refused = [], []
    for (name, recipe), trials in rows.items():
        if said := same_start(trial.identity.get("initial_weights", "") for trial in trials):
            notes.append(f"{name} under {recipe}: {said}")
        try:
            require_draws(trials)
        except InputError as error:
            refused.append(str(error))
    return notes, refused


def _record(sources: Sequence[Source], rows: Rows, options: Namespace) -> None:
    """Write each row's baseline, with the prefix by which it is confirmed later."""
    folder = options.baselines
    with Runner(jobs=1) as runner:
        for source in sources:
            made = make_baseline(rows[source.name, source.recipe])
            older = find_record(folder, source.name, source.recipe, made.environment)
            write_record(folder, complete(made, older, partial(runner.run, source)))


def _groups(options: Namespace) -> Groups:
    """What is to be studied, by recipe and target: a table each."""
    texts = options.networks
    if texts and (options.variants or options.recipes):
        raise InputError("give networks, or --variants and --recipes, not both")
    recipes = options.recipes or ("raw-subset", "sound-subset")
    texts = texts or [f"{v}:{recipe}" for recipe in recipes for v in options.variants or VARIANTS]
    # Every name is looked up before anything is loaded.
    subjects = [read_subject(text, options.data) for text in dict.fromkeys(texts)]
    groups: Groups = {}
    places = set()
    for subject in subjects:
        source = subject.source(options)
        place = source.name, source.recipe
        if place in places:
            raise InputError(f"{' under '.join(place)} is named twice; give each row its own name")
        places.add(place)
        row = subject, _with_symptoms(source) if options.symptoms else source
        groups.setdefault((source.recipe, source.target), []).append(row)
    return groups


def _with_symptoms(source: Source) -> Source:
    from ..diagnosis.probes import SYMPTOMS
    from ..keras.source import KerasSource

    if not isinstance(source, KerasSource):
        raise InputError(f"symptoms are measured on Keras models, and {source.name} is none")
    return replace(source, probes=SYMPTOMS)


def _runner(options: Namespace, ledger: Path) -> partial[Runner]:
    """What --executor, --jobs and --time-limit name."""
    kind, _, address = (options.executor or "process").partition(":")
    if address and options.jobs is not None:
        raise InputError("--jobs is for this machine; a scheduler has workers of its own")
    jobs = options.jobs or cores()
    run_in = partial(Runner, ledger, reuse=not options.fresh)
    if kind == "process":
        return partial(run_in, jobs=jobs, time_limit=options.time_limit or _TIME_LIMIT)
    if options.time_limit is not None:
        raise InputError("--time-limit is for processes; Dask's workers have none")
    cluster.require_extra()
    if not address:
        warn(cluster.TRUST)
    where = (address, None) if address else (None, jobs)
    return partial(run_in, executors=partial(cluster.dask_executor, *where))


def _publish(
    groups: Groups,
    rows: Rows,
    lost: Sequence[LostTrialError],
    notes: Sequence[str],
    options: Namespace,
) -> None:
    records: list[Json] = []
    settings, tables = [], []
    for (recipe, target), group in groups.items():
        found = [
            {
                "variant": source.name,
                "recipe": recipe,
                **_facts(subject),
                **summarise(rows[source.name, recipe]).as_dict(),
            }
            for subject, source in group
            if (source.name, recipe) in rows
        ]
        if found:
            records += found
            settings.append(dict(rows[found[0]["variant"], recipe][0].settings))
            tables.append(_table(group[0][0], target, found))
    symptoms = [*notes, *symptom_lines([trial for chosen in rows.values() for trial in chosen])]
    failed = [{name: vars(each)[name] for name in _FAILED} for each in lost]
    record = {
        "environment": environment.describe(),
        "stream": options.stream,
        "recipes": settings,
        "symptoms": symptoms,
        "rows": records,
        "failed": failed,
    }
    text = json.dumps(record, indent=2)
    said = [f"{markdown(line)}.\n" for line in (*symptoms, *map(str, lost))]
    page = "\n".join([*(table.as_markdown() for table in tables), *said])
    write_file(options.output / "study.json", text + "\n", "the table")
    write_file(options.output / "study.md", page, "the table")
    if options.json:
        print(text)
        return
    for table in tables:
        table.write(sys.stdout)
        print()
    for line in symptoms:
        say(f"{line}.\n")
    say(f"Also in {options.output / 'study.md'} and study.json.")


_FAILED = ("name", "recipe", "seed", "reason")


def _facts(subject: Subject) -> Json:
    """What can be said of it before it is trained."""
    if subject.known is None:
        return {"features_shape": None, "parameters": None, "said": ""}
    variant, recipe = subject.known
    fit = recipe.fit(variant.architecture)
    return {
        "features_shape": fit.features_shape,
        "parameters": fit.parameters,
        "said": variant.said,
    }


def _table(first: Subject, target: Target, rows: Sequence[Json]) -> Table:
    """Of one recipe, a line a network."""
    title = rows[0]["recipe"]
    if first.known is not None:
        _, recipe = first.known
        title += f": {recipe.n_train:,} images, pixels {recipe.pixels}"
    sign = ">=" if target.mode == "max" else "<="
    titles = ("<variant", "last conv", "parameters", "converged", "95 % interval", "epochs")
    table = Table(
        f"{title}, {target.monitor} {sign} {target.value:.2f} within {target.epochs} epochs",
        columns(*titles, "<failures", "<what is said of it"),
        tuple(
            (
                row["variant"],
                str(row["features_shape"] or ""),
                "" if row["parameters"] is None else f"{row['parameters']:,}",
                f"{row['converged']} / {row['trials']}",
                interval_text(tuple(row["interval"])),
                "" if row["median_epochs"] is None else f"{row['median_epochs']:g}",
                failures_text(row["outcomes"]),
                row["said"],
            )
            for row in rows
        ),
    )
    return table if first.known is not None else table.without_empty_columns()
