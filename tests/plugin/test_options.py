"""Options, their twins in ini files, and the marker, right and wrong."""

import pytest

from deepcaptcha.plugin.options import SETTINGS
from deepcaptcha.trials.place import default_ledger
from tests.plugin.examples import COUNTED, GUESSES, here, run


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("2", "write pytest.mark.convergence(hypotheses=N)"),
        ("target='0.9', epochs=1, p_good=0.9, p_bad=0.2", "target is '0.9'; a number is needed"),
        ("target=1.5, epochs=1, p_good=0.9, p_bad=0.2", "target is 1.5; an accuracy lies above 0"),
        (
            "target=0.5, epochs=1, p_good=0.2, p_bad=0.9",
            "needs 0 < p_bad < p_good < 1, not p_bad 0.9",
        ),
    ],
)
def test_a_wrong_marker_fails_its_own_test_in_one_clear_line(guesses, marker, words):
    guesses.makepyfile(
        test_no=f"""
import pytest

@pytest.mark.convergence({marker})
def test_no(convergence):
    assert False, "never reached"
"""
    )
    result = here(guesses)
    result.assert_outcomes(passed=1, failed=1, errors=1)
    (line,) = {line for line in result.stdout.lines if words in line and "ERROR" not in line}
    assert "test_no" not in line  # pytest has named it already
    assert "3 hypotheses share the suite's rates" in result.stdout.str()  # as if it were right


@pytest.mark.integration
def test_a_wrong_marker_fails_its_own_test_under_two_workers(guesses):
    guesses.makepyfile(test_no=COUNTED.format("2.5"))
    result = run(guesses, "-n", "2")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    assert "write pytest.mark.convergence(hypotheses=N)" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_every_option_has_an_ini_twin_and_counts_more(guesses):
    assert [setting.name for setting in SETTINGS] == [
        *("seed", "hypotheses", "rows", "pinned", "alpha", "beta", "ledger", "report"),
        *("json", "save", "jobs"),
        *("max_trials", "timeout", "minutes", "reuse", "fresh", "repair", "record", "accept"),
        *("reason", "strict", "confirm"),
    ]
    guesses.makeini(
        "[pytest]\nconvergence_seed = 7\nconvergence_hypotheses = 10\nconvergence_rows = 4\n"
        "convergence_alpha = 0.2\n"
        "convergence_beta = 0.1\nconvergence_ledger = kept\nconvergence_jobs = 3\n"
        "convergence_timeout = 60\n"
        "convergence_max_trials = 6\nconvergence_minutes = 1.5\n"
        "convergence_reuse = true\nconvergence_record = true\nconvergence_strict = true\n"
        "convergence_confirm = true\n"
    )
    guesses.makeconftest(
        """
        from deepcaptcha.plugin.options import read_options

        def pytest_sessionstart(session):
            found = vars(read_options(session.config))
            root = session.config.rootpath
            print("SETTINGS", [v.relative_to(root).name if v and k == "ledger" else v
                               for k, v in found.items()])
        """
    )
    text = here(guesses, "--collect-only", "-s").stdout.str()
    assert (
        "SETTINGS [7, 10, 4, False, 0.2, 0.1, 'kept', None, None, None, 3, 60, 6, 1.5, True, False, "
        "None, True, None, None, True, True]" in text
    )
    assert (
        "again with --convergence-seed 7 --convergence-hypotheses 10 --convergence-rows 4" in text
    )
    given = ("--convergence-seed=8", "--convergence-alpha=0.3", "--convergence-ledger=other")
    given += ("--convergence-strict",)
    text = here(guesses, "--collect-only", "-s", *given).stdout.str()
    assert (
        "SETTINGS [8, 10, 4, False, 0.3, 0.1, 'other', None, None, None, 3, 60, 6, 1.5, True, False, "
        "None, True, None, None, True, True]" in text
    )
    assert (
        "--convergence-seed 8 --convergence-hypotheses 10 --convergence-rows 4 --convergence-alpha 0.3 "
        "--convergence-strict" in text
    )


def test_the_marker_is_registered(guesses):
    text = here(guesses, "--markers").stdout.str()
    assert "@pytest.mark.convergence(hypotheses=1, target" in text
    # Other people's own names.
    assert "@pytest.mark.slow" not in text
    assert "@pytest.mark.integration" not in text


def test_an_unmarked_test_is_refused_before_any_training(guesses):
    guesses.makepyfile(test_it=GUESSES.replace("@pytest.mark.convergence\n", ""))
    result = here(guesses)
    result.assert_outcomes(errors=2)
    assert "must carry pytest.mark.convergence" in result.stdout.str()
    assert not default_ledger(guesses.path).exists()
    guesses.makeconftest(  # too late to be counted
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.convergence(hypotheses=1))
        """
    )
    late = here(guesses)
    late.assert_outcomes(errors=2)
    assert "must carry pytest.mark.convergence when it is collected" in late.stdout.str()


def test_a_time_limit_is_for_workers_which_train_unless_told_otherwise(guesses):
    guesses.makeini("[pytest]\n")
    assert here(guesses, "--collect-only", "--convergence-timeout", "9").ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--convergence-seed", "some"], "--convergence-seed: 'some' is given; 'fixed', 'any' or"),
        (["--convergence-seed", "-1"], "--convergence-seed: '-1' is given; 'fixed', 'any' or"),
        (["-o", "convergence_hypotheses=no"], "convergence_hypotheses: 'no' is given; a whole num"),
        (
            ["-o", "convergence_alpha=5"],
            "convergence_alpha: '5' is given; a number between 0 and 1",
        ),
        (
            ["--convergence-beta", "no"],
            "--convergence-beta: 'no' is given; a number between 0 and 1",
        ),
        (
            ["--convergence-hypotheses", "0"],
            "--convergence-hypotheses: '0' is given; a whole number",
        ),
        (["--convergence-jobs", "0"], "--convergence-jobs: '0' is given; a whole number"),
        (
            ["--convergence-timeout", "9"],
            "single_thread, --convergence-timeout needs --convergence-jobs: a training in the",
        ),
        (["-o", "convergence_alpha="], "convergence_alpha: '' is given; a number between 0 and 1"),
    ],
)
def test_a_wrong_option_is_one_clear_line(guesses, arguments, words):
    result = here(guesses, "--collect-only", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert "Traceback" not in result.stderr.str()
