"""Why a trial missed its target, as far as its record tells: symptoms, each with its number.

Epochs tell most of it; where the state at the end was measured (END), it is read too. A symptom is what
was measured: none of the sentences here claims a cause.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..finding import CLIP, Finding, number, percent
from .curves import (
    NEAR,
    constant_metric,
    creeping,
    flat,
    learning,
    missed,
    oscillating,
    rising_loss,
    too_few_epochs,
    unmoved,
    validation_apart,
)
from .trial import Epoch, Trial

PREDICTORS = "predictors"
END = "symptoms at the end"
"""What a trial's probes may have measured: shares at declared steps, and the state of a failed one at
its end, as `diagnosis.probes` tells."""

CLIPPED_SHARE = 0.75
"""Least share of CLIP * (1 - accuracy), which a saturated softmax shows, in a loss that is called
clipped: the wrong examples cost 12 nats each on average, which nothing else asks for."""

ABOVE = 1.01
"""Least ratio to what guessing costs of a loss that is called above it."""

ACCURACIES = (
    "accuracy",
    "acc",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
)
"""Keras' names of the share of examples that are right; the share among the best five is none."""


def diagnose(trial: Trial) -> Finding | None:
    """The first symptom that the record of a trial shows, of: clipped, not finite, no gradient, dead
    units, frozen, plateau, constant predictions, rising loss; else learning. None for a trial that
    converged."""
    if trial.outcome == "converged":
        return None
    found = (symptom(trial) for symptom in _SYMPTOMS)
    return next(finding for finding in found if finding is not None)


def symptom_counts(trials: Iterable[Trial]) -> dict[str, int]:
    """How many of the trials that missed their target show each symptom, most frequent first."""
    found = (diagnose(trial) for trial in trials)
    return dict(Counter(finding.code for finding in found if finding is not None).most_common())


def symptom_lines(trials: Sequence[Trial], *, advice: bool = True) -> list[str]:
    """For each symptom, most frequent first: of how many trials that missed their target it is, and the
    sentence of the first; with `advice`, the fix of the most frequent one alone, for those of several
    may contradict each other."""
    found = [finding for trial in trials if (finding := diagnose(trial)) is not None]
    first = {finding.code: finding for finding in reversed(found)}
    counts = Counter(finding.code for finding in found).most_common()
    lines = [
        f"{code}, {count} of {len(found)} that missed the target: {first[code].sentence}"
        for code, count in counts
    ]
    if lines and advice:
        lines[0] += f"; {first[counts[0][0]].fix}"
    return lines


def is_at_chance_plateau(epoch: Epoch, classes: int) -> bool:
    """Whether the training loss is within NEAR of ln(classes), in nats; at least two classes."""
    loss, chance = epoch.metrics.get("loss"), math.log(max(classes, 1))
    return loss is not None and classes > 1 and abs(loss - chance) <= NEAR * chance


def state_at_end(trial: Trial) -> Mapping[str, Any]:
    """What `diagnosis.probes.state_at_end` measured at the trial's end; empty if it was not asked to."""
    measured = trial.probes.get(END)
    return dict(measured[-1][1]) if measured else {}


def _clipped(trial: Trial) -> Finding | None:
    """Examples without gradient (share of those trained on in the last epoch, above 0) while the loss is
    CLIPPED_SHARE to 1 + NEAR of CLIP * (1 - training accuracy), in nats. Source: Keras' cross-entropy
    on probabilities clips them to [1e-7, 1 - 1e-7], where its derivative is 0."""
    last = trial.epochs[-1]
    share, loss, accuracy = last.zero_gradient_share, last.metrics.get("loss"), _accuracy(last)
    if not share or loss is None or accuracy is None or accuracy >= 1:
        return None
    floor = CLIP * (1 - accuracy)
    if not CLIPPED_SHARE * floor <= loss <= (1 + NEAR) * floor:
        return None
    # Of two classes, the last activation may be either.
    several = _classes(trial) != 2
    what, name = ("softmax is", "softmax") if several else ("the outputs are", "softmax or sigmoid")
    sentence = (
        f"{percent(share)} of the training examples have an exactly zero gradient and the loss "
        f"is {loss:.2f}, near {CLIP:.3f} * (1 - accuracy): {what} saturated "
        "and the loss reads clipped probabilities"
    )
    return missed("clipped", share, sentence, name=name)


