"""Unchanged or not: recorded trials against the same trained again, without any training."""

from dataclasses import replace

import pytest

from deepcaptcha.trials.trial import Epoch
from deepcaptcha.verdicts.baseline import (
    find_most,
    find_record,
    make_baseline,
    processor_class,
    read_baseline,
    with_ruler,
    write_record,
)
from deepcaptcha.verdicts.claim import Budget, Claim
from deepcaptcha.verdicts.confirm import (
    choose_repetition,
    complete,
    confirm,
    difference_text,
    why_not,
)
from deepcaptcha.verdicts.recorded import judged_record
from tests.verdicts.examples import AVX2, DIGESTS, again, ended, record, trial

AVX512 = {**AVX2, "instructions": ["avx", "avx2", "fma", "avx512f"]}


def test_the_same_bits_are_unchanged():
    assert again(record(2, 1, 3)).unchanged


def test_a_record_comes_back_from_its_file_to_the_last_bit(tmp_path):
    made = record(2, 1)
    write_record(tmp_path, made)
    read = read_baseline(tmp_path, "same", "points")
    assert read == made
    assert read.history[0][1] == {"loss": 1 / 9, "val_loss": 2 / 9}  # seed 7, epoch 2
    assert read.losses[1] == ((3 / 8, 2.5 / 8),)
    assert read.seed_digests["initial weights"] == ("i7", "i8")
    assert again(read).unchanged


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("training data", "t1"),
        ("validation data", "v1"),
        ("configuration", "c1"),
        ("callbacks", "some"),
        ("epochs", "3"),
        ("target", "val_accuracy max 0.5"),
        ("order", "o0"),
    ],
)
def test_equal_weights_of_something_else_are_not_unchanged(name, now):
    """Weights alone would pass leaked or unscaled validation rows."""
    digests = {**ended(7).digests, name: now}
    found = again(record(1), digests=digests)
    assert not found.unchanged
    assert [difference.what for difference in found.differences] == [name]
    assert f"{name}: {now}, recorded" in difference_text(found)


def test_copies_follow_from_the_data_and_a_record_without_them_is_as_good():
    text = "0 of 9 in training, 0 of 9 in validation"
    assert again(record(1), digests={**ended(7).digests, "copies": text}).unchanged
    older, newer = record(1), record(1, copies=text)
    judged = replace(older, judged={"date": "2026-01-01"})
    assert complete(newer, judged, lambda seed, steps: ended(seed)).judged == judged.judged


def test_a_single_value_that_differs_is_named_with_its_epoch_and_how_far_it_moved():
    first, second = ended(7, 2).epochs
    moved = replace(second, metrics={**second.metrics, "val_loss": 2 / 9 + 0.5})
    found = again(record(2), epochs=(first, moved))
    (difference,) = found.differences
    assert (difference.what, difference.epoch) == ("val_loss", 2)
    # 2/9 = 0.2222...
    assert difference.text == "val_loss after epoch 2: 0.722222, recorded 0.222222 (+0.5)"


def test_the_last_bit_of_a_weight_is_enough():
    found = again(record(1), weights_sha256="f" * 64)
    assert [difference.what for difference in found.differences] == ["last weights"]


def test_losses_within_an_epoch_count_and_the_first_that_differs_is_told():
    (epoch,) = ended(7).epochs
    found = again(record(1), epochs=(replace(epoch, losses=(3.0 / 7, 1.0)),), first_loss=None)
    assert [d.what for d in found.differences] == [
        "loss of the first batch",
        "loss 2 within epoch 1",
    ]


def test_a_value_that_is_no_longer_logged_or_an_epoch_too_many_is_a_difference():
    (epoch,) = ended(7).epochs
    found = again(record(1), epochs=(replace(epoch, metrics={"loss": 1 / 8}), epoch))
    assert [d.what for d in found.differences] == ["epochs trained", "val_loss"]


def test_the_least_is_repeated_that_stands_for_all():
    of_three = record(2, 1, 3)
    assert (choose_repetition(of_three, "k0").seed, choose_repetition(of_three, "k0").steps) == (
        8,
        None,
    )
    # Another training loop may act by the epoch.
    assert choose_repetition(of_three, "k1").seed == 9
    without = replace(of_three, digests={k: v for k, v in DIGESTS.items() if k != "code"})
    assert choose_repetition(without, "k0").seed == 9
    prefix = {"seed": 7, "steps": 50, "metrics": {"val_loss": 1.5}, "weights": "ab"}
    chosen = choose_repetition(replace(of_three, prefix=prefix), "k0")
    assert (chosen.place, chosen.seed, chosen.steps, chosen.why) == (0, 7, 50, "its first 50 steps")
    elsewhere = replace(of_three, prefix=prefix, environment={**AVX2, "backend": "jax"})
    assert choose_repetition(elsewhere, "k0").why == "its first epoch"
    assert choose_repetition(replace(of_three, prefix=prefix), "k1").steps is None


