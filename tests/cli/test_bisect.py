"""A network beside itself as its baseline was recorded."""

import re
from pathlib import Path

import pytest

from deepcaptcha.cli.bisect import _as_recorded
from deepcaptcha.errors import InputError
from deepcaptcha.networks.recipes import RECIPES
from tests.helpers import ROOT

BASELINES = ROOT / "fixtures" / "baselines"


def test_the_changed_settings_are_those_that_the_baseline_was_recorded_with():
    raw, sound = (RECIPES[name].source("same") for name in ("raw-subset", "sound-subset"))
    found = _as_recorded(raw, BASELINES / "sound-subset" / "same.json")
    assert (found.name, found.recipe) == ("same as recorded", "sound-subset")
    assert raw.settings["scaling"] == "raw"
    # By the recipes themselves, in which nothing else differs.
    assert dict(found.settings) == dict(sound.settings)


def test_a_baseline_that_is_not_there_is_told():
    path = BASELINES / "sound-subset" / "none.json"
    with pytest.raises(InputError, match=r"^there is no baseline .*none\.json$"):
        _as_recorded(RECIPES["raw-subset"].source("same"), path)


def test_a_baseline_is_found_from_within_its_folder_too(monkeypatch):
    monkeypatch.chdir(BASELINES / "sound-subset")
    found = _as_recorded(RECIPES["raw-subset"].source("same"), Path("same.json"))
    assert found.recipe == "sound-subset"


@pytest.mark.parametrize("path", ["none.json", ".", "/"])
def test_what_is_no_baseline_is_told_by_its_own_path(path):
    with pytest.raises(InputError, match=f"^there is no baseline {re.escape(path)}$"):
        _as_recorded(RECIPES["raw-subset"].source("same"), Path(path))
