"""What a test declares with `pytest.mark.convergence`, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..networks.recipes import Recipe, target_text
from ..verdicts.claim import Claim

TRAINING = ("target", "epochs", "monitor", "mode", "batch", "chance")
"""What a marker may say of the training: fields of a `Recipe`."""

CLAIM = ("kind", "p_good", "p_bad")
"""What it may say of the claim: the arguments of `Claim`; `kind` is `trains` unless given."""

EXAMPLE = "pytest.mark.convergence(target=0.95, epochs=3, p_good=0.95, p_bad=0.5)"


@dataclass(frozen=True)
class Declared:
    """A marker's content: how many verdicts its test asks for, the claim that `check` judges (None:
    the test names it itself) and what it says of the training."""

    hypotheses: int = 1
    claim: Claim | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


def read_marker(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Declared:
    """The declaration of `pytest.mark.convergence(*arguments, **keywords)`.

    Raises InputError for unknown or impossible values, such as p_bad >= p_good, an accuracy above 1 or a
    chance that meets the target.
    """
    count = keywords.get("hypotheses", 1)
    if arguments or type(count) is not int or count < 1:
        raise InputError(
            f"write pytest.mark.convergence(hypotheses=N), N a whole number >= 1, or {EXAMPLE}"
        )
    known = ("hypotheses", *TRAINING, *CLAIM)
    if unknown := [name for name in keywords if name not in known]:
        raise InputError(
            f"pytest.mark.convergence does not know {', '.join(unknown)}; it knows {', '.join(known)}"
        )
    for name in keywords:
        _require_kind(name, keywords[name])
    training = {name: keywords[name] for name in TRAINING if name in keywords}
    rates = {name: keywords[name] for name in CLAIM if name in keywords}
    if "accuracy" not in training.get("monitor", "val_accuracy") and "mode" not in training:
        raise InputError(
            f"monitor is {training['monitor']!r}, and mode is missing: 'max' if more of it is better, "
            "'min' if less is"
        )
    recipe = Recipe(**{"name": "of the marker", **training})  # refuses impossible values
    if recipe.chance is not None and "target" in training and recipe.meets_target(recipe.chance):
        raise InputError(
            f"chance is {recipe.chance}, and already meets the target, {target_text(recipe.as_dict())}"
        )
    claim = Claim(**{"kind": "trains", **rates}) if training or rates else None
    return Declared(count, claim, training)


def _require_kind(name: str, value: Any) -> None:
    """InputError where a number or a text is needed and `value` is something else. Only `chance` may be
    None; bool is no number."""
    if name in ("monitor", "mode", "kind"):
        if not isinstance(value, str):
            raise InputError(f"{name} is {value!r}; a text is needed")
    elif name in ("target", "p_good", "p_bad", "chance"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and (name, value) != ("chance", None):
            raise InputError(f"{name} is {value!r}; a number is needed")


def make_recipe(declared: Declared, given: Recipe | None, **facts: Any) -> Recipe:
    """The recipe of a `check`: what the marker says, over what `given` says, over the defaults; `facts`
    are fields that the data and the model settle.

    Raises InputError where neither names a target and epochs.
    """
    if given is None and (missing := {"target", "epochs"} - set(declared.training)):
        raise InputError(
            f"nothing says {' and '.join(sorted(missing))}; write {EXAMPLE}, or give a recipe"
        )
    fields = {} if given is None else given.as_dict()
    return Recipe(**{**fields, **declared.training, **facts})