def test_a_prefix_is_compared_with_what_its_own_validation_showed():
    stopped = replace(
        ended(7),
        stop_reason="steps",
        weights_sha256="ab" * 32,
        epochs=(Epoch({"val_loss": 1.5}),),
    )
    made = complete(record(2, 1), None, lambda seed, steps: stopped)
    assert made.prefix == {
        "seed": 7,
        "steps": 50,
        "metrics": {"val_loss": 1.5},
        "weights": "abababababab",
    }
    chosen = choose_repetition(made, "k0")
    assert confirm(made, chosen, stopped).unchanged
    found = confirm(made, chosen, replace(stopped, epochs=(Epoch({"val_loss": 21.0}),)))
    assert difference_text(found) == "val_loss: 21, recorded 1.5 (+19.5)"


def test_a_trial_that_ended_within_the_prefix_leaves_none():
    assert complete(record(1), None, lambda seed, steps: ended(seed)).prefix == {}


def test_code_of_ones_own_that_appears_is_a_change_and_has_no_prefix():
    digests = {key: value for key, value in ended(7).digests.items() if key != "code"}
    found = again(record(1), digests=digests)
    assert [difference.what for difference in found.differences] == ["code of its own"]
    bare = replace(record(1), digests={k: v for k, v in DIGESTS.items() if k != "code"})
    assert complete(bare, None, None).prefix == {}  # nothing is trained


def test_each_class_of_processors_has_a_record_and_the_nearest_is_found(tmp_path):
    assert [processor_class(each) for each in (AVX2, AVX512)] == ["x86_64-avx2", "x86_64-avx512f"]
    for environment in (AVX512, AVX2, {**AVX2, "tensorflow": "2.22.0"}):
        made = make_baseline([ended(7, environment=environment)])
        path = write_record(tmp_path, made)
    # The first has the folder; another class has its own, of which the last one written counts.
    assert path == tmp_path / "x86_64-avx2" / "points" / "same.json"
    assert find_record(tmp_path, "same", "points", AVX512).environment == AVX512
    found = find_record(tmp_path, "same", "points", {**AVX2, "processor": "another", "python": "3"})
    assert found.environment["tensorflow"] == "2.22.0"
    assert find_record(tmp_path, "valid", "points", AVX2) is None


def test_numbers_come_from_the_nearest_record_that_has_them_and_rates_from_the_longest(tmp_path):
    outcomes = replace(
        make_baseline([ended(s, environment=AVX512) for s in range(1, 9)]), history=()
    )
    write_record(tmp_path, outcomes)
    assert find_record(tmp_path, "same", "points", AVX512) == outcomes  # the only one
    write_record(tmp_path, record(1, 2))
    assert find_record(tmp_path, "same", "points", AVX512) == record(1, 2)
    assert find_most(tmp_path, "same", "points") == outcomes
    assert find_most(tmp_path, "valid", "points") is None


def test_a_ruler_is_a_rows_own_and_that_of_its_recipe(tmp_path):
    shift = {"arithmetic": "oneDNN off", "row": "points valid"}
    known = replace(record(1), name="valid", weights=("another",), ruler=(shift,))
    twin = replace(known, name="valid again")  # the very same training, which scatters once
    for made in (known, twin, replace(record(1), ruler=())):
        write_record(tmp_path, made)
    assert with_ruler(tmp_path, record(1)).ruler == (shift,)
    assert with_ruler(tmp_path, replace(record(1), ruler=({},))).ruler == ({}, shift)
    elsewhere = replace(record(1), environment=AVX512)
    assert with_ruler(tmp_path, elsewhere).ruler == ()
    (tmp_path / "points" / "damaged.json").write_text("{")  # which is another row's affair
    assert with_ruler(tmp_path, record(1)).ruler == (shift,)


def test_what_keeps_a_row_from_being_confirmed_is_told():
    assert why_not(None, AVX2) == "no record"
    assert why_not(record(1), {**AVX2, "processor": "another", "python": "3.13"}) == ""
    assert "tensorflow 2.21.0 -> 2.22.0" in why_not(record(1), {**AVX2, "tensorflow": "2.22.0"})
    assert "no values or digests" in why_not(make_baseline([trial(7)]), AVX2)
    few = replace(record(1), digests={"training data": "t0"})
    assert "no digest of validation data, configuration" in why_not(few, AVX2)


def test_a_new_record_keeps_what_still_holds():
    prefix = {"seed": 7, "steps": 50, "metrics": {}, "weights": "ab"}
    judged = judged_record(Claim("trains", 0.9, 0.5), Budget(1), (), 0, [])
    older = replace(record(1, 1), prefix=prefix, judged=judged)
    kept = complete(record(1, 1, 2), older, None)  # nothing is trained
    assert (kept.prefix, kept.judged, len(kept.history)) == (prefix, judged, 3)
    moved = complete(record(1, 1, configuration="c1"), older, lambda seed, steps: ended(seed))
    assert (moved.prefix, moved.judged) == ({}, {})


def test_slices_of_a_record_that_other_code_trained_are_confirmed_by_the_longest_trial():
    made = make_baseline([ended(7), ended(8, epochs=2, code="k1")])
    for code in ("k0", "k1"):
        chosen = choose_repetition(made, code)
        assert (chosen.seed, chosen.steps) == (8, None)
        assert confirm(made, chosen, ended(8, epochs=2, code=code)).unchanged
