"""Two ledgers side by side: what changed between two environments, or two states of the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import InputError
from ..trials.ledger import LedgerTrials
from ..trials.trial import Trial
from .baseline import TASK, differences
from .claim import summarise
from .exact import fisher, holm, mcnemar

ALPHA = 0.05
"""Chance of calling any row changed if none is, over all rows (Holm)."""


@dataclass(frozen=True)
class ComparedRow:
    """One factory and recipe in both ledgers.

    - `before`, `after`: (converged, trials). `median_epochs`: of the converged ones, in both.
    - `p`: two-sided and adjusted over all rows, of Fisher's exact test of P(converged), or of McNemar's
      exact test where `paired`.
    - `same_bits`: seeds of both that ended with the very same weights, of `common`.
    """

    name: str
    recipe: str
    before: tuple[int, int]
    after: tuple[int, int]
    median_epochs: tuple[float | None, float | None]
    paired: bool
    common: int
    same_bits: int
    p: float

    @property
    def changed(self) -> bool:
        """Whether P(converged) differs at the level of the whole table."""
        return self.p <= ALPHA

    @property
    def worse(self) -> bool:
        """Whether it changed to a lower P(converged)."""
        return self.changed and self.after[0] / self.after[1] < self.before[0] / self.before[1]


def compare(
    before: LedgerTrials, after: LedgerTrials, *, paired: bool = False
) -> tuple[ComparedRow, ...]:
    """A row for every factory and recipe that both ledgers hold, in order of recipe and name.

    With `paired`, trials of equal seeds are paired where every pair started from the very same
    weights; other rows stay unpaired. InputError where nothing can be compared.
    """
    places = ({(trial.recipe, trial.name) for trial in side.trials} for side in (before, after))
    keys = sorted(set.intersection(*places))
    if not keys:
        raise InputError("the two ledgers have no factory and recipe in common")
    rows = [
        _compare(before.of(name, recipe), after.of(name, recipe), paired) for recipe, name in keys
    ]
    adjusted = holm([row.p for row in rows])
    return tuple(replace(row, p=p) for row, p in zip(rows, adjusted, strict=True))


def _compare(old: Mapping[int, Trial], new: Mapping[int, Trial], paired: bool) -> ComparedRow:
    """The row, with a `p` that is not adjusted."""
    one, *others = *old.values(), *new.values()
    for trial in others:
        _require_same_task(one, trial)
    pairs = [(old[seed], new[seed]) for seed in sorted(old.keys() & new.keys())]
    starts = [[trial.identity.get("initial_weights") for trial in pair] for pair in pairs]
    # A trial without weights is never known to start where another does.
    paired = paired and bool(pairs) and all(a is not None and a == b for a, b in starts)
    before, after = (summarise(list(side.values())) for side in (old, new))
    first, second = ((summary.converged, summary.trials) for summary in (before, after))
    return ComparedRow(
        name=one.name,
        recipe=one.recipe,
        before=first,
        after=second,
        median_epochs=(before.median_epochs, after.median_epochs),
        paired=paired,
        common=len(pairs),
        same_bits=sum(a.weights_sha256 == b.weights_sha256 for a, b in pairs),
        p=mcnemar((a.outcome == "converged", b.outcome == "converged") for a, b in pairs)
        if paired
        else fisher(first, second),
    )


def environments(before: LedgerTrials, after: LedgerTrials) -> str:
    """What differs between the two environments: `tensorflow 2.19.1 -> 2.21.0, ...`."""
    for ledger in (before, after):
        first, *others = (trial.identity["environment"] for trial in ledger.trials)
        if any(other != first for other in others):
            raise InputError(
                "a ledger holds trials of several environments; give one of one environment"
            )
    old, new = (ledger.trials[0].identity["environment"] for ledger in (before, after))
    return differences(old, new) or "the same in both"


def _require_same_task(first: Trial, second: Trial) -> None:
    for key in TASK:
        was, now = first.identity[key], second.identity[key]
        if was != now:
            detail = ""
            if isinstance(was, Mapping):
                differing = [k for k in {**was, **now} if was.get(k) != now.get(k)]
                detail = f" ({', '.join(differing)})"
            raise InputError(
                f"{first.name} {first.recipe}: the trials differ in their {key}{detail}; only "
                "the environment or the code of the factory may differ"
            )
