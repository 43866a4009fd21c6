"""The pytest plugin: options, fixtures, summary. Registered as a `pytest11` entry point only.

Nothing here imports TensorFlow or SciPy before a test asks for a verdict.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import environment, seeds
from .errors import InputError

if TYPE_CHECKING:
    from .judge import Judge
    from .verdict import Budget

_PROPERTY = "convergence"
_COUNT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "convergence_single_thread",
        "set one TensorFlow thread per process and oneDNN before anything imports TensorFlow",
        type="bool",
        default=False,
    )
    parser.addini("convergence_alpha", "the suite's chance of a false red (0.05)", default="0.05")
    parser.addini("convergence_beta", "the suite's chance of a false green (0.05)", default="0.05")
    parser.addini(
        "convergence_hypotheses",
        "hypotheses that share the suite's rates; pins them whatever is collected",
        default="",
    )
    parser.addini(
        "convergence_ledger", "folder that keeps every trial (build/ledger)", default="build/ledger"
    )
    parser.addini("convergence_report", "file of an HTML report on the verdicts", default="")
    group = parser.getgroup("convergence", "verdicts on training (deepcaptcha)")
    group.addoption(
        "--convergence-seed",
        default="fixed",
        metavar="SEED",
        help="first seed of every verdict: 'fixed' (default, always the same), 'any' (a fresh one "
        "for this run) or a number",
    )
    group.addoption(
        "--convergence-hypotheses",
        type=int,
        metavar="N",
        help="hypotheses that share the suite's error rates; default: all that were collected",
    )
    group.addoption("--convergence-ledger", metavar="DIR", help="folder that keeps every trial")
    group.addoption(
        "--convergence-report",
        metavar="FILE",
        help="write an HTML report on the verdicts (needs deepcaptcha[report])",
    )
    group.addoption(
        "--convergence-reuse",
        action="store_true",
        help="take trials with the very same fingerprint from the ledger instead of training them",
    )
    group.addoption(
        "--convergence-record",
        action="store_true",
        help="train and write the baselines instead of comparing with them",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Only where the project asks for it: an installed plugin must not change other people's runs.
    if early_config.getini("convergence_single_thread"):
        environment.prepare()


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "slow: training studies, minutes to hours",
        "integration: needs a browser, a cluster or other projects",
        "convergence(hypotheses=1): a test that asks for so many verdicts on training",
    ):
        config.addinivalue_line("markers", marker)
    try:
        given = config.getoption("--convergence-seed")
        # A worker of xdist takes what its controller drew.
        drawn = getattr(config, "workerinput", {}).get("convergence_seed")
        config.option.convergence_seed = _first_seed(given) if drawn is None else drawn
        _rates(config)
        if _path(config, "report") is not None:
            from .page import require_extra

            require_extra()
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(_Summary(config), "convergence-summary")


def _path(config: pytest.Config, name: str) -> Path | None:
    """The value of an option or ini value that is a path, from the root folder of the tests."""
    given = config.getoption(f"--convergence-{name}") or config.getini(f"convergence_{name}")
    return config.rootpath / given if given else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["convergence_seed"] = node.config.option.convergence_seed


def _first_seed(text: str | int) -> int:
    if text == "fixed":
        return seeds.first_seed("pull-request")
    if text == "any":
        return seeds.first_seed("nightly")
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**32 - 10_000:
        raise InputError(
            f"--convergence-seed is {text!r}; 'fixed', 'any' or a whole number below 2**32 is needed"
        )
    return seed


def _rates(config: pytest.Config) -> tuple[float, float]:
    rates = []
    for name in ("convergence_alpha", "convergence_beta"):
        text = config.getini(name)
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 0 < rate < 1:
            raise InputError(f"{name} is {text!r}; a number between 0 and 1 is needed")
        rates.append(rate)
    return rates[0], rates[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count the hypotheses before anything is deselected."""
    collected = sum(_hypotheses(item) for item in items)
    declared = config.getoption("--convergence-hypotheses") or _pinned(config)
    selected = config.getoption("lf", False) or config.args_source is pytest.Config.ArgsSource.ARGS
    if declared is None and collected and selected:
        raise pytest.UsageError(
            "only a part of the suite was collected, and its error rates are shared by all of it; pin "
            "their number: ini convergence_hypotheses = N, or --convergence-hypotheses N"
        )
    if declared is not None and declared < max(collected, 1):
        raise pytest.UsageError(
            f"{declared} hypotheses are declared, and {collected} were collected; "
            "their error rates would not add up to the suite's"
        )
    config.stash[_COUNT] = declared or max(collected, 1)


