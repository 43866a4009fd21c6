"""`python -m deepcaptcha report`."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from ..report.page import write_report


def report(options: argparse.Namespace) -> int:
    """Write the HTML report on a ledger and say where it is."""
    output = Path(options.output)
    ledger = Path(options.ledger)
    command = shlex.join(
        ["python", "-m", "deepcaptcha", "report", "--ledger", str(ledger), "--output", str(output)]
    )
    rows = write_report(output, ledger, command)
    trials = sum(len(row.trials) for row in rows)
    if options.json:
        print(json.dumps({"report": str(output), "rows": len(rows), "trials": trials}, indent=2))
    else:
        print(f"{output}: {len(rows)} rows, {trials} trials.")
    return 0
