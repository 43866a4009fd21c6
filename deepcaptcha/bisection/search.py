"""Which changes repair, and which break: minimal sets from three-valued answers, and the search.

A cell is a set of differences taken from B while all others are A's: the empty set is A, the whole B.
Nothing here assumes that a superset of a repairing set repairs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise, zip_longest
from typing import Literal

Answer = Literal["trains", "fails", "undecided", "impossible"]
"""What is known of a cell; an impossible one cannot be built and so neither trains nor fails."""

Standing = Literal["minimal", "minimal as far as decided", "open"]
Names = frozenset[str]

FACTORIAL = 4
"""Up to so many differences every cell is judged."""

CELLS_PER_DIFFERENCE = 8
"""Bound on the cells of a search, for each difference."""

_OTHER: Mapping[Answer, Answer] = {"trains": "fails", "fails": "trains"}


@dataclass(frozen=True)
class MinimalSet:
    """Differences, sorted by name, that repair (or break) together.

    - `minimal`: they do, and every proper part of them is known not to;
    - `minimal as far as decided`: they do, no proper part is known to, some are not decided;
    - `open`: it is undecided whether they do; no proper part is known to.
    """

    names: tuple[str, ...]
    standing: Standing


def repairing_sets(cells: Mapping[Names, Answer]) -> tuple[MinimalSet, ...]:
    """The minimal sets whose cell trains, the surest and smallest first. Cells that were not judged
    count as undecided, except that none of them is listed as open."""
    found = []
    for names, answer in cells.items():
        parts = [cells[part] for part in cells if part < names]
        if answer in ("fails", "impossible") or "trains" in parts:
            continue
        decided = len(parts) - parts.count("undecided") == 2 ** len(names) - 1
        standing: Standing = "minimal" if decided else "minimal as far as decided"
        found.append(
            MinimalSet(tuple(sorted(names)), "open" if answer == "undecided" else standing)
        )
    order = ("minimal", "minimal as far as decided", "open")
    return tuple(sorted(found, key=lambda s: (order.index(s.standing), len(s.names), s.names)))


def breaking_sets(cells: Mapping[Names, Answer], everything: Names) -> tuple[MinimalSet, ...]:
    """The minimal sets that, put back to A's values in B, make it fail."""
    return repairing_sets({everything - names: _OTHER.get(a, a) for names, a in cells.items()})


def cell_bound(count: int) -> int:
    """Cells that are declared, and share the error rates, for so many differences."""
    every: int = 2**count
    return every if count <= FACTORIAL else min(every, CELLS_PER_DIFFERENCE * count)


def subsets(names: Sequence[str]) -> list[Names]:
    """All 2 ** len(names) of them, the smallest first."""
    sizes = range(len(names) + 1)
    return [frozenset(s) for s in chain.from_iterable(combinations(names, n) for n in sizes)]


class _BoundReachedError(Exception):
    pass


def explore(
    names: Sequence[str],
    ends: Mapping[Names, Answer],
    judge: Callable[[Sequence[Names]], Sequence[Answer]],
    bound: int,
) -> dict[Names, Answer]:
    """Judge at most `bound` cells, `ends` (A, which fails, and B, which trains) among them.

    Up to FACTORIAL names all cells are handed to `judge` at once. Beyond, minimal repairing and
    minimal breaking sets are looked for in turn, cell by cell, until the bound is reached or a
    monotone world would hold no more of them.
    """
    cells = dict(ends)
    everything = frozenset(names)

    def ask(*wanted: Names) -> None:
        new = [cell for cell in wanted if cell not in cells]
        if len(cells) + len(new) > bound:
            raise _BoundReachedError
        if new:
            cells.update(zip(new, judge(new), strict=True))

    def repairs(chosen: Names) -> bool:
        ask(chosen)
        return cells[chosen] == "trains"

    def breaks(chosen: Names) -> bool:
        ask(everything - chosen)
        return cells[everything - chosen] == "fails"

    if len(names) <= FACTORIAL:
        ask(*subsets(names))
        return cells
    try:
        for _ in zip_longest(_hunt(names, repairs), _hunt(names, breaks)):
            pass
    except _BoundReachedError:
        pass
    return cells


def _hunt(names: Sequence[str], holds: Callable[[Names], bool]) -> Iterator[None]:
    """Ask for one minimal set after another; what was learned stays with whoever answers.

    Any other minimal set lacks a member of each one found, so the search is repeated without that
    member: a hitting-set tree (Reiter 1987), complete where `holds` is monotone.
    """
    found: list[Names] = []
    waiting: list[Names] = [frozenset()]
    for avoided in waiting:  # grows while it is read
        known = next((names for names in found if not names & avoided), None)
        if known is None:
            left = [name for name in names if name not in avoided]
            if not holds(frozenset(left)):
                yield
                continue
            known = shrink(left, holds)
            if len(known) <= FACTORIAL:
                known = next(part for part in subsets(sorted(known)) if holds(part))
            found.append(known)
        for name in sorted(known):
            if avoided | {name} not in waiting:
                waiting.append(avoided | {name})
        yield


def shrink(names: Sequence[str], holds: Callable[[Names], bool]) -> Names:
    """A part of `names`, for which `holds` is true, that no longer holds with any one name left out:
    delta debugging, the algorithm ddmin of Zeller and Hildebrandt (2002)."""
    kept, parts = list(names), 2
    while len(kept) > 1:
        edges = [len(kept) * i // parts for i in range(parts + 1)]
        chunks = [kept[low:high] for low, high in pairwise(edges)]
        rests = [[name for name in kept if name not in chunk] for chunk in chunks]
        smaller = [(chunk, 2) for chunk in chunks] + [(rest, max(parts - 1, 2)) for rest in rests]
        found = next((pair for pair in smaller if holds(frozenset(pair[0]))), None)
        if found is not None:
            kept, parts = found
        elif parts == len(kept):
            break
        else:
            parts = min(2 * parts, len(kept))
    return frozenset(kept)
