"""What `compile` and `fit` are told, whatever the data; nothing here imports Keras."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from ..errors import InputError, require_text, require_whole

LOGITS = "logits"
"""Name of an output layer whose values are logits; whoever compiles the model reads it."""


@dataclass(frozen=True)
class Training:
    """How a Keras model is trained.

    - `optimizer`, `optimizer_settings`, `loss`: as Keras names them, for an uncompiled model; a
      compiled one keeps its own. A model whose output layer is named `logits` has the loss taken from
      logits.
    - `batch`: examples in a batch.
    - `steps_per_execution`: batches between two looks at the run.

    Raises InputError for values out of range.
    """

    optimizer: str = "adam"
    optimizer_settings: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 0.001})
    loss: str = "categorical_crossentropy"
    batch: int = 32
    steps_per_execution: int = 50

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer_settings, Mapping):
            given = self.optimizer_settings
            raise InputError(f"optimizer_settings is {given!r}; a dict such as {{}} is needed")
        for name in ("optimizer", "loss"):
            require_text(name, getattr(self, name))
        settings = MappingProxyType(dict(self.optimizer_settings))
        object.__setattr__(self, "optimizer_settings", settings)
        for name in ("batch", "steps_per_execution"):
            require_whole(name, getattr(self, name))
        try:
            json.dumps(self.as_dict(), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"a training cannot be recorded as JSON ({error}); plain finite numbers are needed"
            ) from None

    def __hash__(self) -> int:
        return hash((self.optimizer, self.loss, self.batch, self.steps_per_execution))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy does not pickle; the fields as they were given do.
        return partial(Training, **self.as_dict()), ()

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON-ready."""
        return {**self.__dict__, "optimizer_settings": dict(self.optimizer_settings)}
