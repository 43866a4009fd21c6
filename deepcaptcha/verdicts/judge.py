"""Verdicts on one source: its claim and, where there is a baseline, whether it trains as before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from ..trials.history import symptom_counts, symptom_lines
from ..trials.ledger import trial_key
from ..trials.source import Source
from ..trials.trial import Target, Trial
from .as_before import judge_as_before
from .baseline import (
    Baseline,
    changes,
    differences,
    judge_reliability,
    judge_speed,
    require_comparable,
    require_same_monitor,
)
from .claim import (
    Budget,
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
from .measures import Course, Ruler, chance_of, course_of, courses_of, measures_of
from .plan import worst_expected_trials


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

    @property
    def colour(self) -> Colour:
        """Red with any red verdict, else yellow, else green with any."""
        colours = {verdict.colour for verdict in self.verdicts}
        ordered: tuple[Colour, ...] = ("red", "yellow", "green")
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
        worst = (worst_expected_trials(v.plan)[1] for v in self.verdicts if v.plan)
        return max(worst, default=float(self.summary.trials))

    @property
    def most_trials(self) -> int:
        """The most trials that the plans ever read."""
        most = (verdict.plan.max_trials for verdict in self.verdicts if verdict.plan)
        return max(most, default=self.summary.trials)

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
    test: str = "",
    strict: bool = False,
    ruler: Ruler = (),
    same_seeds: Mapping[int, Course] | None = None,
    read_course: Callable[[Trial], Course] = course_of,
) -> Evidence:
    """Judge the claim and, with a baseline, reliability, and by the baseline's numbers whether it trains
    as before; where the baseline holds none, speed.

    - `trial_at`: yields the trial of the n-th seed of the judged stream, from 0 on; each is asked for
      once, in order, and none that no verdict needs.
    - `test`: its name, for people.
    - `strict`: what is better, or otherwise, than before is red.
    - `ruler`, `same_seeds`: what rounding does, and recorded courses of the judged seeds, as for
      `comparison.compare_courses`. `read_course`: what is read of a trial.

    Raises InputError for a claim without a plan, and for a baseline of something else: of another
    monitor, and, where it holds no numbers, of any other task.
    """
    recorded = () if baseline is None else courses_of(baseline)
    trials: list[Trial] = []

    def read(index: int) -> Trial:
        while len(trials) <= index:
            trials.append(trial_at(len(trials)))
            if baseline is not None and len(trials) == 1:
                (require_same_monitor if recorded else require_comparable)(baseline, trials[0])
        return trials[index]

    if claim.kind != "mixed":  # rates that no plan can tell apart are refused before any training
        claim_plan(claim, budget)
    compared: list[Verdict] = []
    if baseline is not None:
        target = Target.from_dict(baseline.recipe) if recorded else source.target
        if target.text == source.target.text:
            compared.append(judge_reliability(baseline, budget, read))
        else:  # who converged then and who does now are two questions
            why = f"its target was {target.text}"
            compared.append(Verdict("as reliable", "cannot tell", 0, 0, (0.0, 1.0), note=why))
        if recorded:
            compared.append(
                judge_as_before(
                    measures_of(recorded, target, chance_of(target, baseline.recipe)),
                    recorded,
                    lambda index: read_course(read(index)),
                    budget.comparison_alpha,
                    monitor=target.monitor,
                    row=f"{source.recipe} {source.name}",
                    ruler=ruler,
                    same_seeds=same_seeds,
                    strict=strict,
                )
            )
        elif (plan := compared[0].plan) is not None and compared[0].colour == "green":
            least = next(n for n, successes in enumerate(plan.accept) if successes <= n)
            compared.append(judge_speed(baseline, budget, read, least))
    if claim.kind == "mixed" and compared and compared[0].trials:
        # The trials were read for the comparison, so the interval must know its stopping rule.
        own = compared[0]
        own = Verdict(
            "mixed", "cannot tell", own.successes, own.trials, own.interval, note=own.note
        )
    else:
        own = judge_claim(claim, budget, read)
    frozen = [trial for trial in trials if trial.stop_reason == "frozen"]
    return Evidence(
        name=source.name,
        recipe=source.recipe,
        target=source.target,
        claim=claim,
        budget=budget,
        verdicts=(own, *compared),
        trials=tuple(map(trial_key, trials)),
        summary=summarise(trials),
        symptoms=tuple(symptom_lines(trials)),
        symptom_counts=symptom_counts(trials),
        failed_seeds=tuple(trial.seed for trial in trials if not claim.holds_in(trial)),
        frozen=len(frozen),
        epochs_saved_by_proof=sum(source.target.epochs - len(trial.epochs) for trial in frozen),
        environment=""
        if baseline is None
        else differences(baseline.environment, trials[0].identity["environment"]),
        test=test,
        changed=changes(baseline, trials[0]) if baseline is not None and recorded else (),
    )
