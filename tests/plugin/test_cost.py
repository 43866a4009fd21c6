"""What verdicts cost, and how it is kept down: told beforehand, capped, taken from the ledger, side by
side, gone on with."""

import os
import re
import sys

import pytest

from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.place import default_ledger
from tests.helpers import interrupt, interruptible

# At 0.9 / 0.1 within 5 % two trainings that agree decide.
LEARNS = """
import pytest

def train(seed):
    yield {{"accuracy": 0.95}}

@pytest.mark.convergence(
    target=0.9, epochs=1, monitor="accuracy", p_good=0.9, p_bad=0.1, {0}
)
def test_it(convergence):
    convergence.check_training(train, version={1!r})
"""


@pytest.fixture
def learns(pytester):
    def make(marker="", version="1"):
        pytester.makepyfile(test_it=LEARNS.format(marker, version))
        return pytester

    return make


def here(pytester, *arguments):
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest", *arguments)
    return result, " ".join(result.stdout.str().split())


def trained(pytester):
    folder = default_ledger(pytester.path)
    return sum(len(path.read_text().splitlines()) - 1 for path in folder.glob("*.jsonl"))


def test_the_cost_is_told_before_the_first_training(learns):
    pytester = learns()
    _, text = here(pytester, "--collect-only")
    assert re.search(
        r"2 trainings expected if all is well, at most \d+; their minutes are kno", text
    )
    assert not default_ledger(pytester.path).exists()  # nothing appears unasked
    here(pytester)[0].assert_outcomes(passed=1)
    _, text = here(pytester, "--collect-only")
    assert re.search(
        r"2 trainings expected if all is well, at most \d+; about \d+ s, at most \d+ s", text
    )
    assert os.listdir(pytester.path) == ["test_it.py"] or not {"build"} & {
        *os.listdir(pytester.path)
    }
    _, text = here(pytester, "--collect-only", "--convergence-max-trials", "1")
    assert "1 training expected if all is well, at most 1 by its cap, and then undecided;" in text


OTHERS = """
import pytest
from deepcaptcha import Claim, FunctionSource, Target

SOURCE = FunctionSource(lambda seed: {"value": 1.0}, Target(0.9, 1, "value"), "sure", "1")

@pytest.mark.convergence(hypotheses=2)
def test_names_its_claim(convergence):
    convergence.judge(SOURCE, Claim("trains", 0.9, 0.1))
    convergence.judge(SOURCE, Claim("trains", 0.9, 0.1))

@pytest.mark.convergence(p_good=0.51, p_bad=0.5)
def test_has_no_plan(convergence):
    convergence.judge(SOURCE)
"""


def test_a_claim_without_a_plan_fails_its_own_test_only(learns):
    pytester = learns()
    pytester.makepyfile(test_others=OTHERS)
    result, text = here(pytester)
    result.assert_outcomes(passed=2, failed=1)
    assert "over 1000 trials; set them wider apart" in text
    assert "trainings expected if all is well" in text
    _, text = here(pytester, "--collect-only")
    # At 0.9 / 0.1 within 5 % / 4 two that agree decide: 0.1 ** 2 = 0.01.
    assert re.search(
        r"1 test that names no claim in its marker took 4 trainings, \d+ s, the last time", text
    )


@pytest.mark.parametrize(
    ("marker", "arguments"),
    [
        ("max_trials=1", []),
        ("max_trials=9", ["--convergence-max-trials=1"]),  # the least counts
        ("", ["-o", "convergence_max_trials=1"]),
        ("minutes=1e-9", []),
        ("", ["--convergence-minutes=1e-9"]),
    ],
    ids=str,
)
def test_a_capped_verdict_is_undecided_and_skips_its_test(learns, marker, arguments):
    pytester = learns(marker)
    result, text = here(pytester, "-rs", *arguments)
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.OK
    assert "test_it.py:6: undecided, trains: 1 of 1 (95 % interval 2-100 %), stopped after" in text
    assert "1 more in a row make it green, " in text
    assert trained(pytester) == 1
    result, text = here(pytester, "--convergence-strict", *arguments)
    result.assert_outcomes(failed=1)
    assert "undecided, trains: 1 of 1" in text
    assert "1 trials, 1 of them from the ledger, took" in text


def test_known_trainings_are_taken_from_the_ledger_where_all_code_is_known(learns):
    pytester = learns()
    here(pytester)[0].assert_outcomes(passed=1)
    assert trained(pytester) == 2
    result, text = here(pytester, "-v")
    result.assert_outcomes(passed=1)
    assert re.search(
        r"green, 2 of 2 \(95 % interval 15-100 %\); \d+ s; 2 of 2 from the ledger", text
    )
    assert trained(pytester) == 2
    for arguments in (["--convergence-fresh"], ["--convergence-confirm"]):
        _, text = here(pytester, *arguments)
        assert "from the ledger" not in text
    assert trained(pytester) == 6
    _, text = here(learns(version="2"))
    assert "from the ledger" not in text


def test_a_row_that_is_compared_is_trained_anew(pytester):
    text = LEARNS.format("hypotheses=3, rows=1", "1")
    pytester.makepyfile(test_it=text.replace("version=", "baselines=FOLDER, version="))
    pytester.makeconftest("import builtins, pathlib\nbuiltins.FOLDER = pathlib.Path('baselines')\n")
    here(pytester)[0].assert_outcomes(failed=1)  # there was no baseline
    here(pytester)
    _, text = here(pytester)
    assert "14 trials took" in text
    assert "and what comparing 1 row with its baseline needs" in text
    _, text = here(pytester, "--convergence-reuse")  # but whoever asks for it has it
    assert "of them from the ledger" in text


SLOW = """
import os, sys, time
import pytest

def train(seed):
    if seed == 2_000_001:
        print("training", file=sys.stderr, flush=True)
        time.sleep(float(os.environ.get("PAUSE", 0)))
    yield {"accuracy": 0.95}

@pytest.mark.convergence(target=0.9, epochs=1, monitor="accuracy", p_good=0.9, p_bad=0.1)
def test_it(convergence):
    convergence.check_training(train)
"""


@pytest.mark.integration
def test_after_an_interruption_it_says_how_to_go_on(pytester):
    pytester.makepyfile(test_it=SLOW)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:hypothesispytest"]
    with interruptible(command, cwd=pytester.path, env={**os.environ, "PAUSE": "900"}) as process:
        out, _ = interrupt(process, "training")
    text = " ".join(out.split())
    assert f"Finished trainings are kept in {default_ledger(pytester.path)}." in text
    again = "-s -p no:hypothesispytest --convergence-seed 2000000 --convergence-reuse"
    assert f"Go on: pytest {again}" in text
    assert [trial.seed for trial in read_ledger(default_ledger(pytester.path)).trials] == [2000000]
    _, text = here(pytester, "-v", *again.split())
    assert re.search(
        r"green, 2 of 2 \(95 % interval 15-100 %\); \d+ s; 1 of 2 from the ledger", text
    )


@pytest.mark.integration
def test_one_test_has_all_jobs_however_many_workers_look_on(pytester):
    pytester.makepyfile(
        test_it=LEARNS.format("", "1") + "    print('ROOM', convergence.runner.room)\n"
    )
    for arguments, room in (["-n", "2"], 4), (["-n", "0"], 4):
        given = ("--convergence-jobs", "4", "-rP", "-p", "no:hypothesispytest")
        result = pytester.runpytest_subprocess(*given, *arguments)
        result.assert_outcomes(passed=1)
        assert f"ROOM {room}" in result.stdout.str()
