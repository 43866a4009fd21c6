"""What explains a failing test; and what it looks for, if asked: a change that repairs its model, within
a stated budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InputError, error_words
from ..keras import environment

if TYPE_CHECKING:
    from ..trials.runner import Runner
    from ..trials.source import Source
    from ..trials.trial import Trial
    from ..verdicts.claim import Claim
    from ..verdicts.judge import Evidence

USUAL = "60"
"""The budget of `--convergence-repair` alone."""


@dataclass(frozen=True)
class RepairBudget:
    """The most trainings of one search, and the minutes after which none is begun, if any."""

    trials: int
    minutes: float | None = None

    @property
    def text(self) -> str:
        """For people."""
        if self.minutes is not None:
            return f"{self.minutes:g} minutes"
        return f"{self.trials} trainings"


def read_budget(text: str) -> RepairBudget:
    """`60` trainings or `10m`, minutes; InputError for anything else."""
    number = text.removesuffix("m")
    try:
        value = float(number) if number != text else int(number)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise InputError(
            f"{text!r} is given; trainings such as 60, or minutes such as 10m, are needed"
        )
    return RepairBudget(1000, value) if number != text else RepairBudget(int(value))


def explained(
    evidence: Evidence, source: Source, trials: Sequence[Trial], runner: Runner, again: str
) -> Evidence:
    """The same with what a check of the model finds before training, where its trials run, and with the
    command that looks for a change that repairs it, which begins with `again`; of anything but a Keras
    model, as it is."""
    if getattr(source, "start", None) is None:
        return evidence
    from ..report.words import explanation
    from .given import check_source

    try:
        found, note = runner.call(source.name, check_source, source, trials[0].seed)
    except InputError as error:  # its process died, and the verdict stands
        found, note = (), str(error)
    errors = [finding for finding in found if finding.severity == "error"]
    repairable = environment.backend() == "tensorflow"
    return replace(
        evidence,
        symptoms=tuple(explanation(trials, errors, note)),
        repairs=(f"Which change repairs it: {_repair_command(source, again)}",) * repairable,
    )


def _repair_command(source: Source, again: str) -> str:
    """What looks for a change that repairs the source: by its name on the command line, or the test."""
    from ..networks.recipes import RECIPES
    from ..networks.variants import VARIANTS

    recipe = RECIPES.get(source.recipe)
    if recipe and source.name in VARIANTS and recipe.source(source.name) == source:
        return f"deepcaptcha repair {source.name}:{source.recipe}"
    return f"{again} --convergence-repair"


def look_for_repair(
    source: Source,
    claim: Claim | None,
    budget: RepairBudget,
    runner: Runner,
    known: Sequence[Trial],
    first_seed: int,
) -> tuple[str, ...]:
    """What a search for a repair says, a line each.

    - `claim`: of the test, whose rates count where it is of kind `trains`.
    - `known`: trials of the source; `first_seed`: of the stream that judged it, on which a repair is
      confirmed beside them.
    """
    if not hasattr(source, "start"):
        return (f"No repair was looked for: {source.name} is no Keras network.",)
    from ..repairs.result import repair_lines
    from ..repairs.search import APART, CLAIM, repair
    from .given import GivenSource, check_source

    try:
        if isinstance(source, GivenSource):
            source = source.made()
        findings, _ = check_source(source, first_seed)  # which only order the search
        found = repair(
            source,
            claim=claim if claim is not None and claim.kind == "trains" else CLAIM,
            findings=findings,
            known=known,
            max_trials=budget.trials,
            minutes=budget.minutes,
            first_seed=first_seed + APART,
            confirm_seed=first_seed,
            runner=runner,
        )
    except Exception as error:  # whatever a user's model raises, the verdict stands
        words = error_words(error) or type(error).__name__
        return (f"No repair could be looked for: {words}.",)
    if found.interrupted:
        raise KeyboardInterrupt
    return tuple(repair_lines(found))
