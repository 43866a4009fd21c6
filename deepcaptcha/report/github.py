"""What GitHub shows of a run: a line beside each test, and a summary short enough for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import printable
from ..verdicts.claim import Colour, Verdict
from ..verdicts.judge import Evidence
from .table import Table, columns
from .words import failure_message, plural, row_names, verdict_table

COMMANDS: dict[Colour, str] = {"red": "error", "yellow": "warning"}
"""GitHub's workflow command for a row of a colour; others have no annotation."""


def annotation(evidence: Evidence, file: str, line: int) -> str:
    """A workflow command that tells beside a line of a file why a row is red or yellow; empty for a row
    that is neither.

    - `line`: from 1, of the test.
    """
    command = COMMANDS.get(evidence.colour)
    if command is None:
        return ""
    title = f"{evidence.name} under {evidence.recipe}: {evidence.colour}"
    properties = {"file": file, "line": str(line), "title": title}
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    if evidence.red:
        message = failure_message(evidence)
    else:
        message = "\n".join(_said(v) for v in evidence.verdicts if v.colour == evidence.colour)
    return f"::{command} {written}::{_data(message)}"


def _data(text: str) -> str:
    """A command's message, with what would end it escaped, as GitHub's own toolkit does."""
    return printable(text, keep="\n").replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def step_summary(reported: Sequence[Evidence], lines: Sequence[str]) -> str:
    """Markdown: first what is not as it was recorded or claimed, a row each, then everything, folded.

    - `lines`: what else the run says of its verdicts, Markdown too.
    """
    named = zip(row_names(reported), reported, strict=True)
    told = [(name, each) for name, each in named if each.colour != "green" and not each.unchanged]
    same = sum(each.unchanged for each in reported)
    good = len(reported) - len(told) - same
    counts = [f"{len(told)} to look at", f"{good} green", *([f"{same} unchanged"] if same else [])]
    parts = [f"## Verdicts: {', '.join(counts)}"]
    if told:
        parts.append(_difference_table(told).as_markdown_rows())
    notes = "".join(f"- {line}\n" for line in lines)
    parts.append(
        f"<details><summary>All {plural(len(reported), 'row')}</summary>\n\n"
        f"{verdict_table(reported).as_markdown_rows()}\n{notes}\n</details>\n"
    )
    return "\n\n".join(parts)


def _difference_table(told: Sequence[tuple[str, Evidence]]) -> Table:
    """Red rows first; notes say what was recorded and what is now."""
    order = {"red": 0, "yellow": 1}
    rows = tuple(
        (
            name,
            evidence.recipe,
            evidence.colour,
            f"{evidence.summary.converged}/{evidence.summary.trials}",
            "; ".join(_said(verdict) for verdict in evidence.verdicts if verdict.colour != "green"),
        )
        for name, evidence in sorted(told, key=lambda pair: order.get(pair[1].colour, 2))
    )
    return Table("", columns("<factory", "<recipe", "<verdict", "converged", "<what"), rows)


def _said(verdict: Verdict) -> str:
    return f"{verdict.hypothesis}: {verdict.note}" if verdict.note else verdict.hypothesis
