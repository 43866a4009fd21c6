"""The command line: what it prints, and how it says no."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from deepcaptcha.cli.main import main
from deepcaptcha.trials.ledger import Ledger
from tests.trials.test_ledger import make_trial
from tests.verdicts.test_baseline import trial


def test_params_prints_rows_and_total(capsys):
    assert main(["params", "same"]) == 0
    out = capsys.readouterr().out
    assert "conv1          (28, 28, 32)        320  3*3*1*32 + 32 = 320" in out
    assert out.splitlines()[-1].split() == ["total", "342,458"]


def test_params_json(capsys):
    main(["params", "valid", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record["parameters"] == 80_314
    assert record["layers"][0]["arithmetic"] == "3*3*1*32 + 32 = 320"


def test_variants_and_recipes_are_listed(capsys):
    main(["variants", "--json"])
    variants = json.loads(capsys.readouterr().out)
    assert len(variants) == 12
    assert {v["by"] for v in variants} == {"question", "answer", "this project"}
    main(["recipes", "--json"])
    assert [r["name"] for r in json.loads(capsys.readouterr().out)] == [
        "raw-subset",
        "sound-subset",
        "question",
        "captcha",
        "captcha-white",
    ]
    main(["variants"])
    main(["recipes"])
    out = capsys.readouterr().out
    assert "two-by-two" in out
    assert "60,000 of keras" in out
    assert "40,000 of captcha" in out
    assert "0..1, ink as 1" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["params", "sane"], "unknown variant 'sane'; known: same, valid"),
        (["study", "--variants", "same,vald"], "unknown variant 'vald'"),
        (["study", "--variants", ","], "an empty list of names"),
        (["study", "--recipes", "raw"], "unknown recipe 'raw'"),
        (["study", "--seeds", "0"], "--seeds is '0'; a whole number >= 1"),
        (["study", "--seeds", "many"], "--seeds is 'many'"),
        (["study", "--jobs", "0"], "--jobs is '0'"),
        (["study", "--executor", "threads"], "--executor is 'threads'; process, dask or"),
        (["study", "--executor", "dask:"], "--executor is 'dask:'"),
        (["study", "--executor", "dask:h:1", "--jobs", "2"], "--jobs is for this machine"),
        (["study", "--executor", "dask", "--jobs", "x"], "--jobs is 'x'"),
        (["study", "--stream", "river"], "unknown seed stream 'river'; known: pilot"),
        (["study", "--data", "/no/such.npz"], "cannot read the digits from /no/such.npz"),
        (["study", "--recipes", "question", "--data", "subset"], "wants 60000 training digits"),
        (["plan", "--p-good", "0.5", "--p-bad", "0.9"], "p_bad must be less than p_good"),
        (
            ["plan", "--p-good", "1", "--p-bad", "0.5"],
            "p_good must be a number above 0 and below 1",
        ),
        (["plan", "--p-good", "high", "--p-bad", "0.5"], "--p-good is 'high'; a number between"),
        (["plan", "--p-good", "0.9", "--p-bad", "0.5", "--alpha", "0"], "alpha must be a number"),
        (["plan", "--p-good", "0.9", "--p-bad", "0.5", "--max-trials", "3"], "the least is"),
        (["compare", "/no/such.jsonl", "/no/such.jsonl"], "cannot read the ledger /no/such.jsonl"),
        (["compare", "/no/folder", "/no/folder"], "the ledger /no/folder holds no trials"),
        (["report", "--ledger", "/no/folder"], "the ledger /no/folder holds no trials"),
        (["claims", "--record", "/no/folder"], "no record of same sound-subset in /no/folder"),
        (["study", "--output", "/dev/null/x"], "cannot record trials in /dev/null/x/ledger"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_dask_without_its_extra_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["study", "--executor", "dask"]) == 2
    error = capsys.readouterr().err
    assert "pytest-deepcaptcha with its extra `dask`" in error
    assert len(error.splitlines()) == 1


def test_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m deepcaptcha variants | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Variants")
    assert done.stderr == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("params", "variants", "recipes", "study"))


def test_plan_prints_the_reference_point(capsys):
    """0.95 against 0.5 at 1 % each: a fixed plan takes 17 trials and 14 successes (binomial tails)."""
    rates = ["--p-good", "0.95", "--p-bad", "0.5", "--alpha", "0.01", "--beta", "0.01"]
    assert main(["plan", *rates, "--json", "--ledger", "/no/folder"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["fixed_plan"] == {"trials": 17, "accept_at": 14}
    assert record["max_trials"] == 22  # a quarter more than 17, rounded up
    assert 0 < record["alpha"] <= 0.01
    assert 0 < record["beta"] <= 0.01
    half = (record["expected_trials_good"] + record["expected_trials_bad"]) / 2
    assert record["lower_bound"] <= half <= 1.05 * record["lower_bound"]
    assert main(["plan", *rates, "--ledger", "/no/folder"]) == 0
    text = capsys.readouterr().out
    assert "a fixed plan takes 17 (green from 14)" in text
    assert "never more than 22" in text


def test_plan_tells_minutes_from_recorded_trials(tmp_path, capsys):
    with Ledger(tmp_path) as book:
        book.append(make_trial(0))  # 1.5 seconds
    rates = ["--p-good", "0.95", "--p-bad", "0.5", "--alpha", "0.01", "--beta", "0.01"]
    main(["plan", *rates, "--ledger", str(tmp_path)])
    # 22 trials of 1.5 s are 33 s, 0.55 minutes
    assert "points: 0.2 expected, 0.6 at most (1.5 s a trial" in capsys.readouterr().out


def test_compare_says_what_changed(tmp_path, capsys):
    for side, outcome in (("before", "converged"), ("after", "stuck")):
        with Ledger(tmp_path / side) as book:
            for seed in range(8):
                made = trial(seed, outcome, initial_weights=f"w{seed}")
                book.append(replace(made, weights_sha256=outcome))
    sides = [str(tmp_path / side) for side in ("before", "after")]
    assert main(["compare", *sides]) == 1
    assert "trains less reliably" in capsys.readouterr().out
    assert main(["compare", *sides[::-1], "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["before"], row["after"], row["changed"]) == ([0, 8], [8, 8], True)
    assert row["p"] == pytest.approx(2 / 12870)  # Fisher: 2 / C(16, 8)


def test_claims_stand_beside_what_was_recorded(capsys):
    assert main(["claims", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["hypotheses"] == 67  # 24 rows with reliability and speed, 19 claims judged
    stuck = next(c for c in record["claims"] if c["claim"] == "stuck")
    assert (stuck["variant"], stuck["recipe"]) == ("same", "raw-subset")
    assert all(c["chance_to_pass"] > 0.99 for c in record["claims"] if c["claim"] != "mixed")
    assert main(["claims"]) == 0
    assert "67 hypotheses" in capsys.readouterr().out
