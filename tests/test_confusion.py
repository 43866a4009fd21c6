"""The table of true causes: what is counted, and where it is written. Expected numbers are counted by
hand from the findings beside them."""

from dataclasses import replace

import pytest

from deepcaptcha.finding import Finding
from tests import confusion
from tests.confusion import (
    Case,
    Row,
    Search,
    block,
    interval,
    line,
    put_between_markers,
    summary,
    totals,
)


def found(severity, component, code=None):
    return Finding(code or f"of {component}", severity, 1.0, "", component, "")


def row(*broken, truth=("loss", "labels"), group="first", fixed=(), **more):
    return Row(Case(group, "one", truth), broken, fixed, **more)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ([], "missed"),
        ([found("warning", "loss")], "missed"),
        ([found("error", "labels"), found("error", "data")], "first"),
        ([found("error", "data"), found("error", "labels")], "named"),
        ([found("error", "data"), found("warning", "labels")], "missed"),
        ([found("information", "data"), found("error", "loss")], "first"),
    ],
)
def test_of_a_report_only_errors_name_the_cause(broken, named):
    assert row(*broken).named == named


@pytest.mark.parametrize(
    ("broken", "named", "bad"),
    [
        ([found("warning", "data", "leak")], "first", False),
        ([found("information", "data", "leak")], "missed", True),
        ([found("error", "data", "clipped"), found("warning", "data", "leak")], "named", False),
        ([found("error", "data", "scale"), found("warning", "data", "leak")], "named", True),
    ],
)
def test_of_a_planted_fault_the_finding_is_the_truth_and_a_warning_names_it(broken, named, bad):
    planted = Row(Case("planted", "one", ("leak",), ("clipped",)), tuple(broken))
    assert (planted.named, planted.is_bad) == (named, bad)


@pytest.mark.parametrize("group", ["planted", "held-out"])
def test_a_sound_model_is_bad_only_where_an_error_is_said_of_it(group):
    sound = Row(Case(group, "sound", ()), fixed=(found("warning", "data"),))
    assert (sound.named, sound.is_bad) == ("", False)
    assert replace(sound, fixed=(found("error", "data"),)).is_bad
    assert replace(sound, fixed="raised ValueError: no").is_bad


def test_a_crash_is_a_row_that_misses_its_cause():
    crashed = Row(Case("first", "one", ("loss",)), "raised ValueError: a | b", ())
    assert crashed.named == "missed"
    assert "raised ValueError: a / b" in line(crashed)
    assert totals([crashed])["raised"] == (1, 2)


def test_the_totals_are_those_counted_by_hand():
    loss, data = found("error", "loss"), found("error", "data")
    rows = [
        row(loss, data, twin=(data, loss), sentence=loss, search=Search("another loss", 17, 0.44)),
        row(data, loss, twin=(data,), sentence=data, search=Search("", 60, 2)),
        row(data, fixed=(data, found("warning", "data")), sentence="raised ValueError"),
        row(fixed=(found("warning", "loss"), found("information", "data"))),
    ]
    assert totals(rows) == {
        "cause named first": (1, 4),
        "cause named": (2, 4),
        "errors that name a cause, of all that are said": (2, 6),  # five of the broken, one more
        "cause named by the failing test": (1, 3),
        "fix shown": (1, 2),
        "fixed or sound versions with a false error": (1, 4),
        "fixed or sound versions with a false warning": (2, 4),
        "opaque twins of which the same is said": (1, 2),
        "raised": (0, 10),
    }


def test_what_searches_took_is_told():
    rows = [
        row(search=Search("scaled", trainings, minutes))
        for trainings, minutes in ((17, 0.44), (60, 2.0), (20, 1.0))
    ]
    assert summary(rows)[-1] == (
        "- a search for a repair: 20 trainings and 1.0 minutes (median), 60 and 2.0 (worst)"
    )
    assert "| scaled (17 trainings, 0.4 min) |" in line(rows[0])
    assert "| raised ValueError: no |" in line(row(search=Search(raised="raised ValueError: no")))


def test_what_nothing_was_counted_of_has_no_rate():
    assert totals([]) == {}
    sound = Row(Case("planted", "sound", ()), fixed=())
    assert list(totals([sound])) == [
        "fixed or sound versions with a false error",
        "fixed or sound versions with a false warning",
        "raised",
    ]


