"""Cells of a bisection: whether one configuration trains, fails, or cannot be told, and how surely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, error_words
from ..keras.data import Data
from ..report.words import OUTCOMES
from ..trials.pool import Result, TrialPool
from ..trials.runner import Task
from ..trials.trial import Trial
from ..verdicts.plan import Plan, confidence_interval
from .configuration import Configuration
from .search import Answer

CONFIDENCE = 0.8
"""Of the interval that an answer must agree with. Where P(converge) is at least p_good or at most
p_bad, one side of it, 10 %, is all that `undecided` and a wrong answer can take."""


@dataclass(frozen=True)
class Cell:
    """A with the differences `taken` from B: its answer and what it rests on.

    `converged` of `trials` were read, in seed order from `first_seed`; `interval` is the exact 95 %
    interval for P(converge) under the plan's stopping rule, None for an impossible cell, of which
    `note` says why it cannot be.
    """

    taken: tuple[str, ...]
    answer: Answer
    first_seed: int
    converged: int = 0
    trials: int = 0
    interval: tuple[float, float] | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.__dict__, "taken": list(self.taken), "interval": self.interval}


def judged_answer(plan: Plan, accepted: bool, successes: int, trials: int) -> Answer:
    """`trains` where the plan accepts and the interval at CONFIDENCE reaches p_good or above, `fails`
    where it rejects and the interval reaches p_bad or below, else `undecided`."""
    low, high = confidence_interval(plan, successes, trials, CONFIDENCE)
    if accepted:
        return "trains" if high >= plan.p_good else "undecided"
    return "fails" if low <= plan.p_bad else "undecided"


def answer_chances(plan: Plan, probability: float) -> dict[Answer, float]:
    """The chance of each answer for a cell with P(converge) = `probability`, in [0, 1], by exact
    recursion over (trials, successes). That of `trains` rises with it, that of `fails` falls."""
    chances: dict[Answer, float] = {"trains": 0.0, "fails": 0.0, "undecided": 0.0}
    reach = {0: 1.0}
    for trials in range(plan.max_trials + 1):
        reached, reach = reach, dict.fromkeys(range(trials + 2), 0.0)
        for successes, chance in reached.items():
            decision = plan.decide(successes, trials)
            if decision == "continue":
                reach[successes] += chance * (1 - probability)
                reach[successes + 1] += chance * probability
            elif chance:
                answer = judged_answer(plan, decision == "accept", successes, trials)
                chances[answer] += chance
    return chances


class Reading:
    """A cell while its trials are started, finish in any order and are read in seed order.

    `configuration` may be the reason why there is none, which makes the cell impossible.
    """

    def __init__(
        self,
        taken: Sequence[str],
        configuration: Configuration | InputError,
        first_seed: int,
        reuse_model: bool,
        examples: Data | None = None,
    ) -> None:
        self.taken = tuple(taken)
        self.first_seed = first_seed
        self.started = 0
        self.results: dict[int, Result] = {}
        if isinstance(configuration, InputError):
            self.results[0] = configuration
        else:
            self._task = (configuration, reuse_model, examples)

    @property
    def pending(self) -> int:
        """Trials started and not finished."""
        return self.started - len(self.results)

    def start(self, pool: TrialPool) -> None:
        """Start the trial of the next seed."""
        configuration, reuse_model, examples = self._task
        task = Task(
            configuration.name,
            configuration.factory,
            configuration.recipe,
            self.first_seed + self.started,
            reuse_model,
            examples,
        )
        pool.start((self, self.started), task)
        self.started += 1

    def cell(self, plan: Plan) -> Cell | None:
        """What the trials say, None while the plan reads on."""
        read = list(self._read())
        decision, trials, successes = plan.judge(trial.outcome == "converged" for trial in read)
        if decision == "continue":
            refusal = self.results.get(len(read))
            if refusal is None:
                return None
            assert isinstance(refusal, Exception)  # `_read` takes whatever is a trial
            note = error_words(refusal) or type(refusal).__name__
            return Cell(self.taken, "impossible", self.first_seed, note=note)
        outcomes = Counter(trial.outcome for trial in read[:trials])
        return Cell(
            taken=self.taken,
            answer=judged_answer(plan, decision == "accept", successes, trials),
            first_seed=self.first_seed,
            converged=successes,
            trials=trials,
            interval=confidence_interval(plan, successes, trials),
            outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        )

    def _read(self) -> Iterator[Trial]:
        for index in range(self.started):
            result = self.results.get(index)
            if not isinstance(result, Trial):
                return
            yield result


def judge_cells(readings: Sequence[Reading], plan: Plan, pool: TrialPool) -> list[Cell]:
    """Run trials until every cell is judged. A cell waits for its own trials only where another
    wants the room; else its next seeds are started too, and not counted if the plan stops before."""
    while waiting := [reading for reading in readings if reading.cell(plan) is None]:
        while pool.room > 0:
            wanting = [reading for reading in waiting if reading.started < plan.max_trials]
            if not wanting:
                break
            min(wanting, key=lambda reading: reading.pending).start(pool)
        for (reading, index), result in pool.finished():
            reading.results[index] = result
    return [cell for reading in readings if (cell := reading.cell(plan)) is not None]
