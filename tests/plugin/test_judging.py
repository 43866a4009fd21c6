"""The fixture's object by itself: functions judged in whatever framework, here none."""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.plugin.judging import Convergence
from deepcaptcha.plugin.marker import read_marker
from deepcaptcha.trials.draws import SAME_START
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.baseline import read_baseline
from deepcaptcha.verdicts.claim import Budget
from tests.helpers import FROZEN, hidden_softmax, points, source_of

MARKER = {"target": 0.9, "epochs": 5, "p_good": 0.9, "p_bad": 0.1}


def learns(seed):
    for epoch in itertools.count(1):
        yield {"val_accuracy": epoch / 4, "loss": 1 / epoch}


def guesses(seed):
    while True:
        yield {"val_accuracy": 0.1}


def loses_only(seed):
    yield {"loss": 0.5}


@pytest.fixture
def ask(tmp_path):
    """A function that makes a `convergence` fixture's object, and the evidence it reports."""
    reported = []

    def make(jobs=None, record=False, **marker):
        declared = read_marker((), {**MARKER, **marker})
        runner = runners.enter_context(Runner(tmp_path / "ledger", jobs=jobs))
        test = "test_it.py::test"
        return Convergence(
            Budget(1),
            7,
            runner,
            reported.append,
            f"pytest {test}",
            declared,
            record,
            test,
            tell=make.told.append,
            reuse="any",
        )

    with ExitStack() as runners:
        make.reported = reported
        make.told = []
        make.ledger = tmp_path / "ledger"
        yield make


def test_a_function_that_trains_passes(ask):
    ask().check_training(learns)
    (evidence,) = ask.reported
    # At 0.9 / 0.1 within 0.05 / 0.05: one success has a chance of 0.1 if all is ill, two of 0.01.
    assert (evidence.name, evidence.verdicts[0].colour) == ("learns", "green")
    assert (evidence.verdicts[0].successes, evidence.verdicts[0].trials) == (2, 2)
    assert not evidence.red
    trials = read_ledger(ask.ledger).trials
    assert [trial.seed for trial in trials] == [7, 8]
    assert {(trial.outcome, trial.epochs_to_target, len(trial.epochs)) for trial in trials} == {
        ("converged", 4, 4)
    }


def test_a_function_that_does_not_train_fails_with_what_is_seen(ask):
    with pytest.raises(pytest.fail.Exception) as failure:
        ask(chance=0.1).check_training(guesses, name="mine")
    message = str(failure.value)
    assert message.startswith(
        "mine is claimed 'trains' in at least 90 % of trainings; 0 of 2 trials"
    )
    assert "The target, val_accuracy >= 0.9 within 5 epochs, was missed: stuck 2." in message
    assert "One of them again: pytest test_it.py::test --convergence-seed 7" in message
    assert ask.reported[0].red


def test_a_generator_is_closed_once_the_target_is_met(ask):
    closed = []

    def train(seed):
        try:
            yield from learns(seed)
        finally:
            closed.append(seed)

    ask().check_training(train)
    assert closed == [7, 8]


def test_a_mapping_of_the_whole_training_is_enough(ask):
    ask(monitor="score", mode="max", epochs=1).check_training(
        lambda seed: {"score": np.float32(0.95)}, version="1"
    )
    assert {trial.identity["version"] for trial in read_ledger(ask.ledger).trials} == {"1"}
    assert ask.reported[0].verdicts[0].colour == "green"


