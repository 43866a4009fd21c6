"""Whether a row still reaches its target as often as its baseline did, and as fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from .baseline import Baseline
from .claim import Budget, Colour, TrialAt, Verdict, detectable_rate, judge_plan
from .design import design_plan
from .exact import rank_sum, smallest_shift
from .plan import Plan, binomial_interval

BOUND = 0.9
"""Confidence of the one-sided lower bound of a baseline's P(converged), where its plan begins."""

HIGH, DROP_FROM_HIGH, DROP = 0.9, 0.16, 0.25
"""The fall of P(converged) below that bound that a comparison looks for, above HIGH and elsewhere."""

ROW_BETA = 0.1
"""A row's chance to be green after that fall."""

_LEAST_BAD = 0.05  # a comparison that could only see a fall to below this is useless


def regression_plan(baseline: Baseline, budget: Budget) -> Plan | None:
    """The plan with p_good at the baseline's one-sided lower BOUND and p_bad a drop below; None where
    that leaves nothing to fall to."""
    # A one-sided bound is an end of the two-sided interval with twice the tail.
    low, _ = binomial_interval(baseline.converged, len(baseline.outcomes), 2 * BOUND - 1)
    p_good = math.floor(100 * low) / 100
    p_bad = round(p_good - (DROP_FROM_HIGH if p_good > HIGH else DROP), 2)
    if p_bad < _LEAST_BAD:
        return None
    return design_plan(p_good, p_bad, budget.comparison_alpha, ROW_BETA)


def judge_reliability(baseline: Baseline, budget: Budget, trial_at: TrialAt) -> Verdict:
    """Whether P(converged) fell below the baseline's, read in seed order."""
    rate = baseline.converged / len(baseline.outcomes)
    why = f"a baseline of {100 * rate:.0f} % leaves no fall of {100 * DROP:.0f} points to detect"
    try:
        plan = regression_plan(baseline, budget)
    except InputError as error:
        plan, why = None, str(error)
    if plan is None:
        return Verdict("as reliable", "cannot tell", 0, 0, (0.0, 1.0), note=why)
    verdict = judge_plan("as reliable", plan, lambda i: trial_at(i).outcome == "converged")
    if verdict.colour == "undecided":
        return verdict
    seen = detectable_rate(plan)
    note = f"detects a fall from {100 * rate:.0f} % to {100 * seen:.0f} % with 90 % power"
    return replace(verdict, detects=seen, note=note)


def judge_speed(baseline: Baseline, budget: Budget, trial_at: TrialAt, count: int) -> Verdict:
    """Whether the first `count` trials take longer to their target than the baseline's.

    One-sided exact rank-sum test of the epochs to the target; a trial that did not converge ranks after
    all that did. `count` must be fixed by the plans, not by what the trials showed. A gain is noted and
    green; `cannot tell` where not even misses alone would be red. What it sees, in epochs, is
    simulated.
    """
    missed = int(baseline.recipe["epochs"]) + 1

    def ranked(epochs: Sequence[int | None]) -> list[tuple[int, float]]:
        return [(0, float(each or missed)) for each in epochs]

    then = baseline.epochs_to_target
    alpha = budget.comparison_alpha
    slowest = rank_sum(ranked([None] * count), ranked(then)).high
    if slowest > alpha:
        why = f"{count} trials that all missed their target would not be red (p {slowest:.2g})"
        return Verdict("as fast", "cannot tell", 0, 0, (0.0, 1.0), note=why)
    now = [trial_at(i).epochs_to_target for i in range(count)]
    p = rank_sum(ranked(now), ranked(then)).high
    note = f"{_epochs_words(now)} to target, baseline {_epochs_words(then)}; p {p:.2g}"
    reached = tuple(float(each) for each in then if each is not None)
    # Two-sided at twice the level is one-sided at the level; epochs are whole.
    shift = smallest_shift(reached, then.count(None), count, 2 * alpha)
    sees = max(1.0, math.ceil(shift)) if shift < missed else None
    colour: Colour = "red" if p <= alpha else "green"
    converged = count - now.count(None)
    return Verdict(
        "as fast", colour, converged, count, (0.0, 1.0), alpha=alpha, sees=sees, note=note
    )


def _epochs_words(epochs: Sequence[int | None]) -> str:
    """`1 to 3 epochs`, `1 epoch or missed`: the range of those that are not None."""
    reached = [each for each in epochs if each is not None]
    if not reached:
        return "missed"
    low, high = min(reached), max(reached)
    count = f"{low} epoch{'s' if low > 1 else ''}" if low == high else f"{low} to {high} epochs"
    return count + (" or missed" if len(reached) < len(epochs) else "")
