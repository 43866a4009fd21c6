"""Whether rows train as they did before: new trials among the recorded ones, by numbers.

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
from .measures import Course, Measure
from .ruler import Ruler


@dataclass(frozen=True)
class Looks:
    """When the new trials are compared, declared beforehand.

    - `trials`: after how many, rising. `shares`: of the row's alpha, what each look has; at most 1 in
      all. A further look is taken only where the one before left doubt: a smallest adjusted p of at
      most `doubt`. Looks not taken spend nothing, so stopping early never adds to alpha.
    """

    trials: tuple[int, ...] = (4, 8, 16)
    shares: tuple[float, ...] = (0.5, 0.25, 0.25)
    doubt: float = 0.1

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.trials), self.trials, strict=False))
        if not self.trials or not rising or len(self.shares) != len(self.trials):
            raise InputError(
                f"looks after {self.trials} trials with shares {self.shares}; rising numbers of "
                "trials are needed, and a share of each"
            )
        if min(self.shares) <= 0 or math.fsum(self.shares) > 1 + 1e-9:
            raise InputError(f"the looks' shares are {self.shares}; above 0 and at most 1 in all")


OWN_SEEDS = 4
"""Recorded seeds that are trained again, to be compared one by one with what rounding does."""


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
    again_at: Callable[[int], Course] | None = None,
    strict: bool = False,
) -> Verdict:
    """Whether a row trains as it did: new trials, read in seed order, by the record's measures.

    - `course_at`: yields the course of the n-th new trial, asked for in order.
    - `alpha`: the row's chance to be called changed if it is not, over all looks.
    - `monitor`: whose fall is worse, whatever else is better.
    - `ruler`, `same_seeds`: as for `compare_courses`; without them only samples are compared.
    - `again_at`: yields the course of the record's n-th seed, trained again. The first OWN_SEEDS decide
      where they pair, and one of them where all its values come again; else new trials do.

    `cannot tell` where the record has no measure that the new trials logged, and where no shift of any
    measure would have been seen. Samples that could show nothing are not trained.
    """
    again: list[Course] = []
    if again_at is not None:
        own = _by_own_seeds(measures, recorded, again_at, again, alpha, row, ruler)
        if own is not None:
            return _verdict(again, own, alpha, alpha, monitor, strict, ruler)
    looks = Looks() if looks is None else looks
    new: list[Course] = []
    compared: tuple[Compared, ...] = ()
    level = alpha * looks.shares[0]
    for count, share in zip(looks.trials, looks.shares, strict=True):
        if compared and min(one.p for one in compared) > looks.doubt:
            break
        level = alpha * share
        # The most extreme that ranks can be, in either direction, adjusted over all measures.
        least = 2 * max(1, len(measures)) / math.comb(len(recorded) + count, count)
        if not same_seeds and least > level:
            continue
        new += [course_at(place) for place in range(len(new), count)]
        compared = compare_courses(
            measures, recorded, new, level, row=row, ruler=ruler, same_seeds=same_seeds
        )
        if not compared or any(one.p <= level for one in compared):
            break
    verdict = _verdict([*again, *new], compared, level, alpha, monitor, strict)
    if measures and not new:
        few = f"{len(recorded)} recorded trials are too few to compare samples with; record more"
        alike = again and any(course.is_paired_with(again[-1]) for course in recorded)
        verdict = replace(
            verdict, note=f"no ruler says what rounding does; {few}" if alike else few
        )
    if again and verdict.colour != "red" and (told := _other_start(recorded, again[-1])):
        note = f"different in {told}; {verdict.note}"
        return replace(verdict, colour="red" if strict else "yellow", note=note)
    return verdict


def _by_own_seeds(
    measures: Sequence[Measure],
    recorded: Sequence[Course],
    again_at: Callable[[int], Course],
    again: list[Course],
    alpha: float,
    row: str,
    ruler: Ruler,
) -> Sequence[Compared] | None:
    """The measures of the first recorded seeds, trained again, of which `again` then holds as many as it
    took; none where all values of the first came again, None where seeds do not pair."""
    own = {course.seed: course for course in recorded[:OWN_SEEDS]}
    for place, course in enumerate(own.values()):
        again.append(again_at(place))
        if not course.is_paired_with(again[-1]):
            return None
        same = (course.history, course.losses) == (again[-1].history, again[-1].losses)
        if same and place == 0:  # a later one may, where nothing fine is logged
            return ()
        if not ruler:
            return None
    found = compare_courses(measures, recorded, again, alpha, row=row, ruler=ruler, same_seeds=own)
    return [one for one in found if one.paired] or None


def _other_start(recorded: Sequence[Course], again: Course) -> str:
    """What is told of a seed that began with its recorded weights and order, and another loss: another
    function, or other examples. Empty where that cannot be said."""
    was = next(course for course in recorded if course.seed == again.seed)
    if not was.order or was.order != again.order or not again.has_start_of(was):
        return ""
    if was.first_loss is None or again.first_loss is None or was.is_paired_with(again):
        return ""
    loss = f"{again.first_loss:.4g}, recorded {was.first_loss:.4g}"
    return f"the loss of the first batch, from the same weights: {loss}"


def _verdict(
    trials: Sequence[Course],
    compared: Sequence[Compared],
    level: float,
    alpha: float,
    monitor: str,
    strict: bool,
    ruler: Ruler | None = None,
) -> Verdict:
    """What the measures say that were compared at a level; by a `ruler`, where seeds pair."""
    changed = [one for one in compared if one.p <= level]
    blind = not changed and not any(math.isfinite(one.sees) for one in compared)
    converged = sum(course.outcome == "converged" for course in trials)
    verdict = Verdict("as before", "cannot tell", converged, len(trials), (0.0, 1.0))
    if not compared and ruler is not None:
        note = f"all values of seed {trials[0].seed} came again to the last bit"
        return replace(verdict, colour="green", alpha=alpha, note=note)
    if not compared:
        return replace(verdict, note="the record and the new trials have no measure in common")
    colour = "cannot tell" if blind else colour_of(changed, monitor, strict=strict)
    note = changed_text(changed) if changed else as_before_text(compared)
    if ruler:
        note += f"; ruler: {', '.join(dict.fromkeys(shift.arithmetic for shift in ruler))}"
    sees = max(one.sees_spreads for one in compared) or math.inf  # 0: no recorded value varies
    return replace(
        verdict,
        colour=colour,
        alpha=alpha,
        note=note,
        sees=sees if math.isfinite(sees) else None,
    )


def changed_text(changed: Sequence[Compared]) -> str:
    """What changed, the surest first."""
    ordered = sorted(changed, key=lambda one: one.p)
    return "; ".join(f"{one.way} in {one.text}, p {one.p:.2g}" for one in ordered)


def as_before_text(compared: Sequence[Compared]) -> str:
    """What moved seed by seed, and the smallest shifts that would have been seen."""
    # Of recorded values that do not vary, no shift is a number of their spreads.
    varied = [one for one in compared if one.spread > 0]
    parts = []
    if paired := [one for one in varied if one.paired]:
        most = max(paired, key=lambda one: abs(one.spreads))
        parts.append(f"moved by {abs(most.spreads):.2g} spreads ({most.measure.name})")
    seen = sorted(compared, key=lambda one: one.sees_spreads)
    finite = [one for one in seen if one in varied and math.isfinite(one.sees)]
    unseen = [one.measure.name for one in seen if not math.isfinite(one.sees)]
    if finite:
        finest, coarsest = finite[0], finite[-1]
        told = f"{finest.sees_spreads:.2g} spreads in {finest.measure.name}"
        if len(finite) > 1:
            told += f" to {coarsest.sees_spreads:.2g} in {coarsest.measure.name}"
        parts.append(f"sees shifts of {told}")
    if unseen:
        parts.append(f"sees no shift of {', '.join(unseen)}")
    return "; ".join(parts) or "the recorded values do not vary"
