"""The declared claims against the pilot they were chosen from."""

from pathlib import Path

import pytest

from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.networks.variants import CLAIMS, HYPOTHESES, ROWS, TWINS, VARIANTS
from deepcaptcha.trials.seeds import STREAMS
from deepcaptcha.verdicts.baseline import read_baseline
from deepcaptcha.verdicts.confirm import why_not
from deepcaptcha.verdicts.plan import binomial_interval

FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_every_variant_has_a_claim_under_both_subset_recipes():
    assert set(CLAIMS) == {(v, r) for v in VARIANTS for r in ("raw-subset", "sound-subset")}


def test_the_suites_hypotheses_are_those_of_its_rows():
    """24 rows, of which two are others' twins: two comparisons of each, and a claim of all but 5 that
    are mixed."""
    assert sum(claim.kind == "mixed" for claim in CLAIMS.values()) == 5
    assert ROWS == 22
    assert HYPOTHESES == 22 * 2 + 17


def interval(folder, variant, recipe):
    """The exact 95 % interval of the claimed outcome in the trials of a folder."""
    recorded = read_baseline(FIXTURES / folder, variant, recipe)
    outcome = "stuck" if CLAIMS[variant, recipe].kind == "stuck" else "converged"
    return binomial_interval(recorded.outcomes.count(outcome), len(recorded.outcomes))


@pytest.mark.parametrize("folder", ["pilot", "baselines"])
@pytest.mark.parametrize(("variant", "recipe"), CLAIMS)
def test_a_claims_rates_lie_outside_the_recorded_intervals(variant, recipe, folder):
    """A rate between p_bad and p_good promises nothing, so what was recorded must lie above or below
    both."""
    claim = CLAIMS[variant, recipe]
    low, high = interval(folder, variant, recipe)
    if claim.kind != "mixed":
        assert claim.p_bad < claim.p_good <= low
    else:
        assert low < 0.9
        assert high > 0.1


@pytest.mark.parametrize(("variant", "recipe"), CLAIMS)
def test_every_claim_has_a_pilot(variant, recipe):
    pilot = read_baseline(FIXTURES / "pilot", variant, recipe)
    assert pilot.first_seed == STREAMS["pilot"].start
    assert pilot.recipe == RECIPES[recipe].as_dict()


@pytest.mark.parametrize(("variant", "recipe"), CLAIMS)
def test_every_claim_has_a_baseline_of_other_seeds(variant, recipe):
    baseline = read_baseline(FIXTURES / "baselines", variant, recipe)
    assert baseline.first_seed == STREAMS["baseline"].start
    assert baseline.recipe == RECIPES[recipe].as_dict()
    assert len(baseline.outcomes) >= 100
    assert [reached is not None for reached in baseline.epochs_to_target] == [
        outcome == "converged" for outcome in baseline.outcomes
    ]


@pytest.mark.parametrize(("variant", "recipe"), CLAIMS)
def test_every_row_has_a_record_that_it_can_be_confirmed_by(variant, recipe):
    record = read_baseline(FIXTURES / "baselines" / "x86_64-avx2", variant, recipe)
    assert record.recipe == RECIPES[recipe].as_dict()
    assert not why_not(record, record.environment)
    assert record.first_seed == STREAMS["baseline"].start
    assert [len(epochs) for epochs in record.losses] == [len(epochs) for epochs in record.history]
    # 6,400 images in batches of 32 hold 50 steps four times.
    assert {len(losses) for epochs in record.losses for losses in epochs[:1]} == {4}
    assert record.prefix["steps"] == 50
    assert record.prefix["seed"] == record.first_seed


def test_twins_ended_in_the_same_weights_and_are_one_piece_of_evidence():
    """A reshape before softmax and logits in the loss are one and the same training."""
    for recipe in ("raw-subset", "sound-subset"):
        one, other = (
            read_baseline(FIXTURES / "baselines" / "x86_64-avx2", name, recipe)
            for name in next(iter(TWINS.items()))
        )
        assert one.weights == other.weights
        assert one.digests["configuration"] != other.digests["configuration"]
