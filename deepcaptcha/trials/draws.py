"""Whether trials are independent draws of one model, by what travels with them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from ..errors import InputError
from .trial import Trial


def require_draws(trials: Sequence[Trial]) -> None:
    """InputError unless trials of one source are independent draws of one model, as far as the digests
    that travel with them tell: the same model and data each time, none that goes on where another
    ended, and no two seeds that end in the same weights.

    Those that tell nothing of weights are told apart by what they logged. Where nothing is learned at
    all, ends say nothing: they are where the trial began, or not finite.
    """
    _require_distinct(trials)
    known = [trial for trial in trials if trial.identity.get("initial_weights")]
    moved = [trial for trial in known if trial.outcome == "converged" or _has_moved(trial)]
    ends: dict[str, int] = {}
    for trial in moved:
        other = ends.setdefault(trial.weights_sha256, trial.seed)
        if other != trial.seed:
            raise _no_draws(
                trial,
                f"seeds {other} and {trial.seed} ended in the same weights, bit for bit, and are one "
                "training; leave all seeding to the trials, and restore no trained weights",
            )
    for trial in known:
        first = known[0]
        if (what := _difference(first, trial)) is not None:
            raise _no_draws(trial, f"seed {trial.seed} trained {what} than seed {first.seed}")
        earlier = ends.get(trial.identity["initial_weights"], trial.seed)
        if earlier != trial.seed:
            raise _no_draws(
                trial,
                f"seed {trial.seed} began with the weights in which seed {earlier} ended; make new "
                "weights for every trial",
            )


def _has_moved(trial: Trial) -> bool:
    changed = trial.weights_sha256 != trial.identity["initial_weights"]
    return changed and trial.outcome != "diverged"


def _difference(first: Trial, trial: Trial) -> str | None:
    """What is another than in the first trial; None where all that both of them tell agrees."""
    if trial.identity["shapes"] != first.identity["shapes"]:
        pairs = zip(trial.identity["shapes"], first.identity["shapes"], strict=False)
        now, was = next(
            ((f"of shape {a}", f"{b}") for a, b in pairs if a != b),
            (len(trial.identity["shapes"]), len(first.identity["shapes"])),
        )
        return f"another architecture (weights {now}, not {was})"
    kinds = [each.digests.get("configuration") for each in (first, trial)]
    if None not in kinds and kinds[0] != kinds[1]:
        return "another architecture (the same shapes, other layers or compile settings)"
    return "other data" if trial.identity["data"] != first.identity["data"] else None


def _no_draws(trial: Trial, seen: str) -> InputError:
    return InputError(
        f"{trial.name} under {trial.recipe} gives no independent trials of one model: {seen}"
    )


SAME_START = "all trials start from the same weights: this speaks of that start only"


def same_start(starts: Iterable[str]) -> str:
    """What is said where several trials have the same digest of their initial weights; else, and where
    they have none, nothing."""
    found = list(starts)
    return SAME_START if len(found) > 1 and set(found) == {found[0]} - {""} else ""


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


def _require_distinct(trials: Sequence[Trial]) -> None:
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
