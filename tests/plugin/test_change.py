"""Harmless changes and a harmful one, against a small network's record, with real trainings."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest

from deepcaptcha.keras.environment import ARITHMETICS
from deepcaptcha.networks.recipes import RECIPES, load_digits
from deepcaptcha.plugin.judging import Convergence
from deepcaptcha.plugin.marker import read_marker
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.seeds import take
from deepcaptcha.trials.worker import workers
from deepcaptcha.verdicts.baseline import make_baseline, read_baseline, write_record
from deepcaptcha.verdicts.claim import Budget, Claim
from deepcaptcha.verdicts.confirm import complete
from deepcaptcha.verdicts.measures import course_of, courses_of, measures_of
from deepcaptcha.verdicts.ruler import shifts_of
from tests.helpers import changed, source_of

pytestmark = pytest.mark.integration

CLAIM = Claim("trains", 0.9, 0.1)
RECIPE = changed(
    RECIPES["sound-subset"],
    n_train=1280,
    n_validation=400,
    epochs=2,
    target=0.99,
    steps_per_execution=20,
)
SEEDS = take("baseline", 24)


def network(names=("hidden", "digits"), unused=0, backwards=False):
    """Two dense layers. Keras draws a layer's seed as it is made."""
    from deepcaptcha.keras.backend import keras

    layers = keras.layers
    for _ in range(unused):
        layers.Dense(3)
    last = layers.Dense(10, "softmax", name=names[1]) if backwards else None
    hidden = layers.Dense(16, "relu", name=names[0])
    last = last or layers.Dense(10, "softmax", name=names[1])
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Reshape((1, 784)), hidden, last])


def in_another_order(**facts):
    """The same examples, which Keras then shuffles into other batches."""
    data = load_digits(**facts)
    return replace(data, x_train=data.x_train[::-1].copy(), y_train=data.y_train[::-1].copy())


def source(recipe=RECIPE, data=None, **arguments):
    return source_of(network, recipe, data, name="row", arguments=arguments, reuse_model=True)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The row's record, with what the ruler says: its own seeds without oneDNN."""
    folder = tmp_path_factory.mktemp("baselines")
    made = make_baseline([source().run(seed) for seed in SEEDS])
    made = complete(made, None, lambda seed, steps: source().run(seed, steps=steps))
    courses = courses_of(made)
    measures = measures_of(courses, RECIPE.target, 0.1)
    executors = partial(workers, 1, 120, ARITHMETICS["oneDNN off"])
    with Runner(executors=executors) as runner:
        trials = runner.run_all((source(), seed) for seed in SEEDS[:4])
    assert trials[0].identity["environment"]["onednn"] is False
    assert trials[0].weights_sha256[:12] != made.weights[0]  # it is another arithmetic
    again = [course_of(trial) for trial in trials]
    assert all(course.is_paired_with(again[0]) for course in courses[:1])
    shifts = shifts_of("oneDNN off", f"{made.recipe['name']} row", measures, courses, again)
    write_record(folder, replace(made, ruler=tuple(shift.as_dict() for shift in shifts)))
    return folder


def confirmed(folder, source, **options):
    reported = []
    with ExitStack() as stack:
        runner = stack.enter_context(Runner())
        declared = read_marker((), {"hypotheses": 3, "rows": 1})
        asked = Convergence(
            Budget(3, rows=1),
            2_000_000,
            runner,
            reported.append,
            "pytest",
            declared,
            confirm=True,
            **options,
        )
        asked.judge(source, CLAIM, baselines=folder)
    return reported[0] if reported else None


def test_renamed_layers_are_unchanged(record):
    assert confirmed(record, source(names=("first", "second"))).unchanged


@pytest.mark.parametrize(
    "change",
    [
        {"backwards": True},  # the same layers, made in another order: other initial draws
        {"unused": 1},
        {"data": in_another_order},
    ],
    ids=["layer order", "unused layer", "shuffle"],
)
def test_a_harmless_refactor_is_never_red(record, change):
    evidence = confirmed(record, source(**change))
    before = evidence.verdicts[-1]
    assert not evidence.unchanged
    assert evidence.colour != "red"
    # One own seed that began otherwise, and new ones as the looks want.
    assert (before.hypothesis, before.colour in ("green", "yellow")) == ("as before", True)
    assert before.trials in (5, 9, 17)


def test_a_learning_rate_times_three_is_seen_by_four_own_seeds(record):
    faster = changed(RECIPE, optimizer_settings={"learning_rate": 0.003})
    evidence = confirmed(record, source(faster))
    before = evidence.verdicts[-1]
    assert (before.colour, before.trials) == ("yellow", 4)  # it learns faster
    assert "better in training loss after epoch 1" in before.note
    assert before.note.endswith("ruler: oneDNN off")
    assert "compared by 4 trainings" in evidence.confirmation
    assert any("learning_rate" in line for line in evidence.changed)


def test_a_refactor_costs_one_accept(record, tmp_path):
    folder = tmp_path / "baselines"
    made = read_baseline(record, "row", RECIPE.name)
    write_record(folder, replace(made, ruler=made.ruler))
    told = []
    other = source(unused=2)
    assert confirmed(folder, other, accept=("row", "a layer less"), tell=told.append) is None
    assert "is accepted, a layer less" in told[0]
    assert confirmed(folder, other).unchanged
    assert read_baseline(folder, "row", RECIPE.name).ruler == made.ruler
