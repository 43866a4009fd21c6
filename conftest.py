"""This suite's own settings; options and fixtures for everyone live in deepcaptcha/plugin/."""

import os
import random

import pytest
from hypothesis import settings

from deepcaptcha.networks.variants import HYPOTHESES, ROWS
from deepcaptcha.trials.place import user_cache

pytest_plugins = ["pytester"]

# No deadline: the machines of CI are shared, and a pause there is no failure of ours.
settings.register_profile("quick", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config):
    """Every run shares the error rates among all declared hypotheses, whatever it selects."""
    if config.option.convergence_hypotheses is None:
        config.option.convergence_hypotheses = HYPOTHESES
    if config.option.convergence_rows is None:
        config.option.convergence_rows = ROWS


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test leaves a ledger in the user's cache; matplotlib keeps its own place there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(user_cache() / "matplotlib"))
        )
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _repeatable_weights(request):
    """A layer without a seed takes it from Python's generator. A test then has the same weights
    whichever tests ran before it, so that its failure can be repeated."""
    random.seed(request.node.nodeid)
