"""Recorded verdicts: what stands of them where a row is unchanged, and what is judged elsewhere."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from ..trials.draws import require_draws, same_start
from ..trials.source import Source
from ..trials.trial import OUTCOMES, Target, Trial
from .baseline import Baseline, changes, require_same_monitor
from .claim import (
    Budget,
    Claim,
    Json,
    Summary,
    TrialAt,
    Verdict,
    claim_plan,
    detectable_rate,
    judge_plan,
)
from .confirm import Confirmation
from .judge import Evidence, evidence_of, judge_numbers, unless_capped, with_copies
from .measures import chance_of, course_of, courses_of, measures_of
from .plan import binomial_interval
from .ruler import Shift, ruler_of, shifts_of

NO_VERDICT = "no verdict is recorded"
"""The note of an unchanged row that was never judged."""

_VERDICT = (
    "hypothesis",
    "colour",
    "successes",
    "trials",
    "interval",
    "alpha",
    "beta",
    "detects",
    "note",
)


def judged_record(
    claim: Claim,
    budget: Budget,
    verdicts: Sequence[Verdict],
    first_seed: int,
    outcomes: Sequence[str],
) -> Json:
    """A record's `judged`: verdicts, with the share of the error rates they were reached with, and the
    outcomes of the trials that were read, in order of seed from `first_seed` on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "first_seed": first_seed,
        "claim": asdict(claim),
        "budget": asdict(budget),
        "outcomes": list(outcomes),
        "verdicts": [{name: verdict.as_dict()[name] for name in _VERDICT} for verdict in verdicts],
    }


def recorded_verdicts(record: Baseline, claim: Claim, budget: Budget) -> tuple[Verdict, ...]:
    """The verdicts that stand while the row is unchanged; none where none was recorded, or of another
    claim.

    A verdict stands for its own share of the error rates. At another one the claim's plan reads the
    recorded trials anew; where they do not decide, or the row was compared with its baseline at
    another share, nothing stands.
    """
    judged = record.judged
    if judged.get("claim") != asdict(claim):
        return ()
    own, *compared = (
        Verdict(**{**fields, "interval": tuple(fields["interval"])})
        for fields in judged["verdicts"]
    )
    was = Budget(**judged["budget"])
    if compared and was.comparison_alpha != budget.comparison_alpha:
        return ()
    if claim.kind != "mixed" and was.share != budget.share:
        counted = "stuck" if claim.kind == "stuck" else "converged"
        successes = [outcome == counted for outcome in judged.get("outcomes", ())]
        plan = claim_plan(claim, budget)
        if plan.judge(successes)[0] == "continue":
            return ()
        own = judge_plan(claim.kind, plan, successes.__getitem__)
        own = replace(own, detects=detectable_rate(plan))
    return (own, *compared)


def judge_change(
    source: Source,
    claim: Claim,
    budget: Budget,
    record: Baseline,
    trial_at: TrialAt,
    again_at: TrialAt,
    *,
    strict: bool = False,
    **others: str,
) -> Evidence:
    """A row whose bits have changed, or cannot be the same: whether it trains as before is judged now,
    by its record's numbers; recorded verdicts stand, with their date, until it is judged in full.

    - `trial_at`: yields the trial of the n-th judged seed, `again_at` that of the record's n-th seed.
    - `others`: fields of the evidence.
    """
    trials: list[Trial] = []

    def heard(at: TrialAt) -> TrialAt:
        def trial(index: int) -> Trial:
            trials.append(at(index))
            require_draws(trials)
            if len(trials) == 1:
                require_same_monitor(record, trials[0])
            return trials[-1]

        return trial

    read = partial(judge_numbers, record, budget, heard(trial_at), heard(again_at), strict=strict)
    compared = unless_capped("as before", read)
    stand = [
        replace(
            verdict, note="; ".join(filter(None, (f"of {record.judged['date']}", verdict.note)))
        )
        for verdict in recorded_verdicts(record, claim, budget)
        if verdict.hypothesis not in ("as before", "as fast")
    ] or [_no_verdict(record, claim)]
    if (was := Target.from_dict(record.recipe).text) != source.target.text:
        # Who converged then and who does now are two questions.
        note = f"its target was {was}"
        stand = [Verdict(claim.kind, "cannot tell", 0, 0, (0.0, 1.0), note=note)]
    moved, ruler = _moved(record, trials), ruler_of(record)
    return evidence_of(
        source,
        claim,
        budget,
        (*stand, with_copies(compared, record, trials[0], strict=strict)),
        trials,
        changed=changes(record, trials[0]),
        moved=moved,
        ruler=tuple(ruler) if moved else (),
        **others,
    )


def _moved(record: Baseline, trials: Sequence[Trial]) -> tuple[Shift, ...]:
    """How far recorded seeds moved, trained again; none where not all of them pair."""
    recorded = {course.seed: course for course in courses_of(record)}
    again = [course_of(trial) for trial in trials]
    if not all(c.seed in recorded and c.is_paired_with(recorded[c.seed]) for c in again):
        return ()
    target = Target.from_dict(record.recipe)
    measures = measures_of(tuple(recorded.values()), target, chance_of(target, record.recipe))
    row = f"{record.recipe['name']} {record.name}"
    return shifts_of("", row, measures, tuple(recorded.values()), again)


def _no_verdict(record: Baseline, claim: Claim) -> Verdict:
    """The claim of a row that was never judged, with the record's counts."""
    counted = "stuck" if claim.kind == "stuck" else "converged"
    successes, count = record.outcomes.count(counted), len(record.outcomes)
    interval = binomial_interval(successes, count)
    return Verdict(claim.kind, "cannot tell", successes, count, interval, note=NO_VERDICT)


def confirmed_evidence(
    record: Baseline,
    confirmation: Confirmation,
    trial: Trial,
    target: Target,
    claim: Claim,
    budget: Budget,
    test: str = "",
) -> Evidence:
    """What stands of an unchanged row: its recorded verdicts; the counts of its record, with the seconds
    that `trial`, the repetition, took."""
    verdicts = recorded_verdicts(record, claim, budget)
    count = len(record.outcomes)
    stands = f"judged on {record.judged['date']}" if verdicts else NO_VERDICT
    verdicts = verdicts or (_no_verdict(record, claim),)
    again = confirmation.repetition
    reached = [epochs for epochs in record.epochs_to_target if epochs is not None]
    return Evidence(
        name=record.name,
        recipe=record.recipe["name"],
        target=target,
        claim=claim,
        budget=budget,
        verdicts=verdicts,
        trials=(),
        summary=Summary(
            trials=count,
            converged=record.converged,
            median_epochs=statistics.median(reached) if reached else None,
            outcomes={outcome: record.outcomes.count(outcome) for outcome in OUTCOMES},
            epochs=len(trial.epochs),
            epochs_planned=len(trial.epochs),
            seconds=trial.seconds,
        ),
        symptoms=(),
        symptom_counts={},
        failed_seeds=(),
        frozen=0,
        epochs_saved_by_proof=0,
        test=test,
        confirmation=(
            f"unchanged: recorded on {record.date} with {record.converged} of {count} converged, "
            f"{stands}; seed {again.seed}, {again.why}, came again bit for bit"
        ),
        unchanged=True,
        evidence_key=" ".join((str(record.first_seed), *record.weights)),
        start=same_start(record.seed_digests.get("initial weights", ())),
    )
