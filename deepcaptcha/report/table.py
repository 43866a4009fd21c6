"""Tables that read the same in a terminal, wide or narrow, and as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import IO

from ..errors import printable

LOG_WIDTH = 80
"""Columns of a table that is not written to a terminal."""


_MARKS = re.compile(r"[\\`*\[|~$]|(?<!\w)_|_(?!\w)|<(?=[\w/!?])|&(?=[\w#])")


def markdown(text: str) -> str:
    """The text in a line of GitHub's Markdown, where no letter of it has a meaning."""
    return _MARKS.sub(r"\\\g<0>", printable(text))


def code(text: str) -> str:
    """The same as code, of which nothing has a meaning but what ends it."""
    return f"`{printable(text).replace('`', chr(39))}`"


@dataclass(frozen=True)
class Column:
    """A table's column; `prose` columns are left-aligned and may wrap, but for the first."""

    title: str
    prose: bool = False


def columns(*titles: str) -> tuple[Column, ...]:
    """A column for each title, of prose where the title starts with `<`, which is left out."""
    return tuple(Column(title.removeprefix("<"), title.startswith("<")) for title in titles)


@dataclass(frozen=True)
class Table:
    """A table that reads the same in a terminal and as Markdown; where it is too wide, the columns named
    by `spare` are left out, one after another, until it fits. Whatever its cells hold, each is one
    line."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    spare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = tuple(tuple(map(printable, row)) for row in self.rows)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "title", printable(self.title))

    def without_empty_columns(self) -> Table:
        """The same without columns in which no row says anything."""
        return self._with(i for i in range(len(self.columns)) if any(row[i] for row in self.rows))

    def _without(self, title: str) -> Table:
        places = [i for i, column in enumerate(self.columns) if column.title != title]
        return replace(self._with(places), spare=self.spare[1:])

    def _with(self, places: Iterable[int]) -> Table:
        kept = list(places)
        rows = (tuple(row[i] for i in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=tuple(rows))

    def as_markdown(self) -> str:
        """A GitHub table under its title as a heading."""
        return f"## {markdown(self.title)}\n\n{self.as_markdown_rows()}"

    def as_markdown_rows(self, cell: Callable[[str], str] = markdown) -> str:
        """The GitHub table alone; `cell` makes Markdown of a title or cell that is none."""
        rows = (
            [cell(column.title) for column in self.columns],
            ["---" if column.prose else "---:" for column in self.columns],
            *(map(cell, row) for row in self.rows),
        )
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def write(self, file: IO[str]) -> None:
        """Draw it as wide as the terminal allows; prose wraps, figures do not."""
        from rich.console import Console
        from rich.table import Table as RichTable

        # A name is no markup, and a log no terminal, also where colours are asked for.
        console = Console(file=file, highlight=False, markup=False, emoji=False)
        if not file.isatty():
            console.width = LOG_WIDTH
        shown = self
        while (widths := _widths(shown, console.width)) is None and shown.spare:
            shown = shown._without(shown.spare[0])
        if widths is None:
            _write_records(self, file, console.width)
            return
        table = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for column, width in zip(shown.columns, widths, strict=True):
            table.add_column(
                column.title,
                justify="left" if column.prose else "right",
                width=width,
                overflow="fold",
            )
        for row in shown.rows:
            table.add_row(*row)
        console.print(table)


def _widths(table: Table, available: int) -> list[int] | None:
    """Each column's, in a terminal of so many, or None where that is too narrow: no figure is cut, and
    of prose no word of up to 12 letters; what wants least beyond that has it first."""
    from rich.cells import cell_len

    widths: list[int] = []
    wanted: list[int] = []
    for place, column in enumerate(table.columns):
        cells = [column.title, *(row[place] for row in table.rows)]
        words = [word for cell in cells for word in cell.split()]
        whole = max(map(cell_len, cells))
        least = min(12, max(map(cell_len, words), default=0)) if column.prose and place else whole
        widths.append(least)
        wanted.append(whole - least)
    left = available - sum(widths) - 2 * (len(widths) - 1)
    for place in sorted(range(len(widths)), key=wanted.__getitem__):
        more = min(wanted[place], max(left, 0))
        widths[place] += more
        left -= more
    return widths if left >= 0 else None


def _write_records(table: Table, file: IO[str], width: int) -> None:
    """Too narrow for columns: one block a row, one line a figure."""
    file.write(f"{table.title}\n")
    for row in table.rows:
        file.write(f"\n{row[0]}\n")
        for column, cell in zip(table.columns[1:], row[1:], strict=True):
            if cell:
                text = f"  {column.title}: {cell}"
                file.write(textwrap.fill(text, max(width, 20), subsequent_indent="    ") + "\n")
