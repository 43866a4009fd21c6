"""`study --ruler`: what other arithmetics do to the measures of recorded rows."""

from __future__ import annotations

import json
import statistics
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..errors import InputError
from ..keras import environment
from ..trials.runner import Runner
from ..trials.source import Source
from ..trials.trial import Target
from ..trials.worker import cores, workers
from ..verdicts.baseline import Baseline, find_record, write_record
from ..verdicts.claim import Budget
from ..verdicts.measures import Course, Measure, chance_of, course_of, courses_of, measures_of
from ..verdicts.ruler import Shift, leave_one_out, ruler_of, shifts_of
from .progress import say


def measure_rounding(options: Namespace, sources: Sequence[Source], time_limit: int) -> int:
    """Write a ruler into the rows' records, an arithmetic at a time, and say what it allows.

    - `options`: of the command `study`. `time_limit`: seconds that a trial may take.
    """
    if options.baselines is None:
        raise InputError("--ruler measures the rows of --baselines, and writes into them")
    if options.symptoms or options.executor not in (None, "process"):
        raise InputError("--ruler trains in processes of this machine, and measures no symptoms")
    sentences: list[str] = []
    tell = sentences.append if options.json else say
    records: dict[Source, Baseline] = {}
    for source in sources:
        place = source.name, source.recipe
        found = find_record(options.baselines, *place, environment.describe())
        if found is None or not (found.history and found.weights):
            raise InputError(f"{' under '.join(place)} has no record with values; record it first")
        records[source] = found
    level = Budget(2 * len(records), rows=len(records)).comparison_alpha
    jobs = options.jobs or cores()
    for name, variables in environment.ARITHMETICS.items():
        executors = partial(workers, jobs, time_limit, variables)
        with Runner(
            options.output / "ruler", reuse=not options.fresh, executors=executors
        ) as runner:
            moved = _moved(name, records, options.seeds, runner)
        lines = []
        for source, shifts in moved.items():
            kept = [each for each in records[source].ruler if each["arithmetic"] != name]
            new = [shift.as_dict() for shift in shifts]
            records[source] = replace(records[source], ruler=(*kept, *new))
            write_record(options.baselines, records[source])
            lines += [abs(s.shift) / s.spread for s in shifts if s.spread]
        told = f"other bits in {len(moved)} of {len(records)} rows"
        if lines:
            told += (
                f"; shifts of {statistics.median(lines):.2g} spreads in the median, "
                f"{max(lines):.2g} at most"
            )
        tell(f"{name}: {told}")
    ruler = [shift for record in records.values() for shift in ruler_of(record)]
    few = len({shift.arithmetic for shift in ruler}) < 2
    if few:
        tell("No two arithmetics moved anything; none can be left out and judged by the others.")
    for left in () if few else leave_one_out(ruler, level):
        tell(
            f"left out, {left.arithmetic} is called a change in {left.rows_changed} of {left.rows} rows "
            f"at a row's level of {level:.2g}"
            + "".join(f"; {row}: {measure}" for row, measure in left.changed)
        )
    if options.json:
        record = {"ruler": [shift.as_dict() for shift in ruler], "sentences": sentences}
        print(json.dumps(record, indent=2))
    return 0


def _moved(
    arithmetic: str, records: Mapping[Source, Baseline], count: int, runner: Runner
) -> dict[Source, tuple[Shift, ...]]:
    """What it did to the rows whose bits it changes; one that gives the same bits is none."""
    first = runner.run_all((source, record.first_seed) for source, record in records.items())
    again = {
        source: [course_of(trial)]
        for (source, record), trial in zip(records.items(), first, strict=True)
        if not trial.weights_sha256.startswith(record.weights[0])
    }
    wanted = [
        (source, record.first_seed + place)
        for place in range(1, count)
        for source, record in records.items()
        if source in again and place < len(record.outcomes)
    ]
    for (source, _), trial in zip(wanted, runner.run_all(wanted), strict=True):
        again[source].append(course_of(trial))
    return {
        source: shifts_of(
            arithmetic, f"{source.recipe} {source.name}", *_recorded(records[source]), courses
        )
        for source, courses in again.items()
    }


def _recorded(record: Baseline) -> tuple[Sequence[Measure], Sequence[Course]]:
    target, courses = Target.from_dict(record.recipe), courses_of(record)
    return measures_of(courses, target, chance_of(target, record.recipe)), courses
