"""Verdicts on one source: its claim and, where there is a baseline, whether it trains as before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ..trials.copies import read_copies
from ..trials.draws import require_draws, same_start
from ..trials.history import symptom_counts, symptom_lines
from ..trials.ledger import trial_key
from ..trials.source import Source
from ..trials.trial import Target, Trial
from .as_before import judge_as_before
from .baseline import Baseline, changes, differences, require_comparable, require_same_monitor
from .claim import (
    Budget,
    CappedError,
    Claim,
    Colour,
    Json,
    Summary,
    TrialAt,
    Verdict,
    claim_plan,
    judge_claim,
    summarise,
)
from .comparison import compare_courses
from .measures import Course, chance_of, course_of, courses_of, measures_of
from .plan import Plan, worst_expected_trials
from .reliability import judge_reliability, judge_speed
from .ruler import Shift, ruler_of


@dataclass(frozen=True)
class Evidence:
    """All that is told of one judged source.

    - `verdicts`: the claim's, then those against the baseline.
    - `trials`: keys of those that were read, in order of seed (`trials.ledger.trial_key`).
    - `symptoms`: what explains that trials missed their target, a line each, gravest first;
      `symptom_counts`: of how many trials. `failed_seeds`: where the claim did not hold.
    - `frozen`: trials proved stuck before their last epoch, which saved `epochs_saved_by_proof`.
    - `environment`: how it differs from the baseline's; `test`: which asked, both for people.
    - `repairs`: what a search for a change that repairs it found, a line each, or the command that
      looks for one.
    - `confirmation`: what training a recorded seed again showed, for people; empty where none was.
      `unchanged`: it showed the very same trial, and the verdicts are the recorded ones. `evidence_key`:
      the same for two rows whose recorded trials ended with the same weights; empty where not unchanged.
    - `changed`: what of the task differs from the baseline's, a line each.
    - `baseline`: the file it was compared with; `twin`: the row that it is declared to be the training
      of. Empty where there is none.
    - `reused`: trials that were not trained, but taken from the ledger; `seconds_saved`: what they took
      once.
    - `compiled`: optimizer, rate and loss, as the model has them; `again`: the command that trains the
      first failed seed again. Empty where there is none.
    - `courses`: what the suite as a whole reads of the first trials; where it reads none, the first
      one's, by which a twin is known.
    - `moved`: how far recorded seeds, trained again, moved the row's measures; `ruler`: what other
      arithmetics do to them. Empty where seeds do not pair.
    - `start`: said where all trials start from the same weights, unless the test declares that.
    - `identified`: by what its trials are known again, its version or its code, of a function's.
    """

    name: str
    recipe: str
    target: Target
    claim: Claim
    budget: Budget
    verdicts: tuple[Verdict, ...]
    trials: tuple[str, ...]
    summary: Summary
    symptoms: tuple[str, ...]
    symptom_counts: Mapping[str, int]
    failed_seeds: tuple[int, ...]
    frozen: int
    epochs_saved_by_proof: int
    environment: str = ""
    test: str = ""
    repairs: tuple[str, ...] = ()
    confirmation: str = ""
    unchanged: bool = False
    evidence_key: str = ""
    changed: tuple[str, ...] = ()
    baseline: str = ""
    twin: str = ""
    courses: tuple[Course, ...] = ()
    moved: tuple[Shift, ...] = ()
    ruler: tuple[Shift, ...] = ()
    start: str = ""
    identified: str = ""
    reused: int = 0
    seconds_saved: float = 0.0
    compiled: str = ""
    again: str = ""

    @property
    def colour(self) -> Colour:
        """Red with any red verdict, else undecided, else yellow, else green with any."""
        colours = {verdict.colour for verdict in self.verdicts}
        ordered: tuple[Colour, ...] = ("red", "undecided", "yellow", "green")
        return next((colour for colour in ordered if colour in colours), "cannot tell")

    @property
    def red(self) -> bool:
        """Whether any verdict is."""
        return self.colour == "red"

    @property
    def seconds_per_trial(self) -> float:
        """The mean."""
        return self.summary.seconds / self.summary.trials

    @property
    def worst_expected_trials(self) -> float:
        """The most trials that the plans are expected to read, whatever the rates."""
        worst = (worst_expected_trials(plan)[1] for plan in self._plans)
        return max(worst, default=float(self.summary.trials))

    @property
    def most_trials(self) -> int:
        """The most trials that the plans ever read."""
        return max((plan.max_trials for plan in self._plans), default=self.summary.trials)

    @property
    def _plans(self) -> list[Plan]:
        """Those that were followed to their end, and not ended by a cap."""
        return [v.plan for v in self.verdicts if v.plan and v.colour != "undecided"]

    def as_dict(self) -> Json:
        """JSON-ready."""
        return {**asdict(self), "verdicts": [verdict.as_dict() for verdict in self.verdicts]}

    @classmethod
    def from_dict(cls, fields: Json) -> Evidence:
        """The inverse of `as_dict`, also after JSON."""
        made = {
            "target": Target(**fields["target"]),
            "claim": Claim(**fields["claim"]),
            "budget": Budget(**fields["budget"]),
            "verdicts": tuple(map(Verdict.from_dict, fields["verdicts"])),
            "summary": Summary(**fields["summary"]),
            "courses": tuple(map(Course.from_dict, fields["courses"])),
            **{name: tuple(Shift(**each) for each in fields[name]) for name in ("moved", "ruler")},
            **{
                name: tuple(fields[name])
                for name in ("trials", "symptoms", "failed_seeds", "repairs", "changed")
            },
        }
        return cls(**{**fields, **made})


def judge(
    source: Source,
    claim: Claim,
    budget: Budget,
    trial_at: TrialAt,
    *,
    baseline: Baseline | None = None,
    numbers: Baseline | None = None,
    again_at: TrialAt | None = None,
    test: str = "",
    strict: bool = False,
    least: int = 0,
) -> Evidence:
    """Judge the claim and, with a baseline, reliability, and by recorded numbers whether it trains as
    before; where there are none, or too few to compare samples with, speed.

    - `trial_at`: yields the trial of the n-th seed of the judged stream, from 0 on; each is asked for
      once, in order, and none that no verdict needs.
    - `numbers`: the record whose numbers are compared, where that is another one than the baseline.
    - `again_at`: yields the trial of that record's n-th seed, trained again.
    - `test`: its name, for people.
    - `strict`: what is better, or otherwise, than before is red.
    - `least`: trials that are read in any case, unless a verdict is red, and kept as `courses` for the
      suite as a whole.

    Where the judged seeds are recorded ones, and the record says what rounding does, the numbers are
    compared seed by seed.

    Raises InputError for a claim without a plan, for trials that are no independent draws of one model,
    and for a baseline of something else: of another monitor, and, where it holds no numbers, of any
    other task.
    """
    numbers = numbers or baseline
    recorded = () if numbers is None else courses_of(numbers)
    trials: list[Trial] = []

    def read(index: int) -> Trial:
        while len(trials) <= index:
            trials.append(trial_at(len(trials)))
            require_draws(trials)
            if baseline is not None and numbers is not None and len(trials) == 1:
                for each in (baseline, numbers):
                    (require_same_monitor if recorded else require_comparable)(each, trials[0])
        return trials[index]

    if claim.kind != "mixed":  # rates that no plan can tell apart are refused before any training
        claim_plan(claim, budget)
    compared: list[Verdict] = []
    if baseline is not None:
        named = recorded and "target" in baseline.recipe
        target = Target.from_dict(baseline.recipe) if named else source.target
        if target.text == source.target.text:
            compared.append(judge_reliability(baseline, budget, read))
        else:  # who converged then and who does now are two questions
            why = f"its target was {target.text}"
            compared.append(Verdict("as reliable", "cannot tell", 0, 0, (0.0, 1.0), note=why))
        if recorded and numbers is not None:
            as_before = partial(judge_numbers, numbers, budget, read, again_at, strict=strict)
            compared.append(unless_capped("as before", as_before))
        reliable, told = compared[0], compared[-1].colour != "cannot tell"
        if not (recorded and told) and (plan := reliable.plan) and reliable.colour == "green":
            fewest = next(n for n, successes in enumerate(plan.accept) if successes <= n)
            speed = partial(judge_speed, baseline, budget, read, fewest)
            compared.append(unless_capped("as fast", speed))
    if claim.kind == "mixed" and compared and compared[0].trials:
        # The trials were read for the comparison, so the interval must know its stopping rule.
        own = compared[0]
        own = Verdict(
            "mixed", "cannot tell", own.successes, own.trials, own.interval, note=own.note
        )
    else:
        own = judge_claim(claim, budget, read)
    if all(verdict.colour != "red" for verdict in (own, *compared)):
        with suppress(CappedError):
            for index in range(least):
                read(index)
    if recorded and numbers is not None:
        compared = [with_copies(each, numbers, trials[0], strict=strict) for each in compared]
    return evidence_of(
        source,
        claim,
        budget,
        (own, *compared),
        trials,
        environment=""
        if baseline is None
        else differences(baseline.environment, trials[0].identity["environment"]),
        test=test,
        changed=changes(numbers, trials[0]) if numbers is not None and recorded else (),
        courses=tuple(course_of(trial) for trial in trials[: max(least, 1)]),
    )


def judge_numbers(
    record: Baseline,
    budget: Budget,
    trial_at: TrialAt,
    again_at: TrialAt | None = None,
    *,
    strict: bool = False,
) -> Verdict:
    """Whether a row trains as before, by the numbers of its record: on the record's own seeds, trained
    again, where they pair; else by samples. Arguments as for `judge`."""
    recorded, target = courses_of(record), Target.from_dict(record.recipe)
    return judge_as_before(
        measures_of(recorded, target, chance_of(target, record.recipe)),
        recorded,
        lambda index: course_of(trial_at(index)),
        budget.comparison_alpha,
        monitor=target.monitor,
        row=f"{record.recipe['name']} {record.name}",
        ruler=ruler_of(record),
        same_seeds=None if again_at else {course.seed: course for course in recorded},
        again_at=None if again_at is None else lambda index: course_of(again_at(index)),
        strict=strict,
    )


def with_copies(verdict: Verdict, record: Baseline, trial: Trial, *, strict: bool) -> Verdict:
    """The verdict; one of `as before` is different where more examples are copies than were recorded,
    whatever the numbers say: copies in the validation look like progress."""
    told = more_copies(record, trial) if verdict.hypothesis == "as before" else ""
    if not told:
        return verdict
    verdict = replace(verdict, note=f"different in its examples: {told}; {verdict.note}")
    if verdict.colour in ("red", "undecided"):
        return verdict
    return replace(verdict, colour="red" if strict else "yellow")


def more_copies(record: Baseline, now: Baseline | Trial) -> str:
    """In words, how many more examples are copies of others than the record's were; empty where no more
    are, or where that was not recorded."""
    was, found = (read_copies(of.digests.get("copies", "")) for of in (record, now))
    return found.more_than(was) if found and was else ""


def evidence_of(
    source: Source,
    claim: Claim,
    budget: Budget,
    verdicts: Sequence[Verdict],
    trials: Sequence[Trial],
    **others: Any,
) -> Evidence:
    """What is told of a source's verdicts and the trials that were read; `others`: further fields."""
    frozen = [trial for trial in trials if trial.stop_reason == "frozen"]
    return Evidence(
        name=source.name,
        recipe=source.recipe,
        target=source.target,
        claim=claim,
        budget=budget,
        verdicts=tuple(verdicts),
        trials=tuple(map(trial_key, trials)),
        summary=summarise(trials),
        symptoms=tuple(symptom_lines(trials)),
        symptom_counts=symptom_counts(trials),
        failed_seeds=tuple(trial.seed for trial in trials if not claim.holds_in(trial)),
        frozen=len(frozen),
        epochs_saved_by_proof=sum(source.target.epochs - len(trial.epochs) for trial in frozen),
        identified=getattr(source, "identified", ""),
        start=same_start(trial.identity.get("initial_weights", "") for trial in trials),
        **others,
    )


