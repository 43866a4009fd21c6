"""The tables of the answer."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from deepcaptcha.finding import percent
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.report.table import Table, columns
from deepcaptcha.report.words import failures_text, interval_text
from deepcaptcha.verdicts.plan import binomial_interval

from .answer import Scored, judged_pairs, movement, outcomes_of
from .association import Predictor
from .experiments import Experiment
from .record import RECORDED, Record
from .statements import STATEMENTS, Row, could_hold, count, judge_statement


def rate_text(successes: int, trials: int) -> str:
    """`28 / 30, 77-100 %`: the exact 95 % interval."""
    return f"{successes} / {trials}, {interval_text(binomial_interval(successes, trials))}"


def rates_table(record: Record) -> Table:
    """P(converged) of every network under every recipe, all its trials."""
    return Table(
        "Rates",
        columns("<network", *(f"`{recipe}`" for recipe in RECORDED)),
        tuple(
            (
                f"`{name}`",
                *(rate_text(*count("converged", record.outcomes((name, r)))) for r in RECORDED),
            )
            for name in VARIANTS
        ),
    )


def said_table(record: Record, recipe: str) -> Table:
    """Every statement, the word it earns under a recipe, and the number it was turned into."""

    def outcomes(name: str) -> Sequence[str]:
        return record.unseen((name, recipe))

    rows = []
    for statement in STATEMENTS:
        successes, trials = count(statement.event, outcomes(statement.variant))
        shown = rate_text(successes, trials)
        if isinstance(statement.bound, str):
            k, n = count(statement.event, outcomes(statement.bound))
            shown += f" (against {k} / {n})"
        word = judge_statement(statement, outcomes)
        if word == "undecided" and not could_hold(statement, trials):
            shown += f"; {trials} trials could not show it"
        said = f"{statement.said} ({statement.by})"
        rows.append((f"**{word}**", said, f"`{statement.variant}`", statement.reading, shown))
    return Table(
        recipe, columns("<verdict", "<said", "<network", "<read as", "<measured"), tuple(rows)
    )


def pairs_table(record: Record) -> Table:
    """The matched pairs, one a line."""

    def cells(row: Row) -> tuple[str, str, str]:
        name, recipe = row
        return (
            f"`{name}`, {recipe}",
            f"{VARIANTS[name].architecture.parameters:,}",
            rate_text(*count("converged", record.unseen(row))),
        )

    return Table(
        "Matched pairs",
        columns(
            "<network",
            "parameters",
            "converged",
            "<the other",
            "parameters",
            "converged",
            "p (Holm)",
            "<against the theory",
        ),
        tuple(
            (*cells(one.pair.better), *cells(one.pair.worse), f"{one.p:.2g}", _yes(one.against))
            for one in judged_pairs(record)
        ),
    )


def _yes(shown: bool) -> str:
    return "yes" if shown else "not shown"


def step_table(record: Record) -> Table:
    """How far one optimizer step moves the logits, cell by cell."""
    measured = record.experiments["step"]
    rows = []
    for label in measured.cells:
        results = measured.results(label)
        moved = [result["movement"] for result in results]
        rows.append(
            (
                label,
                f"{statistics.median(result['size'] for result in results):.3g}",
                f"{movement(measured, label):.3g} ({min(moved):.3g}-{max(moved):.3g})",
                percent(statistics.median(result["lost_before"] for result in results)),
                percent(statistics.median(result["lost_after"] for result in results)),
            )
        )
    return Table(
        "One step",
        columns("<network", "largest logit", "moved by (range), nats", "lost before", "after"),
        tuple(rows),
    )


def trainings_table(record: Record, experiment: Experiment) -> Table:
    """How the trainings of an experiment ended, cell by cell."""
    measured = record.experiments[experiment.name]
    rows = []
    for label in measured.cells:
        ended = outcomes_of(measured, label)
        outcomes = list(ended.values())
        rows.append(
            (
                label,
                rate_text(outcomes.count("converged"), len(outcomes)),
                _median_epochs([measured.cells[label][seed]["epochs_to_target"] for seed in ended]),
                failures_text(Counter(outcomes)),
            )
        )
    return Table(
        experiment.name,
        columns("<changed", "converged", "epochs", "<failures"),
        tuple(rows),
    )


def walk_table(record: Record, steps: Sequence[int] = (0, 10, 50, 100, 300, 1500)) -> Table:
    """The trajectories at some steps."""
    measured = record.experiments["trajectory"]
    rows = []
    for label in measured.cells:
        ((seed, looks),) = measured.cells[label].items()
        for step, zero, lost, moved, changed in looks:
            if step in steps:
                rows.append(
                    (
                        f"{label} (seed {seed})",
                        f"{step:,}",
                        percent(zero),
                        percent(lost),
                        f"{moved:.3g}",
                        "-" if step == 0 else "0" if changed == 0 else f"{changed:.1g}",
                    )
                )
    return Table(
        "Three trainings",
        columns(
            "<training",
            "step",
            "zero gradient",
            "lost",
            "logits moved by",
            "weights changed in 10 steps",
        ),
        tuple(rows),
    )


def repairs_table(record: Record) -> Table:
    """Every repair with its chance and its price."""
    rows = []
    question = VARIANTS["same"].architecture.parameters
    for name, recipe, price in (
        ("same", "raw-subset", "(nothing changed)"),
        ("same-reshape-first", "raw-subset", "none"),
        ("same-logits", "raw-subset", "softmax is applied by whoever reads probabilities"),
        ("same", "sound-subset", "one division"),
        *((v, "raw-subset", "another network") for v in VARIANTS if not v.startswith("same")),
    ):
        baseline = record.baselines[name, recipe]
        change = VARIANTS[name].change if recipe == "raw-subset" else "pixels / 255"
        parameters = VARIANTS[name].architecture.parameters - question
        rows.append(
            (
                change,
                rate_text(baseline.converged, len(baseline.outcomes)),
                _median_epochs(baseline.epochs_to_target),
                f"{parameters:+,}" if parameters else "0",
                price,
            )
        )
    slow = record.experiments["patience"].results("rate 0.0001, 50 epochs")
    rows.insert(
        4,
        (
            "learning rate 0.0001, up to 50 epochs",
            rate_text([r["outcome"] for r in slow].count("converged"), len(slow)),
            _median_epochs([r["epochs_to_target"] for r in slow]),
            "0",
            "smaller steps",
        ),
    )
    return Table(
        "Repairs",
        columns("<change", "converged", "epochs", "parameters", "<price"),
        tuple(rows),
    )


def _median_epochs(epochs: Sequence[int | None]) -> str:
    reached = [number for number in epochs if number is not None]
    return f"{statistics.median(reached):g}" if reached else "-"


def checks_table(scored: Scored) -> Table:
    """Errors of the check by network."""
    return Table(
        "Errors of the check",
        columns("<network", "stuck", "foretold", "false alarms", "missed"),
        tuple(
            (
                f"`{name}`",
                f"{c.hits + c.misses} / {c.hits + c.misses + c.false_alarms + c.left_alone}",
                str(c.hits),
                str(c.false_alarms),
                str(c.misses),
            )
            for name, c in scored.by_network.items()
        ),
    )


def symptoms_table(record: Record) -> Table:
    """The declared symptoms at early steps against how the trials ended."""
    rows = []
    for found in record.symptoms["predictors"]:
        rows.append(
            (
                Predictor(**found["predictor"]).words,
                "{} of {}".format(*found["stuck"]),
                "{} of {}".format(*found["converged"]),
                f"{found['p']:.2g}",
            )
        )
    return Table(
        "Symptoms",
        columns("<symptom", "shown by stuck", "by converged", "p (Holm)"),
        tuple(rows),
    )
