"""The pytest plugin: options, fixtures, summary. Registered as a `pytest11` entry point only.

Nothing here imports TensorFlow or SciPy before a test asks for a verdict.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import InputError
from ..keras import environment
from ..trials import seeds
from . import options as settings
from . import suite

if TYPE_CHECKING:
    from ..verdicts.judge import Judge
    from .marker import Declared

_COUNT = pytest.StashKey[int]()
_USED = pytest.StashKey[bool]()
_MISTAKE = pytest.StashKey[str]()
_EVIDENCE = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "convergence_single_thread",
        "set one TensorFlow thread per process and oneDNN before anything imports TensorFlow",
        type="bool",
        default=False,
    )
    settings.add_settings(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    if early_config.getini("convergence_single_thread"):
        _prepare()


def pytest_collect_file(file_path: Path) -> None:
    """A module that asks for verdicts may import Keras at its top. All files of a directory come here
    before the first of them is imported."""
    # Only where the project asks for it: an installed plugin must not change other people's runs.
    if file_path.suffix == ".py" and suite.declares_hypotheses(file_path):
        _prepare()


def _prepare() -> None:
    # Too late where TensorFlow is there already: the tests that train say so, each by itself.
    if "tensorflow" not in sys.modules:
        environment.prepare()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "convergence(hypotheses=1, target, epochs, p_good, p_bad, kind='trains', "
        "monitor='val_accuracy', mode='max', batch=32, chance): a test that asks for so many verdicts "
        "on training, and what its factory is claimed to reach",
    )
    try:
        # A worker of xdist takes what its controller drew.
        drawn = getattr(config, "workerinput", {}).get("convergence_seed")
        config.option.convergence_seed = settings.first_seed(config) if drawn is None else drawn
        settings.rates(config)
        settings.pinned_hypotheses(config)
        if settings.path(config, "report") is not None:
            from ..report.page import require_extra

            require_extra()
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(_Summary(config), "convergence-summary")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["convergence_seed"] = node.config.option.convergence_seed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Read every marker and count the hypotheses before anything is deselected."""
    config = session.config
    try:
        collected = sum(_declared(item).hypotheses for item in items if _marker(item) is not None)
    except InputError as error:
        if not hasattr(config, "workerinput"):
            raise pytest.UsageError(str(error)) from None
        # A worker of xdist cannot end the run; each of its verdicts says so instead.
        config.stash[_MISTAKE] = str(error)
        return
    config.stash[_USED] = collected > 0
    try:
        failed = session.testsfailed > 0
        config.stash[_COUNT] = suite.count_hypotheses(config, collected, failed=failed)
    except InputError as error:
        config.stash[_MISTAKE] = str(error)  # the other tests have no part in it


def pytest_collection_finish(session: pytest.Session) -> None:
    """Test modules that import Keras have done so, and no test has made a model yet."""
    if session.config.stash.get(_USED, False) and "tensorflow" in sys.modules:
        environment.set_libraries_apart()


def _marker(item: pytest.Item) -> pytest.Mark | None:
    return item.get_closest_marker("convergence")


def _declared(item: pytest.Item) -> Declared:
    from .marker import read_marker

    marker = _marker(item)
    assert marker is not None
    try:
        return read_marker(marker.args, marker.kwargs)
    except InputError as error:
        raise InputError(f"{item.nodeid}: {error}") from None


@pytest.fixture(scope="session")
def convergence_recorder(pytestconfig: pytest.Config) -> Iterator[Any]:
    """Runs and records the trials of this process (`deepcaptcha.judge.Recorder`)."""
    from ..verdicts.judge import Recorder

    folder = settings.path(pytestconfig, "ledger")
    assert folder is not None  # it has a default
    with Recorder(folder, reuse=settings.find(pytestconfig, "reuse")[0]) as recorder:
        yield recorder


