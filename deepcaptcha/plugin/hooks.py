"""The pytest plugin: options and fixtures. Registered as a `pytest11` entry point only.

Nothing here imports TensorFlow, NumPy, SciPy or Rich before a test asks for a verdict.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ..errors import InputError
from ..keras import environment
from . import suite
from .options import Options, add_settings, marker_expression, read_options, repeating_options
from .summary import EVIDENCE, NOTED, TOLD, Node, SessionSummary, header

if TYPE_CHECKING:
    from ..trials.runner import Runner
    from ..verdicts.judge import Evidence
    from .judging import Convergence
    from .marker import Declared

_OPTIONS = pytest.StashKey[Options]()
_COUNT = pytest.StashKey[suite.Count]()
_USED = pytest.StashKey[bool]()
_RUNNER = pytest.StashKey["Runner"]()
_MISTAKE = pytest.StashKey[str]()
_BEFORE = pytest.StashKey[bool]()


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
        early_config.stash[_BEFORE] = environment.leave_alone()


@pytest.hookimpl(trylast=True)  # a conftest may set an option
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "convergence(hypotheses=1, target, epochs, p_good, p_bad, kind='trains', "
        "monitor='val_accuracy', mode='max', batch=32, chance, rows=0, twin): a test that asks for so "
        "many verdicts on training, and what its factory is claimed to reach",
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
        config.stash.setdefault(_BEFORE, environment.leave_alone())
    config.pluginmanager.register(SessionSummary(config, options), "convergence-summary")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _BEFORE in config.stash:  # a pytest run by a test leaves the test's own process as it was
        environment.leave_alone(config.stash[_BEFORE])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Node) -> None:
    node.workerinput["convergence_seed"] = node.config.stash[_OPTIONS].seed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Read every marker and count the hypotheses before anything is deselected."""
    config = session.config
    try:
        declared = [_declared(item) for item in items if _marker(item) is not None]
    except InputError as error:
        if not hasattr(config, "workerinput"):
            raise pytest.UsageError(str(error)) from None
        # A worker of xdist cannot end the run; each of its verdicts says so instead.
        config.stash[_MISTAKE] = str(error)
        return
    config.stash[_USED] = bool(declared)
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
            failed=session.testsfailed > 0,
        )
    except InputError as error:
        config.stash[_MISTAKE] = str(error)  # the other tests have no part in it


def pytest_collection_finish(session: pytest.Session) -> None:
    """Test modules that import Keras have done so, and no test has made a model yet."""
    used = session.config.stash.get(_USED, False)
    if used and "tensorflow" in sys.modules and not environment.is_left_alone():
        environment.freeze_loaded_objects()


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    if not config.stash.get(_USED, False) or config.option.verbose < 0:
        return []
    return header(config, config.stash[_OPTIONS], config.stash.get(_COUNT, None))


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
def convergence_runner(pytestconfig: pytest.Config) -> Iterator[Runner]:
    """Runs and records the trials of this process (`deepcaptcha.trials.runner.Runner`)."""
    from ..trials.runner import Runner

    options = pytestconfig.stash[_OPTIONS]
    # A trial taken from the ledger would confirm nothing.
    reuse = options.reuse and not options.confirm
    # Each process of a suite that does not train itself has one worker.
    jobs = options.jobs or (1 if environment.is_left_alone() else None)
    path = [str(pytestconfig.rootpath)]  # whence --import-mode=importlib names modules
    limit = options.timeout
    with Runner(options.ledger, reuse=reuse, jobs=jobs, time_limit=limit, path=path) as runner:
        pytestconfig.stash[_RUNNER] = runner
        yield runner


@pytest.fixture
def convergence(request: pytest.FixtureRequest, convergence_runner: Runner) -> Convergence:
    """Asks for verdicts on training; see `deepcaptcha.Convergence`."""
    from ..report.words import verdict_properties
    from ..verdicts.claim import Budget
    from ..verdicts.judge import Evidence
    from .judging import Convergence

    config, node = request.config, request.node
    if _MISTAKE in config.stash:
        pytest.fail(config.stash[_MISTAKE], pytrace=False)
    if _marker(node) is None:
        pytest.fail(
            "a test that uses the convergence fixture must carry pytest.mark.convergence, so that its "
            "verdicts are counted before any is deselected",
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
    test = f"{node.parent.nodeid}::{node.name}"  # to its nodeid, xdist may append @group
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
        _declared(node),
        options.record,
        test,
        repair=options.repair,
        strict=options.strict,
        accept=(options.accept, options.reason or "") if options.accept else None,
        tell=told.append,
        note=node.stash.setdefault(NOTED, []).append,
        confirm=options.confirm,
        given=given,
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
