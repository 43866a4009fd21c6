"""Why a trial missed its target, as far as its record tells: symptoms, each with its number.

Epochs tell most of it; where the state at the end was measured (`symptom_probes`), it is read too. A
symptom is what was measured. None of the sentences here claims a cause.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..diagnosis.probes import END
from ..keras.frozen import EPSILON
from ..report.words import percent
from .trial import Epoch, Trial

Symptom = Literal[
    "clipped",
    "not finite",
    "no gradient",
    "dead units",
    "frozen",
    "plateau",
    "constant predictions",
    "rising loss",
    "learning",
]

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
    that converged. A trial that shows no other is `learning`."""
    if trial.outcome == "converged":
        return None
    found = (symptom(trial) for symptom in _SYMPTOMS)
    return next((diagnosis for diagnosis in found if diagnosis is not None), _learning(trial))


def symptom_counts(trials: Iterable[Trial]) -> dict[str, int]:
    """How many of the trials that missed their target show each symptom, most frequent first."""
    found = (diagnose(trial) for trial in trials)
    return dict(Counter(d.symptom for d in found if d is not None).most_common())


def symptom_lines(trials: Sequence[Trial]) -> list[str]:
    """For each symptom, most frequent first: of how many trials that missed their target it is, and
    the sentence of the first."""
    counts = symptom_counts(trials)
    found = [diagnosis for trial in trials if (diagnosis := diagnose(trial)) is not None]
    return [
        f"{count} of {len(found)} that missed the target {'is' if count == 1 else 'are'} {symptom}: "
        + next(d.sentence for d in found if d.symptom == symptom)
        for symptom, count in counts.items()
    ]


def is_at_clipped_floor(epoch: Epoch) -> bool:
    """Whether the training loss is CLIPPED_SHARE to 1 + NEAR of CLIPPED_LOSS * (1 - training accuracy),
    in nats."""
    loss, accuracy = epoch.metrics.get("loss"), _accuracy(epoch)
    if loss is None or accuracy is None or accuracy >= 1:
        return False
    floor = CLIPPED_LOSS * (1 - accuracy)
    return CLIPPED_SHARE * floor <= loss <= (1 + NEAR) * floor


def is_at_chance_plateau(epoch: Epoch, classes: int) -> bool:
    """Whether the training loss is within NEAR of ln(classes), in nats; at least two classes."""
    loss, chance = epoch.metrics.get("loss"), math.log(classes)
    return loss is not None and classes > 1 and abs(loss - chance) <= NEAR * chance


def state_at_end(trial: Trial) -> dict[str, Any]:
    """What was measured at the trial's end, as `symptom_probes.state_at_end` says; empty if nothing."""
    measured = trial.probes.get(END)
    return dict(measured[-1][1]) if measured else {}


def dead_layer(trial: Trial) -> str | None:
    """The first layer all of whose ReLU units (a share of 1) answer 0 to every training example; None
    without one, or where it was not measured."""
    shares = state_at_end(trial).get("dead_units", {})
    return next((layer for layer, share in shares.items() if share == 1), None)


def zero_gradient_share(trial: Trial) -> float | None:
    """Share of the training examples whose own loss has an exactly zero gradient, at the end; None
    where neither the last epoch nor the trial's end was looked at."""
    share = trial.epochs[-1].zero_gradient_share
    measured: float | None = state_at_end(trial).get("zero_gradient_share")
    return measured if share is None else share


def _clipped(trial: Trial) -> Diagnosis | None:
    """Examples without gradient (share of those trained on in the last epoch, above 0) while the loss is
    at the clipped floor (`is_at_clipped_floor`, nats). Source: Keras' cross-entropy on probabilities
    clips them to [1e-7, 1 - 1e-7], where its derivative is 0."""
    last, share = trial.epochs[-1], trial.epochs[-1].zero_gradient_share
    if not share or not is_at_clipped_floor(last):
        return None
    return Diagnosis(
        "clipped",
        f"{percent(share)} of the training examples have an exactly zero gradient and the loss "
        f"is {last.metrics['loss']:.2f}, near {CLIPPED_LOSS:.3f} * (1 - accuracy): softmax is saturated "
        "and the loss reads clipped probabilities; let the loss see the logits (softmax as the last "
        "operation, or from_logits=True), or scale the inputs to 0..1",
    )


def _not_finite(trial: Trial) -> Diagnosis | None:
    """A weight or the last loss is NaN or infinite: in which epoch first (from 1), and in which layer in
    the order of the model. Source: IEEE 754; what is not finite stays so under addition."""
    if trial.outcome != "diverged":
        return None
    broken = (i for i, e in enumerate(trial.epochs, 1) if e.metrics.get("loss", 0.0) is None)
    epoch = next(broken, None)
    where = "in a weight" if epoch is None else f"in epoch {epoch}"
    if path := state_at_end(trial).get("first_not_finite"):
        where += f", and the first layer that holds it is {path}"
    return Diagnosis(
        "not finite",
        f"NaN or infinity appeared first {where}; look for such values in the data, or lower the "
        "learning rate",
    )