def unless_capped(hypothesis: str, judged: Callable[[], Verdict]) -> Verdict:
    """What `judged` gives; undecided where a cap ends its trials."""
    try:
        return judged()
    except CappedError as cap:
        return Verdict(hypothesis, "undecided", 0, 0, (0.0, 1.0), note=str(cap))


def beside(old: Baseline, new: Baseline) -> tuple[str, ...]:
    """An old record beside a new one, a line each: how many converged, what of the task is another, and
    the old record's measures where both hold them."""
    lines = [
        f"{new.converged} of {len(new.outcomes)} converged, recorded {old.converged} of "
        f"{len(old.outcomes)} on {old.date}"
    ]
    for key in ("recipe", "environment"):
        if what := differences(getattr(old, key), getattr(new, key)):
            lines.append(f"{key}: {what}")
    if copies := more_copies(old, new):
        lines.append(copies)
    then, now = courses_of(old), courses_of(new)
    if then and now and "target" in old.recipe:
        target = Target.from_dict(old.recipe)
        measures = measures_of(then, target, chance_of(target, old.recipe))
        lines += [one.text for one in compare_courses(measures, then, now, level=0.05)]
    return tuple(lines)


def accepted(old: Baseline | None, new: Baseline, reason: str) -> Baseline:
    """The new record, with the reason to accept it, and with those of the old one."""
    earlier = () if old is None else old.accepted
    shown = ("there was no record",) if old is None else beside(old, new)
    # What rounding does to a row is of its model, not of one training.
    ruler = old.ruler if old is not None and old.shapes == new.shapes else ()
    told = {"date": new.date, "reason": reason, "lines": list(shown)}
    return replace(new, ruler=ruler, accepted=(*earlier, told))
