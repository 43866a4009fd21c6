"""The command line: what it prints, and how it says no."""

import json
import subprocess
import sys

import pytest

from deepcaptcha.cli import main


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
    ]
    main(["variants"])
    main(["recipes"])
    out = capsys.readouterr().out
    assert "two-by-two" in out
    assert "60,000 of keras" in out


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
        (["study", "--stream", "river"], "unknown seed stream 'river'; known: pilot"),
        (["study", "--data", "/no/such.npz"], "cannot read the digits from /no/such.npz"),
        (["study", "--recipes", "question", "--data", "subset"], "wants 60000 training digits"),
        (["study", "--output", "/dev/null/x"], "cannot record trials in /dev/null/x/ledger"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
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
