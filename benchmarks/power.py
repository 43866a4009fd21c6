"""What the suite's verdicts do: how often they are red where nothing changed, and what they see.

    python -m benchmarks.power                 # or make power
    python -m benchmarks.power --nights 1000 --baselines 40 --json build/power.json

Simulated. Outcomes are those of the recorded seeds in fixtures/baselines, drawn with replacement, a
seed across all rows at once, baselines and nights alike, so that a night's seeds are no baseline's.
Losses and accuracies are *modelled*: normal, with spreads as they were once measured, 0.3 of their
variance shared by the rows of a seed. `before` is the rule of version 0.2.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepcaptcha.networks.variants import CLAIMS, HYPOTHESES, ROWS
from deepcaptcha.trials.trial import Outcome, Target
from deepcaptcha.verdicts.as_before import Looks
from deepcaptcha.verdicts.baseline import Baseline, read_baseline
from deepcaptcha.verdicts.claim import Budget, claim_plan
from deepcaptcha.verdicts.comparison import readings_of
from deepcaptcha.verdicts.design import design_plan
from deepcaptcha.verdicts.exact import holm, permutation, rank_sum
from deepcaptcha.verdicts.measures import Course, Measure, Reading, measures_of
from deepcaptcha.verdicts.plan import Plan, binomial_interval
from deepcaptcha.verdicts.reliability import regression_plan
from deepcaptcha.verdicts.ruler import Tolerance
from deepcaptcha.verdicts.whole import Whole, judge_whole, twins_of

BASELINES = Path(__file__).parents[1] / "fixtures" / "baselines"
FALLS = (0.02, 0.03, 0.05, 0.1, 0.2)
SHIFTS = (0.2, 0.5, 1.0, 1.5, 2.0)
MOST = 220  # trials of a night, which is more than any plan here reads
SHARED = 0.3  # of the variance of numbers, what the rows of one seed share
TARGET = Target(0.9, epochs=5)
TODAY, NOW = Budget(67), Budget(HYPOTHESES, rows=ROWS)
RULER = Tolerance(delta=0.15, scatter=0.035, freedom=60)  # of the training loss, in spreads

Row = tuple[str, str]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """Trials of all rows: epochs to the target (0: missed), and modelled numbers (rows, 3, seeds)."""

    epochs: NDArray[np.int64]
    numbers: Numbers

    def courses(self, row: int, count: int, limit: int) -> list[Course]:
        """The first `count` trials of a row whose recipe has so many epochs."""
        return [
            _course(seed, int(self.epochs[row, seed]), self.numbers[row, :, seed], limit)
            for seed in range(count)
        ]


def _course(seed: int, epochs: int, z: Numbers, limit: int) -> Course:
    outcome: Outcome = "converged" if epochs else "stuck"
    if not epochs:
        loss, accuracy = 14 + 0.1 * z[0], 0.1
        return Course(
            seed, outcome, ({"loss": loss, "val_loss": loss, "val_accuracy": accuracy},) * limit
        )
    history = [
        {
            "loss": (0.5 + 0.02 * z[0]) / (1 + epoch),
            "val_loss": (0.2 + 0.03 * z[1]) / (1 + epoch),
            "val_accuracy": max(0.9, 0.94 + 0.011 * z[2])
            if epoch == epochs - 1
            else min(0.899, 0.8 + 0.011 * z[2]),
        }
        for epoch in range(epochs)
    ]
    return Course(seed, outcome, tuple(history))


class World:
    """The recorded rows, and trials drawn from them."""

    def __init__(self) -> None:
        self.rows: list[Row] = list(CLAIMS)
        records = [read_baseline(BASELINES, name, recipe) for name, recipe in self.rows]
        assert all(record is not None for record in records)
        self.records: list[Baseline] = [record for record in records if record is not None]
        self.seeds = min(len(record.outcomes) for record in self.records)
        self.limits = [int(record.recipe["epochs"]) for record in self.records]
        self.epochs = np.array([[e or 0 for e in r.epochs_to_target] for r in self.records])
        twins = twins_of(
            {" ".join(row): r.weights for row, r in zip(self.rows, self.records, strict=True)}
        )
        names = [" ".join(row) for row in self.rows]
        self.names, self.twins = names, twins
        self.twin = [names.index(twins.get(name, name)) for name in names]

    def draw(
        self,
        random: np.random.Generator,
        count: int,
        *,
        fall: Mapping[int, float] | None = None,
        shift: Mapping[int, float] | None = None,
    ) -> Draw:
        """`count` trials of each row. `fall`: of P(converged); `shift`: of losses, in spreads."""
        epochs = self.epochs[:, random.integers(self.seeds, size=count)].copy()
        numbers = math.sqrt(SHARED) * random.normal(size=(1, 3, count)) + math.sqrt(
            1 - SHARED
        ) * random.normal(size=(len(self.rows), 3, count))
        for row, by in (fall or {}).items():
            rate = (self.epochs[row] > 0).mean()
            missed = random.random(count) < min(1, by / rate)
            epochs[row, missed] = 0
        for row, by in (shift or {}).items():
            numbers[row, 0] += by
        # Twins are one training.
        return Draw(epochs[self.twin], numbers[self.twin])


@cache
def old_plan(converged: int, of: int) -> Plan | None:
    """Version 0.2: from the lower 95 % bound to 0.4 below it, within a share of all hypotheses."""
    p_good = int(100 * binomial_interval(converged, of)[0]) / 100
    p_bad = round(p_good - 0.4, 2)
    return None if p_bad < 0.05 else design_plan(p_good, p_bad, *TODAY.share)


@cache
def new_plan(converged: int, of: int) -> Plan | None:
    """A row's own plan as it is now."""
    outcomes = ("converged",) * converged + ("stuck",) * (of - converged)
    made = Baseline("", {}, (), "", 1, 0, outcomes, (), {}, "")
    return regression_plan(made, NOW)


