"""The record of one training run, and the target it was to reach."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Literal, get_args

from ..errors import InputError

Outcome = Literal["converged", "stuck", "slow", "diverged"]
StopReason = Literal["target", "epochs", "frozen", "not finite", "steps"]
Mode = Literal["max", "min"]

Identity = Mapping[str, Any]
"""What makes a trial the very same trial, JSON-ready."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

SEED_LIMIT = 2**32
"""Seeds are whole numbers from 0 to below this: what Keras and NumPy take."""


@dataclass(frozen=True)
class Target:
    """What a training is to reach: `monitor` at least (`mode` max) or at most (min) `value` at the end
    of one of its first `epochs` epochs.

    `chance` is what `monitor` shows of something that learned nothing; None where the source tells it
    from the data, or nobody can. Raises InputError for values out of range.
    """

    value: float = 0.9
    epochs: int = 5
    monitor: str = "val_accuracy"
    mode: Mode = "max"
    chance: float | None = None

    def __post_init__(self) -> None:
        if type(self.epochs) is not int or self.epochs < 1:
            raise InputError(f"epochs is {self.epochs!r}; a whole number >= 1 is needed")
        if self.mode not in get_args(Mode):
            raise InputError(f"mode is {self.mode!r}; 'max' or 'min' is needed")
        for name, value in (("target", self.value), ("chance", self.chance or 0)):
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(f"{name} is {value!r}; a finite number is needed")
        if "accuracy" in self.monitor and not 0 < self.value <= 1:
            raise InputError(f"target is {self.value!r}; an accuracy lies above 0 and at most at 1")

    @property
    def text(self) -> str:
        """`val_accuracy >= 0.9 within 5 epochs`."""
        sign = ">=" if self.mode == "max" else "<="
        return f"{self.monitor} {sign} {self.value:g} within {self.epochs} epochs"

    def is_met(self, value: float) -> bool:
        """Whether `value` of the monitor reaches the target; never true for NaN."""
        return value >= self.value if self.mode == "max" else value <= self.value

    def as_dict(self) -> dict[str, object]:
        """Its fields as a trial's identity has them, where the value is called `target`."""
        fields: dict[str, object] = asdict(self)
        return {"target": fields.pop("value"), **fields}

    @classmethod
    def from_dict(cls, fields: Identity) -> Target:
        """The inverse of `as_dict`, which leaves other fields aside."""
        return cls(
            fields["target"],
            fields["epochs"],
            fields["monitor"],
            fields["mode"],
            fields.get("chance"),
        )


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    - `metrics`: the logged values at its end; None where one is not finite.
    - `zero_gradient_share`: of the training examples, in [0, 1], those whose loss had an exactly zero
      gradient when they were trained on; None where the model hides it.
    - `weights_changed`: whether any weight changed in it; None where nobody can tell.
    - `losses`: the training loss every 50 steps within it, in the loss' own unit; empty where it was not
      recorded.
    """

    metrics: Mapping[str, float | None]
    zero_gradient_share: float | None = None
    weights_changed: bool | None = None
    losses: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Trial:
    """The record of one training run, JSON-ready through `as_dict`.

    - `outcome`: `converged`, the target was met at the end of an epoch; else `diverged`, a weight, the
      last loss or every value of the monitor is not finite; `stuck`, no weight changed in the last
      epoch, or proved so, or the monitor never got a quarter of the way from chance to the target;
      `slow`, anything else.
    - `stop_reason`: what ended it; `frozen` is a proof that no weight can change any more, `steps` a
      limit beyond which the trial was not wanted.
    - `epochs_to_target`, `steps_to_target`: None unless converged.
    - `frozen_at_step`: batches trained when the proof was found, else None.
    - `weights_sha256`: of the last weights; of the whole history where there are none to be had.
    - `identity`: what makes it the very same trial.
    - `probes`: what was measured along the way, by name: [step, value] pairs.
    - `backend`, `device`: what computed it. `digests`: of its data, code and configuration, by name.
    - `first_loss`: of the first batch before any update, in the loss' own unit; None where it was not
      recorded.
    """

    name: str
    recipe: str
    seed: int
    outcome: Outcome
    stop_reason: StopReason
    epochs_to_target: int | None
    steps_to_target: int | None
    frozen_at_step: int | None
    epochs: tuple[Epoch, ...]
    seconds: float
    weights_sha256: str
    identity: Identity
    probes: Identity = field(default_factory=dict)
    backend: str = ""
    device: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    first_loss: float | None = None

    @property
    def settings(self) -> Identity:
        """How it was trained, as recorded: the target's fields and the source's own, by name."""
        settings: Identity = self.identity["recipe"]
        return settings

    @property
    def target(self) -> Target:
        """What it was to reach."""
        return Target.from_dict(self.settings)

    @property
    def ended_early(self) -> bool:
        """Whether it ended before its last epoch, without target or proof: a callback ended it."""
        return self.stop_reason == "epochs" and len(self.epochs) < self.settings["epochs"]

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; what has its default is left out where records of
        format 1 have no such field."""
        fields = asdict(self)
        for name in ("backend", "device", "digests", "first_loss"):
            if fields[name] in ("", {}, None):
                del fields[name]
        for epoch in fields["epochs"]:
            if not epoch["losses"]:
                del epoch["losses"]
        return fields

    @classmethod
    def from_dict(cls, fields: Identity) -> Trial:
        """The inverse of `as_dict`; TypeError or KeyError for other fields."""
        epochs = tuple(
            Epoch(**{**epoch, "losses": tuple(epoch.get("losses", ()))})
            for epoch in fields["epochs"]
        )
        return cls(**{**fields, "epochs": epochs})


