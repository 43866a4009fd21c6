"""Each change trained and judged against the baseline of its data set, as a suite judges a row."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from deepcaptcha.errors import InputError
from deepcaptcha.keras import environment
from deepcaptcha.networks.variants import HYPOTHESES, ROWS
from deepcaptcha.trials import seeds
from deepcaptcha.trials.ledger import Ledger, read_ledger
from deepcaptcha.trials.runner import Executors, LostTrialError, Runner
from deepcaptcha.trials.source import Source
from deepcaptcha.trials.trial import Trial
from deepcaptcha.trials.worker import workers
from deepcaptcha.verdicts.as_before import Looks, judge_as_before
from deepcaptcha.verdicts.baseline import SEED_DIGESTS, Baseline, make_baseline
from deepcaptcha.verdicts.claim import Budget, Verdict
from deepcaptcha.verdicts.comparison import compare_courses, readings_of
from deepcaptcha.verdicts.confirm import PREFIX_STEPS, choose_repetition, complete, confirm
from deepcaptcha.verdicts.judge import more_copies
from deepcaptcha.verdicts.measures import (
    Course,
    Measure,
    chance_of,
    course_of,
    courses_of,
    measures_of,
    spread_of,
)
from deepcaptcha.verdicts.ruler import Ruler, Shift

from .changes import ARITHMETICS, CHANGES, NETWORK, RECIPE, Change
from .page import Row

RECORDED = 40
"""Seeds of a baseline."""

ALPHA = Budget(HYPOTHESES, rows=ROWS).comparison_alpha
"""What a row of this project's own suite has."""

LOOKS = Looks()
PAIRED = 4
"""Recorded seeds that are trained again, of what is compared seed by seed, and for the ruler."""

VARIABLES = {change.key: change.environment for change in CHANGES}
"""Of the workers that train a change."""

RULERS = {change.name for change in ARITHMETICS}

STRETCH = 100  # new seeds that a change may use, so that none shares its luck with another


@dataclass(frozen=True)
class Reference:
    """A data set's baseline, with what is read of it."""

    on: str
    record: Baseline

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        return courses_of(self.record)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        target = RECIPE[self.on].target
        return measures_of(self.courses, target, chance_of(target, self.record.recipe))

    def judge(
        self, new: Sequence[Course], looks: Looks, ruler: Ruler = ()
    ) -> tuple[Verdict, str, float]:
        """The verdict on as many looks as there are courses for, and what moved most surely."""
        same = {course.seed: course for course in self.courses} if ruler else None
        options = {"row": self.on, "ruler": ruler, "same_seeds": same}
        verdict = judge_as_before(
            self.measures,
            self.courses,
            new.__getitem__,
            ALPHA,
            monitor=RECIPE[self.on].target.monitor,
            looks=looks,
            **options,
        )
        read = new[: verdict.trials]
        told = compare_courses(self.measures, self.courses, read, ALPHA, **options)
        surest = min(told, key=lambda one: (one.p, -abs(one.spreads)))
        return verdict, surest.measure.name, surest.measure.sign * surest.spreads

    def ruler(self, again: Sequence[tuple[str, Sequence[Course]]]) -> list[Shift]:
        """What arithmetics did to the recorded seeds."""
        found = []
        for arithmetic, now in again:
            then = self.courses[: len(now)]
            for measure in self.measures:
                old, new = readings_of(measure, then), readings_of(measure, now)
                if not old or not new or any(each.level for each in (*old, *new)):
                    continue
                moved = [b.value - a.value for a, b in zip(old, new, strict=True)]
                found.append(
                    Shift(
                        arithmetic,
                        self.on,
                        measure.name,
                        statistics.fmean(moved),
                        statistics.stdev(moved),
                        spread_of(readings_of(measure, self.courses)),
                        len(moved),
                    )
                )
        return found


class LackingError(Exception):
    """Something is not trained yet, and nothing is to be trained."""


