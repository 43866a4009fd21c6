"""Keras and TensorFlow as trials need them; everything in this room and above that needs them takes them
from here, so that they are loaded once, quietly, and with a trial's environment set before."""

from __future__ import annotations

from . import environment

environment.require_extra()
environment.prepare_import()
with environment.loading():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["keras", "tf"]

KERAS_ERRORS = (ValueError, TypeError, LookupError, NotImplementedError, tf.errors.OpError)
"""What Keras and TensorFlow raise where a model and its data do not fit together."""
