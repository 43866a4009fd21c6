"""The search and what it says, with trainings that are only pretended."""

import json
from dataclasses import replace

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.finding import Finding
from deepcaptcha.keras.backend import keras
from deepcaptcha.repairs.candidates import candidates
from deepcaptcha.repairs.case import Case
from deepcaptcha.repairs.measure import MONITOR
from deepcaptcha.repairs.result import repair_lines
from deepcaptcha.repairs.search import APART, repair
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.claim import Claim
from tests.helpers import make_trial
from tests.repairs.models import dense, examples, one_hot, pixels, source, turns

CLAIM = Claim("trains", 0.9, 0.1)
L = keras.layers
BUILD = dense(L.Dense(5, "relu"), L.Dense(3, "softmax"), loss="mse")
DATA = examples(pixels(), one_hot(turns()))
RANGE, LOSS, CLIP = "inputs by range", "loss that fits", "gradients clipped"


class Pretended:
    """Runs trials whose outcome `trains(names of the changes, seed)` says."""

    def __init__(self, trains):
        self.trains, self.run_trials = trains, []

    def __call__(self, source, seed, known, steps):
        names = tuple(source.recipe.split(" + ")[1:])
        self.run_trials.append((names, seed))
        met = self.trains(names, seed)
        value = 0.95 if met else 0.3
        trial = make_trial(seed, source.name, "converged" if met else "stuck")
        identity = {"recipe": {"name": source.recipe, **source.target.as_dict()}, "seed": seed}
        epochs = (Epoch({source.target.monitor: value}),)
        return replace(trial, recipe=source.recipe, epochs=epochs, identity=identity)


def search(trains, **settings):
    pretended = Pretended(trains)
    settings = {"claim": CLAIM, "max_trials": 80, **settings}
    found = repair(source(BUILD, DATA), runner=Runner(run=pretended), **settings)
    json.dumps(found.as_dict(), allow_nan=False)
    return found, pretended.run_trials


def test_the_change_that_trains_is_shown_on_fresh_seeds():
    found, run = search(lambda names, seed: RANGE in names)
    assert found.shown
    assert found.cause
    shown = found.found
    assert shown.names == (RANGE,)
    assert shown.components == ("data",)
    assert shown.converged == shown.trials
    assert (shown.unrepaired, shown.unrepaired_trials) == (0, shown.trials)
    # All successes at the plan's first stop: the lower limit is Clopper's and Pearson's.
    assert shown.interval[0] == pytest.approx(0.025 ** (1 / shown.trials), rel=1e-3)
    assert shown.interval[1] == 1
    fresh = {seed for names, seed in run if names == (RANGE,)} - {0, 1, 2}
    assert fresh == {APART + i for i in range(shown.trials)}
    assert len(run) == len(set(run)) == found.trials  # nothing is trained twice
    lines = repair_lines(found)
    assert lines[0] == (
        "The smallest change that trains layers: inputs divided by 255 "
        f"({shown.trials} of {shown.trials} fresh trainings, 95 % interval "
        f"{int(100 * shown.interval[0])}-100 %); as it is 0 of {shown.trials} on the same seeds."
    ).replace("layers", found.name)
    assert "Cause: the data; no other single change repairs." in lines[1]
    assert lines[-2:] == ["  x_train = x_train / 255", "  x_validation = x_validation / 255"]


def test_the_chance_of_a_wrong_answer_is_shared_by_all_candidates():
    found, _ = search(lambda names, seed: RANGE in names, alpha=0.05)
    tried = len(found.attempts)
    assert found.found.chance <= 0.05 / tried
    # Were its rate p_bad, all its trainings would succeed with less than that.
    assert 0.1**found.found.trials <= found.found.chance


def test_several_that_train_are_alternatives_and_no_cause():
    found, _ = search(lambda names, seed: {RANGE, CLIP} & set(names))
    assert found.shown
    assert not found.cause
    assert [other.names for other in found.alternatives] == [(CLIP,)]
    text = " ".join(repair_lines(found))
    assert "Alternatives that trained" in text
    assert "ause" not in text


def test_two_causes_at_once_are_found_as_a_pair():
    found, _ = search(lambda names, seed: {RANGE, LOSS} <= set(names))
    assert found.shown
    assert found.found.names == (RANGE, LOSS)
    assert found.found.components == ("data", "loss")
    assert found.cause
    assert "Cause: the data and loss; no part of it alone repairs." in repair_lines(found)[1]
    code = found.found.code
    assert "x_train / 255" in code
    assert "CategoricalCrossentropy" in code