ON_A_CHANGE = {"as before", "the whole"}


@dataclass(frozen=True)
class Night:
    """Which verdicts were red (or yellow), by their kind, and how many trainings they read; and as many
    as are read on a change, when claims and reliability wait for the night."""

    red: frozenset[str]
    trainings: int
    on_a_change: int = 0


def _walk(plan: Plan, successes: NDArray[np.bool_]) -> tuple[bool, int]:
    decision, read, _ = plan.judge(successes.tolist())
    return decision == "reject", read


def before(world: World, base: Draw, night: Draw) -> Night:
    """Claims, reliability, and speed by the mean of epochs, as version 0.2 has them."""
    red, trainings = set(), 0
    for place, (row, limit) in enumerate(zip(world.rows, world.limits, strict=True)):
        then, now = base.epochs[place], night.epochs[place]
        alarm, read = _claim(row, now, TODAY)
        red |= {"claims"} if alarm else set()
        plan = old_plan(int((then > 0).sum()), len(then))
        if plan is not None:
            rejected, more = _walk(plan, now > 0)
            read = max(read, more)
            red |= {"as reliable"} if rejected else set()
            if not rejected:
                least = next(n for n, k in enumerate(plan.accept) if k <= n)
                counted = [np.where(e > 0, e, limit + 1).tolist() for e in (now[:least], then)]
                red |= {"as fast"} if permutation(*counted).high <= TODAY.share[0] else set()
        trainings += read
    return Night(frozenset(red), trainings)


def _claim(row: Row, now: NDArray[np.int64], budget: Budget) -> tuple[bool, int]:
    claim = CLAIMS[row]
    if claim.kind == "mixed":
        return False, 0
    return _walk(claim_plan(claim, budget), now == 0 if claim.kind == "stuck" else now > 0)


