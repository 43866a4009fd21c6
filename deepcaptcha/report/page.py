"""The HTML report: one file that needs nothing else, with figures inside (extra `report`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import InputError, printable, write_file
from ..trials.ledger import read_full_ledger
from ..verdicts.judge import Evidence
from .content import (
    ReportRow,
    environment_lines,
    opening,
    reached,
    rows_of_ledger,
    rows_of_verdicts,
    sections,
    seeds_text,
)
from .drawing import letters
from .words import failures_text

_TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"


def require_extra() -> None:
    """InputError where Jinja2 is missing; does not import it."""
    if not importlib.util.find_spec("jinja2"):
        raise InputError("reports need Jinja2: install pytest-deepcaptcha with its extra `report`")


def write_report(
    path: Path,
    ledger: Path,
    made_by: str,
    reported: Sequence[Evidence] | None = None,
    notes: Iterable[str] = (),
    made: str = "",
    tell: Callable[[Sequence[str]], object] = lambda problems: None,
) -> tuple[ReportRow, ...]:
    """Write the report on a ledger, or on the verdicts `reported`, whose trials the ledger holds.

    `made_by` is the command that makes it again, `notes` what its figures are worth, `made` when and of
    which commit it was made; `tell` hears of the ledger's problems, which the page tells too. Raises
    InputError for a missing extra, a ledger without the trials, or a path that cannot be written.
    """
    require_extra()
    found = read_full_ledger(ledger)
    tell(found.problems)
    rows = rows_of_ledger(found) if reported is None else rows_of_verdicts(reported, found)
    page = render(rows, made_by, [*notes, *found.problems], made)
    write_file(path, page, "the report")
    return rows


def render(
    rows: Sequence[ReportRow], made_by: str, notes: Iterable[str] = (), made: str = ""
) -> str:
    """The page; the same rows and words give the same bytes."""
    from .figures import chances_figure

    groups = []
    for i, section in enumerate(sections(rows), 1):
        panels = [_panel(row, f"row-{i}-{j}") for j, row in enumerate(section, 1)]
        groups.append((section[0], panels, chances_figure(section, f"chance-{i}")))
    content = {
        "opening": opening(rows),
        "environment": [*([made] if made else []), *environment_lines(rows)],
        "groups": groups,
        "judged": any(row.verdicts for row in rows),
        "few": len(rows) <= 2,
        "ended_early": sum(trial.ended_early for row in rows for trial in row.trials),
        "made_by": made_by,
        "notes": list(notes),
        "seeds": seeds_text(rows),
        "version": importlib.metadata.version("pytest-deepcaptcha"),
    }
    page = printable(fill(_TEMPLATE, content, escape=True), keep="\n")
    return page.replace(" %", "\N{NO-BREAK SPACE}%")


def fill(template: Path, content: Mapping[str, object], *, escape: bool) -> str:
    """A template with its names filled in; `escape` for HTML. A name that is missing is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not escape,
    )
    environment.filters.update(failures=failures_text, letters=letters)
    return environment.get_template(template.name).render(content)


def _panel(row: ReportRow, key: str) -> dict[str, object]:
    """A row as the page shows it: its anchor and its figures, each (heading, words, SVG)."""
    from .figures import curves_figure, reached_figure, walk_figure

    curves = curves_figure(row, f"{key}-curves")
    way = reached_figure(row, reached(row.trials), f"{key}-reached")
    figures = [
        ("Learning curves", f"{row.target.monitor} by epoch, a line a seed", curves),
        ("Epochs to target", "share of trainings there (Kaplan-Meier)", way),
    ]
    for i, walk in enumerate(row.walks, 1):
        words = f"trials {walk.counted} against trials read"
        drawn = walk_figure(row, walk, f"{key}-walk-{i}")
        figures.append((f"Verdict: {walk.hypothesis}", words, drawn))
    return {"row": row, "key": key, "figures": figures}
