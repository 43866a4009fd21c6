"""Tables in terminals of every width, in logs, and as Markdown."""

import io
import re

import pytest

from deepcaptcha.report.table import Table, code, columns, markdown

TABLE = Table(
    "Numbers",
    columns("<name", "count", "<said of it"),
    (("one", "1", "a | b"), ("two", "22", "")),
)


def test_markdown():
    assert TABLE.as_markdown() == (
        "## Numbers\n\n| name | count | said of it |\n| --- | ---: | --- |\n"
        "| one | 1 | a \\| b |\n| two | 22 |  |\n"
    )


def test_no_letter_of_a_name_has_a_meaning_in_markdown():
    # As GitHub's Markdown has it: a backslash before a punctuation mark makes it a mark.
    assert markdown("a|b <b> **c** [d](e) `f` $g$ _h_ &lt; \\") == (
        "a\\|b \\<b> \\*\\*c\\*\\* \\[d](e) \\`f\\` \\$g\\$ \\_h\\_ \\&lt; \\\\"
    )
    assert markdown("val_loss <= 0.3 & a < b\n") == "val_loss <= 0.3 & a < b\\\\n"
    assert code("a`b\n") == "`a'b\\n`"


@pytest.mark.parametrize("width", [12, 24, 40, 120])
def test_a_terminal_of_any_width_shows_every_figure_whole(width, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    TABLE.write(file)
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())  # colours take no room
    assert all(word in text for word in ("Numbers", "one", "two", "22"))
    if width >= 24:
        assert max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("name", ["test_x[adam-1e-3]", "net[small]", "a[/tmp]", ":warning:"])
def test_a_name_is_no_markup(name, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    Table("Names", columns("<name"), ((name,),)).write(file)
    assert name in file.getvalue().splitlines()[-1]


def test_a_log_has_80_columns_also_where_colours_are_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    wide = Table("Wide", columns("<name", "count"), (("n" * 70, "1"),))
    file = io.StringIO()
    wide.write(file)
    assert any("n" * 70 in line and "1" in line for line in file.getvalue().splitlines())


def test_what_can_be_spared_is_left_out_of_a_log_before_columns_are_given_up():
    cells = ("n" * 20, "1" * 20, "2" * 20, "3" * 20)
    table = Table("Four", columns("<name", "one", "two", "three"), (cells,), ("two", "one"))
    file = io.StringIO()
    table.write(file)
    # 20 letters four times, and two between them three times, are 86; without `two` they are 64.
    assert file.getvalue().split() == ["Four", "name", "one", "three", cells[0], cells[1], cells[3]]
    assert max(map(len, file.getvalue().splitlines())) <= 80


def test_where_columns_are_given_up_nothing_is_left_out():
    cells = ("n" * 20, "1" * 40, "2" * 40, "few")
    table = Table("Four", columns("<name", "one", "two", "<spare"), (cells,), ("spare",))
    file = io.StringIO()
    table.write(file)
    assert all(cell in file.getvalue() for cell in cells)


def test_short_columns_keep_their_words_whole_where_a_long_one_wraps():
    cells = ("name", "red (76 %)", "yellow (3.6)", "a sentence of some words " * 4)
    table = Table("Four", columns("<name", "<as reliable", "<as before", "<said"), (cells,))
    file = io.StringIO()
    table.write(file)
    head, first = file.getvalue().splitlines()[1:3]
    assert head.split("  ")[:3] == ["name", "as reliable", "as before"]
    assert "red (76 %)   yellow (3.6)  a sentence" in first
    assert max(map(len, file.getvalue().splitlines())) <= 80
