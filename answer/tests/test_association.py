"""Did a symptom foretell the stuck trials?"""

from dataclasses import replace

import pytest

from answer.association import Predictor, associate
from deepcaptcha.trials.history import PREDICTORS
from tests.trials.test_ledger import make_trial


def measured(name, outcome, share):
    values = {"lost_share": share, "dead_units": None}
    return replace(make_trial(name=name, outcome=outcome), probes={PREDICTORS: [[50, values]]})


def test_trials_are_counted_by_how_they_ended():
    trials = [
        *[measured("a", "stuck", 0.9)] * 3,
        measured("a", "stuck", 0.1),
        *[measured("a", "converged", 0.2)] * 4,
        measured("b", "converged", 0.6),
        measured("a", "slow", 0.9),
        make_trial(name="a", outcome="stuck"),  # not measured
    ]
    share, dead = Predictor("lost_share", 50, 0.5), Predictor("dead_units", 50, 0.5)
    first, second = associate(trials, [share, dead])
    assert (first.stuck, first.converged) == ((3, 4), (1, 5))
    # Stratum a alone counts: Fisher's (3, 1, 0, 4) is 5 / 70; Holm doubles it for two symptoms.
    assert first.p == pytest.approx(2 * 5 / 70)
    assert first.least_p == pytest.approx(5 / 70)
    assert (second.stuck, second.p) == ((0, 0), 1.0)
    assert share.words == "lost share >= 0.5 at step 50"
