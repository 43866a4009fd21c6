"""The best sequential plan for a claim: the least expected trials that keep both error rates."""

import functools
import itertools
import math

import numpy as np

from ..errors import InputError, require_whole
from .plan import MOST_TRIALS, ROUNDING, Array, Plan, follow, keeps_rates, require_rates

Problem = tuple[float, float, float, float, int]  # p_good, p_bad, alpha, beta, max_trials

# The search: plans to start from, moves to combine, combinations to compute, the price of exceeding
# a rate in units of its multiplier, the relative distance from the bound that ends it.
STARTS, MOVES, COMPUTED, PENALTY, CLOSE = 12, 50, 200, 6.0, 0.001
TRIPLES = np.array(list(itertools.combinations(range(MOVES + 3), 3)))

# Plans of more than LARGE trials lie nearer to the bound, and each step of the search costs more: fewer
# STEPS to the bound, fewer starts, an earlier end. No search goes beyond twice the fixed plan, or LARGE.
LARGE, HUGE, STEPS, FEW_STARTS, NEAR = 40, 120, (60, 35), 3, (0.002, 0.005)


def _settle(problem: Problem, plans: Array) -> tuple[Array, Array]:
    """Bring plans to one form, whose boundaries rise by 0 or 1 a trial, and drop those that cross;
    measure (K, 3) the others: the objective, P(reject | p_good), P(accept | p_bad)."""
    accept, reject, trials = plans[:, 0], plans[:, 1], np.arange(plans.shape[2])
    # A point from which all paths end alike stops; one out of reach decides as its neighbour does.
    accept = np.minimum.accumulate(accept[:, ::-1], axis=1)[:, ::-1]
    accept = np.minimum.accumulate(accept - trials, axis=1) + trials
    reject = np.maximum.accumulate(reject, axis=1)
    reject = np.maximum.accumulate((reject - trials)[:, ::-1], axis=1)[:, ::-1] + trials
    sound = (reject < accept).all(axis=1) & (accept[:, 0] == 1) & (reject[:, 0] == -1)
    plans = np.stack([accept, reject], axis=1)[sound]
    if not len(plans):
        return plans, np.empty((0, 3))
    both = follow(np.tile(plans, (2, 1, 1)), np.repeat(problem[:2], len(plans))).reshape(3, 2, -1)
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


def _climb(problem: Problem) -> tuple[float, Array, Array]:
    """The dual's largest value found, its multipliers, and plans met near them. The dual is concave."""
    bound, best, met = 0.0, 1 / np.array(problem[2:4]), []

    def look(multipliers: Array) -> Array:
        nonlocal bound, best
        values, plans = _price(problem, multipliers)
        if values.max() > bound:
            bound, best = float(values.max()), multipliers[values.argmax()]
        met.append(plans[values >= 0.9 * bound])
        return values

    if problem[4] <= LARGE:  # a grid of log multipliers that narrows around the best pair
        for width in 4 * 0.45 ** np.arange(10):
            grid = itertools.product(width * np.linspace(-1, 1, 15), repeat=2)
            look(best * 10 ** np.array(list(grid)))
    else:
        from scipy.optimize import minimize

        start = best
        minimize(
            # Where no plan keeps both rates the dual has no top.
            lambda logs: -look(start[None] * 10 ** logs[None].clip(-20, 20))[0],
            np.zeros(2),
            method="Nelder-Mead",
            options={
                "maxfev": STEPS[problem[4] > HUGE],
                "initial_simplex": [[-1, -1], [1, 0], [0, 1]],
            },
        )
        # Slightly dearer errors lead to plans that keep both rates.
        look(best * np.array(list(itertools.product((1, 1.03, 1.1, 1.3, 1.8, 4), repeat=2))))
    return bound, best, np.unique(np.concatenate(met), axis=0)


