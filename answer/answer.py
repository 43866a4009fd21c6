"""The answer to the question: what the record says of the statements, the theory and the mechanism."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.verdicts.comparison import ALPHA
from deepcaptcha.verdicts.exact import fisher, holm, mcnemar, stratified

from .experiment_record import Measured
from .experiments import EXPERIMENTS, Contrast, Experiment, Ratio
from .prediction import Case, Confusion, confusion, leave_one_out
from .record import Record
from .statements import PAIRS, Pair, Row, count


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
    raw = [
        fisher(_converged(record, pair.better), _converged(record, pair.worse), "greater")
        for pair in PAIRS
    ]
    return tuple(JudgedPair(pair, p) for pair, p in zip(PAIRS, holm(raw), strict=True))


def _converged(record: Record, row: Row) -> tuple[int, int]:
    return count("converged", record.unseen(row))


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
    both cells share, one-sided, Holm over all contrasts of all experiments."""
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


def _contrast(measured: Measured, contrast: Contrast, p: float) -> Expectation:
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


def outcomes_of(measured: Measured, label: str) -> dict[int, str]:
    """Seed -> how a cell's training ended; of a rescue, where there was something to rescue."""
    return {
        seed: result["outcome"]
        for seed, result in sorted(measured.cells[label].items())
        if result.get("before", "stuck") == "stuck"
    }


def _ratio(measured: Measured, expected: Ratio) -> Expectation:
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


def movement(measured: Measured, label: str, layer: str | None = None) -> float:
    """Median over seeds of how far one step moves the logits, in nats; with `layer`, that layer's part
    of the step alone."""
    key = f"movement of {layer}" if layer else "movement"
    return float(statistics.median(result[key] for result in measured.results(label)))


def _contrast_p(measured: Measured, contrast: Contrast) -> float:
    a, b = (outcomes_of(measured, label) for label in (contrast.a, contrast.b))
    both = sorted(a.keys() & b.keys())
    pairs = ((a[seed] == contrast.event, b[seed] == contrast.event) for seed in both)
    return mcnemar(pairs, "greater")


@dataclass(frozen=True)
class Scored:
    """How an error of the pre-flight check foretold stuck trials: as the check is, by network, and with
    thresholds that each network's were not used to choose; `trials` in all, `p` that an error tells
    nothing within any network (exact, stratified, one-sided)."""

    fixed: Confusion
    by_network: dict[str, Confusion]
    left_out: Confusion
    trials: int
    p: float


def score_checks(record: Record, recipe: str = "raw-subset") -> Scored:
    """The check's errors against what became of the recorded trials."""
    checks = record.checks[recipe]
    cases = [Case(c["variant"], float(bool(c["errors"])), c["outcome"] == "stuck") for c in checks]
    shares = [Case(c["variant"], c["lost_share"], c["outcome"] == "stuck") for c in checks]
    by_network = {
        name: confusion([case for case in cases if case.group == name], 0.5)
        for name in dict.fromkeys(case.group for case in cases)
    }
    tables = [(c.hits, c.misses, c.false_alarms, c.left_alone) for c in by_network.values()]
    return Scored(
        confusion(cases, 0.5),
        by_network,
        sum((counts for _, counts in leave_one_out(shares).values()), Confusion()),
        len(cases),
        stratified(tables)[0],
    )
