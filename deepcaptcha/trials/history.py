"""Why a trial missed its target, as far as its record tells: symptoms, each with its number.

Epochs tell most of it; where the state at the end was measured (END), it is read too. A symptom is what
was measured: none of the sentences here claims a cause.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..finding import CLIP, Finding, advise, percent
from .trial import Epoch, Trial

PREDICTORS = "predictors"
END = "symptoms at the end"
"""What a trial's probes may have measured: shares at declared steps, and the state of a failed one at
its end, as `diagnosis.probes` tells."""

CLIPPED_SHARE = 0.75
"""Least share of CLIP * (1 - accuracy), which a saturated softmax shows, in a loss that is called
clipped: the wrong examples cost 12 nats each on average, which nothing else asks for."""

NEAR = 0.05
"""How near a loss must be to what it is compared with, as a share of it."""


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


def symptom_lines(trials: Sequence[Trial]) -> list[str]:
    """For each symptom, most frequent first: of how many trials that missed their target it is, and
    the sentence and the fix of the first."""
    found = [finding for trial in trials if (finding := diagnose(trial)) is not None]
    first = {finding.code: f"{finding.sentence}; {finding.fix}" for finding in reversed(found)}
    return [
        f"{count} of {len(found)} that missed the target {'is' if count == 1 else 'are'} {code}: "
        + first[code]
        for code, count in symptom_counts(trials).items()
    ]


def is_at_chance_plateau(epoch: Epoch, classes: int) -> bool:
    """Whether the training loss is within NEAR of ln(classes), in nats; at least two classes."""
    loss, chance = epoch.metrics.get("loss"), math.log(classes)
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
    sentence = (
        f"{percent(share)} of the training examples have an exactly zero gradient and the loss "
        f"is {loss:.2f}, near {CLIP:.3f} * (1 - accuracy): softmax is saturated "
        "and the loss reads clipped probabilities"
    )
    return _missed("clipped", share, sentence, name="softmax")


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
    return _missed("not finite", epoch, f"NaN or infinity appeared first {where}")


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
        return _missed("no gradient", 1.0, sentence, "learned by heart")
    sentence = (
        "100 % of the training examples have an exactly zero gradient: the loss is flat where the "
        "outputs are"
    )
    return _missed("no gradient", 1.0, sentence)


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
    return _missed("dead units", 1.0, sentence)


def _frozen(trial: Trial) -> Finding | None:
    """No weight changed in the last epoch, compared bit for bit. Source: by definition. Where nobody
    saw the weights: none of the logged values ever changed."""
    changed, count = trial.epochs[-1].weights_changed, len(trial.epochs)
    if changed is False:
        return _missed("frozen", count, f"no weight changed in epoch {count}")
    if changed or count == 1 or any(e.metrics != trial.epochs[0].metrics for e in trial.epochs):
        return None
    return _missed("frozen", count, f"nothing that it logs changed in its {count} epochs")


def _plateau(trial: Trial) -> Finding | None:
    """The loss is that of a guess, within NEAR of ln(classes), in nats; with the share of predictions of
    one class and the Euclidean gradient norms of the layers where they were measured. Source: Shannon
    (1948), the entropy of a uniform distribution; Glorot and Bengio (2010) on norms by layer."""
    last, classes = trial.epochs[-1], trial.identity["recipe"].get("n_class")
    if classes is None or not is_at_chance_plateau(last, classes):
        return None
    loss, share = last.metrics["loss"], state_at_end(trial).get("most_frequent_share")
    guess = "" if share is None else f", {percent(share)} of the predictions are of one class"
    sentence = (
        f"the loss sits at {loss:.3f}, close to ln {classes} = {math.log(classes):.3f}, what guessing "
        f"costs{guess}{_gradients(trial)}"
    )
    return _missed("plateau", loss, sentence)


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
    return _missed("constant predictions", 1.0, sentence)


def _rising_loss(trial: Trial) -> Finding | None:
    """The mean training loss of the last epoch is above that of the first, in the loss' own unit.
    Source: by definition."""
    first, last = _first_and_last_loss(trial)
    if first is None or last is None or last <= first:
        return None
    count = len(trial.epochs)
    sentence = f"the loss rose from {first:.3g} in the first epoch to {last:.3g} in epoch {count}"
    return _missed("rising loss", last, sentence)


def _learning(trial: Trial) -> Finding:
    """None of the others: weights still changed, or nobody saw them."""
    first, last = _first_and_last_loss(trial)
    falls = "" if last is None or first is None else f" (loss {first:.3f} to {last:.3f})"
    count = len(trial.epochs)
    if trial.epochs[-1].weights_changed is None:
        sentence = f"the target was not met at the end{falls if count > 1 else ''}"
        return _missed("learning", last, sentence)
    over = f"its {count} epochs were" if count > 1 else "its one epoch was"
    return _missed("learning", last, f"it still changed when {over} over{falls}")


_SYMPTOMS = (
    _clipped,
    _not_finite,
    _no_gradient,
    _dead_units,
    _frozen,
    _plateau,
    _constant_predictions,
    _rising_loss,
    _learning,
)


def _missed(
    code: str, value: float | None, sentence: str, case: str | None = None, **words: str
) -> Finding:
    """A symptom of a missed target; a value of None is none."""
    return advise(code, "error", math.nan if value is None else value, sentence, case, **words)


def _first_and_last_loss(trial: Trial) -> tuple[float | None, float | None]:
    return trial.epochs[0].metrics.get("loss"), trial.epochs[-1].metrics.get("loss")


def _accuracy(epoch: Epoch) -> float | None:
    """The training accuracy, by whatever name Keras logs it (`accuracy`, `acc`, ...)."""
    for name, value in epoch.metrics.items():
        if "acc" in name and not name.startswith("val_"):
            return value
    return None
