"""The score for noticing: its table, its changes, and that what it wrote adds up."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.mutants import (
    BEGIN,
    END,
    LOOKS,
    PAGE,
    Row,
    line,
    new_seeds,
    put_between_markers,
    rate,
)
from benchmarks.mutations import CHANGES, RECIPE, batches, late_wrong_labels, leaked, wrong_labels
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
    from benchmarks.mutations import network
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


def test_labels_are_wrong_from_step_51_on_alone():
    data = batches(late_wrong_labels, examples(), shuffled=False)
    wrong = []
    for x, y in data.make_train():
        labels, true = y.numpy()[:, 0].argmax(axis=-1), x.numpy().ravel() % 10
        wrong.append(int((labels != true).sum()))
    # Six labels in turn, rolled by one, are wrong every one: 6 of 32 are 19 %.
    assert wrong == [0] * 50 + [6] * 50


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


def test_the_documents_totals_are_those_of_its_rows():
    text = Path(PAGE).read_text().split(BEGIN)[1].split(END)[0]
    parts = re.split(r"^\*\*(.+)\*\*$", text, flags=re.MULTILINE)[1:]
    told = dict(zip(parts[::2], parts[1::2], strict=True))
    changes = {
        "Harmful changes": [change for change in HARMFUL if not change.kept_back],
        "Those kept back": [change for change in HARMFUL if change.kept_back],
        "Harmless changes": HARMLESS,
    }
    assert list(told) == list(changes)
    for part, words in told.items():
        cells = [
            [c.strip() for c in each.split("|")[1:-1]] for each in words.splitlines() if "|" in each
        ]
        rows = cells[2:]
        names = [f"{c.name} ({c.on})" if c.on != "digits" else c.name for c in changes[part]]
        assert [row[0] for row in rows] == names
        counted = Counter(row[1] for row in rows)
        red, yellow = counted["red"], counted["yellow"]
        paired = sum(count for seen, count in counted.items() if seen.endswith("seed by seed"))
        if part == "Harmless changes":
            known = rate(counted["no: unchanged"], len(rows))
            reds = sum("red" in row[1].split(", ")[0] for row in rows)
            assert f"- red: {rate(reds, len(rows))}" in words
            assert f"- unchanged, known from one training of 50 steps: {known}" in words
            continue
        assert (
            f"- seen between samples: {rate(red + yellow, len(rows))}, red {red} and yellow {yellow}"
            in words
        )
        assert f"seed by seed: {rate(red + yellow + paired, len(rows))}" in words
        assert f"fails: {rate(sum(row[4] == 'fails' for row in rows), len(rows))}" in words
        late = [row for row, change in zip(rows, changes[part], strict=True) if change.late]
        seen = sum(row[1] in ("red", "yellow") for row in late)
        assert f"after step 50 alone: {rate(seen, len(late))}" in words
