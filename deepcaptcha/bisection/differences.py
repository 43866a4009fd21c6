"""How two sources differ, and everything in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..trials.source import ChangeableSource

BELONG_TOGETHER = (
    ("optimizer", "optimizer_settings"),
    ("monitor", "mode", "target", "chance"),
    ("n_validation", "validation_split"),
)
"""Settings of which one makes no sense without the other."""


@dataclass(frozen=True)
class Difference:
    """What differs and moves as one: names of settings, each with its value in A and in B."""

    values: Mapping[str, tuple[object, object]]

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
    a: ChangeableSource, b: ChangeableSource, together: Sequence[Sequence[str]] = ()
) -> tuple[Difference, ...]:
    """How `a` and `b` differ, in the order of their settings. Groups of names in `together` move as one,
    as does what BELONG_TOGETHER names; groups with a name in common are one group.

    Raises InputError for sources that differ in more than their settings, or do not differ.
    """
    for part in a.base:
        ours, theirs = a.base[part], b.base.get(part)
        if isinstance(ours, frozenset) and isinstance(theirs, frozenset) and ours != theirs:
            only = ", ".join(sorted(ours ^ theirs))
            raise InputError(f"{a.name} and {b.name} need the same {part}; not in both: {only}")
        if ours is not theirs and ours != theirs:
            raise InputError(
                f"{a.name} and {b.name} have different {part}; one factory with other arguments and "
                "settings is needed"
            )
    names = list(a.settings)
    for group in together:
        for name in group:
            if name not in names:
                raise InputError(f"nothing is named {name!r}; known: {', '.join(names)}")
    for source in (a, b):
        for name, value in source.recorded.items():
            if not _equal(source.settings[name], value):
                raise InputError(
                    f"{source.name}: {name} is {value!r} and the argument of that name "
                    f"{source.settings[name]!r}; they move as one, so one value is needed"
                )
    pairs = {name: (a.settings[name], b.settings[name]) for name in names}
    found = {name: pair for name, pair in pairs.items() if not _equal(*pair)}
    if not found:
        raise InputError(f"{a.name} and {b.name} do not differ; nothing to bisect")
    return tuple(
        Difference({name: found[name] for name in found if name in group})
        for group in _groups(list(found), (*BELONG_TOGETHER, *together))
    )


def mix(
    a: ChangeableSource, b: ChangeableSource, taken: Sequence[Difference], name: str
) -> ChangeableSource:
    """`a` with the differences `taken` from `b`. One that is recorded as either of them keeps the name
    of its recipe.

    Raises InputError for settings that cannot be.
    """
    changes = {each: b.settings[each] for difference in taken for each in difference.values}
    mixed = a.replace(name, None, **changes)
    for whole in (a, b):
        if _equal(mixed.recorded, whole.recorded):
            return mixed.replace(name, whole.recipe)
    return mixed


def _equal(x: object, y: object) -> bool:
    try:
        return bool(x == y)
    except ValueError:  # arrays of several numbers, or what holds them
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            return x.keys() == y.keys() and all(_equal(x[key], y[key]) for key in x)
        return bool(np.array_equal(np.asarray(x), np.asarray(y)))


def _short(value: object) -> str:
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
