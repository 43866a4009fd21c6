"""Baselines that a test records: of a row that has none, and of one whose change is accepted."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..errors import InputError
from ..keras import environment
from ..trials import seeds
from ..trials.runner import Reuse, Runner
from ..trials.source import Source, row_text
from ..verdicts.baseline import (
    TRIALS,
    Baseline,
    find_record,
    make_baseline,
    read_baseline,
    write_baseline,
    write_record,
)
from ..verdicts.confirm import choose_repetition, complete, confirm, difference_text, is_of_function
from ..verdicts.judge import accepted


def record_row(source: Source, folder: Path, runner: Runner, reuse: Reuse) -> Path:
    """Train a baseline's seeds and write them, beside the records of other processors; returns the
    file."""
    made = _recorded(source, TRIALS, runner, reuse)
    older = find_record(folder, source.name, source.recipe, made.environment)
    return write_record(folder, complete(made, older, partial(runner.run, source)))


def accept_row(source: Source, folder: Path, reason: str, runner: Runner, reuse: Reuse) -> str:
    """Replace the record whose numbers the row is compared with; returns old beside new, in words."""
    old = find_record(folder, source.name, source.recipe, environment.describe())
    made = _recorded(source, TRIALS if old is None else len(old.outcomes), runner, reuse)
    made = accepted(old, complete(made, old, partial(runner.run, source)), reason)
    in_folder = old == read_baseline(folder, source.name, source.recipe)
    path = (write_baseline if in_folder else write_record)(folder, made)
    told = "; ".join(made.accepted[-1]["lines"])
    return f"{row_text(source.name, source.recipe)} is accepted, {reason}: {told}. Commit {path}."


def _recorded(source: Source, count: int, runner: Runner, reuse: Reuse) -> Baseline:
    pairs = ((source, seed) for seed in seeds.take("baseline", count))
    made = make_baseline(runner.run_all(pairs, reuse=reuse))
    if is_of_function(made):  # which has promised that much and no more
        again = choose_repetition(made, made.digests.get("code", ""))
        repeated = runner.run(source, again.seed, reuse="never")
        found = confirm(made, again, repeated)
        if not found.unchanged:
            raise InputError(
                f"{source.name} does not repeat itself, as a baseline needs: seed {again.seed} "
                f"again gave {difference_text(found)}; seed all that is random from its argument, "
                "and use one thread"
            )
    return made
