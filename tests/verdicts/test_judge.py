"""The whole judgement of a source: what is read, in which order, and the evidence it leaves."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from deepcaptcha import InputError
from deepcaptcha.report.words import failure_message, summary_lines, verdict_table
from deepcaptcha.trials.ledger import trial_key
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts import claim as claims
from deepcaptcha.verdicts import reliability
from deepcaptcha.verdicts.claim import Budget, CappedError, Claim
from deepcaptcha.verdicts.judge import Evidence, beside, judge
from deepcaptcha.verdicts.plan import Plan
from deepcaptcha.verdicts.ruler import Shift
from tests.verdicts.examples import LOGGED, baseline, logged, trial, with_numbers

SOURCE = SimpleNamespace(name="same", recipe="points", target=Target())
TRAINS = Claim("trains", 0.9, 0.5)
ONE = Budget(1)

# Green from 3 successes on, red at 2 failures or more, decided after 4 trials at the latest.
CLAIMED = Plan(0.9, 0.5, 0.1, 0.4, 4, (1, 2, 3, 3, 3), (-1, -1, 0, 1, 2))
# One more: 4 successes or 2 failures, after 5 trials at the latest.
FALLEN = Plan(0.88, 0.48, 0.2, 0.3, 5, (1, 2, 3, 4, 4, 4), (-1, -1, 0, 1, 2, 3))


@pytest.fixture(autouse=True)
def _plans(monkeypatch):
    monkeypatch.setattr(claims, "design_plan", lambda *rates: CLAIMED)
    monkeypatch.setattr(reliability, "design_plan", lambda *rates: FALLEN)


def stream(*outcomes, **identity):
    asked = []

    def trial_at(index):
        asked.append(index)
        return trial(2_000_000 + index, outcomes[index], **identity)

    return trial_at, asked


def told(evidence):
    return [(v.hypothesis, v.colour, v.successes, v.trials) for v in evidence.verdicts]


def test_a_claim_alone_reads_as_far_as_its_plan():
    trial_at, asked = stream("converged", "stuck", "slow", "converged")
    evidence = judge(SOURCE, TRAINS, ONE, trial_at, test="tests/test_a.py::test_b")
    assert told(evidence) == [("trains", "red", 1, 3)]
    assert asked == [0, 1, 2]
    assert evidence.red
    assert evidence.verdicts[0].plan is CLAIMED
    assert evidence.verdicts[0].as_dict()["p_good"] == 0.9
    assert evidence.verdicts[0].as_dict()["p_bad"] == 0.5
    assert evidence.failed_seeds == (2_000_001, 2_000_002)
    assert evidence.trials == tuple(
        trial_key(trial(2_000_000 + i, o)) for i, o in enumerate(("converged", "stuck", "slow"))
    )
    assert (evidence.summary.trials, evidence.summary.converged) == (3, 1)
    assert (evidence.environment, evidence.test) == ("", "tests/test_a.py::test_b")
    # Green is three successes before two failures, p^3 (1 + 3 (1 - p)): 0.0996 at 0.32, 0.108 at 0.33.
    assert evidence.verdicts[0].detects == 0.32
    assert evidence.seconds_per_trial == pytest.approx(1.5)
    assert evidence.most_trials == 4


def test_with_a_baseline_reliability_and_speed_are_judged_and_no_trial_is_asked_for_twice():
    trial_at, asked = stream(*["converged"] * 6, environment={"tensorflow": "2.21.0"})
    evidence = judge(SOURCE, TRAINS, ONE, trial_at, baseline=baseline())
    assert told(evidence) == [
        ("trains", "green", 3, 3),
        ("as reliable", "green", 4, 4),
        ("as fast", "green", 4, 4),  # as many as FALLEN needs at least to accept
    ]
    assert asked == [0, 1, 2, 3]
    assert not evidence.red
    assert evidence.environment == "tensorflow 2.19.1 -> 2.21.0"
    assert evidence.most_trials == 5


def test_what_fell_is_not_judged_for_its_speed():
    trial_at, asked = stream(*["stuck"] * 6)
    evidence = judge(SOURCE, Claim("stuck", 0.9, 0.5), ONE, trial_at, baseline=baseline())
    assert told(evidence) == [("stuck", "green", 3, 3), ("as reliable", "red", 0, 2)]
    assert evidence.red
    assert asked == [0, 1, 2]


def test_a_mixed_claim_is_described_by_the_trials_of_its_comparison():
    trial_at, asked = stream(*["converged"] * 6)
    evidence = judge(SOURCE, Claim("mixed"), ONE, trial_at, baseline=baseline())
    own, compared, _ = evidence.verdicts
    assert (own.hypothesis, own.colour, own.successes, own.trials) == ("mixed", "cannot tell", 4, 4)
    assert own.interval == compared.interval
    assert (own.plan, own.alpha, own.detects) == (None, None, None)
    assert asked == [0, 1, 2, 3]
    alone = judge(SOURCE, Claim("mixed"), ONE, stream(*["slow"] * 20)[0])
    assert (alone.colour, alone.red, alone.most_trials) == ("cannot tell", False, 20)
    assert alone.worst_expected_trials == 20


def test_a_baseline_of_something_else_is_refused_at_the_first_trial():
    trial_at, asked = stream(*["converged"] * 6, data="other")
    with pytest.raises(InputError, match="of another data"):
        judge(SOURCE, TRAINS, ONE, trial_at, baseline=baseline())
    assert asked == [0]


def test_a_claim_that_no_plan_can_judge_is_refused_before_any_training(monkeypatch):
    def too_close(*rates):
        raise InputError("too close")

    monkeypatch.setattr(claims, "design_plan", too_close)
    trial_at, asked = stream(*["converged"] * 6)
    with pytest.raises(InputError, match="too close"):
        judge(SOURCE, TRAINS, ONE, trial_at, baseline=baseline())
    assert asked == []


def test_evidence_goes_through_json_and_back():
    evidence = judge(SOURCE, TRAINS, ONE, stream(*["converged"] * 6)[0], baseline=baseline())
    assert Evidence.from_dict(evidence.as_dict()) == evidence
    carried = json.loads(json.dumps(evidence.as_dict(), allow_nan=False))
    assert Evidence.from_dict(carried) == evidence
    assert Evidence.from_dict(carried).verdicts[1].plan == FALLEN


LEAKED, NO_COPIES = (f"0 of 6400 in training, {n} of 2000 in validation" for n in (200, 0))


def numbers(losses, **identity):
    """The trials of a stream that logged these losses."""
    identity = {"recipe": LOGGED, **identity}

    def trial_at(index):
        epochs = (Epoch(logged(0.95, losses[index])),)
        return replace(trial(2_000_000 + index, **identity), epochs=epochs)

    return trial_at


def test_a_baseline_with_numbers_is_compared_by_them():
    among = numbers([0.47, 0.49, 0.48, 0.465, 0.485])
    evidence = judge(SOURCE, TRAINS, ONE, among, baseline=with_numbers())
    assert [(v.hypothesis, v.colour, v.trials) for v in evidence.verdicts] == [
        ("trains", "green", 3),
        ("as reliable", "green", 4),
        ("as before", "green", 4),
    ]
    assert evidence.changed == ()
    # 4 of 44 at half of 5 % over 3 measures, which sees some two spreads, by its own words.
    sees = evidence.verdicts[2].sees
    assert 1 < sees < 3
    assert verdict_table([evidence]).rows[0][-3] == f"green ({sees:.2g})"
    assert "as before (s): a shift of any one measure by s" in "\n".join(
        summary_lines([evidence], 1, False)
    )


def test_recorded_seeds_are_compared_one_by_one_where_rounding_was_measured():
    """A shift of 0.004 on each seed, where seeds lie 0.012 apart and rounding moves them by 0.0005."""
    ruler = Shift(
        "oneDNN off", "points same", "training loss after epoch 1", 1e-4, 5e-4, 0.0117, 24
    )
    starts = {"initial weights": tuple(f"w{place:02}" for place in range(40))}
    recorded = with_numbers(seed_digests=starts, first_losses=(2.3,) * 40)

    def moved(index):
        made = trial(1_000_000 + index, recipe=LOGGED, initial_weights=f"w{index:02}long")
        epochs = (Epoch(logged(0.95, 0.464 + index / 1000)),)
        return replace(made, epochs=epochs, first_loss=2.3, weights_sha256=f"end {index}")

    paired = judge(SOURCE, TRAINS, ONE, moved, baseline=replace(recorded, ruler=(ruler.as_dict(),)))
    assert paired.red
    assert "training loss after epoch 1: +0.004 on the same seeds" in paired.verdicts[2].note
    assert not judge(SOURCE, TRAINS, ONE, moved, baseline=recorded).red  # as samples they are alike


def test_numbers_of_another_record_are_read_on_its_own_seeds_and_need_no_full_sample():
    """The rate is that of the baseline, 30 of 30; the numbers those of a record of two."""
    starts = {"initial weights": ("w00", "w01")}
    few = replace(
        with_numbers(seed_digests=starts, first_losses=(2.3,) * 40), outcomes=("converged",) * 2
    )
    few = replace(few, history=few.history[:2], first_losses=(2.3,) * 2)
    asked = []

    def again_at(index, start="w"):
        asked.append(index)
        made = trial(1_000_000 + index, recipe=LOGGED, initial_weights=f"{start}{index:02}long")
        return replace(made, epochs=(Epoch(logged(0.95, 0.46 + index / 1000)),), first_loss=2.3)

    options = {"baseline": replace(baseline(), recipe=LOGGED), "numbers": few}
    evidence = judge(SOURCE, TRAINS, ONE, numbers([0.9] * 5), again_at=again_at, **options)
    assert told(evidence)[1:] == [("as reliable", "green", 4, 4), ("as before", "green", 1, 1)]
    assert asked == [0]
    assert evidence.verdicts[2].note == "all values of seed 1000000 came again to the last bit"
    # Where they began otherwise two recorded ones are too few, and speed is judged as ever.
    evidence = judge(
        SOURCE,
        TRAINS,
        ONE,
        numbers([0.9] * 5),
        again_at=lambda index: again_at(index, start="other"),
        **options,
    )
    assert told(evidence)[1:] == [
        ("as reliable", "green", 4, 4),
        ("as before", "cannot tell", 1, 1),
        ("as fast", "green", 4, 4),
    ]


def test_worse_numbers_are_red_and_say_which():
    evidence = judge(SOURCE, TRAINS, ONE, numbers([0.9] * 5), baseline=with_numbers())
    assert (evidence.colour, evidence.verdicts[0].colour) == ("red", "green")
    message = failure_message(evidence)
    assert "same under points does not train as its baseline did: worse in training loss" in message
    assert "training loss after epoch 1: 0.900, recorded 0.460 to 0.499" in message


def test_better_numbers_are_yellow_or_red_if_strict():
    arguments = (SOURCE, TRAINS, ONE, numbers([0.3] * 5))
    evidence = judge(*arguments, baseline=with_numbers())
    assert (evidence.colour, evidence.red) == ("yellow", False)
    told = "\n".join(summary_lines([evidence], 1, False))
    assert "same under points trains otherwise than its baseline did: better in training" in told
    assert judge(*arguments, baseline=with_numbers(), strict=True).red


@pytest.mark.parametrize(
    ("now", "recorded", "strict", "colour"),
    [
        (LEAKED, NO_COPIES, False, "yellow"),
        (LEAKED, NO_COPIES, True, "red"),
        (NO_COPIES, LEAKED, False, "green"),
        (LEAKED, LEAKED, False, "green"),
        (LEAKED, "", False, "green"),  # a record that is older than that
        ("", NO_COPIES, False, "green"),  # a pipeline, of which nobody knows
    ],
)
def test_more_copies_among_the_examples_are_told_whatever_the_numbers_say(
    now, recorded, strict, colour
):
    digests = {"copies": recorded} if recorded else {}
    among = numbers([0.47, 0.49, 0.48, 0.465, 0.485])

    def read(index):
        return replace(among(index), digests={"copies": now} if now else {})

    made = with_numbers(digests=digests)
    verdict = judge(SOURCE, TRAINS, ONE, read, baseline=made, strict=strict).verdicts[2]
    assert (verdict.hypothesis, verdict.colour) == ("as before", colour)
    words = (
        "different in its examples: 200 of 2000 validation examples are copies of training "
        "examples, recorded 0 of 2000; sees shifts of"
    )
    assert verdict.note.startswith(words) == (colour != "green")


def test_copies_are_told_where_a_cap_ends_the_comparison_or_numbers_cannot_tell():
    among, digests = numbers([0.47, 0.49, 0.48]), {"copies": LEAKED}

    def capped(index):
        if index == 3:
            raise CappedError("cap of 3 trainings")
        return replace(among(index), digests=digests)

    recorded = with_numbers(digests={"copies": NO_COPIES})
    verdict = judge(SOURCE, TRAINS, ONE, capped, baseline=recorded).verdicts[2]
    assert (verdict.hypothesis, verdict.colour) == ("as before", "undecided")
    assert verdict.note.startswith("different in its examples: 200 of 2000 validation examples")

    # Two recorded trials are too few to compare samples with, so that speed is judged too.
    few = replace(baseline(), recipe=LOGGED, digests={"copies": NO_COPIES})
    few = replace(few, history=recorded.history[:30])
    two = replace(few, outcomes=few.outcomes[:2], history=few.history[:2])
    five = numbers([0.47] * 5)
    evidence = judge(
        *(SOURCE, TRAINS, ONE, lambda index: replace(five(index), digests=digests)),
        baseline=few,
        numbers=two,
    )
    assert [(v.hypothesis, v.colour) for v in evidence.verdicts[1:]] == [
        ("as reliable", "green"),
        ("as before", "yellow"),
        ("as fast", "green"),
    ]


def test_an_accepted_record_says_what_of_its_copies_was_accepted():
    old = replace(baseline(), digests={"copies": NO_COPIES})
    (_, line) = beside(old, replace(old, digests={"copies": LEAKED}))
    assert line.startswith("200 of 2000 validation examples are copies of training examples")


def test_another_recipe_is_listed_and_compared_by_its_numbers():
    changed = numbers([0.9] * 5, recipe={**LOGGED, "rate": 0.003}, data="e", shapes=[[9]])
    evidence = judge(SOURCE, TRAINS, ONE, changed, baseline=with_numbers())
    assert evidence.red
    assert evidence.changed == (
        "shapes: ((1, 2), (2,)) -> ((9,),)",
        "recipe: rate 0.001 -> 0.003",
        "data: d -> e",
    )
    assert "Not as in the baseline, recipe: rate 0.001 -> 0.003." in failure_message(evidence)
    carried = json.loads(json.dumps(evidence.as_dict(), allow_nan=False))
    assert Evidence.from_dict(carried) == evidence


def test_only_another_monitor_is_refused():
    other = numbers([0.9] * 5, recipe={**LOGGED, "monitor": "val_loss"})
    with pytest.raises(InputError, match=r"of another monitor \(val_accuracy then, val_loss now\)"):
        judge(SOURCE, TRAINS, ONE, other, baseline=with_numbers())


def test_another_target_is_no_rate_to_compare():
    higher = SimpleNamespace(name="same", recipe="points", target=Target(0.94))
    trial_at = numbers([0.47, 0.49, 0.48, 0.465], recipe={**LOGGED, "target": 0.94})
    evidence = judge(higher, TRAINS, ONE, trial_at, baseline=with_numbers())
    assert told(evidence)[1] == ("as reliable", "cannot tell", 0, 0)
    assert evidence.verdicts[1].note == "its target was val_accuracy >= 0.9 within 5 epochs"
    assert told(evidence)[2][:2] == ("as before", "green")
