"""Small projects that several modules run pytest on, and how they do."""

from tests.helpers import APART

INI = "[pytest]\nconvergence_single_thread = true\n"
GUESSES = """
from pathlib import Path
import pytest
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

HERE = Path(__file__).parent

def guess(seed):
    yield {"val_accuracy": 0.1, "seed": seed}

GUESS = FunctionSource(guess, Target(0.99, epochs=1, chance=0.1), recipe="tiny")

@pytest.mark.convergence
@pytest.mark.parametrize("kind", ["trains", "stuck"])
def test_guesses(kind, convergence):
    convergence.judge(GUESS, Claim(kind, 0.9, 0.2))
"""


# Three hypotheses; each test passes only where the suite's rates are shared among so many.
COUNTED = """
import pytest

@pytest.mark.convergence(hypotheses={0})
def test_shared(convergence):
    assert convergence.budget.hypotheses == 3
"""


def run(pytester, *arguments):
    """pytest in a process of its own."""
    return pytester.runpytest_subprocess(*APART, *arguments)


def here(pytester, *arguments):
    """pytest in this process."""
    return pytester.runpytest_inprocess(*APART, *arguments)
