"""What verdicts will cost, told before the first training: trainings by their plans, minutes by what the
tests took before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import write_file
from ..verdicts.claim import Budget, claim_cost
from ..verdicts.judge import WHOLE_SEEDS, Evidence
from .marker import Declared
from .stream import Cap, minutes_text

_FILE = "seconds.json"
"""In the ledger's folder: test -> seconds of one of its trainings."""

_FEW = 5
"""So many tests have a line each in any case."""


@dataclass(frozen=True)
class _TestCost:
    test: str
    expected: float
    most: int
    seconds: float | None
    cap: Cap

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
    seconds = read_seconds(ledger)
    costs = [
        _cost(test, one, budget, cap.least(one.cap), seconds.get(test))
        for test, one in declared.items()
        if one.claim is not None
    ]
    if not costs:
        return []
    unknown = len(declared) - len(costs)
    more = f"; {unknown} more name their claim in the test" if unknown else ""
    if rows := sum(one.rows for one in declared.values()):
        whose = "1 row with its baseline" if rows == 1 else f"{rows} rows with their baselines"
        more += f"; and what comparing {whose} needs"
    lines = [f"{_told(costs, max(abreast, jobs))}{more}"]
    if len(costs) > 1 and (each or len(costs) <= _FEW):
        lines += [f"{cost.test}: {_told([cost], jobs)}" for cost in costs]
    return lines


def _cost(
    test: str, declared: Declared, budget: Budget, cap: Cap, seconds: float | None
) -> _TestCost:
    assert declared.claim is not None
    cost = claim_cost(declared.claim, budget)
    least = WHOLE_SEEDS if declared.rows and budget.rows > 1 else 0
    expected, most = max(cost.expected, least), max(cost.most, least)
    if cap.trials is not None:
        expected, most = min(expected, cap.trials), min(most, cap.trials)
    return _TestCost(test, expected, most, seconds, cap)


def _told(costs: Sequence[_TestCost], abreast: int) -> str:
    expected, most = sum(cost.expected for cost in costs), sum(cost.most for cost in costs)
    text = f"{expected:.0f} trainings expected if all is well, at most {most}"
    known = [cost for cost in costs if cost.seconds is not None]
    if not known:
        return f"{text}; their minutes are known after the first"
    if len(known) < len(costs):
        text += f"; the {len(known)} tests that ran before"
    usual = sum(cost.minutes(cost.expected, abreast) for cost in known)
    longest = sum(cost.minutes(cost.most, abreast) for cost in known)
    side = f", {abreast} at a time" if abreast > 1 else ""
    return f"{text}; about {minutes_text(usual)}, at most {minutes_text(longest)}{side}"


def read_seconds(ledger: Path) -> dict[str, float]:
    """Test -> seconds of one of its trainings, as kept beside the ledger; none where nothing is."""
    try:
        found = json.loads((ledger / _FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(test): float(each) for test, each in found.items()} if found else {}


def keep_seconds(ledger: Path, reported: Sequence[Evidence]) -> None:
    """Keep what a training of each judged test took, beside what is known of others."""
    new = {e.test: round(e.seconds_per_trial, 3) for e in reported if e.test and not e.unchanged}
    known = read_seconds(ledger)
    if new and known != {**known, **new}:
        write_file(ledger / _FILE, json.dumps({**known, **new}, indent=1), "the times")