_SHARES, _SINGLE_SHARES = 10**6, 10**3


def tells_apart(history: Sequence[Mapping[str, float | None]]) -> bool:
    """Whether logged values are fine enough that two draws do not log the very same by chance: one of
    them is no share k of n, n up to a million, as an accuracy is; or two of them, in single
    precision, none with n up to a thousand."""
    values = {value for metrics in history for value in metrics.values() if value is not None}
    fine = [0, 0]
    for value in values:
        single = _as_single(value) == value
        share = float(Fraction(value).limit_denominator(_SINGLE_SHARES if single else _SHARES))
        fine[single] += (_as_single(share) if single else share) != value
    return fine[False] > 0 or fine[True] > 1


def require_distinct(trials: Sequence[Trial]) -> None:
    """InputError where trials of two seeds, without weights to tell them by, logged the very same, and
    values that two draws do not share by chance."""
    seeds: dict[str, int] = {}
    for trial in trials:
        other = seeds.setdefault(trial.weights_sha256, trial.seed)
        history = [epoch.metrics for epoch in trial.epochs]
        weightless = trial.identity.get("shapes") == []
        if other != trial.seed and weightless and tells_apart(history):
            told = ", ".join(f"{name} {value!r}" for name, value in history[0].items())
            raise InputError(
                f"{trial.name} gave the very same metrics under seeds {other} and {trial.seed} ({told} "
                "after epoch 1), so that its trials are no draws: whatever is random in it must follow "
                "from its argument"
            )


def _as_single(value: float) -> float:
    try:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.inf
    return rounded


STUCK_SHARE = 0.25
"""A run that misses its target is stuck if it never got this share of the way from chance to it."""


def outcome_of(
    epochs: Sequence[Epoch],
    target: Target,
    chance: float | None,
    *,
    finite: bool = True,
    frozen: bool = False,
) -> Outcome:
    """How a training of at least one epoch ended, as `Trial.outcome` tells.

    - `chance`: what the monitor shows of something that learned nothing; None: unknown.
    - `finite`: whether all weights are, as far as anybody looked. `frozen`: proved so.
    """
    reached = [v for epoch in epochs if (v := epoch.metrics[target.monitor]) is not None]
    last = epochs[-1]
    value = last.metrics[target.monitor]
    if value is not None and target.is_met(value):
        return "converged"
    # A training step of one's own may log no loss at all.
    if not finite or last.metrics.get("loss", 0.0) is None or not reached:
        return "diverged"
    if frozen or last.weights_changed is False:
        return "stuck"
    if chance is None:
        unchanged = len(epochs) > 1 and len(set(reached)) == 1
        return "stuck" if last.weights_changed is None and unchanged else "slow"
    sign = 1 if target.mode == "max" else -1
    bar = chance + STUCK_SHARE * (target.value - chance)
    return "stuck" if max(sign * value for value in reached) < sign * bar else "slow"