@pytest.fixture
def convergence(request: pytest.FixtureRequest, convergence_recorder: Any) -> Judge:
    """Asks for verdicts on training; see `deepcaptcha.judge.Judge`."""
    from ..report.words import verdict_properties
    from ..verdicts.claim import Budget
    from ..verdicts.judge import Judge

    config = request.config
    node = request.node
    if _MISTAKE in config.stash:
        pytest.fail(config.stash[_MISTAKE], pytrace=False)
    if _marker(node) is None:
        pytest.fail(
            "a test that uses the convergence fixture must carry pytest.mark.convergence, so that its "
            "verdicts are counted before any is deselected",
            pytrace=False,
        )

    def report(evidence: dict[str, Any]) -> None:
        node.stash.setdefault(_EVIDENCE, []).append(evidence)
        node.user_properties.extend(verdict_properties(evidence))  # JUnit's file has them

    declared = _declared(node)
    count = config.stash[_COUNT]
    test = f"{node.parent.nodeid}::{node.name}"  # to its nodeid, xdist may append @group
    return Judge(
        budget=Budget(count, *settings.rates(config)),
        hypotheses=declared.hypotheses,
        first_seed=config.option.convergence_seed,
        recorder=convergence_recorder,
        record=settings.find(config, "record")[0],
        report=report,
        again=" ".join(
            (
                f"pytest {shlex.quote(test)}",
                *settings.marker_expression(config),
                settings.repeating_options(config, count),
            )
        ),
        declared=declared,
        test=test,
    )


@pytest.fixture
def contract(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Asserts what `deepcaptcha.contracts.parametrize_with_contracts` has chosen for this test."""
    if not hasattr(request, "param"):
        pytest.fail(
            "the contract fixture needs @parametrize_with_contracts([...]) on its test",
            pytrace=False,
        )
    return partial(request.param.verify, lambda: request.getfixturevalue("convergence"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Hand the evidence to the summary; xdist sends a report's attributes along."""
    report = yield
    if report.when == "call" and (found := item.stash.get(_EVIDENCE, [])):
        report.convergence = found
    return report


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    return [_header(config)] if config.stash.get(_USED, False) and _talks(config) else []


def _talks(config: pytest.Config) -> bool:
    return int(config.option.verbose) >= 0


def _header(config: pytest.Config) -> str:
    facts = environment.describe()
    versions = ", ".join(f"{name} {facts[name]}" for name in ("tensorflow", "keras", "numpy"))
    count = config.stash.get(_COUNT, None) or suite.known_hypotheses(config)
    shared = f" {settings.repeating_options(config, count)}" if count else ""
    return (
        f"convergence: again with --convergence-seed {config.option.convergence_seed}{shared}; "
        f"{versions}, one thread a process, oneDNN on"
    )


class _Summary:
    """Gathers the verdicts of a session, of all workers, and prints them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.reported: list[dict[str, Any]] = []
        self.collected = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """The header, once, of a controller, which collects nothing itself."""
        self.collected += 1
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if self.collected != node.workerinput["workercount"] or not _talks(self.config):
            return
        files = {self.config.rootpath / name.partition("::")[0] for name in ids}
        if terminal is not None and any(map(suite.declares_hypotheses, files)):
            terminal.write_line(_header(self.config))

    @pytest.hookimpl(trylast=True)  # after the terminal has said whether the test passed
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = getattr(report, "convergence", [])
        self.reported.extend(found)
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if found and terminal is not None and self.config.option.verbose > 0:
            from ..report.words import verdict_line

            for evidence in found:
                terminal.write_line(verdict_line(evidence))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if hasattr(self.config, "workerinput"):
            return
        if not self.reported:
            if (given := self.config.getoption("--convergence-report")) is not None:
                terminalreporter.write_line(f"No report {given}: no verdict was reached")
            return
        from ..report.words import summary_lines, verdict_table

        table = verdict_table(self.reported)
        workers = getattr(self.config.option, "numprocesses", None) or 1
        nightly = self.config.option.convergence_seed >= seeds.STREAMS["nightly"].start
        notes = summary_lines(self.reported, workers, nightly)
        options = settings.repeating_options(self.config, self.reported[0]["hypotheses"])
        again = f"--convergence-seed {self.config.option.convergence_seed} {options}"
        lines = [*notes, f"Again: {again}"]
        if (path := settings.path(self.config, "report")) is not None:
            lines.append(self._write_report(path, again, notes))
        if job := os.environ.get("GITHUB_STEP_SUMMARY"):
            text = table.as_markdown() + "\n" + "".join(f"- {line}\n" for line in lines)
            lines += _append(Path(job), text)
        terminalreporter.section("convergence")
        table.write(terminalreporter._tw._file)
        for line in lines:
            terminalreporter.write_line(line)

    def _write_report(self, path: Path, again: str, notes: list[str]) -> str:
        from ..report.page import write_report

        ledger = settings.path(self.config, "ledger")
        assert ledger is not None  # it has a default
        command = f"{settings.own_command(self.config)} {again}"
        try:
            write_report(path, ledger, command, self.reported, notes)
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
