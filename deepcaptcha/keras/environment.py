"""What surrounds a trial: backend, threads, oneDNN, versions, processor, accelerator, our own code.

Thread count and oneDNN change rounding, so both are fixed before a backend is imported: one thread per
process and oneDNN on. Nothing here imports a backend before it is needed; `backend` does.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from ..errors import InputError
from ..trials.source import distribution_version, machine
from ..trials.worker import ENVIRONMENT, is_worker

SETTINGS = ENVIRONMENT
"""Environment variables a trial needs; backends read them when they are imported."""

BACKENDS = ("tensorflow", "jax", "torch")
"""Backends of Keras that train, each by the name of its module and distribution."""


def backend() -> str:
    """What Keras computes with, or would: its own answer where it is loaded, else KERAS_BACKEND or
    Keras' file of settings; imports nothing."""
    if (keras := sys.modules.get("keras")) is not None and hasattr(keras, "config"):
        return str(keras.config.backend())
    return os.environ.get("KERAS_BACKEND") or _configured()


def _configured() -> str:
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # there need be no home
    try:
        found = json.loads((Path(home) / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return BACKENDS[0]
    return str(found)


def require_extra() -> None:
    """InputError where Keras or its backend is missing, or that does not train; imports neither."""
    name = backend()
    if name not in BACKENDS:
        raise InputError(f"KERAS_BACKEND is {name!r}; one of {', '.join(BACKENDS)} is needed")
    if all(importlib.util.find_spec(each) for each in ("keras", name)):
        return
    if name == BACKENDS[0]:
        raise InputError(
            "Keras models need Keras and TensorFlow: install pytest-deepcaptcha with its extra `keras`"
        )
    raise InputError(f"KERAS_BACKEND is {name}: Keras and {name} are needed, install both")


def prepare() -> None:
    """Set the environment for training; harmless when repeated.

    InputError if TensorFlow was already imported with other settings, where it is too late.
    """
    if "tensorflow" in sys.modules and backend() == "tensorflow":
        wrong = [
            f"{key}={value}"
            for key, value in SETTINGS.items()
            if key.startswith("TF_") and os.environ.get(key) != value
        ]
        if wrong:
            raise InputError(
                "TensorFlow was imported before its settings: start Python with "
                f"{' '.join(wrong)}, or call deepcaptcha before importing tensorflow; under pytest, set "
                "the ini value convergence_single_thread = true, or leave it out: worker processes set "
                "their own"
            )
    prepare_import()


def prepare_import() -> None:
    """Set the environment where the backend is not imported yet, in a process not left alone."""
    if backend() not in sys.modules and not _left_alone:
        os.environ.update(SETTINGS)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


_left_alone = False


def leave_alone(alone: bool = True) -> bool:
    """Trials run in other processes, and this one keeps the environment and the threads it has, or no
    longer; whether it did before."""
    global _left_alone
    before, _left_alone = _left_alone, alone
    return before


def is_left_alone() -> bool:
    """Whether `leave_alone` holds, so that a trial that runs here all the same claims no bits."""
    return _left_alone and not is_worker()


def require_single_thread() -> None:
    """What a trial needs of its process before it begins: one thread, and oneDNN on. Nothing of a
    process that is left alone.

    InputError where TensorFlow already runs otherwise.
    """
    if not is_left_alone():
        _require_single_thread()


@cache
def _require_single_thread() -> None:
    prepare()
    if backend() == "torch":
        import torch  # type: ignore[import-not-found, unused-ignore]

        torch.set_num_threads(1)
    if backend() != "tensorflow":
        return
    from .backend import tf

    threading_ = tf.config.threading
    try:
        threading_.set_intra_op_parallelism_threads(_threads())
        threading_.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # it has computed something already
        intra = threading_.get_intra_op_parallelism_threads()
        inter = threading_.get_inter_op_parallelism_threads()
        # Where nobody chose a number (0), it took that of the environment, which `prepare` found right.
        if {intra, inter} <= {0, 1}:
            return
        raise InputError(
            f"TensorFlow already runs with {intra} intra-op and {inter} inter-op threads (0: all); "
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


def describe() -> dict[str, object]:
    """Whatever around a trial may change its rounding, JSON-ready; imports no backend, and so knows of
    no accelerator."""
    return _describe(backend())


@cache
def _describe(name: str) -> dict[str, object]:
    facts: dict[str, object] = {
        **{each: distribution_version(each) for each in (name, "keras")},
        **machine(),
        "threads": _threads(),
    }
    if name != "tensorflow":
        return {**facts, "backend": name}
    limit = os.environ.get(_MOST_INSTRUCTIONS)
    facts["onednn"] = SETTINGS["TF_ENABLE_ONEDNN_OPTS"] == "1"
    return {**facts, "onednn instructions": limit} if limit else facts


@cache
def training_code() -> str:
    """A digest of the code by which this package trains, whatever its comments, texts and layout;
    imports none of it."""
    room = Path(__file__).parent
    files = [*sorted(room.glob("*.py")), room.parent / "trials" / "trial.py"]
    trees = (_Bare().visit(ast.parse(file.read_text("utf-8"))) for file in files)
    return hashlib.sha256("".join(map(ast.dump, trees)).encode()).hexdigest()[:12]


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Nothing in the place of a text that stands alone, such as a docstring."""
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node


def describe_here() -> dict[str, object]:
    """The same of a trial in this process, with its accelerator; threads that nobody counted are no
    number."""
    facts = {**describe(), "threads": "any"} if is_left_alone() else describe()
    found = accelerator(_devices())
    return {**facts, "device": found} if found else facts


def accelerator(devices: Sequence[tuple[str, str]]) -> str:
    """What trials run on, of (kind, name) of each device that a backend sees, such as `NVIDIA H100` or
    `2 x NVIDIA H100`; empty for processors alone."""
    names = Counter(name or kind for kind, name in devices if kind.upper() != "CPU")
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in sorted(names.items()))


@cache
def _devices() -> tuple[tuple[str, str], ...]:
    """(kind, name) of what the loaded backend would train on."""
    name = backend()
    if name == "jax":
        import jax  # type: ignore[import-not-found, unused-ignore]

        return tuple((each.platform, each.device_kind) for each in jax.devices())
    if name == "torch":
        import torch

        cuda = torch.cuda
        found = [("GPU", cuda.get_device_name(place)) for place in range(cuda.device_count())]
        metal = getattr(torch.backends, "mps", None)
        return (*found, ("GPU", "Apple")) if metal and metal.is_available() else tuple(found)
    from .backend import tf

    seen = tf.config.list_physical_devices()
    named = (tf.config.experimental.get_device_details(each).get("device_name") for each in seen)
    return tuple((each.device_type, text or "") for each, text in zip(seen, named, strict=True))


def graphics_cards() -> str:
    """What the NVIDIA driver of a Linux machine has, whether a backend can use it or not; empty where
    there is none. Imports nothing."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with contextlib.suppress(OSError):
            lines = path.read_text().splitlines()
            found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return accelerator([("GPU", name) for name in found])


def own_device(
    devices: Sequence[tuple[str, str]] | None = None, folder: Path | None = None
) -> contextlib.AbstractContextManager[None]:
    """The accelerator for this process alone, as long as the block runs; nothing to wait for where there
    is none.

    - `devices`: (kind, name) of each, those of the loaded backend by default.
    - `folder`: whose processes wait for each other, the system's for temporary files by default.
    """
    if not accelerator(_devices() if devices is None else devices):
        return contextlib.nullcontext()
    return locked(Path(folder or tempfile.gettempdir()) / "deepcaptcha-device.lock")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block that one process at a time runs, of those that name the same file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if sys.platform == "win32":
            import msvcrt

            while True:
                with contextlib.suppress(OSError):  # it gives up after ten seconds
                    msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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
