"""Whether a row trains as it did before: its new trials among the recorded ones, by numbers.

*Between samples* is exact: new trials and recorded ones are exchangeable where nothing changed. *Seed by
seed*, with the record of the very same seeds, is calibrated: how far a harmless change of arithmetic
moves a measure was measured, and is the ruler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from .claim import Colour, Verdict
from .comparison import Compared, compare_courses
from .measures import Course, Measure, Ruler


@dataclass(frozen=True)
class Looks:
    """When the new trials are compared, declared beforehand.

    - `trials`: after how many, rising. `shares`: of the row's alpha, what each look has; at most 1 in
      all. A further look is taken only where the one before left doubt: a smallest adjusted p of at
      most `doubt`. Looks not taken spend nothing, so stopping early never adds to alpha.
    """

    trials: tuple[int, ...] = (4, 8, 16)
    shares: tuple[float, ...] = (0.5, 0.25, 0.25)
    doubt: float = 0.05

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.trials), self.trials, strict=False))
        if not self.trials or not rising or len(self.shares) != len(self.trials):
            raise InputError(
                f"looks after {self.trials} trials with shares {self.shares}; rising numbers of "
                "trials are needed, and a share of each"
            )
        if min(self.shares) <= 0 or math.fsum(self.shares) > 1 + 1e-9:
            raise InputError(f"the looks' shares are {self.shares}; above 0 and at most 1 in all")


def colour_of(changed: Sequence[Compared], target_key: str, *, strict: bool = False) -> Colour:
    """Worse is red, better or different yellow, which `strict` makes red; green where nothing changed.

    Where some measures are worse and some better, it is worse if the monitor, or the time to its target,
    is.
    """
    worse = [one for one in changed if one.way == "worse"]
    if not changed:
        return "green"
    if strict or len(worse) == len(changed) or any(one.measure.key == target_key for one in worse):
        return "red"
    return "yellow"


def judge_as_before(
    measures: Sequence[Measure],
    recorded: Sequence[Course],
    course_at: Callable[[int], Course],
    alpha: float,
    *,
    monitor: str,
    row: str = "",
    looks: Looks | None = None,
    ruler: Ruler = (),
    same_seeds: Mapping[int, Course] | None = None,
    strict: bool = False,
) -> Verdict:
    """Whether a row trains as it did: new trials, read in seed order, by the record's measures.

    - `course_at`: yields the course of the n-th new trial, asked for in order.
    - `alpha`: the row's chance to be called changed if it is not, over all looks.
    - `monitor`: whose fall is worse, whatever else is better.
    - `ruler`, `same_seeds`: as for `compare_courses`; without them only samples are compared.

    `cannot tell` where the record has no measure that the new trials logged.
    """
    looks = Looks() if looks is None else looks
    new: list[Course] = []
    compared: tuple[Compared, ...] = ()
    level = alpha * looks.shares[0]
    for count, share in zip(looks.trials, looks.shares, strict=True):
        if compared and min(one.p for one in compared) > looks.doubt:
            break
        new += [course_at(place) for place in range(len(new), count)]
        level = alpha * share
        compared = compare_courses(
            measures, recorded, new, level, row=row, ruler=ruler, same_seeds=same_seeds
        )
        if not compared or any(one.p <= level for one in compared):
            break
    changed = [one for one in compared if one.p <= level]
    converged = sum(course.outcome == "converged" for course in new)
    verdict = Verdict("as before", "cannot tell", converged, len(new), (0.0, 1.0))
    if not compared:
        return replace(verdict, note="the record and the new trials have no measure in common")
    colour = colour_of(changed, monitor, strict=strict)
    note = changed_text(changed) if changed else as_before_text(compared)
    return replace(verdict, colour=colour, alpha=alpha, note=note)


def changed_text(changed: Sequence[Compared]) -> str:
    """What changed, the surest first."""
    ordered = sorted(changed, key=lambda one: one.p)
    return "; ".join(f"{one.way} in {one.text}, p {one.p:.2g}" for one in ordered)


def as_before_text(compared: Sequence[Compared]) -> str:
    """What moved seed by seed, and the smallest shifts that would have been seen."""
    parts = []
    if paired := [one for one in compared if one.paired]:
        most = max(paired, key=lambda one: abs(one.spreads))
        parts.append(f"moved by {abs(most.spreads):.2g} spreads ({most.measure.name})")
    seen = sorted(compared, key=lambda one: one.sees_spreads)
    finite = [one for one in seen if math.isfinite(one.sees_spreads)]
    if finite:
        finest, coarsest = finite[0], finite[-1]
        told = f"{finest.sees_spreads:.2g} spreads in {finest.measure.name}"
        if len(finite) > 1:
            told += f" to {coarsest.sees_spreads:.2g} in {coarsest.measure.name}"
        parts.append(f"sees shifts of {told}")
    if len(finite) < len(seen):
        parts.append(
            f"sees no shift of {', '.join(o.measure.name for o in seen if o not in finite)}"
        )
    return "; ".join(parts)
