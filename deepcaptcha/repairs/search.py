"""Which change makes a model train: candidates tried, the one that trains confirmed on fresh seeds.

What is promised: a change whose P(reaches the target) is at most p_bad is said to be shown with
probability at most alpha, over all candidates and pairs of a search together (Bonferroni; the chance of
each is exact for its sequential plan). What the search before it saw is no part of its interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from ..errors import InputError, error_words, require_whole
from ..finding import Finding
from ..keras import environment
from ..keras.data import Data, Examples, Part
from ..keras.settings import Training
from ..keras.source import KerasSource, rehearsed_source
from ..trials.runner import Runner
from ..trials.source import Source
from ..trials.trial import Target, Trial
from ..verdicts.claim import Budget, Claim
from ..verdicts.design import design_plan
from ..verdicts.plan import Plan, binomial_interval, confidence_interval
from .candidates import Candidate, candidates, not_offered, pairs
from .case import Case, direction, require_keras
from .changes import Change, ChangedData, Repaired, adapted
from .measure import HeldOut, Measure, held_out_target
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
    """A change, or two, while trainings with it come in."""

    parts: tuple[Candidate, ...]
    source: KerasSource | None
    trials: dict[int, Trial] = field(default_factory=dict)
    failed: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)

    def attempt(self, seeds: Iterable[int], sign: int) -> Attempt:
        read = [self.trials[seed] for seed in seeds if seed in self.trials]
        values = [sign * v for trial in read for v in _values(trial)]
        return Attempt(
            self.names,
            tuple(dict.fromkeys(part.component for part in self.parts)),
            "; ".join(part.text for part in self.parts),
            sum(trial.outcome == "converged" for trial in read),
            len(read),
            sign * max(values) if values else None,
            self.failed,
        )

    def best(self, sign: int) -> float:
        """The best value of the measure, larger where it is better."""
        values = [sign * v for trial in self.trials.values() for v in _values(trial)]
        return max(values, default=-inf)


def _values(trial: Trial) -> list[float]:
    monitor = trial.target.monitor
    return [v for epoch in trial.epochs if (v := epoch.metrics.get(monitor)) is not None]


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
    folder: Path | None = None,
    reuse: bool = True,
    jobs: int | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
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
    - `runner`: runs the trials, and keeps them; else one of these `folder`, `reuse`, `jobs`, `on_trial`.

    Nothing of the user's is changed. Raises InputError for what is no Keras network or cannot be
    judged, for an unknown name, and for numbers out of range. Ctrl-C ends the search with what is known.
    """
    require_whole("max_trials", max_trials)
    if claim.kind != "trains":
        raise InputError(
            f"a repair is to make a model train; a claim {claim.kind!r} is none of that"
        )
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes is {minutes!r}; a number above 0 is needed")
    source = _source(subject, train, validation, target, training, batch)
    if runner is None and jobs is None:
        environment.require_single_thread()
    opened = Runner(folder, reuse=reuse, jobs=jobs, on_trial=on_trial) if runner is None else None
    with opened or nullcontext(runner) as running:
        assert running is not None
        confirm = first_seed + APART if confirm_seed is None else confirm_seed
        seeds = range(first_seed, first_seed + SCREEN)
        search = _Search(
            Case.of(source), running, seeds, confirm, claim, alpha, max_trials, minutes
        )
        search.know(known)
        return search.go(findings, only)


def _source(
    subject: object,
    train: Part | None,
    validation: Part | None,
    target: Target | None,
    training: Training | None,
    batch: int | None,
) -> KerasSource:
    if train is None and validation is None:
        return require_keras(subject)
    if not callable(subject) or target is None:
        raise InputError(
            "a factory of models, its data and a target are needed, or a source of trials"
        )
    settings: dict[str, Any] = {"training": training, "batch": batch}
    return rehearsed_source(subject, train, validation, target, tried=False, **settings)


