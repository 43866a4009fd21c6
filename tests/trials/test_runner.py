"""Studies over real processes: recorded, resumed, interrupted."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deepcaptcha import RECIPES, VARIANTS, InputError, build
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import Task, process_executor, run_study, run_task
from tests.processes import interrupt, interruptible

TINY = replace(
    RECIPES["sound-subset"],
    name="tiny",
    n_train=64,
    n_validation=50,
    epochs=1,
    batch=16,
    target=0.99,
)

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def tasks(count=4):
    return [
        Task(name, partial(build, VARIANTS[name].architecture), TINY, seed, reuse_model=True)
        for seed in range(count // 2)
        for name in ("valid", "pool4")
    ]


def figures(records):
    return [(t.name, t.seed, t.outcome, t.weights_sha256, t.epochs) for t in records.trials]


@pytest.mark.integration
def test_a_stopped_study_goes_on_to_the_same_record(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    trained = []
    with process_executor(2) as executor:
        two = partial(nullcontext, executor)
        undisturbed = run_study(tasks(), two, whole, wave=3)
        run_study(tasks()[:3], two, part, on_trial=trained.append)
        resumed = run_study(tasks(), two, part, on_trial=trained.append)
        fresh = run_study(tasks()[:1], two, part, reuse=False)
    assert figures(resumed) == figures(undisturbed)
    assert [(t.name, t.seed) for t in resumed.trials] == [(t.name, t.seed) for t in tasks()]
    assert len(trained) == 7
    lines = sum(len(path.read_text().splitlines()) - 1 for path in part.glob("*.jsonl"))
    assert lines == 4 + 1  # the three recalled trials were not recorded again, the fresh one was
    assert figures(fresh) == figures(undisturbed)[:1]
    assert len(read_ledger(part).trials) == 4


@pytest.mark.integration
def test_ctrl_c_ends_at_once_and_keeps_what_is_done(tmp_path):
    command = [
        *(sys.executable, "-m", "deepcaptcha", "study", "--variants", "valid"),
        *("--recipes", "sound-subset", "--seeds", "400", "--jobs", "1", "--output", str(tmp_path)),
    ]
    with interruptible(command) as process:
        out, err = interrupt(process, "[1/400]")
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped with" in err
    assert "of 400 trials; the same command goes on" in err
    assert "valid" in out
    assert read_ledger(tmp_path / "ledger").trials


@pytest.mark.parametrize("jobs", [0, -2, 1.5])
def test_a_study_without_processes_is_refused(jobs):
    with pytest.raises(InputError, match="jobs is"), process_executor(jobs):
        pass


def test_threads_are_refused(tmp_path):
    with pytest.raises(
        InputError, match="ThreadPoolExecutor runs trials in threads of one process"
    ):
        run_study(tasks(), ThreadPoolExecutor, tmp_path)


def test_two_trials_in_one_process_at_once_are_refused():
    inner = tasks()[0]
    outer = Task("outer", lambda: run_task(inner), TINY, 0)
    with pytest.raises(InputError, match="two trials ran in one process at the same time"):
        run_task(outer)
    with pytest.raises(InputError, match="the factory returned int"):  # the first one is over
        run_task(replace(outer, build=int))


def build_or_die(marker):
    """Kills its own process the first time, as the system does when memory runs out."""
    if not marker.exists():
        marker.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return build(VARIANTS["valid"].architecture)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.integration
def test_a_process_that_dies_costs_its_running_trial_only(tmp_path):
    dying = Task("dying", partial(build_or_die, tmp_path / "died"), TINY, 0)
    records = run_study([*tasks(2), dying], partial(process_executor, 1), tmp_path / "ledger")
    assert [t.name for t in records.trials] == ["valid", "pool4", "dying"]
    assert len(read_ledger(tmp_path / "ledger").trials) == 3


@pytest.mark.integration
def test_processes_that_keep_dying_are_told(tmp_path):
    with pytest.raises(
        InputError, match=r"died 3 times .* dead tiny seed 7; is there enough memory"
    ):
        run_study([Task("dead", die, TINY, 7)], partial(process_executor, 1), tmp_path)


STUDY = """
import sys
from functools import partial
from pathlib import Path
from deepcaptcha.trials.runner import process_executor, run_study
from tests.trials.test_runner import tasks

if __name__ == "__main__":
    run_study(
        tasks(int(sys.argv[2])), partial(process_executor, 2), Path(sys.argv[1]),
        on_trial=lambda trial: print("recorded", trial.name, trial.seed, flush=True),
    )
"""


@pytest.mark.slow
def test_killed_at_fifty_moments_a_study_loses_nothing(tmp_path):
    """kill -9 of the recording process and its workers, each time somewhere else; what was said to be
    recorded is there, once, and the last run completes the very record of an undisturbed one."""
    script = tmp_path / "study.py"
    script.write_text(STUDY)
    count, kills, announced = 300, 0, set()
    random = np.random.RandomState(0)
    command = [sys.executable, str(script), str(tmp_path / "killed"), str(count)]
    while kills < 50:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=ENVIRONMENT
        )
        time.sleep(random.uniform(2, 9))
        assert process.poll() is None, "the study ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        kills += 1
        announced.update(process.communicate()[0].splitlines()[:-1])
        records = read_ledger(tmp_path / "killed")
        found = [f"recorded {trial.name} {trial.seed}" for trial in records.trials]
        assert announced <= set(found)
        assert len(found) == len(set(found))
        assert all("torn" in problem for problem in records.problems)
    two = partial(process_executor, 2)
    resumed = run_study(tasks(count), two, tmp_path / "killed")
    undisturbed = run_study(tasks(count), two, tmp_path / "undisturbed")
    assert figures(resumed) == figures(undisturbed)
    print(f"{kills} kills; {len(announced)} of {count} trials were recorded before the last run")
