"""Does each variant still train? A verdict for every declared claim, and against its baseline."""

from pathlib import Path

import pytest

from deepcaptcha import RECIPES
from deepcaptcha.networks.variants import CLAIMS, TWINS

BASELINES = Path(__file__).parents[2] / "fixtures" / "baselines"

# A verdict on raw pixels takes longest: up to five epochs a trial, and rates between the clear ones.
ROWS = sorted(CLAIMS, key=lambda row: (row[1] != "raw-subset", CLAIMS[row].kind != "mixed"))


def row(variant, recipe):
    # Two verdicts against the baseline, and the claim where it is judged.
    hypotheses = 2 if CLAIMS[variant, recipe].kind == "mixed" else 3
    mark = pytest.mark.convergence(hypotheses=hypotheses, rows=1, twin=TWINS.get(variant, ""))
    return pytest.param(variant, recipe, marks=mark)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "recipe"), [row(*names) for names in ROWS])
def test_convergence(variant, recipe, convergence):
    source = RECIPES[recipe].source(variant)
    convergence.judge(source, CLAIMS[variant, recipe], baselines=BASELINES)
