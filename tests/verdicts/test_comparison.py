"""Two ledgers side by side."""

import json
import math
from dataclasses import replace

import pytest

from deepcaptcha import InputError
from deepcaptcha.report.words import comparison_table
from deepcaptcha.trials.ledger import LedgerTrials
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.comparison import compare, environments
from tests.verdicts.examples import logged, trial


def ledger(outcomes, start="w", version="2.19.1", weights="aa", name="same"):
    return [
        replace(
            trial(seed, outcome),
            name=name,
            weights_sha256=weights,
            epochs=(),  # outcomes alone
            identity={
                **trial().identity,
                "initial_weights": f"{start}{seed}",
                "environment": {"tensorflow": version},
            },
        )
        for seed, outcome in enumerate(outcomes)
    ]


def rows(before, after, **options):
    return compare(LedgerTrials(tuple(before)), LedgerTrials(tuple(after)), **options)


def test_unpaired_is_fishers_exact_test():
    # Fisher's tea: 3 of 4 against 1 of 4, two-sided p 0.486 (34/70)
    (row,) = rows(
        ledger(["converged"] * 3 + ["stuck"]), ledger(["converged"] + ["stuck"] * 3, weights="bb")
    )
    assert row.p == pytest.approx(34 / 70)
    assert not row.changed
    assert (row.before, row.after, row.common, row.same_bits) == ((3, 4), (1, 4), 4, 0)


def test_paired_counts_only_the_seeds_that_changed():
    before = ledger(["converged"] * 10 + ["stuck"] * 10)
    after = ledger(["stuck"] * 8 + ["converged"] * 2 + ["stuck"] * 10, weights="bb")
    (row,) = rows(before, after, paired=True)
    assert row.paired
    assert row.p == pytest.approx(2 / 2**8)  # eight changes, all one way: the sign test by hand
    assert row.changed
    table = comparison_table([row]).rows
    assert table[0][-1] == "trains less reliably"


def test_pairs_need_equal_initial_weights():
    before, after = ledger(["converged"] * 5), ledger(["stuck"] * 5, start="v")
    (row,) = rows(before, after, paired=True)
    assert not row.paired
    assert row.p == pytest.approx(2 / 252)  # Fisher: 2 / C(10, 5)


def test_identical_ledgers_say_so():
    same = ledger(["converged", "stuck"])
    (row,) = rows(same, same, paired=True)
    assert (row.p, row.same_bits) == (1.0, 2)
    assert comparison_table([row]).rows[0][-1] == "identical"


def test_only_common_rows_are_compared_and_other_tasks_refused():
    assert len(rows(ledger(["stuck"]), ledger(["stuck"]) + ledger(["stuck"], name="valid"))) == 1
    with pytest.raises(InputError, match="no factory and recipe in common"):
        rows(ledger(["stuck"]), ledger(["stuck"], name="valid"))
    other = [replace(t, identity={**t.identity, "data": "e"}) for t in ledger(["stuck"])]
    with pytest.raises(InputError, match="trials differ in their data"):
        rows(ledger(["stuck"]), other)


def test_environments_name_what_differs():
    old, new = (
        LedgerTrials(tuple(ledger(["stuck"]))),
        LedgerTrials(tuple(ledger(["stuck"], version="2.21.0"))),
    )
    assert environments(old, new) == "tensorflow 2.19.1 -> 2.21.0"
    assert environments(old, old) == "the same in both"


def test_a_ledger_of_several_states_is_refused():
    mixed = ledger(["stuck"] * 3) + [
        replace(t, identity={**t.identity, "shapes": [[9]]}) for t in ledger(["stuck"] * 5)[3:]
    ]
    with pytest.raises(InputError, match="trials differ in their shapes"):
        rows(mixed, mixed)
    twice = ledger(["stuck"]) + ledger(["stuck"], version="2.21.0")
    with pytest.raises(InputError, match="seed 0 was trained in several ways"):
        rows(twice, ledger(["stuck"]))
    two = LedgerTrials(tuple(ledger(["stuck"]) + ledger(["stuck", "stuck"], version="2.21.0")[1:]))
    with pytest.raises(InputError, match="trials of several environments"):
        environments(two, two)


def test_trials_without_weights_are_never_paired():
    bare = [
        replace(t, identity={k: v for k, v in t.identity.items() if k != "initial_weights"})
        for t in ledger(["converged", "stuck"])
    ]
    (row,) = rows(bare, bare, paired=True)
    assert not row.paired


LOGGED = {"name": "points", "n_class": 10, **Target().as_dict()}


def with_losses(losses, version="2.19.1"):
    return [
        replace(
            trial(seed, recipe=LOGGED, environment={"tensorflow": version}),
            epochs=(Epoch(logged(0.95, loss)),),
            weights_sha256=version,
        )
        for seed, loss in enumerate(losses)
    ]


def test_numbers_are_compared_where_both_ledgers_hold_them():
    before = with_losses([0.46 + place / 1000 for place in range(12)])
    after = with_losses([0.52 + place / 1000 for place in range(12)], "2.21.0")
    (row,) = rows(before, after)
    # All twelve above all twelve: 2 / C(24, 12), by four measures (Holm), and by two hypotheses.
    assert row.numbers_p == pytest.approx(2 * 4 * 2 / math.comb(24, 12))
    assert (row.p, row.changed, row.worse) == (1, True, True)
    cell = comparison_table([row]).rows[0][-1]
    assert cell.startswith("worse in training loss after epoch 1: 0.526, recorded 0.460 to 0.471")
    told = json.loads(json.dumps(row.as_dict(), allow_nan=False))
    assert (told["changed"], told["numbers"][0]["measure"]) == (True, "training loss after epoch 1")
    assert told["numbers"][0]["text"] == row.numbers[0].text
    (other,) = rows(after, before)
    assert (other.changed, other.worse) == (True, False)
    (same,) = rows(before, with_losses([0.465] * 12, "2.21.0"))
    assert not same.changed
    assert comparison_table([same]).rows[0][-1] == f"no change seen (sees {same.sees:.2g} spreads)"
    assert 1 < same.sees < 4