def _pinned(config: pytest.Config) -> int | None:
    text = config.getini("convergence_hypotheses")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise pytest.UsageError(
            f"convergence_hypotheses is {text!r}; a whole number of at least 1 is needed"
        )
    return int(text)


def _hypotheses(item: pytest.Item) -> int:
    marker = item.get_closest_marker("convergence")
    if marker is None:
        return 0
    count = marker.kwargs.get("hypotheses", 1)
    if marker.args or type(count) is not int or count < 1:
        raise pytest.UsageError(
            f"{item.nodeid}: write pytest.mark.convergence(hypotheses=N), N a whole number >= 1"
        )
    return count


def _budget(config: pytest.Config) -> Budget:
    from .verdict import Budget

    return Budget(config.stash[_COUNT], *_rates(config))


@pytest.fixture(scope="session")
def convergence_recorder(pytestconfig: pytest.Config) -> Iterator[Any]:
    """Runs and records the trials of this process (`deepcaptcha.judge.Recorder`)."""
    from .judge import Recorder

    folder = _path(pytestconfig, "ledger")
    assert folder is not None  # it has a default
    with Recorder(folder, reuse=pytestconfig.getoption("--convergence-reuse")) as recorder:
        yield recorder


@pytest.fixture
def convergence(request: pytest.FixtureRequest, convergence_recorder: Any) -> Judge:
    """Asks for verdicts on training; see `deepcaptcha.judge.Judge`."""
    from .judge import Judge

    config = request.config
    node = request.node
    hypotheses = _hypotheses(node)
    if not hypotheses:
        pytest.fail(
            "a test that uses the convergence fixture must carry pytest.mark.convergence, so that its "
            "verdicts are counted before any is deselected",
            pytrace=False,
        )

    def report(evidence: dict[str, Any]) -> None:
        node.user_properties.append((_PROPERTY, evidence))

    return Judge(
        budget=_budget(config),
        hypotheses=hypotheses,
        first_seed=config.option.convergence_seed,
        recorder=convergence_recorder,
        record=config.getoption("--convergence-record"),
        report=report,
        again=f"pytest '{node.nodeid}' --convergence-hypotheses {config.stash[_COUNT]}",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    if not config.getini("convergence_single_thread"):
        return []
    facts = environment.describe()
    versions = ", ".join(f"{name} {facts[name]}" for name in ("tensorflow", "keras", "numpy"))
    count = config.getoption("--convergence-hypotheses")
    shared = f" --convergence-hypotheses {count}" if count else ""
    return [
        f"convergence: again with --convergence-seed {config.option.convergence_seed}{shared}; "
        f"{versions}, one thread a process, oneDNN on"
    ]


class _Summary:
    """Gathers the verdicts of a session, of all workers, and prints them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.reported: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for name, evidence in report.user_properties:
                if name == _PROPERTY and isinstance(evidence, dict):
                    self.reported.append(evidence)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.reported:
            return
        from .report import summary_lines, verdict_table

        terminalreporter.section("convergence")
        verdict_table(self.reported).write(terminalreporter._tw._file)
        workers = getattr(self.config.option, "numprocesses", None) or 1
        nightly = self.config.option.convergence_seed >= seeds.STREAMS["nightly"].start
        notes = summary_lines(self.reported, workers, nightly)
        for line in notes:
            terminalreporter.write_line(line)
        again = (
            f"--convergence-seed {self.config.option.convergence_seed} "
            f"--convergence-hypotheses {self.reported[0]['hypotheses']}"
        )
        terminalreporter.write_line(f"Again: {again}")
        if (path := _path(self.config, "report")) is not None:
            terminalreporter.write_line(self._write_report(path, again, notes))

    def _write_report(self, path: Path, again: str, notes: list[str]) -> str:
        from .page import write_report

        ledger = _path(self.config, "ledger")
        assert ledger is not None  # it has a default
        command = shlex.join(["pytest", *map(str, self.config.invocation_params.args)])
        try:
            write_report(path, ledger, f"{command} {again}", self.reported, notes)
        except InputError as error:
            return f"No report: {error}"
        return f"Report: {path}"
