"""The record of trials: nothing written is lost, nothing is counted twice."""

import errno
import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials import ledger
from deepcaptcha.trials.ledger import FORMAT, Ledger, find_same, read_ledger, trial_key
from tests.helpers import make_trial


def test_what_is_appended_is_read_again(tmp_path):
    trials = [make_trial(seed) for seed in range(5)]
    with Ledger(tmp_path / "new" / "folder") as book:
        for trial in trials:
            book.append(trial)
    records = read_ledger(tmp_path / "new" / "folder")
    assert records.trials == tuple(trials)
    assert records.problems == ()
    assert set(records.of("same", "points")) == set(range(5))
    assert read_ledger(book.path).trials == tuple(trials)


def test_a_folder_that_does_not_exist_yet_is_empty(tmp_path):
    assert read_ledger(tmp_path / "nowhere").trials == ()


def test_a_folder_may_have_a_dot_in_its_name(tmp_path):
    folder = tmp_path / "v1.2"
    assert read_ledger(folder).trials == ()
    with Ledger(folder) as ledger:
        ledger.append(make_trial())
    assert len(read_ledger(folder).trials) == 1


def test_every_ledger_is_a_file_of_its_own(tmp_path):
    for seed in range(3):
        with Ledger(tmp_path) as book:
            book.append(make_trial(seed))
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert {t.seed for t in read_ledger(tmp_path).trials} == {0, 1, 2}


def test_the_same_trial_counts_once_and_a_disagreement_is_told(tmp_path):
    for weights in ("aa", "aa", "bb"):
        with Ledger(tmp_path) as book:
            book.append(make_trial(3, weights=weights))
    records = read_ledger(tmp_path)
    assert [trial.weights_sha256 for trial in records.trials] == ["bb"]  # what was trained last
    (problem,) = records.problems
    assert "seed 3 was recorded twice with different weights" in problem


def test_a_torn_last_line_is_skipped_and_told(tmp_path):
    with Ledger(tmp_path) as book:
        book.append(make_trial(0))
        book.append(make_trial(1))
    whole = book.path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last + 1, len(whole)):
        book.path.write_bytes(whole[:cut])
        records = read_ledger(tmp_path)
        lacks = cut < len(whole) - len('"}\n')
        assert [t.seed for t in records.trials] == ([0] if lacks else [0, 1])
        left = "was skipped" if lacks else "what is whole of it counts"
        assert records.problems == (f"{book.path}: line 3 is torn and {left}",)


def test_a_damaged_middle_line_costs_only_itself(tmp_path):
    with Ledger(tmp_path) as book:
        for seed in range(4):
            book.append(make_trial(seed))
    lines = book.path.read_bytes().split(b"\n")
    lines[2] = lines[2][:40] + b"\x00" + lines[2][41:]
    book.path.write_bytes(b"\n".join(lines))
    records = read_ledger(tmp_path)
    assert [t.seed for t in records.trials] == [0, 2, 3]
    assert records.problems == (f"{book.path}: line 3 is damaged and was skipped",)


@pytest.mark.parametrize(
    ("first_line", "words"),
    [
        (
            {"deepcaptcha_ledger": FORMAT + 1},
            f"has ledger format {FORMAT + 1}; this version reads 1 to",
        ),
        ({"deepcaptcha_ledger": 0}, "has ledger format 0; this version reads 1 to"),
        ({"something": "else"}, "is not a ledger"),
        ([], "is not a ledger"),
    ],
)
def test_a_file_of_another_kind_or_a_later_version_is_refused(tmp_path, first_line, words):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(first_line) + "\n")
    with pytest.raises(InputError) as error:
        read_ledger(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    # In a folder it does not stand in the way of the others.
    with Ledger(tmp_path) as book:
        book.append(make_trial())
    records = read_ledger(tmp_path)
    assert (len(records.trials), records.problems) == (1, (f"{error.value}; it was left out",))


def test_an_unreadable_ledger_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the ledger"):
        read_ledger(tmp_path / "no.jsonl")


def test_a_folder_that_cannot_be_written_is_known_before_any_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot record trials in .*; choose a writable folder"):
        Ledger(tmp_path / "file" / "below")


def test_too_little_room_is_known_before_any_training(tmp_path, monkeypatch):
    usage = ledger.shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(ledger.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match="only 1 MiB are free"):
        Ledger(tmp_path)


def test_the_installed_package_is_no_place_for_a_ledger():
    with pytest.raises(InputError, match="lies inside the installed package"):
        Ledger(Path(ledger.__file__).parent / "ledger")


@pytest.mark.parametrize("failure", ["short write", "no space"])
def test_a_disk_that_fills_up_leaves_the_file_as_it_was(tmp_path, monkeypatch, failure):
    write = os.write

    def full(descriptor, line):
        if failure == "no space":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, line[: len(line) // 2])

    with Ledger(tmp_path) as book:
        book.append(make_trial(0))
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(InputError, match=r"cannot record a trial in .*No space left"):
            book.append(make_trial(1))
        monkeypatch.undo()
        book.append(make_trial(2))
    records = read_ledger(tmp_path)
    assert [t.seed for t in records.trials] == [0, 2]
    assert records.problems == ()


def write_many(folder, start):
    with Ledger(folder) as book:
        for seed in range(start, start + 50):
            book.append(make_trial(seed))


@pytest.mark.integration
def test_writers_never_interleave(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, 50 * i)) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = read_ledger(tmp_path)
    assert sorted(t.seed for t in records.trials) == list(range(150))
    assert records.problems == ()


def test_a_key_knows_the_name_and_the_whole_identity():
    trial = make_trial()
    assert trial_key(trial) == trial_key(replace(trial, seconds=9.0))
    other = replace(trial, identity={**trial.identity, "protocol": 2})
    assert len({trial_key(t) for t in (trial, other, replace(trial, name="valid"))}) == 3
    assert find_same([trial, other], other.identity) is other
    assert find_same([trial], other.identity) is None


def test_a_trial_that_json_cannot_hold_is_told_and_leaves_the_file_whole(tmp_path):
    with Ledger(tmp_path) as book:
        book.append(make_trial(0))
        for value in (float("nan"), object()):
            with pytest.raises(InputError, match=r"of same seed 1 cannot be written as JSON"):
                book.append(replace(make_trial(1), probes={"mine": [[0, value]]}))
    assert [t.seed for t in read_ledger(tmp_path).trials] == [0]
