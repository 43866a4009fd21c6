"""The command line: `deepcaptcha COMMAND` or `python -m deepcaptcha COMMAND`.

Nothing here imports Keras, SciPy or Rich; commands do, where they need them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import InputError
from .arguments import Parser, add_commands, program
from .bisect import bisect
from .judge import check, judge, plan
from .ledgers import compare, report
from .list import list_
from .progress import warn
from .repair import repair
from .study import study

_MOVED = {
    "params": "is now `list NETWORK`, such as `list same`",
    **{name: f"is now `list {name}`" for name in ("variants", "recipes", "claims")},
    **{
        name: f"is part of the question's study: `python -m answer {name}` in a checkout"
        for name in ("symptoms", "predict", "explain", "retrain", "experiment")
    },
}
"""Commands of version 0.2, and where they are now."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for a red answer, 2 for a user's mistake, 130
    after Ctrl-C."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words and words[0] in _MOVED:
            raise InputError(f"`{words[0]}` {_MOVED[words[0]]}")
        options = _parser().parse_args(words)
        return int(options.run(options))
    except InputError as error:
        warn(str(error))
        return 2
    except KeyboardInterrupt:
        warn("stopped; what was finished is kept")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> Parser:
    words = "Does this model factory still train, how sure are we, and if not, why?"
    parser = Parser(prog=program(), description=words, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"pytest-deepcaptcha {__version__}")
    add_commands(parser, list_, check, judge, study, bisect, repair, compare, report, plan)
    return parser
