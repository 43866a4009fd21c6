"""Trials as a verdict asks for them: caps, and what is said meanwhile."""

import itertools
import re

import pytest

from deepcaptcha.plugin.stream import Cap, Progress, Stream
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Budget, CappedError, Claim, Cost, claim_cost, judge_claim

BUDGET = Budget(1)
CLAIM = Claim("trains", 0.9, 0.1)


def learns(seed):
    for epoch in itertools.count(1):
        yield {"val_accuracy": epoch / 4}


SOURCE = FunctionSource(learns, Target(0.9, 5), version="1")


def test_the_least_of_all_caps_counts():
    assert Cap(5).least(Cap(3, 2.0)) == Cap(3, 2.0)
    assert Cap().least(Cap()) == Cap()
    assert Cap(None, 1.0).least(Cap(7, 3.0)) == Cap(7, 1.0)


def test_no_trial_begins_beyond_a_cap():
    with Runner() as runner:
        few = Stream(runner, SOURCE, 7, cap=Cap(trials=2))
        assert [few(index).seed for index in (0, 1)] == [7, 8]
        with pytest.raises(CappedError, match=r"^stopped after 2 trainings$"):
            few(2)
        assert few(1).seed == 8  # what was trained is there
        short = Stream(runner, SOURCE, 7, cap=Cap(minutes=1e-9))
        assert short(0).seed == 7  # one there is in any case
        with pytest.raises(CappedError, match=r"^stopped after 1e-09 minutes$"):
            short(1)


@pytest.mark.integration
def test_what_runs_side_by_side_is_waited_for_at_a_cap():
    with Runner(jobs=3) as runner:
        stream = Stream(runner, SOURCE, 7, cap=Cap(trials=2))
        assert [stream(index).seed for index in (0, 1)] == [7, 8]
        with pytest.raises(CappedError):
            stream(2)
        assert not list(runner.finished())


def test_a_capped_claim_is_undecided_and_says_what_decides_it():
    with Runner() as runner:
        verdict = judge_claim(CLAIM, BUDGET, Stream(runner, SOURCE, 7, cap=Cap(trials=1)))
        mixed = judge_claim(Claim("mixed"), BUDGET, Stream(runner, SOURCE, 7, cap=Cap(trials=3)))
    # At 0.9 / 0.1 within 5 %: two successes in a row decide, as 0.1 ** 2 = 0.01; after one, one more, or
    # as many misses as outweigh it.
    assert (verdict.colour, verdict.successes, verdict.trials) == ("undecided", 1, 1)
    assert verdict.interval == (pytest.approx(0.025), 1)  # half of 1 / 20
    assert verdict.note.startswith("stopped after 1 training; 1 more in a row make it green, ")
    assert (verdict.alpha, verdict.detects) == (None, None)
    assert (mixed.colour, mixed.trials) == ("cannot tell", 3)
    assert mixed.note == "not judged; stopped after 3 trainings"


def test_what_a_verdict_costs():
    cost = claim_cost(CLAIM, BUDGET)
    # By hand: two successes accept; at 0.9 that is 2 trials in 81 % of cases, and more in the others.
    assert 2 < cost.expected < 2.5
    assert cost.expected < cost.most
    assert claim_cost(Claim("mixed"), BUDGET) == Cost(20, 20)


def test_a_terminal_hears_of_each_seed_before_it_trains():
    shown = []
    with Runner() as runner:
        stream = Stream(
            runner, SOURCE, 7, progress=Progress(shown.append, "test_it.py::test", Cost(2, 9))
        )
        stream(0), stream(1)
    assert shown[0] == "test_it.py::test: seed 7; 2 expected, at most 9"
    assert shown[1].startswith("test_it.py::test: seed 8; 1 trained: 1 converged; 2 expected, at ")
    assert re.search(r"; about \d+ s more$", shown[1])
