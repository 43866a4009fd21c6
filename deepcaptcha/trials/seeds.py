"""Seeds, and what they are for: four disjoint streams, so that no trial is judged by what it was chosen
from, and trials of different seeds that are independent draws of one model."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from types import MappingProxyType

from ..errors import InputError
from .trial import Trial

STREAMS = MappingProxyType(
    {
        "pilot": range(1_000_000),
        "baseline": range(1_000_000, 2_000_000),
        "pull-request": range(2_000_000, 3_000_000),
        "nightly": range(1_000_000_000, 2**32),
    }
)
"""Stream -> its seeds. Claims are chosen from `pilot`, compared with `baseline`, judged on
`pull-request` (always the same) or `nightly` (a fresh stretch each time)."""

LAST_SEED = 2**32 - 1
"""The last seed that Keras and NumPy take."""

_STRETCH = 10_000  # seeds a nightly run may use; no verdict reads more


def first_seed(stream: str) -> int:
    """Where a run in this stream begins: a fresh random place in `nightly`, else the first seed."""
    seeds = _find(stream)
    if stream != "nightly":
        return seeds.start
    return seeds.start + _STRETCH * secrets.randbelow(len(seeds) // _STRETCH)


def take(stream: str, count: int) -> range:
    """`count` (>= 1) consecutive seeds of a stream, from `first_seed`."""
    if type(count) is not int or not 1 <= count <= _STRETCH:
        raise InputError(f"{count!r} seeds; a whole number from 1 to {_STRETCH} is needed")
    start = first_seed(stream)
    return range(start, start + count)


def _find(stream: str) -> range:
    try:
        return STREAMS[stream]
    except KeyError:
        raise InputError(f"unknown seed stream {stream!r}; known: {', '.join(STREAMS)}") from None


def require_draws(trials: Sequence[Trial]) -> None:
    """InputError unless trials of one source are independent draws of one model, as far as the digests
    that travel with them tell: the same model and data each time, none that goes on where another
    ended, and no two seeds that end in the same weights.

    Trials that tell nothing of their initial weights pass. Where nothing is learned at all, ends say
    nothing: they are where the trial began, or not finite.
    """
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
