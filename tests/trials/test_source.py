"""Trials of any function; every expected outcome follows from the history by hand."""

from functools import partial

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials.source import ANSWER, FunctionSource, function_name, machine
from deepcaptcha.trials.trial import Target, Trial

NAN = float("nan")


def target(value=0.9, epochs=3, monitor="accuracy", mode="max", chance=0.1):
    return Target(value, epochs, monitor, mode, chance)


def yielding(*values, monitor="accuracy", **others):
    """A source whose training shows these values of its monitor, epoch by epoch."""

    def train(seed):
        for place, value in enumerate(values):
            yield {monitor: value, **{name: series[place] for name, series in others.items()}}

    return train


def trial_of(train, **fields):
    return FunctionSource(train, target(**fields)).run(0)


def test_a_generator_is_closed_once_the_target_is_met():
    seen = []

    def train(seed):
        try:
            for epoch in range(10):
                seen.append(epoch)
                yield {"accuracy": 0.5 + 0.2 * epoch, "loss": seed}
        finally:
            seen.append("closed")

    trial = FunctionSource(train, target(epochs=8)).run(7)
    assert seen == [0, 1, 2, "closed"]
    assert (trial.outcome, trial.stop_reason, trial.epochs_to_target) == ("converged", "target", 3)
    assert [dict(epoch.metrics) for epoch in trial.epochs] == [
        {"accuracy": 0.5, "loss": 7},
        {"accuracy": 0.7, "loss": 7},
        {"accuracy": 0.9, "loss": 7},
    ]
    assert (trial.name, trial.recipe, trial.seed) == ("train", "own-training", 7)
    assert Trial.from_dict(trial.as_dict()) == trial
    seen.clear()
    trial = FunctionSource(train, target(value=1.0, epochs=2)).run(0)
    assert seen == [0, 1, "closed"]
    assert (trial.outcome, trial.stop_reason, trial.ended_early) == ("slow", "epochs", False)


def test_a_generator_is_closed_also_when_what_it_yields_is_refused():
    closed = []

    def train(seed):
        try:
            yield {"loss": 1}
        finally:
            closed.append(seed)

    with pytest.raises(InputError):
        trial_of(train)
    assert closed == [0]


def test_one_mapping_may_tell_of_the_whole_training():
    trial = trial_of(lambda seed: {"accuracy": 0.95})
    assert (trial.outcome, trial.epochs_to_target, len(trial.epochs)) == ("converged", 1, 1)
    assert trial_of(lambda seed: [{"accuracy": 0.5}, {"accuracy": 0.95}]).epochs_to_target == 2


@pytest.mark.parametrize(
    ("train", "fields", "outcome"),
    [
        # A quarter of the way from 0.1 to 0.9 is 0.3.
        (yielding(0.1, 0.29, 0.2), {}, "stuck"),
        (yielding(0.1, 0.31, 0.1), {}, "slow"),
        (yielding(0.2, 0.2, 0.2), {"chance": None}, "stuck"),
        (yielding(0.2, 0.2, 0.25), {"chance": None}, "slow"),
        (yielding(0.2), {"chance": None}, "slow"),
        (yielding(0.5, 0.8, loss=(1.0, NAN)), {}, "diverged"),
        (yielding(0.5, 0.95, loss=(1.0, NAN)), {}, "converged"),
        (yielding(NAN, NAN, NAN), {}, "diverged"),
        (yielding(0.5, NAN, 0.6), {}, "slow"),
        (yielding(0.5, float("inf"), monitor="loss"), {"monitor": "loss"}, "diverged"),
        # From 2 down to 1, a quarter of the way is 1.75.
        *(
            (
                yielding(2.0, last, 1.9, monitor="loss"),
                {"value": 1.0, "monitor": "loss", "mode": "min", "chance": 2.0},
                outcome,
            )
            for last, outcome in ((1.8, "stuck"), (1.7, "slow"), (1.0, "converged"))
        ),
    ],
)
def test_the_outcome_follows_from_the_history(train, fields, outcome):
    assert trial_of(train, **fields).outcome == outcome


