"""A bar in a terminal, plain lines elsewhere."""

import io
import sys

import pytest

from deepcaptcha.cli.progress import shown_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(monkeypatch, file, term="xterm", quiet=False):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", file)
    with shown_progress(2, quiet) as advance:
        advance("valid seed 0: converged")
        advance("net[small] seed 1: stuck")
    return file.getvalue()


def test_a_terminal_has_a_bar_that_goes_away(monkeypatch):
    text = told(monkeypatch, Terminal())
    assert "2/2" in text
    assert "net[small] seed 1: stuck" in text
    assert "\x1b[" in text  # it moves its cursor
    assert text.endswith("\x1b[2K")  # and clears its line at the end


LINES = "[1/2] valid seed 0: converged\n[2/2] net[small] seed 1: stuck\n"


@pytest.mark.parametrize(("file", "term"), [(io.StringIO, "xterm"), (Terminal, "dumb")])
def test_elsewhere_there_are_plain_lines_also_where_colours_are_forced(monkeypatch, file, term):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert told(monkeypatch, file(), term) == LINES


def test_quiet_says_nothing(monkeypatch):
    assert told(monkeypatch, io.StringIO(), quiet=True) == ""
