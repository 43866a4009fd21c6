"""What a few throw-away steps show, and where they fail, which change of the data or of the learning
rate makes the same steps succeed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..finding import Finding, Severity, advise, percent
from ..keras.backend import keras, tf
from ..keras.data import Array
from .answers import SOME_LOST
from .data import standardized
from .observe import Nest, take
from .signal import Signal, end_of_signal, first_steep_slope
from .steps import Effort, left_as_found
from .trainer import KNOWN, REPAIRED, Rows, Trainer, Tried, changed

LOST = 0.5
"""Share of examples that cost something and have no gradient, from which it is an error."""

DEAD = 0.9
"""Share of a layer's units that answer 0 to every example, worth a warning."""

UNSTABLE = 2.0
"""How many times the loss may exceed its start, or what the best constant costs, after the steps."""

LEARNED = 0.05
"""Share of the best constant's cost that a training must save within the steps to be called learning."""

HELPS = 0.8
"""What is left of the loss with standardized inputs, as a share of what is left without, from which
their scale is worth a warning."""

FAR = 30
"""How many times the outputs the targets may be, or the other way about, for a loss to be asked what it
tells."""

SLOW = 30
"""How many times the steps of a training a pace must need to be called slow: losses fall faster
later."""

VANISHED = 1e-4
"""Gradient of the first kernel, as a share of the last one's, that is called vanished."""

STILL = 0.1
"""Share of its size by which some weight must move in a training, at the pace of the steps."""

VARIED = 0.01
"""Spread of the outputs (`signal.spread`) from which a loss can tell whose answer is whose."""

LEFT = 0.25
"""Share of the best constant's cost that the steps leave as the inputs are, from which their scale is
worth a warning."""

RATES = (0.1, 0.01, 0.001)
FASTER = (10.0, 100.0, 1000.0)


def training_findings(
    trainer: Trainer,
    signals: Sequence[Signal],
    off_scale: Sequence[Finding],
    *,
    explained: bool,
    pairing_unknown: bool,
) -> Iterator[Finding]:
    """What the steps show of the model.

    - `signals`: of its layers before them, in training mode.
    - `off_scale`: what was found of the scale of the inputs. It is told where the same steps get clearly
      further with standardized inputs.
    - `explained`: whether a cause is known already, so that none is searched. `pairing_unknown`: whether
      nobody knows yet if the loss depends on which target belongs to which example.
    """
    rows = trainer.rows
    tried = trainer.run(rows.x, rows.y)
    if pairing_unknown and signals and signals[-1].spread > VARIED:
        yield from _blind(trainer, tried)
    symptoms = [
        *_unstable(tried, trainer.effort),
        *_lost(trainer, tried),
        *_ended(tried, signals),
        *_untouched(trainer.model, rows, tried),
        *_vanishing(trainer.model, tried),
    ]
    failed = any(finding.severity == "error" for finding in symptoms)
    slow = (
        trainer.effort.is_whole and tried.skill < LEARNED and tried.needed > SLOW * rows.available
    )
    if tried.gradients is not None and not np.isfinite(tried.gradients).all():
        repaired = _steep(trainer)
    else:
        repaired = None if explained or not (failed or slow) else _repaired(trainer, tried)
    if repaired is not None and not (repaired.component == "optimizer" and _is_shape(symptoms)):
        # Where nobody knows how long the training is, slow alone is no error.
        yield repaired if failed or rows.is_certain else replace(repaired, severity="warning")
        symptoms = [replace(one, severity="warning") for one in symptoms]
    elif trainer.effort.is_whole and tried.skill < LEARNED and not explained and not failed:
        symptoms += _slow(trainer, tried, slow)
    yield from symptoms
    if not trainer.effort.is_whole:
        yield from (one for one in off_scale if one.code == "scale")  # a second try takes too long
    elif off_scale and (repaired is None or repaired.component != "data"):
        scaled = trainer.run(trainer.on_scale(), rows.y)
        left = 1 - tried.skill
        if not (left < LEFT or 1 - scaled.skill > HELPS * left):
            yield from off_scale


def _steep(trainer: Trainer) -> Finding | None:
    with left_as_found(trainer.model):
        rows = take(trainer.shown[: trainer.effort.batch], (trainer.rows.x, trainer.rows.y))
        layer = first_steep_slope(trainer.model, *rows)
    if layer is None:
        return None
    where, case = f"layer {layer}", "not finite in a slope"
    if not layer:
        where, case = "the loss", "not finite in the loss' slope"
    sentence = (
        f"the slope of {where} is not finite at some of these examples, although its value is"
    )
    return advise("not finite", "error", math.nan, sentence, case, layer=layer)


def _is_shape(symptoms: Sequence[Finding]) -> bool:
    """Whether gradients vanish: another learning rate is no cure of that."""
    return any(one.code == "vanishing gradient" for one in symptoms)


