"""The figures of the HTML report. Nothing in them is told by colour alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import printable
from ..finding import percent
from ..trials.source import row_text
from ..trials.trial import OUTCOMES
from .content import Reached, ReportRow, Walk
from .drawing import Plot, Point, Style, letters, ticks
from .words import plural

HEIGHT = 230
"""Of the figures of a row."""

# Told apart by dash and by the mark at the end; colour only adds to it.
STYLES = {
    "converged": Style("converged", mark="circle"),
    "stuck": Style("stuck", dashes="6.5 4", mark="cross", mark_width=1.6),
    "slow": Style("slow", dashes="1.3 2.6", mark="square"),
    "diverged": Style("diverged", dashes="8 2.6 1.3 2.6", mark="triangle"),
}
_PERCENTS = {0: "0 %", 0.25: "25 %", 0.5: "50 %", 0.75: "75 %", 1: "100 %"}


def curves_figure(row: ReportRow, key: str) -> str:
    """Learning curves, one a seed, with a mark where each ends."""
    target, counts = row.target, Counter(trial.outcome for trial in row.trials)
    shown = [outcome for outcome in OUTCOMES if counts[outcome]]

    curves = [
        (trial.outcome, [(i, v) for i, v in enumerate(values, 1) if v is not None])
        for trial, values in row.curves
    ]
    heights = [v for _, points in curves for _, v in points] + [target.value]
    accuracy = "accuracy" in target.monitor
    plot = Plot(
        HEIGHT,
        (0.8, max(target.epochs, 2) + 0.2),
        (0, 1.02) if accuracy else _around(heights),
        top=26 if len(shown) < 3 else 44,
    )
    _axes(plot, max(target.epochs, 2), "epoch", _numbers(*plot.y), first=1)
    across = [(plot.x[0], target.value), (plot.x[1], target.value)]
    plot.lines([across], Style("ink", 0.8), "target")
    for outcome in shown:
        ended = [points for each, points in curves if each == outcome]
        plot.lines(ended, STYLES[outcome], f"curves {outcome}")
    x, y = plot.at(*across[1])
    below = 13 if target.mode == "max" else -4
    plot.text((x, y + below), f"target {target.value:g}", anchor="end")
    plot.legend([(STYLES[outcome], f"{outcome} {counts[outcome]}") for outcome in shown])
    ends = ", ".join(f"{counts[outcome]} {outcome}" for outcome in shown)
    title = f"Learning curves of {row_text(row.name, row.recipe)}"
    text = (
        f"{target.monitor} at the end of each epoch for {plural(len(row.trials), 'seed')}: {ends}. "
        "Stuck ones are dashed and end in a cross."
    )
    return plot.svg(key, title, text)


def reached_figure(row: ReportRow, found: Reached, key: str) -> str:
    """The cumulative share of trainings at their target, with the censored ones marked."""
    last = found.epochs[-1]
    plot = Plot(HEIGHT, (0, last), (0, 1.02))
    _axes(plot, last, "epoch", _PERCENTS)
    rising = Style("converged", 1.8)
    way: list[Point] = [(0, 0)]
    for epoch, share in zip(found.epochs, found.shares, strict=True):
        way += [(epoch, way[-1][1]), (epoch, share)]
    plot.lines([way], rising)
    entries = [(rising, f"{found.trials - found.missed} met it")]
    if found.missed:
        missed = Style("ink", 0, mark="plus", mark_width=1.6)
        plot.lines([[(last, found.shares[-1])]], missed)
        entries.append((missed, f"{found.missed} missed it"))
    plot.legend(entries)

    steps = ", ".join(
        f"{percent(share)} by epoch {epoch}"
        for epoch, share in zip(found.epochs, found.shares, strict=True)
        if epoch
    )
    title = f"Epochs to target of {row_text(row.name, row.recipe)}"
    text = (
        f"Share of trainings that met the target: {steps}. {found.missed} of {found.trials} had not "
        "met it when their epochs were over."
    )
    return plot.svg(key, title, text)


def walk_figure(row: ReportRow, walk: Walk, key: str) -> str:
    """Successes against trials, between the boundaries of the plan; the part where it is."""
    trials, successes, plan = len(walk.successes) - 1, walk.successes[-1], walk.plan
    end = min(plan.max_trials, max(2 * trials, 10))
    top = 1.25 * max(plan.accept[end], successes)
    boundaries = (
        ("green", plan.accept, "7 2.5", (plan.accept[end] + top) / 2),
        ("red", plan.reject, "2.5 2.5", plan.reject[end] / 2),
    )
    plot = Plot(HEIGHT, (0, end), (0, top), right=44)
    _axes(plot, end, "trials read", {v: f"{v:g}" for v in ticks(0, top, whole=True)})
    for name, boundary, dashes, middle in boundaries:
        # What no walk can reach is not drawn.
        points = [(n, s) for n, s in enumerate(boundary[: end + 1]) if 0 <= s <= n]
        if points:
            plot.lines([points], Style("muted", 1.2, dashes), f"boundary {name}")
            x, y = plot.at(end * 1.03, middle)
            plot.text((x, y + 4), name)
    style = STYLES["converged" if walk.colour == "green" else "stuck"]
    style = replace(style, width=1.8, dashes="")
    plot.lines([list(enumerate(walk.successes))], style, "walk")
    plot.legend([(style, f"{successes} of {trials} {walk.counted}: {walk.colour}")])

    title = f"Verdict {walk.hypothesis!r} on {row_text(row.name, row.recipe)}"
    text = (
        f"After {plural(trials, 'trial')}, {successes} of them {walk.counted}, the walk crossed the "
        f"boundary to {walk.colour}. The plan reads at most {plan.max_trials} trials."
    )
    return plot.svg(key, title, text)


def chances_figure(rows: Sequence[ReportRow], key: str) -> str:
    """P(converge) of every row, with its interval."""
    pitch, top, bottom = 36, 6, 24
    height = top + pitch * len(rows) + bottom
    plot = Plot(height, (0, 1), (len(rows), 0), top=top, right=12, bottom=bottom, left=8)
    for share, words, anchor in ((0, "0 %", "start"), (0.5, "50 %", "middle"), (1, "100 %", "end")):
        x, y = plot.at(share, len(rows))
        plot.text((x, y + 18), words, ink="muted", anchor=anchor)
    grid = [[(share, 0.0), (share, float(len(rows)))] for share in _PERCENTS]
    plot.lines(grid, Style("line", 0.8))
    for place, row in enumerate(rows):
        chance, line = row.chance, place + 0.72
        numbers = f"{chance.converged}/{chance.trials}, {chance.text}"
        plot.text(plot.at(0, place + 0.44), _short(row.name, 40 - len(numbers)), bold=True)
        plot.text(plot.at(1, place + 0.44), numbers, ink="muted", anchor="end")
        ends = [[(end, line)] for end in chance.interval]
        interval = Style("ink", 2, mark="bar", mark_width=1.0)
        plot.lines([[(end, line) for end in chance.interval], *ends], interval, "interval")
        rate = Style("converged", 0, mark="circle")
        plot.lines([[(chance.converged / chance.trials, line)]], rate, "rate")

    listed = "; ".join(
        f"{row.name} {row.chance.converged} of {row.chance.trials}, {row.chance.text}"
        for row in rows
    )
    title = row_text("P(converge)", rows[0].recipe)
    text = f"Share of trainings that converged, with exact 95 % intervals: {listed}."
    return plot.svg(key, title, text)


def _axes(
    plot: Plot, last: float, counted: str, heights: Mapping[float, str], first: float = 0
) -> None:
    """Axes that count something from left to right."""
    plot.grid(heights)
    plot.axis(ticks(first, last, whole=True), counted)


def _around(values: Sequence[float]) -> Point:
    """Ends that leave a little room around values."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _numbers(low: float, high: float) -> dict[float, str]:
    return {value: f"{value:.6g}" for value in ticks(low, high)}


def _short(text: str, room: int) -> str:
    """The text, cut in its middle where it is longer than `room` letters of usual width."""
    text = printable(text)
    room = math.floor(room * len(text) / letters(text))
    if len(text) <= room:
        return text
    half = (room - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
