"""What makes a trial the very same trial."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..networks.recipes import Recipe
from . import environment
from .data import Data

if TYPE_CHECKING:
    import keras

PROTOCOL = 1
"""Raised by hand whenever training itself changes, so that no old record passes for a new one."""


def identify(
    model: keras.Model,
    recipe: Recipe,
    seed: int,
    examples: Data,
    callbacks: Sequence[Any] = (),
    version: str | None = None,
) -> dict[str, Any]:
    """What makes a trial the very same trial, JSON-ready: the model's configuration and compile
    settings, its initial weights, recipe, data, seed, environment and protocol; callbacks, each with
    its plain settings, and version where there are any. Code is not looked into: `version` is for a
    subclassed model, a loss or a callback whose code changes."""
    try:
        structure = model.to_json()
    except (NotImplementedError, TypeError, ValueError):  # code of its own, without a configuration
        parts = [model, *model.layers]
        structure = _text([(type(p).__module__, type(p).__qualname__, _config(p)) for p in parts])
    try:
        settings = json.dumps(model.get_compile_config(), sort_keys=True, default=_text)
    except (NotImplementedError, TypeError):  # a loss, say, that is an object of its own
        settings = _text([model.loss, type(model.optimizer), _config(model.optimizer)])
    extra: dict[str, Any] = {} if version is None else {"version": version}
    if callbacks:
        extra["callbacks"] = [_describe_callback(callback) for callback in callbacks]
    return {
        **extra,
        "factory": hashlib.sha256(f"{structure}{settings}".encode()).hexdigest(),
        "shapes": [list(weight.shape) for weight in model.get_weights()],
        "initial_weights": hash_weights(model.get_weights()),
        "recipe": recipe.as_dict(),
        "data": examples.sha256,
        "seed": seed,
        "environment": environment.describe(),
        "protocol": PROTOCOL,
    }


def _text(value: Any) -> str:
    """Its repr without memory addresses, which no other process would have again."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _config(part: Any) -> Any:
    try:
        return part.get_config()
    except (NotImplementedError, TypeError):  # TypeError: it holds an object of its own
        return None


def _describe_callback(callback: Any) -> list[Any]:
    settings = {
        key: repr(value)  # some are infinite, which JSON does not know
        for key, value in vars(callback).items()
        if not key.startswith("_") and isinstance(value, bool | int | float | str)
    }
    return [type(callback).__qualname__, settings]


def hash_weights(weights: list[NDArray[Any]]) -> str:
    """SHA-256 of types, shapes and values, in order."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(f"{weight.dtype}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()
