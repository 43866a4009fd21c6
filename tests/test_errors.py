"""What refuses a user's numbers, and what writes their files."""

import os
import pickle
from pathlib import Path

import pytest

from deepcaptcha.errors import InputError, printable, require_rate, require_whole, write_file


def test_numbers_in_range_are_given_back():
    assert require_whole("count", 1) == 1
    assert require_whole("seed", 0, least=0, most=0) == 0
    assert require_rate("alpha", 0.05) == 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ((require_whole, "count", 0), "count is 0; a whole number >= 1 is needed"),
        ((require_whole, "count", 2.0), "count is 2.0; a whole number"),
        ((require_whole, "count", True), "count is True; a whole number"),
        ((require_whole, "count", None), "count is None; a whole number"),
        ((require_whole, "seed", 10, 0, 9), "seed is 10; a whole number from 0 to 9 is needed"),
        ((require_rate, "alpha", 0), "alpha is 0; between 0 and 1 is needed"),
        ((require_rate, "alpha", 1.0), "alpha is 1.0; between"),
        ((require_rate, "alpha", float("nan")), "alpha is nan; between"),
        ((require_rate, "alpha", "0.5"), "alpha is '0.5'; between"),
    ],
)
def test_others_are_refused_in_one_line(call, words):
    function, *arguments = call
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert words in str(error.value)


def test_a_file_is_written_whole_with_its_folder(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_file(path, "one")
    write_file(path, "ε")
    assert path.read_text(encoding="utf-8") == "ε"
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_file(path, "old")

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write the report .*file\.txt: No space left"):
        write_file(path, "new", "the report")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", [".", "/"])
def test_a_folder_in_place_of_a_file_is_one_line(path):
    with pytest.raises(InputError, match="cannot write the report"):
        write_file(Path(path), "new", "the report")


def test_a_pipe_is_written_into_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, "text")
    assert os.read(reader, 9) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 漢, ≥ and 🙂", "plain, é, 漢, ≥ and 🙂"),
        ("\x1b[2J\0\x7f\x9b", r"\x1b[2J\x00\x7f\x9b"),
        ("a\r\nb\tc\u2028d", r"a\r\nb\tc\u2028d"),
        ("\u202egnp.exe \u2066\u200f\ufeff", r"\u202egnp.exe \u2066\u200f\ufeff"),
        ("\ud800\udcff", r"\ud800\udcff"),
    ],
)
def test_what_a_terminal_might_obey_is_shown_as_python_writes_it(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    assert str(InputError(text)) == shown
    shown.encode()  # no file refuses it


def test_an_error_has_as_many_lines_as_arguments():
    error = pickle.loads(pickle.dumps(InputError("a\nb", "c")))
    assert str(error) == "a\\nb\nc"
