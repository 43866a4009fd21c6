"""`python -m benchmarks [NAMES...]`: the table, and build/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deepcaptcha.trials.worker import cores

from . import rows_diagnosis, rows_process, rows_record, rows_speed, rows_verdict
from .processes import Measured, Skip, interleave, require_module, say
from .row import Benchmark, Row, table

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        *rows_speed.BENCHMARKS,
        *rows_verdict.BENCHMARKS,
        *rows_process.BENCHMARKS,
        *rows_record.BENCHMARKS,
        *rows_diagnosis.BENCHMARKS,
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rows, print the table, write the JSON; 1 where nothing could be measured."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"rows: {', '.join(BENCHMARKS)}")
    parser.add_argument("--suite", action="store_true", help="also the quick suite's seconds")
    parser.add_argument("--repeats", type=int, default=5, help="turns of every team (5)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown or options.repeats < 3:
        parser.error(
            f"unknown rows: {', '.join(unknown)}" if unknown else "--repeats is at least 3"
        )
    chosen = [
        benchmark
        for benchmark in BENCHMARKS.values()
        if benchmark.name in options.names
        or (not options.names and not benchmark.on_request)
        or (benchmark.name == "quick-suite" and options.suite)
    ]
    began = time.perf_counter()
    if os.getloadavg()[0] > 0.5 * cores():
        say(
            f"load average {os.getloadavg()[0]:.1f}: the machine is busy, figures will not be right"
        )
    rows = _measure(chosen, options.repeats)
    if not rows:
        return 1
    table(rows).write(sys.stdout)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
    print(f"\nAlso in {options.output}; {time.perf_counter() - began:.0f} s, {cores()} cores.")
    return 0


def _measure(chosen: Sequence[Benchmark], repeats: int) -> list[Row]:
    needed = {name for benchmark in chosen for name in benchmark.teams}
    teams = {name: team for name, team in rows_speed.TEAMS.items() if name in needed}
    if "torch" in teams:
        try:
            require_module("torch")
        except Skip:
            del teams["torch"]  # its row says so
    measured: Mapping[str, Measured] = interleave(teams, repeats) if teams else {}
    for name in measured:
        if (
            name in ("trial", "matmul")
            and (share := rows_speed.median(measured[name], "cores")) < 0.9
        ):
            say(
                f"{name} had {share:.0%} of a core each: the machine is busy, do not quote the figures"
            )
    rows = []
    for benchmark in chosen:
        try:
            rows.append(benchmark.measure(measured))
        except Skip as skip:
            print(f"{benchmark.name}: skipped, {skip}")
        else:
            say(f"{benchmark.name}: ratio {rows[-1].ratio:.3g}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
