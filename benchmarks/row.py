"""A row of the benchmark: this project, its peer, and the words that say how both were measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deepcaptcha.report.table import Table, columns

from .processes import Measured


@dataclass(frozen=True)
class Row:
    """`ours` and `peer` in `unit`; `ratio` says how many times better ours is, whether that means more
    or less; `how` says what both are."""

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    how: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, figures to four digits."""
        figures = {key: float(f"{getattr(self, key):.4g}") for key in ("ours", "peer", "ratio")}
        return {**asdict(self), **figures}


def more_is_better(name: str, ours: float, peer: float, unit: str, how: str) -> Row:
    """A row whose ratio is ours / peer."""
    return Row(name, ours, peer, ours / peer, unit, how)


def less_is_better(name: str, ours: float, peer: float, unit: str, how: str) -> Row:
    """A row whose ratio is peer / ours."""
    return Row(name, ours, peer, peer / ours, unit, how)


@dataclass(frozen=True)
class Benchmark:
    """A row to measure: from the turns of the `teams` it names, or, with none, by itself.

    `measure` raises Skip where the machine lacks something; `on_request` benchmarks run only where
    they are named.
    """

    name: str
    measure: Callable[[Mapping[str, Measured]], Row]
    teams: tuple[str, ...] = ()
    on_request: bool = False


def table(rows: Sequence[Row]) -> Table:
    """All rows as one table."""
    return Table(
        "Benchmarks: ratio says how many times better than the peer",
        columns("<row", "ours", "peer", "ratio", "<unit", "<how"),
        tuple(
            (row.name, f"{row.ours:.4g}", f"{row.peer:.4g}", f"{row.ratio:.3g}", row.unit, row.how)
            for row in rows
        ),
    )
