"""Drawing for the HTML report, as SVG to stand inside the page.

Written directly: a page of a hundred rows has several hundred figures, each of which would take a
plotting library longer than all of them take here. Colours are the page's (CSS variables), so that a
figure follows it into the dark and onto paper. One unit is one CSS pixel.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from ..errors import printable

WIDTH = 340
"""Of every figure: what a narrow phone shows unscaled."""

FONT = 12

MARKS: Mapping[str, str] = {
    "circle": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "square": "m-3-3h6v6h-6z",
    "triangle": "m0-3l3 6h-6z",
    "cross": "m-3-3l6 6m0-6l-6 6",
    "plus": "m-5.5 0h11m-5.5-5.5v11",
    "bar": "m0-3.5v7",
}
"""Name of a mark -> the path around the place it marks."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How a line is drawn: its colour, a name of the page's; its width and dashes in pixels, none where
    the width is 0; the mark at its end, and the width of the mark's own line."""

    ink: str
    width: float = 1.3
    dashes: str = ""
    mark: str = ""
    mark_width: float = 1.0


class Plot:
    """Axes in a figure `height` pixels high, and what is drawn on them so far.

    - `x`, `y`: the values at their ends, `y` from the bottom up. The other numbers are pixels that are
      left free beside them.
    """

    def __init__(
        self,
        height: float,
        x: Point,
        y: Point,
        *,
        top: float = 26,
        right: float = 12,
        bottom: float = 36,
        left: float = 44,
    ) -> None:
        self.height = height
        self.x, self.y = x, y
        self._left, self._top = left, top
        self._right, self._bottom = WIDTH - right, height - bottom
        self._drawn: list[str] = []

    def at(self, x: float, y: float) -> Point:
        """Where values stand, in pixels from the upper left."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            self._left + across * (self._right - self._left),
            self._bottom - up * (self._bottom - self._top),
        )

    def grid(self, values: Mapping[float, str]) -> None:
        """Lines across at these heights, with words beside them."""
        for value, words in values.items():
            _, y = self.at(self.x[0], value)
            self._path(f"M{self._left} {_number(y)}H{self._right}", "line", 0.8)
            self.text((self._left - 6, y + 4), words, ink="muted", anchor="end")

    def axis(self, values: Iterable[float], counted: str) -> None:
        """The line below, with values, and what they count."""
        self._path(f"M{self._left} {self._bottom}H{self._right}", "muted", 0.8)
        for value in values:
            x, _ = self.at(value, self.y[0])
            self.text((x, self._bottom + 16), f"{value:g}", ink="muted", anchor="middle")
        self.text((self._right, self._bottom + 31), counted, ink="muted", anchor="end")

    def lines(self, lines: Sequence[Sequence[Point]], style: Style, name: str = "") -> None:
        """Lines through values, each with its mark at its last one; `name` is their class."""
        placed = [[self.at(*point) for point in line] for line in lines if line]
        ways = ["M" + "L".join(map(_place, line)) for line in placed]
        if name:
            self._drawn.append(f'<g class="{name}">')
        if style.width and ways:
            self._path("".join(ways), style.ink, style.width, style.dashes)
        if style.mark:
            self._marks([line[-1] for line in placed], style)
        if name:
            self._drawn.append("</g>")

    def legend(self, entries: Sequence[tuple[Style, str]]) -> None:
        """What lines mean, at the top, two a row."""
        for place, (style, words) in enumerate(entries):
            x, y = 4 + place % 2 * WIDTH / 2, 12 + place // 2 * 17
            if style.width:
                self._path(f"M{x} {y}h34", style.ink, style.width, style.dashes)
            if style.mark:
                self._marks([(x + 17, y)], style)
            self.text((x + 42, y + 4), words)

    def text(
        self,
        place: Point,
        words: str,
        *,
        ink: str = "ink",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Words that begin, end or have their middle at a place, in pixels."""
        x, y = map(_number, place)
        weight = "; font-weight: bold" if bold else ""
        style = f"font-size: {FONT}px; text-anchor: {anchor}; fill: var(--{ink}){weight}"
        self._drawn.append(f'<text x="{x}" y="{y}" style="{style}">{html.escape(words)}</text>')

    def svg(self, key: str, title: str, text: str) -> str:
        """The figure as an element with a name and a description; `key` is its own in the page."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:g}" role="img" '
            f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{html.escape(title)}'
            f'</title><desc id="{key}-desc">{html.escape(text)}</desc>{"".join(self._drawn)}</svg>'
        )

    def _marks(self, places: Iterable[Point], style: Style) -> None:
        filled = MARKS[style.mark].endswith("z")
        path = "".join(f"M{_place(place)}{MARKS[style.mark]}" for place in places)
        self._path(path, style.ink, style.mark_width, fill=style.ink if filled else "")

    def _path(self, path: str, ink: str, width: float, dashes: str = "", fill: str = "") -> None:
        style = f"fill: {f'var(--{fill})' if fill else 'none'}; stroke: var(--{ink})"
        style += f"; stroke-width: {width:g}" + (f"; stroke-dasharray: {dashes}" if dashes else "")
        self._drawn.append(f'<path d="{path}" style="{style}"/>')


def letters(text: str) -> float:
    """About how wide a text is, in letters of usual width."""
    text = printable(text)
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide + 0.55 * sum(letter.isupper() or letter in "mw@%" for letter in text)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """At most six round values from `low` to `high`, steps of 1, 2, 2.5 or 5 times a power of ten."""
    least = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(least))
    step = next(each for n in (1, 2, 2.5, 5, 10) if (each := n * power) >= least * (1 - 1e-9))
    step = max(math.ceil(step), 1) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{round(value, 2):g}"


def _place(point: Point) -> str:
    return " ".join(map(_number, point))
