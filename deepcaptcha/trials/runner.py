"""Many trials over the processes of an executor, recorded as they finish."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import InputError
from ..keras import environment
from ..keras.data import Data
from ..keras.models import Factory
from ..keras.training import Prepared
from ..networks.recipes import Recipe
from .ledger import Ledger, Records, find_same, read_ledger, trial_key
from .trial import Callbacks, Probe, Trial, run_trial

TRIALS_PER_PROCESS = 24
REUSING_TRIALS_PER_PROCESS = 240
"""Processes are replaced after about so many trials each: a rebuilt Keras model leaves some 13 MB
behind, a reused one 1 MB. (`max_tasks_per_child` would do it, but hangs in Python 3.11 to 3.14.)"""

_MODELS_KEPT = 12  # traced models a process holds, some 22 MB each

_DEATHS = 3  # a process that dies so many times without one trial finishing dies of the trials

Executors = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True)
class Task:
    """One trial to run: a name, a factory that pickles, a recipe and a seed.

    `reuse_model`: the factory's model depends on the seed alone, so a process may trace it once.
    `examples`, `callbacks` and `version` are those of `run_trial`. `symptoms`: measure them along
    the way.
    """

    name: str
    build: Factory
    recipe: Recipe
    seed: int
    reuse_model: bool = False
    examples: Data | None = None
    callbacks: Callbacks | None = None
    version: str | None = None
    symptoms: bool = False


_traced: dict[bytes, Prepared] = {}  # of this process
_alone = threading.Lock()  # of this process


def run_task(task: Task, known: Sequence[Trial] = ()) -> Trial:
    """The task's trial, trained here, or the one among `known` that is the very same.

    InputError where another runs in this process: Keras' seed and models are the process' own.
    """
    if not _alone.acquire(blocking=False):
        raise InputError(
            "two trials ran in one process at the same time; an executor that runs one task per "
            "process is needed, on a Dask worker one thread (--nthreads 1)"
        )
    if multiprocessing.parent_process() is not None:
        _set_libraries_apart()
    probes: tuple[Probe, ...] = ()
    if task.symptoms:
        from ..diagnosis.probes import SYMPTOMS  # imports TensorFlow

        probes = SYMPTOMS
    try:
        while len(_traced) > _MODELS_KEPT:
            del _traced[next(iter(_traced))]  # the one traced first
        return run_trial(
            task.build,
            task.recipe,
            task.seed,
            name=task.name,
            examples=task.examples,
            callbacks=task.callbacks,
            version=task.version,
            recall=lambda identity: find_same(known, identity),
            traced=_traced if task.reuse_model else None,
            probes=probes,
        )
    finally:
        _alone.release()


@cache
def _set_libraries_apart() -> None:
    """In a process of our own, whose factory's module may have imported TensorFlow before we could."""
    environment.load_keras()
    environment.set_libraries_apart()


def forget_models() -> None:
    """Let go of the traced models of this process; a pytest worker does between two factories."""
    _traced.clear()


def run_study(
    tasks: Sequence[Task],
    executors: Executors,
    folder: Path,
    *,
    reuse: bool = True,
    wave: int | None = None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Records:
    """Run every task, append each finished trial to the ledger in `folder`, hand it to `on_trial`.

    `executors()` makes an executor that runs one task per process at a time; a new one is made for
    every `wave` tasks (None: one for all), and when a process dies, which costs the running trials
    only (of a cluster, that worker's). With `reuse`, trials that the folder already holds, with the
    same model, initial weights, recipe, data, seed, environment and protocol, are not trained again.
    Returns the trials of these tasks in the tasks' order. Interrupted, it leaves the ledger with
    every trial that finished.

    Raises InputError where processes keep dying, for an executor of threads, or where the ledger
    cannot be written.
    """
    recorded = read_ledger(folder) if reuse else Records(())
    seen = {trial_key(trial) for trial in recorded.trials}
    known: dict[tuple[str, str, int], list[Trial]] = {}
    for trial in recorded.trials:
        known.setdefault((trial.name, trial.recipe, trial.seed), []).append(trial)
    # What the ledger may hold already comes last: it needs no training, only to be recognized.
    order = sorted(range(len(tasks)), key=lambda position: _place(tasks[position]) in known)
    done: dict[int, Trial] = {}
    deaths = 0
    with Ledger(folder) as ledger:
        while left := [position for position in order if position not in done]:
            broken = False
            try:
                with executors() as executor:
                    _refuse_threads(executor)
                    futures = {
                        executor.submit(
                            run_task, tasks[position], tuple(known.get(_place(tasks[position]), ()))
                        ): position
                        for position in left[:wave]
                    }
                    for future in as_completed(futures):
                        try:
                            trial = future.result()
                        except BrokenExecutor:
                            broken = True
                            continue
                        deaths = 0
                        if trial_key(trial) not in seen:
                            ledger.append(trial)
                        done[futures[future]] = trial
                        on_trial(trial)
            except BrokenExecutor:
                broken = True
            deaths += broken
            if deaths == _DEATHS:
                first = tasks[left[0]]  # nothing finished in this round
                raise InputError(
                    f"a process died {_DEATHS} times without finishing a trial, last about "
                    f"{first.name} {first.recipe.name} seed {first.seed}; is there enough memory, "
                    "and does a script that starts a study guard it with __name__ == '__main__'?"
                )
    return Records(tuple(done[position] for position in sorted(done)), recorded.problems)


def _refuse_threads(executor: Executor) -> None:
    if isinstance(executor, ThreadPoolExecutor):
        raise InputError(
            f"{type(executor).__name__} runs trials in threads of one process, which share Keras' "
            "seed; give an executor that runs one task per process at a time"
        )


def _place(task: Task) -> tuple[str, str, int]:
    return task.name, task.recipe.name, task.seed


@contextmanager
def process_executor(jobs: int | None = None) -> Iterator[Executor]:
    """An executor with `jobs` processes (default: one per core this process may use).

    Left by an exception, Ctrl-C included, it ends its processes at once.
    """
    jobs = whole_jobs(jobs)
    others = multiprocessing.active_children()
    executor = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in others:
                child.kill()
        raise
    executor.shutdown()


def whole_jobs(jobs: int | None) -> int:
    """`jobs`, or one per core for None; InputError unless it is a whole number >= 1."""
    jobs = cores() if jobs is None else jobs
    if type(jobs) is not int or jobs < 1:
        raise InputError(f"jobs is {jobs!r}; a whole number >= 1 is needed")
    return jobs


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_worker() -> None:
    """Make this process, before it imports TensorFlow, fit to run tasks for a parent."""
    environment.prepare()
    # A new model each trial means a new trace each trial; TensorFlow would warn of it.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _start_worker() -> None:
    prepare_worker()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
