"""What verdicts will cost, told before the first training: trainings by their plans, minutes by what the
tests took before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, write_file
from ..report.words import minutes_text, plural
from ..verdicts.claim import Budget, claim_cost
from ..verdicts.judge import Evidence
from ..verdicts.whole import WHOLE_SEEDS
from .marker import Declared
from .stream import Cap

_FILE = "costs.json"
"""In the ledger's folder: test -> seconds of one of its trainings, and how many there were."""

Costs = Mapping[str, tuple[float, int]]

_FEW = 5
"""So many tests have a line each in any case."""


@dataclass(frozen=True)
class _TestCost:
    test: str
    expected: float
    most: int
    seconds: float | None
    cap: Cap
    capped: bool

    def minutes(self, trainings: float, abreast: int) -> float:
        """Seconds of so many trainings, `abreast` at a time, within the cap."""
        most = 60 * self.cap.minutes if self.cap.minutes is not None else float("inf")
        return min(trainings * (self.seconds or 0) / abreast, most)


def cost_lines(
    declared: Mapping[str, Declared],
    budget: Budget,
    cap: Cap,
    ledger: Path,
    *,
    jobs: int = 1,
    abreast: int = 1,
    each: bool = False,
) -> list[str]:
    """Expected and most trainings of the tests that will run, and their minutes where the ledger knows
    what one takes.

    - `declared`: by test. `cap`: the run's own, beside the markers'.
    - `jobs`: trainings of one test at a time; `abreast`: of all tests. `each`: a line a test, also where
      they are many.
    """
    before = read_costs(ledger)
    costs, others = [], []
    for test, one in declared.items():
        try:
            costs.append(_cost(test, one, budget, cap.least(one.cap), before.get(test, (None,))[0]))
        except InputError:  # no claim, or one without a plan, as the test itself will say
            others.append(test)
    lines = [_told(costs, max(abreast, jobs))] if costs else []
    if lines and (rows := sum(one.rows for one in declared.values())):
        whose = "1 row with its baseline" if rows == 1 else f"{rows} rows with their baselines"
        lines[0] += f"; and what comparing {whose} needs"
    if known := [before[test] for test in others if test in before]:
        trainings = sum(count for _, count in known)
        spent = minutes_text(sum(each * count for each, count in known) / max(abreast, jobs))
        lines.append(
            f"{plural(len(known), 'test')} that {'names' if len(known) == 1 else 'name'} no claim in "
            f"{'its marker' if len(known) == 1 else 'their markers'} took "
            f"{plural(trainings, 'training')}, {spent}, the last time"
        )
    if len(costs) > 1 and (each or len(costs) <= _FEW):
        lines += [f"{cost.test}: {_told([cost], jobs)}" for cost in costs]
    return lines


def _cost(
    test: str, declared: Declared, budget: Budget, cap: Cap, seconds: float | None
) -> _TestCost:
    if declared.claim is None:
        raise InputError("the test names its claim itself")
    cost = claim_cost(declared.claim, budget)
    least = WHOLE_SEEDS if declared.rows and budget.rows > 1 else 0
    expected, most = max(cost.expected, least), max(cost.most, least)
    capped = cap.trials is not None and cap.trials < most
    if cap.trials is not None:
        expected, most = min(expected, cap.trials), min(most, cap.trials)
    return _TestCost(test, expected, most, seconds, cap, capped)


def _told(costs: Sequence[_TestCost], abreast: int) -> str:
    expected, most = sum(cost.expected for cost in costs), sum(cost.most for cost in costs)
    usual_count = plural(round(expected), "training")
    text = f"{usual_count} expected if all is well, at most {most}"
    if any(cost.capped for cost in costs):
        text += " by its cap, and then undecided" if len(costs) == 1 else " by their caps"
    known = [cost for cost in costs if cost.seconds is not None]
    if not known:
        return f"{text}; their minutes are known after the first"
    if len(known) < len(costs):
        text += f"; the {len(known)} tests that ran before"
    usual = sum(cost.minutes(cost.expected, abreast) for cost in known)
    longest = sum(cost.minutes(cost.most, abreast) for cost in known)
    side = f", {abreast} at a time" if abreast > 1 else ""
    return f"{text}; about {minutes_text(usual)}, at most {minutes_text(longest)}{side}"


def read_costs(ledger: Path) -> Costs:
    """What is kept beside the ledger; nothing where there is none, or it is damaged."""
    try:
        found = json.loads((ledger / _FILE).read_text("utf-8"))
        return {str(test): (float(each), int(count)) for test, (each, count) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def keep_costs(ledger: Path, reported: Sequence[Evidence]) -> None:
    """Keep what the trainings of each judged test took, beside what is known of others."""
    spent: dict[str, tuple[float, int]] = {}
    for e in reported:
        if e.test and not e.unchanged:
            seconds, count = spent.get(e.test, (0.0, 0))
            spent[e.test] = seconds + e.summary.seconds, count + e.summary.trials
    new = {test: (round(seconds / count, 3), count) for test, (seconds, count) in spent.items()}
    known = read_costs(ledger)
    if new and known != {**known, **new}:
        write_file(ledger / _FILE, json.dumps({**known, **new}, indent=1), "the costs")