def test_a_crash_is_a_row_and_never_the_end():
    def trains(names, seed):
        if CLIP in names:
            raise RuntimeError("out of luck\nand more")
        return "leaky_relu" in names

    found, _ = search(trains)
    assert found.shown
    assert found.found.names == ("leaky_relu",)
    (failed,) = [attempt for attempt in found.attempts if attempt.failed]
    assert (failed.names, failed.failed, failed.trials) == ((CLIP,), "out of luck and more", 0)
    assert "Failed: gradients clipped: out of luck and more." in repair_lines(found)


class Loud(L.Dense):
    """Says once more that it cannot be copied, but not while it is built."""

    loud = False

    def get_config(self):
        if Loud.loud:
            raise RuntimeError("not now\nnor ever")
        return super().get_config()


def test_what_raises_while_it_is_looked_at_is_a_row(monkeypatch):
    def build():
        model = keras.Sequential([keras.Input((4,)), Loud(5, "relu"), L.Dense(3, "softmax")])
        model.compile("sgd", "mse", metrics=["accuracy"])
        return model

    case = Case.of(source(build, DATA))
    assert not case.refusal
    assert case.head is not None
    monkeypatch.setattr(Loud, "loud", True)
    failed = [each for each in candidates(case) if each.failed]
    assert {each.failed for each in failed} == {"not now nor ever"}
    assert "initializers" in {each.name for each in failed}


def test_a_model_that_cannot_be_trained_as_it_is_can_be_repaired():
    def trains(names, seed):
        if RANGE not in names:
            raise ValueError("no")
        return True

    found, _ = search(trains)
    assert found.shown
    assert "as it is it cannot be trained: no." in repair_lines(found)[0]


def test_luck_in_the_search_is_not_shown():
    found, _ = search(lambda names, seed: RANGE in names and seed < APART)
    assert not found.shown
    assert RANGE in found.found.names
    assert found.found.converged == 0
    assert "No repair of" in repair_lines(found)[0]
    assert "too few to be shown" in repair_lines(found)[1]


def test_the_budget_is_kept():
    found, run = search(lambda names, seed: False, max_trials=4)
    assert found.trials == len(run) == 4
    assert found.ended == "the budget of 4 trainings is spent"
    assert "4 trainings of at most 4" in repair_lines(found)[-1]
    found, run = search(lambda names, seed: False, minutes=1e-9)
    assert not run
    assert found.ended == "the time for it is spent"


def test_a_small_budget_is_kept_for_the_confirmation():
    found, _ = search(lambda names, seed: RANGE in names, max_trials=14)
    assert found.shown
    assert not found.cause  # not every other change was tried
    assert "ause" not in " ".join(repair_lines(found))


def test_no_cause_is_said_where_only_some_changes_were_tried():
    found, _ = search(lambda names, seed: RANGE in names, only=[RANGE, CLIP])
    assert found.shown
    assert not found.cause
    assert "ause" not in " ".join(repair_lines(found))
    whole, _ = search(lambda names, seed: RANGE in names)
    assert whole.cause
    assert not replace(whole, not_tried=("changes of the data: a pipeline",)).cause
    assert not replace(whole, ended="the time for it is spent").cause


def test_a_budget_that_ends_at_the_acceptance_says_nothing_of_the_model_as_it_is():
    first, _ = search(lambda names, seed: RANGE in names, only=[RANGE])
    most = first.trials - first.found.unrepaired_trials
    found, _ = search(lambda names, seed: RANGE in names, only=[RANGE], max_trials=most)
    assert found.shown
    assert found.found.unrepaired_trials == 0
    assert repair_lines(found)[0].endswith("100 %).")


def test_what_is_known_survives_an_interrupt():
    def trains(names, seed):
        if names == ("learning rate / 10",):
            raise KeyboardInterrupt
        return False

    found, run = search(trains)
    assert found.interrupted
    assert not found.shown
    assert sum(attempt.trials for attempt in found.attempts) == len(run) - 2 > 0


