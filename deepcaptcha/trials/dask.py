"""Trials over the workers of a Dask cluster, on this machine or on many (extra `dask`)."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import pickle
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .source import machine
from .worker import ENVIRONMENT, NotSentError, P, T, job_count, prepare_worker

if TYPE_CHECKING:
    import distributed

_PATIENCE = 5.0  # seconds to reach a scheduler
_FIRST_WORKER = 20.0  # seconds for the first worker to join it
_ALONE = 30.0  # seconds a running study may be without any worker
_LOOK = 2.0  # seconds between two looks at the workers

TRUST = (
    "the Dask cluster listens on 127.0.0.1 and trusts whoever can connect there, without a password: "
    "every user of this machine could run code as you; --executor process lets nobody in"
)
"""What is said where a cluster of its own is made."""

_LOCAL_CONFIGURATION = {
    # One task at a time on a worker, so that only the one that runs is suspected if the worker dies.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 1,
    "distributed.worker.profile.enabled": False,
}


def require_extra() -> None:
    """InputError where Dask is missing; imports nothing."""
    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            "a Dask cluster needs distributed: install pytest-deepcaptcha with its extra `dask`"
        )


@contextmanager
def dask_executor(address: str | None = None, jobs: int | None = None) -> Iterator[Executor]:
    """An executor over the workers of the scheduler at `address`, one task per worker at a time, or
    over a cluster of its own on this machine with `jobs` workers (default: one per core).

    Dask itself sends a task again whose worker died, unless its workers die over and over; that, a
    lost scheduler and a cluster without workers end its futures with BrokenExecutor. Left by an
    exception, Ctrl-C included, it cancels what has not begun; a cluster of its own ends in seconds.

    Raises InputError for a missing extra, an address where no scheduler answers, a scheduler without
    workers, and workers that have several threads or no deepcaptcha.
    """
    require_extra()
    if address is not None:
        if jobs is not None:
            raise InputError("jobs are for a cluster of its own; a scheduler has its own workers")
        _require_scheduler(address)
        with _client(address) as executor:
            yield executor
        return
    with _local_cluster(job_count(jobs)) as cluster, _client(cluster) as executor:
        yield executor


@contextmanager
def _local_cluster(jobs: int) -> Iterator[distributed.LocalCluster]:
    import dask
    from distributed import LocalCluster

    # A scratch folder of its own: Dask would leave one behind.
    with tempfile.TemporaryDirectory(
        prefix="deepcaptcha-dask-", ignore_cleanup_errors=True
    ) as scratch:
        with dask.config.set(_LOCAL_CONFIGURATION):
            cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                # Dask would serve its status on port 8787 even without a dashboard.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=0,  # a worker that Dask pauses for its memory would never go on
                silence_logs=logging.CRITICAL,
                local_directory=scratch,
                env=dict(ENVIRONMENT),  # set before anything imports TensorFlow
                preload=[__name__],
            )
        try:
            yield cluster
        finally:
            cluster.close()


@contextmanager
def _client(place: str | distributed.LocalCluster) -> Iterator[Executor]:
    from distributed import Client

    with _quiet(), Client(place, timeout=_PATIENCE, set_as_default=False) as client:
        _require_workers(client)
        executor = _ClusterExecutor(client)
        with _watched(client, executor):
            try:
                yield executor
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise
            executor.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own tracebacks of what ends in one line here, such as a lost scheduler."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _ClusterExecutor(Executor):
    """One task per worker thread, each run anew whatever ran before.

    Dask's own `Client.get_executor` keeps every result on its worker as long as the future lives, and
    when that worker dies, all its trials are trained again. This one lets go of a result once it is
    here, and says BrokenExecutor where Dask gives a task up.
    """

    def __init__(self, client: distributed.Client) -> None:
        self._client = client
        self._sent: dict[Future[Any], distributed.Future[Any]] = {}
        self._shut = False

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send one call; it is not taken from an earlier call of the same. BrokenExecutor where there is
        nobody left to run it: Dask would wait for ever. InputError where it cannot be pickled."""
        if self._shut or self._client.status != "running":
            raise BrokenExecutor("the cluster is gone")
        promised: Future[T] = Future()
        promised.set_running_or_notify_cancel()
        try:
            sent = self._client.submit(_with_own_random, function, *args, pure=False, **kwargs)
        except (TypeError, pickle.PicklingError) as error:
            words = str(error.__cause__ or error)
            raise NotSentError(f"cannot be sent to another process ({words})") from None
        self._sent[promised] = sent
        self._sent[promised].add_done_callback(partial(self._settle, promised))
        return promised

    def _settle(self, promised: Future[T], sent: distributed.Future[T]) -> None:
        from distributed import KilledWorker

        try:
            result = sent.result()
        except (KilledWorker, CancelledError) as error:
            promised.set_exception(BrokenExecutor(str(error)))
        except Exception as error:
            promised.set_exception(error)
        else:
            promised.set_result(result)
        finally:
            sent.release()
            del self._sent[promised]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel or wait for what has not ended; `dask_executor` closes the client."""
        self._shut = True
        if cancel_futures or not wait:
            self._client.cancel(list(self._sent.values()))
        if wait:
            futures.wait(list(self._sent))


def _with_own_random(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a worker, whose event loop draws from Python's `random` while a trial is trained."""
    with own_random():
        return function(*args, **kwargs)


