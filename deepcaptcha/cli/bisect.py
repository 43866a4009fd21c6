"""`bisect`: which change makes a network train that fails."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from ..bisection.bisect import bisect as bisect_sources
from ..bisection.words import cell_table, finding_lines
from ..trials.seeds import LAST_SEED, first_seed
from ..trials.trial import Trial
from ..trials.worker import cores
from .arguments import Commands, add_command, names, share, whole
from .progress import trial_progress
from .subject import HELP, add_data, add_target, read_subject


def add_bisect(commands: Commands) -> None:
    """The command's arguments."""
    parser = add_command(
        commands, "bisect", bisect, "Find which change makes a failing training succeed."
    )
    parser.add_argument("a", metavar="NETWORK", help=HELP)
    parser.add_argument("b", metavar="OTHER", help="another, such as valid:raw-subset")
    parser.add_argument(
        "--together",
        metavar="X,Y",
        type=names,
        action="append",
        default=[],
        help="differences that move as one; may be repeated",
    )
    share(parser, p_good=0.75, p_bad=0.35, alpha=0.05, beta=0.05, jobs=None)
    share(parser, output=Path("build/bisect"))
    parser.add_argument(
        "--cells", metavar="N", type=whole(), help="bound of the search beyond four differences"
    )
    seed = parser.add_mutually_exclusive_group()
    seed.add_argument(
        "--first-seed",
        metavar="N",
        type=whole(0, LAST_SEED),
        help="of the trials, in place of a stream's",
    )
    share(seed, stream="pilot")
    parser.add_argument("--fresh", action="store_true", help="train again what the ledger holds")
    add_data(parser)
    add_target(parser)


def bisect(options: Namespace) -> int:
    """Bisect two networks; 0 if a minimal repairing set was found, 1 if not, 130 when interrupted."""
    subjects = [read_subject(text, options.data) for text in (options.a, options.b)]
    a, b = (subject.changeable(options) for subject in subjects)
    count = 0
    try:
        with trial_progress(None, options.json) as advance:

            def keep(trial: Trial) -> None:
                nonlocal count
                count += 1
                advance(trial)

            found = bisect_sources(
                a,
                b,
                together=options.together,
                p_good=options.p_good,
                p_bad=options.p_bad,
                alpha=options.alpha,
                beta=options.beta,
                max_cells=options.cells,
                first_seed=first_seed(options.stream)
                if options.first_seed is None
                else options.first_seed,
                folder=options.output / "ledger",
                reuse=not options.fresh,
                jobs=cores() if options.jobs is None else options.jobs,
                on_trial=keep,
            )
    except KeyboardInterrupt:
        print(
            f"deepcaptcha: stopped after {count} trials; the same command goes on", file=sys.stderr
        )
        return 130
    if options.json:
        print(json.dumps({**found.as_dict(), "sentences": finding_lines(found)}, indent=2))
    else:
        cell_table(found).write(sys.stdout)
        print("", *finding_lines(found), sep="\n")
    return 0 if found.found else 1