def test_a_model_that_trains_needs_no_repair():
    found, run = search(lambda names, seed: True)
    assert found.trains
    assert not found.attempts
    assert [seed for _, seed in run] == [0, 1, 2]
    assert "nothing to repair" in repair_lines(found)[0]


def test_trials_that_are_known_are_not_run_again():
    known = []
    for seed in (APART, APART + 1):
        trial = make_trial(seed, outcome="stuck")
        identity = {"recipe": {"name": "own-training", **Target(0.9, 2).as_dict()}, "seed": seed}
        known.append(replace(trial, identity=identity))
    found, run = search(lambda names, seed: RANGE in names, known=known)
    assert found.shown
    assert not {((), APART), ((), APART + 1), ((), 0)} & set(run)
    assert found.found.unrepaired_trials == found.found.trials
    # Of another target, they say nothing of this one.
    others = [
        replace(t, identity={**t.identity, "recipe": {**Target(0.5).as_dict(), "name": "x"}})
        for t in known
    ]
    _, run = search(lambda names, seed: RANGE in names, known=others)
    assert ((), APART) in run


def test_findings_say_where_to_begin():
    told = Finding("whatever", "error", 1.0, "told", "optimizer", "fix")
    found, _ = search(lambda names, seed: False, findings=[told], max_trials=3)
    assert found.attempts[0].components == ("optimizer",)


def test_targets_scaled_away_do_not_pass():
    """Targets of 1e-4 meet any MSE: the constant answer has to be beaten as well."""
    y = (1e-4 * np.random.default_rng(0).standard_normal((60, 1))).astype("float32")
    build = dense(L.Dense(1), loss="mse", metrics=["mse"])
    case = Case.of(source(build, examples(pixels(), y), Target(0.01, 2, "val_mse", "min")))
    variance = float(np.var(y[-12:].astype("float64")))
    assert case.target.monitor == MONITOR
    assert case.target.value <= variance * (1 + 1e-6) < 0.01


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(InputError, match="no Keras network"):
        repair(FunctionSource(lambda seed: {"accuracy": 1.0}, Target(0.9, 1, "accuracy")))
    with pytest.raises(InputError, match="minutes is 0"):
        search(lambda names, seed: True, minutes=0)
    with pytest.raises(InputError, match="claim 'stuck'"):
        search(lambda names, seed: True, claim=Claim("stuck", 0.9, 0.5))
    with pytest.raises(InputError, match="a target"):
        repair(BUILD, (DATA.x_train, DATA.y_train), (DATA.x_validation, DATA.y_validation))
    same = examples(pixels(), one_hot(np.zeros(60, int)))
    with pytest.raises(InputError, match="constant answer is perfect"):
        repair(source(BUILD, same), runner=Runner(run=Pretended(lambda names, seed: True)))


def state(*models):
    """All that models and their optimizers know, as numbers."""
    parts = [part for model in models for part in (model, model.optimizer)]
    return [variable.numpy().copy() for part in parts for variable in part.variables]


@pytest.mark.integration
def test_a_small_model_is_repaired_and_nothing_of_the_users_is_touched(tmp_path):
    """Two causes, truly trained: inputs of thousands and a loss without slope."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, size=360)
    x = (4000 + 1000 * (2 * y[:, None] - 1) + 300 * draw.standard_normal((360, 2))).astype(
        "float32"
    )
    parts = (x[:300], y[:300]), (x[300:], y[300:])
    copies = [np.copy(part) for pair in parts for part in pair]

    def build():
        model = keras.Sequential([keras.Input((2,)), L.Dense(1, activation="sigmoid")])
        model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
        return model

    # One that the user has trained, with an optimizer that remembers, and one that is new.
    mine = [build(), build()]
    mine[0].fit(*parts[0], verbose=0)
    states = state(*mine)
    target = Target(0.95, 4)
    settings = {"target": target, "claim": Claim("trains", 0.9, 0.1), "runner": Runner(tmp_path)}
    found = repair(build, *parts, **settings)
    assert found.shown, repair_lines(found)
    assert found.found.components == ("data",)
    for before, after in zip(copies, [p for pair in parts for p in pair], strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in zip(states, state(*mine), strict=True):
        np.testing.assert_array_equal(before, after)
    again = repair(build, *parts, **settings)
    assert again.as_dict() | {"seconds": 0} == found.as_dict() | {"seconds": 0}
    assert list(tmp_path.iterdir())
