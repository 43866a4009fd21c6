"""One factory that does not train, and one that does."""

from functools import partial

import pytest
from factories import build_mlp, points


@pytest.mark.xdist_group("one")
@pytest.mark.convergence(target=0.9, epochs=1, batch=16, p_good=0.95, p_bad=0.1)
def test_does_not(convergence):
    convergence.check(partial(build_mlp, 0.0), train=points(0), validation=points(1), name="still")


@pytest.mark.xdist_group("other")
@pytest.mark.convergence(target=0.9, epochs=6, batch=16, p_good=0.95, p_bad=0.1)
def test_trains(convergence):
    convergence.check(build_mlp, train=points(0), validation=points(1))