@dataclass(frozen=True)
class Reference:
    """A baseline as the new rule reads it."""

    draw: Draw
    courses: list[list[Course]]
    measures: list[tuple[Measure, ...]]
    readings: list[list[list[Reading]]]  # by row and measure

    @classmethod
    def of(cls, world: World, draw: Draw) -> Reference:
        """From drawn trials."""
        count = draw.epochs.shape[1]
        courses = [draw.courses(row, count, limit) for row, limit in enumerate(world.limits)]
        measures = [measures_of(each, TARGET, 0.1) for each in courses]
        readings = [
            [readings_of(measure, own) for measure in each]
            for each, own in zip(measures, courses, strict=True)
        ]
        return cls(draw, courses, measures, readings)


def new(world: World, base: Reference, night: Draw, *, seeds: int = 14) -> Night:
    """The rule as it is now."""
    looks, red, trainings, on_a_change = Looks(), set(), 0, 0
    most = max(looks.trials[-1], seeds)
    courses = [night.courses(row, most, limit) for row, limit in enumerate(world.limits)]
    for place, row in enumerate(world.rows):
        then, now = base.draw.epochs[place], night.epochs[place]
        alarm, read = _claim(row, now, NOW)
        red |= {"claims"} if alarm else set()
        plan = new_plan(int((then > 0).sum()), len(then))
        if plan is not None:
            rejected, more = _walk(plan, now > 0)
            read = max(read, more)
            red |= {"as reliable"} if rejected else set()
        if world.names[place] not in world.twins:
            seen, more = row_seen(base, place, courses[place], looks)
            red |= {"as before"} if seen else set()
            on_a_change += max(more, seeds)
            read = max(read, more, seeds)
        trainings += read
    whole = judge_whole(
        Whole(seeds, NOW.whole_alpha, world.twins),
        dict(zip(world.names, base.courses, strict=True)),
        dict(zip(world.names, courses, strict=True)),
        dict(zip(world.names, base.measures, strict=True)),
    )
    red |= {"the whole"} if whole.colour != "green" else set()
    return Night(frozenset(red), trainings, on_a_change)


def row_seen(
    base: Reference, place: int, courses: Sequence[Course], looks: Looks
) -> tuple[bool, int]:
    """Whether a row is seen to train otherwise, by its numbers, and after how many trainings: as
    `judge_as_before` does between samples, without telling what it would have seen."""
    count = 0
    for count, share in zip(looks.trials, looks.shares, strict=True):
        found = holm(
            [
                rank_sum(readings_of(measure, courses[:count]), recorded).p
                for measure, recorded in zip(
                    base.measures[place], base.readings[place], strict=True
                )
            ]
        )
        if min(found) <= NOW.comparison_alpha * share:
            return True, count
        if min(found) > looks.doubt:
            break
    return False, count


def rate_text(hits: int, of: int) -> str:
    """A rate with its Monte-Carlo error, one standard deviation, of at least one hit."""
    rate = hits / of
    spread = max(rate, 1 / of) * (1 - min(rate, 1 - 1 / of))
    return f"{100 * rate:.1f} % +- {100 * math.sqrt(spread / of):.1f}"


def false_alarms(world: World, baselines: int, nights: int, say: Callable[[str], None]) -> object:
    """The rate at which anything is red where nothing changed, over all and by baseline."""
    random = np.random.default_rng(1)
    rates: dict[str, list[float]] = {"before": [], "now": []}
    kinds: dict[str, int] = {}
    trainings: dict[str, list[int]] = {"before": [], "now": []}
    for _ in range(baselines):
        drawn = world.draw(random, world.seeds)
        base = Reference.of(world, drawn)
        hits = {"before": 0, "now": 0}
        for _ in range(nights):
            night = world.draw(random, MOST)
            for rule, found in (
                ("before", before(world, drawn, night)),
                ("now", new(world, base, night)),
            ):
                hits[rule] += bool(found.red)
                trainings[rule].append(found.trainings)
                for kind in found.red:
                    kinds[f"{rule}: {kind}"] = kinds.get(f"{rule}: {kind}", 0) + 1
        for rule, count in hits.items():
            rates[rule].append(count / nights)
    total = baselines * nights
    for rule, each in rates.items():
        hit = round(sum(each) * nights)
        worst = np.quantile(each, 0.9)
        say(
            f"false alarms, {rule}: {rate_text(hit, total)} of {total} nights; by baseline the median "
            f"{100 * np.median(each):.1f} %, the worst tenth from {100 * worst:.1f} % on; "
            f"{np.mean(trainings[rule]):.0f} trainings a night"
        )
    for kind, count in sorted(kinds.items()):
        say(f"  {kind}: {rate_text(count, total)}")
    return {"rates": rates, "kinds": kinds, "nights": total}


