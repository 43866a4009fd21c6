"""Why a trial missed its target, as far as its record tells: symptoms, each with its number.

Epochs tell most of it; where the state at the end was measured (`symptom_probes`), it is read too. A
symptom is what was measured. None of the sentences here claims a cause.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .frozen import EPSILON
from .symptom_probes import END
from .trial import Epoch, Trial

Symptom = Literal["clipped", "not finite", "dead units", "frozen", "plateau", "learning"]

CLIPPED_LOSS = -math.log(EPSILON)
"""Loss of an example whose target has probability 0, as Keras' cross-entropy clips it: 16.118 nats. An
example it is sure of costs nothing, so that a saturated softmax shows 16.118 * (1 - accuracy)."""

CLIPPED_SHARE = 0.75
"""Least share of that floor in a loss that is called clipped: the wrong examples cost 12 nats each on
average, which only a saturated softmax asks for."""

NEAR = 0.05
"""How near a loss must be to what it is compared with, as a share of it."""


@dataclass(frozen=True)
class Diagnosis:
    """A symptom and one sentence with its numbers and what usually mends it."""

    symptom: Symptom
    sentence: str


def diagnose(trial: Trial) -> Diagnosis | None:
    """The first symptom, in the order of `Symptom`, that the record of a trial shows; None for one
    that converged."""
    if trial.outcome == "converged":
        return None
    last = trial.epochs[-1]
    share, loss = last.zero_gradient_share, last.metrics.get("loss")
    if share is not None and share > 0 and is_at_clipped_floor(last):
        return Diagnosis(
            "clipped",
            f"{100 * share:.0f} % of the training examples have an exactly zero gradient and the loss "
            f"is {loss:.2f}, near {CLIPPED_LOSS:.3f} * (1 - accuracy): softmax is saturated and the "
            "loss reads clipped probabilities; let the loss see the logits (softmax as the last "
            "operation, or from_logits=True), or scale the inputs to 0..1",
        )
    end = state_at_end(trial)
    if trial.outcome == "diverged":
        epoch = next((i for i, e in enumerate(trial.epochs, 1) if e.metrics.get("loss") is None), 0)
        where = f"in epoch {epoch}" if epoch else "in a weight"
        if end.get("first_not_finite"):
            where += f", and the first layer that holds it is {end['first_not_finite']}"
        return Diagnosis(
            "not finite",
            f"NaN or infinity appeared first {where}; look for such values in the data, or lower the "
            "learning rate",
        )
    if (layer := dead_layer(trial)) is not None:
        return Diagnosis(
            "dead units",
            f"no training example activates any ReLU unit of {layer}, so nothing before it can learn; "
            "lower the learning rate, start biases at 0, or use leaky_relu",
        )
    if not last.weights_changed:
        return Diagnosis(
            "frozen",
            f"no weight changed in epoch {len(trial.epochs)}; look for a learning rate of zero or "
            "layers that are not trainable",
        )
    classes = int(trial.identity["recipe"]["n_class"])
    if is_at_chance_plateau(last, classes):
        return Diagnosis(
            "plateau",
            f"the loss sits at {loss:.3f}, close to ln {classes} = {math.log(classes):.3f}, what "
            f"guessing costs{_guess(end)}, and gradients are alive{_gradients(end)}; look at the "
            "inputs' offset and scale, and the learning rate",
        )
    first = trial.epochs[0].metrics.get("loss")
    falls = "" if loss is None or first is None else f" (loss {first:.3f} to {loss:.3f})"
    return Diagnosis(
        "learning",
        f"it still changed when its {len(trial.epochs)} epochs were over{falls}; give it more epochs or "
        "a better learning rate",
    )


def is_at_clipped_floor(epoch: Epoch) -> bool:
    """Whether the training loss is CLIPPED_SHARE to 1 + NEAR of CLIPPED_LOSS * (1 - training accuracy),
    in nats."""
    loss, accuracy = epoch.metrics.get("loss"), epoch.metrics.get("accuracy")
    if loss is None or accuracy is None or accuracy >= 1:
        return False
    floor = CLIPPED_LOSS * (1 - accuracy)
    return CLIPPED_SHARE * floor <= loss <= (1 + NEAR) * floor


def is_at_chance_plateau(epoch: Epoch, classes: int) -> bool:
    """Whether the training loss is within NEAR of ln(classes), in nats."""
    loss = epoch.metrics.get("loss")
    return loss is not None and abs(loss - math.log(classes)) <= NEAR * math.log(classes)


def state_at_end(trial: Trial) -> dict[str, Any]:
    """What was measured at the trial's end, as `symptom_probes.state_at_end` says; empty if nothing."""
    measured = trial.probes.get(END)
    return dict(measured[-1][1]) if measured else {}


def dead_layer(trial: Trial) -> str | None:
    """The first layer all of whose ReLU units (a share of 1) answer 0 to every training example; None
    without one, or where it was not measured."""
    shares = state_at_end(trial).get("dead_units", {})
    return next((layer for layer, share in shares.items() if share == 1), None)


def _guess(end: dict[str, Any]) -> str:
    share = end.get("most_frequent_share")
    return "" if share is None else f", {share:.0%} of the predictions are of one class"


def _gradients(end: dict[str, Any]) -> str:
    norms = [(layer, norm) for layer, norm in end.get("gradient_norms", {}).items() if norm]
    if not norms:
        return ""
    layer, norm = min(norms, key=lambda pair: pair[1])
    return f" (the least norm is {norm:.2g}, of {layer})"


def symptom_lines(trials: Sequence[Trial]) -> list[str]:
    """For each symptom, most frequent first: of how many trials that missed their target it is, and
    the sentence of the first."""
    found = [diagnosis for trial in trials if (diagnosis := diagnose(trial)) is not None]
    counts = Counter(diagnosis.symptom for diagnosis in found)
    return [
        f"{count} of {len(found)} that missed the target are {symptom}: "
        + next(d.sentence for d in found if d.symptom == symptom)
        for symptom, count in counts.most_common()
    ]
