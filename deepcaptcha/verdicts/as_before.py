"""Whether rows train as they did before: new trials among the recorded ones, by numbers; a row alone,
and all rows as a whole.

*Between samples* is exact: new trials and recorded ones are exchangeable where nothing changed. *Seed by
seed*, with the record of the very same seeds, is calibrated: how far a harmless change of arithmetic
moves a measure was measured, and is the ruler.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, require_rate, require_whole
from .claim import Colour, Verdict
from .comparison import Compared, compare_courses, readings_of
from .exact import POWER, Tails, doubled_ranks, holm, permutation
from .measures import RULER_FACTOR, Course, Measure, Ruler, Tolerance


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


@dataclass(frozen=True)
class Whole:
    """The test of all rows at once, declared before any record is read.

    What is permuted is the seed, across all rows: rows of one seed share their data's order and much
    of their start. Each seed has a score by each statistic: its misses, and by each measure its ranks
    among all seeds, added over rows. Exact under exchangeability. Misses have one half of alpha, all
    measures the other (Holm); without measures misses have all of it.

    - `seeds`: new ones, of each row. `alpha`: the chance of a false alarm.
    - `twins`: rows that are the training of another one, by name; the other one counts for both.
    """

    seeds: int = 14
    alpha: float = 0.01
    twins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_whole("the whole suite's seeds", self.seeds)
        require_rate("the whole suite's alpha", self.alpha)


Rows = Mapping[str, Sequence[Course]]
"""Courses in seed order, by row."""


def twins_of(weights: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Rows whose recorded trials ended with the very weights of an earlier row, and which that is; by
    the digests of each row's trials in seed order, none where a row has no digests."""
    first: dict[tuple[str, ...], str] = {}
    found = {}
    for row, digests in weights.items():
        if digests and (earlier := first.setdefault(tuple(digests), row)) != row:
            found[row] = earlier
    return found


def judge_whole(
    declared: Whole,
    recorded: Rows,
    new: Rows,
    measures: Mapping[str, Sequence[Measure]],
    *,
    strict: bool = False,
) -> Verdict:
    """Whether all rows together miss their targets more often, or train otherwise, than they did.

    - `recorded`, `new`: of the same rows, each row's n-th course of the n-th seed; the first
      `declared.seeds` new ones are read, and as many recorded ones as every row has.
    - `measures`: of each row.

    More misses, or a worse measure, is red, a better one yellow, which `strict` makes red. InputError
    where a row lacks new trials.
    """
    rows = [row for row in recorded if row not in declared.twins]
    for row in rows:
        if (count := len(new.get(row, ()))) < declared.seeds:
            raise InputError(f"{row} has {count} new trials; {declared.seeds} are declared")
    least = min(len(recorded[row]) for row in rows)
    both = {row: [*new[row][: declared.seeds], *recorded[row][:least]] for row in rows}
    missed = _misses([[c.outcome != "converged" for c in both[row]] for row in rows])
    names = ["misses"]
    tails = [_seed_scores(missed, declared.seeds)]
    for name in dict.fromkeys(m.name for row in rows for m in measures.get(row, ())):
        ranks = [
            doubled_ranks(readings)
            for row in rows
            for measure in measures.get(row, ())
            if measure.name == name and (readings := readings_of(measure, both[row]))
        ]
        if ranks:
            names.append(name)
            tails.append(_seed_scores(np.sum(ranks, axis=0), declared.seeds))
    # Fewer misses than before are no change that anybody looks for.
    adjusted = [tails[0].high, *holm([each.p for each in tails[1:]])]
    if len(names) > 1:
        adjusted = [min(1.0, 2 * p) for p in adjusted]
    converged = sum(c.outcome == "converged" for row in rows for c in new[row][: declared.seeds])
    verdict = Verdict(
        "the whole",
        "green",
        converged,
        declared.seeds * len(rows),
        (0.0, 1.0),
        alpha=declared.alpha,
    )
    ways = ["more", *("worse" if each.high < each.low else "better" for each in tails[1:])]
    changed = [
        each for each in zip(adjusted, ways, names, strict=True) if each[0] <= declared.alpha
    ]
    if not changed:
        size = f"{len(rows)} rows, {declared.seeds} seeds, {least} recorded"
        told = f" and {len(names) - 1} measures" if len(names) > 1 else ""
        return replace(verdict, note=f"{size}: {names[0]}{told} as before")
    better = all(way == "better" for _, way, _ in changed)
    text = "; ".join(
        f"{way} {name}" if way == "more" else f"{way} in {name} over all rows"
        for _, way, name in changed
    )
    note = f"{text}, p {min(changed)[0]:.2g}"
    return replace(verdict, colour="yellow" if better and not strict else "red", note=note)


WHOLE_SHIFT = 0.05
"""In spreads, the largest mean shift over all rows that is none, if no arithmetic made a larger one."""


