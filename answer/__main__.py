"""`python -m answer COMMAND`: the study of the question, from this checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deepcaptcha.cli.arguments import Parser
from deepcaptcha.errors import InputError

from .commands import add_experiment, add_predict, add_retrain, add_symptoms
from .explain import add_explain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of `python -m deepcaptcha`."""
    parser = Parser("python -m answer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_explain, add_experiment, add_predict, add_retrain, add_symptoms):
        add(commands)
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
