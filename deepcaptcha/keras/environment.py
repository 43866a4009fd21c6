"""What surrounds a trial: threads, oneDNN, versions, processor.

Thread count and oneDNN change rounding, so both are fixed before TensorFlow is imported: one thread
per process and oneDNN on. Nothing here imports TensorFlow until `load_keras` or `load_tensorflow`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import os
import platform
import random
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ..errors import InputError

SETTINGS = {
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "KERAS_BACKEND": "tensorflow",
}
"""Environment variables a trial needs; TensorFlow and Keras read them when they are imported."""

# Instruction sets that TensorFlow, Eigen and oneDNN choose kernels by; each sums in another order.
_ROUNDING_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")


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
    if "tensorflow" not in sys.modules:
        os.environ.update(SETTINGS)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@cache
def require_single_thread() -> None:
    """What a trial needs of its process before it begins: one TensorFlow thread, oneDNN on.

    InputError where TensorFlow already runs otherwise.
    """
    prepare()
    from .backend import tf

    threading_ = tf.config.threading
    try:
        threading_.set_intra_op_parallelism_threads(1)
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
    for it ever again among what it keeps for good; see `set_libraries_apart`."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def set_libraries_apart() -> None:
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


def load_tensorflow() -> Any:
    """The tensorflow module with one thread per process; InputError if it already runs with more."""
    from .backend import tf

    require_single_thread()
    return tf


def load_keras() -> Any:
    """The keras module on TensorFlow as `load_tensorflow` sets it up."""
    from .backend import keras

    require_single_thread()
    return keras


def running_tensorflow() -> Any:
    """The tensorflow module as this process runs it, whatever its settings; loaded as for trials where
    it is not yet. For looking at a model, whose last bits do not matter."""
    from .backend import tf

    return tf


def running_keras() -> Any:
    """The keras module, as `running_tensorflow` gives its backend."""
    from .backend import keras

    return keras


def keras_errors() -> tuple[type[Exception], ...]:
    """What Keras and TensorFlow raise where a model and its data do not fit together."""
    from .backend import KERAS_ERRORS

    return KERAS_ERRORS


@contextlib.contextmanager
def own_random() -> Iterator[None]:
    """Give this thread the functions of Python's `random` to itself, with a state of its own.

    Keras draws the seeds of initial weights from there, and any other thread of the process may draw
    in between: Dask's event loop does. Seeding still reaches the shared state too, for code that
    imported a function of `random` by name.
    """
    own, here = random.Random(), threading.get_ident()
    shared = {name: getattr(random, name) for name in random.__all__ if hasattr(own, name)}

    def reseed(*args: Any, **kwargs: Any) -> None:
        own.seed(*args, **kwargs)
        shared["seed"](*args, **kwargs)

    def divided(mine: Callable[..., Any], others: Callable[..., Any]) -> Callable[..., Any]:
        def draw(*args: Any, **kwargs: Any) -> Any:
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


@cache
def describe() -> dict[str, Any]:
    """Whatever around a trial may change its rounding, JSON-ready; does not import TensorFlow."""
    return {
        **{name: _version(name) for name in ("tensorflow", "keras", "numpy")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        **_processor(),
        "threads": 1,
        "onednn": True,
    }


def _version(distribution: str) -> str:
    # tensorflow-cpu and the like carry the same package under another distribution name.
    for name in (distribution, f"{distribution}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"


def _processor() -> dict[str, Any]:
    try:
        with open("/proc/cpuinfo") as file:
            lines = file.read().split("\n\n", 1)[0].splitlines()
    except OSError:
        return {"processor": platform.processor(), "instructions": []}
    pairs = (line.partition(":") for line in lines)
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return {
        "processor": facts.get("model name", platform.processor()),
        "instructions": [flag for flag in _ROUNDING_FLAGS if flag in flags],
    }
