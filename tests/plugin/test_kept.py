"""What runs keep and take up again: ledgers, baselines, and what of them is damaged or accepted."""

import json
import re
from dataclasses import replace

import pytest

from deepcaptcha.trials.place import default_ledger
from deepcaptcha.verdicts.baseline import read_baseline, write_baseline
from tests.helpers import ROOT
from tests.plugin.examples import GUESSES, INI, here, run


def files(folder):
    """Trials in each file of a ledger, the oldest file first."""
    return [len(path.read_text().splitlines()) - 1 for path in sorted(folder.glob("*.jsonl"))]


def test_reuse_takes_trials_from_the_ledger(guesses):
    here(guesses, "-k", "stuck")
    again = here(guesses, "-k", "stuck", "--convergence-reuse")
    again.assert_outcomes(passed=1, deselected=1)
    first, second = files(default_ledger(guesses.path))
    assert first > 0
    assert second == 0
    assert "2 hypotheses share" in again.stdout.str()  # counted before -k deselected one


def test_damaged_and_unsigned_records_are_told_once(guesses):
    """And how the ledger ends that was written: that lines were cut off is known by nothing else."""
    here(guesses, "-k", "stuck")
    ledger = default_ledger(guesses.path)
    (first,) = ledger.glob("*.jsonl")
    first.write_text(first.read_text().replace('"seconds":0', '"seconds":1', 1))
    old = ledger / "old.jsonl"
    old.write_text((ROOT / "tests" / "data" / "ledger-0.2.jsonl").read_text())
    result = here(guesses, "--convergence-reuse", "--convergence-report", "page.html")
    text = result.stdout.str()
    assert text.count("line 2 is damaged and was skipped") == 1
    assert text.count("2 of its trials are unsigned, recorded by an earlier version") == 1
    (path,) = {*first.parent.glob("trials-*.jsonl")} - {first}
    ends = json.loads(path.read_text().splitlines()[-1])["digest"]
    result.stdout.fnmatch_lines([f"Recorded in *: {path.name} ends with {ends[:12]}"])
    assert "line 2 is damaged and was skipped" in (guesses.path / "page.html").read_text()


def test_baselines_without_a_digest_are_told_once(guesses):
    source = GUESSES.replace("0.2))", '0.2), baselines=HERE / "baselines")')
    guesses.makepyfile(
        test_it=source.replace("convergence\n", "convergence(hypotheses=3, rows=1)\n")
    )
    here(guesses, "--convergence-record")
    path = guesses.path / "baselines" / "tiny" / "guess.json"
    assert "unsigned" not in here(guesses).stdout.str()
    record = {**json.loads(path.read_text()), "format": 2}
    del record["digest"]
    path.write_text(json.dumps(record))
    assert here(guesses).stdout.str().count("unsigned baselines in ") == 1


@pytest.mark.integration
def test_a_missing_baseline_is_written_and_fails(guesses):
    source = GUESSES.replace("0.2))", '0.2), baselines=HERE / "baselines")')
    guesses.makepyfile(test_it=source)
    undeclared = here(guesses, "-k", "stuck")
    undeclared.assert_outcomes(failed=1, deselected=1)
    assert (
        "asks for 3 verdicts, two of them against its baseline, and its test declares 1 and 0 rows; "
        "mark it with pytest.mark.convergence(hypotheses=3, rows=1)"
    ) in undeclared.stdout.str()
    marked = source.replace("mark.convergence\n", "mark.convergence(hypotheses=3, rows=1)\n")
    guesses.makepyfile(test_it=marked)
    first = here(guesses, "-k", "stuck")
    first.assert_outcomes(failed=1, deselected=1)
    assert "guess under tiny had no baseline; it is now" in first.stdout.str()
    written = json.loads((guesses.path / "baselines" / "tiny" / "guess.json").read_text())
    assert len(written["outcomes"]) == 30
    assert written["first_seed"] == 1_000_000
    second = here(guesses, "-k", "stuck")
    second.assert_outcomes(passed=1, deselected=1)
    assert "cannot tell whether as reliable: " in " ".join(second.stdout.str().split())


# Six rows; row n misses its target at the judged seeds 2n and 2n + 1 while a file says so, which is too
# little for any row's own plan.
ROWS = """
from pathlib import Path
import pytest
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Claim

HERE = Path(__file__).parent

@pytest.mark.parametrize(
    "row",
    [pytest.param(n, marks=pytest.mark.convergence(hypotheses=3, rows=1)) for n in range(6)],
)
def test_row(row, convergence):
    def train(seed):
        missed = (HERE / "worse").exists() and seed - 2_000_000 in (2 * row, 2 * row + 1)
        yield {"val_accuracy": 0.1 if missed else 0.95, "own": row + seed}

    source = FunctionSource(train, Target(0.9, epochs=1, chance=0.1), f"row{row}", "1", "tiny")
    convergence.judge(source, Claim("trains", 0.8, 0.3), baselines=HERE / "baselines")
"""