def falls(world: World, nights: int, say: Callable[[str], None]) -> object:
    """How often a fall of P(converged) is seen, in one sound row and in all sound rows."""
    random = np.random.default_rng(2)
    sound = [n for n, (_, recipe) in enumerate(world.rows) if recipe == "sound-subset"]
    found = []
    for where, rows in (("one row", sound[:1]), ("all sound rows", sound)):
        for fall in FALLS:
            hits = dict.fromkeys(("before", "now", "now, on a change"), 0)
            cost = dict.fromkeys(hits, 0)
            drawn = world.draw(random, world.seeds)
            base = Reference.of(world, drawn)
            for _ in range(nights):
                night = world.draw(random, MOST, fall=dict.fromkeys(rows, fall))
                old, now = before(world, drawn, night), new(world, base, night)
                for rule, red, read in (
                    ("before", old.red, old.trainings),
                    ("now", now.red, now.trainings),
                    ("now, on a change", now.red & ON_A_CHANGE, now.on_a_change),
                ):
                    hits[rule] += bool(red)
                    cost[rule] += read
            for rule, count in hits.items():
                say(
                    f"a fall of {100 * fall:.0f} points in {where}, {rule}: {rate_text(count, nights)}, "
                    f"{cost[rule] / nights:.0f} trainings"
                )
            found.append({"where": where, "fall": fall, "hits": hits, "cost": cost})
    return found


def shifts(world: World, nights: int, say: Callable[[str], None]) -> object:
    """How often a shift of the training loss is seen: in one row between samples, in one row seed by
    seed, in all rows by the whole."""
    random = np.random.default_rng(3)
    sound = [n for n, (_, recipe) in enumerate(world.rows) if recipe == "sound-subset"]
    base = Reference.of(world, world.draw(random, world.seeds))
    found = []
    level = NOW.comparison_alpha / 2 / 4  # of four measures, at the first look
    for shift in SHIFTS:
        hits = {"one row": 0, "one row, same seeds": 0, "all rows": 0}
        cost = 0
        for _ in range(nights):
            row = sound[0]
            night = world.draw(random, 16, shift={row: shift})
            seen, count = row_seen(base, row, night.courses(row, 16, world.limits[row]), Looks())
            hits["one row"] += seen
            cost += count
            moved = shift + RULER.scatter * random.normal(size=4).mean()
            hits["one row, same seeds"] += RULER.p(moved, 4) <= level
            night = world.draw(random, MOST, shift=dict.fromkeys(range(len(world.rows)), shift))
            hits["all rows"] += "the whole" in new(world, base, night).red
        told = ", ".join(f"{where} {rate_text(count, nights)}" for where, count in hits.items())
        say(f"a shift of {shift:g} spreads: {told}; {cost / nights:.1f} trainings of the one row")
        found.append({"shift": shift, "hits": hits})
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nights", type=int, default=200, help="of each baseline and case")
    parser.add_argument("--baselines", type=int, default=10)
    parser.add_argument("--only", choices=("alarms", "falls", "shifts"))
    parser.add_argument("--json", type=Path, help="also write the counts there")
    options = parser.parse_args(arguments)
    world = World()

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"{len(world.rows)} rows of {world.seeds} recorded seeds, twins: {world.twins}")
    for line in NOW.lines:
        say(f"  {line}")
    parts = {
        "alarms": lambda: false_alarms(world, options.baselines, options.nights, say),
        "falls": lambda: falls(world, options.nights, say),
        "shifts": lambda: shifts(world, options.nights, say),
    }
    record = {name: part() for name, part in parts.items() if options.only in (None, name)}
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