@contextmanager
def own_random() -> Iterator[None]:
    """Give this thread the functions of Python's `random` to itself, with a state of its own.

    Keras draws the seeds of initial weights from there, and any other thread of the process may draw
    in between: Dask's event loop does. Seeding still reaches the shared state too, for code that
    imported a function of `random` by name.
    """
    own, here = random.Random(), threading.get_ident()
    shared = {name: getattr(random, name) for name in random.__all__ if hasattr(own, name)}

    def reseed(a: float | str | bytes | None = None, version: int = 2) -> None:
        own.seed(a, version)
        shared["seed"](a, version)

    def divided(mine: Callable[P, T], others: Callable[P, T]) -> Callable[P, T]:
        def draw(*args: P.args, **kwargs: P.kwargs) -> T:
            return (mine if threading.get_ident() == here else others)(*args, **kwargs)

        return draw

    for name, function in shared.items():
        mine = reseed if name == "seed" else getattr(own, name)
        setattr(random, name, divided(mine, function))
    try:
        yield
    finally:
        for name, function in shared.items():
            setattr(random, name, function)


@contextmanager
def _watched(client: distributed.Client, executor: Executor) -> Iterator[None]:
    """Cancel everything once there has been no worker for a while: Dask would wait for ever."""
    left = threading.Event()

    def watch() -> None:
        seen = time.monotonic()
        while not left.wait(_LOOK) and client.status != "closed":
            with suppress(OSError):  # a lost scheduler cancels everything by itself
                if client.nthreads():
                    seen = time.monotonic()
                elif time.monotonic() - seen > _ALONE:
                    executor.shutdown(wait=False)
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()


def _require_scheduler(address: str) -> None:
    """InputError unless a Dask scheduler answers. A Client would do, but one that fails to connect
    takes long to go away, and not silently."""
    from distributed import Security
    from distributed.comm.core import connect

    async def knock() -> None:
        security = Security().get_connection_args("client")
        comm = await connect(address, timeout=_PATIENCE, **security)
        comm.abort()

    try:
        asyncio.run(knock())
    except (OSError, ValueError, TypeError) as error:  # unreachable; no address; TLS not set up
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({error}); an address such as "
            "tcp://127.0.0.1:8786 is needed, of a scheduler that runs"
        ) from None


def _require_workers(client: distributed.Client) -> None:
    address = getattr(client.scheduler, "address", "")
    try:
        client.wait_for_workers(1, timeout=_FIRST_WORKER)
    except TimeoutError:
        raise InputError(
            f"the Dask scheduler at {address} has no workers; start some with "
            f"dask worker {address} --nthreads 1"
        ) from None
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise InputError(
                f"the Dask worker at {worker} has {threads} threads, which share Keras' seed; start "
                "workers with --nthreads 1, several on one machine with --nworkers"
            )
    for worker, answer in client.run(machine, on_error="return").items():
        if isinstance(answer, Exception):
            raise InputError(f"the Dask worker at {worker} cannot run deepcaptcha: {answer}")


def dask_setup(worker: object) -> None:
    """What Dask calls in each worker of a cluster of its own, which preloads this module."""
    prepare_worker()
