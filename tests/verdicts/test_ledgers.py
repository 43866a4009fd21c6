"""Two ledgers side by side."""

import json
import math
import statistics
from dataclasses import replace

import pytest
from scipy.optimize import brentq
from scipy.stats import binom, t

from deepcaptcha import InputError
from deepcaptcha.report.words import comparison_table
from deepcaptcha.trials.ledger import LedgerTrials
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts.ledgers import compare, environments
from tests.verdicts.examples import logged, trial


def ledger(outcomes, start="w", version="2.19.1", weights="aa", name="same", first_loss=2.3):
    return [
        replace(
            trial(seed, outcome),
            name=name,
            weights_sha256=weights,
            first_loss=first_loss,
            epochs=(),  # outcomes alone
            identity={
                **trial().identity,
                "initial_weights": f"{start}{seed}",
                "environment": {"tensorflow": version},
            },
        )
        for seed, outcome in enumerate(outcomes)
    ]


def rows(before, after):
    return compare(LedgerTrials(tuple(before)), LedgerTrials(tuple(after)))


def test_unpaired_is_fishers_exact_test():
    # Fisher's tea: 3 of 4 against 1 of 4, two-sided p 0.486 (34/70)
    (row,) = rows(
        ledger(["converged"] * 3 + ["stuck"]),
        ledger(["converged"] + ["stuck"] * 3, weights="bb", start="v"),
    )
    assert not row.paired
    assert row.p == pytest.approx(34 / 70)
    assert not row.changed
    assert (row.before, row.after, row.common, row.same_bits) == ((3, 4), (1, 4), 4, 0)


def test_paired_counts_only_the_seeds_that_changed():
    before = ledger(["converged"] * 10 + ["stuck"] * 10)
    after = ledger(["stuck"] * 8 + ["converged"] * 2 + ["stuck"] * 10, weights="bb")
    (row,) = rows(before, after)
    assert row.paired
    assert row.p == pytest.approx(2 / 2**8)  # eight changes, all one way: the sign test by hand
    assert row.changed
    table = comparison_table([row]).rows
    assert table[0][-1] == "trains less reliably"


@pytest.mark.parametrize("other", [{"start": "v"}, {"first_loss": 2.31}, {"first_loss": None}])
def test_pairs_need_equal_initial_weights_and_first_losses(other):
    before, after = ledger(["converged"] * 5), ledger(["stuck"] * 5, **other)
    (row,) = rows(before, after)
    assert not row.paired
    assert row.p == pytest.approx(2 / 252)  # Fisher: 2 / C(10, 5)


def test_pairs_need_every_later_seed_among_the_earlier_ones():
    few, many = ledger(["converged"] * 3), ledger(["converged"] * 5, weights="bb")
    assert rows(many, few)[0].paired
    assert not rows(few, many)[0].paired


def test_identical_ledgers_say_so():
    same = ledger(["converged", "stuck"])
    (row,) = rows(same, same)
    assert (row.p, row.same_bits) == (1.0, 2)
    assert comparison_table([row]).rows[0][-1] == "identical"


def test_what_would_have_been_seen_of_a_fall():
    """Paired, six seeds that fall are needed: 2 / 2 ** 6 = 0.031, and 2 / 2 ** 5 is above 0.05. Of ten
    seeds six fall with probability 0.9 where each falls with 0.733 (SciPy's binomial, by bisection)."""
    (row,) = rows(ledger(["converged"] * 10), ledger(["converged"] * 10, weights="bb"))
    fall = brentq(lambda chance: binom.sf(5, 10, chance) - 0.9, 0.1, 0.99)
    assert row.sees_fall == pytest.approx(fall)
    cell = comparison_table([row]).rows[0][-1]
    assert cell == f"no change seen (sees falls of {100 * fall:.0f} points, paired)"
    # Unpaired, 10 of 10 against at most 5 of 10: p 0.033, and 0.087 for 6 (SciPy's fisher_exact).
    (row,) = rows(ledger(["converged"] * 10), ledger(["converged"] * 10, weights="bb", start="v"))
    rate = brentq(lambda rate: binom.cdf(5, 10, rate) - 0.9, 0.01, 0.9)
    assert row.sees_fall == pytest.approx(1 - rate)
    assert row.as_dict()["sees_fall"] == row.sees_fall


