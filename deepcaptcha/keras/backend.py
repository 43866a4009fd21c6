"""Keras and its backend as trials need them; everything in this room and above takes them from here, so
that they are loaded once, quietly, and with a trial's environment set before."""

from __future__ import annotations

import sys

from ..errors import InputError
from . import environment

BACKEND = environment.backend()
"""What Keras computes with: `tensorflow`, `jax` or `torch`, as whoever started Python chose."""
TENSORFLOW = BACKEND == "tensorflow"

environment.require_extra()
_first = BACKEND not in sys.modules
environment.prepare_import()
with environment.loading():
    import keras

    if TENSORFLOW:
        import tensorflow as tf

        tf.config.list_physical_devices()
if _first and not environment.is_left_alone():
    environment.require_single_thread()  # it cannot be told any more once it has computed anything

__all__ = ["keras", "tf"]


def require_tensorflow(what: str) -> None:
    """InputError, which says what cannot be done, where Keras runs on another backend."""
    if not TENSORFLOW:
        raise InputError(
            f"{what} works on TensorFlow alone, and Keras' backend is {BACKEND}; start Python with "
            "KERAS_BACKEND=tensorflow"
        )


class _Absent:
    """In the place of TensorFlow where Keras runs on another backend."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        require_tensorflow(f"what uses tf.{name}")
        raise AssertionError


KERAS_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    LookupError,
    NotImplementedError,
)
"""What Keras and its backend raise where a model and its data do not fit together."""
if TENSORFLOW:
    KERAS_ERRORS = (*KERAS_ERRORS, tf.errors.OpError)
else:
    KERAS_ERRORS = (*KERAS_ERRORS, RuntimeError)
    tf = _Absent()
