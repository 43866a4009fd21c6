"""The score for noticing: its table, its changes, and that what it wrote adds up."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.mutants.__main__ import PAGE
from benchmarks.mutants.changes import CHANGES, RECIPE
from benchmarks.mutants.judging import LOOKS, new_seeds
from benchmarks.mutants.operators import (
    batches,
    compiled,
    dense_in_halves,
    late_dropout,
    late_wrong_labels,
    leaked,
    network,
    optimizer_forgets,
    units_die,
    weights_restored,
    wrong_labels,
)
from benchmarks.mutants.page import BEGIN, END, Row, line, place, put_between_markers, rate
from deepcaptcha.keras.data import Examples
from deepcaptcha.trials.seeds import STREAMS

HARMFUL = [change for change in CHANGES if not change.harmless]
HARMLESS = [change for change in CHANGES if change.harmless]


def examples(count=3200, seed=0):
    """Pixels that name their row, and labels 0 to 9 in turn."""
    x = np.arange(seed, seed + count, dtype="float32").reshape(count, 1, 1, 1)
    y = np.eye(10, dtype="float32")[np.arange(count) % 10][:, None]
    return Examples(x, y, x[:50] + 10_000, y[:50])


def test_the_table_has_what_was_declared():
    on = Counter(change.on for change in HARMFUL)
    assert on["digits"] >= 40
    assert on["fashion"] == 10
    assert sum(change.late for change in HARMFUL if change.on == "digits") >= 8
    assert 0.15 <= sum(change.kept_back for change in HARMFUL) / len(HARMFUL) <= 0.25
    bits = sum(change.bits for change in HARMLESS)
    assert min(bits, len(HARMLESS) - bits) >= 10
    assert len({(change.name, change.on) for change in CHANGES}) == len(CHANGES)


def test_no_two_changes_read_a_seed_of_one_another_or_of_the_baseline():
    read = [seed for change in CHANGES for seed in new_seeds(change)]
    assert len(read) == len(set(read)) == len(CHANGES) * LOOKS.trials[-1]
    assert set(read) <= set(STREAMS["pull-request"])


def test_the_factory_without_a_change_is_the_networks_own():
    from deepcaptcha.keras.digests import hash_neutral_configuration
    from deepcaptcha.keras.training import compile_model

    source = RECIPE["digits"].source("same")
    digests = set()
    for model in (source.factory(), network()):
        compile_model(model, source.training, source.target, examples(1))
        digests.add(hash_neutral_configuration(model))
    assert len(digests) == 1


def test_a_tenth_of_the_labels_is_wrong_and_none_of_them_right():
    given = examples()
    changed = wrong_labels(0.1, given)
    moved = (changed.y_train != given.y_train).any(axis=(1, 2))
    # 3,200 draws at 0.1: five standard deviations are 85.
    assert abs(moved.sum() - 320) < 85
    assert (changed.y_train.sum(axis=-1) == 1).all()
    assert (changed.x_train == given.x_train).all()


def test_a_leak_puts_the_validation_rows_among_those_that_train():
    changed = leaked(examples())
    assert set(changed.x_validation.ravel()) <= set(changed.x_train.ravel())
    assert (changed.copies.leaked, examples().copies.leaked) == (50, 0)


def test_labels_are_wrong_from_step_51_on_alone():
    data = batches(late_wrong_labels, examples(), shuffled=False)
    wrong = []
    for x, y in data.make_train():
        labels, true = y.numpy()[:, 0].argmax(axis=-1), x.numpy().ravel() % 10
        wrong.append(int((labels != true).sum()))
    # Six labels in turn, rolled by one, are wrong every one: 6 of 32 are 19 %.
    assert wrong == [0] * 50 + [6] * 50


def tell(callbacks, model, step):
    """What a callback hears after so many steps."""
    (callback,) = callbacks
    callback.set_model(model)
    callback.on_train_batch_end(step - 1)


def test_the_training_loops_changes_do_what_they_say():
    model = compiled()
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables:
        variable.assign(np.ones(variable.shape))
    tell(optimizer_forgets(), model, 50)
    # Two moments of each of the 10 weights; the step's number and the learning rate stay.
    assert Counter(float(np.max(v)) for v in model.optimizer.variables) == {0.0: 20, 1.0: 2}

    callbacks, weights = weights_restored(), model.get_weights()
    tell(callbacks, model, 50)
    model.set_weights([weight + 1 for weight in weights])
    tell(callbacks, model, 100)
    assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))

    tell(units_die(), model, 150)
    hidden = model.get_layer("dense1")
    shown = np.maximum(np.random.default_rng(0).random((4, 576)) @ hidden.kernel + hidden.bias, 0)
    assert not shown[:, ::2].any()
    assert shown[:, 1::2].any()


def test_layers_of_changes_do_what_they_say():
    from deepcaptcha.keras.backend import keras

    inputs = keras.Input((100,))
    model, ones = keras.Model(inputs, late_dropout(0.5, inputs)), np.ones((1, 100))
    dropped = [bool((np.asarray(model(ones, training=True)) == 0).any()) for _ in range(52)]
    assert dropped == [False] * 50 + [True] * 2
    assert (np.asarray(model(ones, training=False)) == 1).all()

    layer = dense_in_halves()(3, activation="relu")
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    told = np.asarray(layer(x))
    assert told == pytest.approx(np.maximum(x @ np.asarray(layer.kernel), 0), abs=1e-5)


def test_a_rate_is_told_with_its_exact_interval():
    # Clopper and Pearson for 38 of 40, as R's binom.test has it: 0.831 to 0.994.
    assert rate(38, 40) == "38 of 40 (95 %, 83 to 99 %)"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row("a", "digits", False, True, False, False, colour="red", trainings=8), "| red | 8 |"),
        (
            Row("a", "digits", False, True, False, False, trainings=4, paired="yellow"),
            "| yellow, seed by",
        ),
        (
            Row("a", "digits", False, True, False, False, trainings=4, copies=True),
            "| yellow, by its copies | 4 |",
        ),
        (Row("a", "digits", True, False, False, False, unchanged=True), "| no: unchanged |"),
        (
            Row("a", "fashion", False, True, False, False, refused="why"),
            "| a (fashion) | refused: why |",
        ),
    ],
)
def test_a_row_says_what_was_seen(row, told):
    assert told in line(row)


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{BEGIN}{BEGIN}{END}", f"{END}\n{BEGIN}"])
def test_a_page_without_its_two_markers_is_left_alone(page):
    with pytest.raises(ValueError, match="markers"):
        put_between_markers(page, "new")


def table(words):
    """The cells of its rows."""
    lines = [each for each in words.splitlines() if each.startswith("| ")]
    return [[cell.strip() for cell in each.split("|")[1:-1]] for each in lines[2:]]


def told():
    """What the page says, by part: its changes that are told, its words, its rows."""
    text = Path(PAGE).read_text().split(BEGIN)[1].split(END)[0]
    text, _, lacking = text.partition("Not judged yet: ")
    lacking = lacking.strip().rstrip(".").split("; ")
    _, *parts = re.split(r"^\*\*(.+)\*\*$", text, flags=re.MULTILINE)
    changes = {
        "Harmful changes": [change for change in HARMFUL if not change.kept_back],
        "Those kept back": [change for change in HARMFUL if change.kept_back],
        "Harmless changes": HARMLESS,
    }
    for part, words in zip(parts[::2], parts[1::2], strict=True):
        chosen = [change for change in changes.pop(part) if place(change) not in lacking]
        yield part, chosen, words, table(words)
    assert {place(change) for rest in changes.values() for change in rest} <= set(lacking)


@pytest.mark.parametrize(
    ("part", "changes", "words", "rows"), [*told()], ids=lambda part: str(part)[:8]
)
def test_the_documents_totals_are_those_of_its_rows(part, changes, words, rows):
    assert [row[0] for row in rows] == [place(change) for change in changes]
    count, seen = len(rows), Counter(row[1] for row in rows)
    red, yellow = seen["red"], seen["yellow"]
    later = ("red, seed by seed", "yellow, seed by seed", "yellow, by its copies")
    at_last = sum(seen[words] for words in later)
    if part == "Harmless changes":
        assert f"- red: {rate(red + seen[later[0]], count)}" in words
        assert f"- yellow: {rate(yellow + at_last - seen[later[0]], count)}" in words
        assert f"of 50 steps: {rate(seen['no: unchanged'], count)}" in words
        return
    assert f"{rate(red + yellow, count)}, red {red} and yellow {yellow}" in words
    assert f"copies among the examples: {rate(red + yellow + at_last, count)}" in words
    assert f"fails: {rate(sum(row[4] == 'fails' for row in rows), count)}" in words
    if late := [row[1] for row, change in zip(rows, changes, strict=True) if change.late]:
        assert f"alone: {rate(sum(each in ('red', 'yellow') for each in late), len(late))}" in words
