"""What the record says of the theory, the mechanism, the symptoms and the check.

A symptom measured before the outcome is a predictor. Nothing here says that one causes what it
foretells; only the experiments do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import product
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.history import PREDICTORS
from deepcaptcha.trials.trial import Trial
from deepcaptcha.verdicts.exact import fisher, holm, mcnemar
from deepcaptcha.verdicts.ledgers import ALPHA

from .experiments import EXPERIMENTS, Contrast, Experiment, Ratio
from .record import ExperimentRecord, Json, Record
from .statements import PAIRS, Pair, RowName, count

Array = NDArray[np.float64]


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
    """All matched pairs, on the seeds nobody had seen; pairs of twins are one."""
    pairs = list(
        dict.fromkeys(Pair(record.once(pair.better), record.once(pair.worse)) for pair in PAIRS)
    )

    def converged(row: RowName) -> tuple[int, int]:
        return count("converged", record.unseen(row))

    raw = [fisher(converged(pair.better), converged(pair.worse), "greater") for pair in pairs]
    return tuple(JudgedPair(pair, p) for pair, p in zip(pairs, holm(raw), strict=True))


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation over so many `networks`; `p`: two-sided, simulated, with its standard
    `error`."""

    rho: float
    p: float
    error: float
    networks: int


DRAWS = 99_999
"""Random permutations, or resamples, by which a p or an interval is simulated; by the same draws each
time."""


def rank_correlation(record: Record, of: str) -> Correlation:
    """That of P(converged) with `parameters` or `features` over the networks with the question's head
    under raw-subset. Of so few networks, many of them tied, the t distribution tells nothing: p is that
    of random permutations."""
    from scipy.stats import PermutationMethod, pearsonr, rankdata

    chosen = [v for v in VARIANTS.values() if v.architecture.head == "softmax-reshape"]
    sizes = [
        v.architecture.parameters
        if of == "parameters"
        else next(row for row in v.architecture.rows if row.name == "flatten").output_shape[0]
        for v in chosen
    ]
    outcomes = [record.outcomes((v.name, "raw-subset")) for v in chosen]
    rates = [list(each).count("converged") / len(each) for each in outcomes]
    drawn = PermutationMethod(n_resamples=DRAWS, rng=np.random.default_rng(0))
    found = pearsonr(rankdata(sizes), rankdata(rates), method=drawn)
    # SciPy doubles the smaller tail.
    error = 2 * sqrt(found.pvalue / 2 * (1 - found.pvalue / 2) / DRAWS)
    return Correlation(float(found.statistic), float(found.pvalue), error, len(chosen))


@dataclass(frozen=True)
class Expectation:
    """What was expected of an experiment, in words, what it showed, whether it is as expected, whether
    at least the direction is, and of a ratio, whether its interval holds an end of what was expected."""

    said: str
    shown: str
    met: bool
    direction: bool
    doubtful: bool = False


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
    low, high = ratio_interval(measured, expected)
    part = f" (`{expected.layer}` alone)" if expected.layer else ""
    return Expectation(
        f"{expected.a} moves {expected.low:g} to {expected.high:g} times as far as {expected.b}{part}, "
        f"for {expected.why}",
        f"{ratio:.1f} times ({low:.1f} to {high:.1f})",
        expected.low <= ratio <= expected.high,
        ratio > 1,
        any(low < end < high for end in (expected.low, expected.high)),
    )


def ratio_interval(measured: ExperimentRecord, expected: Ratio) -> tuple[float, float]:
    """Approximate, 95 %: the bootstrap's percentiles (Efron 1979) of the ratio of the medians; a seed is
    drawn with what it showed under both conditions."""
    from scipy.stats import bootstrap

    def ratio(a: Array, b: Array, axis: int) -> Array:
        return np.asarray(np.median(a, axis=axis) / np.median(b, axis=axis))

    key = _movement_key(expected.layer)
    both = [
        [result[key] for result in measured.results(label)] for label in (expected.a, expected.b)
    ]
    drawn = {"n_resamples": DRAWS, "rng": np.random.default_rng(0)}
    found = bootstrap(both, ratio, paired=True, method="percentile", **drawn).confidence_interval
    return float(found.low), float(found.high)


