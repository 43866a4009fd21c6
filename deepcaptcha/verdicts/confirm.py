"""Unchanged: whether a recorded seed, trained again, gives the very same trial.

A trial is a pure function of source, seed and environment. Where it comes again bit for bit, and all that
the row's other trials follow from is as it was, the recorded verdicts stand.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from ..trials.trial import Trial
from .baseline import HASH_LENGTH, SEED_DIGESTS, Baseline, differences, rounding
from .claim import Budget, Claim, Json, Verdict

PREFIX_STEPS = 50
"""Steps that may stand for a whole training, with one pass of validation after them."""

_NEEDED = ("training data", "validation data", "configuration", "callbacks", "epochs", "target")
"""Digests without which equal bits prove too little: weights alone would pass leaked validation rows."""


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


def why_not(record: Baseline | None, environment: Json) -> str:
    """Why a row cannot be confirmed by its nearest record in this environment; empty where it can."""
    if record is None:
        return "no record"
    if not (record.history and record.weights and record.seed_digests):
        return f"its record of {record.date} holds no values or digests of its trials"
    if lacking := [name for name in _NEEDED if name not in record.digests]:
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
            return Repetition(seed - record.first_seed, seed, steps, f"its first {steps} steps")
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
    for name in {**record.digests, **trial.digests}:
        was, now = record.digests.get(name), trial.digests.get(name)
        # Another code that trains is what a longer repetition makes up for.
        if name not in (*SEED_DIGESTS, "code") and was != now:
            yield Difference(name, was, now)
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
        now = tuple(loss for epoch in trial.epochs for loss in epoch.losses)
        yield from _series_differences(record.losses[place], now)
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


def _series_differences(
    was: Sequence[float | None], now: Sequence[float | None]
) -> Iterator[Difference]:
    """The first of them: all that follows differs as well."""
    if len(was) != len(now):
        yield Difference("losses within the first epochs", f"{len(was)}", f"{len(now)}")
    for number, (a, b) in enumerate(zip(was, now, strict=False), start=1):
        if a != b:
            yield Difference(f"loss {number} within the first epochs", a, b)
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


def difference_text(confirmation: Confirmation, most: int = 4) -> str:
    """What differs, in words: the first things, and how many more."""
    texts = [difference.text for difference in confirmation.differences]
    rest = len(texts) - most
    return "; ".join(texts[:most]) + (f"; and {rest} more" if rest > 0 else "")


def make_prefix(trial: Trial, steps: int) -> Json:
    """A record's `prefix`, of a trial that was trained for so many steps; empty where it ended before
    them or trained on."""
    if len(trial.epochs) != 1 or trial.stop_reason != "steps":
        return {}
    metrics = dict(trial.epochs[0].metrics)
    weights = trial.weights_sha256[:HASH_LENGTH]
    return {"seed": trial.seed, "steps": steps, "metrics": metrics, "weights": weights}


_VERDICT = (
    "hypothesis",
    "colour",
    "successes",
    "trials",
    "interval",
    "alpha",
    "beta",
    "detects",
    "note",
)


def judged_record(
    claim: Claim, budget: Budget, verdicts: Sequence[Verdict], first_seed: int
) -> Json:
    """A record's `judged`: verdicts, with the share of the error rates they were reached with."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "first_seed": first_seed,
        "claim": asdict(claim),
        "budget": asdict(budget),
        "verdicts": [{name: verdict.as_dict()[name] for name in _VERDICT} for verdict in verdicts],
    }


def recorded_verdicts(record: Baseline, claim: Claim) -> tuple[Verdict, ...]:
    """The verdicts that stand while the row is unchanged; none where none was recorded, or of another
    claim."""
    if record.judged.get("claim") != asdict(claim):
        return ()
    return tuple(
        Verdict(**{**fields, "interval": tuple(fields["interval"])})
        for fields in record.judged["verdicts"]
    )


def twins(records: Sequence[Baseline]) -> list[tuple[str, ...]]:
    """Names of rows whose trials all ended with the same weights: one piece of evidence, not several."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for record in records:
        if record.weights:
            key = (record.first_seed, *record.weights)
            groups.setdefault(key, []).append(f"{record.name} {record.recipe['name']}")
    return [tuple(names) for names in groups.values() if len(names) > 1]