def test_numbers_of_other_libraries_are_plain_numbers_and_none_where_not_finite():
    trial = trial_of(yielding(np.float32(0.5), np.array(0.25), 1, loss=(np.nan, 2, np.int64(3))))
    assert [dict(epoch.metrics) for epoch in trial.epochs] == [
        {"accuracy": 0.5, "loss": None},
        {"accuracy": 0.25, "loss": 2.0},
        {"accuracy": 1.0, "loss": 3.0},
    ]
    assert {type(v) for e in trial.epochs for v in e.metrics.values()} == {float, type(None)}


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (lambda seed: 0.9, "train returned 0.9; a mapping of metrics, or a generator"),
        (lambda seed: None, "train returned None; a mapping"),
        (lambda seed: "accuracy", "train returned 'accuracy'; a mapping"),
        (
            lambda seed: [0.9],
            "<lambda> yields 0.9; a mapping of metrics, such as {'accuracy': 0.9}",
        ),
        (lambda seed: [], "<lambda> yields no metrics; a mapping after each epoch is needed"),
        (
            lambda seed: {"loss": 1.0, "acc": 0.9},
            "the target is on 'accuracy', which <lambda> does not yield; it yields loss, acc",
        ),
        (
            lambda seed: {"accuracy": "high"},
            "<lambda> yields 'accuracy': 'high'; a number is needed",
        ),
        (lambda seed: {"accuracy": None}, "<lambda> yields 'accuracy': None; a number is needed"),
    ],
)
def test_what_is_no_history_is_one_clear_line(train, words):
    with pytest.raises(InputError) as error:
        trial_of(train)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (3, "train is 3; a function of a seed is needed"),
        (
            lambda: None,
            "<lambda> cannot be called with a seed alone (too many positional arguments)",
        ),
        (lambda seed, rate: {}, "missing a required argument: 'rate'); wrap it with functools.par"),
    ],
)
def test_what_cannot_be_called_with_a_seed_is_refused_at_once(train, words):
    with pytest.raises(InputError) as error:
        FunctionSource(train, target())
    assert words in str(error.value)


def test_a_prefix_is_another_trial():
    source = FunctionSource(yielding(0.2, 0.4, 0.6), target())
    whole, prefix = source.run(0), source.run(0, steps=2)
    assert (prefix.stop_reason, prefix.epochs) == ("steps", whole.epochs[:2])
    assert prefix.identity == {**whole.identity, "steps": 2}
    assert source.run(0, steps=3).stop_reason == "epochs"  # it is the whole
    assert source.run(0, steps=9).identity == whole.identity
    assert len(source.run(0, steps=0).epochs) == 1
    met = FunctionSource(yielding(0.2, 0.95, 0.6), target()).run(0, steps=2)
    assert (met.stop_reason, met.outcome) == ("target", "converged")


def scaled(seed, rate=1.0):
    return {"accuracy": rate * seed}


def other(seed, rate=1.0):
    return {"accuracy": rate * seed + 1}


class Learner:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, seed):
        return {"accuracy": self.rate * seed}


def identity(train, seed=0, name="mine", version=None, **fields):
    return FunctionSource(train, target(**fields), name, version).identity(seed)


def test_an_identity_holds_code_target_seed_and_machine():
    found = identity(scaled, 5)
    assert found["recipe"] == {
        "name": "own-training",
        "target": 0.9,
        "epochs": 3,
        "monitor": "accuracy",
        "mode": "max",
        "chance": 0.1,
    }
    assert (found["seed"], found["environment"]) == (5, machine())
    assert len(found["code"]) == 12
    assert found == identity(scaled, 5)
    others = [identity(scaled, 6), identity(other, 5), identity(scaled, 5, epochs=4)]
    assert all(found != changed for changed in others)


