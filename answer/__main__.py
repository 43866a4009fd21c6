"""`python -m answer COMMAND`: the study of the question, from this checkout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from deepcaptcha.errors import InputError

from .experiment import experiment
from .explain import explain
from .predict import predict
from .retrain import retrain
from .symptoms import symptoms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of `python -m deepcaptcha`."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except InputError as error:
        print(f"answer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("answer: stopped; what was finished is kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m answer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        run: Callable[[argparse.Namespace], int], summary: str, **options: str | None
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=summary, description=summary)
        added.set_defaults(run=run)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        for name, default in options.items():
            added.add_argument(f"--{name}", default=default, help=f"default {default}")
        return added

    baselines = "fixtures/baselines"
    command(explain, "Write ANSWER.md from the record.", record="fixtures", output=".")
    measured = command(
        experiment,
        "Run the interventions that test why `same` gets stuck.",
        baselines=baselines,
        output="build/experiments",
        jobs=None,
        seeds=None,
        record=None,
    )
    measured.add_argument("names", nargs="?", help="such as step,rescue; default: all of them")
    predicted = command(
        predict,
        "Score the check against how recorded trials ended.",
        variants=None,
        recipes="raw-subset,sound-subset",
        seeds="30",
        jobs=None,
        baselines=baselines,
        output="build/predict",
    )
    predicted.add_argument("--fresh", action="store_true", help="check again what is held")
    command(
        retrain,
        "Train recorded trials, drawn at random, again.",
        trials="10",
        draw=None,
        variants=None,
        recipes="raw-subset,sound-subset",
        baselines=baselines,
        data=None,
        jobs=None,
        output="build/retrain",
    )
    command(
        symptoms,
        "Say which symptoms foretold the stuck trials.",
        ledger="build/study/symptoms",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