def _no_gradient(trial: Trial) -> Diagnosis | None:
    """Every training example's own loss has an exactly zero gradient (a share of 1), at another loss
    than the clipped floor. Source: by definition."""
    if zero_gradient_share(trial) != 1:
        return None
    if _accuracy(trial.epochs[-1]) == 1:
        return Diagnosis(
            "no gradient",
            "every training example is right and has an exactly zero gradient: the training data are "
            "learned, the target is not met; use more data, or regularize",
        )
    return Diagnosis(
        "no gradient",
        "100 % of the training examples have an exactly zero gradient: the loss is flat where the "
        "outputs are; let it see the logits, or scale the inputs to 0..1",
    )


def _dead_units(trial: Trial) -> Diagnosis | None:
    """A layer of which no ReLU unit answers any training example (a share of 1). Source: Maas, Hannun
    and Ng (2013), Rectifier nonlinearities improve neural network acoustic models."""
    if (layer := dead_layer(trial)) is None:
        return None
    return Diagnosis(
        "dead units",
        f"no training example activates any ReLU unit of {layer}, so nothing before it can learn "
        "through it; lower the learning rate, start biases at 0, or use leaky_relu",
    )


def _frozen(trial: Trial) -> Diagnosis | None:
    """No weight changed in the last epoch, compared bit for bit. Source: by definition."""
    if trial.epochs[-1].weights_changed:
        return None
    return Diagnosis(
        "frozen",
        f"no weight changed in epoch {len(trial.epochs)}; look for a learning rate of zero or "
        "layers that are not trainable",
    )


def _plateau(trial: Trial) -> Diagnosis | None:
    """The loss is that of a guess, within NEAR of ln(classes), in nats; with the share of predictions of
    one class and the Euclidean gradient norms of the layers where they were measured. Source: Shannon
    (1948), the entropy of a uniform distribution; Glorot and Bengio (2010) on norms by layer."""
    last, classes = trial.epochs[-1], int(trial.identity["recipe"]["n_class"])
    if not is_at_chance_plateau(last, classes):
        return None
    share = state_at_end(trial).get("most_frequent_share")
    guess = "" if share is None else f", {percent(share)} of the predictions are of one class"
    return Diagnosis(
        "plateau",
        f"the loss sits at {last.metrics['loss']:.3f}, close to ln {classes} = {math.log(classes):.3f}, "
        f"what guessing costs{guess}{_gradients(trial)}; look at the inputs' offset and scale, and the "
        "learning rate",
    )


def _gradients(trial: Trial) -> str:
    norms = state_at_end(trial).get("gradient_norms", {})
    if none := [layer for layer, norm in norms.items() if norm == 0]:
        return f", no gradient reaches {', '.join(none)}"
    measured = [(norm, layer) for layer, norm in norms.items() if norm is not None]
    if not measured:
        return ""
    norm, layer = min(measured)
    return f", gradients are alive (the least norm is {norm:.2g}, of {layer})"


def _constant_predictions(trial: Trial) -> Diagnosis | None:
    """All training examples are predicted to be of one class (a share of 1), whatever the loss. Source:
    by definition."""
    if state_at_end(trial).get("most_frequent_share") != 1:
        return None
    return Diagnosis(
        "constant predictions",
        "100 % of the predictions are of one class, whatever the input; look at the inputs' scale, the "
        "learning rate and the balance of the labels",
    )


def _rising_loss(trial: Trial) -> Diagnosis | None:
    """The mean training loss of the last epoch is above that of the first, in the loss' own unit.
    Source: by definition."""
    first, last = (trial.epochs[i].metrics.get("loss") for i in (0, -1))
    if first is None or last is None or last <= first:
        return None
    return Diagnosis(
        "rising loss",
        f"the loss rose from {first:.3g} in the first epoch to {last:.3g} in epoch "
        f"{len(trial.epochs)}; lower the learning rate",
    )


def _learning(trial: Trial) -> Diagnosis:
    """None of the others: weights still changed."""
    first, last = (trial.epochs[i].metrics.get("loss") for i in (0, -1))
    falls = "" if last is None or first is None else f" (loss {first:.3f} to {last:.3f})"
    count = len(trial.epochs)
    over = f"its {count} epochs were" if count > 1 else "its one epoch was"
    return Diagnosis(
        "learning",
        f"it still changed when {over} over{falls}; give it more epochs or a better learning rate",
    )


_SYMPTOMS = (
    _clipped,
    _not_finite,
    _no_gradient,
    _dead_units,
    _frozen,
    _plateau,
    _constant_predictions,
    _rising_loss,
)


def _accuracy(epoch: Epoch) -> float | None:
    """The training accuracy, by whatever name Keras logs it (`accuracy`, `acc`, ...)."""
    for name, value in epoch.metrics.items():
        if "acc" in name and not name.startswith("val_"):
            return value
    return None
