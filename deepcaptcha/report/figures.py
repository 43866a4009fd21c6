"""The figures of the HTML report. Nothing in them is told by colour alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..finding import percent
from ..trials.source import row_text
from ..trials.trial import OUTCOMES
from .content import Reached, ReportRow, Walk
from .drawing import INKS, LEGEND, Style, add_axes, draw_svg, place_axes, whole_ticks
from .words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 230
"""Of the figures of a row."""

# Told apart by dash and by the mark at the end; colour only adds to it.
STYLES: dict[str, Style] = {
    "converged": {"linestyle": "-", "marker": "o"},
    "stuck": {"linestyle": (0, (5, 3)), "marker": "x"},
    "slow": {"linestyle": (0, (1, 2)), "marker": "s"},
    "diverged": {"linestyle": (0, (6, 2, 1, 2)), "marker": "^"},
}


def curves_figure(row: ReportRow, key: str) -> str:
    """Learning curves, one a seed, with a mark where each ends."""
    target, counts = row.target, Counter(trial.outcome for trial in row.trials)
    shown = [outcome for outcome in OUTCOMES if counts[outcome]]

    def draw(figure: Figure) -> None:
        from matplotlib.lines import Line2D

        axes = _counting_axes(figure, "epoch", top=26 if len(shown) < 3 else 44)
        axes.set_xlim(0.8, max(target.epochs, 2) + 0.2)
        if "accuracy" in target.monitor:
            axes.set_ylim(0, 1.02)
        axes.axhline(target.value, color=INKS["ink"], linewidth=0.8, gid="is target")
        for trial, values in sorted(row.curves, key=lambda curve: OUTCOMES.index(curve[0].outcome)):
            points = [(i, value) for i, value in enumerate(values, 1) if value is not None]
            if points:
                style = {**_style(trial.outcome), "markevery": [len(points) - 1]}
                name = f"is curve {trial.outcome}"
                axes.plot(*zip(*points, strict=True), **style, clip_on=False, gid=name)
        axes.annotate(
            f"target {target.value:g}",
            (1, target.value),
            (0, -3 if target.mode == "max" else 3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="top" if target.mode == "max" else "bottom",
        )
        figure.legend(
            [Line2D([], [], **_style(outcome), markevery=[1]) for outcome in shown],
            [f"{outcome} {counts[outcome]}" for outcome in shown],
            **LEGEND,
        )

    ends = ", ".join(f"{counts[outcome]} {outcome}" for outcome in shown)
    title = f"Learning curves of {row_text(row.name, row.recipe)}"
    text = (
        f"{target.monitor} at the end of each epoch for {plural(len(row.trials), 'seed')}: {ends}. "
        "Stuck ones are dashed and end in a cross."
    )
    return draw_svg(draw, HEIGHT, key, title, text)


def reached_figure(row: ReportRow, found: Reached, key: str) -> str:
    """The cumulative share of trainings at their target, with the censored ones marked."""
    last = found.epochs[-1]

    def draw(figure: Figure) -> None:
        axes = _counting_axes(figure, "epoch")
        axes.set_xlim(0, last)
        axes.set_ylim(0, 1.02)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        rising: Style = {"where": "post", "color": INKS["converged"], "linewidth": 1.8}
        label = f"{found.trials - found.missed} met it"
        axes.step(found.epochs, found.shares, **rising, clip_on=False, label=label)
        if found.missed:
            plus: Style = {"marker": "+", "markersize": 11, "markeredgewidth": 1.6, "linestyle": ""}
            label = f"{found.missed} missed it"
            axes.plot(
                [last], [found.shares[-1]], **plus, color=INKS["ink"], clip_on=False, label=label
            )
        figure.legend(**LEGEND)

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
    return draw_svg(draw, HEIGHT, key, title, text)


def walk_figure(row: ReportRow, walk: Walk, key: str) -> str:
    """Successes against trials, between the boundaries of the plan; the part where it is."""
    trials, successes, plan = len(walk.successes) - 1, walk.successes[-1], walk.plan
    end = min(plan.max_trials, max(2 * trials, 10))
    top = 1.25 * max(plan.accept[end], successes)
    boundaries = (
        ("green", plan.accept, (0, (6, 2)), (plan.accept[end] + top) / 2),
        ("red", plan.reject, (0, (2, 2)), plan.reject[end] / 2),
    )

    def draw(figure: Figure) -> None:
        axes = _counting_axes(figure, "trials read", right=44)
        axes.set_xlim(0, end)
        axes.set_ylim(0, top)
        whole_ticks(axes.yaxis)
        for name, boundary, dashes, middle in boundaries:
            # What no walk can reach is not drawn.
            points = [(n, s) for n, s in enumerate(boundary[: end + 1]) if 0 <= s <= n]
            if points:
                style: Style = {"linestyle": dashes, "color": INKS["muted"], "linewidth": 1.2}
                axes.plot(*zip(*points, strict=True), **style, gid=f"is boundary {name}")
                axes.text(end * 1.03, middle, name, va="center")
        style = _style("converged" if walk.colour == "green" else "stuck")
        style |= {"linestyle": "-", "linewidth": 1.8, "markevery": [trials]}
        (line,) = axes.plot(
            range(trials + 1), walk.successes, **style, clip_on=False, gid="is walk"
        )
        text = f"{successes} of {trials} {walk.counted}: {walk.colour}"
        figure.legend([line], [text], **LEGEND)

    title = f"Verdict {walk.hypothesis!r} on {row_text(row.name, row.recipe)}"
    text = (
        f"After {plural(trials, 'trial')}, {successes} of them {walk.counted}, the walk crossed the "
        f"boundary to {walk.colour}. The plan reads at most {plan.max_trials} trials."
    )
    return draw_svg(draw, HEIGHT, key, title, text)


def chances_figure(rows: Sequence[ReportRow], key: str) -> str:
    """P(converge) of every row, with its interval."""
    pitch, top, bottom = 36, 6, 24
    height = top + pitch * len(rows) + bottom

    def draw(figure: Figure) -> None:
        axes = place_axes(figure, height, top, right=12, bottom=bottom, left=8)
        axes.set_xlim(0, 1)
        axes.set_ylim(len(rows), 0)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "", "50 %", "", "100 %"])
        first, *_, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
        axes.set_yticks([])
        axes.grid(axis="x", color=INKS["line"], linewidth=0.8)
        axes.tick_params(length=0, labelcolor=INKS["muted"])
        axes.spines[:].set_visible(False)
        for place, row in enumerate(rows):
            chance, line = row.chance, place + 0.72
            numbers = f"{chance.converged}/{chance.trials}, {chance.text}"
            name = _short(row.name, 40 - len(numbers))
            axes.text(0, place + 0.44, name, weight="bold")
            axes.text(1, place + 0.44, numbers, ha="right", color=INKS["muted"])
            interval: Style = {"color": INKS["ink"], "linewidth": 2, "marker": "|"}
            rate: Style = {"color": INKS["converged"], "marker": "o"}
            whole: Style = {"markersize": 7, "clip_on": False}
            axes.plot(chance.interval, [line, line], **interval, **whole, gid="is interval")
            axes.plot([chance.converged / chance.trials], [line], **rate, **whole, gid="is rate")

    listed = "; ".join(
        f"{row.name} {row.chance.converged} of {row.chance.trials}, {row.chance.text}"
        for row in rows
    )
    title = row_text("P(converge)", rows[0].recipe)
    text = f"Share of trainings that converged, with exact 95 % intervals: {listed}."
    return draw_svg(draw, height, key, title, text)


def _counting_axes(figure: Figure, counted: str, top: int = 26, right: int = 12) -> Axes:
    """Axes that count something from left to right."""
    axes = add_axes(figure, HEIGHT, top=top, right=right)
    whole_ticks(axes.xaxis)
    axes.set_xlabel(counted, loc="right", color=INKS["muted"])
    return axes


def _style(outcome: str) -> Style:
    return {
        **STYLES[outcome],
        "color": INKS[outcome],
        "linewidth": 1.3,
        "markersize": 6,
        "markeredgewidth": 1.6 if outcome == "stuck" else 1.0,
    }


def _short(text: str, room: int) -> str:
    """The text, cut in its middle where it is longer than `room` letters."""
    if len(text) <= room:
        return text
    half = (room - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
