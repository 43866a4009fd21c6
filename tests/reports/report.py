"""A public report of a model that does not train, and how the reports are found."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from deepcaptcha.finding import Component

Side = Literal["broken", "fixed"]
GROUPS = ("first", "found", "unseen")


@dataclass(frozen=True)
class Report:
    """One report, rebuilt. What is true of it was written down before any check was run on it.

    - `name`: a few words, as in `softmax over one unit`.
    - `source`: the site, and the number or title of the thread.
    - `components`: what is at fault, most of all first; naming any of them names the cause.
    - `cause`, `fix`: the cause, and what was accepted as the fix, in a sentence each.
    - `data`: side -> ((x, y), (validation x, validation y)), the same whenever it is called.
    - `build`: side -> a compiled Keras model, built anew, that draws from Keras' own seed.
    - `monitor`, `mode`, `target`, `epochs`, `batch_size`: what the fixed version reaches on its
      validation data within so many epochs, and the broken one does not, in each of three seeds.
    """

    name: str
    source: str
    components: tuple[Component, ...]
    cause: str
    fix: str
    data: Callable[[Side], Any]
    build: Callable[[Side], Any]
    target: float
    epochs: int
    batch_size: int = 32
    monitor: str = "val_accuracy"
    mode: Literal["max", "min"] = "max"


def reports(group: str) -> tuple[Report, ...]:
    """The reports of one of GROUPS: each of its modules holds one as REPORT, by the modules' names."""
    package = importlib.import_module(f"tests.reports.{group}")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(importlib.import_module(f"{package.__name__}.{name}").REPORT for name in names)
