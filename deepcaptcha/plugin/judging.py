"""Verdicts in a test: trials as they are needed, and a failure that says what they show."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from ..errors import InputError
from ..keras import environment
from ..keras.settings import Training
from ..report.words import failure_message, plural, undecided_message
from ..trials.runner import Reuse, Runner
from ..trials.source import ANSWER, FunctionSource, Source, Train, function_name, row_text
from ..trials.trial import Target, Trial
from ..verdicts.baseline import (
    Baseline,
    baseline_path,
    find_most,
    find_record,
    unsigned_text,
    with_ruler,
    write_record,
)
from ..verdicts.claim import Budget, Claim, Json, claim_cost
from ..verdicts.confirm import choose_repetition, confirm, difference_text, is_of_function, why_not
from ..verdicts.judge import Evidence, judge
from ..verdicts.recorded import confirmed_evidence, judge_change, judged_record, recorded_verdicts
from ..verdicts.whole import WHOLE_SEEDS
from .given import GivenSource, forget
from .marker import EXAMPLE, Declared, nothing_says
from .recording import accept_row, record_row
from .repairing import RepairBudget, explained, look_for_repair
from .stream import Cap, Progress, Stream

if TYPE_CHECKING:
    from ..keras.fit import Callbacks, Factory


CALL = "convergence.check(build_model, train=(x, y), validation=(x_validation, y_validation))"
"""As it is written in a test."""


@dataclass(frozen=True)
class Convergence:
    """Asks for verdicts within the suite's budget; what the `convergence` fixture gives a test.

    - `budget`: the whole suite's error rates, and how many hypotheses share them.
    - `declared`: what the test's marker says. `test`: its name in messages.
    - `first_seed`: begins the judged stream. `runner`: runs and records the trials.
    - `record`: train and write the baselines, and judge nothing.
    - `report`: receives the evidence. `again`: the command that repeats the test.
    - `repair`: looks for a change that repairs a model whose test is red; None: does not.
    - `accept`: a row, `NAME` or `NAME RECIPE`, whose baseline is recorded anew, and why; `tell`:
      receives what is then shown of it.
    - `note`: hears what is to be told once of all tests.
    - `strict`: what trains better, or otherwise, than its baseline did is red.
    - `cap`: on the trainings and minutes of each verdict, beside the marker's; one that a cap leaves
      undecided skips the test, and fails it where `strict`.
    - `reuse`: which trials are taken from the ledger; `sure` ones only for what has no baseline.
    - `show`: replaces the last line of a terminal while trials run; None: there is no terminal.
    - `confirm`: train one recorded seed where there is a baseline, and judge only what is not the same.
    - `given`: what the same test was told in an earlier try of this session, which stands; `missing`: so
      does the line on each row, by name and recipe, whose baseline was missing then.
    """

    budget: Budget
    first_seed: int
    runner: Runner
    report: Callable[[Evidence], None]
    again: str
    declared: Declared = field(default_factory=Declared)
    record: bool = False
    test: str = ""
    repair: RepairBudget | None = None
    confirm: bool = False
    strict: bool = False
    accept: tuple[str, str] | None = None
    tell: Callable[[str], None] = print
    note: Callable[[str], None] = lambda line: None
    given: Sequence[Evidence] = ()
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    cap: Cap = field(default_factory=Cap)
    reuse: Reuse = "never"
    show: Callable[[str], None] | None = None
    _asked: list[tuple[int, int]] = field(default_factory=list)

    def check(
        self,
        build: Factory,
        *data: object,
        train: object = None,
        validation: object = None,
        training: Training | None = None,
        callbacks: Callbacks | None = None,
        version: str | None = None,
        name: str | None = None,
        baselines: Path | None = None,
    ) -> None:
        """Judge whether what `build()` returns trains on the given data, as the test's marker claims.

        - `build`: no argument, a new Keras model each time, compiled; or not, and `training` names its
          optimizer and loss.
        - `train`, `validation`: pairs (x, y) of arrays, or of tuples or mappings of arrays; or
          tf.data.Datasets, or functions that make them (see `deepcaptcha.keras.data.read_data`).
        - `callbacks`: makes a list of new Keras callbacks for each trial; one with an argument is given
          the trial's seed, for logs of its own: `lambda seed: [TensorBoard(f"logs/{seed}")]`.
        - `version`: change it when code changes that no configuration shows (of a subclassed model, a
          loss, a callback), so that `--convergence-reuse` takes no old trial for a new one.
        - `name`: for people; the factory's own by default. `baselines`: as for `judge`.

        Everything is tried once, with one batch, before the first trial. Fails the test like `judge`.
        """
        with self._answering():
            target = self._declared_target()
            if data:
                raise InputError(f"check takes its data by name: {CALL}")
            given = GivenSource(
                build,
                train,
                validation,
                target,
                training=training,
                batch=self.declared.batch,
                callbacks=callbacks,
                version=version,
                name=name or function_name(build),
            )
            try:
                source = given.rehearsed(self.runner)
            except InputError as error:
                if self.repair is None:
                    raise
                lines = self._repairs(given, self.declared.claim, ())
                raise InputError(str(error), *lines) from None
            self._judge(source, None, baselines)

    def check_training(
        self,
        train: Train,
        *,
        name: str | None = None,
        version: str | None = None,
        baselines: Path | None = None,
    ) -> None:
        """Judge whether a function trains, in whatever framework, as the test's marker claims.

        - `train`: `train(seed)` yields a mapping of metrics, with the marker's monitor among them,
          after each epoch, and is closed once the target is met; or returns one mapping, or a list of
          them. Where the marker names no target it answers True or False. What it gives is to depend
          on the seed alone.
        - `version`: stands for the code in a trial's identity; by default all that the function reaches
          does, and no trial is taken from the ledger, or confirmed, where a part of it has no digest.
        - `name`: for people; the function's own by default. `baselines`: as for `judge`.

        Fails the test like `judge`.
        """
        with self._answering():
            target = ANSWER if self._asks_for_an_answer() else self._declared_target()
            if self.declared.batch is not None:
                raise InputError("a function has its own batches; leave batch out of the marker")
            source = FunctionSource(train, target, name or "", version)
            if source.unknown and self.reuse == "any":
                self.tell(f"{source.name} is trained anew: {source.why_not_again}.")
            self._judge(source, None, baselines)

    def judge(
        self, source: Source, claim: Claim | None = None, *, baselines: Path | None = None
    ) -> None:
        """Judge the claim, the marker's by default, and, where there is a folder of `baselines`,
        reliability and speed.

        Fails the test with a message that reads on its own if any verdict is red, if anything does not
        fit together, or if the baseline is missing (it is written then). With `record`, only the
        baseline is written.
        """
        with self._answering():
            self._judge(source, claim, baselines)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turns what a user did wrong into a failed test; leaves nothing running for the next one."""
        logger = logging.getLogger("tensorflow")
        level = logger.level
        # A new model each trial means a new trace each trial; TensorFlow would warn of it.
        logger.setLevel(logging.ERROR)
        try:
            yield
        except InputError as error:
            self._finish()
            _fail(str(error))  # pytest has named the test already
        except BaseException:  # Ctrl-C, or a limit on the test's time, of which no worker hears
            self.runner.abandon()
            raise
        else:
            self._finish()
        finally:
            logger.setLevel(level)
            if self.show is not None:
                self.show("")
            forget()  # the next row has a model of its own

    def _finish(self) -> None:
        """Wait for trials that were started ahead; their errors are nobody's."""
        while True:
            try:
                if not list(self.runner.finished()):
                    return
            except InputError:
                continue

    def _asks_for_an_answer(self) -> bool:
        return self.declared.claim is not None and self.declared.target is None

    def _declared_target(self) -> Target:
        if self.declared.claim is None:
            raise InputError(f"the marker claims nothing; write {EXAMPLE}")
        if self.declared.target is None:
            raise nothing_says("target", "epochs")
        return self.declared.target

    def _judge(self, source: Source, claim: Claim | None, baselines: Path | None) -> None:
        claim = self.declared.claim if claim is None else claim
        if claim is None:
            raise InputError(f"the marker claims nothing; write {EXAMPLE}")
        row = f"{source.name} {source.recipe}"
        told = row_text(source.name, source.recipe)
        compared = int(baselines is not None)
        self._count((claim.kind != "mixed") + 2 * compared, compared, told)
        for evidence in self.given:
            asked = evidence.name, evidence.recipe, evidence.claim, evidence.target
            if asked == (source.name, source.recipe, claim, source.target):
                self._tell(evidence)
                return
        if line := self.missing.get((source.name, source.recipe)):
            _fail(line)
        baseline, reason = None, ""
        if baselines is not None and self.accept and self.accept[0] in (source.name, row):
            self.tell(accept_row(source, baselines, self.accept[1], *self._recording(baselines)))
            return
        if self.confirm and baselines is not None:
            found = self._confirm(source, claim, baselines)
            if isinstance(found, Evidence):
                file = str(baseline_path(baselines, source.name, source.recipe))
                self._tell(self._as_declared(replace(found, baseline=file)))
                return
            reason = found
        if baselines is not None:
            # A damaged one is told before any training, also where another is to be recorded.
            baseline = find_most(baselines, source.name, source.recipe)
            if baseline is None or (self.record and not self.confirm):
                path = record_row(source, baselines, *self._recording(baselines))
                if not self.record:
                    line = f"{told} had no baseline; it is now {path}. Commit it."
                    self.missing[source.name, source.recipe] = line
                    _fail(line)
                return
        self._note_unsigned(baseline, baselines)
        trial_at = self._stream(source, claim, baselines)
        evidence = self._evidence(source, claim, trial_at, baselines, baseline)
        reused = trial_at.reused(evidence.summary.trials)
        saved = sum(trial.seconds for trial in reused)
        evidence = replace(
            evidence,
            reused=len(reused),
            seconds_saved=round(saved, 3),
            compiled=getattr(source, "compiled", ""),
            again=f"{self.again} --convergence-seed {evidence.failed_seeds[0]}"
            if evidence.failed_seeds
            else "",
        )
        if reason:
            cost = f"judged instead, with {plural(evidence.summary.trials, 'training')}"
            evidence = replace(evidence, confirmation=f"{reason}; {cost}")
        if evidence.red and evidence.claim.kind != "stuck" and evidence.symptoms:
            trials = [trial_at(index) for index in range(evidence.summary.trials)]
            again = f"{self.again} --convergence-seed {self.first_seed}"
            evidence = explained(evidence, source, trials, self.runner, again)
            if self.repair is not None:
                self._finish()
                evidence = replace(evidence, repairs=self._repairs(source, claim, trials))
        self._tell(evidence)

    def _note_unsigned(self, baseline: Baseline | None, folder: Path | None) -> None:
        if baseline is not None and folder is not None and not baseline.digest:
            self.note(unsigned_text(folder))

    def _stream(
        self, source: Source, claim: Claim, baselines: Path | None, cap: Cap | None = None
    ) -> Stream:
        cost = None if claim.kind == "mixed" else claim_cost(claim, self.budget)
        return Stream(
            self.runner,
            source,
            self.first_seed,
            reuse=self._reuse(baselines),
            cap=self.cap.least(self.declared.cap) if cap is None else cap,
            progress=Progress(self.show, self.test, cost) if self.show is not None else None,
        )

    def _recording(self, folder: Path) -> tuple[Runner, Reuse]:
        return self.runner, self._reuse(folder)

    def _reuse(self, baselines: Path | None) -> Reuse:
        """What was recorded before says nothing of whether a row trains as before."""
        return "never" if baselines is not None and self.reuse == "sure" else self.reuse

    def _evidence(
        self,
        source: Source,
        claim: Claim,
        trial_at: Stream,
        folder: Path | None,
        baseline: Baseline | None,
    ) -> Evidence:
        counts = baseline is not None and self.budget.rows > 1
        least = WHOLE_SEEDS if counts else 0
        numbers, again_at = None, None
        if folder is not None and baseline is not None:
            numbers = find_record(folder, source.name, source.recipe, environment.describe())
        if folder is not None and numbers is not None and numbers.history:
            numbers = with_ruler(folder, numbers)
            again_at = trial_at.beside(numbers.first_seed)
        evidence = judge(
            source,
            claim,
            self.budget,
            trial_at,
            baseline=baseline,
            numbers=numbers,
            again_at=again_at,
            test=self.test,
            strict=self.strict,
            least=least,
        )
        if folder is not None:
            path = str(baseline_path(folder, source.name, source.recipe))
            evidence = replace(evidence, baseline=path)
        return self._as_declared(evidence)

    def _as_declared(self, evidence: Evidence) -> Evidence:
        start = "" if self.declared.start else evidence.start
        return replace(evidence, twin=self.declared.twin, start=start)

    def _tell(self, evidence: Evidence) -> None:
        self.report(evidence)
        expected = self.declared.known_failure, self.declared.until
        over = expected[1] <= datetime.date.today().isoformat()
        if evidence.colour == "green" and expected[0] and not over:
            _fail(
                f"it is green, and known to fail until {expected[1]} ({expected[0]}); take "
                "known_failure out of the marker"
            )
        if not evidence.red and evidence.colour != "undecided":
            return
        self._finish()
        if evidence.red:
            message = failure_message(evidence)
            if expected[0] and over:
                message = f"{message}\nIt was known to fail until {expected[1]}: {expected[0]}."
            elif expected[0]:
                raise pytest.xfail.Exception(f"{expected[0]}, until {expected[1]}: {message}")
            _fail(message)
        message = undecided_message(evidence)
        if self.strict:
            _fail(message)
        raise pytest.skip.Exception(message, _use_item_location=True)

    def _repairs(
        self, source: Source, claim: Claim | None, known: Sequence[Trial]
    ) -> tuple[str, ...]:
        assert self.repair is not None
        return look_for_repair(source, claim, self.repair, self.runner, known, self.first_seed)

    def _confirm(self, source: Source, claim: Claim, folder: Path) -> Evidence | str:
        """Train a recorded seed again, and the first ones where its bits have changed: what stands then,
        or why the row is to be judged in full."""
        if why := getattr(source, "why_not_again", ""):
            return f"not confirmed: {why}"
        here = getattr(source, "environment", None) or environment.describe()
        record = find_record(folder, source.name, source.recipe, here)
        self._note_unsigned(record, folder)
        reason = why_not(record, here)
        if record is None or not record.history or (record.shapes and not record.seed_digests):
            return f"not confirmed: {reason}"
        if reason:
            words = f"not confirmed: {reason}"
            return self._judge_change(source, claim, folder, record, words)
        code = getattr(source, "code", "")
        chosen = choose_repetition(record, code)
        trial = self.runner.run(source, chosen.seed, steps=chosen.steps, reuse="never")
        confirmation = confirm(record, chosen, trial)
        if not confirmation.unchanged:
            same = is_of_function(record) and record.digests["code"] == code
            same = same and "target" not in {each.what for each in confirmation.differences}
            why = "; with the same code: a file that it reads is another, or it ignores its seed"
            words = f"changed: {difference_text(confirmation)}{why if same else ''}"
            return self._judge_change(source, claim, folder, record, words)
        made = record
        if "code" in record.digests:  # a part of it is enough from now on
            # So are copies, which an older record lacks.
            copies = {name: text for name, text in trial.digests.items() if name == "copies"}
            made = replace(made, digests={**record.digests, **copies, "code": code})
        if self.record and not recorded_verdicts(record, claim, self.budget):
            made = replace(made, judged=self._judged_now(source, claim, folder))
        if made != record:
            write_record(folder, made)
        told = (source.target, claim, self.budget, self.test)
        return confirmed_evidence(made, confirmation, trial, *told)

    def _judge_change(
        self, source: Source, claim: Claim, folder: Path, record: Baseline, told: str
    ) -> Evidence:
        trial_at = self._stream(source, claim, folder)
        evidence = judge_change(
            source,
            claim,
            self.budget,
            with_ruler(folder, record),
            trial_at,
            trial_at.beside(record.first_seed),
            strict=self.strict,
            test=self.test,
        )
        count = plural(evidence.summary.trials, "training")
        return replace(evidence, confirmation=f"{told}; compared by {count}")

    def _judged_now(self, source: Source, claim: Claim, folder: Path) -> Json:
        """The verdicts of an unchanged row that has none on record."""
        baseline = find_most(folder, source.name, source.recipe)
        trial_at = self._stream(source, claim, folder, Cap())
        evidence = self._evidence(source, claim, trial_at, folder, baseline)
        outcomes = [trial_at(index).outcome for index in range(evidence.summary.trials)]
        return judged_record(claim, self.budget, evidence.verdicts, self.first_seed, outcomes)

    def _count(self, asked: int, compared: int, row: str) -> None:
        used, rows = (sum(each) for each in zip((0, 0), *self._asked, strict=True))
        self.declared.require(row, asked, compared, used, rows)
        self._asked.append((asked, compared))


def _fail(message: str) -> NoReturn:
    # Of whatever it is told after, the message says enough.
    raise pytest.fail.Exception(message, pytrace=False) from None
