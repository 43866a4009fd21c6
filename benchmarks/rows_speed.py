"""How fast trainings go: samples a second, share of the machine's peak, share spent in kernels."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial

from deepcaptcha.networks.recipes import RECIPES
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.trials.worker import ENVIRONMENT, cores

from .arithmetic import forward_operations, training_operations
from .processes import PEERS, Measured, Team, require_module
from .row import Benchmark, Row, less_is_better, more_is_better
from .turns import Facts

_CORES = cores()
_ONE_THREAD = {**ENVIRONMENT}

TEAMS: Mapping[str, Team] = {
    "trial": Team("ours", "trial", _CORES, {"variant": "valid"}, _ONE_THREAD),
    "trial-same": Team("ours", "trial", _CORES, {"variant": "same"}, _ONE_THREAD),
    "stuck": Team("ours", "stuck", _CORES, {}, _ONE_THREAD),
    "kernels": Team("ours", "kernels", _CORES, {"variant": "valid"}, _ONE_THREAD),
    "fit": Team("peers", "fit", _CORES),
    "fit-onednn": Team("peers", "fit", _CORES, {}, _ONE_THREAD),
    "torch": Team("peers", "torch", _CORES, {}, {"OMP_NUM_THREADS": "1"}, PEERS),
    "matmul": Team("peers", "matmul", _CORES, {}, _ONE_THREAD),
}
"""One process a core each; a team is started where a chosen row reads its turns."""

_EPOCH = "one epoch of `valid` on 6,400 digits with its validation on 2,000"
_OURS = (
    "ours: a whole trial of one epoch, from asking for it to its record, its model traced before"
)


def rate(measured: Measured, what: str = "samples", seconds: str = "seconds") -> float:
    """The median over the turns of what all processes together did a second."""
    return statistics.median(_each(turn, what, seconds) for turn in measured.turns)


def _each(turn: Sequence[Facts], what: str, seconds: str) -> float:
    return sum(float(facts[what]) / float(facts[seconds]) for facts in turn)


def median(measured: Measured, what: str) -> float:
    """The median of a figure over all turns of all processes."""
    return statistics.median(float(facts[what]) for turn in measured.turns for facts in turn)


def _throughput(
    measured: Mapping[str, Measured], *, name: str, team: str, peer: str, module: str | None = None
) -> Row:
    if module is not None:
        require_module(module)
    how = f"{_EPOCH}, {_CORES} processes; {_OURS}; peer: {peer}"
    return more_is_better(name, rate(measured["trial"]), rate(measured[team]), "samples/s", how)


def _peak_share(measured: Mapping[str, Measured], *, name: str, variant: str, team: str) -> Row:
    architecture, epoch = VARIANTS[variant].architecture, RECIPES["sound-subset"]
    operations = (
        epoch.n_train * training_operations(architecture)
        + epoch.n_validation * forward_operations(architecture)
    ) / epoch.n_train
    ours = rate(measured[team]) * operations / 1e9
    how = (
        f"float32 operations by formula, {operations / 1e6:.2f} million an example of `{variant}` "
        f"(forward, backward, its share of a validation; 2 a multiply-add) x samples/s of whole "
        f"trials; peer: tf.linalg.matmul of 2,048 x 2,048, one thread in each of {_CORES} processes; "
        "the ratio is the share of that peak"
    )
    peak = rate(measured["matmul"], "operations") / 1e9
    return more_is_better(name, ours, peak, "Gflop/s", how)


def _kernel_share(measured: Mapping[str, Measured]) -> Row:
    turns = [facts for turn in measured["kernels"].turns for facts in turn]
    bare = statistics.median(float(facts["bare_seconds"]) for facts in turns)
    whole = statistics.median(float(facts["seconds"]) for facts in turns)
    how = (
        f"ours: the 200 training steps of {_EPOCH}, of the same network in one compiled loop over "
        "tensors in memory, without metrics, validation, callbacks, data set or Python; peer: the "
        "whole trial; the ratio is the share of a trial that is training itself"
    )
    return more_is_better("kernel-share", bare, whole, "seconds", how)


def _memory(measured: Mapping[str, Measured]) -> Row:
    ours = statistics.median(float(facts["megabytes"]) for facts in measured["trial"].turns[-1])
    peer = statistics.median(float(facts["megabytes"]) for facts in measured["fit"].ready)
    trials = 1 + len(measured["trial"].turns)
    how = (
        f"most memory ever resident; ours: a process after {trials} trials of `valid`; peer: a "
        "process after one model.fit at default settings"
    )
    return Row("memory-per-worker", ours, peer, peer / ours, "MB", how)


def _memory_growth(measured: Mapping[str, Measured]) -> Row:
    turns = [
        statistics.median(float(f["megabytes"]) for f in turn) for turn in measured["trial"].turns
    ]
    grown = max((turns[-1] - turns[0]) / (len(turns) - 1), 0.01)
    how = (
        f"growth of the most memory ever resident from the first to the last of {len(turns)} trials of "
        "`valid` in one process, which keeps its traced model; peer: not a measurement but the aim"
    )
    return less_is_better("memory-per-trial", grown, 1.0, "MB", how)


BENCHMARKS = (
    Benchmark(
        "throughput-all-cores",
        partial(
            _throughput,
            name="throughput-all-cores",
            team="fit",
            peer="the question's model.fit(x, y), as many processes, TensorFlow's default settings",
        ),
        ("trial", "fit"),
    ),
    Benchmark(
        "throughput-all-cores-onednn",
        partial(
            _throughput,
            name="throughput-all-cores-onednn",
            team="fit-onednn",
            peer="the same model.fit with oneDNN on and one thread a process",
        ),
        ("trial", "fit-onednn"),
    ),
    Benchmark(
        "throughput-pytorch",
        partial(
            _throughput,
            name="throughput-pytorch",
            team="torch",
            peer="a PyTorch loop of the same network, channels-last, fused Adam, data in memory, one "
            "thread a process",
            module="torch",
        ),
        ("trial", "torch"),
    ),
    Benchmark(
        "throughput-peak-share",
        partial(_peak_share, name="throughput-peak-share", variant="valid", team="trial"),
        ("trial", "matmul"),
    ),
    Benchmark(
        "throughput-peak-share-same",
        partial(_peak_share, name="throughput-peak-share-same", variant="same", team="trial-same"),
        ("trial-same", "matmul"),
    ),
    Benchmark("kernel-share", _kernel_share, ("kernels",)),
    Benchmark("memory-per-worker", _memory, ("trial", "fit")),
    Benchmark("memory-per-trial", _memory_growth, ("trial",)),
)
