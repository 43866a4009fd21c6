"""The figures of the answer. Nothing in them is told by colour alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.report.drawing import WIDTH
from deepcaptcha.report.words import interval_text
from deepcaptcha.verdicts.plan import binomial_interval

from .drawing import INKS, LEGEND, add_axes, draw_svg, place_axes
from .experiments import EXPERIMENTS
from .record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = Mapping[str, Any]
"""Matplotlib's keywords."""

_STUCK: Style = {"color": INKS["stuck"], "linestyle": (0, (5, 3)), "marker": "x"}
_CONVERGING: Style = {"color": INKS["converged"], "linestyle": "-", "marker": "o"}
_SLOW: Style = {"color": INKS["slow"], "linestyle": (0, (1, 1)), "marker": "s"}
_WALKS = {"stuck": _STUCK, "converging": _CONVERGING, "stuck start, reshape first": _SLOW}
_HEADS: Mapping[bool, Style] = {
    True: {"marker": "o", "linestyle": "", "color": INKS["stuck"]},
    False: {"marker": "s", "linestyle": "", "color": INKS["converged"]},
}
"""Whether `Reshape` hides softmax -> its mark."""
_PERCENTS = ([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])

_STYLE_SHEET = """
svg { --paper: #fff; --ink: #1c2227; --muted: #56616b; --line: #d9dde1; --converged: #0b5fa5;
  --stuck: #b03a10; --slow: #6f5500; --diverged: #6d2f8f; background: var(--paper);
  font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #15191d; --ink: #e8ebee; --muted: #a7b1ba;
  --line: #394149; --converged: #7cbcf2; --stuck: #ffa57d; --slow: #e3c560; --diverged: #d4a6ee; } }
"""


def figures(record: Record) -> Mapping[str, str]:
    """File name -> the SVG, all figures."""
    return {
        "parameters.svg": _as_file(_parameters(record)),
        "trajectory.svg": _as_file(_trajectory(record)),
        "pixels.svg": _as_file(_pixels(record)),
    }


def _as_file(svg: str) -> str:
    """A figure of a page as a file of its own, with the page's colours, light and dark."""
    height = svg.partition('viewBox="0 0 ')[2].partition('"')[0].split()[1]
    size = f'<svg width="{WIDTH}" height="{float(height):g}" '
    head, middle, tail = svg.replace("<svg ", size, 1).partition(">")
    return f"{head}{middle}\n<style>{_STYLE_SHEET}</style>{tail}\n"


def _parameters(record: Record) -> str:
    """P(converged) of every network under raw-subset, in order of the number of parameters."""
    networks = sorted(VARIANTS.values(), key=lambda variant: variant.architecture.parameters)
    rows = [(v.name, v.architecture, record.baselines[v.name, "raw-subset"]) for v in networks]
    pitch, top, bottom = 34, 26, 40
    height = top + pitch * len(rows) + bottom

    def draw(figure: Figure) -> None:
        axes = place_axes(figure, height, top, right=12, bottom=bottom, left=8)
        axes.set_xlim(0, 1)
        axes.set_ylim(len(rows), 0)
        axes.set_xticks(_PERCENTS[0], ["0 %", "", "50 %", "", "100 %"])
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        axes.set_xlabel("converged, 95 % interval", loc="right", color=INKS["muted"])
        axes.set_yticks([])
        axes.grid(axis="x", color=INKS["line"], linewidth=0.8)
        axes.tick_params(length=0, labelcolor=INKS["muted"])
        axes.spines[:].set_visible(False)
        for place, (name, architecture, baseline) in enumerate(rows):
            style = _HEADS[architecture.head == "softmax-reshape"]
            share, y = baseline.converged / len(baseline.outcomes), place + 0.72
            text = f"{architecture.parameters:,} parameters"
            axes.text(0, place + 0.44, name, weight="bold")
            axes.text(1, place + 0.44, text, ha="right", color=INKS["muted"])
            axes.plot(baseline.interval, [y] * 2, color=INKS["ink"], linewidth=2)
            axes.plot([share], [y], **style, markersize=7, clip_on=False)
        marks = [axes.plot([], [], **_HEADS[hidden])[0] for hidden in (True, False)]
        figure.legend(marks, ["Reshape after softmax", "before it"], **LEGEND)

    listed = "; ".join(
        f"{name} {architecture.parameters:,} parameters, "
        f"{baseline.converged} of {len(baseline.outcomes)}, {interval_text(baseline.interval)}"
        for name, architecture, baseline in rows
    )
    return draw_svg(
        draw,
        height,
        "parameters",
        "P(converged) with raw pixels, by number of parameters",
        f"Each network's share of trainings that converged, with its exact 95 % interval: {listed}.",
    )


