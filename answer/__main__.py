"""`python -m answer COMMAND`: the study of the question, from this checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deepcaptcha.cli.arguments import Parser, add_commands
from deepcaptcha.errors import InputError

from .commands import experiment, predict, retrain, symptoms
from .explain import explain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of `python -m deepcaptcha`."""
    parser = Parser("python -m answer", description=__doc__)
    add_commands(parser, explain, experiment, predict, retrain, symptoms)
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
