"""Processes that run one call each at a time, as an executor: `python -m deepcaptcha.trials.worker` is
one of them.

Why not `concurrent.futures` or loky: there a process that dies, or is killed because it hangs, fails
all calls under way alike, and nothing tells which of them did it. Here every call is known by its
process. A worker is started anew and not forked, without the caller's main module, in an environment
of its own (one thread, oneDNN), so that the caller's own threads and libraries are left alone.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from traceback import extract_tb, format_list
from typing import IO, Any, ParamSpec, TypeVar

from ..errors import InputError, error_words, require_whole

P = ParamSpec("P")
T = TypeVar("T")

ENVIRONMENT: dict[str, str] = {
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "NPROC": "1",  # JAX's number of threads
}
"""What a worker sets before it imports any library: thread count and oneDNN change rounding. In a worker
of another arithmetic, that one's."""

_SHARED_DEVICE: Mapping[str, str] = {
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""What else it sets unless its caller did: processes take turns on an accelerator, and the first would
take all of its memory."""

GROWTH = 400
"""MiB that a worker may grow beyond its size after its first call, before another takes its place: a
Keras model that is built and dropped leaves some 3 to 13 behind."""

CALLS = 24
"""Calls after which another takes its place where the system does not tell a process' size."""


class WorkerDiedError(BrokenExecutor):
    """A worker ended while it ran a call."""


class NotSentError(InputError):
    """A call that cannot be pickled here, or not be read in another process."""


class TimeLimitError(Exception):
    """A call took longer than it may."""


_is_worker = False


def is_worker() -> bool:
    """Whether this process runs trials for another, and nothing else."""
    return _is_worker


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def job_count(jobs: int | None) -> int:
    """`jobs`, or one per core for None; InputError unless it is a whole number >= 1."""
    return require_whole("jobs", cores() if jobs is None else jobs)


@contextmanager
def workers(
    jobs: int | None = None,
    time_limit: float | None = None,
    environment: Mapping[str, str] | None = None,
    path: Sequence[str] = (),
) -> Iterator[Executor]:
    """An executor with so many workers (default: one per core this process may use), kept until the
    block is left; by an exception, Ctrl-C included, they end at once.

    They import from where this process does, and then from the folders of `path`. Calls and results
    travel by cloudpickle, closures too; NotSentError where one cannot. A call that its worker did not
    survive ends with WorkerDiedError, one that took longer than `time_limit` seconds with
    TimeLimitError; the others go on. `environment`: variables that the workers have beside or in the
    place of ENVIRONMENT.
    """
    executor = _Workers(job_count(jobs), time_limit, environment or {}, path)
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise


class _Workers(Executor):
    def __init__(
        self,
        jobs: int,
        time_limit: float | None,
        environment: Mapping[str, str],
        path: Sequence[str],
    ) -> None:
        self._time_limit = time_limit
        self._environment = environment
        self._path = path
        self._local = threading.local()  # a thread's own worker
        self._all: list[_Worker] = []
        self._closed = False
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(jobs, "deepcaptcha", _keep_interrupts_out)

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue one call; NotSentError where it cannot be pickled."""
        import cloudpickle

        try:
            payload = cloudpickle.dumps((call, args, kwargs))
        except Exception as error:  # whatever an object of the user's raises
            words = error_words(error) or type(error).__name__
            raise NotSentError(f"cannot be sent to another process ({words})") from None
        return self._threads.submit(self._run, payload)

    def _run(self, payload: bytes) -> Any:
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is not None and not worker.fit:
            worker.end()
        if worker is None or not worker.fit:
            with self._lock:
                if self._closed:
                    raise WorkerDiedError("the workers were shut down")
                worker = self._local.worker = _Worker(self._environment, self._path)
                self._all.append(worker)
        return worker.run(payload, self._time_limit)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: once their queue is empty, or at once."""
        with self._lock:
            self._closed = not wait
            if not wait:
                for worker in self._all:
                    worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=cancel_futures)
        for worker in self._all:
            worker.end()


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self, environment: Mapping[str, str], path: Sequence[str]) -> None:
        own = [f"{name}={value}" for name, value in environment.items()]
        found = [entry for entry in sys.path if isinstance(entry, str)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "deepcaptcha.trials.worker", *own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What the caller can import, its worker can; an empty entry is the working folder.
            env={
                **os.environ,
                **ENVIRONMENT,
                "PYTHONPATH": os.pathsep.join(entry or "." for entry in (*found, *path)),
            },
        )
        self._first_size: int | None = None
        self._calls = 0
        self._late = False
        self.fit = True

    def run(self, payload: bytes, time_limit: float | None) -> Any:
        timer = None if time_limit is None else threading.Timer(time_limit, self._expire)
        stdin, stdout = self._pipes()
        try:
            if timer is not None:
                timer.start()
            _send(stdin, payload)
            size, failed, words, body = pickle.loads(_receive(stdout))
        except (OSError, EOFError):
            self.fit = False
            if self._late:
                raise TimeLimitError(
                    f"took longer than its time limit of {time_limit:g} s"
                ) from None
            code = self._process.wait()
            raise WorkerDiedError(f"its process ended with {_ending(code)}") from None
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()  # or it might still expire, and the next call be late
        self._calls += 1
        self._first_size = size if self._first_size is None else self._first_size
        grown = size - self._first_size >= GROWTH if size else self._calls >= CALLS
        self.fit = not grown and not self._late
        try:
            result = pickle.loads(body)
        except Exception:  # a class that only the worker can import
            raise InputError(words) from None
        if failed:
            # What took the memory may be kept still, and the next call is not to fail for it.
            self.fit = self.fit and not isinstance(result, MemoryError)
            raise result
        return result

    def _expire(self) -> None:
        self._late = True
        self.kill()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Let it end by itself; it does so when nothing more can come."""
        with suppress(OSError):
            self._pipes()[0].close()
        self._process.wait()
        self._pipes()[1].close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def _keep_interrupts_out() -> None:
    """Of this thread, and so of the workers it starts: Ctrl-C is the main thread's to handle."""
    import signal

    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _send(pipe: IO[bytes], payload: bytes) -> None:
    pipe.write(len(payload).to_bytes(8, "big") + payload)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(8)
    length = int.from_bytes(head, "big")
    payload = pipe.read(length) if len(head) == 8 else b""
    if len(head) < 8 or len(payload) < length:
        raise EOFError
    return payload


