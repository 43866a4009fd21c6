"""Studies over real Dask clusters on loopback: killed workers, fresh trials, verdicts, refusals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import pytest

from deepcaptcha import VARIANTS, InputError, build
from deepcaptcha.cli.main import main
from deepcaptcha.trials import dask as cluster
from deepcaptcha.trials import seeds
from deepcaptcha.trials.dask import dask_executor
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import Task, process_executor, run_study
from tests.plugin.test_hooks import INI, PROJECT
from tests.processes import interrupt, interruptible
from tests.trials.test_runner import ENVIRONMENT, TINY, die, figures, tasks


@contextmanager
def local_cluster(**options):
    from distributed import LocalCluster

    port = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(host="127.0.0.1", scheduler_kwargs=port, **options) as started:
        yield started


@pytest.fixture(scope="module")
def address():
    """Of a scheduler with two workers that know nothing of this package's settings."""
    with local_cluster(n_workers=2, threads_per_worker=1) as started:
        yield started.scheduler_address


VALID = partial(build, VARIANTS["valid"].architecture)


def note(notes, marker=None):
    """No callbacks, which every trial asks for once, and a note of it; with a marker, it kills its own
    process the first time."""
    (notes / uuid.uuid4().hex).touch()
    if marker is not None and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return ()


def noted_tasks(notes, count):
    return [
        Task("noted", VALID, TINY, seed, reuse_model=True, callbacks=partial(note, notes))
        for seed in range(count)
    ]


@pytest.mark.integration
def test_a_killed_worker_costs_its_running_trial_only(address, tmp_path):
    """To the bit the ledger of undisturbed processes; no trial but the killed one is trained twice."""
    notes = tmp_path / "notes"
    notes.mkdir()
    dies = partial(note, notes, tmp_path / "died")
    dying = Task("dying", VALID, TINY, 0, callbacks=dies)
    chosen = [*noted_tasks(notes, 4), dying]
    disturbed = run_study(chosen, partial(dask_executor, address), tmp_path / "dask")
    assert (tmp_path / "died").exists()
    assert len(list(notes.iterdir())) == 5 + 1
    run_study(chosen, partial(process_executor, 2), tmp_path / "processes")
    assert [(t.name, t.seed) for t in disturbed.trials] == [(t.name, t.seed) for t in chosen]
    ledgers = [read_ledger(tmp_path / name) for name in ("dask", "processes")]
    assert sorted(figures(ledgers[0])) == sorted(figures(ledgers[1]))
    assert len(ledgers[0].trials) == 5
    keys = [{(t.seed, json.dumps(t.identity)) for t in ledger.trials} for ledger in ledgers]
    assert keys[0] == keys[1]


def listening():
    import psutil

    sockets = psutil.Process().net_connections(kind="inet")
    return {tuple(socket.laddr) for socket in sockets if socket.status == psutil.CONN_LISTEN}


@pytest.mark.integration
def test_a_cluster_of_its_own_listens_on_loopback_only():
    before = listening()
    with dask_executor(jobs=1) as executor:
        scheduler, worker = listening() - before, executor.submit(listening).result()
        assert len(scheduler) >= 1
        assert {host for host, _ in scheduler | worker} == {"127.0.0.1"}
    assert listening() == before


def settings():
    from deepcaptcha.keras import environment

    threads = environment.load_tensorflow().config.threading
    return (
        {key: os.environ[key] for key in environment.SETTINGS} == environment.SETTINGS,
        threads.get_intra_op_parallelism_threads(),
        threads.get_inter_op_parallelism_threads(),
    )


@pytest.mark.integration
def test_a_fresh_trial_is_trained_anew(address, tmp_path):
    """Even where the very same calls are sent at the same time, or were answered before."""
    notes = tmp_path / "notes"
    notes.mkdir()
    chosen = noted_tasks(notes, 2)
    with dask_executor(address) as executor:
        same = partial(nullcontext, executor)
        first = run_study([*chosen, *chosen], same, tmp_path / "ledger")
        assert len(list(notes.iterdir())) == 4
        again = run_study(chosen, same, tmp_path / "ledger", reuse=False)
        assert len(list(notes.iterdir())) == 6
        assert executor.submit(settings).result() == (True, 1, 1)
    assert len({trial.weights_sha256 for trial in first.trials}) == 2  # equal specs, two seeds
    assert figures(first) == figures(again) * 2


