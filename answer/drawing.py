"""Drawing for the answer: matplotlib, as SVG that can stand inside a page.

The same drawing gives the same bytes. Colours are the page's (CSS variables), so that a figure follows
it into the dark and onto paper. One unit is one CSS pixel.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from deepcaptcha.report.drawing import FONT, WIDTH
from deepcaptcha.trials.trial import OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INKS = {name: f"#0{i}0{i}0{i}" for i, name in enumerate(("ink", "muted", "line", *OUTCOMES), 1)}
"""Placeholders that matplotlib takes for colours; the page's variables stand there in the end."""

Style = dict[str, Any]  # what matplotlib takes by name

LEGEND: Style = {
    "loc": "upper left",
    "ncols": 2,
    "frameon": False,
    "handlelength": 2.8,
    "borderpad": 0,
    "borderaxespad": 0.3,
    "columnspacing": 1.6,
    "labelspacing": 0.3,
}
"""Where and how a figure's legend stands: at its upper left, in two columns."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def place_axes(figure: Figure, height: int, top: int, right: int, bottom: int, left: int) -> Axes:
    """Axes that leave so many pixels at each side of a figure `height` pixels high."""
    size = ((WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    return figure.add_axes((left / WIDTH, bottom / height, *size))


def add_axes(figure: Figure, height: int, *, top: int, right: int = 12) -> Axes:
    """Axes with a quiet grid, that leave `top` and `right` pixels of a figure `height` pixels high."""
    axes = place_axes(figure, height, top, right, bottom=36, left=44)
    axes.grid(axis="y", color=INKS["line"], linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INKS["muted"])
    axes.tick_params(length=0, pad=6, labelcolor=INKS["muted"])
    axes.set_axisbelow(True)
    return axes


def whole_ticks(axis: Axis) -> None:
    """Ticks at whole numbers, about six."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(6, integer=True))


def draw_svg(draw: Callable[[Figure], None], height: int, key: str, title: str, text: str) -> str:
    """What `draw` draws on a figure `height` pixels high, as an SVG element with a name and a
    description. `key` is its own in the page; a `gid` of `is NAMES` becomes the class `NAMES`."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Matplotlib's own defaults, whatever the user's are, and ours on top of them.
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": key,  # identifiers of their own for every figure of a page
                "font.size": FONT,
                "text.color": INKS["ink"],
                "text.parse_math": False,
                "axes.facecolor": "none",
            }
        )
        # The reader's browser draws the text; matplotlib's own font need not have every letter.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="none")
        FigureCanvasSVG(figure)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _inline(file.getvalue(), key, title, text)


def _inline(drawn: str, key: str, title: str, text: str) -> str:
    """A drawing as an element of a page: named for screen readers, as wide as its place, without
    identifiers that a second figure would repeat."""
    root = ElementTree.fromstring(drawn)
    for name in ("width", "height"):
        del root.attrib[name]
    # The first definitions are a style sheet that would reach the whole page; the page has its own.
    for tag in ("metadata", "defs"):
        root.remove(root.find(f"{{{_SVG}}}{tag}"))  # type: ignore[arg-type]
    used = set(re.findall(r"#(\w+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    for element in root.iter():
        element.text, element.tail = _squeezed(element.text), _squeezed(element.tail)
        identity = element.attrib.pop("id", "")
        if identity in used:
            element.set("id", identity)
        elif identity.startswith("is "):
            element.set("class", identity.removeprefix("is "))
        if "style" in element.attrib:  # the page's font and colours in place of matplotlib's
            style = re.sub(r"font-family: [^;]*;? ?", "", element.attrib["style"])
            for name, ink in INKS.items():
                style = style.replace(ink, f"var(--{name})")
            element.set("style", style)
        if "d" in element.attrib:
            element.set("d", " ".join(element.attrib["d"].split()))
    root.attrib |= {"role": "img", "aria-labelledby": f"{key}-title {key}-desc"}
    for place, (tag, words) in enumerate((("title", title), ("desc", text))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{key}-{tag}"})
        element.text = words
        root.insert(place, element)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _squeezed(text: str | None) -> str | None:
    return None if text is not None and not text.strip() else text