class Trials:
    """Those in a folder, by source and seed; with no `jobs`, nothing that lacks is trained."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._folder, self._jobs = folder, jobs
        self.refused: dict[tuple[str, str], str] = {}
        self._whole = self._read(folder / "ledger")
        self._prefixes = self._read(folder / "prefixes")

    def _read(self, folder: Path) -> dict[tuple[str, str, int], Trial]:
        here = environment.describe()

        def is_of_here(trial: Trial) -> bool:
            there = dict(trial.identity["environment"])
            if VARIABLES.get(trial.name):
                there |= {name: here[name] for name in ("onednn", "threads")}
            return there == here

        return {
            (trial.name, trial.recipe, trial.seed): trial
            for trial in read_ledger(folder).trials
            if is_of_here(trial)
        }

    def train(self, wanted: Iterable[tuple[Source, int]]) -> None:
        """Whatever of it is not there yet; a source that cannot be trained is `refused`."""
        known = self._whole
        missing = [(s, n) for s, n in wanted if (s.name, s.recipe, n) not in known]
        if not self._jobs:
            return
        for own, pairs in groupby(missing, key=lambda pair: _variables(pair[0])):
            with Runner(self._folder / "ledger", reuse=False, executors=self._workers(own)) as run:
                self._run(run, list(pairs), "".join(f" {name}={own[name]}" for name in own))

    def _run(self, runner: Runner, pairs: list[tuple[Source, int]], where: str) -> None:
        running, broken = 0, None
        while pairs or running:
            while pairs and runner.room > 0:
                source, seed = pairs.pop(0)
                runner.start((source.name, source.recipe), source, seed)
                running += 1
            for key, future in runner.finished():
                running -= 1
                error = future.exception()
                if isinstance(error, InputError) and not isinstance(error, LostTrialError):
                    self.refused[key] = str(error)
                    continue
                if error is not None:  # told once all others are trained
                    print(f"{key}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                    broken = error
                    continue
                trial = future.result()
                self._whole[trial.name, trial.recipe, trial.seed] = trial
                print(f"{trial.name} seed {trial.seed}: {trial.outcome}{where}", flush=True)
        if broken is not None:
            raise broken

    def prefixes(self, sources: Iterable[Source], seed: int) -> None:
        """The first steps of one seed, of those that lack them."""
        folder = self._folder / "prefixes"
        missing = [s for s in sources if (s.name, s.recipe, seed) not in self._prefixes]
        if not self._jobs:
            return
        for own, some in groupby(missing, key=_variables):
            with Ledger(folder) as ledger, Runner(executors=self._workers(own)) as runner:
                todo, running = list(some), 0
                while todo or running:
                    while todo and runner.room > 0:
                        runner.start(None, todo.pop(0), seed, steps=PREFIX_STEPS)
                        running += 1
                    for _, future in runner.finished():
                        running -= 1
                        trial = future.result()
                        ledger.append(trial)
                        self._prefixes[trial.name, trial.recipe, seed] = trial
                        print(f"{trial.name} {PREFIX_STEPS} steps", flush=True)

    def _workers(self, variables: Mapping[str, str]) -> Executors:
        return partial(workers, self._jobs, 900, variables)

    def of(self, source: Source, wanted: Iterable[int]) -> list[Trial]:
        """The trials of these seeds that are there, up to the first that is not."""
        found = []
        for seed in wanted:
            if (trial := self._whole.get((source.name, source.recipe, seed))) is None:
                break
            found.append(trial)
        return found

    def prefix(self, source: Source, seed: int) -> Trial:
        """The first steps of that seed."""
        if (trial := self._prefixes.get((source.name, source.recipe, seed))) is None:
            raise LackingError(source.name)
        return trial


def _variables(source: Source) -> Mapping[str, str]:
    """Those of its workers."""
    return VARIABLES.get(source.name, {})


def new_seeds(change: Change) -> range:
    """Of its own, which no baseline read."""
    first = seeds.first_seed("pull-request") + STRETCH * CHANGES.index(change)
    return range(first, first + LOOKS.trials[-1])


def make_reference(trials: Trials, on: str) -> Reference:
    """A data set's baseline, recorded."""
    chosen, source = seeds.take("baseline", RECORDED), RECIPE[on].source(NETWORK)
    trials.train((source, seed) for seed in chosen)
    if len(found := trials.of(source, chosen)) < RECORDED:
        raise LackingError(f"the baseline of {on}")
    record = make_baseline(found)
    trials.prefixes([source], record.first_seed)
    return Reference(on, complete(record, None, lambda seed, steps: trials.prefix(source, seed)))


