"""Workers: their own environment and standard streams; one that dies or hangs costs its own call."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials import worker
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import LostTrialError, Runner
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from deepcaptcha.trials.worker import WorkerDiedError, workers
from tests.helpers import ENVIRONMENT

TARGET = Target(0.9, 3, "accuracy", chance=0.0)


@pytest.fixture(scope="module")
def executor():
    with workers(2) as executor:
        yield executor


def environment():
    return os.getpid(), {key: os.environ.get(key) for key in worker.ENVIRONMENT}, worker.is_worker()


@pytest.mark.integration
def test_a_worker_sets_its_own_environment_and_leaves_the_callers_alone(monkeypatch):
    for key in worker.ENVIRONMENT:
        monkeypatch.setenv(key, "mine")
    before = dict(os.environ)
    with workers(1) as executor:
        pid, seen, inside = executor.submit(environment).result()
        assert executor.submit(os.getpid).result() == pid  # it is kept
    assert pid != os.getpid()
    assert seen == worker.ENVIRONMENT
    assert inside
    assert not worker.is_worker()
    assert dict(os.environ) == before


@pytest.mark.integration
def test_a_worker_of_another_arithmetic_says_so_in_every_trial():
    from deepcaptcha.keras import environment as around

    own = {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "2", "ONEDNN_MAX_CPU_ISA": "AVX"}
    with workers(1, environment=own) as executor:
        _, seen, _ = executor.submit(environment).result()
        described = executor.submit(around.describe).result()
    assert seen == {**worker.ENVIRONMENT, **own}
    assert (described["onednn"], described["threads"]) == (False, 2)
    assert described["onednn instructions"] == "AVX"
    here = around.describe()
    assert (here["onednn"], here["threads"], "onednn instructions" in here) == (True, 1, False)


@pytest.mark.integration
def test_prints_and_reads_of_a_call_disturb_nothing(executor):
    def loud():
        print("to standard output", flush=True)
        os.write(1, b"\0" * 100)
        subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
        return sys.stdin.read()

    assert executor.submit(loud).result() == ""
    assert executor.submit(len, "and on").result() == 6


class OwnError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


@pytest.mark.integration
def test_results_and_errors_arrive_as_themselves(executor):
    captured = {"a": lambda x: x + 1}

    def raising(error):
        raise error

    assert executor.submit(lambda x: captured["a"](x), 2).result() == 3
    with pytest.raises(LookupError, match="no such layer") as raised:
        executor.submit(raising, LookupError("no such layer")).result()
    (note,) = raised.value.__notes__  # where, in the code that was sent
    assert "in raising" in note
    assert "worker.py" not in note.replace("test_worker.py", "")
    with pytest.raises(InputError, match=r"^OwnError: one and two$"):  # it cannot be made again
        executor.submit(lambda: raising(OwnError("one", "two"))).result()
    with pytest.raises(InputError, match="its result cannot be sent back"):
        executor.submit(lambda: sys._getframe()).result()
    with pytest.raises(InputError, match="cannot be sent to another process"):
        executor.submit(len, sys._getframe())


@pytest.mark.integration
def test_an_error_of_a_class_that_only_the_worker_knows_arrives_in_words(executor):
    def raising():
        import types

        module = types.ModuleType("only_there")
        sys.modules["only_there"] = module
        exec("class ThereError(Exception): pass", module.__dict__)
        raise module.ThereError("no such layer")

    with pytest.raises(InputError, match=r"^ThereError: no such layer$"):
        executor.submit(raising).result()


@pytest.mark.integration
def test_where_no_size_is_known_calls_are_counted(monkeypatch):
    monkeypatch.setattr(worker, "CALLS", 2)
    with workers(1) as executor:

        def pid_of_unknown_size():
            from deepcaptcha.trials import worker

            worker._size = lambda: 0
            return os.getpid()

        first, second, third = (executor.submit(pid_of_unknown_size).result() for _ in range(3))
    assert first == second != third


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.integration
def test_a_worker_that_dies_costs_its_own_call(executor):
    others = [executor.submit(abs, -n) for n in range(3)]
    with pytest.raises(WorkerDiedError, match="its process ended with signal 9"):
        executor.submit(die).result()
    with pytest.raises(WorkerDiedError, match="its process ended with exit code 3"):
        executor.submit(os._exit, 3).result()
    others += [executor.submit(abs, -n) for n in range(3)]
    assert [other.result() for other in others] == [0, 1, 2] * 2


@pytest.mark.integration
def test_a_worker_that_grows_is_replaced(monkeypatch):
    monkeypatch.setattr(worker, "GROWTH", 100)
    with workers(1) as executor:
        first = executor.submit(os.getpid).result()

        def grow(mib):
            import deepcaptcha

            deepcaptcha.kept = b"x" * (mib * 2**20)
            return os.getpid()

        pids = [executor.submit(grow, mib).result() for mib in (20, 300, 20)]
    assert pids[:2] == [first, first]
    assert pids[2] != first


@pytest.mark.integration
def test_an_error_ends_what_runs_at_once():
    began = time.monotonic()
    futures = []

    def stopped():
        with workers(1) as executor:
            futures.extend(executor.submit(time.sleep, 900) for _ in "ab")
            while not futures[0].running():
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert time.monotonic() - began < 600
    assert isinstance(futures[0].exception(), WorkerDiedError)
    assert futures[1].cancelled()


def note(folder, seed):
    """A trial that is noted."""
    (folder / f"{seed} {time.time_ns()}").touch()
    return {"accuracy": 0.5}


def noted(folder, seed):
    return len(list(folder.glob(f"{seed} *")))


@pytest.mark.integration
def test_a_trial_whose_process_dies_is_tried_again_and_then_told(tmp_path):
    """Once costs nothing but time; always is told, with name and seed, when all else is done. So is a
    trial that hangs."""
    notes, ledger = tmp_path / "notes", tmp_path / "ledger"
    notes.mkdir()

    def train(seed):
        metrics = note(notes, seed)
        if seed == 2 or (seed == 1 and noted(notes, 1) == 1):
            die()
        return metrics

    source = FunctionSource(train, TARGET, "dying")
    with (
        pytest.raises(
            LostTrialError,
            match=r"^dying own-training seed 2 died 3 times with its process, at last alone "
            r"\(its process ended with signal 9\); is there enough memory\?",
        ),
        Runner(ledger, jobs=2) as runner,
    ):
        runner.run_all([(source, seed) for seed in (2, 1, 0, 3)])
    assert [noted(notes, seed) for seed in range(4)] == [1, 2, 3, 1]
    assert sorted(trial.seed for trial in read_ledger(ledger).trials) == [0, 1, 3]


@pytest.mark.integration
def test_a_trial_that_hangs_ends_at_its_time_limit_while_others_go_on(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()

    def train(seed):
        metrics = note(notes, seed)
        if seed == 7:
            time.sleep(600)
        return metrics

    source = FunctionSource(train, TARGET, "slow one")
    with (
        pytest.raises(
            LostTrialError,
            match=r"^slow one own-training seed 7 took longer than its time limit of 30 s$",
        ),
        Runner(tmp_path / "ledger", jobs=2, time_limit=30) as runner,
    ):
        runner.run_all([(source, seed) for seed in (7, 0, 1)])
    assert [noted(notes, seed) for seed in (7, 0, 1)] == [1, 1, 1]
    assert sorted(t.seed for t in read_ledger(tmp_path / "ledger").trials) == [0, 1]


@pytest.mark.integration
def test_a_call_after_one_that_ran_out_of_memory_has_a_worker_of_its_own():
    def errors(error):
        raise error

    with workers(1) as executor:
        first = executor.submit(os.getpid).result()
        with pytest.raises(ValueError, match="no luck"):
            executor.submit(errors, ValueError("no luck")).result()
        assert executor.submit(os.getpid).result() == first
        with pytest.raises(MemoryError):
            executor.submit(errors, MemoryError()).result()
        assert executor.submit(os.getpid).result() != first


def faulty(home, seed):
    if seed == 1:
        raise ValueError("it has\nno luck")
    if seed == 2:
        sys.exit(0)
    if seed == 4:
        os._exit(0)
    if seed == 5:
        bytearray(2**62)
    if seed == 7:
        sys.stdout.write("x" * 2**22)  # to standard error, as all that a worker prints
        os.write(1, b"x" * 2**22)
    if seed == 8:
        os.fork()
    if seed == 10:
        os.chdir("/")
    assert os.getcwd() == ("/" if seed == 10 else home)
    return {"accuracy": 1.0}


@pytest.mark.integration
def test_a_fault_costs_its_own_trial_and_is_told_with_its_seed(tmp_path, capfd):
    source = FunctionSource(partial(faulty, os.getcwd()), TARGET, "faulty")
    with pytest.raises(LostTrialError, match="faulty own-training seed") as error:
        run_all_of(source, tmp_path, (0, 4, *range(1, 4), *range(5, 12)))
    assert len(capfd.readouterr().err) == 2**23
    assert error.value.seed in FAULTS
    assert sorted(t.seed for t in read_ledger(tmp_path).trials) == [0, 3, 6, 7, 8, 9, 10, 11]


FAULTS = {
    1: "failed: ValueError: it has no luck",
    2: "failed: RuntimeError: what trains called sys.exit(0)",
    4: "died 3 times with its process, at last alone (its process ended with exit code 0); is there "
    "enough memory? Finished trials are kept, and the same call goes on",
    5: "failed: MemoryError",
}


def run_all_of(source, folder, seeds):
    with Runner(folder, jobs=2) as runner:
        try:
            runner.run_all([(source, seed) for seed in seeds])
        finally:
            assert {each.seed: each.reason for each in runner.lost} == FAULTS


@pytest.mark.integration
def test_whose_process_died_is_tried_again_alone(tmp_path):
    """What dies beside others may be innocent, as where memory runs out: it is not named then."""

    def train(seed):
        (tmp_path / f"{seed} begins {time.time_ns()}").touch()
        time.sleep(0.5)
        if seed == 1:
            die()
        (tmp_path / f"{seed} ends {time.time_ns()}").touch()
        return {"accuracy": 1.0}

    source = FunctionSource(train, TARGET, "crowded")
    with (
        pytest.raises(LostTrialError, match=r"^crowded own-training seed 1 died 3 times"),
        Runner(jobs=2) as runner,
    ):
        runner.run_all([(source, seed) for seed in (1, 0, 2, 3)])
    events = [path.name.split()[:2] for path in sorted(tmp_path.iterdir(), key=moment)]
    tries = [place for place, event in enumerate(events) if event == ["1", "begins"]]
    assert len(tries) == 3
    for place in tries[1:]:  # all that had begun before had ended
        before = [seed for seed, _ in events[:place] if seed != "1"]
        assert all(before.count(seed) == 2 for seed in before)
    assert tries[2] == tries[1] + 1


def moment(path):
    return int(path.name.split()[2])


ORPHANS = """
import os, sys, time
from pathlib import Path
from deepcaptcha.trials.worker import workers

def say(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

with workers(2) as executor:
    for _ in range(2):
        executor.submit(say, sys.argv[1])
    time.sleep(600)
"""


@pytest.mark.integration
def test_workers_end_with_their_parent_even_in_the_midst_of_a_call(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)], env=ENVIRONMENT)
    pids = []
    while len(pids) < 2:
        time.sleep(0.05)
        pids = [int(path.name) for path in tmp_path.iterdir()]
        assert parent.poll() is None
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 300
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    """Whether the process runs; one that ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("jobs", [0, -2, 1.5])
def test_workers_are_counted_in_whole_numbers(jobs):
    with pytest.raises(InputError, match=f"jobs is {jobs}; a whole number >= 1"), workers(jobs):
        pass
