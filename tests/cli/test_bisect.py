"""A network beside itself as its baseline was recorded."""

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
