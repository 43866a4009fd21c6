"""The figures of the answer. Nothing in them is told by colour alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .drawing import INKS, LEGEND, add_axes, as_file, draw_svg
from .experiments import EXPERIMENTS
from .plan import binomial_interval
from .record import Record
from .report import interval_text
from .variants import VARIANTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES: dict[str, dict[str, Any]] = {
    "stuck": {"color": INKS["stuck"], "linestyle": (0, (5, 3)), "marker": "x"},
    "converging": {"color": INKS["converged"], "linestyle": "-", "marker": "o"},
    "stuck start, reshape first": {"color": INKS["slow"], "linestyle": (0, (1, 1)), "marker": "s"},
}
_PERCENTS = ([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])


def figures(record: Record) -> Mapping[str, str]:
    """File name -> the SVG, all figures."""
    return {
        "parameters.svg": as_file(_parameters(record)),
        "trajectory.svg": as_file(_trajectory(record)),
        "pixels.svg": as_file(_pixels(record)),
    }


def _parameters(record: Record) -> str:
    """P(converged) under raw-subset against the number of parameters."""
    places = []
    drawn: Counter[int] = Counter()
    for variant in VARIANTS.values():
        baseline = record.baselines[variant.name, "raw-subset"]
        trials = len(baseline.outcomes)
        parameters = variant.architecture.parameters
        aside = 1.045 ** drawn[parameters]  # networks of equal size stand side by side
        drawn[parameters] += 1
        places.append(
            (
                parameters * aside,
                baseline.converged / trials,
                baseline.interval,
                variant.name,
                variant.architecture.head == "softmax-reshape",
            )
        )

    def draw(figure: Figure) -> None:
        axes = add_axes(figure, 300, top=44)
        axes.set_xscale("log")
        axes.set_xlim(70_000, 420_000)
        axes.set_ylim(0, 1.02)
        axes.set_yticks(*_PERCENTS)
        axes.set_xticks(
            [80_000, 120_000, 180_000, 340_000], ["80,000", "120,000", "180,000", "340,000"]
        )
        axes.minorticks_off()
        axes.set_xlabel("parameters", loc="right", color=INKS["muted"])
        for hidden, marker, label in (
            (True, "o", "Reshape after softmax"),
            (False, "s", "loss sees the logits"),
        ):
            chosen = [place for place in places if place[-1] is hidden]
            colour = INKS["stuck" if hidden else "converged"]
            for x, _, interval, *_ in chosen:
                axes.plot([x, x], interval, color=colour, linewidth=1.2)
            axes.plot(
                [x for x, *_ in chosen],
                [y for _, y, *_ in chosen],
                marker=marker,
                linestyle="",
                markersize=7,
                color=colour,
                clip_on=False,
                label=label,
            )
        figure.legend(**{**LEGEND, "ncols": 1})

    listed = "; ".join(
        f"{name} {VARIANTS[name].architecture.parameters:,} parameters, {share:.0%}, "
        f"{interval_text(interval)}"
        for _, share, interval, name, _ in sorted(places)
    )
    return draw_svg(
        draw,
        300,
        "parameters",
        "P(converged) with raw pixels against the number of parameters",
        f"Each network's share of trainings that converged, with its exact 95 % interval; networks of "
        f"equal size stand side by side: {listed}.",
    )


def _trajectory(record: Record) -> str:
    """Zero gradients, movement of the logits and change of the weights over the first steps."""
    walks = {
        label: next(iter(cell.values()))
        for label, cell in record.experiments["trajectory"].cells.items()
    }
    panels = (
        (1, "examples with zero gradient", False),
        (3, "logits moved since the start, nats", False),
        (4, "weights changed in ten steps (share)", True),
    )
    height, panel = 620, 185

    def draw(figure: Figure) -> None:
        for place, (column, title, logarithmic) in enumerate(panels):
            axes = _panel(figure, height, 56 + place * panel, panel - 45)
            axes.set_title(title, loc="left", fontsize=12, color=INKS["ink"])
            axes.set_xlim(0, 1500)
            axes.set_xticks([0, 500, 1000, 1500], ["0", "500", "1,000", "1,500"])
            axes.get_xticklabels()[-1].set_horizontalalignment("right")
            if logarithmic:
                axes.set_yscale("log")
                axes.set_ylim(1e-12, 1)
                axes.set_yticks([1e-12, 1e-8, 1e-4, 1], ["1e-12", "1e-8", "1e-4", "1"])
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
                    **_LINES[label],
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

    return draw_svg(
        draw,
        height,
        "trajectory",
        "The first 1,500 steps of three trainings",
        "; ".join(ending(label) for label in walks)
        + ". The stuck one is dashed and ends in a cross.",
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
    for cell in experiment.cells:
        outcomes = [result["outcome"] for result in measured.results(cell.label)]
        k, n = outcomes.count("converged"), len(outcomes)
        lines[cell.variant].append((cell.pixels, k / n, binomial_interval(k, n)))

    def draw(figure: Figure) -> None:
        axes = add_axes(figure, 250, top=46)
        axes.set_xscale("log")
        axes.set_ylim(0, 1.02)
        axes.set_yticks(*_PERCENTS)
        axes.set_xticks([1 / 81, 1 / 9, 1, 9, 81], ["/ 81", "/ 9", "raw", "* 9", "* 81"])
        axes.minorticks_off()
        axes.set_xlabel("pixels", loc="right", color=INKS["muted"])
        for (name, points), style in zip(
            lines.items(), (_LINES["stuck"], _LINES["converging"]), strict=True
        ):
            for x, _, interval in points:
                axes.plot([x, x], interval, color=style["color"], linewidth=1.2, clip_on=False)
            axes.plot(
                [x for x, _, _ in points],
                [y for _, y, _ in points],
                **style,
                linewidth=1.4,
                markersize=6,
                clip_on=False,
                label=f"{name}, {VARIANTS[name].architecture.parameters:,} parameters",
            )
        figure.legend(**{**LEGEND, "ncols": 1})

    return draw_svg(
        draw,
        250,
        "pixels",
        "P(converged) against the scale of the pixels",
        "; ".join(
            f"{name}, pixels times {pixels:.3g}: {share:.0%}, {interval_text(interval)}"
            for name, points in lines.items()
            for pixels, share, interval in points
        )
        + ".",
    )