def _trajectory(record: Record) -> str:
    """Zero gradients, movement of the logits and change of the weights over the first steps."""
    walks = {
        label: next(iter(cell.values()))
        for label, cell in record.experiments["trajectory"].cells.items()
    }
    height, panel = 620, 185

    def draw(figure: Figure) -> None:
        for place, (column, title) in enumerate(
            (
                (1, "examples with zero gradient"),
                (3, "logits moved since the start, nats"),
                (4, "weights, change in ten steps (ends at 0)"),
            )
        ):
            logarithmic = column == 4
            axes = _panel(figure, height, 56 + place * panel, panel - 45)
            axes.set_title(title, loc="left", fontsize=12, color=INKS["ink"])
            axes.set_xlim(0, 1500)
            axes.set_xticks([0, 500, 1000, 1500], ["0", "500", "1,000", "1,500"])
            axes.get_xticklabels()[-1].set_horizontalalignment("right")
            if logarithmic:
                axes.set_yscale("log")
                axes.set_ylim(1e-16, 1)
                powers = ["1e-16", "1e-12", "1e-8", "1e-4", "1"]
                axes.set_yticks([float(power) for power in powers], powers)
                axes.minorticks_off()
            elif column == 1:
                axes.set_ylim(0, 1.02)
                axes.set_yticks(*_PERCENTS)
            for label, looks in walks.items():
                points = [
                    (row[0], row[column]) for row in looks if not logarithmic or row[column] > 0
                ]
                axes.plot(
                    *zip(*points, strict=True),
                    **_WALKS[label],
                    linewidth=1.4,
                    markersize=5,
                    markevery=[len(points) - 1],
                    clip_on=not logarithmic,
                    label=label if place == 0 else None,
                )
        axes.set_xlabel("optimizer step", loc="right", color=INKS["muted"])
        figure.legend(**LEGEND)

    def ending(label: str) -> str:
        step, zero, _, moved, changed = walks[label][-1]
        return (
            f"{label}: at step {step:,} {zero:.0%} of the examples have a zero gradient, the logits "
            f"have moved by {moved:.3g} nats and the weights changed by {changed:.1g}"
        )

    listed = "; ".join(ending(label) for label in walks)
    return draw_svg(
        draw,
        height,
        "trajectory",
        "The first 1,500 steps of three trainings",
        f"{listed}. The stuck one is dashed and ends in a cross.",
    )


def _panel(figure: Figure, height: int, top: int, room: int) -> Axes:
    """Axes `room` pixels high whose upper edge is `top` pixels below the figure's."""
    axes = add_axes(figure, height, top=top)
    left, _, width, _ = axes.get_position().bounds
    axes.set_position((left, 1 - (top + room) / height, width, room / height))
    return axes


def _pixels(record: Record) -> str:
    """P(converged) against the scale of the pixels, for `same` and `valid`."""
    (experiment,) = (e for e in EXPERIMENTS if e.name == "pixels")
    measured = record.experiments["pixels"]
    lines: dict[str, list[tuple[float, float, tuple[float, float]]]] = {"same": [], "valid": []}
    for condition in experiment.conditions:
        outcomes = [result["outcome"] for result in measured.results(condition.label)]
        k, n = outcomes.count("converged"), len(outcomes)
        lines[condition.variant].append((condition.pixels, k / n, binomial_interval(k, n)))

    def draw(figure: Figure) -> None:
        axes = add_axes(figure, 270, top=66)
        axes.set_title("converged, 95 % interval", loc="left", fontsize=12, color=INKS["ink"])
        axes.set_xscale("log")
        axes.set_ylim(0, 1.02)
        axes.set_yticks(*_PERCENTS)
        axes.set_xticks([1 / 81, 1 / 9, 1, 9, 81], ["/ 81", "/ 9", "raw", "* 9", "* 81"])
        axes.minorticks_off()
        axes.set_xlabel("pixels", loc="right", color=INKS["muted"])
        for name, style in (("same", _STUCK), ("valid", _CONVERGING)):
            scales, shares, intervals = zip(*lines[name], strict=True)
            for x, interval in zip(scales, intervals, strict=True):
                axes.plot([x, x], interval, color=style["color"], linewidth=1.2, clip_on=False)
            label = f"{name}, {VARIANTS[name].architecture.parameters:,} parameters"
            shape: Style = {"linewidth": 1.4, "markersize": 6, "clip_on": False}
            axes.plot(scales, shares, **style, **shape, label=label)
        figure.legend(**{**LEGEND, "ncols": 1})

    listed = "; ".join(
        f"{name}, pixels times {pixels:.3g}: {share:.0%}, {interval_text(interval)}"
        for name, points in lines.items()
        for pixels, share, interval in points
    )
    title = "P(converged) against the scale of the pixels"
    return draw_svg(draw, 270, "pixels", title, f"{listed}.")
