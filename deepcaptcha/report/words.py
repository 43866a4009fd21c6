"""What people read of trials and verdicts: summaries, a table, and words."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..finding import percent
from ..trials.trial import Outcome, Trial
from ..verdicts.claim import Budget, false_alarms_a_year
from ..verdicts.plan import binomial_interval
from .table import Table, columns

COMPARISONS = ("as reliable", "as fast")
"""What a row is judged for against its baseline."""

OUTCOMES: tuple[Outcome, ...] = ("converged", "stuck", "slow", "diverged")


@dataclass(frozen=True)
class Summary:
    """What a fixed number of trials shows.

    `interval` is Clopper and Pearson's exact 95 % interval for P(converge); `median_epochs` is over
    the converged trials, None without any; `epochs` were trained of `epochs_planned`.
    """

    trials: int
    converged: int
    interval: tuple[float, float]
    median_epochs: float | None
    outcomes: dict[str, int]
    epochs: int
    epochs_planned: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.__dict__, "interval": list(self.interval)}


def counts_text(counts: Mapping[str, int]) -> str:
    """What was counted, such as `clipped 6, learning 1`, without what was not seen."""
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count)


def failures_text(outcomes: Mapping[str, int]) -> str:
    """The outcomes other than converged, such as `stuck 3, slow 1`."""
    return counts_text({outcome: outcomes[outcome] for outcome in OUTCOMES[1:]})


def summarise(trials: Sequence[Trial]) -> Summary:
    """The summary of trials of one factory and recipe; at least one."""
    counts = Counter(trial.outcome for trial in trials)
    reached = [trial.epochs_to_target for trial in trials if trial.epochs_to_target is not None]
    return Summary(
        trials=len(trials),
        converged=counts["converged"],
        interval=binomial_interval(counts["converged"], len(trials)),
        median_epochs=statistics.median(reached) if reached else None,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        epochs=sum(len(trial.epochs) for trial in trials),
        epochs_planned=sum(int(trial.identity["recipe"]["epochs"]) for trial in trials),
        seconds=round(sum(trial.seconds for trial in trials), 1),
    )


def interval_text(interval: tuple[float, float]) -> str:
    """An interval as whole percents, rounded outwards."""
    low, high = interval
    return f"{math.floor(100 * low)}-{math.ceil(100 * high)} %"


def failure_message(evidence: dict[str, Any], again: str) -> str:
    """Claim, evidence and how to see one failure again, in words that need no table."""
    name = f"{evidence['name']} under {evidence['recipe']}"
    lines = []
    for verdict in evidence["verdicts"]:
        if verdict["colour"] != "red":
            continue
        k, n = verdict["successes"], verdict["trials"]
        interval = interval_text(tuple(verdict["interval"]))
        if verdict["hypothesis"] == "as fast":
            lines.append(f"{name} trains more slowly than its baseline: {verdict['note']}.")
        elif verdict["hypothesis"] == "as reliable":
            lines.append(
                f"{name} trains less reliably than its baseline: {k} of {n} trials converged "
                f"(95 % interval {interval}); {verdict['note']}."
            )
        else:
            lines.append(
                f"{name} is claimed {evidence['claim']!r} in at least {100 * evidence['p_good']:g} % of "
                f"trainings; {k} of {n} trials were so (95 % interval {interval})."
            )
        if verdict["alpha"] is not None:
            lines.append(f"The chance of such a red if all is well: {verdict['alpha']:.2g}.")
    if evidence["failures"]:
        lines.append(f"The target, {evidence['target']}, was missed: {evidence['failures']}.")
    lines += [f"{line}." for line in evidence["symptoms"]]
    if evidence["environment"]:
        lines.append(f"The baseline's environment differed: {evidence['environment']}.")
    if evidence["failed_seeds"]:
        lines.append(f"One of them again: {again} --convergence-seed {evidence['failed_seeds'][0]}")
    return "\n".join(lines)


def claim_text(evidence: dict[str, Any]) -> str:
    """The claim with its rates, such as `trains 0.95/0.5`."""
    if evidence["p_good"] is None:
        return str(evidence["claim"])
    return f"{evidence['claim']} {evidence['p_good']:g}/{evidence['p_bad']:g}"


def _comparison_text(verdict: dict[str, Any]) -> str:
    seen = verdict["detects"]
    return f"{verdict['colour']}" + ("" if seen is None else f" ({percent(seen)})")


def row_names(reported: Sequence[Mapping[str, Any]]) -> list[str]:
    """The factory's name for each evidence, with that of the test where several have the same under
    recipes of the same name."""
    counts = Counter((evidence["name"], evidence["recipe"]) for evidence in reported)
    return [
        evidence["name"]
        if counts[evidence["name"], evidence["recipe"]] == 1
        else f"{evidence['name']} ({evidence['test'].rpartition('::')[2]})"
        for evidence in reported
    ]


def verdict_table(reported: Sequence[dict[str, Any]]) -> Table:
    """A row a factory and recipe, in order of recipe and name."""
    rows = []
    named = zip(row_names(reported), reported, strict=True)
    for name, evidence in sorted(named, key=lambda pair: (pair[1]["recipe"], pair[0])):
        claim, *others = evidence["verdicts"]
        compared = {verdict["hypothesis"]: _comparison_text(verdict) for verdict in others}
        summary = evidence["summary"]
        colour = "interval only" if evidence["claim"] == "mixed" else claim["colour"]
        rows.append(
            (
                name,
                evidence["recipe"],
                claim_text(evidence),
                f"{claim['successes']}/{claim['trials']}",
                interval_text(tuple(claim["interval"])),
                colour,
                *(compared.get(hypothesis, "") for hypothesis in COMPARISONS),
                "" if summary["median_epochs"] is None else f"{summary['median_epochs']:g}",
                f"{summary['seconds'] / 60:.1f}",
                evidence["failures"],
                counts_text(evidence["symptom_counts"]),
            )
        )
    table = Table(
        "Verdicts",
        columns(
            "<factory",
            "<recipe",
            "<claim",
            "k/n",
            "95 % interval",
            "verdict",
            *(f"<{hypothesis}" for hypothesis in COMPARISONS),
            "epochs",
            "min",
            "<missed",
            "<symptoms",
        ),
        tuple(rows),
    )
    return table.without_empty_columns()


def summary_lines(reported: Sequence[dict[str, Any]], workers: int, nightly: bool) -> list[str]:
    """What the colours are worth, what they cost and what they may cost."""
    first = reported[0]
    budget = Budget(first["hypotheses"], first["alpha"], first["beta"])
    trials = sum(evidence["summary"]["trials"] for evidence in reported)
    seconds = sum(evidence["summary"]["seconds"] for evidence in reported)

    def minutes(key: str) -> str:
        total = sum(evidence[key] * evidence["seconds_per_trial"] for evidence in reported)
        return _minutes(total / workers)

    lines = [
        f"{budget.hypotheses} hypotheses share the suite's rates: any false red with at most "
        f"{100 * budget.alpha:g} %, any false green with at most {100 * budget.beta:g} % probability "
        f"({budget.share[0]:g} and {budget.share[1]:g} each).",
        f"{trials} trials took {_minutes(seconds / workers)} on {workers} "
        f"worker{'s' if workers > 1 else ''}; expected at most {minutes('worst_expected_trials')}, "
        f"never more than {minutes('most_trials')}.",
    ]
    for recipe in sorted({evidence["recipe"] for evidence in reported}):
        chosen = [evidence for evidence in reported if evidence["recipe"] == recipe]
        frozen, saved = (
            sum(evidence[key] for evidence in chosen) for key in ("frozen", "epochs_saved_by_proof")
        )
        planned = sum(evidence["summary"]["epochs_planned"] for evidence in chosen)
        if frozen:
            lines.append(
                f"{recipe}: {frozen} trials were proved stuck early, which saved {saved} of {planned} "
                "epochs."
            )
    if any(verdict["detects"] is not None for e in reported for verdict in e["verdicts"]):
        lines.append("as reliable (p): a fall of the rate to p turns it red with 90 % probability.")
    for evidence in reported:
        for verdict in evidence["verdicts"]:
            if verdict["hypothesis"] in COMPARISONS and verdict["colour"] == "cannot tell":
                lines.append(
                    f"{evidence['name']} under {evidence['recipe']}: cannot tell whether "
                    f"{verdict['hypothesis']}: {verdict['note']}."
                )
    for difference in sorted({evidence["environment"] for evidence in reported} - {""}):
        lines.append(f"Not the environment of the baselines: {difference}.")
    if nightly:
        alarms = false_alarms_a_year(budget)
        lines.append(f"Run every night, expect at most {alarms:.0f} false alarms a year.")
    return lines


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 600 else f"{seconds / 60:.0f} minutes"


def verdict_line(evidence: dict[str, Any]) -> str:
    """A factory's verdict in one line: the claim's, and those against its baseline."""
    claim, *others = evidence["verdicts"]
    parts = [
        f"convergence: {evidence['name']} {claim_text(evidence)}: {claim['colour']}, "
        f"{claim['successes']} of {claim['trials']} (95 % interval "
        f"{interval_text(tuple(claim['interval']))})",
        *(f"{verdict['hypothesis']}: {verdict['colour']}" for verdict in others),
        f"{evidence['summary']['seconds']:.0f} s",
    ]
    return "; ".join(parts)


def verdict_properties(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """The main figures as pairs of name and value, for a JUnit file."""
    claim, *others = evidence["verdicts"]
    pairs = {
        "factory": evidence["name"],
        "recipe": evidence["recipe"],
        "target": evidence["target"],
        "claim": claim_text(evidence),
        "verdict": claim["colour"],
        "successes": claim["successes"],
        "trials": claim["trials"],
        "interval_95": interval_text(tuple(claim["interval"])),
        **{verdict["hypothesis"].replace(" ", "_"): verdict["colour"] for verdict in others},
        "outcomes_missed": evidence["failures"],
        "failed_seeds": " ".join(str(seed) for seed in evidence["failed_seeds"]),
        "symptoms": "; ".join(evidence["symptoms"]),
        "hypotheses": evidence["hypotheses"],
        "seconds": evidence["summary"]["seconds"],
    }
    return [(f"convergence.{name}", str(value)) for name, value in pairs.items() if value != ""]
