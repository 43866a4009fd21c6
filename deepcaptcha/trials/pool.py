"""Trials that are started now and handed back as they finish, each recorded first."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import InputError
from ..verdicts.judge import Recorder
from .runner import (
    REUSING_TRIALS_PER_PROCESS,
    TRIALS_PER_PROCESS,
    Task,
    process_executor,
    run_task,
)
from .trial import Trial

Run = Callable[[Task, Sequence[Trial]], Trial]
"""Trains a task, or answers with the very same trial among those given."""

Result = Trial | ValueError
"""A trial, or why there cannot be one: a factory or Keras refused (InputError is a ValueError)."""


class TrialPool:
    """Runs trials in `jobs` processes, which are replaced now and then, or in this one (None).

    With a `folder`, every trial is recorded there; with `reuse`, those it holds are not trained
    again. Left in peace, the pool records what is still running; left by an exception, Ctrl-C
    included, it ends its processes at once.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        reuse: bool = True,
        jobs: int | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        run: Run = run_task,
    ) -> None:
        self._recorder = None if folder is None else Recorder(folder, reuse=reuse)
        self._jobs = jobs
        self._on_trial = on_trial
        self._run = run
        self._executors = ExitStack()
        self._executor: Executor | None = None
        self._load = 0.0  # of a process' life, 1: it is to be replaced
        self._running: dict[Future[Trial], tuple[Any, Task]] = {}

    @property
    def room(self) -> int:
        """Trials that can be started now."""
        if self._load >= 1 and self._running:
            return 0  # the processes are replaced once they are idle
        return (self._jobs or 1) - len(self._running)

    def start(self, key: Any, task: Task) -> None:
        """Start a trial; `finished` hands it back with its `key`."""
        if self._executor is None or self._load >= 1:
            self._open()
        assert self._executor is not None
        if self._jobs is not None or task.reuse_model:
            _require_pickle(task)
        if self._jobs is not None:
            most = REUSING_TRIALS_PER_PROCESS if task.reuse_model else TRIALS_PER_PROCESS
            self._load += 1 / (most * self._jobs)
        known = () if self._recorder is None else self._recorder.known(task)
        self._running[self._executor.submit(self._run, task, known)] = key, task

    def finished(self) -> Iterator[tuple[Any, Result]]:
        """Wait for the next trials to finish; each one's key and what came of it."""
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            yield self._take(future)

    def _take(self, future: Future[Trial]) -> tuple[Any, Result]:
        key, task = self._running.pop(future)
        try:
            trial = future.result()
        except BrokenExecutor:
            raise InputError(
                f"a process died while it trained {task.name} seed {task.seed}; is there enough "
                "memory? Finished trials are kept, and the same call goes on"
            ) from None
        except ValueError as error:
            return key, error
        if self._recorder is not None:
            self._recorder.keep(trial)
        self._on_trial(trial)
        return key, trial

    def _open(self) -> None:
        self._executors.close()
        self._load = 0.0
        self._executor = (
            _Here()
            if self._jobs is None
            else self._executors.enter_context(process_executor(self._jobs))
        )

    def __enter__(self) -> TrialPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._executors.__exit__(kind, error, trace)
            if error is None:
                for future in list(self._running):
                    self._take(future)
        finally:
            if self._recorder is not None:
                self._recorder.__exit__()


class _Here(Executor):
    """Runs each call at once in this process; whatever is no ValueError ends it all."""

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except ValueError as error:
            future.set_exception(error)
        return future


def _require_pickle(task: Task) -> None:
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"{task.name} cannot be sent to another process or known again ({error}); use a factory "
            "defined in a module and plain arguments, or jobs=None and reuse_model=False"
        ) from None
