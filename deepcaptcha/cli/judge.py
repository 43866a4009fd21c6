"""`python -m deepcaptcha judge`, `plan`, `claims` and `compare`: a verdict, what verdicts cost and what
they promise."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import InputError
from ..finding import percent
from ..networks.build import build, fit_to
from ..networks.recipes import find_recipe
from ..networks.variants import CLAIMS, HYPOTHESES, find_variant
from ..report.table import Table, columns
from ..report.words import interval_text
from ..trials import seeds
from ..trials.history import symptom_lines
from ..trials.ledger import Records, read_ledger
from ..trials.runner import Task
from ..trials.trial import Trial
from ..verdicts.baseline import read_baseline
from ..verdicts.claim import Budget, Claim, chance_to_pass, judge_claim
from ..verdicts.comparison import compare, comparison_table, environments
from ..verdicts.design import design_plan, fixed_plan, lower_bound
from ..verdicts.judge import Recorder
from ..verdicts.plan import (
    binomial_interval,
    exact_error_rates,
    operating_characteristic,
    worst_expected_trials,
)
from .options import number, whole


def judge(options: argparse.Namespace) -> int:
    """Train one variant until it is decided whether it trains, and say so; 1 for red."""
    variant, recipe = find_variant(options.variant), find_recipe(options.recipe)
    rates = [number(f"--{n}", getattr(options, n.replace("-", "_"))) for n in ("p-good", "p-bad")]
    claim = Claim("trains", *rates)
    budget = Budget(1, number("--alpha", options.alpha), number("--beta", options.beta))
    trials: list[Trial] = []

    def trial_at(index: int) -> Trial:
        seed = seeds.first_seed("pull-request") + index
        factory = partial(build, fit_to(variant.architecture, recipe))
        trials.append(recorder.run(Task(variant.name, factory, recipe, seed, reuse_model=True)))
        print(f"seed {seed}: {trials[-1].outcome}", file=sys.stderr)
        return trials[-1]

    with Recorder(Path(options.ledger), reuse=True) as recorder:
        verdict = judge_claim(claim, budget, trial_at)
    symptoms, alpha, beta = symptom_lines(trials), verdict.alpha or 0.0, verdict.beta or 0.0
    if options.json:
        print(json.dumps({**verdict.as_dict(), "symptoms": symptoms}, indent=2))
        return int(verdict.colour == "red")
    print(
        f"{verdict.colour}: {variant.name} under {recipe.name} reached its target in "
        f"{verdict.successes} of {verdict.trials} trainings (95 % interval "
        f"{interval_text(verdict.interval)})."
    )
    print(
        f"Red by mistake: {100 * alpha:.3g} % if it trains in {percent(rates[0])} of cases; "
        f"green by mistake: {100 * beta:.3g} % if in {percent(rates[1])}."
    )
    for line in symptoms:
        print(f"{line}.")
    return int(verdict.colour == "red")


def plan(options: argparse.Namespace) -> int:
    """Print the plan for two rates: boundaries, achieved rates, cost in trials and minutes."""
    rates = [
        number(f"--{name}", getattr(options, name.replace("-", "_")))
        for name in ("p-good", "p-bad", "alpha", "beta")
    ]
    most = None if options.max_trials is None else whole("--max-trials", options.max_trials)
    chosen = design_plan(*rates, most)
    size, accept_at = fixed_plan(*rates)
    alpha, beta = exact_error_rates(chosen)
    good, bad = (operating_characteristic(chosen, p).expected_trials for p in rates[:2])
    worst_at, worst = worst_expected_trials(chosen)
    p_good, p_bad, *errors = rates
    bound = lower_bound(p_good, p_bad, errors[0], errors[1], chosen.max_trials)
    if options.json:
        record = {
            **chosen.__dict__,
            "declared_alpha": chosen.alpha,
            "declared_beta": chosen.beta,
            "alpha": float(alpha),
            "beta": float(beta),
            "expected_trials_good": good,
            "expected_trials_bad": bad,
            "worst_expected_trials": worst,
            "lower_bound": bound,
            "fixed_plan": {"trials": size, "accept_at": accept_at},
        }
        print(json.dumps(record, indent=2))
        return 0
    print(f"{'trials':>6}  {'green from':>10}  {'red up to':>9}")
    for trials in range(1, chosen.max_trials + 1):
        green, red = chosen.accept[trials], chosen.reject[trials]
        if green <= trials or red >= 0:
            print(
                f"{trials:>6}  {green if green <= trials else '-':>10}  {red if red >= 0 else '-':>9}"
            )

    print(f"false red    {float(alpha):.4%} at {p_good:g} (declared {chosen.alpha:.4%})")
    print(f"false green  {float(beta):.4%} at {p_bad:g} (declared {chosen.beta:.4%})")
    print(
        f"trials       {good:.2f} expected at {p_good:g}, {bad:.2f} at {p_bad:g}, "
        f"at most {worst:.2f} (at {worst_at:.2f}), never more than {chosen.max_trials}"
    )
    half = (good + bad) / 2
    print(
        f"             mean of the two {half:.3f}, {half / bound - 1:.2%} above the lower bound "
        f"{bound:.3f}; a fixed plan takes {size} (green from {accept_at})"
    )
    for recipe, seconds in _trial_seconds(Path(options.ledger)).items():
        print(
            f"minutes      {recipe}: {good * seconds / 60:.1f} expected, "
            f"{chosen.max_trials * seconds / 60:.1f} at most ({seconds:.1f} s a trial, one process)"
        )
    return 0


def _trial_seconds(ledger: Path) -> dict[str, float]:
    """Recipe -> mean seconds a trial, of what the ledger holds."""
    seconds: dict[str, list[float]] = {}
    for trial in read_ledger(ledger).trials:
        seconds.setdefault(trial.recipe, []).append(trial.seconds)
    return {recipe: fmean(values) for recipe, values in seconds.items()}


def compare_ledgers(options: argparse.Namespace) -> int:
    """Print what changed between two ledgers; 1 if a row trains less reliably."""
    before, after = (_full_ledger(Path(path)) for path in (options.before, options.after))
    rows = compare(before, after, paired=options.paired)
    worse = any(r.changed and r.after[0] / r.after[1] < r.before[0] / r.before[1] for r in rows)
    if options.json:
        print(
            json.dumps(
                {
                    "environment": environments(before, after),
                    "rows": [{**row.__dict__, "changed": row.changed} for row in rows],
                },
                indent=2,
            )
        )
        return int(worse)
    print(f"Environment: {environments(before, after)}")
    comparison_table(rows).write(sys.stdout)
    return int(worse)


def _full_ledger(path: Path) -> Records:
    records = read_ledger(path)
    if not records.trials:
        raise InputError(f"the ledger {path} holds no trials; give a study's ledger folder")
    for problem in records.problems:
        print(f"deepcaptcha: {problem}", file=sys.stderr)
    return records


def claims(options: argparse.Namespace) -> int:
    """Print every declared claim beside the recorded trials it was reviewed against."""
    budget = Budget(HYPOTHESES)
    rows = [_claim_row(*row, Path(options.record), budget) for row in CLAIMS]
    if options.json:
        print(json.dumps({"hypotheses": HYPOTHESES, "claims": rows}, indent=2))
        return 0
    Table(
        f"Claims: {HYPOTHESES} hypotheses share alpha {budget.alpha:.0%} and beta {budget.beta:.0%}",
        columns(
            "<variant", "<recipe", "claim", "p_good", "p_bad", "recorded", "95 % interval", "passes"
        ),
        tuple(
            (
                row["variant"],
                row["recipe"],
                row["claim"],
                *("" if row[key] is None else f"{row[key]:g}" for key in ("p_good", "p_bad")),
                f"{row['successes']}/{row['trials']}",
                interval_text(row["interval"]),
                "" if row["chance_to_pass"] is None else percent(row["chance_to_pass"]),
            )
            for row in rows
        ),
    ).write(sys.stdout)
    return 0


def _claim_row(variant: str, recipe: str, folder: Path, budget: Budget) -> dict[str, Any]:
    claim = Claim(*CLAIMS[variant, recipe])
    recorded = read_baseline(folder, variant, recipe)
    if recorded is None:
        raise InputError(f"no record of {variant} {recipe} in {folder}; give --record its folder")
    outcome = "stuck" if claim.kind == "stuck" else "converged"
    successes, trials = recorded.outcomes.count(outcome), len(recorded.outcomes)
    judged = claim.kind != "mixed"
    return {
        "variant": variant,
        "recipe": recipe,
        "claim": claim.kind,
        "p_good": claim.p_good,
        "p_bad": claim.p_bad,
        "successes": successes,
        "trials": trials,
        "interval": binomial_interval(successes, trials),
        "chance_to_pass": chance_to_pass(claim, budget, successes / trials) if judged else None,
    }
