"""What a run says of its verdicts: a header, a line each, and a table at the end."""

from __future__ import annotations

import datetime
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from ..errors import InputError, printable, write_file
from ..keras import environment
from ..trials import seeds
from . import suite
from .options import Options, own_command, repeating_options

if TYPE_CHECKING:
    from ..verdicts.claim import Verdict
    from ..verdicts.judge import Evidence
    from .marker import Declared

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
    workerinput: dict[str, Any]


def header(
    config: pytest.Config, options: Options, count: suite.Count, declared: Mapping[str, Declared]
) -> list[str]:
    """How to have the same verdicts again, with what they are computed; how so many hypotheses and rows
    share alpha; and what the tests that will run, by name, are expected to cost."""
    facts = environment.describe()
    versions = [
        f"{name} {facts[name]}"
        for name in (environment.backend(), "keras", "numpy")
        if facts[name] != "not installed"
    ]
    if facts["keras"] != "not installed":
        versions.append(f"one thread a process{', oneDNN on' if 'onednn' in facts else ''}")
    if cards := environment.graphics_cards():
        versions.append(f"{cards} for one trial at a time where {environment.backend()} sees it")
    search = ""
    if options.repair is not None:
        search = f"; a red test looks for a repair, in at most {options.repair.text} each"
    again = f"again with --convergence-seed {options.seed} {repeating_options(config, *count)}"
    lines = [f"convergence: {again}; {', '.join(versions)}{search}"]
    if 2 * count.rows <= count.hypotheses:
        from ..verdicts.claim import Budget

        budget = Budget(count.hypotheses, options.alpha, options.beta, count.rows)
        source = "as collected" if options.hypotheses is None else "pinned"
        lines.append(f"convergence: alpha of {'; '.join(budget.lines)} ({source})")
        from .cost import cost_lines
        from .stream import Cap

        told = cost_lines(
            declared,
            budget,
            Cap(options.max_trials, options.minutes),
            options.ledger,
            jobs=options.jobs or 1,
            abreast=min(processes(config), max(len(declared), 1)),
            each=config.option.collectonly or config.option.verbose > 0,
        )
        lines += [f"convergence: {line}" for line in told]
    return lines


def _key(evidence: Evidence) -> tuple[object, ...]:
    row = evidence.test, evidence.name, evidence.recipe, evidence.claim, evidence.target
    return *row, evidence.trials, evidence.confirmation


def processes(config: pytest.Config) -> int:
    """How many of xdist run the tests; 1 without it."""
    worker = getattr(config, "workerinput", {})
    return worker.get("workercount") or getattr(config.option, "numprocesses", None) or 1


def terminal_line(config: pytest.Config) -> Callable[[str], None] | None:
    """Replaces a line below the one that pytest writes on, by nothing in the end; None where it writes
    to a log, or this is a worker of xdist."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or not terminal.isatty or config.option.verbose < 0:
        return None
    capture = config.pluginmanager.get_plugin("capturemanager")
    shown = ""

    def show(text: str) -> None:
        nonlocal shown
        if not (text or shown):
            return
        writer = terminal._tw
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            # Past pytest's own account of its line, which goes on where it stood.
            line = f"\r\x1b[K{printable(text)[: writer.fullwidth - 1]}"
            if not shown:
                line = f"\n{line}"
            elif not text:
                line += "\x1b[A"
                if column := writer.width_of_current_line % writer.fullwidth:
                    line += f"\x1b[{column}C"
            writer._file.write(line)
            writer.flush()
        shown = text

    return show


def folded(line: str, config: pytest.Config) -> str:
    """By words as wide as the terminal; as it is in a log, and where there is something to be copied."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or not terminal.isatty or " --" in line or "\n" in line:
        return line
    from ..report.words import wrapped

    return wrapped(line, terminal._tw.fullwidth - 1)


