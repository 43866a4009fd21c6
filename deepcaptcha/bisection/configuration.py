"""Two configurations of one factory, how they differ, and everything in between."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..keras.models import Factory
from ..networks.recipes import Recipe

if TYPE_CHECKING:
    import keras

RECIPE_FIELDS = tuple(field.name for field in fields(Recipe) if field.name != "name")

BELONG_TOGETHER = (
    ("optimizer", "optimizer_settings"),
    ("monitor", "mode", "target", "chance"),
    ("n_validation", "validation_split"),
)
"""Recipe fields of which one makes no sense without the other."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """A factory, the named arguments it is called with, and how its model is trained.

    `build(**arguments)` returns a new Keras model. InputError for arguments it does not take.
    """

    build: Callable[..., keras.Model]
    arguments: Mapping[str, Any]
    recipe: Recipe
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))
        if not callable(self.build):
            raise InputError(f"{self.name}: the factory is {self.build!r}; a callable is needed")
        try:
            inspect.signature(self.build).bind(**self.arguments)
        except TypeError as error:
            raise InputError(
                f"{self.name}: the factory does not take its arguments: {error}"
            ) from None

    @property
    def factory(self) -> Factory:
        """The model's factory without arguments; pickles where `build` and the arguments do."""
        return partial(self.build, **self.arguments)


@dataclass(frozen=True)
class Difference:
    """What differs and moves as one: names of arguments and recipe fields, each with its value in A
    and in B. An argument and a recipe field of one name are one thing."""

    values: Mapping[str, tuple[Any, Any]]

    @property
    def name(self) -> str:
        """The names of what moves, joined by +."""
        return "+".join(self.values)

    @property
    def text(self) -> str:
        """`scaling 'raw' -> 'unit'`."""
        return ", ".join(
            f"{name} {_short(before)} -> {_short(after)}"
            for name, (before, after) in self.values.items()
        )

    def reversed(self) -> Difference:
        """The same from B to A."""
        return Difference({name: pair[::-1] for name, pair in self.values.items()})


def find_differences(
    a: Configuration, b: Configuration, together: Sequence[Sequence[str]] = ()
) -> tuple[Difference, ...]:
    """How `a` and `b` differ, arguments first. Groups of names in `together` move as one, as does
    what BELONG_TOGETHER names; groups with a name in common are one group.

    Raises InputError for another factory, other argument names, or no difference.
    """
    if a.build is not b.build and a.build != b.build:
        raise InputError(
            f"{a.name} and {b.name} have different factories; one factory with other arguments is "
            "needed"
        )
    if set(a.arguments) != set(b.arguments):
        only = ", ".join(sorted(set(a.arguments) ^ set(b.arguments)))
        raise InputError(f"{a.name} and {b.name} need the same argument names; not in both: {only}")
    names = list(dict.fromkeys((*a.arguments, *RECIPE_FIELDS)))
    for group in together:
        for name in group:
            if name not in names:
                raise InputError(f"nothing is named {name!r}; known: {', '.join(names)}")
    found = {name: pair for name in names if (pair := _unequal(a, b, name)) is not None}
    if not found:
        raise InputError(f"{a.name} and {b.name} do not differ; nothing to bisect")
    return tuple(
        Difference({name: found[name] for name in found if name in group})
        for group in _groups(list(found), (*BELONG_TOGETHER, *together))
    )


def _unequal(a: Configuration, b: Configuration, name: str) -> tuple[Any, Any] | None:
    pairs = []
    if name in a.arguments:
        pairs.append((a.arguments[name], b.arguments[name]))
    if name in RECIPE_FIELDS:
        pairs.append((a.recipe.as_dict()[name], b.recipe.as_dict()[name]))
    return next((pair for pair in pairs if not _equal(*pair)), None)


def _equal(x: Any, y: Any) -> bool:
    try:
        return bool(x == y)
    except ValueError:  # arrays of several numbers, or what holds them
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            return x.keys() == y.keys() and all(_equal(x[key], y[key]) for key in x)
        return bool(np.array_equal(x, y))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _groups(names: Sequence[str], together: Sequence[Sequence[str]]) -> list[set[str]]:
    groups = [{name} for name in names]
    for joined in together:
        touched = [group for group in groups if group & set(joined)]
        if len(touched) > 1:
            touched[0].update(*touched[1:])
            groups = [group for group in groups if group not in touched[1:]]
    return groups


def mix(
    a: Configuration, b: Configuration, taken: Sequence[Difference], name: str
) -> Configuration:
    """`a` with the differences `taken` from `b`. A recipe equal to one of theirs keeps its name.

    Raises InputError for a recipe that cannot be.
    """
    changed = [name for difference in taken for name in difference.values]
    arguments = {key: (b if key in changed else a).arguments[key] for key in a.arguments}
    fresh = {key: getattr(b.recipe, key) for key in changed if key in RECIPE_FIELDS}
    recipe = replace(a.recipe, name=f"{a.recipe.name} + {', '.join(fresh)}", **fresh)
    same = (whole for whole in (a.recipe, b.recipe) if replace(recipe, name=whole.name) == whole)
    recipe = next(same, recipe)
    return Configuration(a.build, arguments, recipe, name)
