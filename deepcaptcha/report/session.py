"""A session of verdicts kept for programs, and with its trials for a comparison with a later one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, write_file
from ..trials.ledger import Ledger, read_ledger, trial_key
from ..verdicts.claim import Verdict
from ..verdicts.judge import Evidence

FORMAT = 1


def session_text(reported: Sequence[Evidence], whole: Verdict | None, again: str, made: str) -> str:
    """All verdicts as JSON: the fields of `Evidence` with its colour, in a list of rows.

    - `whole`: on the suite as a whole; None: it was not judged. `again`: the options that give the same
      verdicts; `made`: when, and of which commit.
    """
    rows = [{**evidence.as_dict(), "colour": evidence.colour} for evidence in reported]
    record = {
        "format": FORMAT,
        "made": made,
        "again": again,
        "whole": None if whole is None else whole.as_dict(),
        "rows": rows,
    }
    return json.dumps(record, indent=1) + "\n"


def save_session(ledger: Path, name: str, keys: Sequence[str], text: str) -> Path:
    """Keep a session beside the ledger, in a folder `saved/0001_NAME` of its own, the next number: its
    trials as a ledger, and its verdicts; returns the folder.

    - `keys`: of the trials that were judged (`trials.ledger.trial_key`).

    Raises InputError for a folder that cannot be written.
    """
    saved = saved_sessions(ledger)
    number = int(saved[-1].name[:4]) + 1 if saved else 1
    folder = ledger.parent / "saved" / f"{number:04d}_{name}"
    wanted = set(keys)
    known = {
        key: trial for trial in read_ledger(ledger).trials if (key := trial_key(trial)) in wanted
    }
    if known:
        kept = Ledger(folder)
        for trial in known.values():
            kept.append(trial)
        kept.close()
    write_file(folder / "verdicts.json", text, "the verdicts")
    return folder


def saved_sessions(ledger: Path) -> list[Path]:
    """Their folders, in the order of their numbers."""
    found = (ledger.parent / "saved").glob("[0-9][0-9][0-9][0-9]_*")
    return sorted(path for path in found if path.is_dir())


def last_two(ledger: Path) -> tuple[Path, Path]:
    """The last two saved sessions; InputError where there are fewer."""
    saved = saved_sessions(ledger)
    if len(saved) < 2:
        raise InputError(
            f"{len(saved)} saved sessions are beside {ledger}; two are needed: "
            "pytest --convergence-save NAME, or name two ledgers"
        )
    return saved[-2], saved[-1]
