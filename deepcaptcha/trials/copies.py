"""Examples that are copies of one another: a validation that rewards memory, a training of fewer
examples than it seems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEVEL = 1e-4
"""Above it, by Fisher's exact test of two shares, copies are no more than chance may bring in other data
of the same kind."""


@dataclass(frozen=True)
class Copies:
    """Counts of examples by their inputs alone.

    - `repeats`: of `n_train` training examples those that are copies of an earlier one.
    - `leaked`: of `n_validation` validation examples those that are copies of a training example.
    """

    repeats: int
    n_train: int
    leaked: int
    n_validation: int

    @property
    def text(self) -> str:
        """Such as `0 of 6400 in training, 12 of 2000 in validation`; `read_copies` reads it."""
        return (
            f"{self.repeats} of {self.n_train} in training, "
            f"{self.leaked} of {self.n_validation} in validation"
        )

    def more_than(self, recorded: Copies) -> str:
        """In words, what of both shares is larger than recorded, surely; empty where none is."""
        told = []
        for count, n, was, of, words in (
            (self.leaked, self.n_validation, recorded.leaked, recorded.n_validation, _LEAKED),
            (self.repeats, self.n_train, recorded.repeats, recorded.n_train, _REPEATS),
        ):
            if _larger(count, n, was, of):
                told.append(f"{count} of {n} {words}, recorded {was} of {of}")
        return "; ".join(told)


_LEAKED = "validation examples are copies of training examples"
_REPEATS = "training examples are copies of others"


def _larger(count: int, n: int, was: int, of: int) -> bool:
    from scipy.stats import fisher_exact

    table = [[count, n - count], [was, of - was]]
    return bool(fisher_exact(table, alternative="greater").pvalue < LEVEL)


def count_copies(train: Sequence[Array], validation: Sequence[Array]) -> Copies:
    """Of inputs, one array for each, whose first axis counts examples."""
    known = example_keys(train)
    held = example_keys(as_trained(validation, train))
    distinct = set(known)
    leaked = sum(key in distinct for key in held)
    return Copies(len(known) - len(distinct), len(known), leaked, len(held))


def as_trained(validation: Sequence[Array], train: Sequence[Array]) -> list[Array]:
    """Numbers of the validation in the types of the training, where equal ones are the same bytes."""
    pairs = zip(map(np.asarray, validation), train, strict=True)
    return [
        v.astype(a.dtype, copy=False) if is_numeric(v) and is_numeric(a) else v for v, a in pairs
    ]


def example_keys(arrays: Sequence[Array]) -> list[int]:
    """A number for each example, the same for copies; of one process, no other gives the same."""
    keys = [_keys(np.asarray(array)) for array in arrays]
    return keys[0] if len(keys) == 1 else [hash(row) for row in zip(*keys, strict=True)]


def _keys(array: Array) -> list[int]:
    if not is_numeric(array):
        return [hash(repr(row.tolist())) for row in map(np.asarray, array)]
    return [hash(row.tobytes()) for row in array.reshape(len(array), -1)]


def is_numeric(array: Array) -> bool:
    """Whether it holds numbers or truth values, which arithmetic may be done with."""
    return bool(np.issubdtype(array.dtype, np.number)) or array.dtype == np.bool_


def read_copies(text: str) -> Copies | None:
    """The inverse of `Copies.text`; None for any other text."""
    found = re.fullmatch(r"(\d+) of (\d+) in training, (\d+) of (\d+) in validation", text)
    made = found and Copies(*map(int, found.groups()))
    sound = made and made.repeats <= made.n_train and made.leaked <= made.n_validation
    return made if sound else None
