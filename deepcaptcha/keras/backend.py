"""Keras and TensorFlow as trials need them; everything in this room and above that needs them takes them
from here, so that they are loaded once, quietly, and with a trial's environment set before."""

from __future__ import annotations

import sys

from . import environment

environment.require_extra()
_first = "tensorflow" not in sys.modules
environment.prepare_import()
with environment.loading():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()
if _first and not environment.is_left_alone():
    environment.require_single_thread()  # it cannot be told any more once it has computed anything

__all__ = ["keras", "tf"]

KERAS_ERRORS = (ValueError, TypeError, LookupError, NotImplementedError, tf.errors.OpError)
"""What Keras and TensorFlow raise where a model and its data do not fit together."""
