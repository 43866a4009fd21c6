"""A timing process' side of the turns: prepare, answer, wait; then answer at each turn.

It imports the standard library alone, so that another interpreter can run a peer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Facts = dict[str, Any]
Prepare = Callable[..., tuple[Facts, Callable[[], Facts]]]
"""Prepares a process; returns what it found out and the function that takes one turn."""


def serve(scripts: Mapping[str, Prepare]) -> None:
    """`python -m module script arguments`: the arguments are a JSON object.

    Every turn's facts also say how many `cores` the process had on average, all threads together.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print belongs to the log
    sys.stdin.readline()
    facts, turn = scripts[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps(facts), file=answers, flush=True)
    while sys.stdin.readline():
        wall, processor = time.perf_counter(), time.process_time()
        facts = turn()
        shares = (time.process_time() - processor) / (time.perf_counter() - wall)
        print(json.dumps({**facts, "cores": shares}), file=answers, flush=True)
