"""Two ledgers side by side: what changed between two environments, or two states of the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from ..trials.ledger import LedgerTrials
from ..trials.trial import Trial
from .baseline import TASK, differences
from .claim import Json, summarise
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
    keys = sorted(_keys(before) & _keys(after), key=lambda key: (key[1], key[0]))
    if not keys:
        raise InputError("the two ledgers have no factory and recipe in common")
    rows = [_compare(before.of(*key), after.of(*key), paired) for key in keys]
    adjusted = holm([row.p for row in rows])
    return tuple(replace(row, p=p) for row, p in zip(rows, adjusted, strict=True))


def _compare(old: Mapping[int, Trial], new: Mapping[int, Trial], paired: bool) -> ComparedRow:
    """The row, with a `p` that is not adjusted."""
    sides = [list(old.values()), list(new.values())]
    _require_same_task([*sides[0], *sides[1]])
    pairs = [(old[seed], new[seed]) for seed in sorted(old.keys() & new.keys())]
    paired = paired and bool(pairs) and all(_same_start(a, b) for a, b in pairs)
    before, after = (summarise(trials) for trials in sides)
    first, second = ((summary.converged, summary.trials) for summary in (before, after))
    return ComparedRow(
        name=sides[0][0].name,
        recipe=sides[0][0].recipe,
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
    old, new = _one_environment(before), _one_environment(after)
    return differences(old, new) or "the same in both"


def _one_environment(ledger: LedgerTrials) -> Json:
    first: Json = ledger.trials[0].identity["environment"]
    if any(trial.identity["environment"] != first for trial in ledger.trials):
        raise InputError(
            "a ledger holds trials of several environments; give one of one environment"
        )
    return first


def _keys(ledger: LedgerTrials) -> set[tuple[str, str]]:
    return {(trial.name, trial.recipe) for trial in ledger.trials}


def _require_same_task(trials: Sequence[Trial]) -> None:
    first = trials[0]
    for trial in trials[1:]:
        for key in TASK:
            was, now = first.identity[key], trial.identity[key]
            if was != now:
                detail = ""
                if isinstance(was, Mapping):
                    differing = [k for k in {**was, **now} if was.get(k) != now.get(k)]
                    detail = f" ({', '.join(differing)})"
                raise InputError(
                    f"{first.name} {first.recipe}: the trials differ in their {key}{detail}; only "
                    "the environment or the code of the factory may differ"
                )


def _same_start(a: Trial, b: Trial) -> bool:
    """Whether both are known to start from the same weights; a trial without weights never is."""
    start = a.identity.get("initial_weights")
    return start is not None and bool(start == b.identity.get("initial_weights"))
