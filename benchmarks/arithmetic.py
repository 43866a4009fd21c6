"""What benchmarks compute and do not time: operations of a network, trainings a verdict needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from deepcaptcha.networks.architecture import Architecture
from deepcaptcha.verdicts.baseline import Baseline
from deepcaptcha.verdicts.plan import Plan, operating_characteristic


def multiply_adds(architecture: Architecture) -> tuple[int, ...]:
    """Multiply-adds of one example's forward pass, one number a layer with weights.

    Every value of a convolution's output is a sum over kernel height x kernel width x input channels,
    and every unit of a dense layer one over its inputs: output values x products each. Biases, ReLU,
    pooling and softmax are not counted. For `valid` (28 x 28 x 1 in):

        conv1   26*26*32 values x 3*3*1   =   194,688
        conv2   11*11*48 values x 3*3*32  = 1,672,704
        conv3     3*3*64 values x 3*3*48  =   248,832
        dense1       512 values x 64      =    32,768
        head          10 values x 512     =     5,120     in all 2,154,112
    """
    counts, shape = [], architecture.input_shape
    for row in architecture.rows:
        if row.parameters:
            outputs = row.output_shape[-1]
            products = (row.parameters - outputs) // outputs  # the weights behind one output value
            counts.append(prod(row.output_shape) * products)
        shape = row.output_shape
    assert shape == (architecture.n_prediction, architecture.n_class)
    return tuple(counts)


def forward_operations(architecture: Architecture) -> int:
    """Floating-point operations of one example's forward pass, two a multiply-add."""
    return 2 * sum(multiply_adds(architecture))


def training_operations(architecture: Architecture) -> int:
    """Floating-point operations of one example's forward and backward pass.

    A layer's backward pass has two products of the forward's size, one for the gradient of its
    weights and one for that of its input; the first layer needs none for its input, the image.
    """
    first, *others = multiply_adds(architecture)
    return 2 * (2 * first + 3 * sum(others))


@dataclass(frozen=True)
class Work:
    """What a number of verdicts takes: trials and training examples in all."""

    verdicts: int
    trials: float
    samples: float

    @property
    def trials_per_verdict(self) -> float:
        return self.trials / self.verdicts

    @property
    def samples_per_trial(self) -> float:
        return self.samples / self.trials


def fixed_work(verdicts: int, trials: float, samples_per_trial: float) -> Work:
    """`trials` trials a verdict, each trained to its last epoch."""
    return Work(verdicts, verdicts * trials, verdicts * trials * samples_per_trial)


def expected_trials(plan: Plan, baseline: Baseline) -> float:
    """Trials the plan reads on average, exactly, where they converge as often as the baseline's."""
    rate = baseline.converged / len(baseline.outcomes)
    return operating_characteristic(plan, rate).expected_trials


def sequential_work(
    plan: Plan, baselines: Sequence[Baseline], epoch: int, epochs: int, stuck: float
) -> Work:
    """What `plan` is expected to read, one verdict a baseline, where trials behave as recorded.

    An epoch has `epoch` examples; a converged trial stops at the end of the epoch that reached the
    target, a stuck one after `stuck` examples (on proof, on average), any other after all `epochs`.
    Examples are expected trials x mean examples a trial: by Wald's identity that is exact for trials
    drawn alike, however the plan stops.
    """
    trials = samples = 0.0
    for baseline in baselines:
        spent = [
            reached * epoch if reached else stuck if outcome == "stuck" else epochs * epoch
            for outcome, reached in zip(baseline.outcomes, baseline.epochs_to_target, strict=True)
        ]
        expected = expected_trials(plan, baseline)
        trials += expected
        samples += expected * sum(spent) / len(spent)
    return Work(len(baselines), trials, samples)


@dataclass(frozen=True)
class Pace:
    """How fast trials go on all `processes` together.

    `rate` is in training examples a second, `overhead` what a trial and `setup` what a verdict costs
    a process besides, in seconds.
    """

    rate: float
    processes: int
    overhead: float = 0.0
    setup: float = 0.0

    def seconds(self, work: Work) -> float:
        """Wall time of the work, spread evenly."""
        besides = work.trials * self.overhead + work.verdicts * self.setup
        return work.samples / self.rate + besides / self.processes

    def effective_rate(self, work: Work) -> float:
        """Training examples a second with everything a trial and a verdict cost besides."""
        return work.samples / self.seconds(work)


@dataclass(frozen=True)
class Product:
    """Why one way of reaching verdicts takes longer than another: three factors and their product."""

    trials: float
    samples: float
    speed: float

    @property
    def ratio(self) -> float:
        return self.trials * self.samples * self.speed


def compare_work(ours: Work, our_pace: Pace, peer: Work, peer_pace: Pace) -> Product:
    """Peer's time over ours, as trials a verdict x examples a trial x effective speed."""
    return Product(
        peer.trials_per_verdict / ours.trials_per_verdict,
        peer.samples_per_trial / ours.samples_per_trial,
        our_pace.effective_rate(ours) / peer_pace.effective_rate(peer),
    )


def stopping_plan(
    rates: tuple[float, float, float, float], cutoffs: Sequence[tuple[int, int]]
) -> Plan | None:
    """Another tool's sequential stop as a plan that keeps (p_good, p_bad, alpha, beta), or None.

    `cutoffs[n]` are the fewest successes that pass and the most that fail after n trials. The plan has
    the fewest trials that keep both rates; a case still undecided there counts as failed, and one that
    can no longer pass is stopped.
    """
    p_good, p_bad, alpha, beta = rates
    for last in range(1, len(cutoffs)):
        accept = [min(high, n + 1) for n, (high, _) in enumerate(cutoffs[: last + 1])]
        reject = [
            min(max(low, accept[last] - (last - n) - 1), accept[n] - 1)
            for n, (_, low) in enumerate(cutoffs[: last + 1])
        ]
        if accept[last] > last:
            continue  # nothing passes after so few trials
        plan = Plan(*rates, last, tuple(accept), tuple(max(low, -1) for low in reject))
        wrong_red = 1 - operating_characteristic(plan, p_good).accept
        if wrong_red <= alpha and operating_characteristic(plan, p_bad).accept <= beta:
            return plan
    return None
