"""Verdicts with declared error rates: claims, the suite's budget, judgement in seed order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any, Literal, get_args

from ..errors import InputError
from ..trials.trial import Trial
from .design import design_plan
from .plan import (
    Plan,
    binomial_interval,
    confidence_interval,
    exact_error_rates,
    operating_characteristic,
)

Kind = Literal["trains", "stuck", "mixed"]
Colour = Literal["green", "red", "cannot tell"]

TrialAt = Callable[[int], Trial]
"""Answers with the trial of the n-th seed of the judged stream, training it if need be."""


@dataclass(frozen=True)
class Claim:
    """What a factory and recipe promise, declared before the judged seeds are run.

    `trains`: red with probability at most alpha if P(converged) >= p_good, green with probability at
    most beta if P(converged) <= p_bad. `stuck`: the same of P(stuck). `mixed` promises nothing:
    p_good and p_bad are None. Raises InputError for anything else.
    """

    kind: Kind
    p_good: float | None = None
    p_bad: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"a claim is {', '.join(get_args(Kind))}, not {self.kind!r}")
        rates = (self.p_good, self.p_bad)
        if self.kind == "mixed":
            if rates != (None, None):
                raise InputError(f"a mixed claim promises no rates, not {rates}")
        elif self.p_good is None or self.p_bad is None or not 0 < self.p_bad < self.p_good < 1:
            raise InputError(
                f"a claim {self.kind!r} needs 0 < p_bad < p_good < 1, not p_bad {self.p_bad} and "
                f"p_good {self.p_good}"
            )

    def holds_in(self, trial: Trial) -> bool:
        """Whether one trial counts for the claim (for `mixed`: whether it converged)."""
        return trial.outcome == ("stuck" if self.kind == "stuck" else "converged")


@dataclass(frozen=True)
class Budget:
    """The suite's chances to be wrong, shared by Bonferroni over all declared hypotheses: whatever
    is selected or run, each has alpha / hypotheses and beta / hypotheses."""

    hypotheses: int
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        if type(self.hypotheses) is not int or self.hypotheses < 1:
            raise InputError(f"{self.hypotheses!r} hypotheses; a whole number >= 1 is needed")
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise InputError(f"the suite's {name} is {value!r}; between 0 and 1 is needed")

    @property
    def share(self) -> tuple[float, float]:
        """One hypothesis' (alpha, beta), rounded down to four digits so that their sum keeps the
        whole."""
        return _part(self.alpha, self.hypotheses), _part(self.beta, self.hypotheses)


def _part(whole: float, count: int) -> float:
    return float(Context(prec=4, rounding=ROUND_DOWN).divide(Decimal(str(whole)), Decimal(count)))


@dataclass(frozen=True)
class Verdict:
    """What the trials say of one hypothesis; a plan's figures are None where nothing is judged.

    `interval` is the exact 95 % interval for the rate of `successes`, valid under the plan's
    stopping rule. `alpha` and `beta` are the rates the plan achieves, at `p_good` and `p_bad`; a fall of
    the rate to `detects` turns it red with 90 % probability.
    """

    hypothesis: str
    colour: Colour
    successes: int
    trials: int
    interval: tuple[float, float]
    p_good: float | None = None
    p_bad: float | None = None
    alpha: float | None = None
    beta: float | None = None
    detects: float | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.__dict__, "interval": list(self.interval)}


def claim_plan(claim: Claim, budget: Budget) -> Plan:
    """The sequential plan that judges a `trains` or `stuck` claim within the budget."""
    if claim.p_good is None or claim.p_bad is None:
        raise InputError("a mixed claim is not judged and has no plan")
    return design_plan(claim.p_good, claim.p_bad, *budget.share)


MIXED_TRIALS = 20
"""Trials that describe a mixed claim; their number never depends on what they show."""


def judge_claim(claim: Claim, budget: Budget, trial_at: TrialAt) -> Verdict:
    """Read trials in seed order until the claim is decided; MIXED_TRIALS of them where it is mixed,
    which is then only described."""
    if claim.kind == "mixed":
        successes = sum(claim.holds_in(trial_at(i)) for i in range(MIXED_TRIALS))
        interval = binomial_interval(successes, MIXED_TRIALS)
        return Verdict("mixed", "cannot tell", successes, MIXED_TRIALS, interval, note="not judged")
    plan = claim_plan(claim, budget)
    return judge_plan(claim.kind, plan, lambda i: claim.holds_in(trial_at(i)))


def judge_plan(hypothesis: str, plan: Plan, success_at: Callable[[int], bool]) -> Verdict:
    """Read successes in order until the plan decides: accepted is green, rejected red."""
    decision, trials, successes = plan.judge(success_at(i) for i in range(plan.max_trials))
    alpha, beta = exact_error_rates(plan)
    return Verdict(
        hypothesis,
        "green" if decision == "accept" else "red",
        successes,
        trials,
        confidence_interval(plan, successes, trials),
        plan.p_good,
        plan.p_bad,
        float(alpha),
        float(beta),
    )


def chance_to_pass(claim: Claim, budget: Budget, rate: float) -> float:
    """P(green) if trials succeed with probability `rate`."""
    return operating_characteristic(claim_plan(claim, budget), rate).accept


def false_alarms_a_year(budget: Budget) -> float:
    """Upper bound of the expected number of red nights a year while every claim is true."""
    return 365 * budget.alpha
