"""A function that trains, one that does not, and one that is known not to."""

from functools import partial

import pytest
from functions import perceptron

claimed = pytest.mark.convergence(target=0.9, epochs=6, p_good=0.95, p_bad=0.1)


@claimed
def test_passes(convergence):
    convergence.check_training(perceptron)


@claimed
def test_fails(convergence):
    convergence.check_training(partial(perceptron, rate=0.0))


@pytest.mark.xfail(reason="a learning rate of zero", strict=True)
@claimed
def test_is_known_to_fail(convergence):
    convergence.check_training(partial(perceptron, rate=0.0))