def judge_whole_again(
    moved: Ruler, ruler: Ruler, alpha: float, *, strict: bool = False
) -> Verdict | None:
    """Whether recorded seeds, trained again, moved in all rows together; None where less than two rows
    have a shift and a ruler.

    - `moved`: how far each row's measures moved. `ruler`: what arithmetics did to rows' measures. Twins
      are in neither twice.

    The mean over rows, in spreads, is none while it is at most WHOLE_SHIFT, or RULER_FACTOR times the
    largest that an arithmetic made, and by no more than chance beyond; calibrated, as single rows are.
    """
    told = []
    for name in dict.fromkeys(shift.measure for shift in moved):
        shifts = [s for s in moved if s.measure == name and s.spread > 0]
        known = [s for s in ruler if s.measure == name and s.spread > 0]
        # How far a single seed's difference scatters nobody knows, nor what nothing moved.
        freedom = sum(s.seeds - 1 for s in known)
        squares = math.fsum((s.seeds - 1) * (s.scatter / s.spread) ** 2 for s in known)
        if len(shifts) < 2 or not squares:
            continue
        means = [
            statistics.fmean(s.shift / s.spread for s in known if s.arithmetic == arithmetic)
            for arithmetic in dict.fromkeys(s.arithmetic for s in known)
        ]
        each = math.fsum(1 / s.seeds for s in shifts)
        allowed = Tolerance(
            delta=max(WHOLE_SHIFT, RULER_FACTOR * max(map(abs, means))),
            scatter=math.sqrt(squares / freedom * each) / len(shifts),
            freedom=freedom,
        )
        mean = statistics.fmean(s.shift / s.spread for s in shifts)
        told.append((allowed.p(mean, 1), mean, allowed, name))
    if not told:
        return None
    adjusted = holm([p for p, *_ in told])
    rows, seeds = len({s.row for s in moved}), max(s.seeds for s in moved)
    verdict = Verdict("the whole", "green", 0, 0, (0.0, 1.0), alpha=alpha)
    changed = [
        (mean, f"{name}: {mean:+.2g} spreads, at most {allowed.delta:.2g} allowed, p {p:.2g}")
        for p, (_, mean, allowed, name) in zip(adjusted, told, strict=True)
        if p <= alpha
    ]
    if not changed:
        sees = max(one.smallest_seen(alpha / len(told), 1) for _, _, one, _ in told)
        most = max(told, key=lambda each: abs(each[1]))
        note = (
            f"{rows} rows by {seeds} recorded seeds each moved by {most[1]:+.2g} spreads on the mean "
            f"({most[3]}, more is worse); sees {sees:.2g} in any measure"
        )
        return replace(verdict, note=note, sees=sees)
    worse = strict or any(mean > 0 for mean, _ in changed)
    note = f"moved in {rows} rows together, more is worse: {'; '.join(t for _, t in changed)}"
    return replace(verdict, colour="red" if worse else "yellow", note=note)


def _misses(missed: Sequence[Sequence[bool]]) -> NDArray[np.float64]:
    """Each seed's misses over rows (rows, seeds), each row's weighed by the inverse of its variance
    among all seeds, new and recorded ones alike: an even fall of all rates is best seen so."""
    table = np.asarray(missed, float)
    rates = (table.sum(axis=1) + 0.5) / (table.shape[1] + 1)
    return np.asarray((table / (rates * (1 - rates))[:, None]).sum(axis=0))


_GRID = 100  # whole numbers that a seed's score is rounded to, which costs no validity


def _seed_scores(scores: NDArray[np.float64], count: int) -> Tails:
    low, width = scores.min(), np.ptp(scores) or 1.0
    whole = [round(_GRID * (score - low) / width) for score in scores.tolist()]
    return permutation(whole[:count], whole[count:])


def whole_sees(
    declared: Whole, recorded: Rows, falls: Sequence[float] = (0.02, 0.03, 0.05, 0.1, 0.2)
) -> float | None:
    """The least of the `falls` of every row's P(converged) that the misses alone show with POWER; None:
    not the largest. Simulated from the recorded seeds, by the same draws each time."""
    rows = [row for row in recorded if row not in declared.twins]
    least = min(len(recorded[row]) for row in rows)
    table = np.array([[c.outcome != "converged" for c in recorded[row][:least]] for row in rows])
    random = np.random.default_rng(0)
    for fall in falls:
        seen = 0
        for _ in range(_SIMULATED):
            drawn = table[:, random.integers(least, size=declared.seeds)]
            chance = np.minimum(1, fall / np.maximum(1 - table.mean(axis=1), fall))[:, None]
            drawn = drawn | (random.random(drawn.shape) < chance)
            scores = _misses(np.concatenate([drawn, table], axis=1).tolist())
            seen += _seed_scores(scores, declared.seeds).high <= declared.alpha / 2
        if seen >= POWER * _SIMULATED:
            return fall
    return None


_SIMULATED = 100  # nights
