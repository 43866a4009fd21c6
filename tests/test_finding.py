"""What a finding says, and what it advises."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import deepcaptcha
from deepcaptcha.finding import ADVICE, CLIP, Component, Finding, advise


@pytest.mark.parametrize(("value", "written"), [(np.nan, "null"), (np.inf, "null"), (0.5, "0.5")])
def test_a_finding_is_written_as_json_that_others_read(value, written):
    finding = Finding("offset", "warning", float(value), "", "data", "")
    assert f'"value": {written}' in json.dumps(finding.as_dict(), allow_nan=False)


def test_the_clip_in_nats():
    assert pytest.approx(7 * 2.302585093) == CLIP  # ln 10, from a table


def test_advice_is_found_by_the_code_or_by_the_case():
    assert advise("scale", "warning", 85.6, "").fix.startswith("divide the inputs by")
    hidden = advise("lost examples", "warning", 0.5, "", "clipped", name="sigmoid")
    assert (hidden.code, hidden.component) == ("lost examples", "output")
    assert "(sigmoid as the last operation" in hidden.fix
    with pytest.raises(KeyError):
        advise("lost examples", "warning", 0.5, "")


def test_every_advice_is_given_somewhere():
    """By its code or its case, which stand as words in the sources."""
    folder = Path(deepcaptcha.__file__).parent
    sources = [path for path in folder.rglob("*.py") if path.name != "finding.py"]
    text = "".join(path.read_text() for path in sources)
    assert [case for case in ADVICE if f'"{case}"' not in text] == []


def test_no_advice_stands_twice_or_ends_a_sentence():
    texts = [fix for _, fix in ADVICE.values()]
    assert len(set(texts)) == len(texts)
    assert not any(text.endswith(".") for text in texts)


def test_every_advice_names_a_component_that_there_is():
    assert {component for component, _ in ADVICE.values()} <= set(get_args(Component))
