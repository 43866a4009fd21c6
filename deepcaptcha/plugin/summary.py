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
    from ..verdicts.judge import Evidence

Json = Mapping[str, Any]

EVIDENCE = pytest.StashKey[list[Json]]()
"""What a test's verdicts rest on, as plain data."""


class Node(Protocol):
    """A worker, as xdist hands it over."""

    config: pytest.Config
    workerinput: dict[str, int]


def header(config: pytest.Config, options: Options, count: int | None = None) -> str:
    """How to have the same verdicts again, with what they are computed; `count` hypotheses share the
    rates, or as many as are known to."""
    facts = environment.describe()
    versions = [
        f"{name} {facts[name]}"
        for name in ("tensorflow", "keras", "numpy")
        if facts[name] != "not installed"
    ]
    if facts["tensorflow"] != "not installed":
        versions.append("one thread a process, oneDNN on")
    count = count or suite.known_hypotheses(config, options.hypotheses)
    shared = f" {repeating_options(config, count)}" if count else ""
    search = ""
    if options.repair is not None:
        search = f"; a red test looks for a repair, in at most {options.repair.text} each"
    again = f"again with --convergence-seed {options.seed}{shared}"
    return f"convergence: {again}; {', '.join(versions)}{search}"


class SessionSummary:
    """Gathers the verdicts of a session, of all workers, and prints them at its end."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self._config = config
        self._options = options
        self._reported: list[Evidence] = []
        self._collected = 0

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
            terminal.write_line(header(self._config, self._options))

    @pytest.hookimpl(trylast=True)  # after the terminal has said whether the test passed
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        fields: Sequence[Json] = getattr(report, "convergence", [])
        if not fields or hasattr(self._config, "workerinput"):
            return
        from ..report.words import verdict_line
        from ..verdicts.judge import Evidence

        found = [Evidence.from_dict(each) for each in fields]
        self._reported.extend(found)
        terminal = self._terminal()
        if terminal is not None and self._config.option.verbose > 0:
            for evidence in found:
                terminal.write_line(verdict_line(evidence))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if hasattr(self._config, "workerinput"):
            return
        if not self._reported:
            if (given := self._config.getoption("--convergence-report")) is not None:
                terminalreporter.write_line(f"No report {given}: no verdict was reached")
            return
        from ..report.words import summary_lines, verdict_table

        seed = self._options.seed
        table = verdict_table(self._reported)
        processes = getattr(self._config.option, "numprocesses", None) or 1
        workers = processes * (self._options.jobs or 1)
        nightly = seed >= seeds.STREAMS["nightly"].start
        notes = summary_lines(self._reported, workers, nightly)
        options = repeating_options(self._config, self._reported[0].budget.hypotheses)
        again = f"--convergence-seed {seed} {options}"
        lines = [*notes, f"Again: {again}"]
        if self._options.report is not None:
            lines.append(self._write_report(self._options.report, again, notes))
        if job := os.environ.get("GITHUB_STEP_SUMMARY"):
            text = table.as_markdown() + "\n" + "".join(f"- {line}\n" for line in lines)
            lines += _append(Path(job), text)
        terminalreporter.section("convergence")
        table.write(terminalreporter._tw._file)
        for line in lines:
            terminalreporter.write_line(line)

    def _terminal(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _write_report(self, path: Path, again: str, notes: Sequence[str]) -> str:
        from ..report.page import write_report

        command = f"{own_command(self._config)} {again}"
        judged = [evidence for evidence in self._reported if not evidence.unchanged]
        if not judged:
            return "No report: every row is unchanged, and none was judged"
        try:
            write_report(path, self._options.ledger, command, judged, notes)
        except InputError as error:
            return f"No report: {error}"
        return f"Report: {path}"


def _append(path: Path, text: str) -> list[str]:
    """Nothing, or why the text could not be added to the file: a summary is no reason to fail."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return [f"No summary in {path}: {error.strerror}"]
    return []