class SessionSummary:
    """Gathers the verdicts of a session, of all workers, and prints them at its end."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self._config = config
        self._options = options
        self._reported: list[Evidence] = []
        self._began = time.monotonic()
        self.used = False  # whether any test asks for verdicts
        self._collected = 0
        self.told_by_worker = Path(tempfile.gettempdir()) / f"deepcaptcha-{secrets.token_hex(8)}"
        self._whole: Verdict | None = None
        self._told: list[str] = []  # of single rows, besides their verdicts
        self._notes: list[str] = []  # of all rows together
        self._places: dict[str, tuple[str, int]] = {}  # file and line of each test
        self._recorded: dict[str, str] = {}  # ledger file -> digest of its last line

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Node, ids: Sequence[str]) -> None:
        """The header, once, of a controller, which collects nothing itself: a worker has written it."""
        self._collected += 1
        if self._collected < node.workerinput["workercount"] or not self.told_by_worker.exists():
            return
        self.used = True
        terminal = self._terminal()
        if terminal is not None and self._config.option.verbose >= 0:
            if terminal.isatty:  # xdist counts its workers there
                terminal.write("\r\x1b[K")
            for line in self.told_by_worker.read_text("utf-8").splitlines():
                terminal.write_line(folded(line, self._config))
        self.told_by_worker.unlink()

    @pytest.hookimpl(trylast=True)  # after the terminal has said whether the test passed
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        fields: Sequence[Json] = getattr(report, "convergence", [])
        if hasattr(self._config, "workerinput"):
            return
        if str(report.outcome) == "rerun":  # of pytest-rerunfailures: the last try tells the same
            return
        self._told += getattr(report, "convergence_told", [])
        noted = getattr(report, "convergence_noted", [])
        self._notes += [line for line in dict.fromkeys(noted) if line not in self._notes]
        self._recorded.update([getattr(report, "convergence_recorded", ("", ""))])
        if not fields:
            return
        from ..report.words import verdict_line
        from ..verdicts.judge import Evidence

        # With `--dist each` every worker tells of every test: the very same trials are told once.
        known = {_key(evidence) for evidence in self._reported}
        every = map(Evidence.from_dict, fields)
        found = [evidence for evidence in every if _key(evidence) not in known]
        file, line, _ = report.location
        if not report.skipped:  # as expected, or undecided
            self._places.update({evidence.test: (file, (line or 0) + 1) for evidence in found})
        self._reported.extend(found)
        terminal = self._terminal()
        if terminal is not None and self._config.option.verbose > 0:
            for evidence in found:
                terminal.write_line(folded(printable(verdict_line(evidence)), self._config))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """The suite as a whole, which fails the session as a red test would."""
        if hasattr(self._config, "workerinput"):
            return
        self.told_by_worker.unlink(missing_ok=True)
        if self._reported:
            from .cost import keep_costs

            with suppress(InputError):  # nobody needs them
                keep_costs(self._options.ledger, self._reported)
        failed = False
        told = (line for line in self._told if " is accepted, " in line)
        if (row := self._options.accept) and not any(told):
            self._notes.append(f"No row {row} with a baseline was judged; nothing is accepted")
            failed = True
        if any(evidence.baseline or evidence.twin for evidence in self._reported):
            failed = self._judge_all() or failed
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _judge_all(self) -> bool:
        """Judge all rows together; whether that is red."""
        from ..verdicts.whole import judge_rows, shared_names, unnamed_baselines, untrue_twins

        untrue = untrue_twins(self._reported)
        self._notes += [*untrue, *shared_names(self._reported)]
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

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        if hasattr(self._config, "workerinput"):
            return
        if exitstatus == pytest.ExitCode.INTERRUPTED and self.used:
            self._notes.append(
                f"Finished trainings are kept in {self._options.ledger}. Go on: "
                f"{own_command(self._config)} --convergence-seed {self._options.seed} "
                "--convergence-reuse"
            )
        if not self._reported:
            for line in (*self._told, *self._notes):
                terminalreporter.write_line(printable(line, keep="\n"))
            for name in ("report", "json", "save"):
                if (given := self._config.getoption(f"--convergence-{name}")) is not None:
                    terminalreporter.write_line(f"No {name} {given}: no verdict was reached")
            return
        from ..report.table import markdown
        from ..report.words import made_lines, summary_lines, verdict_table

        seed = self._options.seed
        table = verdict_table(self._reported)
        workers = max(processes(self._config), self._options.jobs or 1)
        nightly = seed >= seeds.STREAMS["nightly"].start
        notes = [*self._told, *summary_lines(self._reported, workers, nightly), *self._notes]
        if self._whole is not None:
            notes.insert(0, f"The suite as a whole: {self._whole.colour}; {self._whole.note}.")
        budget = self._reported[0].budget
        options = repeating_options(self._config, budget.hypotheses, budget.rows)
        again = f"--convergence-seed {seed} {options}"
        made = self._made()
        lines = [*notes, made, *self._record_lines(), f"Again: {again}"]
        if self._options.report is not None:
            lines += self._write_report(self._options.report, again, notes, made)
        lines += self._write_records(again, made)
        if job := os.environ.get("GITHUB_STEP_SUMMARY"):
            from ..report.github import step_summary

            told = [*map(markdown, lines), *made_lines(self._reported)]
            lines += _append(Path(job), step_summary(self._reported, told))
        terminalreporter.section("convergence")
        table.write(terminalreporter._tw._file)
        terminalreporter.write_line("")
        for line in lines:
            terminalreporter.write_line(folded(printable(line, keep="\n"), self._config))

        if os.environ.get("GITHUB_ACTIONS") == "true":
            from ..report.github import annotation

            for evidence in self._reported:
                place = self._places.get(evidence.test)
                if place is not None and (said := annotation(evidence, *place)):
                    terminalreporter.write_line(said)

    def _write_records(self, again: str, made: str) -> list[str]:
        """What can be read by programs, and by `compare`; a line on each."""
        from ..report.session import save_session, session_text

        text = session_text(self._reported, self._whole, again, made)
        lines = []
        try:
            if (path := self._options.json) is not None:
                write_file(path, text, "the verdicts")
                lines.append(f"Verdicts: {path}")
            if self._options.save is not None:
                keys = [key for evidence in self._reported for key in evidence.trials]
                folder = save_session(self._options.ledger, self._options.save, keys, text)
                lines.append(f"Saved: {folder}; `deepcaptcha compare` compares the last two")
        except InputError as error:
            lines.append(f"Not saved: {error}")
        return lines

    def _terminal(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _made(self) -> str:
        """When, how long, and of which commit."""
        now = datetime.datetime.now(datetime.UTC)
        minutes = (time.monotonic() - self._began) / 60
        commit = _commit(self._config.rootpath)
        return f"Judged on {now:%Y-%m-%d %H:%M} UTC in {minutes:.1f} minutes{commit}."

    def _write_report(self, path: Path, again: str, notes: Sequence[str], made: str) -> list[str]:
        from ..report.page import write_report

        told: list[str] = []
        command = f"{own_command(self._config)} {again}"
        judged = [evidence for evidence in self._reported if not evidence.unchanged]
        if not judged:
            return ["No report: every row is unchanged, and none was judged"]
        try:
            write_report(path, self._options.ledger, command, judged, notes, made, tell=told.extend)
        except InputError as error:
            return [*told, f"No report: {error}"]
        return [*(line for line in told if line not in notes), f"Report: {path}"]

    def _record_lines(self) -> list[str]:
        """Where trials were recorded, and how each file ends: it is told in no other way that lines were
        cut off."""
        from ..report.words import recorded_text

        files = [(Path(path), digest) for path, digest in self._recorded.items() if path]
        return [f"Recorded in {self._options.ledger}: {recorded_text(files)}"] if files else []


def _commit(root: Path) -> str:
    """Such as `, of commit 1234abcd with changes`; empty where the folder is under no Git."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not (commit := git("rev-parse", "--short", "HEAD")):
            return ""
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f", of commit {commit}{' with changes' if changed else ''}"


def _append(path: Path, text: str) -> list[str]:
    """Nothing, or why the text could not be added to the file: a summary is no reason to fail."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return [f"No summary in {path}: {error.strerror}"]
    return []
