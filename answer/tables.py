"""The tables of the answer, in Markdown."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from deepcaptcha.finding import percent
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.report.table import Table, columns
from deepcaptcha.report.words import failures_text, interval_text
from deepcaptcha.verdicts.plan import binomial_interval

from .experiments import Experiment
from .judging import Scored, Symptom, judged_pairs, movement, outcomes_of
from .record import RECORDED, Record
from .statements import STATEMENTS, RowName, could_hold, count, judge_statement


def _markdown(titles: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    return Table("", columns(*titles), tuple(rows)).as_markdown_rows(cell=str)


def rate_text(successes: int, trials: int) -> str:
    """`28 / 30, 77-100 %`: the exact 95 % interval."""
    return f"{successes} / {trials}, {interval_text(binomial_interval(successes, trials))}"


def _converged(outcomes: Sequence[str]) -> str:
    return rate_text(*count("converged", outcomes))


def rates_table(record: Record) -> str:
    """P(converged) of every network under every recipe, all its trials."""
    return _markdown(
        ("<network", *(f"`{recipe}`" for recipe in RECORDED)),
        (
            (f"`{name}`", *(_converged(record.outcomes((name, recipe))) for recipe in RECORDED))
            for name in VARIANTS
        ),
    )


def said_table(record: Record, recipe: str) -> str:
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
    return _markdown(("<verdict", "<said", "<network", "<read as", "<measured"), rows)


def pairs_table(record: Record) -> str:
    """The matched pairs, one a line."""

    def cells(row: RowName) -> tuple[str, str, str]:
        name, recipe = row
        parameters = VARIANTS[name].architecture.parameters
        return f"`{name}`, {recipe}", f"{parameters:,}", _converged(record.unseen(row))

    figures = ("parameters", "converged")
    return _markdown(
        ("<network", *figures, "<the other", *figures, "p (Holm)", "<against the theory"),
        (
            (
                *cells(one.pair.better),
                *cells(one.pair.worse),
                f"{one.p:.2g}",
                "yes" if one.against else "not shown",
            )
            for one in judged_pairs(record)
        ),
    )


def experiment_table(record: Record, experiment: Experiment) -> str:
    """What an experiment showed, condition by condition."""
    return _step(record) if experiment.measure == "step" else _trainings(record, experiment.name)


def _step(record: Record) -> str:
    """How far one optimizer step moves the logits."""
    measured = record.experiments["step"]
    rows = []
    for label in measured.cells:
        moved = [result["movement"] for result in measured.results(label)]
        size = f"{measured.median(label, 'size'):.3g}"
        moves = f"{movement(measured, label):.3g} ({min(moved):.3g}-{max(moved):.3g})"
        lost = (percent(measured.median(label, f"lost_{when}")) for when in ("before", "after"))
        rows.append((label, size, moves, *lost))
    titles = ("<network", "largest logit", "moved by (range), nats", "lost before", "after")
    return _markdown(titles, rows)


def _trainings(record: Record, name: str) -> str:
    """How the trainings of an experiment ended."""
    measured = record.experiments[name]
    rows = []
    for label, cell in measured.cells.items():
        outcomes = outcomes_of(measured, label)
        epochs = [cell[seed]["epochs_to_target"] for seed in outcomes]
        ended = _ended(list(outcomes.values()), epochs)
        rows.append((label, *ended, failures_text(Counter(outcomes.values()))))
    return _markdown(("<changed", "converged", "epochs", "<failures"), rows)


def walk_table(record: Record) -> str:
    """The trajectories at some steps."""
    rows = []
    for label, cell in record.experiments["trajectory"].cells.items():
        ((seed, looks),) = cell.items()
        for step, zero, lost, moved, changed in looks:
            if step in (0, 10, 50, 100, 300, 1500):
                change = "-" if step == 0 else "0" if changed == 0 else f"{changed:.1g}"
                seen = percent(zero), percent(lost), f"{moved:.3g}"
                rows.append((f"{label} (seed {seed})", f"{step:,}", *seen, change))
    figures = ("step", "zero gradient", "lost", "logits moved by", "weights changed in 10 steps")
    return _markdown(("<training", *figures), rows)


def repairs_table(record: Record) -> str:
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
        more = VARIANTS[name].architecture.parameters - question
        ended = _ended(baseline.outcomes, baseline.epochs_to_target)
        rows.append((change, *ended, f"{more:+,}" if more else "0", price))
    slow = record.experiments["patience"].results("rate 0.0001, 50 epochs")
    ended = _ended(*([result[key] for result in slow] for key in ("outcome", "epochs_to_target")))
    rows.insert(4, ("learning rate 0.0001, up to 50 epochs", *ended, "0", "smaller steps"))
    return _markdown(("<change", "converged", "epochs", "parameters", "<price"), rows)


def _ended(outcomes: Sequence[str], epochs: Sequence[int | None]) -> tuple[str, str]:
    """How many converged, and the median of their epochs."""
    reached = [number for number in epochs if number is not None]
    return _converged(outcomes), f"{statistics.median(reached):g}" if reached else "-"


def checks_table(scored: Scored) -> str:
    """Errors of the check by network."""
    return _markdown(
        ("<network", "stuck", "foretold", "false alarms", "missed"),
        (
            (f"`{name}`", f"{c.stuck} / {c.trials}", *map(str, (c.hits, c.false_alarms, c.misses)))
            for name, c in scored.by_network.items()
        ),
    )


def symptoms_table(symptoms: Sequence[Symptom]) -> str:
    """The declared symptoms at early steps against how the trials ended."""
    return _markdown(
        ("<symptom", "shown by stuck", "by converged", "p (Holm)"),
        (
            (
                each.words if each.computed else f"{each.words} (as recorded)",
                *("{} of {}".format(*shown) for shown in (each.stuck, each.converged)),
                f"{each.p:.2g}",
            )
            for each in symptoms
        ),
    )
