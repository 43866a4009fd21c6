"""The pytest plugin: options and fixtures. Registered as a `pytest11` entry point only.

Nothing here imports TensorFlow, NumPy, SciPy or Rich before a test asks for a verdict.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..errors import InputError, printable
from ..keras import environment
from . import suite
from .options import Options, add_settings, marker_expression, read_options, repeating_options
from .summary import EVIDENCE, NOTED, TOLD, Node, SessionSummary, folded, header, terminal_line

if TYPE_CHECKING:
    from ..trials.runner import Reuse, Runner
    from ..verdicts.judge import Evidence
    from .judging import Convergence
    from .marker import Declared

_OPTIONS = pytest.StashKey[Options]()
_SUMMARY = pytest.StashKey[SessionSummary]()
_COUNT = pytest.StashKey[suite.Count]()
_RUNNER = pytest.StashKey["Runner"]()
_DECLARED: pytest.StashKey[Declared] = pytest.StashKey()
_MISTAKE = pytest.StashKey[str]()
_MISSING = pytest.StashKey[dict[tuple[str, str], str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "convergence_single_thread",
        "train in the processes of the tests: set one thread and oneDNN in each before anything imports "
        "TensorFlow; without it nothing is set there, and worker processes train",
        type="bool",
        default=False,
    )
    add_settings(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    if early_config.getini("convergence_single_thread"):
        environment.prepare_import()
    else:
        _leave_alone(early_config)


def _leave_alone(config: pytest.Config) -> None:
    """As long as this run of pytest lasts, even where it never gets as far as to be configured: a run by
    a test leaves the test's own process as it was."""
    before = environment.leave_alone()

    def as_before() -> None:
        environment.leave_alone(before)

    config.add_cleanup(as_before)


