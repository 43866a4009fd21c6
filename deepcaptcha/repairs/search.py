"""Which change makes a model train: candidates tried, the one that trains confirmed on fresh seeds.

What is promised: a change whose P(reaches the target) is at most p_bad is said to be shown with
probability at most alpha, over all candidates and pairs of a search together (Bonferroni; the chance of
each is exact for its sequential plan). What the search before it saw is no part of its interval.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, islice, takewhile
from math import inf
from typing import Any

from ..errors import InputError, error_words, require_whole
from ..finding import Finding
from ..keras import environment
from ..keras.backend import require_tensorflow
from ..keras.data import Data, Examples, Part
from ..keras.rehearsal import rehearsed_source
from ..keras.settings import Training
from ..keras.source import KerasSource, forget_models
from ..trials.history import diagnose
from ..trials.runner import Runner
from ..trials.source import Source
from ..trials.trial import Target, Trial
from ..verdicts.claim import Budget, Claim
from ..verdicts.design import design_plan
from ..verdicts.plan import Plan, binomial_interval, confidence_interval
from .candidates import Candidate, candidates, not_offered, pairs, require_known
from .case import Case
from .changes import ChangedData, Repaired, same
from .measure import HeldOut
from .result import INTERRUPTED, SCREEN, Attempt, Confirmation, Repair

BEST = 5
"""Pairs are made of so many singles."""

RESERVE = 26
"""Trainings kept for a confirmation once a change has trained: a dozen, twice, and the screen."""

APART = 5000
"""Seeds between those of the search and those that confirm."""

CLAIM = Claim("trains", 0.9, 0.5)
"""What a repair is to reach where nobody says otherwise."""


@dataclass
class _Tried:
    """A change, or two, or none, while trainings with it come in."""

    parts: tuple[Candidate, ...]
    source: KerasSource | None
    trials: dict[int, Trial] = field(default_factory=dict)
    failed: str = ""

    def attempt(self, seeds: Iterable[int], target: Target) -> Attempt:
        """What they say on these seeds."""
        read = [self.trials[seed] for seed in seeds if seed in self.trials]
        metrics = [epoch.metrics.get(target.monitor) for trial in read for epoch in trial.epochs]
        best = max if target.mode == "max" else min
        return Attempt(
            tuple(part.name for part in self.parts),
            tuple(dict.fromkeys(part.component for part in self.parts)),
            "; ".join(part.text for part in self.parts),
            sum(trial.outcome == "converged" for trial in read),
            len(read),
            best((value for value in metrics if value is not None), default=None),
            self.failed,
        )


class _EndedError(Exception):
    pass


def repair(
    subject: KerasSource | Source | Callable[..., Any],
    train: Part | None = None,
    validation: Part | None = None,
    *,
    target: Target | None = None,
    training: Training | None = None,
    batch: int | None = None,
    claim: Claim = CLAIM,
    alpha: float = 0.05,
    findings: Sequence[Finding] = (),
    known: Sequence[Trial] = (),
    only: Sequence[str] = (),
    max_trials: int = 60,
    minutes: float | None = None,
    first_seed: int = 0,
    confirm_seed: int | None = None,
    runner: Runner | None = None,
) -> Repair:
    """Look for the smallest change that makes a Keras model train, and show that it does.

    - `subject`: a source of Keras trials; or a factory of models, and then `train` and `validation` as
      `deepcaptcha.keras.data.read_data` takes them, `target`, and `training` for a model that is not
      compiled, `batch` for another than 32.
    - `claim`: of kind `trains`; a repair must be seen not to have a P(reaches the target) of its p_bad.
      `alpha`: the chance of a wrong `shown`, over the whole search.
    - `findings`: what `check` said, gravest first: it orders the search. `only`: names of candidates.
    - `known`: trials of the subject that need not be run again.
    - `max_trials`, `minutes`: the budget; a trial that has begun is finished.
    - `first_seed`, `confirm_seed`: of the search and of the confirmation, APART by default.
    - `runner`: runs the trials, and keeps them; else they are run one by one, here.

    Nothing of the user's is changed. Raises InputError for what is no Keras network or cannot be
    judged, for an unknown name, for numbers out of range, and on another backend than TensorFlow.
    Ctrl-C ends the search with what is known.
    """
    require_tensorflow("repair")
    require_whole("max_trials", max_trials)
    require_known(only)  # before anything is trained
    if claim.kind != "trains":
        raise InputError(
            f"a repair is to make a model train; a claim {claim.kind!r} is none of that"
        )
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes is {minutes!r}; a number above 0 is needed")
    if train is not None or validation is not None:
        if not callable(subject) or target is None:
            raise InputError(
                "a factory of models, its data and a target are needed, or a source of trials"
            )
        subject = rehearsed_source(
            subject, train, validation, target, training=training, batch=batch, tried=False
        )
    if runner is None:
        environment.require_single_thread()
    forget_models()  # those of a factory that had the same name
    case = Case.of(subject)
    with Runner() if runner is None else nullcontext(runner) as running:
        search = _Search(
            case,
            running,
            claim,
            alpha,
            range(first_seed, first_seed + SCREEN),
            first_seed + APART if confirm_seed is None else confirm_seed,
            max_trials,
            minutes,
        )
        search.know(known)
        return search.go(findings, only)


@dataclass
class _Search:
    """The state of a search."""

    case: Case
    runner: Runner
    claim: Claim
    alpha: float
    seeds: range
    confirm: int
    most: int
    minutes: float | None

    def __post_init__(self) -> None:
        self.began, self.spent = time.monotonic(), 0
        self.tried: list[_Tried] = []
        self.found: Confirmation | None = None
        self.unrepaired = self.changed(())

    def know(self, trials: Sequence[Trial]) -> None:
        """Take trials of the unrepaired model, where they were judged as these are."""
        target, measure = self.case.source.target, self.case.measure
        if measure is not None and (
            self.case.pooled
            or measure.unit not in ("accuracy", "string accuracy")
            or target.value != self.case.target.value
        ):
            return
        for trial in trials:
            if trial.target == target and trial.stop_reason != "steps":
                self.unrepaired.trials[trial.seed] = trial

    def go(self, findings: Sequence[Finding], only: Sequence[str]) -> Repair:
        """Search and confirm; what is known so far where budget or patience end."""
        ended, measure = "", self.case.measure
        try:
            self.search(findings, only)
        except _EndedError as error:
            ended = str(error)
        except KeyboardInterrupt:
            self.runner.abandon()
            ended = INTERRUPTED
        source, held = self.case.source, self.case.given.n_validation
        rows = f"the {held:,} validation rows"
        if self.case.pooled:
            rows = (
                f"{held:,} rows drawn from all rows, since the validation targets are unlike the "
                "training targets"
            )
        return Repair(
            name=source.name,
            recipe=source.recipe,
            target=source.target.text,
            measure=source.target.monitor if measure is None else measure.words,
            constant=None if measure is None else measure.constant,
            bar=self.case.target.value,
            rows=rows,
            unrepaired=self.unrepaired.attempt(self.unrepaired.trials, self.case.target),
            attempts=tuple(tried.attempt(self.seeds, self.case.target) for tried in self.tried),
            found=self.found,
            not_tried=not_offered(self.case),
            trials=self.spent,
            most=self.most,
            seconds=round(time.monotonic() - self.began, 1),
            ended=ended,
            narrowed=bool(only),
        )

    def search(self, findings: Sequence[Finding], only: Sequence[str]) -> None:
        """All single changes once, those that train confirmed; then pairs of the best."""
        known = self.unrepaired.trials
        if all(t.outcome == "converged" for t in known.values()) and self.passes(self.unrepaired):
            return
        # What its curves show comes after what the check found.
        symptoms = [diagnose(trial) for trial in known.values() if trial.outcome != "converged"]
        told = [*findings, *(symptom for symptom in symptoms[:1] if symptom is not None)]
        offered = candidates(self.case, told, only)
        # A number fixed beforehand, so that every confirmation has its share of alpha.
        declared = len(offered) + BEST * (BEST - 1) // 2
        self.tried = [self.changed((candidate,)) for candidate in offered]
        singles, room = list(self.tried), max(1, self.runner.room)
        for start in range(0, len(singles), room):
            self.run([(tried, self.seeds[0]) for tried in singles[start : start + room]])
            if self.most - self.spent < RESERVE and any(map(self.begins_well, singles)):
                break  # what is left is for the confirmation
        if any(map(partial(self.confirmed, declared=declared), filter(self.begins_well, singles))):
            return
        ranked = sorted((tried for tried in singles if tried.trials), key=self.progress)
        both = map(self.changed, pairs([tried.parts[0] for tried in ranked[:BEST]]))
        while now := list(islice(both, room)):
            self.tried += now
            self.run([(tried, self.seeds[0]) for tried in now])
            if any(self.confirmed(tried, declared) for tried in now if self.begins_well(tried)):
                return

    def begins_well(self, tried: _Tried) -> bool:
        """Whether its first training reached the target."""
        first = tried.trials.get(self.seeds[0])
        return first is not None and first.outcome == "converged"

    def progress(self, tried: _Tried) -> float:
        """How far it is from the target, on the way from the constant answer, in tenths, so that noise
        leaves the order as the findings have it."""
        best = tried.attempt(self.seeds, self.case.target).best
        if best is None:
            return inf
        measure, value = self.case.measure, self.case.target.value
        way = abs(value - (value if measure is None else measure.constant)) or 1.0
        behind = value - best if self.case.target.mode == "max" else best - value
        return round(min(behind / way, 2.0), 1)

    def passes(self, tried: _Tried) -> bool:
        """Whether it reaches the target in all trainings of the screen."""
        for seed in self.seeds:
            self.run([(tried, seed)])
            trial = tried.trials.get(seed)
            if trial is None or trial.outcome != "converged":
                return False
        return True

    def confirmed(self, tried: _Tried, declared: int) -> bool:
        """Judge it on fresh seeds, where it passes, the unrepaired model beside it."""
        if not self.passes(tried):
            return False
        p_good, p_bad = self.claim.p_good, self.claim.p_bad
        assert p_good is not None
        assert p_bad is not None
        share = Budget(declared, self.alpha, self.alpha).share[1]
        plan = design_plan(p_good, p_bad, min(self.alpha, 0.05), share)
        try:
            while self.read(tried, plan)[0] == "continue" and not tried.failed:
                # What is wanted in any case, and what can run beside it.
                seeds = range(self.confirm, self.confirm + plan.max_trials)
                waiting = [seed for seed in seeds if seed not in tried.trials]
                self.run([(tried, seed) for seed in waiting[: max(1, self.runner.room)]])
            decision, trials, _ = self.read(tried, plan)
            if decision == "accept":
                self.run([(self.unrepaired, self.confirm + index) for index in range(trials)])
        finally:
            self.found = self.confirmation(tried, plan, share)
        return self.found.shown

    def read(self, tried: _Tried, plan: Plan) -> tuple[str, int, int]:
        """What the plan decides, of how many trainings, and how many of them reached the target."""
        seeds = takewhile(tried.trials.__contains__, count(self.confirm))
        return plan.judge(tried.trials[seed].outcome == "converged" for seed in seeds)

    def confirmation(self, tried: _Tried, plan: Plan, share: float) -> Confirmation:
        """As the trainings so far have it."""
        decision, read, successes = self.read(tried, plan)
        if decision == "continue":  # the budget ended it
            interval = binomial_interval(successes, read) if read else (0.0, 1.0)
        else:
            interval = confidence_interval(plan, successes, read)
        seeds = range(self.confirm, self.confirm + read)
        own, beside = (t.attempt(seeds, self.case.target) for t in (tried, self.unrepaired))
        return Confirmation(
            names=own.names,
            components=own.components,
            text=own.text,
            code="\n".join(part.code for part in tried.parts),
            converged=successes,
            trials=read,
            interval=interval,
            unrepaired=beside.converged,
            unrepaired_trials=beside.trials,
            p_bad=plan.p_bad,
            chance=share,
            shown=decision == "accept",
        )

    def run(self, wanted: Sequence[tuple[_Tried, int]]) -> None:
        """Run these trials, as far as the budget goes; one that raises is told of in its row.

        _EndedError, once those that run have finished, where the budget does not reach for all.
        """
        waiting = [(t, s) for t, s in wanted if not t.failed and s not in t.trials]
        started, running, ended = dict[object, tuple[_Tried, int]](), 0, ""
        while running or (waiting and not ended):
            while waiting and not ended and self.runner.room > 0:
                if self.spent >= self.most:
                    ended = f"the budget of {self.most} trainings is spent"
                elif self.minutes is not None and self.elapsed > 60 * self.minutes:
                    ended = "the time for it is spent"
                elif not (pair := waiting.pop(0))[0].failed:
                    tried, seed = pair
                    assert tried.source is not None
                    self.spent += 1
                    started[len(started)] = pair
                    self.runner.start(len(started) - 1, tried.source, seed)
                    running += 1
            for key, future in self.runner.finished():
                tried, seed = started[key]
                running -= 1
                if (error := future.exception()) is None:
                    tried.trials[seed] = future.result()
                elif isinstance(error, Exception):
                    tried.failed = error_words(error) or type(error).__name__
                else:
                    raise error
        if ended:
            raise _EndedError(ended)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def changed(self, parts: tuple[Candidate, ...]) -> _Tried:
        """What a change is tried with, or why it cannot be."""
        if failed := next((part.failed for part in parts if part.failed), ""):
            return _Tried(parts, None, failed=failed)
        try:
            source = changed_source(self.case, parts)
        except Exception as error:  # whatever a user's data make of a change
            return _Tried(parts, None, failed=error_words(error) or type(error).__name__)
        return _Tried(parts, source)


def changed_source(case: Case, parts: Sequence[Candidate]) -> KerasSource:
    """A source of trials with changes, judged by the case's measure and target."""
    target, measure = case.target, case.measure
    source, changes = case.source, tuple(part.change for part in parts)
    data: Data | Callable[..., Data] = source.data
    build, arguments, training = source.build, source.arguments, source.training
    if case.pooled or any(change.data is not same for change in changes):
        data = ChangedData(source.data, case.pooled, changes)
    if changes:  # of data too, which a model that was traced for others must not meet
        example = case.given.head(1) if isinstance(case.given, Examples) else case.given
        build = Repaired(source.factory, changes, training, source.target, example)
        arguments = {}
    for change in changes:
        training = replace(training, batch=change.batch or training.batch)
        target = replace(target, epochs=target.epochs * change.epochs)
    raw = case.from_logits and measure is not None and measure.unit == "own"
    return replace(
        source,
        build=build,
        arguments=arguments,
        data=data,
        training=training,
        target=target,
        recipe=" + ".join((source.recipe, *(part.name for part in parts))),
        further=None if measure is None else HeldOut(measure, changes, raw),
        reuse_model=source.reuse_model or _pickles(build, arguments),
    )


def _pickles(*parts: object) -> bool:
    """Whether the factory pickles, so that a change is traced once and not in every trial."""
    try:
        pickle.dumps(parts)
    except Exception:  # whatever a user's objects raise
        return False
    return True
