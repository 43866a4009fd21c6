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

from .errors import InputError

Decision = Literal["accept", "reject", "continue"]
Pair = tuple[float, float]
Problem = tuple[float, float, float, float, int]  # p_good, p_bad, alpha, beta, max_trials
Array = NDArray[Any]  # plans are integers (plan, 0: accept or 1: reject, trials)

MOST_TRIALS = 1000  # a trial is a training run; a design also costs time with the cube of this
ROUNDING = 1e-9  # relative slack for floats; what is promised is checked again with Fractions
# The search: plans to start from, moves to combine, combinations to compute, the price of exceeding
# a rate in units of its multiplier, the relative distance from the bound that ends it.
STARTS, MOVES, COMPUTED, PENALTY, CLOSE = 12, 50, 200, 6.0, 0.001
TRIPLES = np.array(list(itertools.combinations(range(MOVES + 3), 3)))


class PlanError(InputError):
    """Bad input. The message is one line: what is wrong, the value, what would be right."""


def _whole(name: str, value: int, least: int, most: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise PlanError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return int(value)


def _rates(**rates: float) -> list[float]:
    for name, value in rates.items():
        if not isinstance(value, float) or not 0 < value < 1:
            raise PlanError(f"{name} must be a number above 0 and below 1, not {value!r}")
    if rates.get("p_bad", 0) >= rates.get("p_good", 1):
        raise PlanError("p_bad must be less than p_good, not {p_bad} >= {p_good}".format(**rates))
    return [float(value) for value in rates.values()]


@dataclass(frozen=True)
class Plan:
    """A truncated sequential test with its declared rates, in (0, 1). The index of `accept` and
    `reject` is the number of trials read, 0..max_trials: `accept[n]` is the smallest number of
    successes that accepts (n + 1: none does), `reject[n]` the largest that rejects (-1: none does);
    at the last trial accept = reject + 1. `PlanError` for anything else."""

    p_good: float
    p_bad: float
    alpha: float
    beta: float
    max_trials: int
    accept: tuple[int, ...]
    reject: tuple[int, ...]

    def __post_init__(self) -> None:
        _rates(p_good=self.p_good, p_bad=self.p_bad, alpha=self.alpha, beta=self.beta)
        last = _whole("max_trials", self.max_trials, 1, MOST_TRIALS)
        rows = itertools.zip_longest(range(last + 1), self.reject, self.accept, fillvalue=-2)
        sound = all(-1 <= low < high <= n + 1 for n, low, high in rows)
        if not sound or self.accept[last] != self.reject[last] + 1:
            rule = f"-1 <= reject[n] < accept[n] <= n + 1 for n = 0..{last}, at the last one apart"
            raise PlanError(f"boundaries must have {rule}, not {self}")

    def decide(self, successes: int, trials: int) -> Decision:
        """What to do at `successes`, 0..trials, out of `trials`, 0..max_trials."""
        trials = _whole("trials", trials, 0, self.max_trials)
        successes = _whole("successes", successes, 0, trials)
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
                raise PlanError(f"an outcome must be True or False, not {outcome!r}")
            trials, successes = trials + 1, successes + bool(outcome)
        return self.decide(successes, trials), trials, successes


def _follow(plans: Array, probability: Array) -> Array:
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
        failed, reach = (1 - probability) * reach, np.pad(probability * reach, ((1, 0), (0, 0)))
        reach[:-1] += failed
    return result


def _settle(problem: Problem, plans: Array) -> tuple[Array, Array]:
    """Bring plans to one form, whose boundaries rise by 0 or 1 a trial, and drop those that cross;
    measure (K, 3) the others: the objective, P(reject | p_good), P(accept | p_bad)."""
    accept, reject, trials = plans[:, 0], plans[:, 1], np.arange(plans.shape[2])
    # A point from which all paths end alike stops; one out of reach decides as its neighbour does.
    accept = np.minimum.accumulate(accept[:, ::-1], axis=1)[:, ::-1]
    accept = np.minimum.accumulate(accept - trials, axis=1) + trials
    reject = np.maximum.accumulate(reject, axis=1)
    reject = np.maximum.accumulate((reject - trials)[:, ::-1], axis=1)[:, ::-1] + trials
    sound = (reject < accept).all(axis=1) & (accept[:, 0] - reject[:, 0] == 2)
    plans = np.stack([accept, reject], axis=1)[sound]
    both = _follow(np.tile(plans, (2, 1, 1)), np.repeat(problem[:2], len(plans))).reshape(3, 2, -1)
    return plans, np.stack([both[2].mean(axis=0), both[1, 0], both[0, 1]], axis=1)


def _price(problem: Problem, multipliers: Array) -> tuple[Array, Array]:
    """Backward induction for K pairs of multipliers (K, 2): the least objective + multipliers .
    (error rates - declared), which is the dual value (K,), and the plans that reach it.

    `good` is the posterior of p_good for a prior of 1/2. The cost of going on is concave in it, and
    it rises with the successes: rejections are a run from 0 up, acceptances one from n down (Arrow,
    Blackwell, Girshick 1949), so their counts are the boundaries."""
    from scipy.special import expit

    p_good, p_bad, *declared, max_trials = problem
    gain, loss = math.log(p_good / p_bad), math.log((1 - p_good) / (1 - p_bad))
    plans = np.empty((len(multipliers), 2, max_trials + 1), dtype=int)
    cost = np.full((len(multipliers), max_trials + 2), np.inf)  # the last trial must decide
    for trials in range(max_trials, -1, -1):
        odds = np.linspace(trials * loss, trials * gain, trials + 1)  # logarithms, by successes
        good, bad = expit(odds), expit(-odds)
        up = p_good * good + p_bad * bad
        go = 1 + up * cost[:, 1:] + (1 - up) * cost[:, :-1]
        costs = np.stack([2 * multipliers[:, 1:] * bad, 2 * multipliers[:, :1] * good, go])
        cost, choice = costs.min(axis=0), costs.argmin(axis=0)
        plans[:, 0, trials] = (choice != 0).sum(axis=1)
        plans[:, 1, trials] = (choice == 1).sum(axis=1) - 1
    return cost[:, 0] - multipliers @ np.array(declared), plans


def _merit(problem: Problem, multipliers: Array, measures: Array) -> Array:
    over = np.maximum(measures[:, 1:] - np.array(problem[2:4]) * (1 + ROUNDING), 0)
    return measures[:, 0] + PENALTY * over @ multipliers


def _improve(problem: Problem, multipliers: Array, plan: Array) -> Array:
    """Lower the `_merit` of a plan (2, trials). A move shifts one boundary point, or both boundaries
    from a trial onward, by one success; a step makes up to three. Effects nearly add up, so triples
    of the MOVES cheapest are ranked by sums and only the COMPUTED most promising are computed."""
    count = plan.shape[1]
    single = np.eye(plan.size, dtype=int).reshape(-1, 2, count)
    single[..., -1] = 0  # the last trial decides: there both boundaries move
    onward = np.triu(np.ones((count, 2, count), dtype=int).swapaxes(0, 1)).swapaxes(0, 1)
    moves = np.concatenate([0 * single[:1], single, onward, -single, -onward])
    value = math.inf
    while True:
        plans, measures = _settle(problem, plan + moves)
        shifts, effects = plans - plans[0], measures - measures[0]  # the first is the null move
        regret = np.where(shifts.any(axis=(1, 2)), effects @ [1, *multipliers], np.inf)
        cheapest = np.argsort(regret, kind="stable")[:MOVES]
        triples = np.array([0, 0, 0, *cheapest])[TRIPLES % (3 + len(cheapest))]
        guesses = _merit(problem, multipliers, measures[0] + effects[triples].sum(axis=1))
        guesses[0] = -math.inf  # three null moves: the plan itself is always among the results
        likely = triples[np.argsort(guesses, kind="stable")[:COMPUTED]]
        plans, measures = _settle(problem, plan + shifts[likely].sum(axis=1))
        merits = _merit(problem, multipliers, measures)
        if merits.min() >= value * (1 - ROUNDING):
            return plan
        value, plan = float(merits.min()), plans[merits.argmin()]


@functools.lru_cache(maxsize=256)
def _search(problem: Problem) -> tuple[float, Plan | None]:
    """The lower bound, and the best plan met that keeps both rates exactly."""
    # The dual is concave: climb it on a grid of log multipliers that narrows around the best pair.
    bound, best, met = 0.0, 1 / np.array(problem[2:4]), []
    for width in 4 * 0.45 ** np.arange(10):
        grid = itertools.product(width * np.linspace(-1, 1, 15), repeat=2)
        multipliers = best * 10 ** np.array(list(grid))
        values, plans = _price(problem, multipliers)
        if values.max() > bound:
            bound, best = float(values.max()), multipliers[values.argmax()]
        met.append(plans[values >= 0.9 * bound])
    if bound > problem[4]:  # no plan reads more than max_trials, so none keeps both rates
        return bound, None
    plans, measures = _settle(problem, np.unique(np.concatenate(met), axis=0))
    order = np.argsort(_merit(problem, best, measures), kind="stable")
    starts = list(plans[order[:STARTS]])
    (size, threshold), trials = fixed_plan(*problem[:4]), np.arange(problem[4] + 1)
    if size <= problem[4]:  # the fixed plan makes sure that one is found
        accept = np.minimum(trials + 1, threshold)
        starts.append(np.stack([accept, np.clip(trials - size + threshold, 0, threshold) - 1]))
    found, least = None, math.inf
    for start, price in itertools.product(starts, (1, 10, 0)):  # 0: the start as it is
        bounds = _improve(problem, best * price, start) if price else start
        plan = Plan(*problem, *map(tuple, bounds.tolist()))
        objective = float(_settle(problem, bounds[None])[1][0, 0])
        if objective < least and _keeps_rates(plan):
            found, least = plan, objective
        if least <= bound * (1 + CLOSE):
            break
    return bound * (1 - ROUNDING), found


@functools.lru_cache(maxsize=256, typed=True)
def design_plan(
    p_good: float, p_bad: float, alpha: float, beta: float, max_trials: int | None = None
) -> Plan:
    """The plan found with the least (expected trials at p_good + expected trials at p_bad) / 2 that
    meets both rates, checked with Fractions; `lower_bound` says how much better any could be. Rates
    are in (0, 1); `max_trials`, up to MOST_TRIALS, is by default the fixed plan's size plus a
    quarter. `PlanError` for bad input, or if no plan is found."""
    rates = _rates(p_good=p_good, p_bad=p_bad, alpha=alpha, beta=beta)
    size, _ = fixed_plan(*rates)
    default = min(math.ceil(1.25 * size), MOST_TRIALS)
    most = default if max_trials is None else _whole("max_trials", max_trials, 1, MOST_TRIALS)
    plan = _search((*rates, most))[1]
    if plan is None:
        least = next(n for n in range(size, 0, -1) if not _search((*rates, n - 1))[1])
        raise PlanError(f"max_trials={most} is too small for both rates; the least is {least}")
    return plan


def lower_bound(p_good: float, p_bad: float, alpha: float, beta: float, max_trials: int) -> float:
    """What no plan of at most `max_trials` beats in `design_plan`'s objective, even at random: weak
    Lagrangian duality at the best multipliers found. Arguments and errors as there."""
    most = design_plan(p_good, p_bad, alpha, beta, max_trials).max_trials
    return _search((p_good, p_bad, alpha, beta, most))[0]


@functools.lru_cache(maxsize=256, typed=True)
def fixed_plan(p_good: float, p_bad: float, alpha: float, beta: float) -> tuple[int, int]:
    """(n, c): the smallest n, with its largest c, such that P(X < c | p_good) <= alpha and
    P(X >= c | p_bad) <= beta exactly, X being the binomial number of successes in n trials. Rates
    are in (0, 1); `PlanError` if n would exceed MOST_TRIALS."""
    from scipy.special import bdtr, bdtrc

    _rates(p_good=p_good, p_bad=p_bad, alpha=alpha, beta=beta)
    accept = 0
    for trials in range(1, MOST_TRIALS + 1):
        accept += int(bdtr(float(accept), trials, p_good) <= alpha * (1 + ROUNDING))
        for c in (accept, accept - 1):  # rounding may have let `accept` pass by one
            if c > 0 and bdtrc(c - 1.0, trials, p_bad) <= beta * (1 + ROUNDING):
                accepts, rejects = (*range(1, trials + 1), c), (*[-1] * trials, c - 1)
                if _keeps_rates(Plan(p_good, p_bad, alpha, beta, trials, accepts, rejects)):
                    return trials, c
    raise PlanError(f"{p_good=}, {p_bad=} take over {MOST_TRIALS} trials; set them wider apart")


@dataclass(frozen=True)
class OperatingCharacteristic:
    """What a plan does at P(success) = `probability`; it rejects with chance 1 - `accept`."""

    probability: float
    accept: float
    expected_trials: float


def operating_characteristic(plan: Plan, probability: float) -> OperatingCharacteristic:
    """By exact recursion over (trials, successes), in floats. `probability` is in [0, 1]."""
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise PlanError(f"probability must be a number from 0 to 1, not {probability!r}")
    accept, _, expected = _follow(np.array([[plan.accept, plan.reject]]), np.array([probability]))
    return OperatingCharacteristic(float(probability), float(accept[0]), float(expected[0]))


def worst_expected_trials(plan: Plan) -> Pair:
    """(p, trials): the P(success) in [0, 1] with the most expected trials, and their number."""
    low, high = 0.0, 1.0
    for _ in range(5):
        grid = np.linspace(low, high, 201)
        expected = _follow(np.tile([[plan.accept, plan.reject]], (201, 1, 1)), grid)[2]
        top = int(expected.argmax())
        low, high = grid[max(top - 2, 0)], grid[min(top + 2, 200)]
    return float(grid[top]), float(expected[top])


def _stops(plan: Plan, up: int = 1, down: int = 1) -> list[tuple[bool, int, int, int]]:
    """(accepted, trials, successes, paths * up**successes * down**failures) where the plan stops, in
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
        ends = [stop for stop in _stops(plan, up, one - up) if stop[0] == wrong]
        total = sum(paths * one ** (plan.max_trials - trials) for _, trials, _, paths in ends)
        rates.append(Fraction(total, one**plan.max_trials))
    return rates[0], rates[1]


def _keeps_rates(plan: Plan) -> bool:
    alpha, beta = exact_error_rates(plan)
    return alpha <= Fraction(str(plan.alpha)) and beta <= Fraction(str(plan.beta))


@functools.lru_cache(maxsize=4096)
def confidence_interval(plan: Plan, successes: int, trials: int, confidence: float = 0.95) -> Pair:
    """For p, when the plan stopped at (trials, successes): under its stopping rule it covers p with
    at least `confidence`, in (0, 1). `PlanError` where the plan cannot stop.

    Stagewise ordering (Armitage 1957; Tsiatis, Rosner, Mehta 1984; Jennison, Turnbull 2000, 8.4).
    To raise p is to turn failures into successes, which never moves a stop down in the order of
    `_stops`: both tails are monotone in p. Each is (1 - confidence) / 2, rounded outwards."""
    tail = (1 - _rates(confidence=confidence)[0]) / 2
    stops = _stops(plan)
    found = [i for i, stop in enumerate(stops) if stop[1:3] == (trials, successes)]
    if not found:
        raise PlanError(f"this plan cannot stop at {successes!r} successes in {trials!r} trials")
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

    trials = _whole("trials", trials, 1, 10**9)
    successes = _whole("successes", successes, 0, trials)
    tail = (1 - _rates(confidence=confidence)[0]) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes else 0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1
    return float(low), float(high)
