"""Runs trials of any source: over processes or here, recorded as they finish, none trained twice."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
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
from typing import Literal

from ..errors import InputError, error_words
from .ledger import Ledger, LedgerTrials, find_same, read_ledger, trial_key
from .source import Source
from .trial import Trial
from .worker import NotSentError, P, T, TimeLimitError, job_count, workers

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


Reuse = Literal["any", "sure", "never"]
"""Which recorded trials of the same identity stand for new ones: `sure`, those whose identity holds all
code that a user brings, or a version that stands for it."""


def is_sure(source: Source, trial: Trial) -> bool:
    """Whether a recorded trial of the source's identity cannot have been trained by other code."""
    own = trial.digests.get("code")
    return "version" in trial.identity or (own is not None and own == getattr(source, "code", None))


RunTrial = Callable[[Source, int, Sequence[Trial], int | None], Trial]


@dataclass
class _Started:
    key: Hashable
    source: Source
    seed: int
    steps: int | None
    reuse: Reuse = "any"
    known: tuple[Trial, ...] = ()
    deaths: int = 0


class Runner:
    """Runs trials and hands them back as they finish.

    - `folder`: a ledger in which every trial is recorded; None: nowhere.
    - `reuse`: trials that the ledger holds already, with the same identity, are not run again.
    - `jobs`: trials at a time, each in a worker process of its own; None: one at a time, here.
    - `time_limit`: seconds that a trial in a worker may take.
    - `executors`: makes another executor than workers, such as a cluster's; it is made anew when it
      breaks. It must run one call per process at a time.
    - `path`: folders from which workers import what they find nowhere else.
    - `on_here`: hears why a trial runs in this process, since it cannot be sent to a worker; without it
      that is an InputError.
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
        path: Sequence[str] = (),
        on_here: Callable[[str], None] | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        run: RunTrial = run_source,
    ) -> None:
        self._problems: tuple[str, ...] = ()
        self._recorded: tuple[Path, str] | None = None
        self.lost: list[LostTrialError] = []  # of `run_all`
        self._folder = folder
        self._known: dict[tuple[str, str, int], list[Trial]] = {}
        self._seen: dict[str, str] = {}  # of the ledger's trials by their keys, their last weights
        self._reused: list[Trial] = []
        if reuse and folder is not None:
            self._remember(read_ledger(folder))
        # Another executor's queue takes whatever is sent.
        self._room = sys.maxsize if executors else 1 if jobs is None else job_count(jobs)
        self._executors: Executors = executors or (
            _ThisProcess if jobs is None else partial(workers, jobs, time_limit, path=path)
        )
        self.on_here = on_here
        self._on_trial = on_trial
        self._run = run
        self._stack = ExitStack()
        self._executor: Executor | None = None
        self._ledger: Ledger | None = None
        self._running: dict[Future[Trial], _Started] = {}
        self._suspects: list[_Started] = []
        self._by_itself = False  # whether one of them runs
        self._calling = False

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the ledger, or happened to it, a line each."""
        return self._problems + (() if self._ledger is None else self._ledger.problems)

    @property
    def recorded(self) -> tuple[Path, str] | None:
        """The file that this runner writes, or wrote, and the digest of its last line: nothing else
        tells later that lines were cut off. None where nothing was begun."""
        return self._recorded if self._ledger is None else (self._ledger.path, self._ledger.last)

    @property
    def room(self) -> int:
        """Trials that can be started now and would run at once; none while a suspect is to run alone."""
        return 0 if self._suspects or self._by_itself else self._room - len(self._running)

    def run(
        self, source: Source, seed: int, *, steps: int | None = None, reuse: Reuse = "any"
    ) -> Trial:
        """One trial, waited for."""
        self.start(None, source, seed, steps=steps, reuse=reuse)
        ((_, future),) = self.finished()
        return future.result()

    def run_all(self, wanted: Iterable[tuple[Source, int]], *, reuse: Reuse = "any") -> list[Trial]:
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
                self.start(position, *pairs[position], reuse=reuse)
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

    def start(
        self,
        key: Hashable,
        source: Source,
        seed: int,
        *,
        steps: int | None = None,
        reuse: Reuse = "any",
    ) -> None:
        """Start a trial; `finished` hands it back with its `key`."""
        self._start(_Started(key, source, seed, steps, reuse))

    def reused(self, trial: Trial) -> bool:
        """Whether this trial, as it was handed back, was taken from the ledger and not trained."""
        return any(trial is each for each in self._reused)

    def _start(self, started: _Started) -> None:
        if self._folder is not None and self._ledger is None:
            self._ledger = Ledger(self._folder)
        known = started.known = tuple(
            trial
            for trial in self._known.get(_place(started.source, started.seed), ())
            if started.reuse == "any"
            or (started.reuse == "sure" and is_sure(started.source, trial))
        )
        call = partial(self._run, started.source, started.seed, known, started.steps)
        with self._handing_over():
            executor = self._open()
            try:
                future = executor.submit(call)
            except BrokenExecutor:
                self._close()  # it broke as a whole, and with it whatever it ran
                future = self._open().submit(call)
            except NotSentError as error:
                future = self._here(started, error)
            self._running[future] = started

    @contextmanager
    def _handing_over(self) -> Iterator[None]:
        """Ctrl-C may come when a worker has a call already that nothing here knows of; see `abandon`."""
        self._calling = True
        try:
            yield
        except Exception:
            self._calling = False
            raise
        self._calling = False

    def _here(self, started: _Started, error: NotSentError) -> Future[Trial]:
        """Its trial in this process, of which none is taken from the ledger."""
        reason = f"{started.source.name} {error}"
        if self.on_here is None:
            raise InputError(reason) from None
        self.on_here(reason)
        return _ThisProcess().submit(self._run, started.source, started.seed, (), started.steps)

    def call(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function gives where trials run, waited for; `name` is what it works on.

        InputError where its process dies.
        """
        with self._handing_over():
            return self._call(name, function, *args, **kwargs)

    def _call(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            (done,) = _first_of([self._open().submit(function, *args, **kwargs)])
            return done.result()
        except NotSentError as error:
            if self.on_here is None:
                raise InputError(f"{name} {error}") from None
            self.on_here(f"{name} {error}")
            return function(*args, **kwargs)
        except BrokenExecutor as error:
            raise InputError(
                f"a process died while it tried {name} ({error}); is there enough memory?"
            ) from None

    def finished(self) -> Iterator[tuple[Hashable, Future[Trial]]]:
        """Wait until trials have finished and been recorded: their keys, and futures with the trial or
        the error: LostTrialError, or whatever was raised."""
        found: list[tuple[Hashable, Future[Trial]]] = []
        while not found and (self._running or self._suspects):
            if not self._running:
                self._start(self._suspects.pop(0))
                self._by_itself = True
            for future in _first_of(self._running):
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
                elif isinstance(error, NotSentError) and self.on_here is not None:
                    future = self._here(started, error)
                    if future.exception() is None and started.steps is None:
                        self._keep(future.result())
                elif isinstance(error, TimeLimitError):
                    future = _failed(LostTrialError(started.source, started.seed, str(error)))
                elif error is not None:
                    error.add_note(
                        f"in the training of {started.source.name} {started.source.recipe} seed "
                        f"{started.seed}"
                    )
                elif started.steps is None:
                    self._keep(trial := future.result())
                    if trial in started.known:
                        self._reused.append(trial)
                found.append((started.key, future))
        return iter(found)

    def abandon(self) -> None:
        """End what runs, and its workers, at once and unrecorded; others can be started."""
        self._suspects.clear()
        self._by_itself = False
        if self._running or self._calling:
            self._running.clear()
            self._calling = False
            self._executor = None
            with suppress(_AbandonedError), self._stack.pop_all():
                raise _AbandonedError

    def _keep(self, trial: Trial) -> None:
        seen = self._seen.get(trial_key(trial))
        if self._ledger is not None and seen != trial.weights_sha256:
            self._ledger.append(trial)
        self._on_trial(trial)

    def _remember(self, recorded: LedgerTrials) -> None:
        self._problems = recorded.problems
        for trial in recorded.trials:
            self._seen[trial_key(trial)] = trial.weights_sha256
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
                self._problems, self._recorded = self.problems, self.recorded
                self._ledger.close()
                self._ledger = None


class _AbandonedError(Exception):
    pass


def _first_of(futures: Collection[Future[T]]) -> Collection[Future[T]]:
    """Those that are done, as soon as one is. Ctrl-C wakes no lock where another thread happens to take
    the signal, or where it comes just before the lock is waited for: so none is waited for long."""
    done: Collection[Future[T]] = ()
    while not done:
        done = wait(futures, timeout=1, return_when=FIRST_COMPLETED).done
    return done


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
