"""What the report shows, by hand: curves, the way to the target, walks, chances, words."""

import re
from dataclasses import replace

import pytest

from deepcaptcha import InputError
from deepcaptcha.report.content import (
    Chance,
    environment_lines,
    opening,
    reached,
    rows_of_ledger,
    rows_of_verdicts,
    sections,
    seeds_text,
)
from deepcaptcha.trials.ledger import LedgerTrials
from deepcaptcha.trials.trial import Target
from tests.report.examples import (
    PLAN,
    RECIPE,
    judged,
    trained,
)


def test_a_curve_is_the_monitored_metric_of_every_epoch():
    (row,) = rows_of_ledger(LedgerTrials((trained(1, "diverged"), trained(0))))
    assert [(trial.seed, trial.outcome, values) for trial, values in row.curves] == [
        (0, "converged", [0.5, 0.95]),
        (1, "diverged", [0.3, None]),
    ]


def test_the_way_to_the_target_by_hand():
    """Three trials met it after 1, 2 and 2 epochs; one was given 2 epochs and one 5, in vain. Kaplan and
    Meier: 4/5 are left after epoch 1, and 4/5 * (1 - 2/4) = 2/5 after epoch 2."""
    short = replace(RECIPE, target=Target(epochs=2))
    trials = [
        trained(0, values=(0.95,)),
        trained(1),
        trained(2),
        trained(3, "slow", recipe=short, values=(0.1, 0.2)),
        trained(4, "slow"),
    ]
    found = reached(trials)
    assert found.epochs == (0, 1, 2, 5)
    assert found.shares == pytest.approx((0, 1 / 5, 3 / 5, 3 / 5))
    assert (found.missed, found.trials) == (2, 5)


def test_a_trial_stopped_on_proof_is_known_to_its_last_epoch():
    """One of two met the target in epoch 4; the other was stopped in epoch 2, yet it is at risk still:
    1/2, where taking the stop for a lost trial would say that all met it."""
    found = reached([trained(0, values=(0.1, 0.2, 0.3, 0.95)), trained(1, "stuck")])
    assert (found.epochs, found.shares) == ((0, 4, 5), (0, 0.5, 0.5))


def test_a_trial_that_a_callback_ended_is_known_as_far_as_it_went():
    """One of two was ended after epoch 1, the other met the target in epoch 2, alone by then: 1. Had the
    first been seen to epoch 5, it would be 1/2."""
    ended = trained(0, "slow", values=(0.2,))
    found = reached([ended, trained(1)])
    assert (found.epochs, found.shares) == ((0, 1, 2, 5), (0, 0, 1, 1))


def test_where_none_or_all_met_the_target():
    assert reached([trained(outcome="stuck")]).shares == (0, 0)
    found = reached([trained()])
    assert (found.epochs, found.shares, found.missed) == ((0, 2, 5), (0, 1, 1), 0)


def test_a_walk_counts_what_its_claim_counts_as_far_as_the_plan_read():
    evidence, trials = judged("mine", ["converged", "stuck", "slow", "converged"])
    (row,) = rows_of_verdicts([evidence], LedgerTrials(tuple(trials)))
    (walk,) = row.walks
    assert walk.successes == (0, 1, 1, 1)  # red after three: PLAN rejects one of three
    assert (walk.hypothesis, walk.colour) == ("trains", "red")
    assert walk.plan == PLAN
    assert row.colour == "red"
    assert row.chance.trials == 3
    stuck, trials = judged("mine", ["stuck", "stuck", "stuck"], "stuck")
    (row,) = rows_of_verdicts([stuck], LedgerTrials(tuple(trials)))
    assert row.walks[0].successes == (0, 1, 2, 3)
    assert row.walks[0].colour == "green"


def test_a_claim_of_stuck_bounds_the_chance_to_converge_from_above():
    """Three of three stuck: Clopper and Pearson's lower limit, which PLAN's stop at 3 of 3 shares, is
    0.025 ** (1/3) = 0.292 for P(stuck), so P(converge) is at most 0.708."""
    evidence, trials = judged("mine", ["stuck", "stuck", "stuck"], "stuck")
    (row,) = rows_of_verdicts([evidence], LedgerTrials(tuple(trials)))
    assert (row.chance.converged, row.chance.trials) == (0, 3)
    assert row.chance.interval == pytest.approx((0, 0.7076), abs=1e-4)
    assert row.chance.text == "at most 71 %"
    assert Chance(2, 4, (0.0676, 0.9324)).text == "6-94 %"


def test_a_ledger_without_the_judged_trials_is_told():
    evidence, trials = judged("mine", ["converged"] * 3)
    with pytest.raises(InputError, match="lacks 1 of 3 trials of mine points; no report"):
        rows_of_verdicts([evidence], LedgerTrials(tuple(trials[:2])))


