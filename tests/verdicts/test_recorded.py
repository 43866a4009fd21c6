"""Recorded verdicts: which of them stand, for what claim and at which share of the error rates."""

from dataclasses import replace

from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Budget, Claim, Verdict, judge_claim
from deepcaptcha.verdicts.confirm import choose_repetition, confirm
from deepcaptcha.verdicts.recorded import confirmed_evidence, judged_record, recorded_verdicts
from tests.verdicts.examples import again, ended, record

CLAIM = Claim("trains", 0.9, 0.5)


def test_recorded_verdicts_stand_for_the_claim_they_were_reached_for():
    verdicts = (
        Verdict("trains", "red", 2, 9, (0.02, 0.61), alpha=0.001, beta=0.002),
        Verdict("as reliable", "green", 9, 9, (0.6, 1.0), detects=0.7, note="detects a fall"),
    )
    judged = judged_record(CLAIM, Budget(67), verdicts, 2_000_000, [])
    made = replace(record(2, 1), judged=judged)
    assert recorded_verdicts(made, CLAIM, Budget(67)) == verdicts
    assert recorded_verdicts(made, Claim("trains", 0.8, 0.5), Budget(67)) == ()
    chosen = choose_repetition(made, "k0")
    found = confirm(made, chosen, ended(8))
    told = confirmed_evidence(made, found, ended(8), Target(), CLAIM, Budget(67))
    assert (told.red, told.unchanged, told.verdicts) == (True, True, verdicts)
    assert f"recorded on {made.date} with 2 of 2 converged, judged on {judged['date']}" in (
        told.confirmation
    )


def test_at_another_share_the_plan_reads_the_recorded_trials_anew():
    claim = Claim("trains", 0.9, 0.1)
    budget = Budget(1)
    # One success has a chance of 0.1 if all is ill, two of 0.01, three of 0.001: 5 % take two, 0.5 %
    # three, and what two trials decided they do not decide for ten verdicts.
    verdict = judge_claim(claim, budget, lambda index: ended(7 + index))
    assert (verdict.colour, verdict.trials) == ("green", 2)
    for read, stands in ((2, False), (3, True)):
        judged = judged_record(claim, budget, [verdict], 7, ["converged"] * read)
        made = replace(record(2, 1), judged=judged)
        assert recorded_verdicts(made, claim, budget) == (replace(verdict, plan=None),)
        anew = recorded_verdicts(made, claim, Budget(10))
        assert [(each.colour, each.trials) for each in anew] == [("green", 3)] * stands
    lost = replace(record(2, 1), judged={**judged, "outcomes": ["stuck"] * 3})
    assert recorded_verdicts(lost, claim, Budget(10))[0].colour == "red"
    compared = (verdict, Verdict("as before", "green", 4, 4, (0.0, 1.0)))
    judged = judged_record(claim, Budget(3, rows=1), compared, 7, ["converged"] * 9)
    made = replace(made, judged=judged)
    assert len(recorded_verdicts(made, claim, Budget(3, rows=1))) == 2
    assert recorded_verdicts(made, claim, Budget(6, rows=2)) == ()


def test_without_a_recorded_verdict_unchanged_claims_nothing():
    made = record(1)
    found = again(made)
    told = confirmed_evidence(made, found, ended(7), Target(), CLAIM, Budget(1))
    assert (told.colour, told.red) == ("cannot tell", False)
    assert "no verdict is recorded" in told.confirmation
