"""What the record says of the theory, the mechanism, the symptoms and the check.

A symptom measured before the outcome is a predictor. Nothing here says that one causes what it
foretells; only the experiments do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np

from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.history import PREDICTORS
from deepcaptcha.trials.trial import Trial
from deepcaptcha.verdicts.comparison import ALPHA
from deepcaptcha.verdicts.exact import fisher, holm, mcnemar

from .experiments import EXPERIMENTS, Contrast, Experiment, Ratio
from .record import ExperimentRecord, Json, Record
from .statements import PAIRS, Pair, RowName, count


@dataclass(frozen=True)
class JudgedPair:
    """A pair and Holm's p over all pairs."""

    pair: Pair
    p: float

    @property
    def against(self) -> bool:
        """Whether it speaks against the theory, at the level of all pairs."""
        return self.p <= ALPHA


def judged_pairs(record: Record) -> tuple[JudgedPair, ...]:
    """All matched pairs, on the seeds nobody had seen."""

    def converged(row: RowName) -> tuple[int, int]:
        return count("converged", record.unseen(row))

    raw = [fisher(converged(pair.better), converged(pair.worse), "greater") for pair in PAIRS]
    return tuple(JudgedPair(pair, p) for pair, p in zip(PAIRS, holm(raw), strict=True))


def rank_correlation(record: Record, of: str) -> tuple[float, float, int]:
    """Spearman's rank correlation of P(converged) with `parameters` or `features` over the networks
    with the question's head under raw-subset, its two-sided p, and how many networks they are."""
    from scipy.stats import spearmanr

    chosen = [v for v in VARIANTS.values() if v.architecture.head == "softmax-reshape"]
    sizes = [
        v.architecture.parameters
        if of == "parameters"
        else next(row for row in v.architecture.rows if row.name == "flatten").output_shape[0]
        for v in chosen
    ]
    outcomes = [record.outcomes((v.name, "raw-subset")) for v in chosen]
    found = spearmanr(sizes, [list(each).count("converged") / len(each) for each in outcomes])
    return float(found.statistic), float(found.pvalue), len(chosen)


@dataclass(frozen=True)
class Expectation:
    """What was expected of an experiment, in words, what it showed, whether it is as expected, and
    whether at least the direction is."""

    said: str
    shown: str
    met: bool
    direction: bool


def expectations(record: Record, experiment: Experiment) -> tuple[Expectation, ...]:
    """Each expectation judged: a ratio by the medians; a contrast by McNemar's exact test on the seeds
    both conditions share, one-sided, Holm over all contrasts of all experiments."""
    contrasts = [(e.name, c) for e in EXPERIMENTS for c in e.expected if isinstance(c, Contrast)]
    adjusted = holm([_contrast_p(record.experiments[name], c) for name, c in contrasts])
    p_of = dict(zip(contrasts, adjusted, strict=True))
    measured = record.experiments[experiment.name]
    return tuple(
        _ratio(measured, expected)
        if isinstance(expected, Ratio)
        else _contrast(measured, expected, p_of[experiment.name, expected])
        for expected in experiment.expected
    )


def _contrast(measured: ExperimentRecord, contrast: Contrast, p: float) -> Expectation:
    a, b = (
        [outcome == contrast.event for outcome in outcomes_of(measured, label).values()]
        for label in (contrast.a, contrast.b)
    )
    return Expectation(
        f"{contrast.a}: {contrast.event} more often than {contrast.b}",
        f"{sum(a)} of {len(a)} against {sum(b)} of {len(b)}, p {p:.2g}",
        p <= ALPHA,
        sum(a) / len(a) > sum(b) / len(b),
    )


def _contrast_p(measured: ExperimentRecord, contrast: Contrast) -> float:
    a, b = (outcomes_of(measured, label) for label in (contrast.a, contrast.b))
    both = sorted(a.keys() & b.keys())
    pairs = ((a[seed] == contrast.event, b[seed] == contrast.event) for seed in both)
    return mcnemar(pairs, "greater")


def outcomes_of(measured: ExperimentRecord, label: str) -> dict[int, str]:
    """Seed -> how a condition's training ended; of a rescue, where there was something to rescue."""
    return {
        seed: result["outcome"]
        for seed, result in sorted(measured.cells[label].items())
        if result.get("before", "stuck") == "stuck"
    }


def _ratio(measured: ExperimentRecord, expected: Ratio) -> Expectation:
    a, b = (movement(measured, label, expected.layer) for label in (expected.a, expected.b))
    ratio = a / b
    part = f" (`{expected.layer}` alone)" if expected.layer else ""
    return Expectation(
        f"{expected.a} moves {expected.low:g} to {expected.high:g} times as far as {expected.b}{part}, "
        f"for {expected.why}",
        f"{ratio:.1f} times",
        expected.low <= ratio <= expected.high,
        ratio > 1,
    )


