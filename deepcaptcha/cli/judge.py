"""`check`, `judge` and `plan`: one network, before it is trained and by trials; what a verdict costs."""

from __future__ import annotations

import json
import logging
import sys
from argparse import Namespace
from pathlib import Path
from statistics import fmean

from ..finding import percent
from ..report.words import interval_text, plural
from ..trials.ledger import read_ledger
from ..trials.place import find_ledger
from ..trials.runner import Runner
from ..trials.seeds import first_seed
from ..trials.source import row_text
from ..trials.trial import SEED_LIMIT, Trial
from ..verdicts.claim import Budget, Claim
from ..verdicts.design import design_plan, fixed_plan, lower_bound
from ..verdicts.judge import judge as judge_source
from ..verdicts.plan import exact_error_rates, operating_characteristic, worst_expected_trials
from .arguments import OWN_LEDGER, TARGET, command, option, shared, whole_number
from .progress import say, warn
from .subject import HELP, read_subject


@command(
    "Say before training whether a network can train, and why not.",
    option("network", HELP, "NETWORK"),
    option("--seed", "of the initial weights", "N", whole_number(0, SEED_LIMIT - 1), 0),
    *shared("data"),
)
def check(options: Namespace) -> int:
    """Print the findings on one network; 1 if any is an error."""
    subject = read_subject(options.network, options.data)
    start = subject.start(options.seed)
    from ..diagnosis.check import check as check_model

    batch, epochs = subject.length
    found = check_model(*start, batch=batch, epochs=epochs)
    errors = sum(finding.severity == "error" for finding in found)
    if options.json:
        print(json.dumps([finding.as_dict() for finding in found], indent=2))
        return int(errors > 0)
    for finding in found:
        say(f"{finding.severity}: {finding.code}: {finding.sentence}.\n  Fix: {finding.fix}.")
    told = plural(errors, "error") if errors else "nothing that stops it from training"
    name = options.network
    if subject.known is not None:
        name = f"{subject.known[0].name} under {subject.known[1].name}"
    say(f"{name}, seed {options.seed}: {told}")
    return int(errors > 0)


@command(
    "Train a network until it is decided whether it trains.",
    option("network", HELP, "NETWORK"),
    *shared(p_good=0.75, p_bad=0.35, alpha=0.05, beta=0.05),
    OWN_LEDGER,
    *shared("data", *TARGET),
)
def judge(options: Namespace) -> int:
    """Train one network until it is decided whether it trains, and say so; 1 for red."""
    claim = Claim("trains", options.p_good, options.p_bad)
    budget = Budget(1, options.alpha, options.beta)
    source = read_subject(options.network, options.data).source(options)
    if why := getattr(source, "why_not_again", ""):
        warn(f"no trial is taken from the ledger: {why}")
    # A new model each trial means a new trace each trial; TensorFlow would warn of it.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    def trial_at(index: int) -> Trial:
        (trial,) = runner.run_all([(source, first_seed("pull-request") + index)])
        print(f"seed {trial.seed}: {trial.outcome}", file=sys.stderr)
        return trial

    with Runner(options.ledger or find_ledger()) as runner:
        evidence = judge_source(source, claim, budget, trial_at)
        warn(*runner.problems)
    (verdict,) = evidence.verdicts
    alpha, beta = verdict.alpha or 0.0, verdict.beta or 0.0
    if options.json:
        print(
            json.dumps(
                {**verdict.as_dict(), "symptoms": evidence.symptoms, "start": evidence.start},
                indent=2,
            )
        )
        return int(evidence.red)
    say(
        f"{verdict.colour}: {row_text(source.name, source.recipe)} reached its target in "
        f"{verdict.successes} of {verdict.trials} trainings (95 % interval "
        f"{interval_text(verdict.interval)})."
    )
    print(
        f"Red by mistake: {100 * alpha:.3g} % if it trains in {percent(options.p_good)} of cases; "
        f"green by mistake: {100 * beta:.3g} % if in {percent(options.p_bad)}."
    )
    if evidence.start:
        say(f"{evidence.start[:1].upper()}{evidence.start[1:]}.")
    for line in evidence.symptoms:
        say(f"{line}.")
    return int(evidence.red)


@command(
    "Design the sequential plan for a claim and print its rates.",
    *shared("p_good", "p_bad", required=True),
    *shared(alpha=0.05, beta=0.05, ledger=Path("build/study/ledger")),
    option(
        "--max-trials",
        "no more than these; default: the fixed plan's size + 25 %%",
        "N",
        whole_number(),
    ),
)
def plan(options: Namespace) -> int:
    """Print the plan for two rates: boundaries, achieved rates, cost in trials and minutes."""
    p_good, p_bad, *_ = rates = options.p_good, options.p_bad, options.alpha, options.beta
    chosen = design_plan(*rates, options.max_trials)
    size, accept_at = fixed_plan(*rates)
    alpha, beta = exact_error_rates(chosen)
    good, bad = (operating_characteristic(chosen, p).expected_trials for p in (p_good, p_bad))
    worst_at, worst = worst_expected_trials(chosen)
    bound = lower_bound(*rates, chosen.max_trials)
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
    # Where the boundaries meet every path has ended, however many trials were allowed.
    last = next(n for n, ends in enumerate(chosen.accept) if ends == chosen.reject[n] + 1)
    for trials in range(1, last + 1):
        green, red = chosen.accept[trials], chosen.reject[trials]
        shown = green if green <= trials else "-", red if red >= 0 else "-"
        if shown != ("-", "-"):
            print(f"{trials:>6}  {shown[0]:>10}  {shown[1]:>9}")
    print(f"false red    {float(alpha):.4%} at {p_good:g} (declared {chosen.alpha:.4%})")
    print(f"false green  {float(beta):.4%} at {p_bad:g} (declared {chosen.beta:.4%})")
    print(
        f"trials       {good:.2f} expected at {p_good:g}, {bad:.2f} at {p_bad:g}, "
        f"at most {worst:.2f} (at {worst_at:.2f}),\n"
        f"             never more than {last}"
    )
    half = (good + bad) / 2
    print(
        f"             mean of the two {half:.3f}, {half / bound - 1:.2%} above the lower bound "
        f"{bound:.3f};\n             a fixed plan takes {size} (green from {accept_at})"
    )
    recorded: dict[str, list[float]] = {}
    found = read_ledger(options.ledger)
    warn(*found.problems)
    for trial in found.trials:
        recorded.setdefault(trial.recipe, []).append(trial.seconds)
    for recipe, each in recorded.items():
        seconds = fmean(each)
        say(
            f"minutes      {recipe}: {good * seconds / 60:.1f} expected, "
            f"{last * seconds / 60:.1f} at most ({seconds:.1f} s a trial, one process)"
        )
    return 0
