import json
import os

import pytest

from answer.resumable import measure_all
from deepcaptcha.errors import InputError


def squared(path, number):
    """The square; each call leaves a line in the file at `path`."""
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return {"square": number**2}


def die(number):
    os._exit(1)


@pytest.fixture
def calls(tmp_path):
    return tmp_path / "calls"


def squares(tmp_path, calls, *numbers, on_result=lambda key: None, fresh=False):
    wanted = {("square", n): (str(calls), n) for n in numbers}
    path = tmp_path / "new" / "results.jsonl"
    return measure_all(squared, wanted, path, 2, on_result, fresh=fresh)


def test_results_come_in_the_order_wanted(tmp_path, calls):
    found = squares(tmp_path, calls, 3, 1, 2)
    assert list(found.items()) == [
        (("square", 3), {"square": 9}),
        (("square", 1), {"square": 1}),
        (("square", 2), {"square": 4}),
    ]


def test_what_was_measured_is_not_measured_again(tmp_path, calls):
    squares(tmp_path, calls, 1, 2)
    path = tmp_path / "new" / "results.jsonl"
    path.write_text(path.read_text() + "\n" + json.dumps({"key": ["square", 9]})[:-3])  # cut off
    heard = []
    assert squares(tmp_path, calls, 2, 9, on_result=heard.append) == {
        ("square", 2): {"square": 4},
        ("square", 9): {"square": 81},
    }
    assert sorted(map(int, calls.read_text().split())) == [1, 2, 9]
    assert sorted(heard) == [("square", 2), ("square", 9)]


def test_all_is_measured_again_if_asked_to(tmp_path, calls):
    squares(tmp_path, calls, 1, 2)
    assert squares(tmp_path, calls, 1, fresh=True) == {("square", 1): {"square": 1}}
    assert sorted(calls.read_text().split()) == ["1", "1", "2"]
    assert squares(tmp_path, calls, 1) == {("square", 1): {"square": 1}}
    assert len(calls.read_text().split()) == 3


def test_a_damaged_line_costs_only_itself(tmp_path, calls):
    squares(tmp_path, calls, 1)
    path = tmp_path / "new" / "results.jsonl"
    path.write_bytes(path.read_bytes() + b"\n\xff\xfe{\n")
    assert squares(tmp_path, calls, 1) == {("square", 1): {"square": 1}}
    assert calls.read_text().split() == ["1"]


def test_a_process_that_dies_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="a process died during a measurement"):
        measure_all(die, {(1,): (1,)}, tmp_path / "results.jsonl", 1)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*results\.jsonl: "):
        measure_all(die, {(1,): (1,)}, tmp_path / "file" / "results.jsonl", 1)
    (tmp_path / "results.jsonl").mkdir()
    for fresh in (False, True):
        with pytest.raises(InputError, match=r"cannot write .*results\.jsonl: Is a directory"):
            measure_all(die, {(1,): (1,)}, tmp_path / "results.jsonl", 1, fresh=fresh)