def _starts(problem: Problem, best: Array, plans: Array) -> list[tuple[Array, float]]:
    """Where the search begins, in its order, with the price of errors there; 0: the plan as it is."""
    plans, measures = _settle(problem, plans)
    order = np.argsort(_merit(problem, best, measures), kind="stable")
    (size, threshold), trials = fixed_plan(*problem[:4]), np.arange(problem[4] + 1)
    fixed = []
    if size <= problem[4]:  # it makes sure that one is found
        accept = np.minimum(trials + 1, threshold)
        fixed = [np.stack([accept, np.clip(trials - size + threshold, 0, threshold) - 1])]
    if problem[4] <= LARGE:
        return list(itertools.product([*plans[order[:STARTS]], *fixed], (1, 10, 0)))
    keep = (measures[:, 1:] <= problem[2:4]).all(axis=1)
    kept = plans[keep][np.argsort(measures[keep, 0], kind="stable")]
    # Below the fixed plan's size there may be none, and a search for it would go on and on.
    few = 0 if (len(kept) and problem[4] > HUGE) or size > problem[4] else FEW_STARTS
    starts = plans[order[:few]]
    return [
        *itertools.product(kept[:20], (0,)),
        *itertools.product(starts, (1, 10)),
        *((f, 0) for f in fixed),
    ]


@functools.lru_cache(maxsize=256)
def _search(problem: Problem) -> tuple[float, Plan | None]:
    """The lower bound, and the best plan met that keeps both rates exactly."""
    rates, most = problem[:4], problem[4]
    reach = min(most, max(LARGE, 2 * fixed_plan(*rates)[0]))  # more trials hardly save any
    inner = (*rates, reach)
    bound, best, plans = _climb(inner)
    if bound > reach == most:  # no plan reads more than max_trials, so none keeps both rates
        return bound, None
    close = CLOSE if reach <= LARGE else NEAR[reach > HUGE]
    found, least = None, math.inf
    for start, price in _starts(inner, best, plans):
        bounds = _improve(inner, best * price, start) if price else start
        plan = Plan(*inner, *map(tuple, bounds.tolist()))
        objective = float(_settle(inner, bounds[None])[1][0, 0])
        if objective < least and keeps_rates(plan):
            found, least = plan, objective
        if least <= bound * (1 + close):
            break
    if found is not None and reach < most:  # it never reads further, and has a boundary there
        accept = (*found.accept, *[found.accept[-1]] * (most - reach))
        reject = (*found.reject, *[found.reject[-1]] * (most - reach))
        found = Plan(*problem, accept, reject)
        bound = float(_price(problem, best[None])[0][0])
    # At random, no trial may be enough; a plan reads one.
    return max(1.0, bound * (1 - ROUNDING)), found


@functools.lru_cache(maxsize=256, typed=True)
def design_plan(
    p_good: float, p_bad: float, alpha: float, beta: float, max_trials: int | None = None
) -> Plan:
    """The plan found with the least (expected trials at p_good + expected trials at p_bad) / 2 that
    meets both rates, checked with Fractions; `lower_bound` says how much better any could be. Rates
    are in (0, 1); `max_trials`, up to MOST_TRIALS, is by default the fixed plan's size plus a
    quarter. InputError for bad input, or if no plan is found."""
    rates = p_good, p_bad, alpha, beta
    size, _ = fixed_plan(*rates)
    most = min(math.ceil(1.25 * size), MOST_TRIALS) if max_trials is None else max_trials
    bound, plan = _search((*rates, require_whole("max_trials", most, 1, MOST_TRIALS)))
    if plan is None:
        if most > LARGE:  # to find the very least would take a search for each
            small = "is" if bound > most else "seems"
            raise InputError(
                f"max_trials={most} {small} too small for both rates; {size} are enough"
            )
        least = next(n for n in range(size, 0, -1) if not _search((*rates, n - 1))[1])
        raise InputError(f"max_trials={most} is too small for both rates; the least is {least}")
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
    are in (0, 1); InputError if n would exceed MOST_TRIALS."""
    from scipy.special import bdtr, bdtrc

    require_rates(p_good, p_bad, alpha, beta)
    if alpha + beta >= 1:
        raise InputError(
            f"alpha + beta must be less than 1, not {alpha:g} + {beta:g}; a coin would do as well"
        )
    accept = 0
    for trials in range(1, MOST_TRIALS + 1):
        accept += int(bdtr(float(accept), trials, p_good) <= alpha * (1 + ROUNDING))
        for c in (accept, accept - 1):  # rounding may have let `accept` pass by one
            if c > 0 and bdtrc(c - 1.0, trials, p_bad) <= beta * (1 + ROUNDING):
                accepts, rejects = (*range(1, trials + 1), c), (*[-1] * trials, c - 1)
                if keeps_rates(Plan(p_good, p_bad, alpha, beta, trials, accepts, rejects)):
                    return trials, c
    raise InputError(f"{p_good=}, {p_bad=} take over {MOST_TRIALS} trials; set them wider apart")
