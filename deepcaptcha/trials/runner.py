"""Runs trials of any source: over processes or here, recorded as they finish, none trained twice."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from ..errors import InputError, error_words
from .ledger import Ledger, LedgerTrials, find_same, read_ledger, trial_key
from .source import Source
from .trial import Trial
from .worker import P, T, TimeLimitError, job_count, workers

DEATHS = 3
"""How often a trial is begun whose process dies, before it is told."""


class LostTrialError(InputError):
    """A trial that came to no end: its process died again and again, it took longer than it may, or what
    trains raised an error. `name`, `recipe` and `seed` are the trial's; `reason` is for people."""

    def __init__(self, source: Source, seed: int, reason: str) -> None:
        super().__init__(f"{source.name} {source.recipe} seed {seed} {reason}")
        self.name, self.recipe, self.seed, self.reason = source.name, source.recipe, seed, reason


Executors = Callable[[], AbstractContextManager[Executor]]

_alone = threading.Lock()  # of this process


def run_source(
    source: Source, seed: int, known: Sequence[Trial] = (), steps: int | None = None
) -> Trial:
    """The source's trial of this seed, run in this process, or the one among `known` that is the very
    same. Whatever it does to the working folder is undone.

    InputError where another runs in this process: seeds and models are the process' own.
    """
    if not _alone.acquire(blocking=False):
        raise InputError(
            "two trials ran in one process at the same time; an executor that runs one task per "
            "process is needed, on a Dask worker one thread (--nthreads 1)"
        )
    try:
        if known and (same := find_same(known, source.identity(seed))) is not None:
            return same
        with _in_place():
            return source.run(seed, steps=steps)
    except SystemExit as error:
        raise RuntimeError(f"what trains called sys.exit({error.code!r})") from error
    finally:
        _alone.release()


@contextmanager
def _in_place() -> Iterator[None]:
    try:
        here = os.getcwd()
    except OSError:  # it is gone
        here = ""
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(here)


RunTrial = Callable[[Source, int, Sequence[Trial], int | None], Trial]


@dataclass
class _Started:
    key: Hashable
    source: Source
    seed: int
    steps: int | None
    deaths: int = 0


