"""The record of one training run, and the target it was to reach."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..errors import InputError, require_text, require_whole

Outcome = Literal["converged", "stuck", "slow", "diverged"]
StopReason = Literal["target", "epochs", "frozen", "not finite", "steps"]
Mode = Literal["max", "min"]

Identity = Mapping[str, Any]
"""What makes a trial the very same trial, JSON-ready."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_STOP_REASONS = get_args(StopReason)

SEED_LIMIT = 2**32
"""Seeds are whole numbers from 0 to below this: what Keras and NumPy take."""


@dataclass(frozen=True)
class Target:
    """What a training is to reach: `monitor` at least (`mode` max) or at most (min) `value` at the end
    of one of its first `epochs` epochs, where each condition of `also`, such as `val_loss <= 0.3`, holds
    too.

    `chance` is what `monitor` shows of something that learned nothing; None where the source tells it
    from the data, or nobody can. Raises InputError for values out of range.
    """

    value: float = 0.9
    epochs: int = 5
    monitor: str = "val_accuracy"
    mode: Mode = "max"
    chance: float | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("monitor", "mode"):
            require_text(name, getattr(self, name))
        if not isinstance(self.also, list | tuple):
            raise InputError(f"also is {self.also!r}; a list of conditions is needed")
        object.__setattr__(self, "also", tuple(self.also))  # a list, after JSON
        for condition in self.also:
            _read_condition(condition)
        require_whole("epochs", self.epochs)
        if self.mode not in get_args(Mode):
            raise InputError(f"mode is {self.mode!r}; 'max' or 'min' is needed")
        chance = 0 if self.chance is None else self.chance
        for name, value in (("target", self.value), ("chance", chance)):
            if not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
                raise InputError(f"{name} is {value!r}; a finite number is needed")
        if "accuracy" in self.monitor and not 0 < self.value <= 1:
            raise InputError(f"target is {self.value!r}; an accuracy lies above 0 and at most at 1")

    @property
    def text(self) -> str:
        """`val_accuracy >= 0.9 within 5 epochs`."""
        sign = ">=" if self.mode == "max" else "<="
        conditions = " and ".join((f"{self.monitor} {sign} {self.value:g}", *self.also))
        return f"{conditions} within {self.epochs} epochs"

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are read: the monitor, and those of further conditions."""
        return (self.monitor, *(_read_condition(condition)[0] for condition in self.also))

    def is_met(self, value: float) -> bool:
        """Whether `value` of the monitor reaches the target; never true for NaN."""
        return _reaches(value, self.mode, self.value)

    def is_reached(self, metrics: Mapping[str, float | None]) -> bool:
        """Whether the metrics at an epoch's end meet the monitor's target and every further condition;
        never true where one of them is not finite."""
        conditions = ((self.monitor, self.mode, self.value), *map(_read_condition, self.also))
        return all(
            (value := metrics[name]) is not None and _reaches(value, mode, bar)
            for name, mode, bar in conditions
        )

    def as_dict(self) -> dict[str, object]:
        """Its fields as a trial's identity has them, where the value is called `target`, and no further
        condition is no field."""
        fields: dict[str, object] = asdict(self)
        if not self.also:
            del fields["also"]
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
            fields.get("also", ()),
        )


def _reaches(value: float, mode: Mode, bar: float) -> bool:
    return value >= bar if mode == "max" else value <= bar


def _read_condition(text: str) -> tuple[str, Mode, float]:
    """`val_loss <= 0.3` as the metric, its direction and the value to reach; InputError for others."""
    name, sign, number = (*str(text).split(), "", "", "")[:3]
    modes: Mapping[str, Mode] = {"<=": "min", ">=": "max"}
    try:
        bar = float(number)
    except ValueError:
        bar = math.nan
    if sign not in modes or not math.isfinite(bar) or len(str(text).split()) != 3:
        raise InputError(f"also has {text!r}; a condition such as 'val_loss <= 0.3' is needed")
    return name, modes[sign], bar


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
        """The inverse of `as_dict`; one of `ledger.UNREADABLE` for other fields, and for values that no
        trial has."""
        epochs = tuple(
            Epoch(**{**epoch, "losses": tuple(epoch.get("losses", ()))})
            for epoch in fields["epochs"]
        )
        trial = cls(**{**fields, "epochs": epochs})
        for name, sound in _sound(trial):
            if not sound:
                raise InputError(f"{name} is {getattr(trial, name)!r}, which no trial has")
        return trial


def _sound(trial: Trial) -> Iterator[tuple[str, bool]]:
    """By field, whether its value has the type and a meaning that a trial's has."""
    yield "name", type(trial.name) is str and trial.name != ""
    yield "recipe", type(trial.recipe) is str and trial.recipe != ""
    yield "seed", type(trial.seed) is int and 0 <= trial.seed < SEED_LIMIT
    yield "outcome", trial.outcome in OUTCOMES
    yield "stop_reason", trial.stop_reason in _STOP_REASONS
    yield "epochs", all(map(_is_epoch, trial.epochs))  # none in a record of outcomes alone
    reached, count = trial.epochs_to_target, len(trial.epochs)
    met = type(reached) is int and reached >= 1 and (not count or reached <= count)
    # Of some first steps nobody asks when they met the target, whatever their validation showed.
    ended = trial.outcome == "converged" and trial.stop_reason != "steps"
    yield "epochs_to_target", met if ended else reached is None
    steps = trial.steps_to_target
    yield "steps_to_target", steps is None or (met and type(steps) is int and steps > 0)
    frozen = trial.frozen_at_step
    yield "frozen_at_step", frozen is None or (type(frozen) is int and frozen >= 0)
    yield "seconds", trial.seconds is not None and is_number(trial.seconds) and trial.seconds >= 0
    yield "weights_sha256", type(trial.weights_sha256) is str and trial.weights_sha256 != ""
    same = trial.identity.get("seed", trial.seed) == trial.seed
    environment = trial.identity.get("environment", {})
    named = type(trial.settings.get("name", "")) is str
    known = trial.target is not None and isinstance(environment, Mapping)
    yield "identity", same and named and known
    yield "probes", isinstance(trial.probes, Mapping)
    yield "backend", type(trial.backend) is str
    yield "device", type(trial.device) is str
    yield "digests", all(type(text) is str for pair in trial.digests.items() for text in pair)
    yield "first_loss", is_number(trial.first_loss)


def _is_epoch(epoch: Epoch) -> bool:
    share = epoch.zero_gradient_share
    return (
        all(map(is_number, epoch.metrics.values()))
        and all(map(is_number, epoch.losses))
        and (share is None or (is_number(share) and 0 <= share <= 1))
        and epoch.weights_changed in (None, False, True)
    )


def is_number(value: object) -> bool:
    """Finite, or not recorded as it was not."""
    return value is None or (type(value) in (int, float) and math.isfinite(value))  # type: ignore[arg-type]


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
    if target.is_reached(last.metrics):
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
