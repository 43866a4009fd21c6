"""Verdicts on one factory and recipe: trials as they are needed, and the evidence they give."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from ..errors import InputError
from ..keras.models import Factory
from ..keras.source import prepare_task
from ..networks.recipes import Recipe, target_text
from ..plugin.marker import EXAMPLE, Declared
from ..report.words import failure_message, failures_text, summarise
from ..trials import seeds
from ..trials.history import symptom_counts, symptom_lines
from ..trials.ledger import Ledger, Records, read_ledger, trial_key
from ..trials.runner import Task, forget_models, run_task
from ..trials.trial import Callbacks, Trial
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
from .claim import (
    Budget,
    Claim,
    Verdict,
    claim_plan,
    judge_claim,
)
from .plan import Plan, worst_expected_trials


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
        trial = run_task(task, self.known(task))
        self.keep(trial)
        return trial

    def known(self, task: Task) -> tuple[Trial, ...]:
        """The recorded trials among which the task's may be; the ledger is ready to record it."""
        if self._ledger is None:
            self._ledger = Ledger(self.folder)
        place = (task.name, task.recipe.name, task.seed)
        return tuple(
            trial
            for trial in self._known.values()
            if (trial.name, trial.recipe, trial.seed) == place
        )

    def keep(self, trial: Trial) -> None:
        """Record a trial that `known` opened the ledger for, unless it was taken from there."""
        assert self._ledger is not None
        if trial_key(trial) not in self._known:
            self._ledger.append(trial)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        if self._ledger is not None:
            self._ledger.close()


@dataclass(frozen=True)
class Judge:
    """Asks for verdicts within the suite's budget; what the `convergence` fixture gives a test.

    `first_seed` begins the judged stream; `again` is the command that repeats the test; `report`
    receives the evidence, JSON-ready. `hypotheses` is how many verdicts the test has declared,
    `declared` whatever else its marker says; `test` names it in messages.
    """

    budget: Budget
    hypotheses: int
    first_seed: int
    recorder: Recorder
    record: bool
    report: Callable[[dict[str, Any]], None]
    again: str
    declared: Declared = field(default_factory=Declared)
    test: str = ""
    _asked: list[int] = field(default_factory=list)

    def check(
        self,
        build: Factory,
        *,
        train: Any,
        validation: Any,
        recipe: Recipe | None = None,
        callbacks: Callbacks | None = None,
        version: str | None = None,
        name: str | None = None,
        baselines: Path | None = None,
    ) -> None:
        """Judge whether what `build()` returns trains on the given data, as the test's marker claims.

        - `build`: no argument, a new Keras model each time, compiled; or not, and `recipe` names its
          optimizer and loss.
        - `train`, `validation`: pairs (x, y) of arrays, or of tuples or mappings of arrays; or
          tf.data.Datasets, or functions that make them (see `pipelines.read_data`).
        - `callbacks`: makes a list of new Keras callbacks for each trial.
        - `version`: change it when code changes that no configuration shows (of a subclassed model, a
          loss, a callback), so that `--convergence-reuse` takes no old trial for a new one.
        - `name`: for people; the factory's own by default. `baselines`: as for `judge`.

        Everything is tried once, with one batch, before the first trial. Fails the test like `judge`.
        """
        with self._answer():
            claim = self.declared.claim
            if claim is None:
                raise InputError(f"the marker claims nothing; write {EXAMPLE}")
            task = prepare_task(
                build,
                train,
                validation,
                declared=self.declared,
                recipe=recipe,
                callbacks=callbacks,
                version=version,
                name=name,
            )
            self._judge(task, claim, baselines)

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
        with self._answer():
            self._judge(Task(name, build, recipe, 0, reuse_model), claim, baselines)

    @contextmanager
    def _answer(self) -> Iterator[None]:
        logger = logging.getLogger("tensorflow")
        level = logger.level
        # A new model each trial means a new trace each trial; TensorFlow would warn of it.
        logger.setLevel(logging.ERROR)
        try:
            yield
        except InputError as error:
            _fail(f"{self.test}: {error}" if self.test else str(error))
        finally:
            logger.setLevel(level)
            forget_models()  # the next row has a model of its own

    def _judge(self, task: Task, claim: Claim, baselines: Path | None) -> None:
        name, recipe = task.name, task.recipe
        self._count((claim.kind != "mixed") + 2 * (baselines is not None), f"{name} {recipe.name}")
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
        if claim.kind == "mixed" and verdicts and verdicts[0].trials:
            # The trials were read for the comparison, so the interval must know its stopping rule.
            described = replace(
                verdicts[0], hypothesis="mixed", colour="cannot tell", alpha=None, detects=None
            )
        else:
            described = judge_claim(claim, self.budget, trial_at)
        verdicts.insert(0, described)
        chosen = [trials[index] for index in sorted(trials)]
        evidence = _evidence(name, recipe, claim, self.budget, verdicts, chosen, plans)
        evidence["environment"] = "" if baseline is None else environment_differences(baseline)
        evidence["test"] = self.test
        self.report(evidence)
        if any(verdict.colour == "red" for verdict in verdicts):
            _fail(failure_message(evidence, self.again))

    def _count(self, asked: int, what: str) -> None:
        used = sum(self._asked)
        if used + asked > self.hypotheses:
            raise InputError(
                f"{what} asks for {asked} verdicts and its test declares {self.hypotheses}"
                + (f", of which {used} are used" if used else "")
                + f"; mark it with pytest.mark.convergence(hypotheses={used + asked}), or the suite's "
                "error rates do not hold"
            )
        self._asked.append(asked)

    def _write_baseline(self, task: Task, folder: Path) -> Path:
        chosen = seeds.take("baseline", TRIALS)
        trials = [self.recorder.run(replace(task, seed=seed)) for seed in chosen]
        return write_baseline(folder, make_baseline(trials))