def is_unchanged(record: Baseline, trials: Trials, change: Change, first: Trial | None) -> bool:
    """Whether the repeated first steps of a recorded seed agree bit for bit; not repeated where the
    digests of `first`, a whole trial of the change, that no seed has a part in differ already."""
    if first is not None and record.digests != {
        name: value for name, value in first.digests.items() if name not in SEED_DIGESTS
    }:
        return False
    again = choose_repetition(record, record.digests["code"])
    trials.prefixes([change.source()], again.seed)
    return confirm(record, again, trials.prefix(change.source(), again.seed)).unchanged


Judged = tuple[Verdict, str, float]
"""A verdict, and which measure moved most surely, by how many spreads."""


def judge_all(changes: Sequence[Change], trials: Trials, reference: Reference) -> list[Row]:
    """Train what is needed, look by look, and judge; all of one data set."""
    source = {change: change.source() for change in changes}
    # Where bits are to stay a change may end with its repetition.
    same = [change for change in changes if not change.bits]
    trials.prefixes([source[change] for change in same], reference.record.first_seed)
    unchanged = dict.fromkeys(changes, False)
    judged: dict[Change, Judged] = {}
    for change in same:
        with suppress(LackingError):
            unchanged[change] = is_unchanged(reference.record, trials, change, None)
    for count in LOOKS.trials:
        undecided = [
            change
            for change in changes
            if change not in judged and not unchanged[change]
            if (change.key, change.on) not in trials.refused
        ]
        trials.train((source[c], seed) for c in undecided for seed in new_seeds(c)[:count])
        for change in undecided:
            found = trials.of(source[change], new_seeds(change)[:count])
            if len(found) < count:
                continue
            # In doubt it asks for the trials of the next look.
            with suppress(IndexError, LackingError):
                if change.bits:
                    unchanged[change] = is_unchanged(reference.record, trials, change, found[0])
                if not unchanged[change]:
                    judged[change] = reference.judge([course_of(trial) for trial in found], LOOKS)
    paired = seed_by_seed(changes, reference, trials, judged)
    rows = []
    for change in changes:
        if why := trials.refused.get((change.key, change.on)):
            rows.append(Row(**_declared(change), refused=why))
        elif unchanged[change]:
            rows.append(Row(**_declared(change), unchanged=True, trainings=1))
        elif change in judged:
            (first,) = trials.of(source[change], new_seeds(change)[:1])
            copies = bool(more_copies(reference.record, first))
            rows.append(_row(change, judged[change], paired.get(change), first, copies))
    return rows


def seed_by_seed(
    changes: Sequence[Change],
    reference: Reference,
    trials: Trials,
    judged: Mapping[Change, Judged],
) -> dict[Change, Judged]:
    """The verdicts on recorded seeds trained again, of what was green between samples and pairs; the
    ruler is of the arithmetics on digits, an arithmetic itself left out."""
    again = seeds.take("baseline", PAIRED)
    green = [c for c in changes if c in judged and judged[c][0].colour not in ("red", "yellow")]
    rulers = [change for change in CHANGES if change.name in RULERS]
    trials.train((c.source(), seed) for c in dict.fromkeys((*rulers, *green)) for seed in again)

    def repeated(change: Change) -> list[Course]:
        return [course_of(trial) for trial in trials.of(change.source(), again)]

    digits = make_reference(trials, "digits")
    found = {}
    for change in green:
        now = repeated(change)
        pairs = zip(now, reference.courses, strict=False)
        others = [(each.name, repeated(each)) for each in rulers if each is not change]
        if any(len(each) < PAIRED for each in (now, *(courses for _, courses in others))):
            return {}  # a total over some of them would say nothing
        if all(new.is_paired_with(old) for new, old in pairs):
            looks = Looks((PAIRED,), (1.0,))
            found[change] = reference.judge(now, looks, digits.ruler(others))
    return found


def _declared(change: Change) -> dict[str, Any]:
    names = ("name", "on", "harmless", "bits", "late", "kept_back")
    return {name: getattr(change, name) for name in names}


def _row(change: Change, judged: Judged, paired: Judged | None, first: Trial, copies: bool) -> Row:
    verdict, measure, spreads = judged
    if paired is not None and paired[0].colour in ("red", "yellow"):
        _, measure, spreads = paired
    accuracy = first.epochs[-1].metrics["val_accuracy"]
    return Row(
        **_declared(change),
        colour=verdict.colour,
        trainings=verdict.trials,
        paired="" if paired is None else paired[0].colour,
        copies=copies,
        measure=measure,
        spreads=spreads,
        asserted=accuracy is None or not accuracy > RECIPE[change.on].target.value,
    )
