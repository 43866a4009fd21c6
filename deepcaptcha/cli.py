"""The command line: `python -m deepcaptcha ...`; it and its commands alone know DeepCAPTCHA here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from .errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for a red answer, 2 for a user's mistake, 130
    after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except InputError as error:
        print(f"deepcaptcha: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("deepcaptcha: stopped; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deepcaptcha",
        description="Does this model factory still train, how sure are we, and if not, why?",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return added

    params = command(
        "params",
        _later("command_list.params"),
        "Print a variant's layers, shapes and parameter counts.",
    )
    params.add_argument("variant", metavar="VARIANT")
    command(
        "variants", _later("command_list.variants"), "List the variants and what is said of them."
    )
    command("recipes", _later("command_list.recipes"), "List the recipes.")
    study = command(
        "study",
        _later("command_study.study"),
        "Train variants over several seeds and print a table.",
    )
    study.add_argument("--variants", metavar="A,B", help="default: all")
    study.add_argument("--recipes", metavar="R,S", default="raw-subset,sound-subset")
    study.add_argument("--seeds", metavar="N", default="5", help="seeds per row, default 5")
    study.add_argument(
        "--stream", default="pilot", help="pilot (default), baseline, pull-request or nightly"
    )
    study.add_argument(
        "--data", metavar="PATH", help="an mnist.npz, 'subset', 'keras' or 'captcha'"
    )
    study.add_argument("--jobs", metavar="N", help="processes; default: one per core")
    study.add_argument(
        "--executor",
        metavar="E",
        default="process",
        help="process (default), dask (workers of its own on this machine, --jobs of them) or "
        "dask:ADDRESS of a scheduler such as dask:tcp://10.0.0.1:8786, its workers started with "
        "--nthreads 1 (needs deepcaptcha[dask])",
    )
    study.add_argument("--output", metavar="DIR", default="build/study", help="default build/study")
    study.add_argument("--fresh", action="store_true", help="train again what the ledger holds")
    study.add_argument(
        "--symptoms", action="store_true", help="measure symptoms along the way (own ledger)"
    )
    study.add_argument(
        "--record", metavar="DIR", help="write each row as a baseline to this folder"
    )
    check = command(
        "check",
        _later("command_check.check_variant"),
        "Say before training whether a variant can train, and why not.",
    )
    check.add_argument("variant", metavar="VARIANT")
    check.add_argument("--recipe", default="raw-subset", metavar="R", help="default raw-subset")
    check.add_argument("--seed", default="0", metavar="N", help="of the initial weights, default 0")
    check.add_argument("--data", metavar="PATH", help="an mnist.npz, 'subset' or 'keras'")
    judge = command(
        "judge",
        _later("command_judge.judge"),
        "Train one variant until it is decided whether it trains.",
    )
    judge.add_argument("variant", metavar="VARIANT")
    judge.add_argument("--recipe", default="raw-subset", metavar="R", help="default raw-subset")
    judge.add_argument(
        "--p-good", default="0.75", metavar="P", help="rarely red from here up, 0.75"
    )
    judge.add_argument("--p-bad", default="0.35", metavar="P", help="rarely green from here, 0.35")
    judge.add_argument("--alpha", default="0.05", metavar="A", help="chance of a false red, 0.05")
    judge.add_argument("--beta", default="0.05", metavar="B", help="chance of a false green, 0.05")
    judge.add_argument("--ledger", metavar="DIR", default="build/ledger", help="keeps every trial")
    predict = command(
        "predict",
        _later("command_check.predict"),
        "Score the check against how recorded trials ended.",
    )
    predict.add_argument("--variants", metavar="A,B", help="default: all")
    predict.add_argument("--recipes", metavar="R,S", default="raw-subset,sound-subset")
    predict.add_argument("--seeds", metavar="N", default="30", help="of each row, default 30")
    predict.add_argument("--baselines", metavar="DIR", default="fixtures/baselines")
    predict.add_argument("--jobs", metavar="N", help="processes; default: one per core")
    predict.add_argument("--output", metavar="DIR", default="build/predict")
    predict.add_argument("--fresh", action="store_true", help="check again what the folder holds")
    symptoms = command(
        "symptoms",
        _later("command_symptoms.symptoms"),
        "Say which symptoms foretold the stuck trials.",
    )
    symptoms.add_argument(
        "--ledger", metavar="PATH", default="build/study/symptoms", help="of study --symptoms"
    )
    report = command(
        "report",
        _later("command_report.report"),
        "Write an HTML report on the trials of a ledger.",
    )
    report.add_argument(
        "--ledger", metavar="PATH", default="build/study/ledger", help="default build/study/ledger"
    )
    report.add_argument(
        "--output", metavar="FILE", default="build/report.html", help="default build/report.html"
    )
    plan = command(
        "plan",
        _later("command_judge.plan"),
        "Design the sequential plan for a claim and print its rates.",
    )
    plan.add_argument("--p-good", required=True, metavar="P", help="rarely red from here up")
    plan.add_argument("--p-bad", required=True, metavar="P", help="rarely green from here down")
    plan.add_argument("--alpha", default="0.05", metavar="A", help="chance of a false red, 0.05")
    plan.add_argument("--beta", default="0.05", metavar="B", help="chance of a false green, 0.05")
    plan.add_argument("--max-trials", metavar="N", help="default: the fixed plan's size + 25 %%")
    plan.add_argument(
        "--ledger", metavar="PATH", default="build/study/ledger", help="for the time of a trial"
    )
    claims = command(
        "claims",
        _later("command_judge.claims"),
        "List the declared claims beside what was recorded.",
    )
    claims.add_argument("--record", metavar="DIR", default="fixtures/baselines")
    compare = command(
        "compare",
        _later("command_judge.compare_ledgers"),
        "Say what changed between two ledgers.",
    )
    compare.add_argument("before", metavar="A", help="a ledger's folder or file")
    compare.add_argument("after", metavar="B")
    compare.add_argument(
        "--paired", action="store_true", help="pair equal seeds where they began with equal weights"
    )
    explain = command(
        "explain",
        _later("command_explain.explain"),
        "Write the answer to the question, ANSWER.md, from the record.",
    )
    explain.add_argument("--record", metavar="DIR", default="fixtures", help="default fixtures")
    explain.add_argument("--output", metavar="DIR", default=".", help="default: here")
    retrain = command(
        "retrain",
        _later("command_retrain.retrain"),
        "Train recorded trials, drawn at random, again.",
    )
    retrain.add_argument("--trials", metavar="N", default="10", help="default 10")
    retrain.add_argument("--draw", metavar="N", help="repeat a drawing; default: a fresh one")
    retrain.add_argument("--variants", metavar="A,B", help="default: all of them")
    retrain.add_argument("--recipes", metavar="A,B", default="raw-subset,sound-subset")
    retrain.add_argument("--baselines", metavar="DIR", default="fixtures/baselines")
    retrain.add_argument("--data", metavar="PATH", help="where the record's data is now")
    retrain.add_argument("--jobs", metavar="N", help="processes; default: one per core")
    retrain.add_argument(
        "--output", metavar="DIR", default="build/retrain", help="default build/retrain"
    )
    experiment = command(
        "experiment",
        _later("command_experiment.experiment"),
        "Run the interventions that test why `same` gets stuck.",
    )
    experiment.add_argument(
        "names", nargs="?", metavar="NAMES", help="such as step,rescue; default: all of them"
    )
    experiment.add_argument("--seeds", metavar="N", help="fewer seeds than declared")
    experiment.add_argument("--baselines", metavar="DIR", default="fixtures/baselines")
    experiment.add_argument("--jobs", metavar="N", help="processes; default: one per core")
    experiment.add_argument(
        "--output", metavar="DIR", default="build/experiments", help="default build/experiments"
    )
    experiment.add_argument("--record", metavar="DIR", help="write what was measured to DIR")
    bisect = command(
        "bisect",
        _later("command_bisect.bisect"),
        "Find which change makes a failing training succeed.",
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
    bisect.add_argument("--p-good", default="0.75", metavar="P", help="trains from here up, 0.75")
    bisect.add_argument("--p-bad", default="0.35", metavar="P", help="fails from here down, 0.35")
    bisect.add_argument("--alpha", default="0.05", metavar="A", help="any false 'fails', 0.05")
    bisect.add_argument("--beta", default="0.05", metavar="B", help="any false 'trains', 0.05")
    bisect.add_argument("--cells", metavar="N", help="bound of the search beyond four differences")
    seed = bisect.add_mutually_exclusive_group()
    seed.add_argument("--seed", metavar="N", help="the first seed, in place of a stream's")
    seed.add_argument(
        "--stream", default="pilot", help="pilot (default), baseline, pull-request or nightly"
    )
    bisect.add_argument("--data", metavar="PATH", help="an mnist.npz, 'subset' or 'keras'")
    bisect.add_argument("--jobs", metavar="N", help="processes; default: one per core")
    bisect.add_argument(
        "--output", metavar="DIR", default="build/bisect", help="default build/bisect"
    )
    bisect.add_argument("--fresh", action="store_true", help="train again what the ledger holds")
    return parser


def _later(place: str) -> Callable[[argparse.Namespace], int]:
    """The command at `module.function`; the module is loaded when it is run."""
    module, _, function = place.partition(".")

    def run(options: argparse.Namespace) -> int:
        return int(getattr(import_module(f".{module}", __package__), function)(options))

    return run