def test_sections_go_by_recipe_highest_rate_first():
    other = replace(RECIPE, name="more", target=Target(epochs=9))
    trials = (
        trained(0, "stuck", "b"),
        trained(0, "converged", "c"),
        trained(0, "converged", "a"),
        trained(0, "slow", "a", other),
    )
    first, second = sections(rows_of_ledger(LedgerTrials(trials)))
    assert [(row.name, row.recipe, row.target.text) for row in first] == [
        ("a", "more", "val_accuracy >= 0.9 within 9 epochs")
    ]
    assert [row.name for row in second] == ["a", "c", "b"]
    assert "batch 32" in second[0].settings_text
    assert "learning_rate 0.001" in second[0].settings_text


def test_a_model_that_was_compiled_has_no_optimizer_of_a_recipe():
    """Such a test trains with the model's own; what the recipe would have used is not told."""
    own = replace(RECIPE, name="1,000 examples")
    (row,) = rows_of_ledger(LedgerTrials((trained(0, "stuck", "a", own),)))
    assert "batch 32" in row.settings_text
    assert not re.search("adam|learning_rate|loss", row.settings_text)


def test_recipes_of_one_name_that_differ_are_told_apart():
    """As two tests on data of the same size have them, each with a target of its own."""
    other = replace(RECIPE, target=Target(0.02, 8, "val_loss", "min"))
    rows = rows_of_ledger(LedgerTrials((trained(0), trained(0, recipe=other, values=(0.01,)))))
    assert [section[0].target.text for section in sections(rows)] == [
        "val_accuracy >= 0.9 within 5 epochs",
        "val_loss <= 0.02 within 8 epochs",
    ]
    assert "under 2 recipes" in opening(rows)


def test_factories_of_one_name_are_told_by_their_tests():
    (first, some), (second, others) = (
        judged("build", ["converged"] * 3, test="tests/test_a.py::test_mlp"),
        judged("build", ["stuck"] * 3, test="tests/test_b.py::test_net[adam-1e-3]"),
    )
    rows = rows_of_verdicts([first, second], LedgerTrials((*some, *others)))
    assert [row.name for row in rows] == ["build (test_mlp)", "build (test_net[adam-1e-3])"]
    assert rows_of_verdicts([first], LedgerTrials(tuple(some)))[0].name == "build"


def test_words_for_a_study():
    trials = (trained(0), trained(1), trained(4, "stuck"), trained(0, name="other"))
    rows = rows_of_ledger(LedgerTrials(trials))
    assert opening(rows) == (
        "4 trainings of 2 factories under 1 recipe: 3 converged, 1 stuck (75 % converged). "
        "Every training converged in 1 of 2 rows."
    )
    assert seeds_text(rows) == "0-1, 4"
    assert environment_lines(rows) == ["tensorflow 2.21.0, 1 thread, oneDNN on"]
    assert rows[0].symptoms == "clipped 1"
    assert rows[0].diagnoses[0].startswith("clipped, 1 of 1 that missed the target: ")


def test_words_for_verdicts():
    good, some = judged("good", ["converged"] * 3)
    bad, others = judged("bad", ["stuck"] * 3)
    rows = rows_of_verdicts([good, bad], LedgerTrials((*some, *others)))
    assert opening(rows).startswith(
        "2 rows judged: 1 red, 1 green, 0 cannot tell. Red: bad under points. 5 trainings of 2"
    )


def test_red_rows_come_first_and_their_section_before_others():
    good, some = judged("good", ["converged"] * 3)
    bad, others = judged("bad", ["stuck"] * 3)
    rows = rows_of_verdicts([good, bad], LedgerTrials((*some, *others)))
    assert [row.name for row in sections(rows)[0]] == ["bad", "good"]
    trials = tuple(
        replace(
            each, identity={**each.identity, "recipe": {**each.settings, "name": "own-training"}}
        )
        for each in rows[1].trials
    )
    other = replace(rows[1], trials=trials)
    assert [[row.name for row in group] for group in sections([rows[0], other])] == [
        ["bad"],
        ["good"],
    ]
    assert other.title == other.target.text  # nobody named its recipe
    assert rows[0].title == "points"


def test_several_environments_are_told_apart():
    old = trained(1)
    old = replace(old, identity={**old.identity, "environment": {"tensorflow": "2.18.0"}})
    rows = rows_of_ledger(LedgerTrials((trained(0), old, trained(2))))
    assert environment_lines(rows) == [
        "2 trials: tensorflow 2.21.0, 1 thread, oneDNN on",
        "1 trial: tensorflow 2.18.0",
    ]
