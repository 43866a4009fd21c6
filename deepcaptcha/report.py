"""What people read: summaries and verdicts as tables, in the terminal or as Markdown, and in words."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from .plan import binomial_interval
from .trial import Outcome, Trial
from .verdict import Budget, false_alarms_a_year

COMPARISONS = ("as reliable", "as fast")
"""What a row is judged for against its baseline."""

LOG_WIDTH = 160
"""Columns of a table that is not written to a terminal."""

OUTCOMES: tuple[Outcome, ...] = ("converged", "stuck", "slow", "diverged")


@dataclass(frozen=True)
class Summary:
    """What a fixed number of trials shows.

    `interval` is Clopper and Pearson's exact 95 % interval for P(converge); `median_epochs` is over
    the converged trials, None without any; `epochs` were trained of `epochs_planned`.
    """

    trials: int
    converged: int
    interval: tuple[float, float]
    median_epochs: float | None
    outcomes: dict[str, int]
    epochs: int
    epochs_planned: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.__dict__, "interval": list(self.interval)}


def counts_text(counts: Mapping[str, int]) -> str:
    """What was counted, such as `clipped 6, learning 1`, without what was not seen."""
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count)


def failures_text(outcomes: Mapping[str, int]) -> str:
    """The outcomes other than converged, such as `stuck 3, slow 1`."""
    return counts_text({outcome: outcomes[outcome] for outcome in OUTCOMES[1:]})


def summarise(trials: Sequence[Trial]) -> Summary:
    """The summary of trials of one factory and recipe; at least one."""
    counts = Counter(trial.outcome for trial in trials)
    reached = [trial.epochs_to_target for trial in trials if trial.epochs_to_target is not None]
    return Summary(
        trials=len(trials),
        converged=counts["converged"],
        interval=binomial_interval(counts["converged"], len(trials)),
        median_epochs=statistics.median(reached) if reached else None,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        epochs=sum(len(trial.epochs) for trial in trials),
        epochs_planned=sum(int(trial.identity["recipe"]["epochs"]) for trial in trials),
        seconds=round(sum(trial.seconds for trial in trials), 1),
    )


def percent(share: float) -> str:
    """A share as whole percents, 0 and 100 only where it is exactly that."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


def interval_text(interval: tuple[float, float]) -> str:
    """An interval as whole percents, rounded outwards."""
    low, high = interval
    return f"{math.floor(100 * low)}-{math.ceil(100 * high)} %"


@dataclass(frozen=True)
class Column:
    """A table's column; `prose` columns are left-aligned and may wrap, but for the first."""

    title: str
    prose: bool = False


