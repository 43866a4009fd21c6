"""Which change makes a stuck model train, and which makes a sound one fail: found by intervention.

Between two sources, A, which fails, and B, which trains, lie the cells: A with some of its differences
set to B's values. Each is trained and judged by a sequential plan. Nothing is assumed of how the
differences act together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..errors import InputError, error_words, require_whole
from ..trials.runner import LostTrialError, Runner, RunTrial, run_source
from ..trials.source import ChangeableSource
from ..trials.trial import OUTCOMES, Trial
from ..verdicts.claim import Budget
from ..verdicts.design import design_plan
from ..verdicts.plan import Plan, all_stops, confidence_interval
from .differences import Difference, find_differences, mix
from .search import (
    FACTORIAL,
    Answer,
    MinimalSet,
    Names,
    breaking_sets,
    cell_bound,
    explore,
    repairing_sets,
)

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


def judged_answer(plan: Plan, accepted: bool, successes: int, trials: int) -> Answer:
    """`trains` where the plan accepts and the interval at CONFIDENCE reaches p_good or above, `fails`
    where it rejects and the interval reaches p_bad or below, else `undecided`."""
    low, high = confidence_interval(plan, successes, trials, CONFIDENCE)
    if accepted:
        return "trains" if high >= plan.p_good else "undecided"
    return "fails" if low <= plan.p_bad else "undecided"


def answer_chances(plan: Plan, probability: float) -> dict[Answer, float]:
    """The chance of each answer for a cell with P(converge) = `probability`, in [0, 1], from all paths
    to where the plan stops. That of `trains` rises with it, that of `fails` falls."""
    chances: dict[Answer, float] = {"trains": 0.0, "fails": 0.0, "undecided": 0.0}
    for accepted, trials, successes, paths in all_stops(plan):
        chance = paths * probability**successes * (1 - probability) ** (trials - successes)
        chances[judged_answer(plan, accepted, successes, trials)] += chance
    return chances


@dataclass(eq=False)
class CellTrials:
    """A cell while its trials are started, finish in any order and are read in seed order.

    `source` may be the reason why there is none, which makes the cell impossible.
    """

    taken: tuple[str, ...]
    source: ChangeableSource | InputError
    first_seed: int
    started: int = 0
    finished: dict[int, Future[Trial]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.source, InputError):
            self.finished[0] = Future()
            self.finished[0].set_exception(self.source)

    @property
    def pending(self) -> int:
        """Trials started and not finished."""
        return self.started - len(self.finished)

    def start(self, runner: Runner) -> None:
        """Start the trial of the next seed."""
        assert not isinstance(self.source, InputError)  # such a cell is judged already
        runner.start((self, self.started), self.source, self.first_seed + self.started)
        self.started += 1

    def judge(self, plan: Plan) -> Cell | None:
        """What the trials say, None while the plan reads on.

        A factory or Keras that refuses makes the cell impossible; any other error is raised.
        """
        read: list[Trial] = []
        error: BaseException | None = None
        while error is None and (future := self.finished.get(len(read))) is not None:
            if (error := future.exception()) is None:
                read.append(future.result())
        decision, trials, successes = plan.judge(trial.outcome == "converged" for trial in read)
        if decision == "continue":
            if error is None:
                return None
            if isinstance(error, LostTrialError) or not isinstance(error, ValueError):
                raise error
            note = error_words(error) or type(error).__name__
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


def judge_cells(cells: Sequence[CellTrials], plan: Plan, runner: Runner) -> list[Cell]:
    """Run trials until every cell is judged. A cell waits for its own trials only where another
    wants the room; else its next seeds are started too, and not counted if the plan stops before."""
    while waiting := [cell for cell in cells if cell.judge(plan) is None]:
        while runner.room > 0:
            wanting = [cell for cell in waiting if cell.started < plan.max_trials]
            if not wanting:
                break
            min(wanting, key=lambda cell: cell.pending).start(runner)
        for key, future in runner.finished():
            assert isinstance(key, tuple)
            cell, index = key
            cell.finished[index] = future
    return [judged for cell in cells if (judged := cell.judge(plan)) is not None]


@dataclass(frozen=True)
class Bisection:
    """What `bisect` found.

    - `a`, `b`: names; `swapped`: they were given in the other order. `verified`: `a` fails and `b`
      trains; without that there are no sets.
    - `cells`: those judged, `a` and `b` first. `declared`: how many share the error rates alpha and
      beta; `factorial`: all of them are judged.
    - `repairing`: `a` with such a set changed to b's values trains. `breaking`: `b` with such a set
      changed to a's values fails.
    - `plan`: judges each cell. `trained`: trials run or taken from the ledger, some of them
      perhaps not read.
    """

    a: str
    b: str
    swapped: bool
    differences: tuple[Difference, ...]
    cells: tuple[Cell, ...]
    declared: int
    factorial: bool
    repairing: tuple[MinimalSet, ...]
    breaking: tuple[MinimalSet, ...]
    plan: Plan
    alpha: float
    beta: float
    trained: int

    @property
    def verified(self) -> bool:
        """Whether `a` was seen to fail and `b` to train."""
        return (self.cells[0].answer, self.cells[1].answer) == ("fails", "trains")

    @property
    def found(self) -> bool:
        """Whether a repairing set was shown to be minimal."""
        return any(found.standing == "minimal" for found in self.repairing)

    @property
    def undecided(self) -> dict[float, float]:
        """The chance of `undecided` for a cell with P(converge) p_bad, p_good, or halfway between."""
        good, bad = self.plan.p_good, self.plan.p_bad
        rates = (bad, (good + bad) / 2, good)
        return {p: answer_chances(self.plan, p)["undecided"] for p in rates}

    @property
    def error_rates(self) -> tuple[float, float]:
        """The highest chances, for one cell, of `fails` where P(converge) >= p_good, and of `trains`
        where P(converge) <= p_bad."""
        return (
            answer_chances(self.plan, self.plan.p_good)["fails"],
            answer_chances(self.plan, self.plan.p_bad)["trains"],
        )

    def as_dict(self) -> dict[str, object]:
        """JSON-ready; values of differences as text."""
        own = ("a", "b", "swapped", "verified", "found", "factorial", "alpha", "beta")
        cell_alpha, cell_beta = self.error_rates
        return {
            **{name: getattr(self, name) for name in own},
            "differences": {d.name: d.text for d in self.differences},
            "cells": [asdict(cell) for cell in self.cells],
            "repairing": [asdict(found) for found in self.repairing],
            "breaking": [asdict(found) for found in self.breaking],
            "declared_cells": self.declared,
            "p_good": self.plan.p_good,
            "p_bad": self.plan.p_bad,
            "cell_alpha": cell_alpha,
            "cell_beta": cell_beta,
            "undecided": {f"{p:g}": chance for p, chance in self.undecided.items()},
            "trials_read": sum(cell.trials for cell in self.cells),
            "trials_run": self.trained,
        }


def bisect(
    a: ChangeableSource,
    b: ChangeableSource,
    *,
    together: Sequence[Sequence[str]] = (),
    p_good: float = 0.75,
    p_bad: float = 0.35,
    alpha: float = 0.05,
    beta: float = 0.05,
    max_cells: int | None = None,
    first_seed: int = 0,
    folder: Path | None = None,
    reuse: bool = True,
    jobs: int | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    tell: Callable[..., None] = lambda *problems: None,
    run: RunTrial = run_source,
) -> Bisection:
    """Find the smallest changes that make the failing of two sources train, and the training
    one fail; they may be given in either order.

    Up to FACTORIAL differences every cell is judged, all on the same seeds. Beyond, a search judges
    at most `max_cells` of them (default: `cell_bound`), each new cell on seeds of its own, since
    which cell comes next depends on what the seeds before showed.

    What is promised: a cell with P(converge) >= p_good is said to fail with probability at most
    alpha / cells, one with P(converge) <= p_bad to train with at most beta / cells, the cells
    counted before the first trial; so any such mistake has at most the larger of alpha and beta. And
    each such cell gets its right answer with at least 1 - (1 - CONFIDENCE) / 2, else `undecided`. For
    a rate between the two nothing is promised; `undecided` is common there (`answer_chances`).

    `together` names what moves as one. Trials are run by a `Runner` of these `folder`, `reuse`, `jobs`,
    `on_trial` and `run`; `tell` hears of its problems with the ledger.

    Raises InputError for sources that cannot be compared, do not differ or cannot be trained,
    and for numbers out of range.
    """
    differences = find_differences(a, b, together)
    everything = frozenset(difference.name for difference in differences)
    factorial = len(differences) <= FACTORIAL
    declared = _declared(len(differences), max_cells)
    plan = design_plan(p_good, p_bad, *Budget(declared, alpha, beta).share)
    trained: list[Trial] = []

    def keep(trial: Trial) -> None:
        trained.append(trial)
        on_trial(trial)

    with Runner(folder, reuse=reuse, jobs=jobs, on_trial=keep, run=run) as runner:
        taken = tuple(difference.name for difference in differences)
        ends = [CellTrials((), a, first_seed), CellTrials(taken, b, first_seed)]
        first, last = judge_cells(ends, plan, runner)
        for end, source in ((first, a), (last, b)):
            if end.answer == "impossible":
                raise InputError(f"{source.name} cannot be trained: {end.note}")
        swapped = (first.answer, last.answer) == ("trains", "fails")
        if swapped:
            a, b = b, a
            differences = tuple(difference.reversed() for difference in differences)
            first, last = replace(last, taken=()), replace(first, taken=last.taken)
        cells = {frozenset(cell.taken): cell for cell in (first, last)}
        verified = (first.answer, last.answer) == ("fails", "trains")

        def judge(wanted: Sequence[Names]) -> list[Answer]:
            # The ends were judged whatever the trials would show; they share the first seeds.
            step = 0 if factorial else len(cells) - 1
            seed = first_seed + step * plan.max_trials
            asked = []
            for chosen in wanted:
                moved = [d for d in differences if d.name in chosen]
                known = tuple(d.name for d in moved)
                asked.append(CellTrials(known, _try_mix(a, b, moved), seed))
            for chosen, cell in zip(wanted, judge_cells(asked, plan, runner), strict=True):
                cells[chosen] = cell
            return [cells[chosen].answer for chosen in wanted]

        answers = {chosen: cell.answer for chosen, cell in cells.items()}
        if verified:
            answers = explore(taken, answers, judge, declared)
        tell(*runner.problems)
    return Bisection(
        a=a.name,
        b=b.name,
        swapped=swapped,
        differences=differences,
        cells=tuple(cells.values()),
        declared=declared,
        factorial=factorial,
        repairing=repairing_sets(answers) if verified else (),
        breaking=breaking_sets(answers, everything) if verified else (),
        plan=plan,
        alpha=alpha,
        beta=beta,
        trained=len(trained),
    )


def _declared(differences: int, max_cells: int | None) -> int:
    bound = cell_bound(differences)
    if max_cells is None:
        return bound
    if differences <= FACTORIAL:
        raise InputError(
            f"a bound of {max_cells!r} cells is for more than {FACTORIAL} differences; here are "
            f"{differences}, of which all {bound} cells are judged"
        )
    return require_whole("the bound of cells", max_cells, 2)


def _try_mix(
    a: ChangeableSource, b: ChangeableSource, taken: Sequence[Difference]
) -> ChangeableSource | InputError:
    name = f"{a.name} + {', '.join(difference.name for difference in taken)}"
    try:
        return mix(a, b, taken, name)
    except InputError as error:
        return error
