"""Two ledgers side by side: what changed between two environments, or two states of the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..finding import percent
from ..report.table import Table, columns
from ..report.words import summarise
from ..trials.ledger import Records
from ..trials.trial import Trial
from .exact import fisher, holm, mcnemar

ALPHA = 0.05
"""Chance of calling any row changed if none is, over all rows (Holm)."""


@dataclass(frozen=True)
class Row:
    """One factory and recipe in both ledgers.

    `p` is two-sided and adjusted over all rows: Fisher's exact test of P(converged), or McNemar's
    exact test where `paired`. `same_bits` counts seeds of both that ended with the very same weights,
    of `common`.
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


def compare(before: Records, after: Records, *, paired: bool = False) -> tuple[Row, ...]:
    """A row for every factory and recipe that both ledgers hold, in order of recipe and name.

    With `paired`, trials of equal seeds are paired where every pair started from the very same
    weights; other rows stay unpaired. InputError where nothing can be compared.
    """
    keys = sorted(_keys(before) & _keys(after), key=lambda key: (key[1], key[0]))
    if not keys:
        raise InputError("the two ledgers have no factory and recipe in common")
    raw = []
    for name, recipe in keys:
        old, new = before.of(name, recipe), after.of(name, recipe)
        _require_same_task([*old.values(), *new.values()])
        seeds = sorted(set(old) & set(new))
        pairs = [(old[seed], new[seed]) for seed in seeds]
        pairable = paired and bool(pairs) and all(_same_start(a, b) for a, b in pairs)
        p = (
            mcnemar((a.outcome == "converged", b.outcome == "converged") for a, b in pairs)
            if pairable
            else fisher(_count(old.values()), _count(new.values()))
        )
        raw.append((name, recipe, old, new, pairs, pairable, p))
    adjusted = holm([row[-1] for row in raw])
    return tuple(
        Row(
            name=name,
            recipe=recipe,
            before=_count(old.values()),
            after=_count(new.values()),
            median_epochs=(
                summarise(list(old.values())).median_epochs,
                summarise(list(new.values())).median_epochs,
            ),
            paired=pairable,
            common=len(pairs),
            same_bits=sum(a.weights_sha256 == b.weights_sha256 for a, b in pairs),
            p=p,
        )
        for (name, recipe, old, new, pairs, pairable, _), p in zip(raw, adjusted, strict=True)
    )


def environments(before: Records, after: Records) -> str:
    """What differs between the two environments: `tensorflow 2.19.1 -> 2.21.0, ...`."""
    old, new = (_one_environment(records) for records in (before, after))
    parts = [
        f"{key} {old.get(key)} -> {new.get(key)}" for key in new if old.get(key) != new.get(key)
    ]
    return ", ".join(parts) or "the same in both"


def _one_environment(records: Records) -> Mapping[str, Any]:
    first = records.trials[0].identity["environment"]
    if any(trial.identity["environment"] != first for trial in records.trials):
        raise InputError(
            "a ledger holds trials of several environments; give one of one environment"
        )
    return dict(first)


def comparison_table(rows: Sequence[Row]) -> Table:
    """One line a row, with what changed in words."""
    return Table(
        "What changed",
        columns(
            "<factory", "<recipe", "before", "after", "epochs", "same bits", "p (Holm)", "<verdict"
        ),
        tuple(
            (
                row.name,
                row.recipe,
                _share(row.before),
                _share(row.after),
                " -> ".join("-" if m is None else f"{m:g}" for m in row.median_epochs),
                f"{row.same_bits}/{row.common}",
                f"{row.p:.2g}",
                _words(row),
            )
            for row in rows
        ),
    )


def _words(row: Row) -> str:
    if row.common and row.same_bits == row.common:
        return "identical"
    if not row.changed:
        return "no change seen"
    before, after = (k / n for k, n in (row.before, row.after))
    return "trains less reliably" if after < before else "trains more reliably"


def _share(counts: tuple[int, int]) -> str:
    k, n = counts
    return f"{k}/{n} ({percent(k / n)})"


def _keys(records: Records) -> set[tuple[str, str]]:
    return {(trial.name, trial.recipe) for trial in records.trials}


def _count(trials: Any) -> tuple[int, int]:
    outcomes = [trial.outcome for trial in trials]
    return outcomes.count("converged"), len(outcomes)


def _require_same_task(trials: Sequence[Trial]) -> None:
    first = trials[0]
    for trial in trials[1:]:
        for key in ("shapes", "data", "protocol", "recipe"):
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
    return bool(a.identity["initial_weights"] == b.identity["initial_weights"])
