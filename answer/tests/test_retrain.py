import json

import pytest

from answer.__main__ import main
from deepcaptcha.cli.main import main as deepcaptcha

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    arguments = ["--variants", "valid,same-logits", "--recipes", "sound-subset", "--seeds", "1"]
    record = ["--stream", "baseline", "--baselines", str(folder / "record"), "--jobs", "1"]
    assert deepcaptcha(["study", *arguments, *record, "--output", str(folder)]) == 0
    return folder / "record"


def retrain(folder, output, capsys, *more):
    capsys.readouterr()
    arguments = ["--baselines", str(folder), "--recipes", "sound-subset", "--trials", "2"]
    options = ["--draw", "1", "--jobs", "1", "--output", str(output), "--json"]
    code = main(["retrain", *arguments, *options, *more])
    return code, json.loads(capsys.readouterr().out)


def test_recorded_trials_are_trained_again(baselines, tmp_path, capsys):
    """In one test, so that what is recorded for it is trained by one worker."""
    the_same_environment_gives_the_same_bits(baselines, tmp_path / "same", capsys)
    other_weights_are_seen(baselines, tmp_path / "other", capsys)
    more_trials_than_are_recorded(baselines, capsys)
    digits_that_are_not_the_recorded_ones(baselines, tmp_path, capsys)


def the_same_environment_gives_the_same_bits(baselines, tmp_path, capsys):
    # The subset travels with the package: a file for other rows is not asked for it.
    code, found = retrain(baselines, tmp_path, capsys, "--data", "nowhere.npz")
    assert (code, found["agreement"]) == (0, ["same bits"] * 2)
    assert found["environment"] == []


def other_weights_are_seen(baselines, tmp_path, capsys):
    path = baselines / "sound-subset" / "valid.json"
    recorded = path.read_text()
    fields = {**json.loads(recorded), "format": 2}  # which has no digest
    del fields["digest"]
    path.write_text(json.dumps({**fields, "weights": ["0" * 12]}))
    try:
        code, found = retrain(baselines, tmp_path, capsys)
        assert (code, sorted(found["agreement"])) == (1, ["same bits", "same outcome"])
        path.write_text(
            json.dumps({**fields, "weights": ["0" * 12], "environment": {"threads": 9}})
        )
        code, found = retrain(baselines, tmp_path, capsys)
        assert code == 0
        assert any("threads 9 -> 1" in difference for difference in found["environment"])
    finally:
        path.write_text(recorded)


def more_trials_than_are_recorded(baselines, capsys):
    arguments = ["--baselines", str(baselines), "--recipes", "sound-subset", "--trials", "3"]
    assert main(["retrain", *arguments]) == 2
    assert "--trials is 3; 2 are recorded in" in capsys.readouterr().err


def digits_that_are_not_the_recorded_ones(baselines, tmp_path, capsys):
    path = tmp_path / "sound-subset" / "valid.json"
    path.parent.mkdir()
    recorded = json.loads((baselines / "sound-subset" / "valid.json").read_text())
    del recorded["digest"]
    path.write_text(json.dumps({**recorded, "format": 2, "data": "0" * 64}))
    arguments = ["--baselines", str(tmp_path), "--recipes", "sound-subset", "--trials", "1"]
    assert main(["retrain", *arguments]) == 2
    assert "valid sound-subset was recorded with other digits" in capsys.readouterr().err
