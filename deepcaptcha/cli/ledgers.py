"""`compare` and `report`: what is read from ledgers."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from ..errors import InputError
from ..report.page import write_report
from ..report.session import last_two
from ..report.words import comparison_table
from ..trials.ledger import LedgerTrials, read_full_ledger
from ..trials.place import find_ledger
from ..verdicts.ledgers import compare as compare_ledgers
from ..verdicts.ledgers import environments
from .arguments import command, option, program, shared
from .progress import say, warn


@command(
    "Say what changed between two ledgers.",
    option("before", "a ledger's folder or file", "A", Path, nargs="?"),
    option(
        "after",
        "another; without any, the last two sessions of `pytest --convergence-save`",
        "B",
        Path,
        nargs="?",
    ),
)
def compare(options: Namespace) -> int:
    """Print what changed between two ledgers; 1 if a row trains less reliably."""
    if options.before and not options.after:
        raise InputError(f"{options.before} is given alone; two ledgers are needed, or none")
    places = (options.before, options.after) if options.before else last_two(find_ledger())
    before, after = map(_full_ledger, places)
    rows = compare_ledgers(before, after)
    told = environments(before, after)
    if options.json:
        records = [row.as_dict() for row in rows]
        print(json.dumps({"environment": told, "rows": records}, indent=2))
    else:
        say(f"{places[0]} -> {places[1]}")
        say(f"Environment: {told}")
        comparison_table(rows).write(sys.stdout)
    return int(any(row.worse for row in rows))


def _full_ledger(path: Path) -> LedgerTrials:
    records = read_full_ledger(path)
    warn(*records.problems)
    return records


@command(
    "Write an HTML report on the trials of a ledger.",
    *shared(ledger=Path("build/study/ledger")),
    option("--page", "", "FILE", Path, Path("build/report.html")),
)
def report(options: Namespace) -> int:
    """Write the HTML report on a ledger and say where it is."""
    page, ledger = options.page, options.ledger
    words = [*program().split(), "report", "--ledger", str(ledger), "--page", str(page)]
    rows = write_report(page, ledger, shlex.join(words), tell=lambda problems: warn(*problems))
    trials = sum(len(row.trials) for row in rows)
    if options.json:
        print(json.dumps({"report": str(page), "rows": len(rows), "trials": trials}, indent=2))
    else:
        say(f"{page}: {len(rows)} rows, {trials} trials.")
    return 0
