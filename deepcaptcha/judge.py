"""Verdicts on one factory and recipe: trials as they are needed, evidence, and words for people."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from . import seeds
from .baseline import (
    TRIALS,
    environment_differences,
    judge_reliability,
    judge_speed,
    make_baseline,
    read_baseline,
    regression_plan,
    require_comparable,
    write_baseline,
)
from .ledger import Ledger, Records, read_ledger, trial_key
from .plan import Plan, worst_expected_trials
from .recipe import Recipe
from .report import Column, Table, interval_text, summarise
from .study import Task, run_task
from .trial import Factory, Trial
from .verdict import (
    Budget,
    Claim,
    Verdict,
    claim_plan,
    false_alarms_a_year,
    judge_claim,
)

MIXED_TRIALS = 20
"""Trials that describe a `mixed` claim where no comparison asks for more."""


class Recorder:
    """This process' ledger, opened when the first trial is to be trained, and the trials that may be
    taken from it instead."""

    def __init__(self, folder: Path, *, reuse: bool) -> None:
        self.folder = folder
        records = read_ledger(folder) if reuse else Records(())
        self._known = {trial_key(trial): trial for trial in records.trials}
        self._ledger: Ledger | None = None

    def run(self, task: Task) -> Trial:
        """The task's trial, trained and recorded, or the very same from the ledger."""
        if self._ledger is None:
            self._ledger = Ledger(self.folder)
        known = [
            trial
            for trial in self._known.values()
            if (trial.name, trial.recipe, trial.seed) == (task.name, task.recipe.name, task.seed)
        ]
        trial = run_task(task, known)
        if trial_key(trial) not in self._known:
            self._ledger.append(trial)
        return trial

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ledger is not None:
            self._ledger.close()


@dataclass(frozen=True)
class Judge:
    """Asks for verdicts within the suite's budget; what the `convergence` fixture gives a test.

    `first_seed` begins the judged stream; `again` is the command that repeats the test; `report`
    receives the evidence, JSON-ready.
    """

    budget: Budget
    first_seed: int
    recorder: Recorder
    record: bool
    report: Callable[[dict[str, Any]], None]
    again: str

    def judge(
        self,
        build: Factory,
        recipe: Recipe,
        claim: Claim,
        *,
        name: str,
        baselines: Path | None = None,
        reuse_model: bool = False,
    ) -> None:
        """Judge the claim and, where there is a folder of `baselines`, reliability and speed.

        Fails the test with a message that reads on its own if any verdict is red, or if the baseline
        is missing (it is written then). With `record`, only the baseline is written.
        """
        task = Task(name, build, recipe, 0, reuse_model)
        baseline = None
        if baselines is not None:
            baseline = None if self.record else read_baseline(baselines, name, recipe.name)
            if baseline is None:
                path = self._write_baseline(task, baselines)
                if not self.record:
                    _fail(f"{name} {recipe.name} had no baseline; it is now {path}. Commit it.")
                return
        trials: dict[int, Trial] = {}

        def trial_at(index: int) -> Trial:
            if index not in trials:
                trials[index] = self.recorder.run(replace(task, seed=self.first_seed + index))
                if baseline is not None and not index:
                    require_comparable(baseline, trials[0])
            return trials[index]

        plan = None if claim.kind == "mixed" else claim_plan(claim, self.budget)
        plans = [] if plan is None else [plan]
        verdicts = []
        if baseline is not None:
            verdicts.append(judge_reliability(baseline, self.budget, trial_at))
            if (fall := regression_plan(baseline, self.budget)) is not None:
                plans.append(fall)
                least = next(n for n, c in enumerate(fall.accept) if c <= n)
                if verdicts[0].colour == "green":
                    verdicts.append(judge_speed(baseline, self.budget, trial_at, least))
        mixed_trials = len(trials) or MIXED_TRIALS
        verdicts.insert(0, judge_claim(claim, self.budget, trial_at, mixed_trials=mixed_trials))
        chosen = [trials[index] for index in sorted(trials)]
        evidence = _evidence(name, recipe, claim, self.budget, verdicts, chosen, plans)
        evidence["environment"] = "" if baseline is None else environment_differences(baseline)
        self.report(evidence)
        if any(verdict.colour == "red" for verdict in verdicts):
            _fail(failure_message(evidence, self.again))

    def _write_baseline(self, task: Task, folder: Path) -> Path:
        chosen = seeds.take("baseline", TRIALS)
        trials = [self.recorder.run(replace(task, seed=seed)) for seed in chosen]
        return write_baseline(folder, make_baseline(trials))


def _fail(message: str) -> NoReturn:
    import pytest

    pytest.fail(message, pytrace=False)