def movement(measured: ExperimentRecord, label: str, layer: str | None = None) -> float:
    """Median over seeds of how far one step moves the logits, in nats; with `layer`, that layer's part
    of the step alone."""
    return measured.median(label, f"movement of {layer}" if layer else "movement")


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

    - `p`: chance, if the symptom told nothing within any variant, of so many stuck trials showing it;
      exact, one-sided, Holm-adjusted over all symptoms.
    - `least_p`: the smallest that these margins could have given, unadjusted.
    """

    predictor: Predictor
    stuck: tuple[int, int]
    converged: tuple[int, int]
    p: float
    least_p: float


def stratified(tables: Sequence[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Exact one-sided test of a common odds ratio of 1 against above 1, conditional on all margins:
    p, and the smallest that these margins allow.

    A table is (with and event, without and event, with and no event, without and no event) of one
    stratum. The sum of the first entries is, under the hypothesis, a sum of independent
    hypergeometric variables (Cox & Snell, Analysis of Binary Data, 1989, 2.3).
    """
    from scipy.stats import hypergeom

    chances = np.ones(1)
    observed = least = 0
    for a, b, c, d in tables:
        low, high = max(0, a - d), min(a + b, a + c)
        within = hypergeom.pmf(np.arange(low, high + 1), a + b + c + d, a + c, a + b)
        chances = np.convolve(chances, within)
        observed += a
        least += low
    tail = np.cumsum(chances[::-1])[::-1]
    return min(1.0, float(tail[observed - least])), float(tail[-1])


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


@dataclass(frozen=True)
class Case:
    """A trial's `group` (its network), the `score` measured before it ran, and whether it got stuck."""

    group: str
    score: float
    stuck: bool


@dataclass(frozen=True)
class Confusion:
    """Counts of predicted against actual: hits, misses, false alarms, and rightly left alone."""

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    left_alone: int = 0

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def trials(self) -> int:
        """All four together."""
        return sum(astuple(self))

    @property
    def right(self) -> int:
        """Cases told rightly."""
        return self.hits + self.left_alone

    @property
    def stuck(self) -> int:
        """Those that got stuck."""
        return self.hits + self.misses

    @property
    def alarms(self) -> int:
        """Those foretold to get stuck."""
        return self.hits + self.false_alarms

    @property
    def precision(self) -> float | None:
        """Share of the alarms that are right; None without any."""
        return self.hits / self.alarms if self.alarms else None

    @property
    def recall(self) -> float | None:
        """Share of the stuck trials that were foretold; None without any."""
        return self.hits / self.stuck if self.stuck else None


def confusion(cases: Sequence[Case], threshold: float) -> Confusion:
    """Counts where a score of at least `threshold` foretells getting stuck."""
    told = [(case.stuck, case.score >= threshold) for case in cases]
    return Confusion(*(told.count(pair) for pair in product((True, False), (True, False))))


def best_threshold(cases: Sequence[Case]) -> float:
    """The threshold that tells most cases rightly, in the middle of the widest gap between scores
    that does; infinity where never raising an alarm is best, or there is no case to learn from."""
    if not cases:
        return float("inf")
    scores = np.unique([case.score for case in cases])
    between = (scores[1:] + scores[:-1]) / 2
    candidates = [(float(t), float(gap)) for t, gap in zip(between, np.diff(scores), strict=True)]
    candidates += [(float(scores[0]), 0.0), (float("inf"), 0.0)]
    return max(candidates, key=lambda c: (confusion(cases, c[0]).right, c[1]))[0]


def leave_one_out(cases: Sequence[Case]) -> dict[str, tuple[float, Confusion]]:
    """Group -> the threshold chosen on all the others, and the counts it gives on this one."""
    scored = {}
    for group in dict.fromkeys(case.group for case in cases):
        threshold = best_threshold([case for case in cases if case.group != group])
        own = [case for case in cases if case.group == group]
        scored[group] = (threshold, confusion(own, threshold))
    return scored


@dataclass(frozen=True)
class Scored:
    """How an error of the check foretold stuck trials.

    - `by_network`, `fixed`: as the check is, network by network and in all.
    - `others`, `left_out`: with the threshold that the other networks' trials chose, by network, and
      in all.
    - `p`: chance of so many hits if an error told nothing within any network; exact, stratified,
      one-sided.
    """

    by_network: dict[str, Confusion]
    fixed: Confusion
    others: dict[str, tuple[float, Confusion]]
    left_out: Confusion
    p: float


def score_checks(checks: Sequence[Json]) -> Scored:
    """The check's errors against what became of the recorded trials."""
    cases, shares = (
        [Case(c["variant"], score(c), c["outcome"] == "stuck") for c in checks]
        for score in (lambda c: float(bool(c["errors"])), lambda c: c["lost_share"])
    )
    by_network = {
        name: confusion([case for case in cases if case.group == name], 0.5)
        for name in dict.fromkeys(case.group for case in cases)
    }
    others = leave_one_out(shares)
    return Scored(
        by_network,
        sum(by_network.values(), Confusion()),
        others,
        sum((counts for _, counts in others.values()), Confusion()),
        stratified([astuple(counts) for counts in by_network.values()])[0],
    )
