"""The command line: what it prints, and how it says no."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

import deepcaptcha
from deepcaptcha.cli.main import main
from deepcaptcha.trials.ledger import Ledger
from tests.helpers import make_trial
from tests.verdicts.examples import trial


def printed(capsys, *arguments, code=0):
    assert main([*arguments]) == code
    return capsys.readouterr().out


def test_a_networks_layers_with_their_arithmetic(capsys):
    out = printed(capsys, "list", "same")
    assert "conv1          (28, 28, 32)        320  3*3*1*32 + 32 = 320" in out
    assert out.splitlines()[-1].split() == ["total", "342,458"]


def test_layers_as_json(capsys):
    record = json.loads(printed(capsys, "list", "valid", "--json"))
    assert record["parameters"] == 80_314
    assert record["layers"][0]["arithmetic"] == "3*3*1*32 + 32 = 320"
    assert record["layers"][0]["output_shape"] == [26, 26, 32]


def test_layers_are_those_that_the_recipe_has(capsys):
    """Four digits of ten classes: 512 * 40 weights and 40 biases in the last layer."""
    layers = json.loads(printed(capsys, "list", "same:captcha", "--json"))["layers"]
    assert layers[-2]["parameters"] == 512 * 40 + 40
    assert layers[-1]["output_shape"] == [4, 10]


def test_variants_and_recipes_are_listed(capsys):
    variants = json.loads(printed(capsys, "list", "variants", "--json"))
    assert len(variants) == 12
    assert {v["by"] for v in variants} == {"question", "answer", "this project"}
    recipes = json.loads(printed(capsys, "list", "recipes", "--json"))
    assert [r["name"] for r in recipes] == [
        "raw-subset",
        "sound-subset",
        "question",
        "captcha",
        "captcha-white",
    ]
    out = printed(capsys, "list", "variants") + printed(capsys, "list", "recipes")
    assert "two-by-two" in out
    assert "60,000 of keras" in out
    assert "40,000 of captcha" in out
    assert "0..1, ink as 1" in out


def test_alone_it_lists_everything_also_where_nothing_is_recorded(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = printed(capsys, "list")
    assert [line for line in out.splitlines() if line.startswith(("Variants", "Recipes"))]
    assert "61 hypotheses" in out
    assert "recorded" not in out
    record = json.loads(printed(capsys, "list", "--json"))
    assert list(record) == ["variants", "recipes", "claims"]
    assert record["claims"]["claims"][0] == {
        "variant": "same",
        "recipe": "sound-subset",
        "claim": "trains",
        "p_good": 0.85,
        "p_bad": 0.5,
    }


RATES = ["--p-good", "0.9", "--p-bad", "0.5"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["lists"], "argument COMMAND: invalid choice: 'lists'"),
        (["list", "same", "--color"], "unrecognized arguments: --color"),
        (["list", "sane"], "unknown variant 'sane'; known: same, valid"),
        (["list", "same:raw"], "unknown recipe 'raw'"),
        (
            ["list", "claims", "--baselines", "/no/folder"],
            "no record of same sound-subset in /no/f",
        ),
        (["check", "sane"], "unknown variant 'sane'"),
        (["check"], "the following arguments are required: NETWORK"),
        (
            ["check", "same", "--seed", "-1"],
            "argument --seed: '-1' is no whole number from 0 to 429",
        ),
        (["check", "same", "--seed", "4294967296"], "argument --seed: '4294967296' is no whole"),
        (["check", "same", "--data", "/no/such.npz"], "cannot read the digits from /no/such.npz"),
        (["judge", "sane:raw-subset"], "unknown variant 'sane'"),
        (
            ["judge", "same", "--p-good", "1"],
            "argument --p-good: '1' is no number above 0 and below",
        ),
        (["judge", "same", "--beta", "2"], "argument --beta: '2' is no number above 0 and below 1"),
        (["judge", "same", "--p-good", "0.3"], "needs 0 < p_bad < p_good < 1"),
        (["judge", "same", "--mode", "most"], "argument --mode: invalid choice: 'most'"),
        (["judge", "same", "--epochs", "0"], "argument --epochs: '0' is no whole number >= 1"),
        (["judge", "same", "--target", "high"], "argument --target: 'high' is no number"),
        (["study", "--variants", "same,vald"], "unknown variant 'vald'"),
        (["study", "--variants", ","], "argument --variants: ',' holds no name"),
        (["study", "--recipes", "raw"], "unknown recipe 'raw'"),
        (
            ["study", "same", "--recipes", "raw-subset"],
            "give networks, or --variants and --recipes",
        ),
        (["study", "--seeds", "0"], "argument --seeds: '0' is no whole number >= 1"),
        (["study", "--seeds", "many"], "argument --seeds: 'many' is no whole number"),
        (["study", "--seed", "3"], "unrecognized arguments: --seed"),
        (["study", "--jobs", "0"], "argument --jobs: '0' is no whole number"),
        (["study", "--executor", "threads"], "'threads' is no executor; process, dask or"),
        (["study", "--executor", "dask:"], "'dask:' is no executor"),
        (["study", "--executor", "dask:h:1", "--jobs", "2"], "--jobs is for this machine"),
        (["study", "--executor", "dask", "--jobs", "x"], "argument --jobs: 'x'"),
        (["study", "--executor", "dask", "--time-limit", "9"], "--time-limit is for processes"),
        (["study", "--ruler"], "--ruler measures the rows of --baselines"),
        (["study", "same", "--ruler", "--baselines", "/no"], "same under raw-subset has no record"),
        (["study", "--stream", "river"], "argument --stream: invalid choice: 'river' (choose from"),
        (["study", "--data", "/no/such.npz"], "cannot read the digits from /no/such.npz"),
        (["study", "--recipes", "question", "--data", "subset"], "wants 60000 training digits"),
        (["study", "--output", "/dev/null/x"], "cannot record trials in /dev/null/x/ledger"),
        (["bisect", "same"], "same is given alone; another network or --baseline is needed"),
        (["bisect", "sane", "valid"], "unknown variant 'sane'"),
        (
            ["bisect", "same", "valid", "--first-seed", "x"],
            "argument --first-seed: 'x' is no whole",
        ),
        (["bisect", "same", "valid", "--cells", "0"], "argument --cells: '0' is no whole number"),
        (["bisect", "same", "valid", "--together", ","], "argument --together: ',' holds no name"),
        (["plan", "--p-good", "0.5", "--p-bad", "0.9"], "p_bad must be less than p_good"),
        (["plan", "--p-good", "0.5"], "the following arguments are required: --p-bad"),
        (["plan", "--p-good", "high", "--p-bad", "0.5"], "argument --p-good: 'high' is no number"),
        (["plan", *RATES, "--alpha", "0"], "argument --alpha: '0' is no number above 0"),
        (["plan", *RATES, "--max-trials", "3"], "the least is"),
        (["plan", *RATES, "--alpha", "0.6", "--beta", "0.4"], "alpha + beta must be less than 1"),
        (["compare", "/no/such.jsonl", "/no/such.jsonl"], "cannot read the ledger /no/such.jsonl"),
        (["compare", "/no/folder", "/no/folder"], "the ledger /no/folder holds no trials"),
        (["report", "--ledger", "/no/folder"], "the ledger /no/folder holds no trials"),
        (["params", "same"], "`params` is now `list NETWORK`, such as `list same`"),
        (["variants"], "`variants` is now `list variants`"),
        (["recipes"], "`recipes` is now `list recipes`"),
        (["claims", "--record", "x"], "`claims` is now `list claims`"),
        *(
            ([name], f"`{name}` is part of the question's study: `python -m answer {name}` in a ch")
            for name in ("symptoms", "predict", "explain", "retrain", "experiment")
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "told",
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepcaptcha: ")
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
        f"{sys.executable} -m deepcaptcha list variants | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Variants")
    assert done.stderr == ""


COMMANDS = ("list", "check", "judge", "study", "bisect", "compare", "report", "plan")


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert all(f"\n    {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_the_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"pytest-deepcaptcha {deepcaptcha.__version__}\n"


@pytest.mark.parametrize(
    ("started", "name"),
    [
        ("/venv/bin/deepcaptcha", "deepcaptcha"),
        ("/x/deepcaptcha/__main__.py", "python -m deepcaptcha"),
    ],
)
def test_the_program_is_named_as_it_was_started(started, name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {name} plan ")


def test_arithmetic_needs_no_heavy_library():
    code = (
        "import sys; from deepcaptcha.cli.main import main; main(['list', 'same']);"
        "print(sorted({'keras', 'tensorflow', 'scipy', 'rich', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_ctrl_c_ends_a_command_in_one_line(monkeypatch, capsys):
    def interrupted(text, data):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepcaptcha.cli.judge.read_subject", interrupted)
    assert main(["check", "same"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_a_plan_ends_where_no_training_is_ever_read(capsys):
    assert main(["plan", *RATES, "--max-trials", "1000"]) == 0
    head, longest = capsys.readouterr().out.split("never more than ")
    trials, green, red = head.partition("false red")[0].splitlines()[-1].split()
    assert (int(green), int(trials)) == (int(red) + 1, int(longest.split()[0]))
    assert int(trials) <= 40


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
                book.append(replace(made, weights_sha256=outcome, epochs=()))  # outcomes alone
    sides = [str(tmp_path / side) for side in ("before", "after")]
    assert main(["compare", *sides]) == 1
    assert "trains less reliably" in " ".join(
        capsys.readouterr().out.split()
    )  # a log has 80 columns
    assert main(["compare", *sides[::-1], "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["before"], row["after"], row["changed"]) == ([0, 8], [8, 8], True)
    assert row["p"] == pytest.approx(2 / 12870)  # Fisher: 2 / C(16, 8)


def test_claims_stand_beside_what_was_recorded(capsys):
    assert main(["list", "claims", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["hypotheses"] == 61  # 22 rows, but for twins, with two comparisons; 17 claims
    stuck = next(c for c in record["claims"] if c["claim"] == "stuck")
    assert (stuck["variant"], stuck["recipe"]) == ("same", "raw-subset")
    assert all(c["chance_to_pass"] > 0.99 for c in record["claims"] if c["claim"] != "mixed")
    assert main(["list", "claims"]) == 0
    assert "61 hypotheses" in capsys.readouterr().out