def _repaired(trainer: Trainer, tried: Tried) -> Finding | None:
    """The first change with which the same steps succeed, as a finding about what it changes."""
    rows = trainer.rows
    changes: list[tuple[str, str, str, Nest, Nest]] = []
    x = trainer.on_scale()
    y = tf.nest.map_structure(lambda a: standardized(a) if _is_far(a) else a, rows.y)
    new_x, new_y = changed(x, rows.x), changed(y, rows.y)
    if new_x:
        changes.append(("scale", "scale", "inputs standardized", x, rows.y))
    if new_y:
        changes.append(("target scale", "target scale", "targets standardized", rows.x, y))
    if new_x and new_y:
        changes.append(("scale", "scale both", "inputs and targets standardized", x, y))
    for code, case, words, inputs, targets in changes:
        again = trainer.run(inputs, targets)
        if again.skill >= REPAIRED or again.needed <= rows.available < tried.needed:
            far = rows.y if code == "target scale" else rows.x
            size = max(_size(a) for a in tf.nest.flatten(far))
            return _shown(code, size, words, tried, again, case)
    if not trainer.rates_can_change:
        return None
    rising = not tried.skill >= LEARNED and not tried.end < tried.start
    for rate in (*RATES, *FASTER) if rising else FASTER:
        again = trainer.run(rows.x, rows.y, rate)
        if again.skill >= REPAIRED:
            words = f"a learning rate times {rate:g}"
            case = "rate too high" if rate < 1 else "rate too low"
            return _shown("learning rate", rate, words, tried, again, case, rate=rate)
    return None


def _shown(
    code: str, value: float, words: str, tried: Tried, again: Tried, case: str, **named: float
) -> Finding:
    end = f"{tried.end:.3g}" if math.isfinite(tried.end) else "NaN or infinity"
    sentence = (
        f"{tried.steps} steps take the loss from {tried.start:.3g} to {end} (a constant answer costs "
        f"{tried.constant:.3g}); with {words} from {again.start:.3g} to {again.end:.3g} (constant "
        f"{again.constant:.3g})"
    )
    return advise(code, "error", value, sentence, case, **named)


def _is_far(array: Array) -> bool:
    """Whether targets are numbers that lie far from what a model begins to answer."""
    values = np.asarray(array)
    if values.dtype.kind not in "iuf" or np.ptp(values) == 0:
        return False
    if values.dtype.kind in "iu" or ((values == np.floor(values)).all() and np.ptp(values) < 100):
        return False  # classes
    return _size(values) > 3 or float(values.std()) < 0.01


def _size(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(array, dtype=np.float64)))))


def _blind(trainer: Trainer, tried: Tried) -> Iterator[Finding]:
    """Does the loss of a batch depend on which target belongs to which example?"""
    rows, batch = trainer.rows, trainer.shown[: trainer.effort.batch]
    own = [np.asarray(part)[batch] for part in tf.nest.flatten(rows.y)]
    if not any(part.dtype.kind in "biuf" and (part != part[:1]).any() for part in own):
        return
    outputs = tried.outputs if tried.before is None else tried.before.outputs
    target, output = (max(map(_size, each), default=0.0) for each in (own, outputs))
    if not 1 / FAR < target / max(output, 1e-30) < FAR:
        return  # one is lost in the rounding of a loss of the other
    places = (0, 1, 3, 5) if trainer.effort.is_whole else (0, 3)
    first, *others = (
        trainer.first_loss(take(_moved(rows.count, batch, by), rows.y)) for by in places
    )
    if all(abs(first - other) <= 1e-5 * abs(first) for other in others):
        sentence = (
            f"the loss of a batch is {first:.4g} whichever target belongs to which example, so it "
            "cannot teach the one from the other"
        )
        yield advise("blind loss", "error", first, sentence, "blind batch")


