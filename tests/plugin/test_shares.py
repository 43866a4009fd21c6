"""By how many the suite's rates are shared, and what the header says of it."""

import re

import pytest

from tests.plugin.examples import here, run


@pytest.mark.integration
def test_a_pinned_number_holds_whatever_is_selected(guesses):
    guesses.makeini("[pytest]\nconvergence_hypotheses = 7\n")
    one = "test_it.py::test_guesses[stuck]"
    for arguments in ([], [one], ["--lf"]):
        here(guesses, "--collect-only", *arguments).assert_outcomes()
    assert "7 hypotheses share the suite's rates" in here(guesses, one).stdout.str()


# What a test's verdicts share, for whoever asks.
SHOWN = """
import pytest

@pytest.mark.convergence(hypotheses={0})
@pytest.mark.parametrize("word", ["fox", "owl"])
def test_shown(convergence, word, record_property):
    print("SHARED", convergence.budget.hypotheses)
    assert word == "fox"
"""


@pytest.fixture
def shown(pytester):
    """A module of two tests with two verdicts each, and one of two tests with one each."""
    pytester.makepyfile(test_two=SHOWN.format(2), test_one=SHOWN.format(1))
    return pytester


def shared(pytester, *arguments):
    """By how many hypotheses the rates were divided, as each test found it."""
    return set(re.findall(r"SHARED (\d+)", here(pytester, "-s", *arguments).stdout.str()))


def test_the_rates_are_shared_by_what_is_collected_before_any_is_deselected(shown):
    assert shared(shown, "test_one.py") == {"2"}  # on a fresh checkout, whatever else there is
    assert shared(shown) == {"6"}
    for arguments in (["-k", "one and fox"], ["--deselect=test_two.py"], ["--lf"], ["--sw"]):
        assert shared(shown, *arguments) == {"6"}
    assert shared(shown, "test_one.py::test_shown[fox]") == {"1"}
    assert shared(shown, "--ignore=test_two.py", "-p", "no:cacheprovider") == {"2"}
    assert shared(shown, "test_one.py", "--convergence-hypotheses", "9") == {"9"}


def test_the_header_says_how_the_rates_are_shared(shown):
    text = here(shown, "--collect-only", "test_one.py").stdout.str()
    assert "alpha of 0.05 / 2 verdicts = 0.025 each (as collected)" in text
    text = here(shown, "--collect-only", "--convergence-hypotheses", "10").stdout.str()
    assert "alpha of 0.05 / 10 verdicts = 0.005 each (pinned)" in text
    here(shown, "test_two.py", "--convergence-hypotheses", "3").assert_outcomes(errors=2)


def test_whoever_wants_the_number_pinned_is_told_what_to_pin(suite):
    result = here(suite, "-o", "convergence_pinned=true")
    result.assert_outcomes(passed=1, errors=2)
    assert "and the number of hypotheses is not: ini convergence_hypotheses = N" in str(
        result.stdout
    )
    pinned = ("--convergence-pinned", "--convergence-hypotheses=3")
    here(suite, *pinned).assert_outcomes(passed=3)


# Two rows and the twin of one of them: 6 hypotheses of 2 rows, whatever is collected.
ROWED = """
import pytest

@pytest.mark.convergence(hypotheses=3, rows=1{0})
def test_shared(convergence):
    budget = convergence.budget
    assert (budget.hypotheses, budget.rows, budget.claims) == (6, 2, 2)
"""


@pytest.fixture
def rowed(pytester):
    pytester.makepyfile(
        test_one=ROWED.format(""), test_two=ROWED.format(""), test_twin=ROWED.format(', twin="one"')
    )
    return pytester


def test_rows_are_counted_like_hypotheses_and_twins_once(rowed):
    pinned = ("--convergence-hypotheses=6", "--convergence-rows=2")
    here(rowed, *pinned, "test_one.py").assert_outcomes(passed=1)
    told = "convergence: alpha of claims: 0.4 x 0.05 / 2 claims = 0.01 each; as before: 0.4 x"
    assert told in str(here(rowed).stdout)
    both = here(rowed, "--convergence-pinned", pinned[0])
    both.assert_outcomes(errors=3)
    assert "the number of rows is not: ini convergence_rows = N" in str(both.stdout)
    few = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=1")
    few.assert_outcomes(errors=3)
    assert "1 rows are pinned, and 2 were collected" in str(few.stdout)
    many = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=4")
    assert "4 rows are pinned, which are two verdicts each, and 6 hypotheses" in str(many.stdout)
    # 3 rows take all 6, and two claims would each have the whole part of claims.
    starved = here(rowed, "--convergence-hypotheses=6", "--convergence-rows=3")
    starved.assert_outcomes(errors=3)
    assert "3 rows of 6 hypotheses are pinned, which leaves 0 for claims, and 2" in str(
        starved.stdout
    )


@pytest.mark.integration
def test_two_workers_and_their_controller_know_the_shares_of_the_whole(suite):
    header = "convergence: again with --convergence-seed 2000000 --convergence-hypotheses 3; "
    for arguments in [], ["-k", "one or no"], ["-p", "no:cacheprovider"]:
        result = run(suite, "-n", "2", *arguments)
        assert result.ret == pytest.ExitCode.OK
        assert result.stdout.str().count(header) == 1