class _Search:
    """The state of a search."""

    def __init__(
        self,
        case: Case,
        runner: Runner,
        seeds: range,
        confirm_seed: int,
        claim: Claim,
        alpha: float,
        max_trials: int,
        minutes: float | None,
    ) -> None:
        self._case, self._runner, self._seeds, self._confirm = case, runner, seeds, confirm_seed
        self._claim, self._alpha, self._most = claim, alpha, max_trials
        self._began = time.monotonic()
        self._deadline = inf if minutes is None else self._began + 60 * minutes
        self._measure = case.measure()
        self._constant = None if self._measure is None else self._measure.constant()
        self._target = _target(case, self._measure, self._constant)
        self._sign = direction(self._target.mode)
        self._spent = 0
        self._tried: list[_Tried] = []
        self._found: Confirmation | None = None
        self._unrepaired = _Tried((), self._changed(()))

    def know(self, trials: Sequence[Trial]) -> None:
        """Take trials of the unrepaired model, where they were judged as these are."""
        target = self._case.source.target
        same = target.value == self._target.value and target.mode == self._target.mode
        if self._measure is not None and (
            self._case.pooled
            or not same
            or self._measure.unit not in ("accuracy", "string accuracy")
        ):
            return
        for trial in trials:
            if trial.target == target and trial.stop_reason != "steps":
                self._unrepaired.trials[trial.seed] = trial

    def go(self, findings: Sequence[Finding], only: Sequence[str]) -> Repair:
        """Search and confirm; what is known so far where budget or patience end."""
        units = self._measure is not None
        classes = self._measure is None or self._measure.unit != "own"
        offered = candidates(self._case, findings, only, units=units, classes=classes)
        ended = ""
        try:
            self._search(offered)
        except _EndedError as error:
            ended = str(error)
        except KeyboardInterrupt:
            self._runner.abandon()
            ended = INTERRUPTED
        source = self._case.source
        return Repair(
            name=source.name,
            recipe=source.recipe,
            target=source.target.text,
            measure=source.target.monitor if self._measure is None else self._measure.words,
            constant=self._constant,
            bar=self._target.value,
            rows=self._rows(),
            unrepaired=self._unrepaired.attempt(self._unrepaired.trials, self._sign),
            attempts=tuple(tried.attempt(self._seeds, self._sign) for tried in self._tried),
            found=self._found,
            not_tried=not_offered(self._case, units),
            trials=self._spent,
            most=self._most,
            seconds=round(time.monotonic() - self._began, 1),
            ended=ended,
        )

    def _rows(self) -> str:
        data = self._case.given
        if self._case.pooled:
            return (
                f"{data.n_validation:,} rows drawn from all rows, since the validation targets are "
                "unlike the training targets"
            )
        return f"the {data.n_validation:,} validation rows"

    def _search(self, offered: Sequence[Candidate]) -> None:
        # A number fixed beforehand, so that every confirmation has its share of alpha.
        declared = len(offered) + BEST * (BEST - 1) // 2
        if not any(t.outcome != "converged" for t in self._unrepaired.trials.values()):
            for seed in self._seeds:
                self._run([(self._unrepaired, seed)])
                trial = self._unrepaired.trials.get(seed)
                if trial is None or trial.outcome != "converged":
                    break
            else:
                return
        singles = [self._try((candidate,)) for candidate in offered]
        waiting = list(singles)
        while waiting:
            now, waiting = self._split(waiting)
            self._run([(tried, self._seeds[0]) for tried in now])
            if self._most - self._spent < RESERVE and any(map(self._begins_well, singles)):
                break  # what is left is for the confirmation
        for tried in singles:
            if not self._begins_well(tried):
                continue
            if self._passes(tried) and self._confirmed(tried, declared):
                return
        ranked = sorted(
            (tried for tried in singles if not tried.failed or tried.trials),
            key=lambda tried: -self._progress(tried),
        )
        best = [tried.parts[0] for tried in ranked[:BEST]]
        waiting = [self._try(pair) for pair in pairs(best)]
        while waiting:
            now, waiting = self._split(waiting)
            self._tried.extend(tried for tried in now if tried not in self._tried)
            self._run([(tried, self._seeds[0]) for tried in now])
            for tried in now:
                if self._passes(tried) and self._confirmed(tried, declared):
                    return

    def _split(self, waiting: list[_Tried]) -> tuple[list[_Tried], list[_Tried]]:
        """What can run at once, and the rest."""
        room = max(1, self._runner.room)
        return waiting[:room], waiting[room:]

    def _begins_well(self, tried: _Tried) -> bool:
        first = tried.trials.get(self._seeds[0])
        return first is not None and first.outcome == "converged"

    def _progress(self, tried: _Tried) -> float:
        """How far it came from the constant answer to the target, in tenths, so that noise leaves the
        order as the findings have it."""
        best = tried.best(self._sign)
        bar, start = self._sign * self._target.value, self._constant
        if best == -inf:
            return -inf
        if start is None or self._sign * start == bar:
            return best
        start *= self._sign
        return round(max(-1.0, min(1.0, (best - start) / (bar - start))), 1)

    def _try(self, parts: tuple[Candidate, ...]) -> _Tried:
        source, failed = None, ""
        try:
            source = self._changed(parts)
        except Exception as error:  # whatever a user's data make of a change
            failed = error_words(error) or type(error).__name__
        tried = _Tried(parts, source, failed=failed)
        if len(parts) == 1:
            self._tried.append(tried)
        return tried

    def _passes(self, tried: _Tried) -> bool:
        """Whether it reaches the target in the first training, and then in all of the screen."""
        for seed in self._seeds:
            if seed not in tried.trials:
                self._run([(tried, seed)])
            trial = tried.trials.get(seed)
            if trial is None or trial.outcome != "converged":
                return False
        return True

    def _confirmed(self, tried: _Tried, declared: int) -> bool:
        """Judge it on fresh seeds, the unrepaired model beside it."""
        assert self._claim.p_good is not None
        assert self._claim.p_bad is not None
        share = Budget(declared, self._alpha, self._alpha).share[1]
        plan = design_plan(self._claim.p_good, self._claim.p_bad, min(self._alpha, 0.05), share)
        try:
            while self._read(tried, plan)[0] == "continue" and not tried.failed:
                # What is wanted in any case, and what can run beside it.
                done = len(self._read_trials(tried))
                ahead = max(1, min(self._runner.room, plan.max_trials - done))
                self._run([(tried, self._confirm + done + i) for i in range(ahead)])
            read = self._read(tried, plan)[1]
            if self._read(tried, plan)[0] == "accept":
                seeds = [self._confirm + index for index in range(read)]
                self._run(
                    [(self._unrepaired, s) for s in seeds if s not in self._unrepaired.trials]
                )
        finally:
            self._found = self._confirmation(tried, plan, share)
        return self._found.shown

    def _read_trials(self, tried: _Tried) -> list[Trial]:
        found: list[Trial] = []
        while (trial := tried.trials.get(self._confirm + len(found))) is not None:
            found.append(trial)
        return found

    def _read(self, tried: _Tried, plan: Plan) -> tuple[str, int, int]:
        return plan.judge(trial.outcome == "converged" for trial in self._read_trials(tried))

    def _confirmation(self, tried: _Tried, plan: Plan, share: float) -> Confirmation:
        decision, read, successes = self._read(tried, plan)
        if decision == "continue":  # the budget ended it
            interval = binomial_interval(successes, read) if read else (0.0, 1.0)
        else:
            interval = confidence_interval(plan, successes, read)
        beside = [
            trial
            for index in range(read)
            if (trial := self._unrepaired.trials.get(self._confirm + index)) is not None
        ]
        attempt = tried.attempt((), 1)
        return Confirmation(
            names=attempt.names,
            components=attempt.components,
            text=attempt.text,
            code="\n".join(part.code for part in tried.parts),
            converged=successes,
            trials=read,
            interval=interval,
            unrepaired=sum(trial.outcome == "converged" for trial in beside),
            unrepaired_trials=len(beside),
            p_bad=plan.p_bad,
            chance=share,
            shown=decision == "accept",
        )

    def _run(self, wanted: Sequence[tuple[_Tried, int]]) -> None:
        """Run these trials, as far as the budget goes; one that raises is told of in its row.

        _EndedError, once those that run have finished, where the budget does not reach for all.
        """
        waiting = [(t, s) for t, s in wanted if not t.failed and t.source and s not in t.trials]
        by_key: dict[object, tuple[_Tried, int]] = {(t.names, s): (t, s) for t, s in waiting}
        ended = ""
        running = 0
        while waiting or running:
            while waiting and not ended and self._runner.room > 0:
                if self._spent >= self._most:
                    ended = f"the budget of {self._most} trainings is spent"
                    break
                if time.monotonic() > self._deadline:
                    ended = "the time for it is spent"
                    break
                tried, seed = waiting.pop(0)
                if tried.failed:
                    continue
                assert tried.source is not None
                self._spent += 1
                self._runner.start((tried.names, seed), tried.source, seed)
                running += 1
            if ended:
                waiting = []
            if not running:
                break
            for key, future in self._runner.finished():
                tried, seed = by_key[key]
                running -= 1
                if (error := future.exception()) is None:
                    tried.trials[seed] = future.result()
                elif isinstance(error, Exception):
                    tried.failed = error_words(error) or type(error).__name__
                else:
                    raise error
        if ended:
            raise _EndedError(ended)

    def _changed(self, parts: tuple[Candidate, ...]) -> KerasSource:
        """The source with these changes, judged by the measure."""
        case, changes = self._case, adapted([part.change for part in parts])
        source = case.source
        return changed_source(
            source, case, changes, tuple(p.name for p in parts), self._target, self._measure
        )