def prepare_worker() -> None:
    """Make this process, before it imports TensorFlow, fit to run trials for another."""
    global _is_worker
    import logging
    import signal

    _is_worker = True
    os.environ.update(ENVIRONMENT)
    for key, value in {**_SHARED_DEVICE, "TF_CPP_MIN_LOG_LEVEL": "2"}.items():
        os.environ.setdefault(key, value)
    # A new model each trial means a new trace each trial; TensorFlow would warn of it.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Where memory runs out, Linux is to end a worker and not what waits for it.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _main() -> None:
    """Answer calls from standard input on standard output until the parent closes it or is gone."""
    import cloudpickle

    for name, _, value in (word.partition("=") for word in sys.argv[1:]):
        ENVIRONMENT[name] = value
    prepare_worker()
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a factory prints or reads must not meet what is sent here.
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    # A fork of what trains is not to answer for it, nor to keep the answers open when it is dead.
    worker = os.getpid()
    ends = calls.fileno(), answers.fileno()
    os.register_at_fork(after_in_child=lambda: [os.dup2(nowhere, end) for end in ends] and None)
    waiting: list[bytes] = []
    arrived = threading.Semaphore(0)

    def listen() -> None:
        try:
            while True:
                waiting.append(_receive(calls))
                arrived.release()
        except (OSError, EOFError):
            os._exit(0)  # in the midst of a call too: nobody waits for it any more

    threading.Thread(target=listen, daemon=True).start()
    while True:
        arrived.acquire()
        try:
            call, args, kwargs = _read_call(waiting.pop(0))
            failed, result, words = False, call(*args, **kwargs), "its result cannot be read"
        except Exception as error:
            failed, result, words = True, error, f"{type(error).__name__}: {error}"
            if not isinstance(error, InputError):  # its traceback does not travel
                error.add_note(_places(error))
        if os.getpid() != worker:
            os._exit(0)
        try:
            body = cloudpickle.dumps(result)
        except Exception as error:
            words = words if failed else f"its result cannot be sent back ({error})"
            body = cloudpickle.dumps(InputError(words))
            failed = True
        _send(answers, pickle.dumps((_size(), failed, words, body)))


def _places(error: Exception) -> str:
    """Where in the user's code, and in what that called, it was raised."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
    frames = extract_tb(error.__traceback__)
    return "".join(
        format_list([frame for frame in frames if not frame.filename.startswith(own)])
    ).rstrip()


def _read_call(payload: bytes) -> Any:
    try:
        return pickle.loads(payload)
    except InputError:
        raise
    except Exception as error:  # a module that only the caller can import, or that fails here
        words = f"{type(error).__name__}: {error}"
        raise NotSentError(f"cannot be read in another process ({words})") from None


def _size() -> int:
    """Resident MiB of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    except (OSError, ValueError, AttributeError):
        return 0


if __name__ == "__main__":
    # Under its own name, so that others can see whether they run in a worker.
    from deepcaptcha.trials import worker

    worker._main()
