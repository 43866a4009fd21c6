"""A mistake with a Keras model, and what Keras leaves for the garbage collector."""

import gc

import pytest
from factories import build_mlp, points


@pytest.mark.convergence(target=0.9, epochs=6, batch=16, p_good=0.999, p_bad=0.05)
def test_bad_input(convergence):
    convergence.check(build_mlp, train=None, validation=points(1), name="bad input")


def test_frozen():
    assert gc.get_freeze_count() > 100_000
