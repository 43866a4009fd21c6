"""What is said on standard error: problems, and how far many trials or measurements have come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from ..errors import printable
from ..trials.trial import Trial


def warn(*problems: str) -> None:
    """A line each, beside what is printed."""
    for problem in problems:
        print(f"deepcaptcha: {printable(problem)}", file=sys.stderr)


def say(*lines: str) -> None:
    """A line each, harmless whatever names are in it."""
    for line in lines:
        print(printable(line, keep="\n"), flush=True)


@contextmanager
def trial_progress(
    total: int | None, quiet: bool, done: list[Trial]
) -> Iterator[Callable[[Trial], None]]:
    """As `shown_progress`, a trial at a time, each of which joins those that are `done`."""
    with shown_progress(total, quiet) as advance:

        def show(trial: Trial) -> None:
            done.append(trial)
            advance(f"{trial.name} {trial.recipe} seed {trial.seed}: {trial.outcome}")

        yield show


@contextmanager
def shown_progress(total: int | None, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A live bar in a terminal, a plain line for each thing done elsewhere; both on standard error.
    `total`: of things to do, None where it is not known beforehand."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    # Where colours are forced Rich takes any log for a terminal; a dumb one cannot move its cursor.
    if quiet or not sys.stderr.isatty() or console.is_dumb_terminal:
        of = "" if total is None else f"/{total}"
        places = count(1)

        def line(text: str) -> None:
            if not quiet:
                print(f"[{next(places)}{of}] {printable(text)}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.description}", markup=False),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda text: bar.update(task, advance=1, description=printable(text))