@pytest.mark.parametrize(
    ("train", "marker", "words"),
    [
        (
            loses_only,
            {},
            "the target is on 'val_accuracy', which loses_only does not yield; it yields loss",
        ),
        (
            lambda seed: {"val_acc": 1.0, "loss": 0.1, "val_loss": 0.2},
            {},
            "the target is on 'val_accuracy', which <lambda> does not yield (did you mean 'val_acc'?); "
            "it yields val_acc, loss, val_loss",
        ),
        (lambda seed: iter([0.5]), {}, "<lambda> yields 0.5; a mapping of metrics, such as"),
        (lambda seed: 0.5, {}, "train returned 0.5; a mapping of metrics, or a generator of them"),
        (lambda seed: iter([]), {}, "<lambda> yields no metrics; a mapping after each epoch"),
        (lambda x, y: {}, {}, "<lambda> cannot be called with a seed alone"),
        (None, {}, "train is None; a function of a seed is needed"),
        (learns, {"batch": 16}, "a function has its own batches; leave batch out of the marker"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_test(ask, train, marker, words):
    with pytest.raises(pytest.fail.Exception) as failure:
        ask(**marker).check_training(train)
    assert str(failure.value).startswith(words)
    assert "\n" not in str(failure.value)
    assert not ask.reported


def test_data_in_their_place_instead_of_by_name_are_told(ask):
    with pytest.raises(pytest.fail.Exception) as failure:
        ask().check(learns, ([1.0], [1]), ([1.0], [1]))
    assert str(failure.value) == (
        "check takes its data by name: convergence.check(build_model, train=(x, y), "
        "validation=(x_validation, y_validation))"
    )


def test_a_marker_without_claim_or_target_is_told(ask):
    bare = Convergence(Budget(1), 7, ask().runner, ask.reported.append, "pytest")
    with pytest.raises(pytest.fail.Exception, match=r"^the marker claims nothing; write pytest"):
        bare.check_training(learns)
    with pytest.raises(pytest.fail.Exception, match=r"^the marker claims nothing; write pytest"):
        bare.judge(FunctionSource(learns, Target()))
    claims = read_marker((), {"p_good": 0.9, "p_bad": 0.1, "hypotheses": 2})
    without = Convergence(Budget(1), 7, ask().runner, ask.reported.append, "pytest", claims)
    with pytest.raises(
        pytest.fail.Exception, match=r"^nothing says target and epochs, so that learns"
    ):
        without.check_training(learns)
    without.judge(FunctionSource(learns, Target(0.9, 5)))  # the source has its own
    assert ask.reported[0].verdicts[0].colour == "green"


def test_an_error_of_the_training_itself_is_raised_as_it_is(ask):
    def train(seed):
        raise ZeroDivisionError("of its own")

    with pytest.raises(ZeroDivisionError, match="of its own"):
        ask().check_training(train)


def test_a_baseline_is_written_then_compared_with(ask, tmp_path):
    folder = tmp_path / "baselines"
    with pytest.raises(pytest.fail.Exception, match=r"^learns had no baseline; it is"):
        ask(hypotheses=3, rows=1).check_training(learns, baselines=folder)
    ask(hypotheses=3, rows=1).check_training(learns, baselines=folder)
    assert [verdict.hypothesis for verdict in ask.reported[0].verdicts] == [
        "trains",
        "as reliable",
        "as before",
    ]

    def slower(seed):
        yield {"val_accuracy": 0.0, "loss": 1}
        yield from learns(seed)

    slow = FunctionSource(slower, Target(0.9, 5), "learns")
    with pytest.raises(pytest.fail.Exception, match="does not train as its baseline did"):
        ask(hypotheses=3, rows=1).judge(slow, baselines=folder)

    def faster(seed):
        yield {"val_accuracy": 0.95, "loss": 1 / 4}

    fast = FunctionSource(faster, Target(0.9, 5), "learns")
    ask(hypotheses=3, rows=1).judge(fast, baselines=folder)
    assert ask.reported[2].colour == "yellow"
    with pytest.raises(pytest.fail.Exception, match="does not train as its baseline did: better"):
        replace(ask(hypotheses=3, rows=1), strict=True).judge(fast, baselines=folder)
    ask(record=True, hypotheses=3, rows=1).check_training(learns, baselines=folder)
    assert len(ask.reported) == 4


def test_a_damaged_baseline_is_told_before_a_new_one_is_trained(ask, tmp_path):
    folder = tmp_path / "baselines"
    ask(record=True, hypotheses=3, rows=1).check_training(learns, baselines=folder)
    (path,) = folder.rglob("learns.json")
    path.write_text(path.read_text().replace("converged", "stuck"))
    damaged, trained = path.read_text(), len(list(ask.ledger.iterdir()))
    with pytest.raises(pytest.fail.Exception, match="restore it, or remove it and record it anew"):
        ask(record=True, hypotheses=3, rows=1).check_training(learns, baselines=folder)
    assert (path.read_text(), len(list(ask.ledger.iterdir()))) == (damaged, trained)
    path.unlink()
    ask(record=True, hypotheses=3, rows=1).check_training(learns, baselines=folder)
    assert read_baseline(folder, "learns", "own-training").outcomes == ("converged",) * 30


def ignores_its_seed(seed):
    yield {"val_accuracy": 0.5, "loss": 0.1 * 3**0.5}


def test_the_same_metrics_under_two_seeds_are_refused(ask):
    with pytest.raises(pytest.fail.Exception) as failure:
        ask().check_training(ignores_its_seed)
    assert str(failure.value) == (
        "ignores_its_seed gave the very same metrics under seeds 7 and 8 "
        f"(val_accuracy 0.5, loss {0.1 * 3**0.5!r} after epoch 1), so that its trials are no draws: "
        "whatever is random in it must follow from its argument"
    )
    assert not ask.reported


def test_a_training_that_does_not_repeat_itself_gets_no_baseline(ask, tmp_path):
    count = itertools.count(1)

    def train(seed):
        return {"val_accuracy": 0.95, "loss": 1 / next(count)}

    with pytest.raises(pytest.fail.Exception) as failure:
        ask(hypotheses=3, rows=1).check_training(train, version="1", baselines=tmp_path / "records")
    # Thirty trials, and the first of them again: 1 / 31.
    message = str(failure.value)
    assert message.startswith(
        "train does not repeat itself, as a baseline needs: seed 1000000 again gave "
        "loss after epoch 1: 0.0322581, recorded 1 (-0.968);"
    )
    assert "\n" not in message
    assert not (tmp_path / "records").exists()


def trained(ask):
    return sum(len(path.read_text().splitlines()) - 1 for path in ask.ledger.glob("*.jsonl"))


def test_trials_of_the_same_code_are_reused_and_of_other_code_are_not(ask):
    def rated(rate):
        def train(seed):
            yield {"val_accuracy": 0.95, "loss": rate / (seed + 1)}

        return train

    for rate, lines in ((1.0, 2), (1.0, 2), (2.0, 4), (1.0, 4)):
        ask().check_training(rated(rate))
        assert trained(ask) == lines
    assert ask.reported[0].identified == ask.reported[1].identified != ask.reported[2].identified
    assert ask.reported[0].identified.endswith(": 1 function")
    assert not ask.told


def test_code_without_a_digest_is_trained_anew_and_says_so(ask, tmp_path):
    with open(tmp_path / "data", "w") as handle:

        def train(seed):
            yield {"val_accuracy": 0.95, "loss": float(handle.tell())}

        for lines in (2, 4):
            ask().check_training(train)
            assert trained(ask) == lines
        assert ask.told[0] == (
            "train is trained anew: train: handle (_io.TextIOWrapper) has no digest; give the code a "
            "version, version=..., of your own."
        )
        for _ in range(2):
            ask().check_training(train, version="1")
            assert trained(ask) == 6
    assert len(ask.told) == 2


def test_without_a_target_true_and_false_are_judged(ask):
    claim = read_marker((), {"p_good": 0.9, "p_bad": 0.1})
    replace(ask(), declared=claim).check_training(lambda seed: seed < 100, name="small")
    assert ask.reported[0].colour == "green"
    with pytest.raises(pytest.fail.Exception) as failure:
        replace(ask(), declared=claim).check_training(lambda seed: seed > 100, name="large")
    assert "The target, answer >= 1 within 1 epochs, was missed: slow 2." in str(failure.value)


def test_workers_give_the_same_evidence(ask):
    """Trials that were begun ahead and not needed are no evidence, and what a mistake left running
    meets no later verdict."""
    here, there = ask(hypotheses=2), ask(2, hypotheses=3)
    with pytest.raises(pytest.fail.Exception, match="which loses_only does not yield"):
        there.check_training(loses_only)
    for convergence, version in (here, "here"), (there, "there"):
        convergence.check_training(learns, version=version)
        with pytest.raises(pytest.fail.Exception, match=r"^guesses is claimed"):
            convergence.check_training(guesses, version=version)
    verdicts = [evidence.verdicts for evidence in ask.reported]
    assert verdicts[:2] == verdicts[2:]
    assert [len(evidence.trials) for evidence in ask.reported] == [2, 2, 2, 2]
    trials = read_ledger(ask.ledger).trials
    assert {trial.name for trial in trials} == {"learns", "guesses"}
    assert [trial.identity["version"] for trial in trials].count("here") == 4


@dataclass(frozen=True)
class Uncheckable:
    """A source whose model cannot be had; everything else is the function's."""

    trained: FunctionSource
    error: Exception
    length: tuple[int, int] = (32, 5)

    def __getattr__(self, name):
        return getattr(self.trained, name)

    def start(self, seed):
        raise self.error


@pytest.mark.integration
def test_a_red_test_says_first_what_the_check_holds_against_the_model(ask):
    source = source_of(hidden_softmax, FROZEN, points(), name="mine")
    with pytest.raises(pytest.fail.Exception) as failure:
        ask(hypotheses=2).judge(source)
    lines = [line for line in str(failure.value).splitlines() if not line.startswith("  ")]
    target = next(i for i, line in enumerate(lines) if line.startswith("The target, "))
    *checked, clipped, start, repair, again = lines[target + 1 :]
    assert "check, lost examples" in [line.split(":")[0] for line in checked]
    assert all(line.startswith("check, ") for line in checked)
    assert clipped.startswith("clipped, 2 of 2 that missed the target: ")
    assert start == f"A{SAME_START[1:]}."  # which its factory sets
    assert repair == (
        "Which change repairs it: pytest test_it.py::test --convergence-seed 7 --convergence-repair"
    )
    assert again == "One of them again: pytest test_it.py::test --convergence-seed 7"
    (evidence,) = ask.reported  # what the page, JUnit and JSON tell of
    *checked, clipped = evidence.symptoms
    assert len(checked) == len(lines) - target - 5
    assert any("from_logits" in line for line in checked)
    assert "from_logits" not in clipped


@pytest.mark.integration
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("the model is not at home"), "the model is not at home"),
        (AssertionError("odd width"), "odd width"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_check_that_cannot_be_run_is_a_line(ask, error, words):
    source = Uncheckable(FunctionSource(guesses, Target(0.9, 5, chance=0.1)), error)
    with pytest.raises(pytest.fail.Exception) as failure:
        ask().judge(source)
    assert f"check before training could not be run: {words}." in str(failure.value)
    assert "frozen, 2 of 2 that missed the target" in str(failure.value)
    (evidence,) = ask.reported
    assert evidence.red
