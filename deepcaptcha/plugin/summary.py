"""What a run says of its verdicts: a header, a line each, and a table at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from ..errors import InputError
from ..keras import environment
from ..trials import seeds
from . import suite
from .options import Options, own_command, repeating_options

if TYPE_CHECKING:
    from ..verdicts.claim import Verdict
    from ..verdicts.judge import Evidence

Json = Mapping[str, Any]

EVIDENCE = pytest.StashKey[list[Json]]()
"""What a test's verdicts rest on, as plain data."""

TOLD = pytest.StashKey[list[str]]()
"""What else is told of a test."""


NOTED = pytest.StashKey[list[str]]()
"""What is told once, however many tests say it."""


class Node(Protocol):
    """A worker, as xdist hands it over."""

    config: pytest.Config
    workerinput: dict[str, int]


def header(config: pytest.Config, options: Options, count: suite.Count | None = None) -> list[str]:
    """How to have the same verdicts again, with what they are computed; and how `count`, or as many
    hypotheses and rows as are known, share alpha, where any row is compared with a baseline."""
    facts = environment.describe()
    versions = [
        f"{name} {facts[name]}"
        for name in ("tensorflow", "keras", "numpy")
        if facts[name] != "not installed"
    ]
    if facts["tensorflow"] != "not installed":
        versions.append("one thread a process, oneDNN on")
    count = count or suite.known_count(config, (options.hypotheses, options.rows))
    shared = f" {repeating_options(config, *count)}" if count else ""
    search = ""
    if options.repair is not None:
        search = f"; a red test looks for a repair, in at most {options.repair.text} each"
    again = f"again with --convergence-seed {options.seed}{shared}"
    lines = [f"convergence: {again}; {', '.join(versions)}{search}"]
    if count and 0 < 2 * count.rows <= count.hypotheses:
        from ..verdicts.claim import Budget

        budget = Budget(count.hypotheses, options.alpha, options.beta, count.rows)
        lines.append(f"convergence: alpha of {'; '.join(budget.lines)}")
    return lines


class SessionSummary:
    """Gathers the verdicts of a session, of all workers, and prints them at its end."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self._config = config
        self._options = options
        self._reported: list[Evidence] = []
        self._collected = 0
        self._whole: Verdict | None = None
        self._told: list[str] = []  # of single rows, besides their verdicts
        self._notes: list[str] = []  # of all rows together
        self._recorded: dict[str, str] = {}  # ledger file -> digest of its last line

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Node, ids: Sequence[str]) -> None:
        """The header, once, of a controller, which collects nothing itself."""
        self._collected += 1
        last = self._collected == node.workerinput["workercount"]
        terminal = self._terminal()
        if terminal is None or not last or self._config.option.verbose < 0:
            return
        files = {self._config.rootpath / name.partition("::")[0] for name in ids}
        if any(map(suite.declares_hypotheses, files)):
            for line in header(self._config, self._options):
                terminal.write_line(line)

    @pytest.hookimpl(trylast=True)  # after the terminal has said whether the test passed
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        fields: Sequence[Json] = getattr(report, "convergence", [])
        if hasattr(self._config, "workerinput"):
            return
        self._told += getattr(report, "convergence_told", [])
        noted = getattr(report, "convergence_noted", [])
        self._notes += [line for line in dict.fromkeys(noted) if line not in self._notes]
        self._recorded.update([getattr(report, "convergence_recorded", ("", ""))])
        if not fields:
            return
        from ..report.words import verdict_line
        from ..verdicts.judge import Evidence

        found = [Evidence.from_dict(each) for each in fields]
        self._reported.extend(found)
        terminal = self._terminal()
        if terminal is not None and self._config.option.verbose > 0:
            for evidence in found:
                terminal.write_line(verdict_line(evidence))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The suite as a whole, which fails the session as a red test would."""
        if hasattr(self._config, "workerinput"):
            return
        failed = False
        if (row := self._options.accept) and not self._told:
            self._notes.append(f"No row {row} with a baseline was judged; nothing is accepted")
            failed = True
        if any(evidence.baseline for evidence in self._reported):
            failed = self._judge_all() or failed
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _judge_all(self) -> bool:
        """Judge all rows together; whether that is red."""
        from ..verdicts.judge import judge_rows, unnamed_baselines, untrue_twins

        untrue = untrue_twins(self._reported)
        self._notes += untrue
        counted = {(e.recipe, e.name) for e in self._reported if e.baseline and not e.twin}
        if len(counted) >= self._reported[0].budget.rows and (
            unnamed := unnamed_baselines(self._reported)
        ):
            more = f" and {len(unnamed) - 5} more" if len(unnamed) > 5 else ""
            self._notes.append(f"Baselines that no test names: {', '.join(unnamed[:5])}{more}.")
        try:
            self._whole = judge_rows(self._reported, strict=self._options.strict)
        except InputError as error:
            self._notes.append(f"The suite as a whole cannot be judged: {error}")
            return True
        return bool(untrue) or (self._whole is not None and self._whole.colour == "red")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if hasattr(self._config, "workerinput"):
            return
        if not self._reported:
            for line in (*self._told, *self._notes):
                terminalreporter.write_line(line)
            if (given := self._config.getoption("--convergence-report")) is not None:
                terminalreporter.write_line(f"No report {given}: no verdict was reached")
            return
        from ..report.words import summary_lines, verdict_table, whole_line

        seed = self._options.seed
        table = verdict_table(self._reported)
        processes = getattr(self._config.option, "numprocesses", None) or 1
        workers = processes * (self._options.jobs or 1)
        nightly = seed >= seeds.STREAMS["nightly"].start
        notes = [*self._told, *summary_lines(self._reported, workers, nightly), *self._notes]
        if self._whole is not None:
            notes.insert(0, whole_line(self._whole))
        budget = self._reported[0].budget
        options = repeating_options(self._config, budget.hypotheses, budget.rows)
        again = f"--convergence-seed {seed} {options}"
        lines = [*notes, *self._record_lines(), f"Again: {again}"]
        if self._options.report is not None:
            lines += self._write_report(self._options.report, again, notes)
        if job := os.environ.get("GITHUB_STEP_SUMMARY"):
            text = table.as_markdown() + "\n" + "".join(f"- {line}\n" for line in lines)
            lines += _append(Path(job), text)
        terminalreporter.section("convergence")
        table.write(terminalreporter._tw._file)
        for line in lines:
            terminalreporter.write_line(line)

    def _terminal(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _write_report(self, path: Path, again: str, notes: Sequence[str]) -> list[str]:
        from ..report.page import write_report

        told: list[str] = []
        command = f"{own_command(self._config)} {again}"
        judged = [evidence for evidence in self._reported if not evidence.unchanged]
        if not judged:
            return ["No report: every row is unchanged, and none was judged"]
        try:
            write_report(path, self._options.ledger, command, judged, notes, tell=told.extend)
        except InputError as error:
            return [*told, f"No report: {error}"]
        return [*(line for line in told if line not in notes), f"Report: {path}"]

    def _record_lines(self) -> list[str]:
        """Where trials were recorded, and how each file ends: it is told in no other way that lines were
        cut off."""
        from ..report.words import recorded_text

        files = [(Path(path), digest) for path, digest in self._recorded.items() if path]
        return [f"Recorded in {self._options.ledger}: {recorded_text(files)}"] if files else []


def _append(path: Path, text: str) -> list[str]:
    """Nothing, or why the text could not be added to the file: a summary is no reason to fail."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return [f"No summary in {path}: {error.strerror}"]
    return []
