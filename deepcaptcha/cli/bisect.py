"""`bisect`: which change makes a network train that fails."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from ..bisection.bisect import bisect as bisect_sources
from ..bisection.words import cell_table, finding_lines
from ..errors import InputError
from ..trials.seeds import first_seed
from ..trials.source import ChangeableSource
from ..trials.trial import SEED_LIMIT, Trial
from ..trials.worker import cores
from ..verdicts.baseline import read_baseline
from .arguments import FRESH, TARGET, command, either, names, option, shared, whole_number
from .progress import say, trial_progress, warn
from .subject import HELP, read_subject


@command(
    "Find which change makes a failing training succeed.",
    option("a", HELP, "NETWORK"),
    either(
        option("b", "another, such as valid:raw-subset", "OTHER", nargs="?"),
        option(
            "--baseline",
            "in place of another: the network as its baseline was recorded, this file",
            "FILE",
            Path,
        ),
    ),
    option(
        "--together", "differences that move as one; may be repeated", "X,Y", names, action="append"
    ),
    *shared(p_good=0.75, p_bad=0.35, alpha=0.05, beta=0.05, jobs=None, output=Path("build/bisect")),
    option("--cells", "bound of the search beyond four differences", "N", whole_number()),
    either(
        option(
            "--first-seed",
            "of the trials, in place of a stream's",
            "N",
            whole_number(0, SEED_LIMIT - 1),
        ),
        *shared(stream="pilot"),
    ),
    FRESH,
    *shared("data", *TARGET),
)
def bisect(options: Namespace) -> int:
    """Bisect two networks; 0 if a minimal repairing set was found, 1 if not, 130 when interrupted."""
    a = read_subject(options.a, options.data).changeable(options)
    b = _as_recorded(a, options.baseline) if options.baseline else None
    if b is None:
        if options.b is None:
            raise InputError(f"{options.a} is given alone; another network or --baseline is needed")
        b = read_subject(options.b, options.data).changeable(options)
    first = first_seed(options.stream) if options.first_seed is None else options.first_seed
    done: list[Trial] = []
    try:
        with trial_progress(None, options.json, done) as advance:
            found = bisect_sources(
                a,
                b,
                together=options.together or (),
                p_good=options.p_good,
                p_bad=options.p_bad,
                alpha=options.alpha,
                beta=options.beta,
                max_cells=options.cells,
                first_seed=first,
                folder=options.output / "ledger",
                reuse=not options.fresh,
                jobs=options.jobs or cores(),
                on_trial=advance,
                tell=warn,
            )
    except KeyboardInterrupt:
        warn(f"stopped after {len(done)} trials; the same command goes on")
        return 130
    if options.json:
        print(json.dumps({**found.as_dict(), "sentences": finding_lines(found)}, indent=2))
    else:
        cell_table(found).write(sys.stdout)
        say("", *finding_lines(found))
    return 0 if found.found else 1


def _as_recorded(source: ChangeableSource, path: Path) -> ChangeableSource:
    """The source with the settings that its baseline was recorded with."""
    place = path.resolve()  # its folder is its recipe's name, however it is written
    found = (
        read_baseline(place.parents[1], place.stem, place.parent.name) if path.is_file() else None
    )
    if found is None:
        raise InputError(f"there is no baseline {path}")
    changes = {
        name: value
        for name, value in found.recipe.items()
        if source.recorded.get(name, value) != value
    }
    return source.replace(f"{source.name} as recorded", found.recipe["name"], **changes)
