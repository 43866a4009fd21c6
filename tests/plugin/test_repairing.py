"""What a red test looks for, if asked: a change that repairs its model; trainings are only pretended."""

import json
import os

import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.plugin import summary
from deepcaptcha.plugin.given import GivenSource
from deepcaptcha.plugin.judging import Convergence
from deepcaptcha.plugin.marker import read_marker
from deepcaptcha.plugin.options import read_options
from deepcaptcha.plugin.repairing import RepairBudget, explained, look_for_repair, read_budget
from deepcaptcha.plugin.suite import Count
from deepcaptcha.report.words import verdict_properties
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Budget, Claim, Verdict
from deepcaptcha.verdicts.judge import Evidence, evidence_of
from tests.repairs.test_search import BUILD, DATA, RANGE, Pretended, source

MARKER = {"target": 0.9, "epochs": 2, "p_good": 0.9, "p_bad": 0.1}


def convergence(trains, repair, reported):
    pretended = Pretended(trains)
    declared = read_marker((), MARKER)
    runner = Runner(run=pretended)
    made = Convergence(
        Budget(1), 7, runner, reported.append, "pytest", declared, test="t", repair=repair
    )
    return made, pretended.run_trials


def test_a_red_test_shows_the_repair():
    reported = []
    ask, run = convergence(lambda names, seed: RANGE in names, RepairBudget(80), reported)
    with pytest.raises(pytest.fail.Exception) as failure:
        ask.judge(source(BUILD, DATA))
    message = str(failure.value)
    assert "The smallest change that trains" in message
    assert "x_train = x_train / 255" in message
    assert message.index("was missed") < message.index("The smallest change")
    (evidence,) = reported
    assert dict(verdict_properties(evidence))["convergence.repairs"].startswith("The smallest")
    again = Evidence.from_dict(json.loads(json.dumps(evidence.as_dict())))
    assert again.repairs == evidence.repairs
    # The verdict's own trials stand for the unrepaired model; no seed of a change's is run twice.
    assert len(run) == len(set(run))


def test_a_model_that_cannot_be_made_here_costs_no_verdict():
    def build():
        raise OSError("no such weights")

    pair = (DATA.x_train, DATA.y_train)
    given = GivenSource(build, pair, pair, Target(0.9, 2), "broken")
    lines = look_for_repair(given, None, RepairBudget(3), Runner(), (), 7)
    assert lines == ("No repair could be looked for: no such weights.",)


def test_nothing_is_looked_for_unless_asked_or_where_nothing_is_red():
    reported = []
    ask, run = convergence(lambda names, seed: False, None, reported)
    with pytest.raises(pytest.fail.Exception) as failure:
        ask.judge(source(BUILD, DATA))
    assert "Which change repairs it: pytest --convergence-seed 7 --convergence-repair" in str(
        failure.value
    )
    assert {names for names, _ in run} == {()}
    ask, run = convergence(lambda names, seed: True, RepairBudget(80), reported)
    ask.judge(source(BUILD, DATA))
    assert {names for names, _ in run} == {()}
    assert reported[-1].repairs == ()


def test_of_a_function_it_says_that_it_cannot():
    def guesses(seed):
        while True:
            yield {"accuracy": 0.1}

    reported = []
    declared = read_marker((), {**MARKER, "monitor": "accuracy"})
    with Runner() as runner:
        ask = Convergence(
            Budget(1), 7, runner, reported.append, "p", declared, repair=RepairBudget(9)
        )
        with pytest.raises(pytest.fail.Exception, match="guesses is no Keras network"):
            ask.judge(FunctionSource(guesses, Target(0.9, 2, "accuracy")))


def test_ctrl_c_ends_the_session_and_not_only_the_search():
    def trains(names, seed):
        if names:
            raise KeyboardInterrupt
        return False

    ask, _ = convergence(trains, RepairBudget(80), [])
    with pytest.raises(KeyboardInterrupt):
        ask.judge(source(BUILD, DATA))


def test_a_model_that_cannot_be_made_again_loses_no_verdict():
    def refuses():
        raise AssertionError("odd width")

    reported = []
    ask, _ = convergence(lambda names, seed: False, RepairBudget(9), reported)
    with pytest.raises(pytest.fail.Exception) as failure:
        ask.judge(source(refuses, DATA))
    assert "odd width" in str(failure.value)
    (evidence,) = reported
    assert evidence.red


class Deadly(FunctionSource):
    """Trains here, and ends any other process that it is sent to."""

    start = True

    def __reduce__(self):
        return os._exit, (3,)


def test_a_check_whose_process_dies_costs_no_verdict():
    """For want of memory, say."""
    deadly = Deadly(lambda seed: {"val_accuracy": 0.1}, Target(0.9, 1), "deadly")
    verdicts = [Verdict("trains", "red", 0, 1, (0.0, 1.0))]
    claim = Claim("trains", 0.9, 0.1)
    evidence = evidence_of(deadly, claim, Budget(1), verdicts, [deadly.run(7)])
    with Runner(jobs=1) as runner:
        told = explained(evidence, deadly, [deadly.run(7)], runner, "pytest")
    assert told.red
    assert "a process died while it tried deadly" in told.symptoms[0]


@pytest.mark.parametrize(
    ("text", "budget", "words"),
    [
        ("60", RepairBudget(60), "60 trainings"),
        ("2.5m", RepairBudget(1000, 2.5), "2.5 minutes"),
    ],
)
def test_a_budget_is_trainings_or_minutes(text, budget, words):
    assert read_budget(text) == budget
    assert budget.text == words


@pytest.mark.parametrize("text", ["", "0", "-1", "2.5", "m", "tests/", "nanm"])
def test_no_budget(text):
    with pytest.raises(InputError, match="60, or minutes such as 10m"):
        read_budget(text)


@pytest.mark.parametrize(
    ("words", "budget"),
    [
        ([], None),
        (["--convergence-repair"], RepairBudget(60)),
        (["--convergence-repair=9"], RepairBudget(9)),
    ],
)
def test_the_option_and_the_header(pytester, words, budget):
    config = pytester.parseconfig(*words)
    options = read_options(config)
    assert options.repair == budget
    told, *_ = summary.header(config, options, Count(3), {})
    assert ("a red test looks for a repair" in told) == (budget is not None)
    if budget is not None:
        assert f"in at most {budget.text} each" in told
