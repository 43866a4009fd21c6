"""Studies over real Dask clusters on loopback: killed workers, fresh trials, verdicts, refusals."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest

from deepcaptcha.cli.main import main
from deepcaptcha.errors import InputError
from deepcaptcha.networks.build import build
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials import dask as cluster
from deepcaptcha.trials import seeds
from deepcaptcha.trials.dask import dask_executor, own_random
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import LostTrialError, Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from tests.helpers import ENVIRONMENT, PROJECT, TINY, figures, interrupt, interruptible, source_of


def test_other_threads_draw_from_another_random():
    """Expected: a `random.Random` of its own, whatever else is drawn meanwhile."""
    reference = random.Random(7)
    expected = [reference.randint(1, 10**9) for _ in range(1000)]
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            random.random()

    other = threading.Thread(target=disturb)
    before = random.randint
    with own_random():
        other.start()
        random.seed(7)
        drawn = [random.randint(1, 10**9) for _ in range(1000)]
        stop.set()
        other.join()
        assert random.getstate() == reference.getstate()
    assert drawn == expected
    assert random.randint == before


def test_a_function_imported_by_name_is_seeded_too():
    from random import randint

    with own_random():
        random.seed(7)
        drawn = randint(1, 10**9), random.randint(1, 10**9)
    assert drawn == (random.Random(7).randint(1, 10**9),) * 2


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


def noted(notes, count):
    source = source_of(VALID, TINY, name="noted", callbacks=partial(note, notes), reuse_model=True)
    return [(source, seed) for seed in range(count)]


@pytest.mark.integration
def test_a_killed_worker_costs_its_running_trial_only(address, tmp_path):
    """To the bit the ledger of undisturbed processes; no trial but the killed one is trained twice."""
    notes = tmp_path / "notes"
    notes.mkdir()
    dies = partial(note, notes, tmp_path / "died")
    chosen = [*noted(notes, 4), (source_of(VALID, TINY, name="dying", callbacks=dies), 0)]
    with Runner(tmp_path / "dask", executors=partial(dask_executor, address)) as runner:
        disturbed = runner.run_all(chosen)
    assert (tmp_path / "died").exists()
    assert len(list(notes.iterdir())) == 5 + 1
    with Runner(tmp_path / "processes", jobs=2) as runner:
        runner.run_all(chosen)
    assert [(t.name, t.seed) for t in disturbed] == [(source.name, seed) for source, seed in chosen]
    ledgers = [read_ledger(tmp_path / name).trials for name in ("dask", "processes")]
    assert sorted(figures(ledgers[0])) == sorted(figures(ledgers[1]))
    assert len(ledgers[0]) == 5
    keys = [{(t.seed, json.dumps(t.identity)) for t in trials} for trials in ledgers]
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
    from deepcaptcha.keras.backend import tf

    threads = tf.config.threading
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
    chosen = noted(notes, 2)
    with dask_executor(address) as executor:
        same = partial(nullcontext, executor)
        with Runner(tmp_path / "ledger", executors=same) as runner:
            first = runner.run_all([*chosen, *chosen])
        assert len(list(notes.iterdir())) == 4
        with Runner(tmp_path / "ledger", reuse=False, executors=same) as runner:
            again = runner.run_all(chosen)
        assert len(list(notes.iterdir())) == 6
        assert executor.submit(settings).result() == (True, 1, 1)
    assert len({trial.weights_sha256 for trial in first}) == 2  # equal specs, two seeds
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

    chosen = [(TINY.source("valid"), seed) for seed in seeds.take("pull-request", 12)]
    ledger = pytester.path / "trained"
    with Runner(ledger, executors=partial(dask_executor, address), on_trial=kill) as runner:
        runner.run_all(chosen)
    assert not left
    pytester.makeini("[pytest]\nconvergence_single_thread = true\n")
    pytester.makepyfile(test_it=PROJECT)
    result = pytester.runpytest_subprocess(
        "--convergence-reuse", "--convergence-ledger", str(ledger)
    )
    result.assert_outcomes(passed=1, failed=1)  # it is claimed both ways
    assert re.search(r"0 of \d trials were so", result.stdout.str())
    sizes = [len(path.read_text().splitlines()) - 1 for path in sorted(ledger.glob("*.jsonl"))]
    assert sizes == [12, 0]


def guess(seed):
    return {"val_accuracy": 0.1}


def die(seed):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.integration
def test_workers_that_keep_dying_are_told_when_all_else_is_done(tmp_path):
    dead, *others = (
        FunctionSource(train, Target(chance=0.1), name, recipe="tiny")
        for train, name in ((die, "dead"), (guess, "one"), (guess, "other"))
    )
    with (
        pytest.raises(
            LostTrialError, match=r"^dead tiny seed 7 died 3 times .*; is there enough memory"
        ),
        Runner(tmp_path, executors=partial(dask_executor, None, 1)) as runner,
    ):
        runner.run_all([(dead, 7), *((other, 0) for other in others)])
    assert {trial.name for trial in read_ledger(tmp_path).trials} == {"one", "other"}


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
        f"deepcaptcha: {cluster.TRUST}",
        *(f"[{n + 1}/2] valid sound-subset seed {n}: converged" for n in range(2)),
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
            with pytest.raises(BrokenExecutor, match="the cluster is gone"):
                executor.submit(abs, -1)  # Dask would wait for ever
        with (
            pytest.raises(InputError, match="has no workers; start some with dask worker tcp://"),
            dask_executor(started.scheduler_address),
        ):
            pass


@pytest.mark.integration
def test_what_cannot_be_pickled_is_one_line(address):
    lock = threading.Lock()

    def train(seed):
        return {"accuracy": float(lock.locked())}

    source = FunctionSource(train, Target(0.9, 1, "accuracy"), "locked")
    with (
        pytest.raises(InputError, match=r"^locked cannot be sent to another process \(.*lock.*\)$"),
        Runner(executors=partial(dask_executor, address)) as runner,
    ):
        runner.run_all([(source, 0)])


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
