"""`repair`: which change of a model or its data makes it train, shown by trainings with it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from ..errors import InputError
from ..finding import Finding
from ..trials.place import find_ledger
from ..trials.runner import Runner
from ..trials.seeds import first_seed
from ..trials.trial import Trial
from ..trials.worker import cores
from ..verdicts.claim import Claim
from .arguments import (
    FRESH,
    OWN_LEDGER,
    TARGET,
    command,
    minutes,
    names,
    option,
    shared,
    whole_number,
)
from .progress import say, trial_progress, warn
from .subject import HELP, Subject, read_subject


@command(
    "Find the smallest change that makes a network train.",
    option("network", HELP, "NETWORK"),
    option("--trials", "trainings at most", "N", whole_number(), 60),
    option("--minutes", "after which no training is begun", "M", minutes),
    option("--only", "changes to try, by name; default: all that apply", "A,B", names),
    *shared(p_good=0.9, p_bad=0.5, alpha=0.05, jobs=None),
    OWN_LEDGER,
    *shared(stream="pilot"),
    FRESH,
    *shared("data", *TARGET),
)
def repair(options: Namespace) -> int:
    """Search a repair; 0 if one is shown, or none is needed, 1 if not, 130 when interrupted."""
    subject = read_subject(options.network, options.data)
    source = subject.source(options, tried=False)
    from ..repairs.result import attempt_table, repair_lines
    from ..repairs.search import repair as search_repair

    done: list[Trial] = []
    jobs, reuse = options.jobs or cores(), not options.fresh
    with (
        trial_progress(None, options.json, done) as advance,
        Runner(options.ledger or find_ledger(), on_trial=advance, jobs=jobs, reuse=reuse) as runner,
    ):
        found = search_repair(
            source,
            claim=Claim("trains", options.p_good, options.p_bad),
            alpha=options.alpha,
            findings=_findings(subject),
            only=options.only or (),
            max_trials=options.trials,
            minutes=options.minutes,
            first_seed=first_seed(options.stream),
            runner=runner,
        )
        warn(*runner.problems)
    if options.json:
        print(json.dumps({**found.as_dict(), "sentences": repair_lines(found)}, indent=2))
    else:
        attempt_table(found).write(sys.stdout)
        say("", *repair_lines(found))
    if found.interrupted:
        warn(f"stopped after {len(done)} trials; the same command goes on")
        return 130
    return 0 if found.shown or found.trains else 1


def _findings(subject: Subject) -> tuple[Finding, ...]:
    """What `check` says, which orders the search; nothing where it cannot say anything."""
    from ..diagnosis.check import check

    try:
        start = subject.start(0)  # says what has none, and so no length either
        batch, epochs = subject.length
        return check(*start, batch=batch, epochs=epochs)
    except InputError as error:
        warn(f"the check before training could not be run: {error}")
        return ()