@dataclass(frozen=True)
class Table:
    """A table that reads the same in a terminal and as Markdown."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    def without_empty_columns(self) -> Table:
        """The same without columns in which no row says anything."""
        kept = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        rows = (tuple(row[i] for i in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=tuple(rows))

    def as_markdown(self) -> str:
        """A GitHub table under its title as a heading."""
        return f"## {self.title}\n\n{self.as_markdown_rows()}"

    def as_markdown_rows(self) -> str:
        """The GitHub table alone."""
        lines = [
            _markdown_row(column.title for column in self.columns),
            _markdown_row("---" if column.prose else "---:" for column in self.columns),
            *(_markdown_row(row) for row in self.rows),
        ]
        return "\n".join(lines) + "\n"

    def write(self, file: IO[str]) -> None:
        """Draw it as wide as the terminal allows; prose wraps, figures do not."""
        from rich.console import Console
        from rich.table import Table as RichTable

        # A name is no markup, and a log no terminal, also where colours are asked for.
        console = Console(file=file, highlight=False, markup=False, emoji=False)
        if not file.isatty():
            console.width = LOG_WIDTH
        if console.width < _narrow(self):
            _write_records(self, file, console.width)
            return
        table = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for place, column in enumerate(self.columns):
            table.add_column(
                column.title,
                justify="left" if column.prose else "right",
                no_wrap=not column.prose or not place,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def failure_message(evidence: dict[str, Any], again: str) -> str:
    """Claim, evidence and how to see one failure again, in words that need no table."""
    name = f"{evidence['name']} under {evidence['recipe']}"
    lines = []
    for verdict in evidence["verdicts"]:
        if verdict["colour"] != "red":
            continue
        k, n = verdict["successes"], verdict["trials"]
        interval = interval_text(tuple(verdict["interval"]))
        if verdict["hypothesis"] == "as fast":
            lines.append(f"{name} trains more slowly than its baseline: {verdict['note']}.")
        elif verdict["hypothesis"] == "as reliable":
            lines.append(
                f"{name} trains less reliably than its baseline: {k} of {n} trials converged "
                f"(95 % interval {interval}); {verdict['note']}."
            )
        else:
            lines.append(
                f"{name} is claimed {evidence['claim']!r} in at least {percent(evidence['p_good'])} of "
                f"trainings; {k} of {n} trials were so (95 % interval {interval})."
            )
        if verdict["alpha"] is not None:
            lines.append(f"The chance of such a red if all is well: {verdict['alpha']:.2g}.")
    if evidence["failures"]:
        lines.append(f"The target, {evidence['target']}, was missed: {evidence['failures']}.")
    lines += [f"{line}." for line in evidence["symptoms"]]
    if evidence["environment"]:
        lines.append(f"The baseline's environment differed: {evidence['environment']}.")
    if evidence["failed_seeds"]:
        lines.append(f"One of them again: {again} --convergence-seed {evidence['failed_seeds'][0]}")
    return "\n".join(lines)


def claim_text(evidence: dict[str, Any]) -> str:
    """The claim with its rates, such as `trains 0.95/0.5`."""
    if evidence["p_good"] is None:
        return str(evidence["claim"])
    return f"{evidence['claim']} {evidence['p_good']:g}/{evidence['p_bad']:g}"


def _comparison_text(verdict: dict[str, Any]) -> str:
    seen = verdict["detects"]
    return f"{verdict['colour']}" + ("" if seen is None else f" ({percent(seen)})")


def row_names(reported: Sequence[Mapping[str, Any]]) -> list[str]:
    """The factory's name for each evidence, with that of the test where several have the same under
    recipes of the same name."""
    counts = Counter((evidence["name"], evidence["recipe"]) for evidence in reported)
    return [
        evidence["name"]
        if counts[evidence["name"], evidence["recipe"]] == 1
        else f"{evidence['name']} ({evidence['test'].rpartition('::')[2]})"
        for evidence in reported
    ]


def verdict_table(reported: Sequence[dict[str, Any]]) -> Table:
    """A row a factory and recipe, in order of recipe and name."""
    rows = []
    named = zip(row_names(reported), reported, strict=True)
    for name, evidence in sorted(named, key=lambda pair: (pair[1]["recipe"], pair[0])):
        claim, *others = evidence["verdicts"]
        compared = {verdict["hypothesis"]: _comparison_text(verdict) for verdict in others}
        summary = evidence["summary"]
        colour = "interval only" if evidence["claim"] == "mixed" else claim["colour"]
        rows.append(
            (
                name,
                evidence["recipe"],
                claim_text(evidence),
                f"{claim['successes']}/{claim['trials']}",
                interval_text(tuple(claim["interval"])),
                colour,
                *(compared.get(hypothesis, "") for hypothesis in COMPARISONS),
                "" if summary["median_epochs"] is None else f"{summary['median_epochs']:g}",
                f"{summary['seconds'] / 60:.1f}",
                evidence["failures"],
                counts_text(evidence["symptom_counts"]),
            )
        )
    table = Table(
        "Verdicts",
        (
            Column("factory", prose=True),
            Column("recipe", prose=True),
            Column("claim", prose=True),
            Column("k/n"),
            Column("95 % interval"),
            Column("verdict"),
            *(Column(hypothesis, prose=True) for hypothesis in COMPARISONS),
            Column("epochs"),
            Column("min"),
            Column("missed", prose=True),
            Column("symptoms", prose=True),
        ),
        tuple(rows),
    )
    return table.without_empty_columns()


def summary_lines(reported: Sequence[dict[str, Any]], workers: int, nightly: bool) -> list[str]:
    """What the colours are worth, what they cost and what they may cost."""
    first = reported[0]
    budget = Budget(first["hypotheses"], first["alpha"], first["beta"])
    trials = sum(evidence["summary"]["trials"] for evidence in reported)
    seconds = sum(evidence["summary"]["seconds"] for evidence in reported)

    def minutes(key: str) -> str:
        total = sum(evidence[key] * evidence["seconds_per_trial"] for evidence in reported)
        return _minutes(total / workers)

    lines = [
        f"{budget.hypotheses} hypotheses share the suite's rates: any false red with at most "
        f"{100 * budget.alpha:g} %, any false green with at most {100 * budget.beta:g} % probability "
        f"({budget.share[0]:g} and {budget.share[1]:g} each).",
        f"{trials} trials took {_minutes(seconds / workers)} on {workers} "
        f"worker{'s' if workers > 1 else ''}; expected at most {minutes('worst_expected_trials')}, "
        f"never more than {minutes('most_trials')}.",
    ]
    for recipe in sorted({evidence["recipe"] for evidence in reported}):
        chosen = [evidence for evidence in reported if evidence["recipe"] == recipe]
        frozen, saved = (
            sum(evidence[key] for evidence in chosen) for key in ("frozen", "epochs_saved_by_proof")
        )
        planned = sum(evidence["summary"]["epochs_planned"] for evidence in chosen)
        if frozen:
            lines.append(
                f"{recipe}: {frozen} trials were proved stuck early, which saved {saved} of {planned} "
                "epochs."
            )
    if any(verdict["detects"] is not None for e in reported for verdict in e["verdicts"]):
        lines.append("as reliable (p): a fall of the rate to p turns it red with 90 % probability.")
    for evidence in reported:
        for verdict in evidence["verdicts"]:
            if verdict["hypothesis"] in COMPARISONS and verdict["colour"] == "cannot tell":
                lines.append(
                    f"{evidence['name']} under {evidence['recipe']}: cannot tell whether "
                    f"{verdict['hypothesis']}: {verdict['note']}."
                )
    for difference in sorted({evidence["environment"] for evidence in reported} - {""}):
        lines.append(f"Not the environment of the baselines: {difference}.")
    if nightly:
        alarms = false_alarms_a_year(budget)
        lines.append(f"Run every night, expect at most {alarms:.0f} false alarms a year.")
    return lines


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 600 else f"{seconds / 60:.0f} minutes"


def _narrow(table: Table) -> int:
    """Columns a terminal needs so that no figure is cut and prose keeps a dozen letters."""
    widths = [
        max(len(cell) for cell in (column.title, *(row[i] for row in table.rows)))
        for i, column in enumerate(table.columns)
    ]
    kept = [
        min(width, 12) if column.prose and place else width
        for place, (width, column) in enumerate(zip(widths, table.columns, strict=True))
    ]
    return sum(kept) + len(kept)


def _write_records(table: Table, file: IO[str], width: int) -> None:
    """Too narrow for columns: one block a row, one line a figure."""
    file.write(f"{table.title}\n")
    for row in table.rows:
        file.write(f"\n{row[0]}\n")
        for column, cell in zip(table.columns[1:], row[1:], strict=True):
            if cell:
                text = f"  {column.title}: {cell}"
                file.write(textwrap.fill(text, max(width, 20), subsequent_indent="    ") + "\n")


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