@pytest.mark.integration
def test_what_no_row_shows_the_suite_as_a_whole_does(pytester):
    pytester.makeini(INI)
    pytester.makepyfile(test_it=ROWS)
    here(pytester, "--convergence-record").assert_outcomes(passed=6)
    same = here(pytester)
    same.assert_outcomes(passed=6)
    assert same.ret == pytest.ExitCode.OK
    text = " ".join(same.stdout.str().split())
    assert "Baselines that no test names" not in text
    # By hand: 2 %, 2 % and 1 % of 5 %, shared by 6 claims and twelve comparisons of 6 rows.
    shares = (
        "claims: 0.4 x 0.05 / 6 claims = 0.00333 each; as before: 0.4 x 0.05 / 6 rows x 2 = 0.00167 each"
        "; the whole: 0.2 x 0.05 / 1 test = 0.01 each"
    )
    assert f"convergence: alpha of {shares}" in text
    assert "--convergence-hypotheses 18 --convergence-rows 6" in text
    assert "The suite as a whole: green; 6 rows, 14 seeds, 30 recorded: misses and" in text
    assert re.search(
        r"as before; sees a fall by \d+ points of every row's rate with 90 % power", text
    )

    (pytester.path / "worse").touch()
    worse = here(pytester)
    worse.assert_outcomes(passed=6)
    assert worse.ret == pytest.ExitCode.TESTS_FAILED
    assert "The suite as a whole: red; more misses" in worse.stdout.str()

    two = run(pytester, "-n", "2")  # whose controller has the courses from its workers
    two.assert_outcomes(passed=6)
    assert two.ret == pytest.ExitCode.TESTS_FAILED
    assert "The suite as a whole: red; more misses" in two.stdout.str()

    part = here(pytester, "-k", "row and not 3")
    assert part.ret == pytest.ExitCode.OK
    assert "The suite as a whole: cannot tell; 5 of 6 rows were judged." in part.stdout.str()


@pytest.mark.integration
def test_a_row_is_accepted_for_a_reason(pytester):
    pytester.makeini(INI)
    pytester.makepyfile(test_it=ROWS.replace("range(6)", "range(2)").replace("0.95", "HIGH"))
    high = pytester.path / "conftest.py"
    high.write_text("import builtins\nbuiltins.HIGH = 0.95\n")
    here(pytester, "--convergence-record").assert_outcomes(passed=2)
    high.write_text("import builtins\nbuiltins.HIGH = 0.92\n")
    here(pytester).assert_outcomes(failed=2)  # lower in each trial, though every one met its target
    lone = here(pytester, "--convergence-accept", "row0")
    assert lone.ret == pytest.ExitCode.USAGE_ERROR
    assert "--convergence-reason TEXT are given together" in lone.stderr.str()
    unknown = here(pytester, "-k", "0", "--convergence-accept=row9", "--convergence-reason=why")
    assert "No row row9 with a baseline was judged; nothing is accepted" in unknown.stdout.str()

    given = ("--convergence-accept", "row0 tiny", "--convergence-reason", "a smaller head")
    for workers in ([], ["-n", "2"]):
        result = run(pytester, *given, *workers)
        result.assert_outcomes(passed=1, failed=1)  # the other row is judged as ever
        text = " ".join(result.stdout.str().split())
        assert (
            "row0 under tiny is accepted, a smaller head: 30 of 30 converged, recorded 30 of"
            in text
        )
    assert "val_accuracy after epoch 1: 0.920, recorded 0.920 to 0.920" in text  # the second time
    path = pytester.path / "baselines" / "tiny" / "row0.json"
    first, second = json.loads(path.read_text())["accepted"]
    assert (first["reason"], second["reason"]) == ("a smaller head",) * 2
    assert any(
        line.startswith("val_accuracy after epoch 1: 0.920, recorded 0.950 to 0.950")
        for line in first["lines"]
    )
    here(pytester, "-k", "0").assert_outcomes(passed=1, deselected=1)

    made = read_baseline(pytester.path / "baselines", "row0", "tiny")
    write_baseline(pytester.path / "baselines", replace(made, name="gone"))
    assert "Baselines that no test names: tiny/gone." in here(pytester).stdout.str()
