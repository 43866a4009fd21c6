"""One runner for every source: recorded, resumed, interrupted; dying and hanging processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import LostTrialError, Runner, is_sure, run_source
from deepcaptcha.trials.source import FunctionSource
from deepcaptcha.trials.trial import Target
from tests.helpers import ENVIRONMENT, figures, interrupt, interruptible, make_trial, wanted

RECORDED = Path(__file__).parents[1] / "data" / "ledger-0.2.jsonl"
EASY = Target(0.9, 3, chance=0.0, monitor="accuracy")


def learn(seed):
    """Converges in the second epoch with an odd seed, and never with an even one."""
    for epoch in range(3):
        yield {"accuracy": 0.2 + 0.5 * epoch * (seed % 2) + 0.1 * epoch}


LEARN = FunctionSource(learn, EASY)


def test_trials_come_in_the_order_they_were_asked_for_and_are_recorded(tmp_path):
    heard = []
    with Runner(tmp_path, on_trial=heard.append) as runner:
        trials = runner.run_all([(LEARN, seed) for seed in (3, 0, 1)])
        assert runner.run(LEARN, 5).seed == 5
    assert [(trial.seed, trial.outcome) for trial in trials] == [
        (3, "converged"),
        (0, "slow"),
        (1, "converged"),
    ]
    assert read_ledger(tmp_path).trials == tuple(heard)
    assert [trial.seed for trial in heard] == [3, 0, 1, 5]


def test_a_recorded_trial_is_not_run_again_and_what_is_known_comes_last(tmp_path):
    run, heard = [], []

    def counted(source, seed, known, steps):
        trial = run_source(source, seed, known, steps)
        if trial not in known:
            run.append(seed)
        return trial

    with Runner(tmp_path, run=counted) as runner:
        first = runner.run_all([(LEARN, 0), (LEARN, 1)])
    with Runner(tmp_path, run=counted, on_trial=heard.append) as runner:
        again = runner.run_all([(LEARN, 1), (LEARN, 2), (LEARN, 0)])
        assert runner.problems == ()
    assert run == [0, 1, 2]
    assert [trial.seed for trial in heard] == [2, 1, 0]
    assert (again[2], again[0]) == tuple(first)
    assert [trial.seed for trial in read_ledger(tmp_path).trials] == [0, 1, 2]
    with Runner(tmp_path, run=counted, reuse=False) as runner:
        runner.run_all([(LEARN, 0)])
    assert run == [0, 1, 2, 0]
    lines = [len(path.read_text().splitlines()) - 1 for path in sorted(tmp_path.glob("*.jsonl"))]
    assert lines == [2, 1, 1]


def test_a_changed_source_is_run_again(tmp_path):
    with Runner(tmp_path) as runner:
        runner.run(LEARN, 0)
    with Runner(tmp_path) as runner:
        runner.run_all([(LEARN, 0), (replace(LEARN, version="2"), 0)])
    assert len(read_ledger(tmp_path).trials) == 2


def test_a_prefix_is_never_recorded(tmp_path):
    with Runner(tmp_path) as runner:
        prefix = runner.run(LEARN, 0, steps=2)
        runner.start("left", LEARN, 0, steps=1)
    assert (prefix.stop_reason, len(prefix.epochs)) == ("steps", 2)
    assert read_ledger(tmp_path).trials == ()


def test_what_still_runs_when_a_runner_is_left_is_recorded(tmp_path):
    with Runner(tmp_path) as runner:
        runner.start("a", LEARN, 0)
        assert runner.room == 0
    assert [trial.seed for trial in read_ledger(tmp_path).trials] == [0]


def test_the_torn_end_of_an_earlier_ledger_is_told(tmp_path):
    with Runner(tmp_path) as runner:
        runner.run(LEARN, 0)
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-5])
    with Runner(tmp_path) as runner:
        assert runner.problems == (f"{path}: line 2 is torn and was skipped",)
        assert runner.run(LEARN, 0).seed == 0


def fail(seed):
    raise RuntimeError(f"seed {seed} is unlucky")


def test_an_error_of_a_source_comes_as_itself_and_keeps_what_was_done(tmp_path):
    with Runner(tmp_path) as runner:
        runner.start("good", LEARN, 1)
        runner.start("bad", FunctionSource(fail, EASY), 7)
        found = {}
        while len(found) < 2:
            found.update(runner.finished())
        assert found["good"].result().outcome == "converged"
        with pytest.raises(RuntimeError, match="seed 7 is unlucky"):
            found["bad"].result()
        words = "^fail own-training seed 8 failed: RuntimeError: seed 8 is unlucky$"
        with pytest.raises(LostTrialError, match=words):
            runner.run_all([(FunctionSource(fail, EASY), 8), (LEARN, 3)])
    assert [trial.seed for trial in read_ledger(tmp_path).trials] == [1, 3]


@pytest.mark.parametrize("jobs", [0, -2, 1.5])
def test_a_runner_without_processes_is_refused(jobs):
    with pytest.raises(InputError, match="jobs is"):
        Runner(jobs=jobs)


def test_threads_are_refused(tmp_path):
    with (
        pytest.raises(InputError, match=r"^ThreadPoolExecutor runs trials in threads of one pro"),
        Runner(tmp_path, executors=ThreadPoolExecutor) as runner,
    ):
        runner.run_all([(LEARN, 0)])


def test_two_trials_in_one_process_at_once_are_refused():
    outer = FunctionSource(lambda seed: run_source(LEARN, seed).epochs[0].metrics, EASY)
    with pytest.raises(InputError, match="two trials ran in one process at the same time"):
        run_source(outer, 0)
    assert run_source(LEARN, 0).outcome == "slow"  # the first one is over


def test_a_ledger_of_format_1_is_read():
    records = read_ledger(RECORDED)
    assert records.problems == (
        f"{RECORDED}: 2 of its trials are unsigned, recorded by an earlier version: a change in them "
        "cannot be noticed",
    )
    found = [(t.name, t.recipe, t.seed, t.outcome, t.epochs_to_target) for t in records.trials]
    assert sorted(found) == [("valid", "sound-subset", seed, "converged", 1) for seed in (0, 1)]
    assert {trial.weights_sha256[:8] for trial in records.trials} == {"a285a80e", "fb20303f"}
    assert records.trials[0].target == Target(0.9, 3)
    assert (records.trials[0].backend, records.trials[0].digests) == ("", {})


@pytest.mark.integration
def test_trials_recorded_by_version_0_2_are_not_trained_again(tmp_path, monkeypatch):
    """Their environment is exchanged for this one; everything else is as it was written then."""
    from deepcaptcha.keras import environment
    from deepcaptcha.keras.source import KerasSource
    from deepcaptcha.networks.recipes import RECIPES

    head, *lines = RECORDED.read_text().splitlines()
    trials = [json.loads(line) for line in lines]
    here = environment.describe()
    if trials[0]["identity"]["environment"]["keras"] != here["keras"]:
        pytest.skip("another Keras may describe the same model in other words")
    assert set(trials[0]["identity"]["environment"]) == set(here)
    for trial in trials:
        trial["identity"]["environment"] = here
    (tmp_path / "old.jsonl").write_text("\n".join([head, *map(json.dumps, trials), ""]))
    source = RECIPES["sound-subset"].source("valid")
    recorded = {trial["seed"]: trial for trial in trials}
    assert {seed: source.identity(seed) for seed in (0, 1)} == {
        seed: recorded[seed]["identity"] for seed in (0, 1)
    }
    monkeypatch.setattr(KerasSource, "run", lambda *_, **__: pytest.fail("trained again"))
    with Runner(tmp_path) as runner:
        found = runner.run_all([(source, 0), (source, 1)])
    assert [t.weights_sha256 for t in found] == [recorded[s]["weights_sha256"] for s in (0, 1)]


@pytest.mark.integration
def test_a_stopped_study_goes_on_to_the_same_record(tmp_path):
    """To the bit, in two processes, in one, and in this one."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    trained = []
    with Runner(whole, jobs=2) as runner:
        undisturbed = runner.run_all(wanted())
    with Runner(part, jobs=1, on_trial=trained.append) as runner:
        runner.run_all(wanted()[:3])
    with Runner(part, on_trial=trained.append) as runner:
        resumed = runner.run_all(wanted())
    with Runner(part, reuse=False) as runner:
        fresh = runner.run_all(wanted()[:1])
    assert figures(resumed) == figures(undisturbed)
    assert [(t.name, t.seed) for t in resumed] == [(s.name, seed) for s, seed in wanted()]
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


