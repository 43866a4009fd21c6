"""A factory, its data, and what it is held to. Nothing here imports TensorFlow before it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..keras.data import Data, read_data
from ..keras.models import Factory, new_model
from ..keras.source import factory_name, require_compiled
from ..networks.recipes import Recipe
from ..trials.trial import Callbacks

if TYPE_CHECKING:
    import keras

SEED = 1
"""Of the models that are looked at."""


@dataclass(frozen=True)
class Contracted:
    """A factory, its data, and what it is held to.

    - `build`, `train`, `validation`, `recipe`, `callbacks`, `version`, `name`: as for `Judge.check`.
    - `shapes`: layer's name -> output shape without the batch axis. `parameters`: of the model.
    - `claim`: the arguments of `pytest.mark.convergence`.
    - `overfit_share`, `overfit_steps`, `overfit_batch`: the loss on one batch of so many examples must
      fall to this share of its start within so many steps.
    - `known_failures`: contract -> reason; such a test is expected to fail, and fails if it passes.
    """

    build: Factory
    train: Any
    validation: Any
    shapes: Mapping[str, tuple[int | None, ...]] | None = None
    parameters: int | None = None
    claim: Mapping[str, Any] | None = None
    recipe: Recipe | None = None
    callbacks: Callbacks | None = None
    version: str | None = None
    name: str | None = None
    overfit_share: float = 0.1
    overfit_steps: int = 200
    overfit_batch: int = 32
    known_failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, or else the factory's."""
        return factory_name(self.build) if self.name is None else self.name

    @cached_property
    def data(self) -> Data:
        """The data, read once in a process."""
        return read_data(self.train, self.validation)

    def small_recipe(self, batch: int | None = None) -> Recipe:
        """One epoch, with the recipe's or the claim's batches unless given."""
        fields = {} if self.recipe is None else self.recipe.as_dict()
        claimed = (self.claim or {}).get("batch", fields.get("batch", 32))
        own = {
            "monitor": "loss",
            "mode": "min",
            "target": 0.0,
            "epochs": 1,
            "steps_per_execution": 1,
        }
        return Recipe(**{"name": "contract", **fields, **own, "batch": batch or claimed})

    def new_model(self, seed: int = SEED) -> keras.Model:
        """A model as a trial has it before it is compiled, if it is not.

        Raises InputError where neither the factory nor a recipe would compile it.
        """
        model = new_model(self.build, self.small_recipe(), self.data, seed)
        require_compiled(model, self.recipe)
        return model
