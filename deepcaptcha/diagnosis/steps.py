"""Findings on how a model behaves: what it shows before and after throw-away steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report.words import percent
from .data import Finding
from .model import CLIP, STEPS, head_findings
from .observe import COSTS, Head, Observed

if TYPE_CHECKING:
    import keras

LOST = 0.5
"""Share of examples that cost something and have no gradient, from which it is an error."""

UNSTABLE = 2.0
"""How many times the loss may exceed its start, or what guessing costs, after the throw-away steps."""

JUMP = 100.0
"""How many times its start, or what guessing costs, the loss may be after one step."""

SURE = 2.0
"""How many times ln(classes) the first loss may be: more is a model sure of wrong answers."""


def is_finite(seen: Observed) -> bool:
    """Whether the outputs and the loss are."""
    return seen.finite and math.isfinite(seen.example_loss)


def start_findings(
    model: keras.Model, head: Head, seen: Observed, y: Any, count: int | None
) -> list[Finding]:
    """On a model before its first step, as `seen` with the targets `y` of `count` classes, if any."""
    if not is_finite(seen):
        return [
            Finding(
                "not finite",
                "error",
                math.nan,
                "the model's outputs or loss are NaN or infinite before the first step",
                "look at the scale of inputs and initial weights",
            )
        ]
    found = head_findings(model, head, seen, y)
    if count is not None and count > 1 and seen.example_loss > SURE * math.log(count):
        found.append(
            Finding(
                "first loss",
                "warning",
                seen.example_loss,
                f"the first loss is {seen.example_loss:.3g}, and guessing costs ln {count} = "
                f"{math.log(count):.3g}: the model is sure of wrong answers",
                "scale the inputs, or the last layer's initial weights, down",
            )
        )
    return found


def step_findings(
    model: keras.Model,
    head: Head,
    seen: tuple[Observed, Observed, Observed],
    guess: float,
    untouched: list[keras.Variable],
) -> list[Finding]:
    """On a model `seen` before, after one and after STEPS throw-away steps, which left some weights
    `untouched`; a constant `guess` costs so much."""
    before, next_, after = seen
    return [
        *_one_step(head, before, next_),
        *_unstable(max(before.example_loss, guess), before, next_, after),
        *_lost(head, before, after),
        *_dead(before, after),
        *([] if has_learnt(before, guess) else _untouched(model, untouched)),
    ]


def has_learnt(seen: Observed, guess: float) -> bool:
    """Whether the loss is next to nothing beside that of a guess: gradients then vanish as they
    should."""
    return seen.example_loss <= COSTS * (guess or 1)


def _one_step(head: Head, before: Observed, after: Observed) -> list[Finding]:
    if before.logits is None or after.logits is None or head.kind != "Softmax":
        return []
    moved = float(np.median(np.abs(after.logits - before.logits).max(axis=-1)))
    if not moved > CLIP:
        return []
    return [
        Finding(
            "large step",
            "warning",
            moved,
            f"one step moves the logits by {moved:.0f}; a change of {CLIP:.0f} turns certainty round",
            "scale the inputs down, or lower the learning rate",
        )
    ]


def _unstable(floor: float, before: Observed, next_: Observed, after: Observed) -> list[Finding]:
    for steps, seen, most in ((1, next_, JUMP), (STEPS, after, UNSTABLE)):
        if not is_finite(seen):
            told = "the outputs or the loss are no longer finite"
        elif 0 < most * floor < seen.example_loss:
            told = f"the loss has gone from {before.example_loss:.3g} to {seen.example_loss:.3g}"
        else:
            continue
        return [
            Finding(
                "unstable",
                "error",
                seen.example_loss,
                f"after {steps} step{'s' * (steps > 1)} {told}",
                "lower the learning rate tenfold, or clip the gradients",
            )
        ]
    return []


def _lost(head: Head, before: Observed, after: Observed) -> list[Finding]:
    share = after.lost_share
    if share is None or not share:
        return []
    name = (head.kind or "").lower()
    why = (
        f"{name} is saturated and the loss reads clipped probabilities, because an operation after "
        f"{name} hides the logits"
        if head.hidden
        else "the loss is flat where these outputs are"
    )
    return [
        Finding(
            "lost examples",
            "error" if share >= LOST else "warning",
            share,
            f"after {STEPS} steps {percent(share)} of the examples are wrong and have exactly zero "
            f"gradient ({percent(before.lost_share or 0)} before): {why}",
            f"make {name} the last operation (reshape first) or use logits with from_logits=True, or "
            "scale the inputs to 0..1"
            if head.hidden
            else "use a loss that grows with the error, and scale the inputs",
        )
    ]


def _dead(before: Observed, after: Observed) -> list[Finding]:
    found = []
    for layer, share in before.dead_units.items():
        share = min(share, after.dead_units[layer])
        if share < 0.5:
            continue
        found.append(
            Finding(
                "dead units",
                "error" if share == 1 else "warning",
                share,
                f"{percent(share)} of the ReLU units of {layer} answer 0 to every example, before and "
                f"after {STEPS} steps",
                "start biases at 0 and kernels with he_normal, or use leaky_relu",
            )
        )
    return found


def _untouched(model: keras.Model, untouched: list[Any]) -> list[Finding]:
    if not untouched:
        return []
    size = sum(math.prod(variable.shape) for variable in untouched)
    share = size / sum(math.prod(variable.shape) for variable in model.trainable_variables)
    names = ", ".join(variable.path for variable in untouched[:3])
    return [
        Finding(
            "no gradient",
            "error" if share >= 0.5 else "warning",
            share,
            f"{percent(share)} of the trainable weights had exactly zero gradient in all of {STEPS} "
            f"steps: {names}{', ...' if len(untouched) > 3 else ''}",
            "initialize kernels at random, and see what cuts these layers off from the loss",
        )
    ]