def _evidence(
    name: str,
    recipe: Recipe,
    claim: Claim,
    budget: Budget,
    verdicts: Sequence[Verdict],
    trials: Sequence[Trial],
    plans: Sequence[Plan],
) -> dict[str, Any]:
    summary = summarise(trials)
    seconds = statistics.fmean(trial.seconds for trial in trials)
    worst = max((worst_expected_trials(plan)[1] for plan in plans), default=float(len(trials)))
    failed = [trial for trial in trials if not claim.holds_in(trial)]
    return {
        "name": name,
        "recipe": recipe.name,
        "target": f"{recipe.monitor} {'>=' if recipe.mode == 'max' else '<='} {recipe.target:g} "
        f"within {recipe.epochs} epochs",
        "claim": claim.kind,
        "p_good": claim.p_good,
        "p_bad": claim.p_bad,
        "alpha": budget.alpha,
        "beta": budget.beta,
        "hypotheses": budget.hypotheses,
        "verdicts": [verdict.as_dict() for verdict in verdicts],
        "summary": summary.as_dict(),
        "failures": summary.failures,
        "frozen": sum(trial.stop_reason == "frozen" for trial in trials),
        "epochs_saved_by_proof": sum(
            recipe.epochs - len(trial.epochs) for trial in trials if trial.stop_reason == "frozen"
        ),
        "seconds_per_trial": seconds,
        "worst_expected_trials": worst,
        "most_trials": max((plan.max_trials for plan in plans), default=len(trials)),
        "failed_seeds": [trial.seed for trial in failed],
    }


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
                f"{name} is claimed {evidence['claim']!r} ({evidence['target']}) in at least "
                f"{evidence['p_good']:.0%} of trainings; {k} of {n} trials did so "
                f"(95 % interval {interval})."
            )
        if verdict["alpha"] is not None:
            lines.append(f"The chance of such a red if all is well: {verdict['alpha']:.2g}.")
    if evidence["failures"]:
        lines.append(f"Trials that did not converge: {evidence['failures']}.")
    if evidence["environment"]:
        lines.append(f"The baseline's environment differed: {evidence['environment']}.")
    if evidence["failed_seeds"]:
        lines.append(f"One of them again: {again} --convergence-seed {evidence['failed_seeds'][0]}")
    return "\n".join(lines)


def verdict_table(reported: Sequence[dict[str, Any]]) -> Table:
    """A row a factory and recipe, in order of recipe and name."""
    rows = []
    for evidence in sorted(reported, key=lambda e: (e["recipe"], e["name"])):
        claim, *others = evidence["verdicts"]
        summary = evidence["summary"]
        colour = "interval only" if evidence["claim"] == "mixed" else claim["colour"]
        rates = ""
        if claim["alpha"] is not None:
            rates = f"{evidence['p_good']:g}/{evidence['p_bad']:g}"
        rows.append(
            (
                evidence["name"],
                evidence["recipe"],
                f"{evidence['claim']} {rates}".strip(),
                f"{claim['successes']}/{claim['trials']}",
                interval_text(tuple(claim["interval"])),
                colour,
                "; ".join(f"{v['hypothesis']}: {v['colour']} ({v['note']})" for v in others),
                "" if summary["median_epochs"] is None else f"{summary['median_epochs']:g}",
                f"{summary['epochs_planned'] - summary['epochs']} of {summary['epochs_planned']}",
                f"{summary['seconds'] / 60:.1f}",
                evidence["failures"],
            )
        )
    return Table(
        "Verdicts",
        (
            Column("factory", prose=True),
            Column("recipe", prose=True),
            Column("claim", prose=True),
            Column("k/n"),
            Column("95 % interval"),
            Column("verdict"),
            Column("against its baseline", prose=True),
            Column("epochs"),
            Column("epochs saved"),
            Column("min"),
            Column("failures", prose=True),
        ),
        tuple(rows),
    )


def summary_lines(reported: Sequence[dict[str, Any]], workers: int, nightly: bool) -> list[str]:
    """What the colours are worth, what they cost and what they may cost."""
    first = reported[0]
    budget = Budget(first["hypotheses"], first["alpha"], first["beta"])
    trials = sum(evidence["summary"]["trials"] for evidence in reported)
    seconds = sum(evidence["summary"]["seconds"] for evidence in reported)

    def minutes(key: str) -> str:
        total = sum(evidence[key] * evidence["seconds_per_trial"] for evidence in reported)
        return f"{total / 60 / workers:.0f}"

    lines = [
        f"{budget.hypotheses} hypotheses share the suite's rates: any false red with at most "
        f"{budget.alpha:.0%}, any false green with at most {budget.beta:.0%} probability "
        f"({budget.share[0]:g} and {budget.share[1]:g} each).".replace("%", " %"),
        f"{trials} trials took {seconds / 60 / workers:.0f} minutes on {workers} workers; expected at "
        f"most {minutes('worst_expected_trials')}, never more than {minutes('most_trials')}.",
    ]
    saved = sum(evidence["epochs_saved_by_proof"] for evidence in reported)
    frozen = sum(evidence["frozen"] for evidence in reported)
    if frozen:
        lines.append(f"{frozen} trials were proved stuck early, which saved {saved} epochs.")
    if nightly:
        alarms = false_alarms_a_year(budget)
        lines.append(f"Run every night, expect at most {alarms:.0f} false alarms a year.")
    return lines
