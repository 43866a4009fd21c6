"""What the curves of a training show: numbers first (how far they moved, whether they fall, swing or
flatten, how long they would take), then the symptoms that these numbers are.

Thresholds were chosen on some hundred trainings of public reports and of models of our own, faulty and
sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, linear_regression, median

from ..finding import Finding, advise, number, percent
from .trial import Target, Trial

Values = tuple[float, ...]

NEAR = 0.05
"""How near a value must be to what it is compared with, as a share of it."""

UNMOVED = 0.01
"""Least movement of a loss that learns: less of it is what batches differ by."""

LEARNED = 0.1
"""Least share of itself by which the training loss of a model that learned something fell."""

APART = 1.2
"""Least ratio of validation to training loss of two that are apart. Of sound trainings it is below 1 at
first, since the training loss is a mean over the epoch."""

PACE = 0.5
"""Least pace of a loss that falls in a straight line: too small a learning rate has 0.7 to 1.0, one that
learned what it could about 0.1."""

FAR = 1000.0
"""Least loss, in its own unit, that tells of targets or inputs far from 1: no step of a usual size gets
there, and of classes none costs so much."""

STEADY = 0.8
"""Least share of falls among the changes of a loss that goes on falling."""

FLAT = 0.1
"""Least share of the way to the target made in half of the epochs that others like them may complete."""

LONGER = 10
"""Most times the epochs declared that are worth telling: beyond it, lines say nothing."""

TURNS, SWING = 0.5, 0.1
"""Least share of turns, and least swing, of a loss that goes up and down."""


@dataclass(frozen=True)
class Curves:
    """A trial's curves, a value an epoch; empty where one was not logged, or not finite in each epoch.

    - `loss`, `validation_loss`: in the loss' own unit, less is better.
    - `monitor`: what the target is on. `twin`: the same of the training data, where `monitor` is of the
      validation data.
    """

    loss: Values
    validation_loss: Values
    monitor: Values
    twin: Values


def curves_of(trial: Trial) -> Curves:
    """The curves of a trial of at least one epoch."""
    monitor = trial.target.monitor
    own = monitor.removeprefix("val_")
    return Curves(
        curve(trial, "loss"),
        curve(trial, "val_loss"),
        curve(trial, monitor),
        curve(trial, own) if own != monitor else (),
    )


def curve(trial: Trial, name: str) -> Values:
    """A logged value by epoch; a loss that is 0 in all of them was none: Keras logs it so where a
    training step of one's own never told it."""
    found = [value for epoch in trial.epochs if (value := epoch.metrics.get(name)) is not None]
    unknown = len(found) < len(trial.epochs) or (name == "loss" and not any(found))
    return () if unknown else tuple(found)


def movement(values: Values) -> float:
    """How far the values lie apart, as a share of the largest one's size; of a first epoch, during which
    the weights came from where they were drawn, only if there are but two. NaN for less than two."""
    later = values[1:] if len(values) > 2 else values
    if len(later) < 2:
        return math.nan
    size = max(abs(value) for value in later)
    return (max(later) - min(later)) / size if size else 0.0


def turning_share(values: Values) -> float:
    """The share of neighbouring changes that go in opposite directions, in [0, 1]; NaN for less than
    two changes."""
    changes = [b - a for a, b in pairwise(values)]
    turns = [a * b < 0 for a, b in pairwise(changes)]
    return fmean(turns) if turns else math.nan


def swing(values: Values) -> float:
    """The median size of a change from one epoch to the next, as a share of the mean size of the values;
    the mean change would be that of the first epochs, in which most is learned."""
    size = fmean(abs(value) for value in values)
    changes = [abs(b - a) for a, b in pairwise(values)]
    return median(changes) / size if changes and size else 0.0


def falling_share(values: Values) -> float:
    """The share of changes from one epoch to the next that are falls; NaN for less than two values."""
    falls = [b < a for a, b in pairwise(values)]
    return fmean(falls) if falls else math.nan


