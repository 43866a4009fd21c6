"""What a trial trains and validates on, as arrays. Nothing here imports TensorFlow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Part = Any
"""An array whose first axis counts examples, or a tuple or mapping of such, for several inputs or
outputs."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a trial trains and validates on: arrays whose first axis counts examples, or a tuple or
    mapping of them where a model has several inputs or outputs.

    Raises InputError for arrays that cannot belong together or hold no example.
    """

    x_train: Part
    y_train: Part
    x_validation: Part
    y_validation: Part

    def __post_init__(self) -> None:
        for part in ("train", "validation"):
            x, y = (_leaves(getattr(self, f"{axis}_{part}")) for axis in "xy")
            inputs, labels = ({len(array) for array in arrays.values()} for arrays in (x, y))
            if inputs != labels or len(inputs) != 1 or 0 in inputs:
                raise InputError(
                    f"{part} data: {_numbers(inputs)} inputs and {_numbers(labels)} labels; equally "
                    "many are needed, and at least one"
                )
        for kind, a, b in (
            ("inputs", self.x_train, self.x_validation),
            ("labels", self.y_train, self.y_validation),
        ):
            shapes = [
                {f"{path} {array.shape[1:]}".strip() for path, array in _leaves(part).items()}
                for part in (a, b)
            ]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"{kind}: an example has shape {', '.join(sorted(shapes[0]))} in training and "
                    f"{', '.join(sorted(shapes[1]))} in validation; one shape is needed"
                )

    @property
    def n_train(self) -> int:
        """How many examples there are to train on."""
        return len(next(iter(_leaves(self.x_train).values())))

    @property
    def n_validation(self) -> int:
        """How many examples there are to validate on."""
        return len(next(iter(_leaves(self.x_validation).values())))

    @property
    def first(self) -> tuple[Part, Part]:
        """The first training example, inputs and labels, as a batch of one."""
        first = self.head(1)
        return first.x_train, first.y_train

    def steps(self, batch: int) -> int:
        """Batches an epoch, the last one possibly smaller."""
        return math.ceil(self.n_train / batch)

    def head(self, count: int) -> Examples:
        """The first `count` examples of each part."""
        parts = (self.x_train, self.y_train, self.x_validation, self.y_validation)
        return Examples(*(map_arrays(lambda array: array[:count], part) for part in parts))

    @cached_property
    def sha256(self) -> str:
        """A hash of all arrays: their places, values, shapes and dtypes."""
        digest = hashlib.sha256()
        for part in (self.x_train, self.y_train, self.x_validation, self.y_validation):
            for path, array in _leaves(part).items():
                digest.update(f"{path}{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _leaves(part: Part, path: str = "") -> dict[str, NDArray[Any]]:
    """Path -> array, in the order of keys; the path of a plain array is empty."""
    if isinstance(part, Mapping):
        items: list[tuple[Any, Any]] = sorted(part.items())
    elif isinstance(part, tuple):
        items = list(enumerate(part))
    else:
        return {path: part}
    return {
        leaf: array
        for key, value in items
        for leaf, array in _leaves(value, f"{path}/{key}").items()
    }


def map_arrays(change: Callable[[Any], Any], part: Any) -> Any:
    """`part` with `change(array)` in the place of every array."""
    if isinstance(part, Mapping):
        return {key: map_arrays(change, value) for key, value in part.items()}
    if isinstance(part, tuple):
        return tuple(map_arrays(change, value) for value in part)
    return change(part)


def _numbers(counts: set[int]) -> str:
    return " or ".join(str(count) for count in sorted(counts)) or "0"