def changed_source(
    source: KerasSource,
    case: Case,
    changes: tuple[Change, ...],
    names: Sequence[str],
    target: Target,
    measure: Measure | None,
) -> KerasSource:
    """A source of trials with changes, judged by `measure` against `target`."""
    data: Data | Callable[..., Data] = source.data
    build, arguments, training = source.build, source.arguments, source.training
    if case.pooled or any(change.touches_data for change in changes):
        data = ChangedData(source.data, case.pooled, changes)
    if _remade(changes):
        example = case.given.head(1) if isinstance(case.given, Examples) else case.given
        made = Repaired(source.factory, changes, source.training, source.target, example)
        build, arguments = made, {}
    for change in changes:
        training = change.training(training)
        target = replace(target, epochs=change.epochs(target.epochs))
    recipe = " + ".join((source.recipe, *names))
    held = None if measure is None else HeldOut(measure, changes, case.logits)
    return replace(
        source,
        build=build,
        arguments=arguments,
        data=data,
        training=training,
        target=target,
        name=source.name,
        recipe=recipe,
        further=held,
    )


def _remade(changes: Sequence[Change]) -> bool:
    """Whether any of them changes the model or how it is compiled."""
    return any(
        change.touches_model
        or change.touches_outputs
        or type(change).compiled is not Change.compiled
        for change in changes
    )


def _target(case: Case, measure: Measure | None, constant: float | None) -> Target:
    target = case.source.target
    if measure is None or constant is None:
        return target
    return held_out_target(target, constant, target.mode)