def _fail(message: str) -> NoReturn:
    import pytest

    # Of whatever it is told after, the message says enough.
    raise pytest.fail.Exception(message, pytrace=False) from None


def _evidence(
    name: str,
    recipe: Recipe,
    claim: Claim,
    budget: Budget,
    verdicts: Sequence[Verdict],
    trials: Sequence[Trial],
    plans: Sequence[Plan],
) -> dict[str, Any]:
    summary = summarise(trials).as_dict()
    del summary["interval"]  # of a fixed number of trials, which this is not
    seconds = statistics.fmean(trial.seconds for trial in trials)
    worst = max((worst_expected_trials(plan)[1] for plan in plans), default=float(len(trials)))
    failed = [trial for trial in trials if not claim.holds_in(trial)]
    return {
        "name": name,
        "recipe": recipe.name,
        "target": target_text(recipe.as_dict()),
        "claim": claim.kind,
        "p_good": claim.p_good,
        "p_bad": claim.p_bad,
        "alpha": budget.alpha,
        "beta": budget.beta,
        "hypotheses": budget.hypotheses,
        "verdicts": [verdict.as_dict() for verdict in verdicts],
        "summary": summary,
        "failures": failures_text(summary["outcomes"]),
        "frozen": sum(trial.stop_reason == "frozen" for trial in trials),
        "epochs_saved_by_proof": sum(
            recipe.epochs - len(trial.epochs) for trial in trials if trial.stop_reason == "frozen"
        ),
        "seconds_per_trial": seconds,
        "worst_expected_trials": worst,
        "most_trials": max((plan.max_trials for plan in plans), default=len(trials)),
        "failed_seeds": [trial.seed for trial in failed],
        "symptoms": symptom_lines(trials),
        "symptom_counts": symptom_counts(trials),
        "trials": [trial_key(trial) for trial in trials],
        "plans": [asdict(plan) for plan in plans],
    }
