"""The answer to the question: what the record says of the statements, the theory and the mechanism."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from .comparison import ALPHA, holm
from .experiment_record import Measured
from .experiments import EXPERIMENTS, Contrast, Experiment, Ratio
from .prediction import Case, Confusion, confusion, leave_one_out
from .record import Record
from .statements import PAIRS, Row, more_and_less, pair_p
from .variants import VARIANTS


@dataclass(frozen=True)
class JudgedPair:
    """A pair, Holm's p over all pairs, and whether it speaks against the theory."""

    better: Row
    worse: Row
    p: float

    @property
    def against(self) -> bool:
        """Whether it speaks against the theory, at the level of all pairs."""
        return self.p <= ALPHA


def judged_pairs(record: Record) -> tuple[JudgedPair, ...]:
    """All matched pairs."""
    raw = [pair_p(record.outcomes(pair.better), record.outcomes(pair.worse)) for pair in PAIRS]
    return tuple(
        JudgedPair(pair.better, pair.worse, p) for pair, p in zip(PAIRS, holm(raw), strict=True)
    )


def rank_correlation(record: Record, of: str) -> tuple[float, int]:
    """Spearman's rank correlation of P(converged) with `parameters` or `features` over the networks
    with the question's head under raw-subset, and how many they are."""
    from scipy.stats import spearmanr

    chosen = [v for v in VARIANTS.values() if v.architecture.head == "softmax-reshape"]
    sizes = [
        v.architecture.parameters
        if of == "parameters"
        else next(row for row in v.architecture.rows if row.name == "flatten").output_shape[0]
        for v in chosen
    ]
    shares = [record.baselines[v.name, "raw-subset"].converged for v in chosen]
    return round(float(spearmanr(sizes, shares).statistic), 2), len(chosen)


@dataclass(frozen=True)
class Expectation:
    """What was expected of an experiment, in words, what it showed, and whether it is `as expected`."""

    said: str
    shown: str
    met: bool


def expectations(record: Record, experiment: Experiment) -> tuple[Expectation, ...]:
    """Each expectation judged: a ratio by the medians, a contrast by Fisher's exact test, Holm over all
    contrasts of all experiments."""
    contrasts = [(e.name, c) for e in EXPERIMENTS for c in e.expected if isinstance(c, Contrast)]
    adjusted = holm([_contrast_p(record.experiments[name], c) for name, c in contrasts])
    p_of = dict(zip(contrasts, adjusted, strict=True))
    measured = record.experiments[experiment.name]
    found = []
    for expected in experiment.expected:
        if isinstance(expected, Ratio):
            found.append(_ratio(measured, expected))
        else:
            p = p_of[experiment.name, expected]
            a, b = (_events(measured, label, expected.event) for label in (expected.a, expected.b))
            found.append(
                Expectation(
                    f"“{expected.a}” {expected.event} more often than “{expected.b}”",
                    f"{a[0]} of {a[1]} against {b[0]} of {b[1]}, p {p:.1g} (Holm)",
                    p <= ALPHA,
                )
            )
    return tuple(found)


def _ratio(measured: Measured, expected: Ratio) -> Expectation:
    a, b = (movement(measured, label, expected.layer) for label in (expected.a, expected.b))
    ratio = a / b
    step = f", by the step of `{expected.layer}` alone," if expected.layer else ""
    return Expectation(
        f"logits of “{expected.a}”{step} move {expected.low:g} to {expected.high:g} times as far as "
        f"those of “{expected.b}” ({expected.why})",
        f"{ratio:.1f} times ({a:.3g} against {b:.3g} nats)",
        expected.low <= ratio <= expected.high,
    )


def movement(measured: Measured, label: str, layer: str | None = None) -> float:
    """Median over seeds of how far one step moves the logits, in nats; with `layer`, that layer's part
    of the step alone."""
    key = f"movement of {layer}" if layer else "movement"
    return float(statistics.median(result[key] for result in measured.results(label)))


def _contrast_p(measured: Measured, contrast: Contrast) -> float:
    a, b = (_events(measured, label, contrast.event) for label in (contrast.a, contrast.b))
    return more_and_less(a, b)[0]


def _events(measured: Measured, label: str, event: str) -> tuple[int, int]:
    outcomes = [result["outcome"] for result in measured.results(label)]
    return outcomes.count(event), len(outcomes)


@dataclass(frozen=True)
class Scored:
    """How an error of the pre-flight check foretold stuck trials: as the check is, by network, and with
    thresholds that each network's were not used to choose; `trials` in all."""

    fixed: Confusion
    by_network: dict[str, Confusion]
    left_out: Confusion
    trials: int


def score_checks(record: Record, recipe: str = "raw-subset") -> Scored:
    """The check's errors against what became of the recorded trials."""
    checks = record.checks[recipe]
    cases = [Case(c["variant"], float(bool(c["errors"])), c["outcome"] == "stuck") for c in checks]
    shares = [Case(c["variant"], c["lost_share"], c["outcome"] == "stuck") for c in checks]
    return Scored(
        confusion(cases, 0.5),
        {
            name: confusion([case for case in cases if case.group == name], 0.5)
            for name in dict.fromkeys(case.group for case in cases)
        },
        sum((counts for _, counts in leave_one_out(shares).values()), Confusion()),
        len(cases),
    )
