"""Figures in README and docs that the record in `fixtures/` or a constant decides. ANSWER.md's are
computed again in `answer/tests/test_recomputed.py`."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from deepcaptcha.networks.variants import CLAIMS, HYPOTHESES, ROWS, VARIANTS
from deepcaptcha.verdicts.as_before import Looks
from deepcaptcha.verdicts.claim import AS_BEFORE, WHOLE
from deepcaptcha.verdicts.claim import CLAIMS as CLAIMS_SHARE
from deepcaptcha.verdicts.ledgers import LEAST_PAIRS
from deepcaptcha.verdicts.reliability import DROP, DROP_FROM_HIGH, HIGH
from deepcaptcha.verdicts.ruler import COARSE, LEAST_SHIFT, RULER_FACTOR
from deepcaptcha.verdicts.whole import Whole

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"


def words(page):
    return " ".join((ROOT / page).read_text().split())


def outcomes(name, recipe="raw-subset"):
    path = FIXTURES / "baselines" / recipe / f"{name}.json"
    return Counter(json.loads(path.read_text())["outcomes"])


def of(outcome, counts):
    return f"{counts[outcome]} of {counts.total()}"


def test_rates_of_networks_are_those_recorded():
    valid, same = outcomes("valid"), outcomes("same")
    assert f"valid padding, reached its target in {of('converged', valid)} trainings" in words(
        "docs/verdicts.md"
    )
    assert valid.total() / (valid.total() - valid["converged"]) == 25
    assert "one time in twenty-five one that does not" in words("docs/verdicts.md")
    readme = words("README.md")
    missed = valid.total() - valid["converged"]
    assert f"missed its target in {missed} of {valid.total()} trainings" in readme
    seen = f"got stuck in {of('stuck', same)} trainings trained in "
    assert seen + f"{of('converged', outcomes('same-reshape-first'))} once" in readme
    assert {tuple(outcomes(name, "sound-subset")) for name in VARIANTS} == {("converged",)}


def test_symptoms_are_those_recorded():
    told = json.loads((FIXTURES / "symptoms.json").read_text())
    page = (ROOT / "docs" / "diagnosis.md").read_text()
    rows = re.findall(r"^\| .+ \| (\d+ of \d+) \| (\d+ of \d+) \| (\S+) \|$", page, re.MULTILINE)
    assert rows == [
        (*("{} of {}".format(*each[side]) for side in ("stuck", "converged")), f"{each['p']:.1g}")
        for each in told["predictors"]
    ]
    counts = sum((outcomes(name) for name in VARIANTS), Counter())
    assert f"317 stuck, {counts['converged']} converged" in words("docs/diagnosis.md")
    assert (counts["stuck"], f"{counts.total():,}") == (317, "1,200")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            "docs/verdicts.md",
            f"{HYPOTHESES} hypotheses of {ROWS} rows share the rates of {len(CLAIMS)}",
        ),
        ("docs/verdicts.md", f"fall of {100 * DROP_FROM_HIGH:.0f} points below it"),
        ("docs/verdicts.md", f"of {100 * DROP:.0f} where it is {100 * HIGH:.0f} % or less"),
        ("docs/verdicts.md", f"claims have {5 * CLAIMS_SHARE:.0f} in 5"),
        ("docs/verdicts.md", f"comparisons {5 * AS_BEFORE:.0f} in 5"),
        (
            "docs/verdicts.md",
            "looks after {} trials, and again after {} and {}".format(*Looks().trials),
        ),
        ("docs/verdicts.md", f"on the first {Whole().seeds} seeds of each"),
        ("docs/verdicts.md", f"or {LEAST_SHIFT:g} of the seeds' spread"),
        ("docs/verdicts.md", f"up to {LEAST_SHIFT:g} of the seeds' spread"),
        ("docs/verdicts.md", f"from {LEAST_PAIRS} pairs on"),
    ],
)
def test_what_a_constant_decides(page, said):
    assert said in words(page)


def test_constants_that_are_told_in_words():
    """A half, a quarter, a quarter of alpha; three times the largest shift; more than half of the
    spread; the suite as a whole has what is left."""
    assert Looks().shares == (0.5, 0.25, 0.25)
    assert (RULER_FACTOR, COARSE) == (3, 0.5)
    assert pytest.approx(1) == CLAIMS_SHARE + AS_BEFORE + WHOLE