@pytest.hookimpl(trylast=True)  # a conftest may set an option
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "convergence(hypotheses=1, target, epochs, p_good, p_bad, kind='trains', "
        "monitor='val_accuracy', mode='max', also=[], batch=32, chance, rows=0, twin, start, "
        "max_trials, minutes, known_failure, until): a test that asks for so many verdicts on training, "
        "and what its factory is claimed to reach",
    )
    try:
        # A worker of xdist, which reads the command line anew, takes what its controller drew.
        if (drawn := getattr(config, "workerinput", {}).get("convergence_seed")) is not None:
            config.option.convergence_seed = drawn
        options = config.stash[_OPTIONS] = read_options(config)
        if options.report is not None:
            from ..report.page import require_extra

            require_extra()
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    if options.jobs is not None:
        _leave_alone(config)
    summary = config.stash[_SUMMARY] = SessionSummary(config, options)
    config.pluginmanager.register(summary, "convergence-summary")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Node) -> None:
    node.workerinput["convergence_seed"] = node.config.stash[_OPTIONS].seed
    node.workerinput["convergence_header"] = str(node.config.stash[_SUMMARY].told_by_worker)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Read every marker and count the hypotheses before anything is deselected."""
    config = session.config
    declared = []
    for item in items:
        if (marker := _marker(item)) is None:
            continue
        from .marker import count_of, read_marker

        try:
            item.stash[_DECLARED] = read_marker(marker.args, marker.kwargs)
        except InputError as error:
            item.stash[_MISTAKE] = str(error)  # the other tests have no part in it
        declared.append(item.stash.get(_DECLARED, count_of(marker.kwargs)))
    if not declared:
        return
    config.stash[_SUMMARY].used = True
    counted = [each for each in declared if not each.twin]
    collected = suite.Count(
        sum(each.hypotheses for each in counted), sum(each.rows for each in counted)
    )
    options = config.stash[_OPTIONS]
    try:
        config.stash[_COUNT] = suite.count_hypotheses(
            config,
            (options.hypotheses, options.rows),
            collected,
            must_be_pinned=options.pinned,
        )
    except InputError as error:
        config.stash[_MISTAKE] = str(error)


@pytest.hookimpl(tryfirst=True)  # before xdist tells the controller
def pytest_collection_finish(session: pytest.Session) -> None:
    """Test modules that import Keras have done so, and no test has made a model yet."""
    used = _COUNT in session.config.stash
    if used and "tensorflow" in sys.modules and not environment.is_left_alone():
        environment.freeze_loaded_objects()
    worker = getattr(session.config, "workerinput", {})
    if worker.get("workerid") == "gw0" and (lines := _header(session.config, session.items)):
        Path(worker["convergence_header"]).write_text("\n".join(lines), "utf-8")


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> list[str]:
    lines = [] if config.option.verbose < 0 else _header(config, items)
    return [folded(line, config) for line in lines]


def _header(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    if (count := config.stash.get(_COUNT, None)) is None:
        return []
    declared = {
        _test_name(item): item.stash[_DECLARED] for item in items if _DECLARED in item.stash
    }
    return [*map(printable, header(config, config.stash[_OPTIONS], count, declared))]


def _test_name(item: pytest.Item) -> str:
    """As its nodeid is without what xdist may append to it, @group."""
    assert item.parent is not None
    return f"{item.parent.nodeid}::{item.name}"


def _marker(item: pytest.Item) -> pytest.Mark | None:
    return item.get_closest_marker("convergence")


def _reuse(options: Options) -> Reuse:
    # A trial taken from the ledger would confirm nothing.
    if options.fresh or options.confirm:
        return "never"
    return "any" if options.reuse else "sure"


@pytest.fixture(scope="session")
def convergence_runner(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[Runner]:
    """Runs and records the trials of this process (`deepcaptcha.trials.runner.Runner`)."""
    from ..trials.runner import Runner

    options = pytestconfig.stash[_OPTIONS]
    # Each process of a suite that does not train itself has one worker.
    jobs = options.jobs or (1 if environment.is_left_alone() else None)
    # Under xdist as many in all: a single test has them, however many processes look on.
    if options.jobs and (worker := getattr(pytestconfig, "workerinput", None)):
        asking = sum(_marker(item) is not None for item in request.session.items)
        jobs = max(1, options.jobs // min(worker["workercount"], max(asking, 1)))
    path = [str(pytestconfig.rootpath)]  # whence --import-mode=importlib names modules
    with Runner(
        options.ledger,
        reuse=_reuse(options) != "never",
        jobs=jobs,
        time_limit=options.timeout,
        path=path,
    ) as runner:
        pytestconfig.stash[_RUNNER] = runner
        yield runner


@pytest.fixture
def convergence(request: pytest.FixtureRequest, convergence_runner: Runner) -> Convergence:
    """Asks for verdicts on training; see `deepcaptcha.Convergence`."""
    from ..report.words import verdict_properties
    from ..verdicts.claim import Budget
    from ..verdicts.judge import Evidence
    from .judging import Convergence
    from .stream import Cap

    config, node = request.config, request.node
    for stash in (node.stash, config.stash):
        if _MISTAKE in stash:
            pytest.fail(stash[_MISTAKE], pytrace=False)
    if _DECLARED not in node.stash:  # a hook or a fixture may have added the marker since
        pytest.fail(
            "a test that uses the convergence fixture must carry pytest.mark.convergence when it is "
            "collected, so that its verdicts are counted before any is deselected",
            pytrace=False,
        )

    # A plugin may run a test again; its verdicts stand, or one of several tries would do.
    given = tuple(map(Evidence.from_dict, node.stash.get(EVIDENCE, ())))
    for key in (EVIDENCE, TOLD):
        node.stash[key] = []
    node.user_properties[:] = [
        each for each in node.user_properties if not each[0].startswith("convergence.")
    ]

    def report(evidence: Evidence) -> None:
        node.stash.setdefault(EVIDENCE, []).append(evidence.as_dict())
        node.user_properties.extend(verdict_properties(evidence))  # JUnit's file has them

    told = node.stash.setdefault(TOLD, [])

    def tell_here(reason: str) -> None:
        line = (
            f"{node.name}: {reason}; its trials ran in the process of the test, with its threads, "
            "and claim no bits"
        )
        if line not in told:
            told.append(line)

    convergence_runner.on_here = tell_here
    options, count = config.stash[_OPTIONS], config.stash[_COUNT]
    test = _test_name(node)
    again = (
        f"pytest {shlex.quote(test)}",
        *marker_expression(config),
        repeating_options(config, *count),
    )
    return Convergence(
        Budget(count.hypotheses, options.alpha, options.beta, count.rows),
        options.seed,
        convergence_runner,
        report,
        " ".join(again),
        node.stash[_DECLARED],
        options.record,
        test,
        repair=options.repair,
        strict=options.strict,
        accept=(options.accept, options.reason or "") if options.accept else None,
        tell=told.append,
        note=node.stash.setdefault(NOTED, []).append,
        cap=Cap(options.max_trials, options.minutes),
        reuse=_reuse(options),
        show=terminal_line(config),
        confirm=options.confirm,
        given=given,
        missing=node.stash.setdefault(_MISSING, {}),
    )


@pytest.fixture
def contract(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Asserts what `deepcaptcha.parametrize_with_contracts` has chosen for this test."""
    if not hasattr(request, "param"):
        pytest.fail(
            "the contract fixture needs @parametrize_with_contracts([...]) on its test",
            pytrace=False,
        )
    return partial(request.param.verify, lambda: request.getfixturevalue("convergence"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand the evidence to the summary; xdist sends a report's attributes along."""
    report = yield
    if report.when == "call" and (found := item.stash.get(EVIDENCE, [])):
        report.convergence = found  # type: ignore[attr-defined]
    if report.when == "call" and (told := item.stash.get(TOLD, [])):
        report.convergence_told = told  # type: ignore[attr-defined]
    if report.when == "call" and NOTED in item.stash:
        runner = item.config.stash[_RUNNER]
        report.convergence_noted = [*item.stash[NOTED], *runner.problems]  # type: ignore[attr-defined]
        if runner.recorded:
            report.convergence_recorded = tuple(map(str, runner.recorded))  # type: ignore[attr-defined]
    return report