class Runner:
    """Runs trials and hands them back as they finish.

    - `folder`: a ledger in which every trial is recorded; None: nowhere.
    - `reuse`: trials that the ledger holds already, with the same identity, are not run again.
    - `jobs`: trials at a time, each in a worker process of its own; None: one at a time, here.
    - `time_limit`: seconds that a trial in a worker may take.
    - `executors`: makes another executor than workers, such as a cluster's; it is made anew when it
      breaks. It must run one call per process at a time.
    - `on_trial`: hears of every trial.
    - `run`: runs one trial, for tests.

    A trial whose process died is tried again alone, when nothing else runs: so it is the one at fault,
    and not another that took the memory, where it dies again.

    Left in peace, it records what is still running; left by an exception, Ctrl-C included, it ends its
    workers at once. A prefix of a trial (`steps`) is never recorded.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        reuse: bool = True,
        jobs: int | None = None,
        time_limit: float | None = None,
        executors: Executors | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        run: RunTrial = run_source,
    ) -> None:
        self.problems: tuple[str, ...] = ()
        self.lost: list[LostTrialError] = []  # of `run_all`
        self._folder = folder
        self._known: dict[tuple[str, str, int], list[Trial]] = {}
        self._seen: set[str] = set()
        if reuse and folder is not None:
            self._remember(read_ledger(folder))
        # Another executor's queue takes whatever is sent.
        self._room = sys.maxsize if executors else 1 if jobs is None else job_count(jobs)
        self._executors: Executors = executors or (
            _ThisProcess if jobs is None else partial(workers, jobs, time_limit)
        )
        self._on_trial = on_trial
        self._run = run
        self._stack = ExitStack()
        self._executor: Executor | None = None
        self._ledger: Ledger | None = None
        self._running: dict[Future[Trial], _Started] = {}
        self._suspects: list[_Started] = []
        self._by_itself = False  # whether one of them runs

    @property
    def room(self) -> int:
        """Trials that can be started now and would run at once; none while a suspect is to run alone."""
        return 0 if self._suspects or self._by_itself else self._room - len(self._running)

    def run(self, source: Source, seed: int, *, steps: int | None = None) -> Trial:
        """One trial, waited for."""
        self.start(None, source, seed, steps=steps)
        ((_, future),) = self.finished()
        return future.result()

    def run_all(self, wanted: Iterable[tuple[Source, int]]) -> list[Trial]:
        """The trials of sources and seeds, in their order, however they finish; what the ledger may hold
        comes last: it needs no training, only to be recognized.

        LostTrialError, once all others are done, where one was lost or raised an error; at once where
        nothing is done yet and DEATHS of them were. `lost` has them all.
        """
        pairs = list(wanted)
        self.lost = []
        lost = self.lost
        order = sorted(range(len(pairs)), key=lambda i: _place(*pairs[i]) in self._known)
        done: dict[Hashable, Trial] = {}
        while len(done) + len(lost) < len(pairs):
            while order and self.room > 0:
                position = order.pop(0)
                self.start(position, *pairs[position])
            for key, future in self.finished():
                if (error := future.exception()) is None:
                    done[key] = future.result()
                    continue
                assert isinstance(key, int)
                lost.append(_lost(error, *pairs[key]))
                if not done and len(lost) == DEATHS:
                    raise lost[0]  # it ends in more than one trial
        if lost:
            raise lost[0]
        return [done[position] for position in range(len(pairs))]

    def start(self, key: Hashable, source: Source, seed: int, *, steps: int | None = None) -> None:
        """Start a trial; `finished` hands it back with its `key`."""
        self._start(_Started(key, source, seed, steps))

    def _start(self, started: _Started) -> None:
        if self._folder is not None and self._ledger is None:
            self._ledger = Ledger(self._folder)
        known = tuple(self._known.get(_place(started.source, started.seed), ()))
        call = partial(self._run, started.source, started.seed, known, started.steps)
        executor = self._open()
        try:
            future = executor.submit(call)
        except BrokenExecutor:
            self._close()  # it broke as a whole, and with it whatever it ran
            future = self._open().submit(call)
        except InputError as error:
            raise InputError(f"{started.source.name} {error}") from None
        self._running[future] = started

    def finished(self) -> Iterator[tuple[Hashable, Future[Trial]]]:
        """Wait until trials have finished and been recorded: their keys, and futures with the trial or
        the error: LostTrialError, or whatever was raised."""
        found: list[tuple[Hashable, Future[Trial]]] = []
        while not found and (self._running or self._suspects):
            if not self._running:
                self._start(self._suspects.pop(0))
                self._by_itself = True
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                started = self._running.pop(future)
                self._by_itself = False
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    started.deaths += 1
                    if started.deaths < DEATHS:
                        self._suspects.insert(0, started)
                        continue
                    future = _failed(
                        LostTrialError(
                            started.source,
                            started.seed,
                            f"died {DEATHS} times with its process, at last alone ({error}); is there "
                            "enough memory? Finished trials are kept, and the same call goes on",
                        )
                    )
                elif isinstance(error, TimeLimitError):
                    future = _failed(LostTrialError(started.source, started.seed, str(error)))
                elif error is not None:
                    error.add_note(
                        f"in the training of {started.source.name} {started.source.recipe} seed "
                        f"{started.seed}"
                    )
                elif started.steps is None:
                    self._keep(future.result())
                found.append((started.key, future))
        return iter(found)

    def abandon(self) -> None:
        """End what runs, and its workers, at once and unrecorded; others can be started."""
        self._suspects.clear()
        self._by_itself = False
        if self._running:
            self._running.clear()
            self._executor = None
            with suppress(_AbandonedError), self._stack.pop_all():
                raise _AbandonedError

    def _keep(self, trial: Trial) -> None:
        key = trial_key(trial)
        if self._ledger is not None and key not in self._seen:
            self._ledger.append(trial)
        self._on_trial(trial)

    def _remember(self, recorded: LedgerTrials) -> None:
        self.problems = recorded.problems
        for trial in recorded.trials:
            self._seen.add(trial_key(trial))
            self._known.setdefault((trial.name, trial.recipe, trial.seed), []).append(trial)

    def _open(self) -> Executor:
        if self._executor is None:
            self._executor = self._stack.enter_context(self._executors())
            if isinstance(self._executor, ThreadPoolExecutor):
                raise InputError(
                    f"{type(self._executor).__name__} runs trials in threads of one process, which "
                    "share Keras' seed; give an executor that runs one task per process at a time"
                )
        return self._executor

    def _close(self) -> None:
        self._executor = None
        self._stack.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
            if error is None:
                for future in list(self._running):
                    if future.exception() is None and self._running[future].steps is None:
                        self._keep(future.result())
        finally:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None


class _AbandonedError(Exception):
    pass


def _place(source: Source, seed: int) -> tuple[str, str, int]:
    return source.name, source.recipe, seed


def _lost(error: BaseException, source: Source, seed: int) -> LostTrialError:
    if isinstance(error, LostTrialError):
        return error
    if not isinstance(error, Exception):
        raise error
    words = ["" if isinstance(error, InputError) else type(error).__name__, error_words(error)]
    found = LostTrialError(source, seed, f"failed: {': '.join(filter(None, words))}")
    found.__cause__ = error
    return found


def _failed(error: LostTrialError) -> Future[Trial]:
    future: Future[Trial] = Future()
    future.set_exception(error)
    return future


class _ThisProcess(Executor):
    """Runs each call at once in this process."""

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
