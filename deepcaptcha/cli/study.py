"""`study`, `compare` and `report`: many trials, and what is read from a ledger of them."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, write_file
from ..keras import environment
from ..networks.variants import VARIANTS
from ..report.page import write_report
from ..report.table import Table, columns
from ..report.words import comparison_table, failures_text, interval_text
from ..trials import dask as cluster
from ..trials.history import symptom_lines
from ..trials.ledger import LedgerTrials, read_ledger
from ..trials.runner import Runner
from ..trials.seeds import take
from ..trials.source import Source
from ..trials.trial import Target, Trial
from ..trials.worker import cores
from ..verdicts.baseline import make_baseline, write_baseline
from ..verdicts.claim import summarise
from ..verdicts.comparison import compare as compare_ledgers
from ..verdicts.comparison import environments
from .arguments import Commands, add_command, names, program, share, whole
from .progress import trial_progress
from .subject import HELP, Subject, add_data, add_target, read_subject

Json = dict[str, Any]
Groups = dict[tuple[str, Target], list[tuple[Subject, Source]]]

_TIME_LIMIT = 3600  # seconds; no trial of the question's takes a tenth of it


def add_study(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(
        commands, "study", study, "Train networks over several seeds and print a table."
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=HELP)
    parser.add_argument(
        "--variants", metavar="A,B", type=names, help="default: all, where no network is named"
    )
    parser.add_argument(
        "--recipes", metavar="R,S", type=names, help="of variants; default raw-subset,sound-subset"
    )
    parser.add_argument(
        "--seeds", metavar="N", type=whole(), default=5, help="trials of each row; default 5"
    )
    share(parser, stream="pilot", jobs=None, output=Path("build/study"))
    parser.add_argument(
        "--executor",
        metavar="E",
        type=_executor,
        default="process",
        help="process (default), dask (workers of its own on this machine, --jobs of them) or "
        "dask:ADDRESS of a scheduler such as dask:tcp://10.0.0.1:8786, its workers started with "
        "--nthreads 1 (needs the extra dask)",
    )
    parser.add_argument(
        "--time-limit",
        metavar="S",
        type=whole(),
        help=f"seconds that a trial may take in a process; default {_TIME_LIMIT}",
    )
    parser.add_argument("--fresh", action="store_true", help="train again what the ledger holds")
    parser.add_argument("--symptoms", action="store_true", help="measure symptoms too (own ledger)")
    parser.add_argument(
        "--baselines", metavar="DIR", type=Path, help="write each row as a baseline to this folder"
    )
    add_data(parser)
    add_target(parser)


def _executor(text: str) -> str:
    """The type of executors: `process`, `dask` or `dask:ADDRESS`."""
    kind, _, address = text.partition(":")
    if text not in ("process", "dask") and not (kind == "dask" and address):
        raise ArgumentTypeError(
            f"{text!r} is no executor; process, dask or dask:ADDRESS is needed, such as "
            "dask:tcp://127.0.0.1:8786"
        )
    return text


def study(options: Namespace) -> int:
    """Train networks x seeds, keep every trial, print the table; 130 when interrupted."""
    seeds = take(options.stream, options.seeds)
    # Trials with symptoms are records of their own: an older one without would stand in for them.
    ledger = options.output / ("symptoms" if options.symptoms else "ledger")
    make_runner = _runner(options, ledger)
    groups = _groups(options)
    # A group takes turns: a process keeps its traced models, and an interrupted study holds about
    # equally many trials of each.
    wanted = [(source, seed) for group in groups.values() for seed in seeds for _, source in group]
    done: list[Trial] = []
    interrupted = False
    try:
        with trial_progress(len(wanted), options.json) as advance:

            def keep(trial: Trial) -> None:
                done.append(trial)
                advance(trial)

            with make_runner(on_trial=keep) as runner:
                runner.run_all(wanted)
            for problem in runner.problems:
                print(f"deepcaptcha: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        interrupted = True
        print(
            f"deepcaptcha: stopped with {len(done)} of {len(wanted)} trials; the same command goes on",
            file=sys.stderr,
        )
    # Whatever order they finished in, they are read in the order in which they were wanted.
    place = {(source.name, source.recipe, seed): at for at, (source, seed) in enumerate(wanted)}
    done.sort(key=lambda trial: place[trial.name, trial.recipe, trial.seed])
    rows: dict[tuple[str, str], list[Trial]] = {}
    for trial in done:
        rows.setdefault((trial.name, trial.recipe), []).append(trial)
    if rows:
        _publish(groups, rows, ledger, options)
    if options.baselines and not interrupted:
        for chosen in rows.values():
            write_baseline(options.baselines, make_baseline(chosen))
        print(f"{len(rows)} baselines written to {options.baselines}.", file=sys.stderr)
    return 130 if interrupted else 0


def _groups(options: Namespace) -> Groups:
    """What is to be studied, by recipe and target: a table each."""
    texts = options.networks
    if not texts:
        texts = [
            f"{variant}:{recipe}"
            for recipe in options.recipes or ("raw-subset", "sound-subset")
            for variant in options.variants or VARIANTS
        ]
    elif options.variants or options.recipes:
        raise InputError("give networks, or --variants and --recipes, not both")
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
    kind, _, address = options.executor.partition(":")
    if address and options.jobs is not None:
        raise InputError("--jobs is for this machine; a scheduler has workers of its own")
    jobs = cores() if options.jobs is None else options.jobs
    run_in = partial(Runner, ledger, reuse=not options.fresh)
    if kind == "process":
        return partial(run_in, jobs=jobs, time_limit=options.time_limit or _TIME_LIMIT)
    if options.time_limit is not None:
        raise InputError("--time-limit is for processes; Dask's workers have none")
    cluster.require_extra()
    where = (address, None) if address else (None, jobs)
    return partial(run_in, executors=partial(cluster.dask_executor, *where))


def _publish(
    groups: Groups, rows: dict[tuple[str, str], list[Trial]], ledger: Path, options: Namespace
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
    symptoms = symptom_lines([trial for chosen in rows.values() for trial in chosen])
    record = {
        "environment": environment.describe(),
        "stream": options.stream,
        "recipes": settings,
        "symptoms": symptoms,
        "rows": records,
    }
    page = "\n".join([table.as_markdown() for table in tables] + [f"{s}.\n" for s in symptoms])
    write_file(options.output / "study.json", json.dumps(record, indent=2) + "\n", "the table")
    write_file(options.output / "study.md", page, "the table")
    if options.json:
        print(json.dumps(record, indent=2))
        return
    for table in tables:
        table.write(sys.stdout)
        print()
    for line in symptoms:
        print(f"{line}.\n")
    print(f"Also in {options.output / 'study.md'} and study.json; every trial in {ledger}.")
    print(f"As a page: {program()} report --ledger {ledger}")


def _facts(subject: Subject) -> Json:
    """What can be said of it before it is trained."""
    if subject.known is None:
        return {"features_shape": None, "parameters": None, "said": ""}
    variant, recipe = subject.known
    architecture = recipe.fit(variant.architecture)
    return {
        "features_shape": architecture.features_shape,
        "parameters": architecture.parameters,
        "said": variant.said,
    }


def _table(first: Subject, target: Target, rows: Sequence[Json]) -> Table:
    """Of one recipe, a line a network."""
    title = rows[0]["recipe"]
    if first.known is not None:
        _, recipe = first.known
        title += f": {recipe.n_train:,} images, pixels {recipe.pixels}"
    sign = ">=" if target.mode == "max" else "<="
    table = Table(
        f"{title}, {target.monitor} {sign} {target.value:.2f} within {target.epochs} epochs",
        columns(
            *("<variant", "last conv", "parameters", "converged", "95 % interval", "epochs"),
            *("<failures", "<what is said of it"),
        ),
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


def add_compare(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(commands, "compare", compare, "Say what changed between two ledgers.")
    parser.add_argument("before", metavar="A", type=Path, help="a ledger's folder or file")
    parser.add_argument("after", metavar="B", type=Path, help="another")
    parser.add_argument(
        "--paired", action="store_true", help="pair equal seeds where they began with equal weights"
    )


def compare(options: Namespace) -> int:
    """Print what changed between two ledgers; 1 if a row trains less reliably."""
    before, after = _full_ledger(options.before), _full_ledger(options.after)
    rows = compare_ledgers(before, after, paired=options.paired)
    told = environments(before, after)
    if options.json:
        records = [{**row.__dict__, "changed": row.changed} for row in rows]
        print(json.dumps({"environment": told, "rows": records}, indent=2))
    else:
        print(f"Environment: {told}")
        comparison_table(rows).write(sys.stdout)
    return int(any(row.worse for row in rows))


def _full_ledger(path: Path) -> LedgerTrials:
    records = read_ledger(path)
    if not records.trials:
        raise InputError(f"the ledger {path} holds no trials; give a study's ledger folder")
    for problem in records.problems:
        print(f"deepcaptcha: {problem}", file=sys.stderr)
    return records


def add_report(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(
        commands, "report", report, "Write an HTML report on the trials of a ledger."
    )
    share(parser, ledger=Path("build/study/ledger"))
    parser.add_argument(
        "--page",
        metavar="FILE",
        type=Path,
        default=Path("build/report.html"),
        help="default build/report.html",
    )


def report(options: Namespace) -> int:
    """Write the HTML report on a ledger and say where it is."""
    page, ledger = options.page, options.ledger
    words = [*program().split(), "report", "--ledger", str(ledger), "--page", str(page)]
    rows = write_report(page, ledger, shlex.join(words))
    trials = sum(len(row.trials) for row in rows)
    if options.json:
        print(json.dumps({"report": str(page), "rows": len(rows), "trials": trials}, indent=2))
    else:
        print(f"{page}: {len(rows)} rows, {trials} trials.")
    return 0
