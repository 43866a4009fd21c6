"""Verdicts with declared error rates: claims, the suite's budget, judgement in seed order."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_DOWN, Context, Decimal
from functools import cache
from typing import Any, Literal, get_args

from ..errors import InputError, require_rate
from ..trials.trial import OUTCOMES, Trial
from .design import design_plan
from .exact import POWER
from .plan import (
    Plan,
    binomial_interval,
    confidence_interval,
    confidence_sequence,
    exact_error_rates,
    operating_characteristic,
    remaining,
)

Kind = Literal["trains", "stuck", "mixed"]
Colour = Literal["green", "yellow", "red", "cannot tell", "undecided"]
Json = Mapping[str, Any]  # plain dicts, lists, texts and numbers

TrialAt = Callable[[int], Trial]
"""Answers with the trial of the n-th seed of the judged stream, training it if need be. Raises
CappedError where it may not be trained any more."""


class CappedError(Exception):
    """A cap on trials or minutes is reached; says which."""


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


CLAIMS, AS_BEFORE, WHOLE = 0.4, 0.4, 0.2
"""Of a budget's alpha, what claims have, comparisons of rows with their baselines, and the suite as a
whole."""


@dataclass(frozen=True)
class Budget:
    """The suite's chances to be wrong, shared by Bonferroni over all that is declared, whatever is
    selected or run. No stage reads what an earlier one left at that one's level again: each has a part
    of its own.

    - `hypotheses`: all verdicts. `rows`: those rows among them that are compared with a baseline, each
      by two verdicts; the others are claims. Without rows the claims have all of alpha.
    - `alpha`: any false red. `beta`: any false green of a claim; a comparison says instead what it
      would have seen.
    """

    hypotheses: int
    alpha: float = 0.05
    beta: float = 0.05
    rows: int = 0

    def __post_init__(self) -> None:
        if type(self.hypotheses) is not int or self.hypotheses < 1:
            raise InputError(f"{self.hypotheses!r} hypotheses; a whole number >= 1 is needed")
        if type(self.rows) is not int or not 0 <= 2 * self.rows <= self.hypotheses:
            raise InputError(
                f"{self.rows!r} rows are compared, by two of {self.hypotheses} hypotheses each; a whole "
                "number of at most half of them is needed"
            )
        require_rate("the suite's alpha", self.alpha)
        require_rate("the suite's beta", self.beta)

    @property
    def claims(self) -> int:
        """Hypotheses that are claims."""
        return self.hypotheses - 2 * self.rows

    @property
    def share(self) -> tuple[float, float]:
        """One claim's (alpha, beta), rounded down to four digits so that their sum keeps the whole."""
        part = CLAIMS if self.rows else 1
        return _share(self.alpha, part, self.claims), _share(self.beta, 1, self.claims)

    @property
    def comparison_alpha(self) -> float:
        """The alpha of one of a row's two comparisons with its baseline, rounded down likewise."""
        return _share(self.alpha, AS_BEFORE, 2 * self.rows) if self.rows else self.share[0]

    @property
    def whole_alpha(self) -> float:
        """The alpha of the suite as a whole; 0 where no row is compared."""
        return _share(self.alpha, WHOLE, 1) if self.rows else 0.0

    @property
    def lines(self) -> tuple[str, ...]:
        """The arithmetic: who has which part of alpha."""
        if not self.rows:
            many = "s" * (self.hypotheses > 1)
            return (
                f"{self.alpha:.3g} / {self.hypotheses} verdict{many} = {self.share[0]:.3g} each",
            )
        parts = (
            ("claims", CLAIMS, f"{self.claims} claims", self.claims, self.share[0]),
            ("as before", AS_BEFORE, f"{self.rows} rows x 2", self.rows, self.comparison_alpha),
            ("the whole", WHOLE, "1 test", 1, self.whole_alpha),
        )
        return tuple(
            f"{name}: {part:g} x {self.alpha:.3g} / {count} = {each:.3g} each"
            for name, part, count, any_of_it, each in parts
            if any_of_it
        )


def _share(rate: float, part: float, count: int) -> float:
    """A part of a rate shared by so many, rounded down; all of the part where there are none."""
    down = Context(prec=4, rounding=ROUND_DOWN)
    whole = Decimal(str(rate)) * Decimal(str(part))
    return float(down.divide(whole, Decimal(max(count, 1))))


@dataclass(frozen=True)
class Verdict:
    """What the trials say of one hypothesis.

    - `colour`: `undecided` where a cap ended the trials before the plan did.
    - `interval`: the exact 95 % interval for the rate of `successes`, valid under the stopping rule; of
      an undecided verdict valid whatever ended the trials (`plan.confidence_sequence`).
    - `plan`: read the trials; None where their number was fixed, or where nothing is judged.
    - `alpha`, `beta`: the chances to be wrong that the verdict has, of a plan at its p_good and p_bad;
      None where nothing is judged.
    - `detects`: a fall of the rate to it turns the verdict red with 90 % probability. `sees`: so does a
      shift of any measure by so many spreads of its seeds, red or yellow; of `as fast`, by so many
      epochs.
    """

    hypothesis: str
    colour: Colour
    successes: int
    trials: int
    interval: tuple[float, float]
    plan: Plan | None = None
    alpha: float | None = None
    beta: float | None = None
    detects: float | None = None
    sees: float | None = None
    note: str = ""

    def as_dict(self) -> Json:
        """JSON-ready, with the rates of its plan."""
        rates = {name: getattr(self.plan, name, None) for name in ("p_good", "p_bad")}
        return {**asdict(self), **rates}

    @classmethod
    def from_dict(cls, fields: Json) -> Verdict:
        """The inverse of `as_dict`, also after JSON."""
        own = {name: fields[name] for name in cls.__dataclass_fields__}
        if plan := own["plan"]:
            bounds = {name: tuple(plan[name]) for name in ("accept", "reject")}
            own["plan"] = Plan(**{**plan, **bounds})
        return cls(**{**own, "interval": tuple(own["interval"])})