STUDY = """
import sys
from pathlib import Path
from deepcaptcha.trials.runner import Runner
from tests.helpers import wanted

if __name__ == "__main__":
    said = lambda trial: print("recorded", trial.name, trial.seed, flush=True)
    with Runner(Path(sys.argv[1]), jobs=2, on_trial=said) as runner:
        runner.run_all(wanted(int(sys.argv[2])))
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
    trials = []
    for folder in ("killed", "undisturbed"):
        with Runner(tmp_path / folder, jobs=2) as runner:
            trials.append(runner.run_all(wanted(count)))
    assert figures(trials[0]) == figures(trials[1])
    print(f"{kills} kills; {len(announced)} of {count} trials were recorded before the last run")


@pytest.mark.integration
def test_what_runs_can_be_abandoned_and_others_started(tmp_path):
    def train(seed):
        time.sleep(900 if seed else 0)
        return {"accuracy": 1.0}

    source = FunctionSource(train, Target(0.9, 1, "accuracy"))
    with Runner(tmp_path, jobs=2) as runner:
        runner.start("hanging", source, 1)
        began = time.monotonic()
        runner.abandon()
        assert runner.run(source, 0).outcome == "converged"
        assert time.monotonic() - began < 600  # whatever else runs: it does not wait for the other
    assert [trial.seed for trial in read_ledger(tmp_path).trials] == [0]


@pytest.mark.integration
@pytest.mark.parametrize("way", ["trial", "call"])
def test_an_interruption_that_another_thread_takes_is_heard_before_the_training_ends(tmp_path, way):
    """It wakes no lock that the main thread waits for, and may come so to any process of threads."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def train(seed):
        begun.touch()
        time.sleep(30)
        ended.touch()
        return {"accuracy": 1.0}

    def interrupt_here():
        while not begun.exists():
            time.sleep(0.1)
        time.sleep(1)  # by now the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    source = FunctionSource(train, Target(0.9, 1, "accuracy"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt_here).start()
    try:
        with pytest.raises(KeyboardInterrupt), Runner(jobs=1) as runner:
            runner.run(source, 0) if way == "trial" else runner.call("it", train, 0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not ended.exists()


def test_an_interruption_while_a_trial_is_handed_over_leaves_none_behind():
    """The worker has it already, and nothing else knows: left in peace it would be waited for."""
    left = []

    class Interrupted(Executor):
        def submit(self, call, /, *args, **kwargs):
            raise KeyboardInterrupt

    @contextmanager
    def executors():
        try:
            yield Interrupted()
        except BaseException:
            left.append("at once")
            raise
        left.append("in peace")

    with Runner(executors=executors) as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.start("interrupted", LEARN, 0)
        runner.abandon()
    assert left == ["at once"]


@pytest.mark.integration
def test_where_every_trial_dies_few_are_tried(tmp_path):
    tried = tmp_path / "tried"

    def train(seed):
        with tried.open("a") as file:
            file.write("x")
        os._exit(1)

    source = FunctionSource(train, Target(0.9, 1, "accuracy"))
    with pytest.raises(LostTrialError, match="died 3 times"), Runner(jobs=1) as runner:
        runner.run_all([(source, seed) for seed in range(10)])
    assert tried.read_text() == 3 * 3 * "x"  # of three trials, each three times


def test_a_recorded_trial_is_sure_where_its_identity_holds_all_code():
    source, trial = SimpleNamespace(code="k1"), make_trial()
    assert not is_sure(source, trial)  # of code that nobody read
    assert is_sure(source, replace(trial, digests={"code": "k1"}))
    assert not is_sure(source, replace(trial, digests={"code": "k0"}))
    assert not is_sure(SimpleNamespace(), replace(trial, digests={"code": "k1"}))
    assert is_sure(source, replace(trial, identity={**trial.identity, "version": "2"}))


def test_what_was_taken_from_the_ledger_is_told_from_what_came_out_the_same(tmp_path):
    source = FunctionSource(lambda seed: {"value": 1.0}, Target(0.5, 1, "value"), version="1")
    with Runner(tmp_path) as runner:
        assert not runner.reused(runner.run(source, 0))
    with Runner(tmp_path) as runner:
        assert runner.reused(runner.run(source, 0))
        runner.start("anew", source, 0, reuse="never")
        ((_, anew),) = runner.finished()
        assert not runner.reused(anew.result())
        runner.start("sure", source, 0, reuse="sure")
        ((_, sure),) = runner.finished()
        assert runner.reused(sure.result())


def test_a_trial_that_comes_out_otherwise_is_recorded_beside_the_one_that_was_known(tmp_path):
    for loss in (1.0, 2.0):  # of code that its identity does not tell apart
        source = FunctionSource(
            lambda seed, loss=loss: {"value": 1.0, "loss": loss},
            Target(0.5, 1, "value"),
            name="same",
            version="1",
        )
        with Runner(tmp_path) as runner:
            runner.run(source, 0, reuse="never")
    (trial,) = read_ledger(tmp_path).trials
    assert trial.epochs[0].metrics["loss"] == 2.0
