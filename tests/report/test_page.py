"""The HTML report: whole, the same each time, and not told by colour alone."""

import re
import sys
from xml.etree import ElementTree

import pytest

from deepcaptcha.cli.main import main
from deepcaptcha.report.content import rows_of_ledger
from deepcaptcha.report.drawing import Plot, ticks
from deepcaptcha.report.figures import STYLES, chances_figure, curves_figure
from deepcaptcha.report.page import render
from deepcaptcha.trials.ledger import Ledger, LedgerTrials
from tests.report.examples import (
    study_rows,
    trained,
    verdict_rows,
)

SVG = "{http://www.w3.org/2000/svg}"


def test_the_same_record_gives_the_same_page_that_needs_nothing_else():
    page = render(study_rows(), "made so")
    assert page == render(study_rows(), "made so")
    assert re.findall(r"(?:src|href)=\"(?!#|data:,\").*?\"|url\((?!#)", page) == []
    assert "<script" not in page


def test_letters_of_every_script_are_the_browsers():
    page = render(rows_of_ledger(LedgerTrials((trained(0, name="网络"),))), "made so")
    assert page.count("网络") >= 3  # in the table, its heading and the figure of intervals


def test_trainings_that_a_callback_ended_are_counted():
    early = (trained(0, "slow", values=(0.2,)), trained(1))
    assert "; 1 ended by a rule of their own" in render(
        rows_of_ledger(LedgerTrials(early)), "made so"
    )
    assert "callback" not in render(rows_of_ledger(LedgerTrials((trained(1),))), "made so")


def test_names_are_text_and_identifiers_are_unique():
    page = render(study_rows(), "made <so>")
    assert "<b>&'" not in page
    assert "&lt;b&gt;&amp;&#39;&#34;$x_1$" in page
    assert "made &lt;so&gt;" in page
    drawn = ElementTree.fromstring(chances_figure(study_rows(), "k"))
    assert "<b>&'\"$x_1$" in [text.text for text in drawn.iter(f"{SVG}text")]  # no formula
    found = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(found) == len(set(found)) > 10
    for target in re.findall(r"href=\"#([^\"]+)\"", page):
        assert target in found


def test_verdicts_are_words():
    page = render(verdict_rows(), "pytest", ["a note on rates"])
    row = re.search(r"<tr role=\"row\">\s*<th[^>]*><a[^>]*>broken</a>.*?</tr>", page, re.DOTALL)[0]
    words = re.sub(r"<[^>]+>|\s+", " ", row).split()
    assert words[:4] == ["broken", "trains", "✕", "red"]
    assert "a note on rates" in page
    # PLAN's walk to red: two trials, none converged; rejected at 0 of 2
    assert "0 of 2 converged: red" in page


def curves(row):
    root = ElementTree.fromstring(curves_figure(row, "k"))
    for group in root.iter(f"{SVG}g"):
        if group.get("class", "").startswith("curves "):
            line, marks = group.iter(f"{SVG}path")
            dashes = re.search(r"stroke-dasharray: ([^;]+)", line.get("style"))
            mark = marks.get("d").lstrip("M0123456789. ")
            yield group.get("class").split()[1], dashes and dashes[1], mark


def test_outcomes_differ_by_dash_and_by_mark():
    (row,) = (row for row in study_rows() if row.name == "all-four")
    found = list(curves(row))
    assert sorted(outcome for outcome, _, _ in found) == sorted(STYLES)
    assert len({dashes for _, dashes, _ in found}) == 4
    assert len({mark for _, _, mark in found}) == 4
    assert {o: d for o, d, _ in found}["converged"] is None  # a solid line
    words = "".join(ElementTree.fromstring(curves_figure(row, "k")).itertext())
    assert "stuck 1" in words


def test_every_row_has_its_interval_at_its_place():
    """1 of 4, 3 of 3 and 1 of 2: the points stand there between the axis' ends."""
    rows = study_rows()
    root = ElementTree.fromstring(chances_figure(rows, "k"))
    left, width = 8, 340 - 8 - 12
    places = [
        float(re.match(r"M([\d.]+) ", path.get("d"))[1])
        for group in root.iter(f"{SVG}g")
        if group.get("class") == "rate"
        for path in group.iter(f"{SVG}path")
    ]
    assert places == pytest.approx([left + width / 4, left + width, left + width / 2])


def test_ticks_are_round_and_few():
    assert ticks(0, 1.02) == [0, 0.25, 0.5, 0.75, 1]
    assert ticks(1, 5, whole=True) == [1, 2, 3, 4, 5]
    assert ticks(0, 40, whole=True) == [0, 10, 20, 30, 40]
    assert ticks(0, 2, whole=True) == [0, 1, 2]
    assert ticks(-0.0012, 0.0031) == pytest.approx([-0.001, 0, 0.001, 0.002, 0.003])
    for power in range(-30, 30):
        assert 2 <= len(ticks(0.0, 1.3 * 10.0**power)) <= 6


def test_values_stand_at_their_places():
    """Of 340 x 230 pixels, 44, 12, 26 and 36 are free at the sides: 284 x 168 are left."""
    plot = Plot(230, (0, 4), (0, 2))
    assert plot.at(0, 0) == (44, 194)
    assert plot.at(4, 2) == (328, 26)
    assert plot.at(1, 0.5) == (44 + 284 / 4, 194 - 168 / 4)


def test_a_figure_takes_the_colours_and_the_font_of_the_page():
    drawn = curves_figure(study_rows()[0], "k")
    assert "#" not in drawn
    assert "var(--stuck)" in drawn
    assert "font-family" not in drawn
    assert "<style" not in drawn  # it would reach the whole page


def record(folder):
    with Ledger(folder) as book:
        for trial in (trained(0), trained(1, "stuck")):
            book.append(trial)


def test_the_command_writes_the_page(tmp_path, capsys):
    record(tmp_path / "ledger")
    output = tmp_path / "new" / "report.html"
    arguments = ["report", "--ledger", str(tmp_path / "ledger"), "--page", str(output)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{output}: 1 rows, 2 trials.\n"
    assert output.read_text().startswith("<!doctype html>")
    assert f"--page {output}" in output.read_text()


def test_a_missing_extra_is_one_line(tmp_path, monkeypatch, capsys):
    record(tmp_path)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", "--ledger", str(tmp_path), "--page", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert "pytest-deepcaptcha with its extra `report`" in error
    assert len(error.splitlines()) == 1


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, capsys):
    record(tmp_path)
    assert main(["report", "--ledger", str(tmp_path), "--page", "/dev/null/x.html"]) == 2
    assert "cannot write the report /dev/null/x.html" in capsys.readouterr().err
