"""Timing processes: each fresh, warmed up, then taking turns with its rivals.

While one team of processes takes its turn all others wait, so that whatever else happens on the
machine meets all of them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from deepcaptcha.trials.worker import ENVIRONMENT

from .turns import Facts

REPOSITORY = Path(__file__).parents[1]
PEERS = os.environ.get("BENCH_PEERS") or sys.executable
"""The interpreter that has PyTorch and pytest-probability, on which this project does not depend."""


class Skip(Exception):  # noqa: N818 - not an error
    """A row that cannot be measured here, and why."""


@dataclass(frozen=True)
class Team:
    """Processes to time side by side, each prepared by `module.script(**arguments)`."""

    module: str
    script: str
    processes: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    interpreter: str = sys.executable


@dataclass(frozen=True)
class Measured:
    """A team's answers: those after preparing, one a process, and those of each turn."""

    ready: list[Facts]
    turns: list[list[Facts]]


@dataclass(frozen=True)
class _Process:
    popen: subprocess.Popen[str]
    log: IO[str]

    def go(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()

    def answer(self) -> Facts:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.popen.args} ended early:\n{self.log.read()[-3000:]}")
        facts: Facts = json.loads(line)
        return facts


def interleave(teams: Mapping[str, Team], repeats: int) -> dict[str, Measured]:
    """Start every team, let each prepare in turn, then let them take `repeats` turns."""
    with ExitStack() as stack:
        started = {
            name: [stack.enter_context(_process(team)) for _ in range(team.processes)]
            for name, team in teams.items()
        }
        ready: dict[str, list[Facts]] = {}
        for name, processes in started.items():
            ready[name] = _turn(processes)
            say(f"{name} is ready")
        turns: dict[str, list[list[Facts]]] = {name: [] for name in teams}
        for number in range(repeats):
            began = time.perf_counter()
            for name, processes in started.items():
                turns[name].append(_turn(processes))
            say(f"turn {number + 1} of {repeats} took {time.perf_counter() - began:.0f} s")
    return {name: Measured(ready[name], turns[name]) for name in teams}


def say(text: str) -> None:
    """Tell how far the benchmark is, beside the table."""
    print(f"  {text}", file=sys.stderr, flush=True)


def fresh_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process' environment without what it sets for its own trainings, and with `settings`."""
    kept = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPOSITORY), **settings}


def seconds(command: Sequence[str]) -> float:
    """Wall time of a command in a fresh process; RuntimeError with its output where it fails."""
    began = time.perf_counter()
    result = subprocess.run(
        command, cwd=REPOSITORY, env=fresh_environment({}), capture_output=True, text=True
    )
    spent = time.perf_counter() - began
    if result.returncode:
        raise RuntimeError(f"{command} failed:\n{(result.stdout + result.stderr)[-3000:]}")
    return spent


def require_module(name: str) -> None:
    """Skip where the peers' interpreter does not have the module."""
    found = f"import importlib.util as u; raise SystemExit(u.find_spec({name!r}) is None)"
    if subprocess.run([PEERS, "-c", found]).returncode:
        raise Skip(
            f"{name} is not installed; name an interpreter that has it: make bench PEERS=.../python"
        )


@contextmanager
def _process(team: Team) -> Iterator[_Process]:
    command = [
        team.interpreter,
        "-m",
        f"benchmarks.{team.module}",
        team.script,
        json.dumps(dict(team.arguments)),
    ]
    with tempfile.TemporaryFile("w+") as log:
        popen = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=fresh_environment(team.settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _Process(popen, log)
        finally:
            popen.kill()
            popen.wait()


def _turn(processes: Sequence[_Process]) -> list[Facts]:
    for process in processes:
        process.go()
    return [process.answer() for process in processes]