def _not_finite(trial: Trial) -> Finding | None:
    """A weight or the last loss is NaN or infinite: in which epoch first (from 1), and in which layer in
    the order of the model. Source: IEEE 754; what is not finite stays so under addition. Where nobody
    saw the weights, any logged value counts."""
    if trial.outcome != "diverged":
        return None
    unseen = trial.epochs[-1].weights_changed is None
    logged = [e.metrics.values() if unseen else [e.metrics.get("loss", 0.0)] for e in trial.epochs]
    epoch = next((i for i, values in enumerate(logged, 1) if None in values), None)
    where = "in a weight" if epoch is None else f"in epoch {epoch}"
    if path := state_at_end(trial).get("first_not_finite"):
        where += f", and the first layer that holds it is {path}"
    return missed("not finite", epoch, f"NaN or infinity appeared first {where}")


def _no_gradient(trial: Trial) -> Finding | None:
    """Every training example's own loss has an exactly zero gradient (a share of 1) in the last epoch or
    else at the end, at another loss than the clipped floor. Source: by definition."""
    share = trial.epochs[-1].zero_gradient_share
    if (state_at_end(trial).get("zero_gradient_share") if share is None else share) != 1:
        return None
    if _accuracy(trial.epochs[-1]) == 1:
        sentence = (
            "every training example is right and has an exactly zero gradient: the training data are "
            "learned, the target is not met"
        )
        return missed("no gradient", 1.0, sentence, "learned by heart")
    sentence = (
        "100 % of the training examples have an exactly zero gradient: the loss is flat where the "
        "outputs are"
    )
    return missed("no gradient", 1.0, sentence)


def _dead_units(trial: Trial) -> Finding | None:
    """A layer of which no ReLU unit answers any training example (a share of 1). Source: Maas, Hannun
    and Ng (2013), Rectifier nonlinearities improve neural network acoustic models."""
    shares = state_at_end(trial).get("dead_units", {})
    layer = next((layer for layer, share in shares.items() if share == 1), None)
    if layer is None:
        return None
    sentence = (
        f"no training example activates any ReLU unit of {layer}, so nothing before it can learn "
        "through it"
    )
    return missed("dead units", 1.0, sentence)


def _frozen(trial: Trial) -> Finding | None:
    """No weight changed in the last epoch, compared bit for bit; at a loss of exactly 0; with examples
    whose gradient at the outputs is exactly zero, or without. Where nobody saw the weights: none of the
    logged values ever changed. Source: by definition."""
    last, count = trial.epochs[-1], len(trial.epochs)
    if last.weights_changed is False:
        sentence = f"no weight changed in epoch {count}"
        if last.metrics.get("loss") == 0 and _accuracy(last) != 1:
            sentence += ", and the loss is exactly 0, though the target is not met"
            return missed("frozen", count, sentence, "costs nothing")
        if share := last.zero_gradient_share:
            sentence += (
                f", and {percent(share)} of the training examples have an exactly zero gradient"
            )
            return missed("frozen", count, sentence, "frozen by its outputs")
        return missed("frozen", count, sentence)
    same = all(epoch.metrics == trial.epochs[0].metrics for epoch in trial.epochs)
    if last.weights_changed or count == 1 or not same:
        return None
    return missed("frozen", count, f"nothing that it logs changed in its {count} epochs")


