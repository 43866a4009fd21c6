"""All rows of a session: whether they train as before together, and whether their records and names are
what the session takes them for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, require_rate, require_whole
from ..trials.source import row_text
from ..trials.trial import Target
from .baseline import Baseline, find_most
from .claim import Verdict
from .comparison import readings_of
from .exact import POWER, Tails, doubled_ranks, holm, permutation
from .judge import Evidence
from .measures import Course, Measure, chance_of, courses_of, measures_of, outcomes_of
from .ruler import RULER_FACTOR, Ruler, Tolerance


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


WHOLE_SEEDS = Whole().seeds
"""New seeds of each row that the suite as a whole is judged by, declared before any record is read."""


Rows = Mapping[str, Sequence[Course]]
"""Courses in seed order, by row."""


def judge_rows(reported: Sequence[Evidence], *, strict: bool = False) -> Verdict | None:
    """The suite as a whole: whether all rows together train as they did. None where less than two rows
    are compared with baselines; `cannot tell`, with why, where some row has too little to say.

    - `reported`: of the whole session. `strict`: better than before is red too.

    Rows whose trials ended in the same weights count once, as do declared twins. InputError for a
    damaged baseline.
    """
    rows = {
        f"{each.recipe} {each.name}": each
        for each in reported
        if each.baseline and not each.twin and not each.unchanged
    }
    if not rows or (budget := reported[0].budget).rows < 2:
        return None
    again = [each for each in rows.values() if each.moved]
    if again:
        shifts = [shift for each in again for shift in each.moved]
        # Rows without a ruler of their own share one.
        ruler = list(dict.fromkeys(shift for each in again for shift in each.ruler))
        together = judge_whole_again(shifts, ruler, budget.whole_alpha, strict=strict)
        return together or _whole_unknown("less than two rows have recorded seeds that pair")
    why = ""
    if len(rows) < budget.rows:
        why = f"{len(rows)} of {budget.rows} rows were judged"
    elif few := [row for row, each in rows.items() if len(each.courses) < WHOLE_SEEDS]:
        count = len(rows[few[0]].courses)
        why = f"{few[0]} has {count} new trials, and {WHOLE_SEEDS} are declared"
    if why:
        return _whole_unknown(why)
    baselines: dict[str, Baseline] = {}
    for row, each in rows.items():
        found = find_most(Path(each.baseline).parents[1], each.name, each.recipe)
        if found is None:
            return _whole_unknown(f"the baseline of {row} is gone")
        baselines[row] = found
    new = {row: each.courses[:WHOLE_SEEDS] for row, each in rows.items()}
    if why := _why_no_whole(rows, new, baselines):
        return _whole_unknown(why)
    recorded = {row: courses_of(made) or outcomes_of(made) for row, made in baselines.items()}
    measures = {
        row: measures_of(courses, rows[row].target, chance_of(rows[row].target, made.recipe))
        for (row, made), courses in zip(baselines.items(), recorded.values(), strict=True)
        if made.history
    }
    ends = {row: [course.end for course in courses] for row, courses in new.items()}
    declared = Whole(WHOLE_SEEDS, budget.whole_alpha, twins_of(ends))
    verdict = judge_whole(declared, recorded, new, measures, strict=strict)
    if verdict.colour != "green":
        return verdict
    sees = whole_sees(declared, recorded)
    told = "no fall of 20 points" if sees is None else f"a fall by {100 * sees:.0f} points"
    note = f"{verdict.note}; sees {told} of every row's rate with 90 % power"
    return replace(verdict, note=note, detects=sees)


def _whole_unknown(why: str) -> Verdict:
    return Verdict("the whole", "cannot tell", 0, 0, (0.0, 1.0), note=why)


def _why_no_whole(
    rows: Mapping[str, Evidence], new: Rows, baselines: Mapping[str, Baseline]
) -> str:
    """Why seeds cannot be permuted across all rows; empty where they can."""
    for row, made in baselines.items():
        seeds = range(made.first_seed, made.first_seed + len(made.outcomes))
        if any(course.seed in seeds for course in new[row]):
            return "the recorded seeds themselves were judged"
        was = Target.from_dict(made.recipe).text if "target" in made.recipe else ""
        if was and was != rows[row].target.text:
            return f"the target of {row} was {was}"
    starts = {made.first_seed for made in baselines.values()}
    judged = {tuple(course.seed for course in courses) for courses in new.values()}
    return "the rows' seeds are not the same" if len(starts) > 1 or len(judged) > 1 else ""


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


def twins_of(weights: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Rows whose recorded trials ended with the very weights of an earlier row, and which that is; by
    the digests of each row's trials in seed order, none where a row has no digests."""
    first: dict[tuple[str, ...], str] = {}
    found = {}
    for row, digests in weights.items():
        if digests and (earlier := first.setdefault(tuple(digests), row)) != row:
            found[row] = earlier
    return found


def untrue_twins(reported: Sequence[Evidence]) -> tuple[str, ...]:
    """Rows that are declared twins of another one and are not, a line each: a seed of both ended in
    other weights."""
    ends = {
        (each.recipe, each.name): {course.seed: course.end for course in each.courses}
        for each in reported
    }
    lines = []
    for each in reported:
        own, other = ends[each.recipe, each.name], ends.get((each.recipe, each.twin), {})
        if each.twin and (seeds := [s for s in own if s in other and own[s] != other[s]]):
            lines.append(
                f"{row_text(each.name, each.recipe)} is declared the twin of {each.twin}, and seed "
                f"{seeds[0]} ended in other weights; leave `twin` out of its marker, so that it counts"
            )
    return tuple(lines)


def shared_names(reported: Sequence[Evidence]) -> tuple[str, ...]:
    """Rows of one name that are several trainings and so share one baseline, a line each; such as a
    function with other arguments in each case of a test."""
    first: dict[str, Evidence] = {}
    lines = []
    for each in (each for each in reported if each.baseline and each.courses):
        other = first.setdefault(each.baseline, each)
        was, now = other.courses[0], each.courses[0]
        if was.seed == now.seed and was.end != now.end:
            lines.append(
                f"{row_text(each.name, each.recipe)} is the name of two trainings, of {other.test} and "
                f"{each.test}, which share the baseline {each.baseline}; give each a name of its own"
            )
    return tuple(lines)


def unnamed_baselines(reported: Sequence[Evidence]) -> tuple[str, ...]:
    """`recipe/name` of the records, of the recipes of which some row was compared with its record, that
    no row names."""
    named = {(each.recipe, each.name) for each in reported}
    places = {Path(each.baseline).parent for each in reported if each.baseline}
    found = {
        (path.parent.name, path.stem)
        for place in places
        for pattern in (f"{place.name}/*.json", f"*/{place.name}/*.json")
        for path in place.parent.glob(pattern)
    }
    return tuple(f"{recipe}/{name}" for recipe, name in sorted(found - named))
