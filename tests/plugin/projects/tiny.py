"""One training that does not reach its target, and one that does."""

from functools import partial

import pytest
from functions import perceptron


@pytest.mark.xdist_group("one")
@pytest.mark.convergence(target=0.9, epochs=1, p_good=0.95, p_bad=0.1)
def test_does_not(convergence):
    convergence.check_training(partial(perceptron, rate=0.0), name="still")


@pytest.mark.xdist_group("other")
@pytest.mark.convergence(target=0.9, epochs=6, p_good=0.95, p_bad=0.1)
def test_trains(convergence):
    convergence.check_training(perceptron)
