"""Unchanged: whether a recorded seed, trained again, gives the very same trial.

A trial is a pure function of source, seed and environment. Where it comes again bit for bit, and all
that the row's other trials follow from is as it was, the recorded verdicts stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..trials.code import LENGTH
from ..trials.draws import tells_apart
from ..trials.trial import Trial
from .baseline import SEED_DIGESTS, Baseline, differences, rounding
from .claim import Json

PREFIX_STEPS = 50
"""Steps that may stand for a whole training, with one pass of validation after them."""

_NEEDED = ("training data", "validation data", "configuration", "callbacks", "epochs", "target")
"""Digests without which equal bits prove too little: weights alone would pass leaked validation rows."""

_NEEDED_OF_FUNCTION = ("code", "target")
"""The same of a function, whose validation is part of what it logs."""

_MOST_TOLD = 4  # differences, in words


@dataclass(frozen=True)
class Repetition:
    """What of a record is to be trained again.

    - `place`: of the trial in the record; `seed`: its own.
    - `steps`: train only so many; None: all of it. `why`: for people.
    """

    place: int
    seed: int
    steps: int | None
    why: str


@dataclass(frozen=True)
class Difference:
    """One thing in which the trial differs from its record: after which epoch, from 1 on, or None where
    it is of no epoch."""

    what: str
    was: object
    now: object
    epoch: int | None = None

    @property
    def text(self) -> str:
        """Such as `val_loss after epoch 1: 21.3, recorded 0.182 (+21.1)`."""
        when = "" if self.epoch is None else f" after epoch {self.epoch}"
        if isinstance(self.was, float) and isinstance(self.now, float):
            by = self.now - self.was
            return f"{self.what}{when}: {self.now:.6g}, recorded {self.was:.6g} ({by:+.3g})"
        return f"{self.what}{when}: {_shown(self.now)}, recorded {_shown(self.was)}"


@dataclass(frozen=True)
class Confirmation:
    """What training a recorded seed again showed; `differences` in the order of a training."""

    repetition: Repetition
    date: str
    differences: tuple[Difference, ...]

    @property
    def unchanged(self) -> bool:
        """Whether weights, logged values and digests all agree bit for bit."""
        return not self.differences


def is_of_function(record: Baseline) -> bool:
    """Whether it is of a function's trials, which have a digest of their code and none of a model."""
    return "configuration" not in record.digests


def why_not(record: Baseline | None, environment: Json) -> str:
    """Why a row cannot be confirmed by its nearest record in this environment; empty where it can."""
    if record is None:
        return "no record"
    if not (record.history and record.weights and (record.seed_digests or not record.shapes)):
        return f"its record of {record.date} holds no values or digests of its trials"
    needed = _NEEDED if record.shapes else _NEEDED_OF_FUNCTION
    if lacking := [name for name in needed if name not in record.digests]:
        return f"its record of {record.date} holds no digest of {', '.join(lacking)}"
    if elsewhere := differences(rounding(record.environment), rounding(environment)):
        return f"no record of this environment; the nearest, of {record.date}, differs: {elsewhere}"
    return ""


def choose_repetition(record: Baseline, code: str) -> Repetition:
    """The least of the record that stands for all of it.

    Where everything follows from what has a digest, and `code`, the digest of the code that trains, is
    the recorded one, that is a recorded prefix, or else the trial of the fewest epochs. Elsewhere (a
    callback, a schedule, a layer or a loss of the user's, another version of the training loop) code may
    act by the epoch, and the trial of the most epochs is repeated: it went as far as any.
    """
    recorded = record.digests.get("code", "")
    lengths = [len(epochs) for epochs in record.history]
    if recorded and recorded == code:
        if record.prefix:
            seed, steps = record.prefix["seed"], record.prefix["steps"]
            # On another backend than TensorFlow, which an environment names, an epoch is the least.
            part = "epoch" if "backend" in record.environment else f"{steps} steps"
            return Repetition(seed - record.first_seed, seed, steps, f"its first {part}")
        place = lengths.index(min(lengths))
        return Repetition(place, record.first_seed + place, None, "its shortest recorded trial")
    place = lengths.index(max(lengths))
    why = "the code that trains is another" if recorded else "code without a digest trains it"
    return Repetition(place, record.first_seed + place, None, f"its longest trial: {why}")


def confirm(record: Baseline, repetition: Repetition, trial: Trial) -> Confirmation:
    """Compare a recorded seed's trial, or its prefix, with the same trained again.

    - `trial`: of the repetition's seed and steps, by the source as it is now.
    """
    found = tuple(_differences(record, repetition, trial))
    return Confirmation(repetition, record.date, found)


