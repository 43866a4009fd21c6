"""The command line: `python -m deepcaptcha ...`; it and its commands alone know DeepCAPTCHA here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ..errors import InputError

_SHARED = {
    "variants": ("A,B", "default: all"),
    "recipes": ("R,S", None),
    "recipe": ("R", None),
    "seeds": ("N", "of each row"),
    "stream": (None, "pilot, baseline, pull-request or nightly"),
    "data": ("PATH", "an mnist.npz, 'subset', 'keras' or 'captcha'"),
    "jobs": ("N", "processes; default: one per core"),
    "output": ("DIR", None),
    "p_good": ("P", "trains from here up"),
    "p_bad": ("P", "fails from here down"),
    "alpha": ("A", "chance of a wrong red or `fails`"),
    "beta": ("B", "chance of a wrong green or `trains`"),
}
"""Options that several commands take: metavar and help, to which the default is added."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for a red answer, 2 for a user's mistake, 130
    after Ctrl-C."""
    options = _parser().parse_args(arguments)
    module, _, function = options.run.partition(".")
    try:
        return int(getattr(import_module(f".{module}", __package__), function)(options))
    except InputError as error:
        print(f"deepcaptcha: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("deepcaptcha: stopped; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _share(parser: argparse._ActionsContainer, **defaults: str | None) -> None:
    """Add options of `_SHARED` with their defaults."""
    for name, default in defaults.items():
        metavar, words = _SHARED[name]
        told = ", ".join(filter(None, (words, default and f"default {default}")))
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, metavar=metavar, default=default, help=told)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deepcaptcha",
        description="Does this model factory still train, how sure are we, and if not, why?",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: str, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return added

    params = command(
        "params", "list.params", "Print a variant's layers, shapes and parameter counts."
    )
    params.add_argument("variant", metavar="VARIANT")
    command("variants", "list.variants", "List the variants and what is said of them.")
    command("recipes", "list.recipes", "List the recipes.")
    study = command("study", "study.study", "Train variants over several seeds and print a table.")
    _share(
        study,
        variants=None,
        recipes="raw-subset,sound-subset",
        seeds="5",
        stream="pilot",
        data=None,
    )
    _share(study, jobs=None, output="build/study")
    study.add_argument(
        "--executor",
        metavar="E",
        default="process",
        help="process (default), dask (workers of its own on this machine, --jobs of them) or "
        "dask:ADDRESS of a scheduler such as dask:tcp://10.0.0.1:8786, its workers started with "
        "--nthreads 1 (needs the extra `dask`)",
    )
    study.add_argument("--fresh", action="store_true", help="train again what the ledger holds")
    study.add_argument("--symptoms", action="store_true", help="measure symptoms too (own ledger)")
    study.add_argument(
        "--record", metavar="DIR", help="write each row as a baseline to this folder"
    )
    check = command(
        "check",
        "check.check_variant",
        "Say before training whether a variant can train, and why not.",
    )
    check.add_argument("variant", metavar="VARIANT")
    check.add_argument("--seed", default="0", metavar="N", help="of the initial weights, default 0")
    _share(check, recipe="raw-subset", data=None)
    judge = command(
        "judge", "judge.judge", "Train one variant until it is decided whether it trains."
    )
    judge.add_argument("variant", metavar="VARIANT")
    _share(judge, recipe="raw-subset", p_good="0.75", p_bad="0.35", alpha="0.05", beta="0.05")
    judge.add_argument("--ledger", metavar="DIR", default="build/ledger", help="keeps every trial")
    report = command("report", "report.report", "Write an HTML report on the trials of a ledger.")
    report.add_argument("--ledger", metavar="PATH", default="build/study/ledger")
    report.add_argument(
        "--output", metavar="FILE", default="build/report.html", help="default build/report.html"
    )
    plan = command(
        "plan", "judge.plan", "Design the sequential plan for a claim and print its rates."
    )
    plan.add_argument("--p-good", required=True, metavar="P", help="trains from here up")
    plan.add_argument("--p-bad", required=True, metavar="P", help="fails from here down")
    _share(plan, alpha="0.05", beta="0.05")
    plan.add_argument("--max-trials", metavar="N", help="default: the fixed plan's size + 25 %%")
    plan.add_argument(
        "--ledger", metavar="PATH", default="build/study/ledger", help="for the time of a trial"
    )
    claims = command("claims", "judge.claims", "List the declared claims beside what was recorded.")
    claims.add_argument("--record", metavar="DIR", default="fixtures/baselines")
    compare = command("compare", "judge.compare_ledgers", "Say what changed between two ledgers.")
    compare.add_argument("before", metavar="A", help="a ledger's folder or file")
    compare.add_argument("after", metavar="B")
    compare.add_argument(
        "--paired", action="store_true", help="pair equal seeds where they began with equal weights"
    )
    bisect = command(
        "bisect", "bisect.bisect", "Find which change makes a failing training succeed."
    )
    bisect.add_argument("a", metavar="VARIANT:RECIPE", help="such as same:raw-subset")
    bisect.add_argument("b", metavar="VARIANT:RECIPE", help="such as valid:raw-subset")
    bisect.add_argument(
        "--together",
        metavar="X,Y",
        action="append",
        default=[],
        help="differences that move as one; may be repeated",
    )
    _share(bisect, p_good="0.75", p_bad="0.35", alpha="0.05", beta="0.05", data=None, jobs=None)
    _share(bisect, output="build/bisect")
    bisect.add_argument("--cells", metavar="N", help="bound of the search beyond four differences")
    seed = bisect.add_mutually_exclusive_group()
    seed.add_argument("--seed", metavar="N", help="the first seed, in place of a stream's")
    _share(seed, stream="pilot")
    bisect.add_argument("--fresh", action="store_true", help="train again what the ledger holds")
    return parser
