"""What people read."""

import io
import re

import pytest

from deepcaptcha.report import Column, Table, failures_text, interval_text, percent, summarise

from .test_ledger import make_trial


def test_a_summary_by_hand():
    trials = [
        make_trial(0, epochs=1),
        make_trial(1, epochs=2),
        make_trial(2, epochs=4),
        make_trial(3, outcome="stuck", epochs=5),
        make_trial(4, outcome="slow", epochs=5),
    ]
    summary = summarise(trials)
    assert (summary.converged, summary.trials, summary.median_epochs) == (3, 5, 2)
    assert failures_text(summary.outcomes) == "stuck 1, slow 1"
    assert (summary.epochs, summary.epochs_planned, summary.seconds) == (17, 25, 7.5)
    # Clopper and Pearson for 3 of 5, from published tables: 0.147 to 0.947
    assert summary.interval == pytest.approx((0.147, 0.947), abs=5e-4)


def test_a_summary_without_success_has_no_median():
    assert summarise([make_trial(outcome="stuck")]).median_epochs is None


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1, "100 %")],
)
def test_percents_never_round_to_certainty(share, text):
    assert percent(share) == text


def test_interval_text():
    assert interval_text((0.147, 0.947)) == "14-95 %"


TABLE = Table(
    "Numbers",
    (Column("name", prose=True), Column("count"), Column("said of it", prose=True)),
    (("one", "1", "a | b"), ("two", "22", "")),
)


def test_markdown():
    assert TABLE.as_markdown() == (
        "## Numbers\n\n| name | count | said of it |\n| --- | ---: | --- |\n"
        "| one | 1 | a \\| b |\n| two | 22 |  |\n"
    )


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
