"""Examples that are copies of one another: a validation that rewards memory, a training of fewer
examples than it seems."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEVEL = 1e-4
"""Above it, by Fisher's exact test of two shares, copies are no more than chance may bring where other
examples of the same kind are drawn, each by itself."""


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
        """In words, what of both shares is larger than recorded, surely; empty where none is.

        Of more training examples both grow, at most in proportion: what is more than that is told.
        """
        told = []
        growth = max(1.0, self.n_train / recorded.n_train)
        for count, n, was, of, words in (
            (self.leaked, self.n_validation, recorded.leaked, recorded.n_validation, _LEAKED),
            (self.repeats, self.n_train, recorded.repeats, recorded.n_train, _REPEATS),
        ):
            if _larger(count, n, min(of, math.ceil(growth * was)), of):
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
    known, held = keys_of_both(train, validation)
    distinct = set(known)
    leaked = sum(key in distinct for key in held)
    return Copies(len(known) - len(distinct), len(known), leaked, len(held))


def keys_of_both(
    train: Sequence[Array], validation: Sequence[Array]
) -> tuple[list[int], list[int]]:
    """A number for each example of both, the same for copies and, but for one chance in 2**64, for no
    others; of this process alone. Numbers of two types are compared in a type that holds both."""
    pairs = [_in_one_type(a, b) for a, b in zip(train, validation, strict=True)]
    known, held = (_example_keys(side) for side in zip(*pairs, strict=True))
    return known, held


def _in_one_type(a: Array, b: Array) -> tuple[Array, Array]:
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype == b.dtype or not (is_numeric(a) and is_numeric(b)):
        return a, b
    common = np.result_type(a, b)
    return a.astype(common), b.astype(common)


def _example_keys(arrays: Sequence[Array]) -> list[int]:
    keys = [_keys(array) for array in arrays]
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
    sound = made and made.repeats < made.n_train and 0 < made.n_validation >= made.leaked
    return made if sound else None
