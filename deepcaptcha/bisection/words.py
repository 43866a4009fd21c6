"""What a bisection found, as a table and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..finding import percent
from ..report.table import Table, columns
from ..report.words import failures_text, interval_text
from .bisect import Bisection, Cell
from .differences import Difference
from .search import MinimalSet

_ANSWERS = {"trains": "trains", "fails": "does not train", "undecided": "is undecided"}


def cell_table(found: Bisection) -> Table:
    """One line a cell."""
    return Table(
        f"From {found.a} to {found.b}",
        columns(f"<taken from {found.b}", "converged", "95 % interval", "<failures", "<answer"),
        tuple(
            (
                _taken(cell, found),
                f"{cell.converged} / {cell.trials}",
                "" if cell.interval is None else interval_text(cell.interval),
                failures_text(cell.outcomes) if cell.trials else "",
                f"{cell.answer}: {cell.note}" if cell.note else cell.answer,
            )
            for cell in found.cells
        ),
    )


def _taken(cell: Cell, found: Bisection) -> str:
    if not cell.taken:
        return f"nothing: {found.a}"
    if len(cell.taken) == len(found.differences):
        return f"all: {found.b}"
    return ", ".join(cell.taken)


def finding_lines(found: Bisection) -> list[str]:
    """Sentences: the two ends, what repairs, what breaks, how sure that is, what it cost."""
    first, last = found.cells[:2]
    ends = f"{_end(found.a, first)}, {_end(found.b, last)}"
    if not found.verified:
        both = first.answer if first.answer == last.answer else ""
        words = {"trains": "both train", "fails": "both fail"}.get(both, "an end is undecided")
        lines = [f"{ends}: {words}, nothing to bisect."]
    else:
        lines = [f"{ends}." + (" (They were given the other way round.)" if found.swapped else "")]
        lines += [_sentence(s, found.differences, "repair", found.a) for s in found.repairing]
        backwards = [difference.reversed() for difference in found.differences]
        lines += [_sentence(s, backwards, "break", found.b) for s in found.breaking]
        if len(found.cells) == found.declared and not found.factorial:
            lines.append(f"The search ended at its bound of {found.declared} cells.")
    return [*lines, *_rate_lines(found)]


def _end(name: str, cell: Cell) -> str:
    failures = failures_text(cell.outcomes)
    return (
        f"`{name}` {_ANSWERS[cell.answer]} ({cell.converged} of {cell.trials} converged"
        f"{'; ' if failures else ''}{failures})"
    )


def _sentence(found: MinimalSet, differences: Sequence[Difference], verb: str, end: str) -> str:
    moved = [difference for difference in differences if difference.name in found.names]
    names = " and ".join(f"`{difference.name}`" for difference in moved)
    values = "; ".join(difference.text for difference in moved)
    several = len(moved) > 1
    if found.standing == "open":
        pronoun = "they" if several else "it"
        return f"{names}: undecided whether {pronoun} would {verb} `{end}` ({values})."
    acts = f"{verb} `{end}`" if several else f"{verb}s `{end}`"
    if found.standing == "minimal":
        alone = "together, and no part of them," if several else "alone"
        return f"{names} {alone} {acts}: cause found by intervention ({values})."
    return f"{names} together {acts} ({values}); minimal as far as decided: a part may do it too."


def _rate_lines(found: Bisection) -> list[str]:
    plan = found.plan
    fails, trains = found.error_rates
    read = sum(cell.trials for cell in found.cells)
    doubt = [f"{percent(chance)} at {p:g}" for p, chance in found.undecided.items()]
    return [
        f"Error rates: a cell is said to fail with at most {_up(fails)} probability where "
        f"P(converge) >= {plan.p_good:g}, to train with at most {_up(trains)} where it is <= "
        f"{plan.p_bad:g}; any such mistake in {found.declared} cells: at most "
        f"{100 * max(found.alpha, found.beta):g} %. Undecided: {', '.join(doubt)}.",
        f"{read} trials read of {found.trained} run or recorded; {len(found.cells)} of "
        f"{found.declared} declared cells judged.",
    ]


def _up(share: float) -> str:
    return f"{math.ceil(10_000 * share) / 100:g} %"