@pytest.mark.integration
def test_pytest_judges_what_a_cluster_trained(address, pytester):
    """Nothing is trained anew, although a worker is killed from outside while the cluster trains."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        (victim, *_) = client.run(os.getpid).values()
    left = [victim]

    def kill(trial):
        if left:
            os.kill(left.pop(), signal.SIGKILL)

    chosen = [
        replace(tasks()[0], name="valid", seed=seed) for seed in seeds.take("pull-request", 12)
    ]
    ledger = pytester.path / "trained"
    run_study(chosen, partial(dask_executor, address), ledger, on_trial=kill)
    assert not left
    pytester.makeini(INI)
    pytester.makepyfile(test_it=PROJECT)
    result = pytester.runpytest_subprocess(
        "--convergence-reuse", "--convergence-ledger", str(ledger)
    )
    result.assert_outcomes(passed=1, failed=1)  # it is claimed both ways
    assert re.search(r"0 of \d trials were so", result.stdout.str())
    sizes = [len(path.read_text().splitlines()) - 1 for path in sorted(ledger.glob("*.jsonl"))]
    assert sizes == [12, 0]


@pytest.mark.integration
def test_workers_that_keep_dying_are_told_when_all_else_is_done(tmp_path):
    dead = Task("dead", die, TINY, 7)
    with pytest.raises(
        InputError, match=r"died 3 times .* dead tiny seed 7; is there enough memory"
    ):
        run_study([dead, *tasks(2)], partial(dask_executor, None, 1), tmp_path)
    assert {trial.name for trial in read_ledger(tmp_path).trials} == {"valid", "pool4"}


@pytest.mark.integration
def test_study_over_a_cluster_of_its_own(tmp_path):
    command = [
        *(sys.executable, "-W", "error", "-m", "deepcaptcha", "study", "--executor", "dask"),
        *("--jobs", "1", "--recipes", "sound-subset", "--variants", "valid", "--output"),
    ]
    whole = subprocess.run(
        [*command, str(tmp_path), "--seeds", "2"], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert whole.returncode == 0
    assert whole.stderr.splitlines() == [
        f"[{n + 1}/2] valid sound-subset seed {n}: converged" for n in range(2)
    ]
    assert [t.seed for t in read_ledger(tmp_path / "ledger").trials] == [0, 1]
    long = [*command, str(tmp_path / "long"), "--seeds", "400"]
    with interruptible(long, env=ENVIRONMENT) as process:
        _, err = interrupt(process, "[1/400]")
    assert process.returncode == 130
    assert re.fullmatch(
        r"(\[.*\n)*deepcaptcha: stopped with \d+ of 400 trials; the same command goes on\n", err
    )
    assert read_ledger(tmp_path / "long" / "ledger").trials


@pytest.mark.integration
def test_workers_with_threads_are_refused():
    with (
        local_cluster(n_workers=1, threads_per_worker=2) as started,
        pytest.raises(
            InputError, match="has 2 threads, which share Keras' seed; start workers with"
        ),
        dask_executor(started.scheduler_address),
    ):
        pass


@pytest.mark.integration
def test_a_cluster_without_workers_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "_FIRST_WORKER", 0.2)
    monkeypatch.setattr(cluster, "_ALONE", 0.2)
    monkeypatch.setattr(cluster, "_LOOK", 0.1)
    with local_cluster(n_workers=1, threads_per_worker=1) as started:
        with dask_executor(started.scheduler_address) as executor:
            endless = executor.submit(time.sleep, 600)
            started.scale(0)
            with pytest.raises(BrokenExecutor):
                endless.result(timeout=60)
        with (
            pytest.raises(InputError, match="has no workers; start some with dask worker tcp://"),
            dask_executor(started.scheduler_address),
        ):
            pass


@pytest.mark.integration
def test_an_address_where_nobody_answers_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and does not listen
        port = reserved.getsockname()[1]
        for where in (f"tcp://127.0.0.1:{port}", "127.0.0.1", "tls://127.0.0.1:1"):
            arguments = ["--executor", f"dask:{where}", "--output", str(tmp_path)]
            assert main(["study", *arguments]) == 2
            error = capsys.readouterr().err
            assert f"no Dask scheduler answers at '{where}'" in error
            assert len(error.splitlines()) == 1