def test_paired_rates_are_those_of_the_pairs():
    # Eight of ten fell, by McNemar 2 / 2 ** 8; that the other 90 seeds had missed says nothing of it.
    before = ledger(["converged"] * 10 + ["stuck"] * 90)
    (row,) = rows(before, ledger(["converged"] * 2 + ["stuck"] * 8, weights="bb"))
    assert (row.paired, row.before, row.after) == (True, (10, 10), (2, 10))
    assert (row.p, row.worse) == (pytest.approx(2 / 2**8), True)


def test_what_so_few_trials_cannot_see_is_said():
    (row,) = rows(ledger(["converged"] * 3), ledger(["converged"] * 3, weights="bb"))
    assert comparison_table([row]).rows[0][-1] == "no change seen (sees no fall, paired)"
    assert row.as_dict()["sees_fall"] is None


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
    (row,) = rows(bare, bare)
    assert not row.paired


LOGGED = {"name": "points", "n_class": 10, **Target().as_dict()}


def with_losses(losses, version="2.19.1", first_loss=None):
    made_in = {"environment": {"tensorflow": version}}
    return [
        replace(
            trial(seed, recipe=LOGGED, initial_weights=f"w{seed}", **made_in),
            epochs=(Epoch(logged(0.95, loss)),),
            weights_sha256=version,
            first_loss=first_loss,
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
    told = comparison_table([same]).rows[0][-1]
    assert told == (
        f"no change seen (sees falls of {100 * same.sees_fall:.0f} points, shifts of {same.sees:.2g} "
        "spreads)"
    )
    assert 1 < same.sees < 4


def test_seeds_that_began_alike_are_compared_one_by_one():
    """Losses 0.40 to 0.51 spread by 0.036 (the standard deviation of 0..11 hundredths); 0.012 more on
    each seed is a third of that, which samples do not show. The differences scatter by 0.001."""
    before = [0.40 + place / 100 for place in range(12)]
    after = [loss + 0.012 + 0.001 * (-1) ** place for place, loss in enumerate(before)]
    old, new = with_losses(before, first_loss=2.3), with_losses(after, "2.21.0", 2.3001)
    (row,) = rows(old, new)
    (told,) = [one for one in row.numbers if one.measure.name == "training loss after epoch 1"]
    # Student's t of the mean beyond 0.15 spreads, with 11 degrees of freedom; one of four measures.
    beyond = 0.012 - 0.15 * statistics.stdev(before)
    error = statistics.stdev(b - a for a, b in zip(before, after, strict=True)) / math.sqrt(12)
    assert (told.paired, told.way) == (True, "worse")
    assert told.p == pytest.approx(4 * t.sf(beyond / error, 11))
    assert row.worse
    assert "+0.012 on the same seeds" in comparison_table([row]).rows[0][-1]
    (row,) = rows(with_losses(before), with_losses(after, "2.21.0"))
    assert (row.paired, row.changed) == (False, False)


def test_seeds_that_scatter_like_samples_are_compared_as_samples():
    before = [0.40 + place / 100 for place in range(12)]
    old, new = with_losses(before, first_loss=2.3), with_losses(before[::-1], "2.21.0", 2.3)
    (row,) = rows(old, new)
    assert row.paired  # by their outcomes
    (told,) = [one for one in row.numbers if one.measure.name == "training loss after epoch 1"]
    assert not told.paired
    assert not row.changed


def test_three_differences_are_no_ruler():
    old, new = (with_losses([0.4, 0.5, 0.6], version, 2.3) for version in ("2.19.1", "2.21.0"))
    (row,) = rows(old, new)
    assert not any(one.paired for one in row.numbers)