def _plateau(trial: Trial) -> Finding | None:
    """The loss is that of a guess, within NEAR of ln(classes), in nats; with the share of predictions of
    one class and the Euclidean gradient norms of the layers where they were measured. No constant answer
    stays ABOVE times it: there the steps throw the answers about. Source: Shannon (1948), the entropy of
    a uniform distribution; Glorot and Bengio (2010) on norms by layer."""
    last, classes = trial.epochs[-1], _classes(trial)
    loss = last.metrics.get("loss")
    if loss is None or not is_at_chance_plateau(last, classes):
        return None
    share = state_at_end(trial).get("most_frequent_share")
    guess = "" if share is None else f", {percent(share)} of the predictions are of one class"
    chance = math.log(classes)
    if loss > ABOVE * chance:
        place, case = f"above ln {classes} = {chance:.3f}, what guessing costs", "plateau above"
    else:
        place, case = f"close to ln {classes} = {chance:.3f}, what guessing costs", None
    sentence = f"the loss sits at {loss:.3f}, {place}{guess}{_gradients(trial)}"
    return missed("plateau", loss, sentence, case)


def _gradients(trial: Trial) -> str:
    norms = state_at_end(trial).get("gradient_norms", {})
    if none := [layer for layer, norm in norms.items() if norm == 0]:
        return f", no gradient reaches {', '.join(none)}"
    measured = [(norm, layer) for layer, norm in norms.items() if norm is not None]
    least = "{:.2g}, of {}".format(*min(measured)) if measured else ""
    return least and f", gradients are alive (the least norm is {least})"


def _constant_predictions(trial: Trial) -> Finding | None:
    """All training examples are predicted to be of one class (a share of 1), whatever the loss. Source:
    by definition."""
    if state_at_end(trial).get("most_frequent_share") != 1:
        return None
    sentence = "100 % of the predictions are of one class, whatever the input"
    return missed("constant predictions", 1.0, sentence)


def _loss_against_accuracy(trial: Trial) -> Finding | None:
    """A cross-entropy that costs less than its accuracy allows, in the last epoch, in nats: below 0, or
    the accuracy below 1 - loss / ln 2 by NEAR. Source: an example that costs less than ln 2 gives its
    class more than half of the probability, so it is right (Markov's inequality for their share)."""
    last = trial.epochs[-1]
    loss, accuracy = last.metrics.get("loss"), _accuracy(last)
    if loss is None:
        return None
    if loss < 0 and trial.target.monitor.removeprefix("val_") != "loss":
        if accuracy is None and trial.outcome != "stuck":
            return None  # a likelihood of densities, say, which may well be above 1
        stays = "" if accuracy is None else f", while {percent(accuracy)} of the answers are right"
        sentence = (
            f"the loss is below 0, at {number(loss)}{stays}: a cross-entropy of targets between 0 "
            "and 1 never is"
        )
        return missed("negative loss", loss, sentence)
    least = 1 - loss / math.log(2)
    if _classes(trial) < 2 or accuracy is None or accuracy >= least - NEAR:
        return None
    sentence = (
        f"the loss is {number(loss)}, so at least {percent(least)} of the answers should be right, and "
        f"{percent(accuracy)} are: loss and accuracy do not see the same answers"
    )
    return missed("loss against accuracy", accuracy, sentence)


_SYMPTOMS = (
    _clipped,
    _not_finite,
    _no_gradient,
    _dead_units,
    _frozen,
    _loss_against_accuracy,
    creeping,
    _plateau,
    _constant_predictions,
    validation_apart,
    constant_metric,
    unmoved,
    oscillating,
    rising_loss,
    too_few_epochs,
    flat,
    learning,
)


def _accuracy(epoch: Epoch) -> float | None:
    """The training accuracy, by whatever of its names Keras logs it."""
    return next((epoch.metrics[name] for name in ACCURACIES if name in epoch.metrics), None)


def _classes(trial: Trial) -> int:
    """How many classes guessing would choose from; 1 where that is not known."""
    return int(trial.settings.get("n_class") or 1)
