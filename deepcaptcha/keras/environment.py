"""What surrounds a trial: threads, oneDNN, versions, processor.

Thread count and oneDNN change rounding, so both are fixed before TensorFlow is imported: one thread
per process and oneDNN on. Nothing here imports TensorFlow; `backend` does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache

from ..errors import InputError
from ..trials.source import distribution_version, machine
from ..trials.worker import ENVIRONMENT

SETTINGS = ENVIRONMENT
"""Environment variables a trial needs; TensorFlow and Keras read them when they are imported."""


def require_extra() -> None:
    """InputError where Keras or TensorFlow is missing; imports neither."""
    if not all(importlib.util.find_spec(name) for name in ("keras", "tensorflow")):
        raise InputError(
            "Keras models need Keras and TensorFlow: install pytest-deepcaptcha with its extra `keras`"
        )


def prepare() -> None:
    """Set the environment for training; harmless when repeated.

    InputError if TensorFlow was already imported with other settings, where it is too late.
    """
    if "tensorflow" in sys.modules:
        wrong = [
            f"{key}={value}" for key, value in SETTINGS.items() if os.environ.get(key) != value
        ]
        if wrong:
            raise InputError(
                "TensorFlow was imported before its settings: start Python with "
                f"{' '.join(wrong)}, or call deepcaptcha before importing tensorflow; under pytest, set "
                "the ini value convergence_single_thread = true"
            )
    prepare_import()


def prepare_import() -> None:
    """Set the environment where TensorFlow is not imported yet; what it may need there is left alone."""
    if "tensorflow" not in sys.modules and not _left_alone:
        os.environ.update(SETTINGS)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


_left_alone = False


def leave_alone() -> None:
    """Trials run in other processes, and this one keeps the environment and the threads it has."""
    global _left_alone
    _left_alone = True


def is_left_alone() -> bool:
    """Whether `leave_alone` was called."""
    return _left_alone


@cache
def require_single_thread() -> None:
    """What a trial needs of its process before it begins: one TensorFlow thread, oneDNN on.

    InputError where TensorFlow already runs otherwise.
    """
    prepare()
    from .backend import tf

    threading_ = tf.config.threading
    try:
        threading_.set_intra_op_parallelism_threads(_threads())
        threading_.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise InputError(
            "TensorFlow already runs with "
            f"{threading_.get_intra_op_parallelism_threads()} intra-op and "
            f"{threading_.get_inter_op_parallelism_threads()} inter-op threads (0: all); "
            "trials need 1 and 1: call deepcaptcha before the first TensorFlow operation"
        ) from None


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around the import of TensorFlow: without its greeting, and without looking for garbage."""
    with _without_native_log(), _without_garbage_collection():
        yield


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Import TensorFlow without looking for garbage, which is a fifth of the time, and without looking
    for it ever again among what it keeps for good; see `freeze_loaded_objects`."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def freeze_loaded_objects() -> None:
    """Take what is alive now, such as TensorFlow's 300,000 objects, out of the garbage collection with
    which Keras begins every model: it takes as long as a tenth of an epoch. Only where no model is
    alive that somebody may let go of: it would never be freed."""
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _without_native_log() -> Iterator[None]:
    """Drop what C++ code writes to the terminal: TensorFlow's greeting does not heed its own
    TF_CPP_MIN_LOG_LEVEL while it loads. Python's own errors are raised as ever."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


@cache
def describe() -> dict[str, object]:
    """Whatever around a trial may change its rounding, JSON-ready; does not import TensorFlow."""
    limit = os.environ.get(_MOST_INSTRUCTIONS)
    return {
        **{name: distribution_version(name) for name in ("tensorflow", "keras")},
        **machine(),
        "threads": _threads(),
        "onednn": SETTINGS["TF_ENABLE_ONEDNN_OPTS"] == "1",
        **({"onednn instructions": limit} if limit else {}),
    }


def _threads() -> int:
    return int(SETTINGS["TF_NUM_INTRAOP_THREADS"])


_MOST_INSTRUCTIONS = "ONEDNN_MAX_CPU_ISA"

ARITHMETICS: Mapping[str, Mapping[str, str]] = {
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "2 threads": {"TF_NUM_INTRAOP_THREADS": "2"},
    "2 threads, oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "2"},
    "oneDNN with AVX2": {_MOST_INSTRUCTIONS: "AVX2"},
    "oneDNN with AVX": {_MOST_INSTRUCTIONS: "AVX"},
    "oneDNN with SSE 4.1": {_MOST_INSTRUCTIONS: "SSE41"},
    "XLA": {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"},
}
"""Environments of a worker that sum in another order, and change nothing else."""
