"""Which change makes a stuck model train, and which makes a sound one fail: found by intervention.

Between two configurations, A, which fails, and B, which trains, lie the cells: A with some of its
differences set to B's values. Each is trained and judged by a sequential plan. Nothing is assumed of
how the differences act together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..keras.data import Data
from ..trials.pool import Run, TrialPool
from ..trials.runner import run_task
from ..trials.trial import Trial
from ..verdicts.claim import Budget
from ..verdicts.design import design_plan
from ..verdicts.plan import Plan
from .cells import Cell, Reading, answer_chances, judge_cells
from .configuration import Configuration, Difference, find_differences, mix
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
    def error_rates(self) -> tuple[float, float]:
        """The highest chances, for one cell, of `fails` where P(converge) >= p_good, and of `trains`
        where P(converge) <= p_bad."""
        return (
            answer_chances(self.plan, self.plan.p_good)["fails"],
            answer_chances(self.plan, self.plan.p_bad)["trains"],
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; values of differences as text."""
        middle = (self.plan.p_good + self.plan.p_bad) / 2
        return {
            "a": self.a,
            "b": self.b,
            "swapped": self.swapped,
            "verified": self.verified,
            "found": self.found,
            "differences": {d.name: d.text for d in self.differences},
            "cells": [cell.as_dict() for cell in self.cells],
            "repairing": [found.__dict__ for found in self.repairing],
            "breaking": [found.__dict__ for found in self.breaking],
            "factorial": self.factorial,
            "declared_cells": self.declared,
            "p_good": self.plan.p_good,
            "p_bad": self.plan.p_bad,
            "alpha": self.alpha,
            "beta": self.beta,
            "cell_alpha": self.error_rates[0],
            "cell_beta": self.error_rates[1],
            "undecided": {
                f"{p:g}": answer_chances(self.plan, p)["undecided"]
                for p in (self.plan.p_bad, middle, self.plan.p_good)
            },
            "trials_read": sum(cell.trials for cell in self.cells),
            "trials_run": self.trained,
        }


def bisect(
    a: Configuration,
    b: Configuration,
    *,
    together: Sequence[Sequence[str]] = (),
    p_good: float = 0.75,
    p_bad: float = 0.35,
    alpha: float = 0.05,
    beta: float = 0.05,
    max_cells: int | None = None,
    first_seed: int = 0,
    reuse_model: bool = False,
    examples: Data | None = None,
    folder: Path | None = None,
    reuse: bool = True,
    jobs: int | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    run: Run = run_task,
) -> Bisection:
    """Find the smallest changes that make the failing of two configurations train, and the training
    one fail; they may be given in either order.

    Up to FACTORIAL differences every cell is judged, all on the same seeds. Beyond, a search judges
    at most `max_cells` of them (default: `cell_bound`), each new cell on seeds of its own, since
    which cell comes next depends on what the seeds before showed.

    What is promised: a cell with P(converge) >= p_good is said to fail with probability at most
    alpha / cells, one with P(converge) <= p_bad to train with at most beta / cells, the cells
    counted before the first trial; so any such mistake has at most the larger of alpha and beta. And
    each such cell gets its right answer with at least 1 - (1 - CONFIDENCE) / 2, else `undecided`. For
    a rate between the two nothing is promised; `undecided` is common there (`answer_chances`).

    `together` names what moves as one. `examples` are trained on in place of what the recipes' `data`
    names. Trials are of tasks whose model `reuse_model` allows to keep,
    run by `run`, in `jobs` processes or (None) here, recorded in `folder` and, with `reuse`, taken
    from there.

    Raises InputError for configurations that cannot be compared, do not differ or cannot be trained,
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

    with TrialPool(folder, reuse=reuse, jobs=jobs, on_trial=keep, run=run) as pool:
        taken = [difference.name for difference in differences]
        ends = [
            Reading((), a, first_seed, reuse_model, examples),
            Reading(taken, b, first_seed, reuse_model, examples),
        ]
        first, last = judge_cells(ends, plan, pool)
        for end, configuration in ((first, a), (last, b)):
            if end.answer == "impossible":
                raise InputError(f"{configuration.name} cannot be trained: {end.note}")
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
            readings = []
            for chosen in wanted:
                moved = [d for d in differences if d.name in chosen]
                names, mixed = [d.name for d in moved], _try_mix(a, b, moved)
                readings.append(Reading(names, mixed, seed, reuse_model, examples))
            for chosen, cell in zip(wanted, judge_cells(readings, plan, pool), strict=True):
                cells[chosen] = cell
            return [cells[chosen].answer for chosen in wanted]

        answers = {chosen: cell.answer for chosen, cell in cells.items()}
        if verified:
            answers = explore(taken, answers, judge, declared)
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
    if type(max_cells) is not int or max_cells < 2:
        raise InputError(f"a bound of {max_cells!r} cells; a whole number >= 2 is needed")
    return max_cells


def _try_mix(
    a: Configuration, b: Configuration, taken: Sequence[Difference]
) -> Configuration | InputError:
    name = f"{a.name} + {', '.join(difference.name for difference in taken)}"
    try:
        return mix(a, b, taken, name)
    except InputError as error:
        return error
