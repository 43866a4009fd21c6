"""What every test of the plugin gets, and fixtures that several modules share."""

import pytest
import scipy.stats  # noqa: F401 - neither it nor NumPy can be loaded anew by each run in this process

import deepcaptcha.plugin.judging  # noqa: F401 - as above
from tests.plugin.examples import COUNTED, GUESSES, INI


@pytest.fixture(autouse=True)
def _no_github(monkeypatch):
    """Where these tests themselves run on GitHub."""
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def guesses(pytester):
    """One claim that is true, and one that is false, of a function that learns nothing."""
    pytester.makeini(INI)
    pytester.makepyfile(test_it=GUESSES)
    return pytester


@pytest.fixture
def suite(pytester):
    """Two modules that ask for two verdicts and one, and one that asks for none; nothing is trained."""
    pytester.makepyfile(
        test_two=COUNTED.format(2), test_one=COUNTED.format(1), test_no="def test_no():\n    pass\n"
    )
    return pytester