def pace(values: Values) -> float:
    """How much the values changed over the last half of the epochs against the first half: about 1 of a
    straight line, near 0 of a curve that flattens. NaN for less than three values, or no change."""
    middle = (len(values) - 1) // 2
    if middle < 1 or values[middle] == values[0]:
        return math.nan
    early = (values[middle] - values[0]) / middle
    return (values[-1] - values[middle]) / (len(values) - 1 - middle) / early


def epochs_needed(values: Values, target: Target) -> tuple[float, float] | None:
    """After how many epochs, counted from the first, the monitor would reach its target: a range.

    Straight lines are fitted (least squares) to the last half of the epochs, at least three. Its lower
    end is a line against the epoch: each gains as much as the last ones did, which no learning curve
    keeps up. Its upper end is the later of two: a line against the epoch's logarithm, each doubling
    gains as much; and, where the values have a bound (1 above, 0 below), the distance from it as a
    power of the epoch. None for less than three epochs, and where a line does not lead there.
    Source: Hestness et al. (2017), Deep learning scaling is predictable, on errors as powers.
    A range, not an interval: of three trainings that went on, it held two, and one took a sixth longer.
    """
    first = min(len(values) // 2, len(values) - 3)
    if first < 0:
        return None
    epochs = [float(epoch) for epoch in range(first + 1, len(values) + 1)]
    later = values[first:]
    logarithms = [math.log(epoch) for epoch in epochs]
    found = [_crossing(epochs, later, target.value)]
    found.append(_power(_crossing(logarithms, later, target.value)))
    bound = 1.0 if target.mode == "max" else 0.0
    distances = [abs(bound - value) for value in later]
    side = min if target.mode == "min" else max
    if side(*later, target.value, bound) == bound:  # all lie on one side of it
        if min(*distances, abs(bound - target.value)) == 0:
            return None
        goal = math.log(abs(bound - target.value))
        found.append(_power(_crossing(logarithms, [math.log(d) for d in distances], goal)))
    if any(epoch is None for epoch in found):
        return None
    known = [epoch for epoch in found if epoch is not None]
    return known[0], max(known)


def _crossing(x: Sequence[float], y: Sequence[float], goal: float) -> float | None:
    """Where the line through the points, fitted by least squares, is at `goal`, which the last is to lie
    before; None if it does not lead there."""
    slope, start = linear_regression(x, y)
    if not slope:
        return None
    at = (goal - start) / slope
    return at if at > x[-1] else None


def _power(logarithm: float | None) -> float | None:
    return None if logarithm is None else math.exp(logarithm) if logarithm < 700 else math.inf


def validation_apart(trial: Trial) -> Finding | None:
    """The training data learned, the validation data not: the target is met by the training metric, or
    the training loss fell by LEARNED of itself and the validation loss rose by NEAR; and the validation
    loss was APART times the training loss in some epoch. From the first epoch on, where a falling
    validation loss tells averages that catch up (a shift of the data only grows with what is learned),
    or after a minimum."""
    curves = curves_of(trial)
    loss, held = curves.loss, curves.validation_loss
    met = bool(curves.twin) and trial.target.is_met(curves.twin[-1])
    if loss and held:
        fell = 0 <= loss[-1] <= (1 - LEARNED) * loss[0] and held[-1] > (1 + NEAR) * held[0]
        ratios = [b / a if a > 0 else math.inf for a, b in zip(loss, held, strict=True)]
        if not (met or fell) or max(ratios) < APART:
            return None
        return _apart(trial, curves, ratios)
    if not met or not curves.monitor or trial.target.is_met(curves.monitor[-1]):
        return None
    sentence = (
        f"{trial.target.monitor.removeprefix('val_')} of the training data is "
        f"{number(curves.twin[-1])} and meets the target, {trial.target.monitor} is "
        f"{number(curves.monitor[-1])}"
    )
    return missed("behind in validation", curves.monitor[-1], sentence)


def _apart(trial: Trial, curves: Curves, ratios: Sequence[float]) -> Finding:
    loss, held, count = curves.loss, curves.validation_loss, len(ratios)
    fell = f"the training loss fell from {number(loss[0])} to {number(loss[-1])}"
    least = held.index(min(held)) + 1
    guess = math.log(max(trial.settings.get("n_class") or 1, 1))
    if ratios[0] < APART and 0 < (1 - NEAR) * guess <= min(held):
        sentence = (
            f"{fell}, the validation loss was never below {number(min(held))}, and guessing costs "
            f"{number(guess)}: the training data are learned by heart, and nothing else"
        )
        return missed("overfitted", held[-1], sentence, "unrelated by heart")
    if ratios[0] < APART and held[-1] > (1 + NEAR) * held[least - 1]:
        sentence = (
            f"{fell}, the validation loss was least in epoch {least} ({number(held[least - 1])}) and is "
            f"{number(held[-1])} in epoch {count}"
        )
        return missed("overfitted", held[-1], sentence)
    if ratios[0] < APART:
        sentence = f"{fell}, the validation loss from {number(held[0])} to {number(held[-1])}"
        return missed("overfitted", held[-1], sentence, "learned by heart")
    sentence = (
        f"{fell}, the validation loss was {number(held[0])} after the first epoch and is "
        f"{number(held[-1])}: they are apart from the first epoch on"
    )
    case = "lagging inference" if held[-1] < held[0] else None
    return missed("behind in validation", held[-1], sentence, case)


def creeping(trial: Trial) -> Finding | None:
    """The training loss fell in every epoch, and in the last half of them at least PACE times as fast as
    in the first: a straight line (see `pace`, and `epochs_needed` for the epochs it would take). The
    validation loss, where there is one, fell too; and so did the metrics move, unless it is by so little
    that no answer turns."""
    curves = curves_of(trial)
    loss, held = curves.loss, curves.validation_loss
    if len(loss) < 4 or falling_share(loss) < 1 or pace(loss) < PACE:
        return None
    if held and falling_share(held) < STEADY:
        return None
    if movement(loss) >= UNMOVED and constant_metric(trial) is not None:
        return None
    if (found := too_few_epochs(trial)) is not None:
        return found
    fell, count = (loss[0] - loss[-1]) / max(map(abs, loss)), len(loss)
    sentence = (
        f"the loss fell by {percent(fell)} in {count} epochs, from {number(loss[0])} to "
        f"{number(loss[-1])}, as fast at their end as at their beginning"
    )
    return missed("too slow", fell, sentence, "too far" if loss[-1] >= FAR else None)


def too_few_epochs(trial: Trial) -> Finding | None:
    """Falling steadily, and at most LONGER times the epochs would reach the target: see
    `epochs_needed`."""
    curves = curves_of(trial)
    count = len(curves.monitor)
    needed = epochs_needed(curves.monitor, trial.target)
    falls = all(
        falling_share(each) >= STEADY for each in (curves.loss, curves.validation_loss) if each
    )
    if needed is None or needed[1] > LONGER * count or not falls:
        return None
    low, high = (math.ceil(epochs) for epochs in needed)
    about = f"{low}" if low == high else f"{low} to {high}"
    sentence = (
        f"{trial.target.monitor} went from {number(curves.monitor[0])} to "
        f"{number(curves.monitor[-1])} in {count} epochs and, going on so, would reach "
        f"{number(trial.target.value)} after some {about}"
    )
    return missed("too few epochs", float(high), sentence)


def unmoved(trial: Trial) -> Finding | None:
    """The loss moved by less than UNMOVED of itself after the first epoch; or none is logged, and the
    monitor did. See `movement`."""
    curves = curves_of(trial)
    name = "loss" if curves.loss else "val_loss" if curves.validation_loss else trial.target.monitor
    values = curves.loss or curves.validation_loss or curves.monitor
    if not movement(values) < UNMOVED:
        return None
    since = "" if len(values) < 3 else " after the first"
    sentence = (
        f"{name} moved by {percent(movement(values))} in {len(values)} epochs{since}, and is "
        f"{number(values[-1])}"
    )
    return missed("unmoved", movement(values), sentence)


def constant_metric(trial: Trial) -> Finding | None:
    """The monitored metric, and that of the training data where it is logged, never changed after the
    first epoch, to the last digit, while weights did. Source: by definition."""
    curves = curves_of(trial)
    logged = [values[1:] for values in (curves.monitor, curves.twin) if len(values) > 2]
    if not logged or any(len(set(values)) > 1 for values in logged):
        return None
    name = trial.target.monitor.removeprefix("val_")
    sentence = (
        f"{name} is {number(curves.monitor[-1])} in every epoch after the first, to the last digit: the "
        "answer may be the same to every input"
    )
    return missed("constant metric", curves.monitor[-1], sentence)


def oscillating(trial: Trial) -> Finding | None:
    """The training loss, or else the validation loss, turned at TURNS of the epochs where it could, by
    SWING of its mean size an epoch."""
    curves = curves_of(trial)
    for name, loss in (("loss", curves.loss), ("validation loss", curves.validation_loss)):
        if len(loss) < 4 or turning_share(loss) < TURNS or swing(loss) < SWING:
            continue
        sentence = (
            f"the {name} goes up and down, by {percent(swing(loss))} of its size an epoch, between "
            f"{number(min(loss))} and {number(max(loss))}"
        )
        return missed("oscillating", swing(loss), sentence)
    return None


def rising_loss(trial: Trial) -> Finding | None:
    """The mean training loss of the last epoch is above that of the first, in the loss' own unit.
    Source: by definition."""
    loss = curves_of(trial).loss
    if not loss or loss[-1] <= loss[0]:
        return None
    first, last, count = loss[0], loss[-1], len(loss)
    sentence = (
        f"the loss rose from {number(first)} in the first epoch to {number(last)} in epoch {count}"
    )
    return missed("rising loss", last, sentence)


def flat(trial: Trial) -> Finding | None:
    """From the best of the first half of the epochs to the best of the last, the monitor made less than
    FLAT of its way to the target; while the training loss still fell by LEARNED of itself, or did
    not."""
    target, curves = trial.target, curves_of(trial)
    monitor, loss, count = curves.monitor, curves.loss, len(curves.monitor)
    best = max if target.mode == "max" else min
    if count < 4:
        return None
    middle = count // 2
    early, late = best(monitor[:middle]), best(monitor[middle:])
    if target.is_met(late):  # what is missed is another of the target's conditions
        return None
    way = (late - early) / (target.value - early) if target.value != early else 1.0
    if way >= FLAT:
        return None
    sentence = (
        f"{target.monitor} was {number(early)} at best in the first half of the {count} epochs and "
        f"{number(late)} in the second, {number(target.value)} is asked: more of the same will not do"
    )
    learns = bool(loss) and 0 <= loss[-1] <= (1 - LEARNED) * loss[middle - 1]
    return missed("flat", way, sentence, "flat in validation" if learns else None)


def learning(trial: Trial) -> Finding:
    """None of the others."""
    curves, count = curves_of(trial), len(trial.epochs)
    name = "loss" if curves.loss else trial.target.monitor
    values = curves.loss or curves.monitor
    last = values[-1] if values else math.nan
    way = f" ({name} {number(values[0])} to {number(last)})" if count > 1 and values else ""
    if trial.epochs[-1].weights_changed is None:
        return missed("learning", last, f"the target was not met at the end{way}")
    over = f"its {count} epochs were" if count > 1 else "its one epoch was"
    return missed("learning", last, f"it still changed when {over} over{way}")


def missed(
    code: str, value: float | None, sentence: str, case: str | None = None, **words: str
) -> Finding:
    """A symptom of a missed target; a value of None is none."""
    return advise(code, "error", math.nan if value is None else value, sentence, case, **words)