def _differences(record: Baseline, repetition: Repetition, trial: Trial) -> Iterator[Difference]:
    place, prefix = repetition.place, repetition.steps is not None
    # Another code that trains is what a longer repetition makes up for, if that says enough.
    enough = not is_of_function(record) or tells_apart(record.history[place])
    for name in {**record.digests, **trial.digests}:
        told = name == "copies" or (name == "code" and enough)  # copies by the digests of the data
        if name not in SEED_DIGESTS and not told:
            yield from _value_differences(name, record.digests.get(name), trial.digests.get(name))
    if (recorded := "code" in record.digests) != ("code" in trial.digests):
        words = ("code without a digest trains it", "none")
        yield Difference("code of its own", words[recorded], words[not recorded])
    for name in SEED_DIGESTS[:2]:
        yield from _digest_differences(record, place, name, trial)
    if record.first_losses:
        yield from _value_differences(
            "loss of the first batch", record.first_losses[place], trial.first_loss
        )
    yield from _digest_differences(record, place, SEED_DIGESTS[2], trial)
    if record.losses and not prefix:
        yield from _loss_differences(record.losses[place], [epoch.losses for epoch in trial.epochs])
    history: Sequence[Mapping[str, float | None]] = record.history[place]
    weights = record.weights[place]
    if prefix:
        history, weights = [record.prefix["metrics"]], record.prefix["weights"]
    again = [epoch.metrics for epoch in trial.epochs]
    if len(history) != len(again):
        yield Difference("epochs trained", len(history), len(again))
    for number, (was, now) in enumerate(zip(history, again, strict=False), start=1):
        for name in {**was, **now}:
            missing = "not logged"
            yield from _value_differences(
                name, was.get(name, missing), now.get(name, missing), None if prefix else number
            )
    if not trial.weights_sha256.startswith(weights):
        yield Difference("last weights", weights, trial.weights_sha256[: len(weights)])


def _digest_differences(
    record: Baseline, place: int, name: str, trial: Trial
) -> Iterator[Difference]:
    if name in record.seed_digests:
        yield from _value_differences(
            name, record.seed_digests[name][place], trial.digests.get(name)
        )


def _loss_differences(
    was: Sequence[Sequence[float | None]], now: Sequence[Sequence[float | None]]
) -> Iterator[Difference]:
    """The first of them: all that follows differs as well."""
    for epoch, (then, again) in enumerate(zip(was, now, strict=False), start=1):
        for number, (a, b) in enumerate(zip(then, again, strict=False), start=1):
            if a != b:
                yield Difference(f"loss {number} within epoch {epoch}", a, b)
                return
        if len(then) != len(again):
            yield Difference(f"losses within epoch {epoch}", len(then), len(again))
            return


def _value_differences(
    what: str, was: object, now: object, epoch: int | None = None
) -> Iterator[Difference]:
    if was != now:
        yield Difference(what, was, now, epoch)


def _shown(value: object) -> str:
    return (
        "none"
        if value in (None, "")
        else f"{value:.6g}"
        if isinstance(value, float)
        else str(value)
    )


def difference_text(confirmation: Confirmation) -> str:
    """What differs, in words: the first things, and how many more."""
    texts = [difference.text for difference in confirmation.differences]
    rest = len(texts) - _MOST_TOLD
    return "; ".join(texts[:_MOST_TOLD]) + (f"; and {rest} more" if rest > 0 else "")


def complete(record: Baseline, older: Baseline | None, run: Callable[..., Trial]) -> Baseline:
    """A new record with its prefix, if everything follows from what has a digest, and with the verdicts
    of an older record of the same row, if none of the trials of both has changed.

    - `run`: trains a seed for so many `steps`; asked only where the older record has none to give.
    """
    same = older is not None and _agree(record, older)
    if older is not None and same:
        record = replace(record, judged=older.judged, ruler=older.ruler, accepted=older.accepted)
    if "code" not in record.digests or is_of_function(record):
        return record
    if older is not None and same and older.digests.get("code") == record.digests["code"]:
        record = replace(record, prefix=older.prefix)
    if not record.prefix:
        record = replace(record, prefix=_prefix(run(record.first_seed, steps=PREFIX_STEPS)))
    return record


def _agree(record: Baseline, older: Baseline) -> bool:
    ends = [
        dict(enumerate(each.weights, start=each.first_seed)) if each.digests else {}
        for each in (record, older)
    ]
    shared = ends[0].keys() & ends[1].keys()
    pairs = [{**each.digests, "code": "", "copies": ""} for each in (record, older)]
    return bool(shared) and pairs[0] == pairs[1] and all(ends[0][s] == ends[1][s] for s in shared)


def _prefix(trial: Trial) -> Json:
    """A record's `prefix`, of a trial that was to train for PREFIX_STEPS; empty where it ended within
    them, or went through several epochs."""
    if len(trial.epochs) != 1 or trial.stop_reason != "steps":
        return {}
    weights = trial.weights_sha256[:LENGTH]
    metrics = dict(trial.epochs[0].metrics)
    return {"seed": trial.seed, "steps": PREFIX_STEPS, "metrics": metrics, "weights": weights}
