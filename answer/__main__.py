"""`python -m answer COMMAND`: the study of the question, from this checkout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from deepcaptcha.errors import InputError

from .commands import (
    add_experiment,
    add_predict,
    add_retrain,
    add_symptoms,
    experiment,
    predict,
    retrain,
    symptoms,
)
from .explain import add_explain, explain

COMMANDS = (
    (explain, add_explain),
    (experiment, add_experiment),
    (predict, add_predict),
    (retrain, add_retrain),
    (symptoms, add_symptoms),
)


class _Parser(argparse.ArgumentParser):
    """Tells a wrong option in one line, as everything else that is wrong is told."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of `python -m deepcaptcha`."""
    parser = _Parser("python -m answer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, add_options in COMMANDS:
        summary = " ".join((run.__doc__ or "").split())
        added = commands.add_parser(run.__name__, help=summary, description=summary)
        added.set_defaults(run=run)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        add_options(added)
    try:
        options = parser.parse_args(arguments)
        return int(options.run(options))
    except InputError as error:
        print(f"answer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("answer: stopped; what was finished is kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
