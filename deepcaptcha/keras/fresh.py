"""What must be new in every trial of a factory, seen at each: objects that hold state, and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from weakref import WeakValueDictionary

import numpy as np

from ..errors import InputError
from .backend import keras
from .data import Array

_made: WeakValueDictionary[int, object] = WeakValueDictionary()
"""Of this process: what earlier models are made of, as long as anybody holds it."""


def require_new(model: keras.Model, *, remembered: bool = True) -> keras.Model:
    """`model`, if it shares nothing that holds state with any model made before in this process; else
    InputError. `remembered`: no later one may share anything with it."""
    layers = model._flatten_layers(include_self=False)
    # Vocabularies and means are learned before the training, which does not move them.
    adapted = {id(v) for layer in layers if hasattr(layer, "adapt") for v in layer.variables}
    parts: list[tuple[str, object]] = [("model", model)]
    for layer in layers:
        if not layer.built and not hasattr(layer, "adapt"):  # it may hold no weights yet
            parts.append((layer.name, layer))
        parts += [(variable.path, variable) for variable in layer.variables]
    # A weight may also be the model's own.
    parts += [(weight.path, weight) for weight in model.weights]
    parts = [(name, part) for name, part in parts if id(part) not in adapted]
    if (optimizer := getattr(model, "optimizer", None)) is not None:
        parts.append(("optimizer", optimizer))
    for name, part in parts:
        if _made.get(id(part)) is part:
            raise _shared(name)
    if remembered:
        _made.update((id(part), part) for _, part in parts)
    return model


def _shared(name: str) -> InputError:
    if name == "model":
        return InputError(
            "the factory returned the same model twice; a new one is needed for every trial, or each "
            "would start from the last one's weights"
        )
    if name == "optimizer":
        return InputError(
            "two models of the factory share one optimizer and so its memory; it must make a new one "
            "each time"
        )
    return InputError(
        f"two models of the factory share {name} and so weights; it must make new layers each time"
    )


def hash_arrays(weights: Sequence[Array]) -> tuple[str, ...]:
    """A digest of each; empty of those that hold one value throughout, as many do at their start."""
    return tuple(
        hashlib.sha256(np.ascontiguousarray(weight).data).hexdigest()
        if weight.size and (weight != weight.flat[0]).any()
        else ""
        for weight in weights
    )


class Ends:
    """Of the last trial of each row in this process: its seed, and the weights that it changed."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], tuple[int, frozenset[str]]] = {}

    def require_left(self, row: tuple[str, str], start: Sequence[str]) -> None:
        """InputError where one of the arrays that a trial starts with is where the last one ended."""
        seed, ended = self._ends.get(row, (0, frozenset()))
        if places := [place for place, digest in enumerate(start) if digest in ended]:
            raise InputError(
                f"{row[0]}: the factory goes on from where seed {seed} ended (weight {places[0] + 1} of "
                f"{len(start)} is the same, bit for bit); it must make new weights for every trial"
            )

    def keep(
        self, row: tuple[str, str], seed: int, start: Sequence[str], end: Sequence[str]
    ) -> None:
        """Remember how a trial ended."""
        self._ends[row] = seed, frozenset(end) - {*start, ""}

    def forget(self) -> None:
        """Of all rows."""
        self._ends.clear()