def _moved(count: int, rows: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    """The numbers of all examples, those of `rows` moved on by so many places among themselves."""
    index = np.arange(count)
    index[rows] = np.roll(rows, by)
    return index


def _unstable(tried: Tried, effort: Effort) -> Iterator[Finding]:
    floor = max(tried.start, tried.constant if math.isfinite(tried.constant) else 0.0)
    told = "the outputs or the loss are no longer finite"
    severity: Severity = "error"
    if math.isfinite(tried.end):
        # What a step of one's own logs may be anything, such as one of two losses that fight.
        if tried.before is None or not 0 < UNSTABLE * floor < tried.end:
            return
        told = f"the loss has gone from {tried.start:.3g} to {tried.end:.3g}"
        if not effort.is_whole:
            severity = "warning"  # so few steps of a large model may well rise first
    yield advise("unstable", severity, tried.end, f"after {tried.steps} steps {told}")


def _slow(trainer: Trainer, tried: Tried, slow: bool) -> Iterator[Finding]:
    """Of a training that learns next to nothing: whether the model can learn at all, and if it can,
    whether its pace is too `slow`."""
    least = trainer.by_heart(trainer.rows.y, KNOWN * tried.constant)
    stuck = not least <= KNOWN * tried.constant and not _learns_on_scale(trainer)
    still = slow and tried.movement * trainer.rows.available < STILL * tried.steps
    if not stuck and not still:
        return
    severity: Severity = "error" if trainer.rows.is_certain or stuck else "warning"
    start, end, constant = tried.start, tried.end, tried.constant
    sentence = (
        f"{tried.steps} steps take the loss from {start:.4g} to {end:.4g}, and a constant answer costs "
        f"{constant:.4g}"
    )
    if stuck:
        sentence += f"; by Adam the loss of one batch, trained on alone, falls only to {least:.3g}"
        yield advise("cannot learn", severity, least, sentence)
        return
    pace = f"{tried.needed:.2g} steps" if math.isfinite(tried.needed) else "no number of steps"
    sentence += (
        f": at this pace {pace} make it better, and the training has {trainer.rows.available}"
    )
    yield advise("slow", severity, tried.needed, sentence)


def _learns_on_scale(trainer: Trainer) -> bool:
    """Whether targets too far for so few steps are learned by heart once they are standardized."""
    y = tf.nest.map_structure(lambda a: standardized(a) if _is_far(a) else a, trainer.rows.y)
    if not changed(y, trainer.rows.y):
        return False
    goal = KNOWN * trainer.run(trainer.rows.x, y).constant
    return trainer.by_heart(y, goal) <= goal


def _lost(trainer: Trainer, tried: Tried) -> Iterator[Finding]:
    before, after, head = tried.before, tried.after, trainer.observer.head
    if before is None or after is None:
        return
    share = after.lost_share or 0.0
    if share < SOME_LOST:
        return
    outside = float(((after.outputs[0] < 0) | (after.outputs[0] > 1)).mean())
    code, case, why = "lost examples", "flat loss", "the loss is flat where these outputs are"
    if outside > 0.01:
        code, case = "loss mismatch", "outputs are no probabilities"
        why = f"{percent(outside)} of the outputs lie outside 0..1, where the loss is flat"
    elif head.hidden:
        case = "clipped"
        why = (
            f"{head.name} is saturated and the loss reads clipped probabilities, because an operation "
            f"after {head.name} hides the logits"
        )
    sentence = (
        f"after {tried.steps} steps {percent(share)} of the examples are wrong and have exactly zero "
        f"gradient ({percent(before.lost_share or 0)} before): {why}"
    )
    severity: Severity = "error" if share >= LOST else "warning"
    last = "sigmoid" if after.outputs[0].shape[-1] == 1 else "softmax"
    yield advise(code, severity, share, sentence, case, name=head.name, last=last)


def _ended(tried: Tried, before: Sequence[Signal]) -> Iterator[Finding]:
    """Layers whose units answer 0 to every example after the steps, and where the signal ends."""
    dead = {signal.layer: signal.dead_share or 0.0 for signal in before}
    for signal in tried.signals:
        share, start = signal.dead_share or 0.0, dead.get(signal.layer, 0.0)
        if share == 1 or min(share, start) >= DEAD:
            sentence = (
                f"{percent(share)} of the units of {signal.layer} answer 0 to every example after "
                f"{tried.steps} steps ({percent(start)} before)"
            )
            severity: Severity = "error" if share == 1 else "warning"
            case = "dead from the start" if start >= DEAD else "dead units"
            yield advise("dead units", severity, share, sentence, case)
            if share == 1:
                return
    if ended := end_of_signal(tried.signals):
        sentence = (
            f"after {tried.steps} steps the model answers the same to every example, from "
            f"{ended[0].layer} on"
        )
        yield advise("constant answer", "error", ended[0].spread, sentence, "signal ends")


def _untouched(model: keras.Model, rows: Rows, tried: Tried) -> Iterator[Finding]:
    if not tried.untouched or not tried.start > 0.001 * max(tried.constant, 0.0):
        return  # next to nothing is left to learn: gradients vanish as they should
    sizes = (tried.untouched, model.trainable_variables)
    size, whole = (sum(math.prod(variable.shape) for variable in each) for each in sizes)
    share = size / whole
    names = ", ".join(variable.path for variable in tried.untouched[:3])
    sentence = (
        f"{percent(share)} of the trainable weights had exactly zero gradient in all of "
        f"{tried.steps} steps: {names}{', ...' if len(tried.untouched) > 3 else ''}"
    )
    severity: Severity = "error" if share >= 0.5 else "warning"
    # Recurrent weights have nothing to do in a sequence of one step.
    single = any(1 in np.shape(part)[1:-1] for part in tf.nest.flatten(rows.x))
    case = "axis of one" if single else "untouched weights"
    yield advise("no gradient", severity, share, sentence, case)


def _vanishing(model: keras.Model, tried: Tried) -> Iterator[Finding]:
    if tried.gradients is None or not tried.skill < LEARNED:
        return
    pairs = zip(tried.gradients, model.trainable_variables, strict=True)
    sizes = [float(size) for size, variable in pairs if len(variable.shape) > 1]
    if len(sizes) > 2 and 0 < sizes[0] < VANISHED * sizes[-1]:
        share = sizes[0] / sizes[-1]
        sentence = (
            f"the gradient of the first layer's weights is {share:.1g} of the last layer's, and "
            f"{tried.steps} steps leave the loss at {tried.end:.3g} (a constant answer costs "
            f"{tried.constant:.3g})"
        )
        yield advise("vanishing gradient", "error", share, sentence)
