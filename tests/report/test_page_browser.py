"""The HTML report in a real browser: narrow and wide, light and dark, for eyes and for screen readers.

Needs a Chromium or Chrome; `make browser` installs Debian's.
"""

import pytest

from deepcaptcha.report.page import render
from tests.report.browser import NoBrowserError, chromium
from tests.report.examples import HOSTILE, hostile_rows, study_rows, verdict_rows

pytestmark = pytest.mark.integration

WIDTHS = (360, 1280)


@pytest.fixture(scope="module")
def browser():
    try:
        with chromium() as browser:
            yield browser
    except NoBrowserError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module", params=["study", "verdicts", "hostile"])
def address(request, tmp_path_factory):
    """A page's address: one of a study with every outcome, one of red and green verdicts, and one whose
    names are not harmless."""
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    rows = {"study": study_rows, "verdicts": verdict_rows, "hostile": hostile_rows}[request.param]()
    notes = HOSTILE if request.param == "hostile" else ["a note"]
    path.write_text(render(rows, f"made {notes[0]}", notes, notes[-1]))
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Opens the page with all its details; what it complained of or asked for is in `complaints`."""
    contexts = []

    def open_page(width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.complaints.append(request.url))
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_its_window_and_says_nothing_on_the_console(open_page, address, width):
    page = open_page(width)
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert [text for text in page.complaints if not text.startswith("data:")] == [address]
    assert page.title() == "Convergence report"  # which a hostile name would change
    assert page.locator("script, img, h1:not(header h1)").count() == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_lies_on_top_of_something_else(open_page, width):
    """Tables and figures side by side, and the words of one figure."""
    page = open_page(width)
    for group, parts in ((".overview", ":scope > *"), ("svg", "text")):
        overlaps = page.locator(group).evaluate_all(
            """(groups, parts) => groups.flatMap(group => {
                const all = [...group.querySelectorAll(parts)];
                const boxes = all.map(part => part.getBoundingClientRect());
                return all.flatMap((part, i) => all.slice(0, i).filter((other, j) =>
                    boxes[i].left < boxes[j].right - 1 && boxes[j].left < boxes[i].right - 1 &&
                    boxes[i].top < boxes[j].bottom - 4 && boxes[j].top < boxes[i].bottom - 4
                ).map(other => part.textContent + ' on ' + other.textContent));
            })""",
            parts,
        )
        assert overlaps == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_letter_is_too_small_or_cut_off(open_page, width):
    """At least 10 CSS pixels high as shown; text of a figure stays inside it."""
    texts = open_page(width).evaluate("""() => [...document.querySelectorAll('svg text')].map(text => {
        const box = text.getBoundingClientRect();
        const svg = text.ownerSVGElement, around = svg.getBoundingClientRect();
        return [
            text.textContent,
            parseFloat(getComputedStyle(text).fontSize) * around.width / svg.viewBox.baseVal.width,
            Math.max(around.left - box.left, box.right - around.right, around.top - box.top,
                     box.bottom - around.bottom),
        ];
    })""")
    assert len(texts) > 20
    assert [t for t in texts if t[1] < 10] == []
    assert [t for t in texts if t[2] > 0.5] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_table_and_figure_has_a_name_for_screen_readers(open_page, width):
    page = open_page(width)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = {"table": [], "image": [], "columnheader": [], "rowheader": []}
    for node in nodes:
        role = node.get("role", {}).get("value")
        role = "image" if role in ("img", "graphics-document") else role
        if role in found and not node["ignored"]:
            found[role].append(node.get("name", {}).get("value", ""))
    for role, names in found.items():
        assert names, role
        assert all(name.strip() for name in names), role
    # in whatever shape they are shown
    assert len(found["table"]) == page.locator("table").count()
    assert len(found["image"]) == page.locator("svg").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_keeps_the_rules_of_accessibility(open_page, width, scheme):
    """axe-core: contrast, names, headers, landmarks, order of headings, unique identifiers."""
    from axe_playwright_python.sync_playwright import Axe

    results = Axe().run(open_page(width, scheme))
    assert results.response["passes"]
    assert results.violations_count == 0, results.generate_report()


def test_a_link_in_the_table_opens_its_row(open_page):
    page = open_page(1280)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
    page.locator("th a").last.click()
    assert page.locator("details.row[open]").count() == 1


def test_on_paper_every_figure_is_shown(open_page):
    page = open_page(1280)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
    page.emulate_media(media="print")
    shown = page.locator("svg").evaluate_all("""all => all.filter(svg =>
        svg.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true})
        && svg.getBoundingClientRect().height > 0).length""")
    assert shown == page.locator("svg").count()


def test_without_colour_the_outcomes_still_differ(open_page):
    """Every status is a word, and every learning curve has the dash and the mark of its outcome."""
    page = open_page(1280)
    words = page.locator(".status").all_inner_texts()
    assert all(
        any(w in text for w in ("green", "red", "cannot tell", "interval")) for text in words
    )
    looks = page.evaluate("""() => [...document.querySelectorAll('g[class^="curves "]')]
        .map(curves => [curves, ...curves.querySelectorAll('path')])
        .map(([curves, line, marks]) => [
            curves.getAttribute('class'),
            getComputedStyle(line).strokeDasharray,
            marks.getAttribute('d').replace(/^M[\\d. ]+/, '').split('M')[0],
        ])""")
    kinds = {kind: set() for kind, _, _ in looks}
    for kind, dash, mark in looks:
        kinds[kind].add((dash, mark))
    assert len(kinds) > 1
    assert all(len(look) == 1 for look in kinds.values())
    assert len(set.union(*kinds.values())) == len(kinds)