def test_code_without_a_digest_makes_every_source_another(tmp_path):
    with open(tmp_path / "data", "w") as handle:

        def train(seed):
            return {"accuracy": float(handle.tell())}

        sources = [FunctionSource(train, target()) for _ in range(2)]
        one, other = (source.identity(0) for source in sources)
    assert one["code"] != other["code"]
    assert one == sources[0].identity(0)
    assert (
        "train: handle (_io.TextIOWrapper) has no digest; give the code" in sources[0].why_not_again
    )
    assert not FunctionSource(train, target(), version="1").why_not_again


def test_a_source_says_what_its_trials_are_known_by():
    assert FunctionSource(scaled, target(), version="3").identified == "version '3'"
    known = FunctionSource(partial(scaled, rate=np.ones(50_000)), target())
    assert known.identified == f"code {known.code}: 1 function and 1 array of 0.4 MB"
    assert known.environment["numpy"] == np.__version__


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), np.array(1.0) > 0], ids=["bool", "NumPy's", "an array's"]
)
def test_true_and_false_are_an_answer(value):
    for train in (lambda seed: value, lambda seed: [value], lambda seed: iter([value])):
        trial = FunctionSource(train, ANSWER).run(0)
        assert (trial.outcome, dict(trial.epochs[0].metrics)) == ("converged", {"answer": 1.0})
    assert FunctionSource(lambda seed: not value, ANSWER).run(0).outcome == "slow"
    assert trial_of(lambda seed: value).outcome == "converged"


@pytest.mark.parametrize(
    ("train", "fields", "words"),
    [
        (
            lambda seed: True,
            {"value": 0.1, "monitor": "loss", "mode": "min"},
            "<lambda> answers True, which is no number for the target loss <= 0.1 within 3 epochs",
        ),
        (
            lambda seed: {"accuracy": 1.0},
            {"value": 1.0, "epochs": 1, "monitor": "answer", "chance": None},
            "nothing says target and epochs, so that <lambda> is to answer True or False, and it gives "
            "{'accuracy': 1.0}",
        ),
    ],
)
def test_an_answer_that_does_not_fit_is_one_clear_line(train, fields, words):
    with pytest.raises(InputError) as error:
        trial_of(train, **fields)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


WEIGHTS, DRAW = np.zeros(2), np.random.default_rng(0)


def goes_on(seed):
    WEIGHTS[0] += seed
    return {"accuracy": WEIGHTS[0]}


def draws_on(seed):
    return {"accuracy": DRAW.random()}


@pytest.mark.parametrize(("train", "what"), [(goes_on, "WEIGHTS"), (draws_on, "DRAW")])
def test_a_trial_that_would_begin_where_another_ended_is_refused(train, what):
    source = FunctionSource(train, target())
    with pytest.raises(InputError) as error:
        source.run(1)
    assert str(error.value).startswith(
        f"the training changed what it begins from ({source.name}: {what}), so that the next trial"
    )


def test_a_version_stands_for_the_code():
    one, same, another = (
        identity(scaled, version="1"),
        identity(other, version="1"),
        identity(scaled, version="2"),
    )
    assert "code" not in one
    assert one["version"] == "1"
    assert {**one, "factory": ""} == {**same, "factory": ""} != {**another, "factory": ""}


def test_names():
    assert function_name(partial(partial(scaled, 1), 2)) == "scaled"
    assert function_name(Learner(1.0)) == "Learner"
    assert FunctionSource(Learner(1.0), target()).name == "Learner"
    assert FunctionSource(scaled, target(), "mine").name == "mine"


@pytest.mark.parametrize("fields", [{"version": 2}, {"name": 5}])
def test_a_name_and_a_version_are_texts(fields):
    with pytest.raises(InputError, match=r"is [25]; a text is needed"):
        FunctionSource(yielding(0.9), target(), **fields)


def test_a_number_beyond_all_floats_is_one_line():
    with pytest.raises(InputError, match=r"yields 'accuracy': 1000.*; a number is needed"):
        trial_of(yielding(10**400))