@pytest.mark.parametrize(
    ("k", "n", "words"),
    [
        # 1 - 0.025 ** (1 / 10), and by symmetry; the last as R's binom.test(5, 10) has it.
        (0, 10, "0 of 10 (0 to 31 %)"),
        (10, 10, "10 of 10 (69 to 100 %)"),
        (5, 10, "5 of 10 (19 to 81 %)"),
    ],
)
def test_a_rate_has_its_exact_interval(k, n, words):
    assert interval(k, n) == words


def test_a_line_says_where_there_are_more_than_three_errors():
    errors = [found("error", "data", f"code {index}") for index in range(4)]
    told = line(
        row(found("error", "loss", "flat"), *errors, twin=(), sentence=errors[0], search=Search())
    )
    assert told == (
        "| one | loss, labels | first (5 errors) | flat!, code 0!, code 1!, code 2!, code 3! | data "
        "| none (0 trainings, 0.0 min) | nothing | nothing | 0.0 |"
    )
    assert "(3 errors)" not in line(row(*errors[:3]))


def test_of_planted_cases_only_those_that_went_wrong_are_listed():
    right = Row(Case("planted", "right", ("leak",)), (found("warning", "data", "leak"),))
    wrong = Row(Case("planted", "wrong", ("leak",)), ())
    assert "right" not in block([right, wrong])
    assert "| wrong | leak | missed |" in block([right, wrong])
    assert "| case |" not in block([right])
    assert "| one |" in block([row(found("error", "loss"))])


PAGE = "above\n<!-- confusion: first -->\nold\n<!-- end of first -->\nbelow\n"


def test_a_block_is_written_between_its_markers_and_again():
    once = put_between_markers(PAGE, "first", "new")
    assert once == ("above\n<!-- confusion: first -->\n\nnew\n\n<!-- end of first -->\nbelow\n")
    assert put_between_markers(once, "first", "new") == once


@pytest.mark.parametrize(
    "page", ["", PAGE * 2, PAGE.replace("end of", "at"), "\n".join(PAGE.split("\n")[::-1])]
)
def test_a_page_without_the_two_markers_is_left_alone(page):
    with pytest.raises(ValueError, match="needed once each"):
        put_between_markers(page, "first", "new")


def test_the_page_has_a_place_for_every_group():
    page = confusion.PAGE.read_text()
    for group in confusion.CHOICES["all"]:
        put_between_markers(page, group, "new")


@pytest.mark.parametrize(("said", "code"), [("warning", 0), ("error", 1)])
def test_the_command_writes_and_fails_where_a_sound_model_is_refused(
    said, code, monkeypatch, capsys, tmp_path
):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("first", "planted") + PAGE.replace("first", "held-out"))
    monkeypatch.setattr(confusion, "PAGE", page)
    monkeypatch.setattr(confusion, "cases", lambda group: [Case(group, "sound", (), fixed=int)])
    monkeypatch.setattr(confusion, "look", lambda make, seed: ((found(said, "data"),), seed))
    assert confusion.main(["planted", "--seeds", "2", "--write"]) == code
    told = capsys.readouterr().out
    assert told.count(f"- fixed or sound versions with a false {said}: 2 of 2") == 2
    assert page.read_text().count(f"with a false {said}: 2 of 2") == 2
    assert ("| sound | sound |" in page.read_text()) == bool(code)


@pytest.mark.parametrize("arguments", [["hold-out"], ["--seed", "2"], ["--seeds", "0"]])
def test_the_command_knows_its_arguments(arguments):
    with pytest.raises(SystemExit) as end:
        confusion.main(arguments)
    assert str(end.value).startswith("tests.confusion: ")
    assert "\n" not in str(end.value)


@pytest.mark.integration
def test_a_report_is_checked_judged_and_twinned(monkeypatch):
    """The smallest of them, whose broken version misses its target and whose check may say anything."""
    (case,) = [c for c in confusion.cases("first") if c.name == "linear regression becomes NaN"]
    done = confusion.row_of(case, 0, repair=False)
    assert done.search is None
    assert isinstance(done.sentence, Finding)
    assert done.sentence.severity == "error"
    for looked in (done.broken, done.fixed, done.twin):
        assert isinstance(looked, tuple)
    assert done.seconds > 0
