"""Sequential plans for one rate: read trials in order, stop as soon as the answer is clear.

A plan tests p = P(a trial succeeds): *rejects* with probability at most `alpha` if p >= p_good,
*accepts* with probability at most `beta` if p <= p_bad, always decides by `max_trials`. All depends
only on the point (trials, successes), so a recursion over the points gives its exact rates."""

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, require_rate, require_whole

Decision = Literal["accept", "reject", "continue"]
Pair = tuple[float, float]
Array = NDArray[Any]  # plans are integers (plan, 0: accept or 1: reject, trials)

MOST_TRIALS = 1000  # a trial is a training run; a design also costs time with the cube of this
ROUNDING = 1e-9  # relative slack for floats; what is promised is checked again with Fractions


def require_rates(p_good: float, p_bad: float, alpha: float, beta: float) -> None:
    """InputError unless each is in (0, 1) and p_bad less than p_good."""
    rates = {"p_good": p_good, "p_bad": p_bad, "alpha": alpha, "beta": beta}
    for name, rate in rates.items():
        require_rate(name, rate)
    if p_bad >= p_good:
        raise InputError(f"p_bad must be less than p_good, not {p_bad} >= {p_good}")


@dataclass(frozen=True)
class Plan:
    """A truncated sequential test with its declared rates, in (0, 1). The index of `accept` and
    `reject` is the number of trials read, 0..max_trials: `accept[n]` is the smallest number of
    successes that accepts (n + 1: none does), `reject[n]` the largest that rejects (-1: none does);
    at the last trial accept = reject + 1. InputError for anything else."""

    p_good: float
    p_bad: float
    alpha: float
    beta: float
    max_trials: int
    accept: tuple[int, ...]
    reject: tuple[int, ...]

    def __post_init__(self) -> None:
        require_rates(self.p_good, self.p_bad, self.alpha, self.beta)
        last = require_whole("max_trials", self.max_trials, 1, MOST_TRIALS)
        rows = itertools.zip_longest(range(last + 1), self.reject, self.accept, fillvalue=-2)
        sound = all(-1 <= low < high <= n + 1 for n, low, high in rows)
        if not sound or self.accept[last] != self.reject[last] + 1:
            rule = f"-1 <= reject[n] < accept[n] <= n + 1 for n = 0..{last}, at the last one apart"
            raise InputError(f"boundaries must have {rule}, not {self}")

    def decide(self, successes: int, trials: int) -> Decision:
        """What to do at `successes`, 0..trials, out of `trials`, 0..max_trials."""
        require_whole("trials", trials, 0, self.max_trials)
        require_whole("successes", successes, 0, trials)
        if successes >= self.accept[trials]:
            return "accept"
        return "reject" if successes <= self.reject[trials] else "continue"

    def judge(self, outcomes: Iterable[bool]) -> tuple[Decision, int, int]:
        """Read outcomes (True: success) in order up to the first decision and not one further; each
        may cost a training run. Returns (decision, trials read, successes); "continue" if the
        outcomes ran out."""
        trials = successes = 0
        unread = iter(outcomes)
        while self.decide(successes, trials) == "continue":
            outcome = next(unread, None)
            if outcome is None:
                break
            if not isinstance(outcome, (bool, np.bool_)):
                raise InputError(f"an outcome must be True or False, not {outcome!r}")
            trials, successes = trials + 1, successes + bool(outcome)
        return self.decide(successes, trials), trials, successes


def remaining(plan: Plan, successes: int, trials: int) -> Plan:
    """What is left of a plan that continues at so many `successes` of `trials`, as a plan of its own."""
    left = range(plan.max_trials - trials + 1)
    accept = tuple(min(plan.accept[trials + n] - successes, n + 1) for n in left)
    reject = tuple(max(plan.reject[trials + n] - successes, -1) for n in left)
    rates = plan.p_good, plan.p_bad, plan.alpha, plan.beta
    return Plan(*rates, plan.max_trials - trials, accept, reject)


def follow(plans: Array, probability: Array) -> Array:
    """Forward recursion for K plans, each at its own probability (K,). Returns (3, K): the chances
    to accept, the chances to reject, the expected trials."""
    result = np.zeros((3, len(plans)))
    first, reach = 0, np.ones((1, len(plans)))  # reach[i]: the chance of first + i successes
    for accept, reject in plans.transpose(2, 1, 0):
        successes = first + np.arange(len(reach))[:, None]
        result[0] += np.where(successes >= accept, reach, 0).sum(axis=0)
        result[1] += np.where(successes <= reject, reach, 0).sum(axis=0)
        reach = np.where((successes < accept) & (successes > reject), reach, 0)
        # Only the band where some plan still continues is carried on.
        low = max(first, reject.min() + 1)
        reach, first = reach[low - first : max(accept.max() - first, 0)], low
        result[2] += reach.sum(axis=0)
        grown = np.empty((len(reach) + 1, len(plans)))  # np.pad would take a third of all time
        grown[0], grown[1:] = 0, probability * reach
        grown[:-1] += (1 - probability) * reach
        reach = grown
    return result


@dataclass(frozen=True)
class OperatingCharacteristic:
    """What a plan does at one P(success); it rejects with chance 1 - `accept`."""

    accept: float
    expected_trials: float


def operating_characteristic(plan: Plan, probability: float) -> OperatingCharacteristic:
    """By exact recursion over (trials, successes), in floats. `probability` is in [0, 1]."""
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise InputError(f"probability must be a number from 0 to 1, not {probability!r}")
    accept, _, expected = follow(np.array([[plan.accept, plan.reject]]), np.array([probability]))
    return OperatingCharacteristic(float(accept[0]), float(expected[0]))


