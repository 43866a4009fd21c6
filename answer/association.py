"""Did a symptom foretell which trials get stuck? Counts and exact tests, stratified by variant.

A symptom measured before the outcome is a predictor. Nothing here says what causes what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepcaptcha.trials.history import PREDICTORS
from deepcaptcha.trials.trial import Trial
from deepcaptcha.verdicts.exact import holm, stratified


@dataclass(frozen=True)
class Predictor:
    """A symptom declared beforehand: `measure` at `step` batches is at least `threshold`."""

    measure: str
    step: int
    threshold: float

    @property
    def words(self) -> str:
        """As a reader would say it."""
        return f"{self.measure.replace('_', ' ')} >= {self.threshold:g} at step {self.step}"

    def shown_by(self, trial: Trial) -> bool | None:
        """Whether the trial showed it; None where it was not measured."""
        for step, values in trial.probes.get(PREDICTORS, ()):
            if step == self.step and values[self.measure] is not None:
                return bool(values[self.measure] >= self.threshold)
        return None


DECLARED = (
    Predictor("lost_share", 0, 0.5),
    Predictor("lost_share", 50, 0.5),
    Predictor("lost_share", 100, 0.5),
    Predictor("most_frequent_share", 100, 0.9),
    Predictor("dead_units", 100, 0.5),
    Predictor("logit_movement", 50, 16.118),
)
"""Declared before any of them was measured on a trial of this package."""


@dataclass(frozen=True)
class Association:
    """How often a symptom was shown by stuck trials and by converged ones, of how many.

    `p`: chance, if the symptom told nothing within any variant, of so many stuck trials showing it;
    exact, one-sided, Holm-adjusted over all symptoms; `least_p`: the smallest that these margins
    could have given, unadjusted.
    """

    predictor: Predictor
    stuck: tuple[int, int]
    converged: tuple[int, int]
    p: float
    least_p: float


def associate(
    trials: Sequence[Trial], predictors: Sequence[Predictor] = DECLARED
) -> tuple[Association, ...]:
    """One association per predictor, over the trials that were measured and ended stuck or
    converged; strata are (name, recipe)."""
    counted = [_tables(trials, predictor) for predictor in predictors]
    tests = [stratified(tables) for tables in counted]
    adjusted = holm([p for p, _ in tests])
    found = []
    for predictor, tables, p, (_, least) in zip(predictors, counted, adjusted, tests, strict=True):
        a, b, c, d = (sum(table[place] for table in tables) for place in range(4))
        found.append(Association(predictor, (a, a + b), (c, c + d), p, least))
    return tuple(found)


def _tables(trials: Sequence[Trial], predictor: Predictor) -> list[tuple[int, int, int, int]]:
    strata: dict[tuple[str, str], list[int]] = {}
    for trial in trials:
        shown = predictor.shown_by(trial)
        if shown is None or trial.outcome not in ("stuck", "converged"):
            continue
        table = strata.setdefault((trial.name, trial.recipe), [0, 0, 0, 0])
        table[(0 if trial.outcome == "stuck" else 2) + (not shown)] += 1
    return [(a, b, c, d) for a, b, c, d in strata.values()]