@dataclass(frozen=True)
class Summary:
    """What trials of one factory and recipe show: how many there are and how many converged.

    - `median_epochs`: of the converged trials; None without any.
    - `outcomes`: how many trials ended with each.
    - `epochs`: trained, of `epochs_planned`. `seconds`: of all trials.
    """

    trials: int
    converged: int
    median_epochs: float | None
    outcomes: Mapping[str, int]
    epochs: int
    epochs_planned: int
    seconds: float

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's exact 95 % interval for P(converged); of a fixed number of trials."""
        return binomial_interval(self.converged, self.trials)

    def as_dict(self) -> Json:
        """JSON-ready, with the interval; seconds to a tenth."""
        seconds = round(self.seconds, 1)
        return {**asdict(self), "interval": list(self.interval), "seconds": seconds}


def summarise(trials: Sequence[Trial]) -> Summary:
    """The summary of trials of one factory and recipe; at least one."""
    counts = Counter(trial.outcome for trial in trials)
    reached = [trial.epochs_to_target for trial in trials if trial.epochs_to_target is not None]
    return Summary(
        trials=len(trials),
        converged=counts["converged"],
        median_epochs=statistics.median(reached) if reached else None,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        epochs=sum(len(trial.epochs) for trial in trials),
        epochs_planned=sum(trial.settings["epochs"] for trial in trials),
        seconds=round(sum(trial.seconds for trial in trials), 3),
    )


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
        return _describe(claim, trial_at)
    plan = claim_plan(claim, budget)
    verdict = judge_plan(claim.kind, plan, lambda i: claim.holds_in(trial_at(i)))
    if verdict.colour == "undecided":
        return verdict
    return replace(verdict, detects=detectable_rate(plan))


def _describe(claim: Claim, trial_at: TrialAt) -> Verdict:
    held: list[bool] = []
    try:
        for place in range(MIXED_TRIALS):
            held.append(claim.holds_in(trial_at(place)))
    except CappedError as cap:
        interval = confidence_sequence(sum(held), len(held))
        note = f"not judged; {cap}"
    else:
        interval, note = binomial_interval(sum(held), MIXED_TRIALS), "not judged"
    return Verdict("mixed", "cannot tell", sum(held), len(held), interval, note=note)


def judge_plan(hypothesis: str, plan: Plan, success_at: Callable[[int], bool]) -> Verdict:
    """Read successes in order until the plan decides: accepted is green, rejected red; undecided where a
    cap ends them before."""
    read: list[bool] = []

    def outcomes() -> Iterator[bool]:
        for place in range(plan.max_trials):
            read.append(success_at(place))
            yield read[-1]

    try:
        decision, trials, successes = plan.judge(outcomes())
    except CappedError as cap:
        successes, trials = sum(read), len(read)
        interval = confidence_sequence(successes, trials)
        note = f"{cap}; {what_decides(plan, successes, trials)}"
        return Verdict(hypothesis, "undecided", successes, trials, interval, plan, note=note)
    colour: Colour = "green" if decision == "accept" else "red"
    interval = confidence_interval(plan, successes, trials)
    alpha, beta = map(float, exact_error_rates(plan))
    return Verdict(hypothesis, colour, successes, trials, interval, plan, alpha, beta)


def what_decides(plan: Plan, successes: int, trials: int) -> str:
    """How many more trials would decide, at best and at most, where the plan continues."""
    left = remaining(plan, successes, trials)
    green = next(n for n, least in enumerate(left.accept) if least <= n)
    red = next(n for n, most in enumerate(left.reject) if most >= 0)
    expected = operating_characteristic(left, plan.p_good).expected_trials
    return (
        f"{green} more in a row make it green, {red} misses red; {expected:.1f} more are expected at "
        f"{100 * plan.p_good:.3g} %, at most {left.max_trials}"
    )


@dataclass(frozen=True)
class Cost:
    """Trainings: `expected` where the claim is as good as it says, and `most`."""

    expected: float
    most: int


def claim_cost(claim: Claim, budget: Budget) -> Cost:
    """What a verdict on the claim costs."""
    if claim.kind == "mixed" or claim.p_good is None:
        return Cost(MIXED_TRIALS, MIXED_TRIALS)
    plan = claim_plan(claim, budget)
    expected = operating_characteristic(plan, claim.p_good).expected_trials
    return Cost(expected, plan.max_trials)


@cache
def detectable_rate(plan: Plan) -> float:
    """The highest P(converged), to 0.01, at which the plan turns red with 90 % probability."""
    rates = (i / 100 for i in range(100, -1, -1))
    return next(r for r in rates if operating_characteristic(plan, r).accept <= 1 - POWER)


def chance_to_pass(claim: Claim, budget: Budget, rate: float) -> float:
    """P(green) if trials succeed with probability `rate`."""
    return operating_characteristic(claim_plan(claim, budget), rate).accept
