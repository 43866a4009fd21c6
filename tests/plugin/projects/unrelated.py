"""Tests of somebody who never heard of the plugin: the same with it and without it. `EXPECTED` holds the
environment they were started in."""

import json
import os
import random
import sys

SETTINGS = ("OMP_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS", "KERAS_BACKEND")
EXPECTED = json.loads(os.environ["EXPECTED"])
random.seed(7)
STATE = random.getstate()


def found():
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}


AT_IMPORT = found()


def test_the_environment_is_as_it_was():
    assert AT_IMPORT == found() == EXPECTED


def test_nobody_drew_a_random_number():
    assert random.getstate() == STATE


def test_backend_and_threads_are_ones_own():
    assert not {"keras", "tensorflow", "jax", "torch"} & set(sys.modules)
    import keras

    backend = EXPECTED.get("KERAS_BACKEND", "tensorflow")
    assert keras.config.backend() == backend
    if backend == "tensorflow":
        import tensorflow as tf

        assert tf.config.threading.get_intra_op_parallelism_threads() == 0
        tf.config.threading.set_intra_op_parallelism_threads(
            3
        )  # refused once anything was computed
        assert tf.config.threading.get_intra_op_parallelism_threads() == 3
    if backend == "torch":
        import torch

        torch.set_num_threads(3)
        assert torch.get_num_threads() == 3
    print("backend and threads:", backend)