def movement(measured: ExperimentRecord, label: str, layer: str | None = None) -> float:
    """Median over seeds of how far one step moves the logits, in nats; with `layer`, that layer's part
    of the step alone."""
    return measured.median(label, _movement_key(layer))


def _movement_key(layer: str | None) -> str:
    return f"movement of {layer}" if layer else "movement"


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


Stratum = tuple[int, int, int, int]
"""With the symptom and the event, without it, with it and no event, without it and no event."""


@dataclass(frozen=True)
class Association:
    """How often a symptom was shown by stuck trials and by converged ones, of how many.

    - `p`: chance, if the symptom told nothing within any variant, of so many stuck trials showing it;
      exact, one-sided, Holm-adjusted over all symptoms.
    - `least_p`: the smallest that these margins could have given, unadjusted.
    - `strata`: of each `recipe variant` (stuck with it, stuck without, converged with, without).
    """

    predictor: Predictor
    stuck: tuple[int, int]
    converged: tuple[int, int]
    p: float
    least_p: float
    strata: Mapping[str, Stratum]


def stratified(tables: Collection[Stratum]) -> tuple[float, float]:
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
    counted = [_strata(trials, predictor) for predictor in predictors]
    tests = [stratified(strata.values()) for strata in counted]
    adjusted = holm([p for p, _ in tests])
    found = []
    for predictor, strata, p, (_, least) in zip(predictors, counted, adjusted, tests, strict=True):
        a, b, c, d = (sum(stratum[place] for stratum in strata.values()) for place in range(4))
        found.append(Association(predictor, (a, a + b), (c, c + d), p, least, strata))
    return tuple(found)


def _strata(trials: Sequence[Trial], predictor: Predictor) -> dict[str, Stratum]:
    strata: dict[str, list[int]] = {}
    for trial in trials:
        shown = predictor.shown_by(trial)
        if shown is None or trial.outcome not in ("stuck", "converged"):
            continue
        stratum = strata.setdefault(f"{trial.recipe} {trial.name}", [0, 0, 0, 0])
        stratum[(0 if trial.outcome == "stuck" else 2) + (not shown)] += 1
    return {row: (a, b, c, d) for row, (a, b, c, d) in strata.items()}


@dataclass(frozen=True)
class Symptom:
    """A symptom of the record: `words`, how many stuck trials and converged ones showed it, of how many,
    its p (Holm), and whether the record holds the strata that these come from."""

    words: str
    stuck: tuple[int, int]
    converged: tuple[int, int]
    p: float
    computed: bool


def recorded_symptoms(record: Record) -> tuple[Symptom, ...]:
    """The declared symptoms, computed from their strata again, twins counted once; of which the record
    holds no strata, as they were told when the trials were measured."""
    told = record.symptoms["predictors"]
    raw = _unadjusted([found["p"] for found in told])
    counts = []
    for place, found in enumerate(told):
        strata = {tuple(row.split()[::-1]): each for row, each in found.get("strata", {}).items()}
        once = [each for row, each in strata.items() if row not in record.twins]
        if once:
            raw[place] = stratified(once)[0]
            a, b, c, d = (sum(each) for each in zip(*once, strict=True))
            counts.append(((a, a + b), (c, c + d)))
        else:
            counts.append((tuple(found["stuck"]), tuple(found["converged"])))
    return tuple(
        Symptom(Predictor(**found["predictor"]).words, *each, p, bool(found.get("strata")))
        for found, each, p in zip(told, counts, holm(raw), strict=True)
    )


def _unadjusted(adjusted: Sequence[float]) -> list[float]:
    """Of which p-values these are Holm's adjustment, where they are all different."""
    order = np.argsort(adjusted, kind="stable")
    raw = np.empty(len(adjusted))
    raw[order] = np.asarray(adjusted)[order] / np.arange(len(adjusted), 0, -1)
    return [float(p) for p in raw]


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
