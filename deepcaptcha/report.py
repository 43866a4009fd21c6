"""What people read: summaries of trials as a table in the terminal or as Markdown."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from .plan import binomial_interval
from .trial import Outcome, Trial

OUTCOMES: tuple[Outcome, ...] = ("converged", "stuck", "slow", "diverged")


@dataclass(frozen=True)
class Summary:
    """What a fixed number of trials shows.

    `interval` is Clopper and Pearson's exact 95 % interval for P(converge); `median_epochs` is over
    the converged trials, None without any; `epochs` were trained of `epochs_planned`.
    """

    trials: int
    converged: int
    interval: tuple[float, float]
    median_epochs: float | None
    outcomes: dict[str, int]
    epochs: int
    epochs_planned: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.__dict__, "interval": list(self.interval)}

    @property
    def failures(self) -> str:
        """The outcomes other than converged, such as `stuck 3, slow 1`."""
        return ", ".join(
            f"{outcome} {self.outcomes[outcome]}"
            for outcome in OUTCOMES[1:]
            if self.outcomes[outcome]
        )


def summarise(trials: Sequence[Trial]) -> Summary:
    """The summary of trials of one factory and recipe; at least one."""
    counts = Counter(trial.outcome for trial in trials)
    reached = [trial.epochs_to_target for trial in trials if trial.epochs_to_target is not None]
    return Summary(
        trials=len(trials),
        converged=counts["converged"],
        interval=binomial_interval(counts["converged"], len(trials)),
        median_epochs=statistics.median(reached) if reached else None,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        epochs=sum(len(trial.epochs) for trial in trials),
        epochs_planned=sum(int(trial.identity["recipe"]["epochs"]) for trial in trials),
        seconds=round(sum(trial.seconds for trial in trials), 1),
    )


def percent(share: float) -> str:
    """A share as whole percents, 0 and 100 only where it is exactly that."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


def interval_text(interval: tuple[float, float]) -> str:
    """An interval as percents, outward rounded to a tenth where it matters."""
    low, high = interval
    return f"{100 * low:.0f}-{100 * high:.0f} %"


@dataclass(frozen=True)
class Column:
    """A table's column; `prose` columns are left-aligned and may wrap."""

    title: str
    prose: bool = False


@dataclass(frozen=True)
class Table:
    """A table that reads the same in a terminal and as Markdown."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_markdown(self) -> str:
        """A GitHub table under its title as a heading."""
        lines = [
            f"## {self.title}",
            "",
            _markdown_row(column.title for column in self.columns),
            _markdown_row("---" if column.prose else "---:" for column in self.columns),
            *(_markdown_row(row) for row in self.rows),
        ]
        return "\n".join(lines) + "\n"

    def write(self, file: IO[str]) -> None:
        """Draw it as wide as the terminal allows; prose wraps, figures do not."""
        from rich.console import Console
        from rich.table import Table as RichTable

        console = Console(file=file, highlight=False)
        if not console.is_terminal:
            console.width = 160
        if console.width < _narrow(self):
            _write_records(self, file)
            return
        table = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for column in self.columns:
            table.add_column(
                column.title,
                justify="left" if column.prose else "right",
                no_wrap=not column.prose,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def _narrow(table: Table) -> int:
    """Columns a terminal needs so that no figure is cut and prose keeps a dozen letters."""
    widths = [
        max(len(cell) for cell in (column.title, *(row[i] for row in table.rows)))
        for i, column in enumerate(table.columns)
    ]
    kept = [
        min(width, 12) if column.prose else width
        for width, column in zip(widths, table.columns, strict=True)
    ]
    return sum(kept) + len(kept)


def _write_records(table: Table, file: IO[str]) -> None:
    """Too narrow for columns: one block a row, one line a figure."""
    file.write(f"{table.title}\n")
    for row in table.rows:
        file.write(f"\n{row[0]}\n")
        for column, cell in zip(table.columns[1:], row[1:], strict=True):
            if cell:
                file.write(f"  {column.title}: {cell}\n")


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
