import pytest

from answer.statements import (
    ALPHA,
    PAIRS,
    RECIPES,
    STATEMENTS,
    Statement,
    could_hold,
    judge_statement,
)
from deepcaptcha.networks.variants import VARIANTS


def outcomes(**rows):
    """Keyword -> (converged, stuck): that many of each, as a function of the variant's name."""
    made = {name: ["converged"] * k + ["stuck"] * s for name, (k, s) in rows.items()}
    return made.__getitem__


AT_LEAST = Statement("answer", "worked", "a", "converged", "at least", 0.9)
AT_MOST = Statement("answer", "seldom", "a", "missed", "at most", 0.2)
MORE = Statement("answer", "helps", "a", "converged", "more than", "b")
LESS = Statement("answer", "harms", "a", "converged", "less than", "b")


def test_every_statement_is_of_a_known_variant_and_readable():
    for statement in STATEMENTS:
        assert statement.variant in VARIANTS
        assert statement.bound in VARIANTS or 0 < statement.bound < 1
    assert STATEMENTS[0].reading == "P(stuck) at least 0.75"


def test_the_chance_of_one_wrong_word():
    # 13 sentences under 2 recipes share 5 %
    assert len(STATEMENTS) * len(RECIPES) == 26
    assert pytest.approx(0.05 / 26) == ALPHA


@pytest.mark.parametrize(
    ("converged", "word"),
    [
        # With no failure in n the lower end is (ALPHA / 2) ** (1 / n): 0.8986 for 65, 0.9001 for 66.
        (66, "holds"),
        (65, "undecided"),
    ],
)
def test_a_rate_at_least(converged, word):
    assert judge_statement(AT_LEAST, outcomes(a=(converged, 0))) == word


def test_a_rate_at_least_that_is_not():
    # No success in n ends at 1 - (ALPHA / 2) ** (1 / n): 0.901 for 3, 0.824 for 4.
    assert judge_statement(AT_LEAST, outcomes(a=(0, 3))) == "undecided"
    assert judge_statement(AT_LEAST, outcomes(a=(0, 4))) == "does not hold"


def test_a_rate_at_most_counts_what_missed():
    # No miss in n ends at 1 - (ALPHA / 2) ** (1 / n): 0.2008 for 31, 0.1951 for 32.
    assert judge_statement(AT_MOST, outcomes(a=(32, 0))) == "holds"
    assert judge_statement(AT_MOST, outcomes(a=(31, 0))) == "undecided"
    assert judge_statement(AT_MOST, outcomes(a=(0, 20))) == "does not hold"


def test_comparisons():
    # 6 of 6 against 0 of 6 has p = 1 / C(12, 6) = 1 / 924, above ALPHA / 2 = 1 / 1040; of 7, 1 / 3432.
    assert judge_statement(MORE, outcomes(a=(6, 0), b=(0, 6))) == "undecided"
    assert judge_statement(MORE, outcomes(a=(7, 0), b=(0, 7))) == "holds"
    assert judge_statement(MORE, outcomes(a=(0, 7), b=(7, 0))) == "does not hold"
    assert judge_statement(LESS, outcomes(a=(0, 7), b=(7, 0))) == "holds"
    assert judge_statement(LESS, outcomes(a=(7, 0), b=(0, 7))) == "does not hold"


def test_the_better_network_of_a_pair_has_no_fewer_parameters():
    for pair in PAIRS:
        better, worse = (
            VARIANTS[name].architecture.parameters for name, _ in (pair.better, pair.worse)
        )
        assert better >= worse


def test_what_so_many_trials_could_show():
    # 0.9 needs 66 trials without a failure, as above; a comparison 7 against 7.
    assert [could_hold(AT_LEAST, n) for n in (65, 66)] == [False, True]
    assert [could_hold(AT_MOST, n) for n in (31, 32)] == [False, True]
    assert [could_hold(MORE, n) for n in (6, 7)] == [False, True]
    assert [could_hold(LESS, n) for n in (6, 7)] == [False, True]