@functools.lru_cache(maxsize=256)
def worst_expected_trials(plan: Plan) -> Pair:
    """(p, trials): the P(success) in [0, 1] with the most expected trials, and their number."""
    low, high = 0.0, 1.0
    for _ in range(5):
        grid = np.linspace(low, high, 201)
        expected = follow(np.tile([[plan.accept, plan.reject]], (201, 1, 1)), grid)[2]
        top = int(expected.argmax())
        low, high = grid[max(top - 2, 0)], grid[min(top + 2, 200)]
    return float(grid[top]), float(expected[top])


def all_stops(plan: Plan, up: int = 1, down: int = 1) -> list[tuple[bool, int, int, int]]:
    """(accepted, trials, successes, paths * up**successes * down**failures) where a plan stops, in
    stagewise order: rejections from the earliest on, then acceptances from the latest on."""
    stops, reach = [], {0: 1}
    for trials, (accept, reject) in enumerate(zip(plan.accept, plan.reject, strict=True)):
        reached, reach = reach, dict.fromkeys(range(trials + 2), 0)
        for successes, paths in reached.items():
            if reject < successes < accept:
                reach[successes] += paths * down
                reach[successes + 1] += paths * up
            elif paths:
                stops.append((successes >= accept, trials, successes, paths))
    return sorted(stops, key=lambda stop: (stop[0], -stop[1] if stop[0] else stop[1], stop[2]))


@functools.lru_cache(maxsize=256)
def exact_error_rates(plan: Plan) -> tuple[Fraction, Fraction]:
    """(P(reject | p_good), P(accept | p_bad)), what the plan achieves, in rational arithmetic; a
    probability is what its decimal text says: 0.95 is 19/20."""
    rates = []
    for probability, wrong in ((plan.p_good, False), (plan.p_bad, True)):
        up, one = Fraction(str(probability)).as_integer_ratio()
        ends = [stop for stop in all_stops(plan, up, one - up) if stop[0] == wrong]
        total = sum(paths * one ** (plan.max_trials - trials) for _, trials, _, paths in ends)
        rates.append(Fraction(total, one**plan.max_trials))
    return rates[0], rates[1]


def keeps_rates(plan: Plan) -> bool:
    """Whether its exact rates are at most those it declares."""
    alpha, beta = exact_error_rates(plan)
    return alpha <= Fraction(str(plan.alpha)) and beta <= Fraction(str(plan.beta))


@functools.lru_cache(maxsize=4096)
def confidence_interval(plan: Plan, successes: int, trials: int, confidence: float = 0.95) -> Pair:
    """For p, when the plan stopped at (trials, successes): under its stopping rule it covers p with
    at least `confidence`, in (0, 1). InputError where the plan cannot stop.

    Stagewise ordering (Armitage 1957; Tsiatis, Rosner, Mehta 1984; Jennison, Turnbull 2000, 8.4).
    To raise p is to turn failures into successes, which never moves a stop down in the order of
    `all_stops`: both tails are monotone in p. Each is (1 - confidence) / 2, rounded outwards."""
    tail = (1 - require_rate("confidence", confidence)) / 2
    stops = all_stops(plan)
    found = [i for i, stop in enumerate(stops) if stop[1:3] == (trials, successes)]
    if not found:
        raise InputError(f"this plan cannot stop at {successes!r} successes in {trials!r} trials")
    _, read, up, paths = np.array(stops, dtype=float).T
    limits = []
    for part, rising in ((slice(found[0], None), True), (slice(found[0] + 1), False)):
        ends = [0.0, 1.0]
        for _ in range(50):
            p = sum(ends) / 2
            chances = np.exp(np.log(paths) + up * math.log(p) + (read - up) * math.log1p(-p))
            ends[int((chances[part].sum() > tail) == rising)] = p
        limits.append(ends[not rising])
    return limits[0], limits[1]


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> Pair:
    """The Clopper-Pearson (1934) interval for p from `successes`, 0..trials, in a number of trials,
    at least 1, that was fixed beforehand. `confidence` is in (0, 1)."""
    from scipy.special import betaincinv

    require_whole("trials", trials)
    require_whole("successes", successes, 0, trials)
    tail = (1 - require_rate("confidence", confidence)) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes else 0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1
    return float(low), float(high)


def confidence_sequence(successes: int, trials: int, confidence: float = 0.95) -> Pair:
    """An interval for p at any number of trials, whatever ended them: the chance that any of the
    intervals along the way misses p is at most 1 - `confidence`, in (0, 1).

    - `successes`: 0..`trials`, at least 0.

    It holds every p whose likelihood is at least (1 - confidence) times that of the uniform mixture of
    all p. Their ratio, B(s + 1, n - s + 1) / (p^s (1 - p)^(n - s)), is a martingale under p that begins
    at 1 (Robbins 1970), and exceeds 1 / (1 - confidence) at any time with a chance of at most
    1 - confidence (Ville 1939).
    """
    from scipy.optimize import brentq
    from scipy.special import betaln, xlog1py, xlogy

    require_whole("trials", trials, 0)
    require_whole("successes", successes, 0, trials)
    failures = trials - successes
    height = betaln(successes + 1, failures + 1) + math.log(
        1 - require_rate("confidence", confidence)
    )

    def excess(p: float) -> float:
        return float(xlogy(successes, p) + xlog1py(failures, -p) - height)

    middle = successes / trials if trials else 0.5
    low = brentq(excess, 0, middle) - ROUNDING if successes else 0.0
    high = brentq(excess, middle, 1) + ROUNDING if failures else 1.0
    return max(low, 0.0), min(high, 1.0)
