"""The pytest plugin: options, fixtures, summary. Registered as a `pytest11` entry point only."""

from __future__ import annotations

import pytest

from . import environment


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "convergence_single_thread",
        "set one TensorFlow thread per process and oneDNN before anything imports TensorFlow",
        type="bool",
        default=False,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Only where the project asks for it: an installed plugin must not change other people's runs.
    if early_config.getini("convergence_single_thread"):
        environment.prepare()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: training studies, minutes to hours")
    config.addinivalue_line("markers", "integration: needs a browser, a cluster or other projects")
