"""What is told of the changes: a row each, totals, and their place in docs/verdicts.md."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from deepcaptcha.verdicts.plan import binomial_interval

from .changes import Change


@dataclass(frozen=True)
class Row:
    """What was said of a change.

    - `unchanged`: its repeated training agreed bit for bit with the record, so nothing was judged.
    - `colour`, `trainings`: of the verdict between samples; `refused`: why nothing was compared.
    - `paired`: the colour seed by seed; empty where that was not asked, or seeds do not pair.
    - `copies`: whether more of its examples are copies of others than recorded, which is told at once.
    - `measure`, `spreads`: which measure moved most surely, and how far, upwards.
    - `asserted`: whether a hand-written assertion fails on the first training.
    """

    name: str
    on: str
    harmless: bool
    bits: bool
    late: bool
    kept_back: bool
    unchanged: bool = False
    colour: str = "green"
    trainings: int = 0
    refused: str = ""
    paired: str = ""
    copies: bool = False
    measure: str = ""
    spreads: float = 0.0
    asserted: bool = False

    @property
    def seen(self) -> bool:
        """Between samples."""
        return self.colour in ("red", "yellow")

    @property
    def seen_at_last(self) -> bool:
        """Between samples, seed by seed, or by copies among its examples."""
        return self.seen or self.paired in ("red", "yellow") or self.copies


HEADER = """\
| what was changed | seen | trainings | what moved most surely | assert |
| --- | --- | --- | --- | --- |"""


def line(row: Row) -> str:
    """A row of the table."""
    by_numbers = row.seen or row.paired in ("red", "yellow")
    seen = row.colour if row.seen else f"{row.paired}, seed by seed" if by_numbers else "no"
    if row.copies and not by_numbers:
        seen = "yellow, by its copies"
    if row.unchanged:
        seen = "no: unchanged"
    told = f"{row.measure} {row.spreads:+.2g}" if row.measure and by_numbers else ""
    failed = "fails" if row.asserted else ""
    cells = (place(row), f"refused: {row.refused}" if row.refused else seen, row.trainings)
    return f"| {' | '.join(map(str, (*cells, told, failed)))} |"


def place(one: Row | Change) -> str:
    """Its name, with that of its data set where it is not of digits."""
    return one.name if one.on == "digits" else f"{one.name} ({one.on})"


def rate(count: int, of: int) -> str:
    """`38 of 40 (95 %, 83 to 99 %)`, the 95 % interval exact (Clopper and Pearson)."""
    low, high = binomial_interval(count, of)
    return f"{count} of {of} ({100 * count / of:.0f} %, {100 * low:.0f} to {100 * high:.0f} %)"


def harmful_lines(rows: Sequence[Row]) -> list[str]:
    """The totals of harmful changes."""
    seen, late = [row for row in rows if row.seen], [row for row in rows if row.late]
    counts = Counter(row.colour for row in seen)
    lines = [
        f"- seen between samples: {rate(len(seen), len(rows))}, red {counts['red']} and yellow "
        f"{counts['yellow']}, by {_median(seen)} trainings in the median"
    ]
    if late:
        acting = rate(sum(row.seen for row in late), len(late))
        lines.append(f"- of those that act after step 50 alone: {acting}")
    if any(row.paired for row in rows):
        at_last = rate(sum(row.seen_at_last for row in rows), len(rows))
        lines.append(
            f"- seen between samples, else seed by seed or by copies among the examples: {at_last}"
        )
    failing = rate(sum(row.asserted for row in rows), len(rows))
    return [*lines, f"- the hand-written assertion fails: {failing}"]


def harmless_lines(rows: Sequence[Row]) -> list[str]:
    """The totals of harmless changes."""
    return [
        f"- {name}: {rate(sum(map(chosen, rows)), len(rows))}"
        for name, chosen in (
            ("red", lambda row: "red" in (row.colour, row.paired)),
            ("yellow", lambda row: "yellow" in (row.colour, row.paired) or row.copies),
            ("unchanged, known from one training of 50 steps", lambda row: row.unchanged),
        )
    ]


def _median(rows: Sequence[Row]) -> str:
    return f"{statistics.median(row.trainings for row in rows):g}" if rows else "no"


def block(rows: Sequence[Row], lacking: Sequence[str] = ()) -> str:
    """Totals and tables, in three parts, and what is not judged yet."""
    parts = (
        ("Harmful changes", [r for r in rows if not r.harmless and not r.kept_back], harmful_lines),
        ("Those kept back", [r for r in rows if not r.harmless and r.kept_back], harmful_lines),
        ("Harmless changes", [r for r in rows if r.harmless], harmless_lines),
    )
    told = []
    for name, some, lines in parts:
        if some:
            told.append("\n".join((f"**{name}**", "", *lines(some), "", HEADER, *map(line, some))))
    if lacking:
        told.append(f"Not judged yet: {'; '.join(lacking)}.")
    return "\n\n".join(told)


BEGIN, END = "<!-- mutants -->\n", "<!-- end of mutants -->"


def put_between_markers(text: str, words: str) -> str:
    """The text with the words between its two markers; ValueError where these are not."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the markers {BEGIN.strip()} and, after it, {END} are needed once each")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{words}\n\n{END}{after}"
