"""How far many trials have come, while they run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .trial import Trial


@contextmanager
def trial_progress(total: int | None, quiet: bool) -> Iterator[Callable[[Trial], None]]:
    """A live bar in a terminal, a plain line a trial elsewhere; both on standard error. `total`: of
    trials, None where it is not known beforehand."""
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
                place = f"{count}" if total is None else f"{count}/{total}"
                print(f"[{place}] {text(trial)}", file=sys.stderr, flush=True)

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
