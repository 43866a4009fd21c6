"""What a loss and a model's outputs can do, whatever they are called: what the perfect answer costs,
what the best constant one, and what the outputs can reach.

All of it is measured: nothing here asks for the name of a loss, an activation or a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..finding import CLIP, Finding, advise, percent
from ..keras.backend import KERAS_ERRORS, keras, tf
from ..keras.data import Array
from .observe import Nest, Observed, single_loss
from .signal import SAME, Signal, end_of_signal, spread

SURE = 20.0
"""Logit of an answer that is sure: its probability is 1 in float32, and another's is 2e-9."""

OUTSIDE = 0.01
"""Share of the targets outside what the outputs reach, from which it is an error."""

FLAT = 0.05
"""Share of the best constant's cost by which the perfect answer must be cheaper."""

SOME_LOST = 0.05
"""Share of the examples that cost something and have no gradient, from which it is told."""

_FEW = 64
"""Examples whose answers are priced one by one."""

_SCALES = (1.0, -1.0, 100.0, -100.0, 1000.0, -1000.0)


@dataclass(frozen=True)
class Answers:
    """What is known of the targets of a model with one output.

    - `kind`: `numbers` (an output for each target), `classes` (one whole number for each row of outputs,
      as sparse cross-entropy reads them) or None (anything else).
    - `perfect`: the targets in the form of the outputs (examples, ...), None where the kind is.
    """

    kind: str | None
    perfect: Array | None


def read_targets(y: Array, outputs: Array) -> Answers:
    """How the targets `y` (examples, ...) fit `outputs` (examples, ...)."""
    y = np.asarray(y)
    if y.dtype.kind not in "biuf":
        return Answers(None, None)
    if y.size == outputs.size:
        return Answers("numbers", y.reshape(outputs.shape).astype(np.float64))
    labels = y.reshape(-1)
    classes = outputs.shape[-1]
    if classes > 1 and labels.size * classes == outputs.size and _whole(labels):
        if labels.min() < 0 or labels.max() >= classes:
            return Answers("classes", None)
        one_hot = np.eye(classes)[labels.astype(np.int64)]
        return Answers("classes", one_hot.reshape(outputs.shape))
    return Answers(None, None)


def tell_classes(perfect: Array) -> bool:
    """Whether targets in the form of the outputs are one-hot rows, or 0 and 1 of a single output."""
    rows = perfect.reshape(-1, perfect.shape[-1])
    of_bits = bool(((rows == 0) | (rows == 1)).all())
    return of_bits and (rows.shape[1] == 1 or bool((rows.sum(axis=1) == 1).all()))


def refuses_ones(model: keras.Model, y: Array, outputs: Array) -> bool:
    """Whether the loss takes targets 0 and 1 of one output for class numbers, of which it has only 0."""
    y, outputs = y[y.reshape(len(y), -1).max(axis=1) > 0][:_FEW], outputs[:1]
    if not len(y):
        return False
    outputs = np.broadcast_to(outputs, (len(y), *outputs.shape[1:]))
    refused, taken = (_cost_or_nan(model, each, outputs, outputs) for each in (y, 0 * y))
    return math.isnan(refused) and math.isfinite(taken)


def known_labels(model: keras.Model, y: Array, labels: Array, outputs: Array) -> Array | None:
    """The class numbers among `labels`, those of the targets `y`, some of which no output has: all where
    the loss refuses those; without the ones below 0 where it takes them, for it may ignore them; None
    where it prices answers to them, so that they are numbers."""
    strange = ((y < 0) | (y >= outputs.shape[-1])).reshape(len(y), -1)
    whole = strange.all(axis=1)
    alone, others = (np.flatnonzero(rows)[: _FEW // 2] for rows in (whole, ~whole))
    order = [*alone, *others]  # where all are ignored, a mean may be 0 / 0
    made = np.random.default_rng(0).normal(size=(len(order), *outputs.shape[1:]))
    if not math.isfinite(_cost_or_nan(model, y[order], made, outputs)):
        return labels
    costs = [_cost_or_nan(model, y[alone], k * made[: len(alone)], outputs) for k in (1, -1)]
    if len(alone) and math.isfinite(sum(costs)) and costs[0] != costs[1]:
        return None
    return labels if labels.max() >= outputs.shape[-1] else labels[labels >= 0]


def cost(model: keras.Model, y: Nest, y_pred: Nest) -> float:
    """What these answers cost on average, in the loss' own unit, without what regularizers add."""
    tensors = tf.nest.map_structure(tf.convert_to_tensor, (y, y_pred))
    loss = model._compute_loss(None, *tensors, None, training=False)
    total = float(loss) - sum(float(each) for each in model.losses)
    # A sum over the examples is told as their mean, as `Observed.example_loss` is.
    return total / len(y) if getattr(single_loss(model), "reduction", None) == "sum" else total


def constant_cost(model: keras.Model, y: Array, answers: Answers, outputs: Array) -> float:
    """What the best of the constant answers costs: mean and median of the targets, their log odds and
    log shares, and the mean output; NaN where none can be told."""
    constants = [outputs.mean(axis=0)]
    if (perfect := answers.perfect) is not None:
        mean = perfect.mean(axis=0)
        constants += [mean, np.median(perfect, axis=0)]
        if mean.min() >= 0 and mean.max() <= 1:
            share = np.clip(mean, 1e-7, 1 - 1e-7)
            constants += [np.log(share), np.log(share / (1 - share))]
    costs = [
        _cost_or_nan(model, y, np.broadcast_to(constant, outputs.shape), outputs)
        for constant in constants
    ]
    finite = [each for each in costs if math.isfinite(each)]
    return min(finite, default=math.nan)


def perfect_costs(
    model: keras.Model, y: Array, perfect: Array, outputs: Array
) -> tuple[float, float]:
    """What the perfect answer costs as it is, and what as logits (NaN for targets outside 0..1)."""
    as_is = _cost_or_nan(model, y, perfect, outputs)
    if perfect.min() < 0 or perfect.max() > 1:
        return as_is, math.nan
    return as_is, _cost_or_nan(model, y, SURE * (2 * perfect - 1), outputs)


def _runaway_cost(model: keras.Model, y: Array, perfect: Array, outputs: Array) -> float:
    """What answers far beyond the targets cost where that is below 0 and would not be with targets in
    0..1; else 0."""
    if perfect.min() >= 0 and perfect.max() <= 1:
        return 0.0
    costs = [_cost_or_nan(model, each, 1e6 * perfect, outputs) for each in (y, np.clip(y, 0, 1))]
    return costs[0] if costs[0] < -1e3 and costs[1] >= 0 else 0.0


def _cost_or_nan(model: keras.Model, y: Array, y_pred: Array, outputs: Array) -> float:
    try:
        return cost(model, y, np.asarray(y_pred, dtype=outputs.dtype))
    except KERAS_ERRORS:
        return math.nan  # a loss may read more of an answer than an array of its shape


def loss_findings(
    model: keras.Model,
    y: Array,
    answers: Answers,
    outputs: Array,
    seen: float,
    *,
    in_reach: bool,
) -> Iterator[Finding]:
    """Whether the loss tells a better answer from a worse one.

    - `y`, `outputs`: targets and outputs of some examples, as they stand before training.
    - `seen`: what the outputs cost where the model is trained, without regularizers.
    - `in_reach`: whether the outputs can become the targets.
    """
    if answers.perfect is None:
        return
    if (far := _runaway_cost(model, y, answers.perfect, outputs)) < 0:
        sentence = (
            f"answers a million times the targets (up to {answers.perfect.max():.3g}) cost {far:.3g}: "
            "the loss falls without end below 0, as a cross-entropy of targets outside 0..1 does"
        )
        yield advise("negative loss", "error", far, sentence)
        return
    constant = constant_cost(model, y, answers, outputs)
    as_is, as_logits = perfect_costs(model, y, answers.perfect, outputs)
    costs = [each for each in (as_is, as_logits) if math.isfinite(each)]
    if not costs or not math.isfinite(constant) or np.ptp(answers.perfect, axis=0).max() == 0:
        return
    best = min(costs)
    if best >= constant - FLAT * abs(constant):
        if in_reach and _prefers_own(model, y, answers.perfect, outputs):
            return  # what is best is another answer, as with smoothed labels or outputs in logarithms
        sentence = (
            f"answering the targets themselves costs {best:.3g}, and one constant answer to everything "
            f"{constant:.3g}: the loss does not reward a right answer"
        )
        value = best / constant if constant else math.inf
        yield advise("blind loss", "error", value, sentence, "blind")
    elif (
        # A softmax or sigmoid of Keras shows the loss its logits where it is trained, and not here.
        math.isclose(seen, _cost_or_nan(model, y, outputs, outputs), rel_tol=1e-3, abs_tol=1e-6)
        and math.isfinite(as_logits)
        and math.isfinite(as_is)
        and as_is > 0.25 * constant
        and as_logits < FLAT * constant
        and outputs.min() >= 0
        and outputs.max() <= 1
    ):
        sentence = (
            f"the outputs lie in 0..1 and the loss takes them for logits: being right costs {as_is:.3g} "
            f"at the least, a constant answer {constant:.3g}"
        )
        yield advise("out of reach", "error", as_is, sentence, "logits expected")


def _prefers_own(model: keras.Model, y: Array, perfect: Array, outputs: Array) -> bool:
    """Whether the targets as answers, or their logarithms, cost less than the same ones dealt out to
    other examples: then the loss tells whose answer is whose."""
    dealt = np.random.default_rng(0).permutation(len(y))
    for answer in (perfect, *([np.log(perfect)] if perfect.min() > 0 else [])):
        own, others = (_cost_or_nan(model, y, each, outputs) for each in (answer, answer[dealt]))
        if own < others - FLAT * abs(others):
            return True
    return False


def reach_findings(
    model: keras.Model, x: Nest, answers: Answers, outputs: Array
) -> Iterator[Finding]:
    """Whether the outputs can become the targets: `x`, `outputs` of the same examples."""
    if answers.perfect is None or not (ranges := output_ranges(model, x)):
        return
    low, high, sums = ranges
    perfect = answers.perfect[: len(tf.nest.flatten(x)[0])]
    slack = OUTSIDE * (high - low if math.isfinite(high - low) else float(np.abs(outputs).max()))
    out = (perfect < low - slack) | (perfect > high + slack)
    # Of one-hot rows the single 1 may be all that is out of reach.
    share = float(out.any(axis=tuple(range(1, out.ndim))).mean())
    if share > OUTSIDE:
        sentence = (
            f"{percent(share)} of the examples have targets outside {low:.3g}..{high:.3g}, which is all "
            "that the outputs reach whatever the last layer's weights are (targets: "
            f"{perfect.min():.3g} to {perfect.max():.3g})"
        )
        yield advise("out of reach", "error", share, sentence, "targets out of reach")
        return
    for axis in sums:
        totals = perfect.sum(axis=axis)
        off = float((np.abs(totals - 1) > OUTSIDE).mean())
        if off > OUTSIDE:
            over = "" if axis == -1 else ", over another axis than the last,"
            sentence = (
                f"the outputs always sum to 1{over} and {percent(off)} of the targets' sums do not: "
                f"they go from {totals.min():.3g} to {totals.max():.3g}"
            )
            case = "several right" if axis == -1 else "softmax axis"
            yield advise("out of reach", "error", off, sentence, case)
            return


def output_ranges(model: keras.Model, x: Nest) -> tuple[float, float, Sequence[int]] | None:
    """Least and largest output that the last layer can make of `x`, infinite where no end is found, and
    the axes over which its outputs always sum to 1. Measured with the weights of the last layer times 1,
    100 and 1,000, of either sign; None where they change nothing."""
    made = {scale: _answers_with(model, x, scale) for scale in _SCALES}
    if np.allclose(made[1.0], made[1000.0]) or not all(np.isfinite(m).all() for m in made.values()):
        return None
    low, high = (
        _bound(
            [
                sign * min((sign * made[s]).min() for s in (scale, -scale))
                for scale in (1.0, 100.0, 1e3)
            ]
        )
        for sign in (1, -1)
    )
    axes = [-1, -2][: made[1.0].ndim - 1]
    sums = [
        axis
        for axis in axes
        if made[1.0].shape[axis] > 1
        and all(np.allclose(each.sum(axis=axis), 1, atol=1e-3) for each in made.values())
    ]
    return low, high, sums


def long_label_findings(model: keras.Model, y: Array, outputs: Array) -> Iterator[Finding]:
    """Whether label sequences are longer than the outputs' time steps, and cost what no path through
    them would: CTC reads whole numbers, of which those up to 0 are none, and needs a time step for each
    and one more between equal ones."""
    y, outputs = y[:_FEW], outputs[:_FEW]
    if y.ndim != 2 or outputs.ndim != 3 or y.dtype.kind not in "iuf" or not _whole(y):
        return
    again = (y[:, 1:] == y[:, :-1]) & (y[:, 1:] > 0)
    needed, steps = (y > 0).sum(axis=1) + again.sum(axis=1), outputs.shape[1]
    if not (long := needed > steps).any():
        return
    too_long, others = (
        [_cost_or_nan(model, y[i : i + 1], outputs[i : i + 1], outputs) for i in rows[:4]]
        for rows in (np.flatnonzero(long), np.flatnonzero(~long))
    )
    possible = max(others, default=CLIP * steps)
    # Keras gives what no path leads to a finite cost of hundreds, others infinity.
    if not any(each <= 3 * possible for each in too_long):
        sentence = (
            f"{percent(float(long.mean()))} of the examples have labels that need more than the {steps} "
            f"time steps of the output, up to {needed.max()}: such a one costs {too_long[0]:.3g}, "
            f"others at most {possible:.3g}"
        )
        yield advise("labels", "error", float(long.mean()), sentence, "label too long")


def one_answer_findings(
    model: keras.Model, x: Nest, signals: Sequence[Signal], outputs: Array
) -> Iterator[Finding]:
    """Whether what stands behind the last trained layer makes one answer of everything: softmax over one
    unit does. `signals` of the layers before training, `outputs` of some examples, `x` of a few.

    Small weights saturate nothing: a model that answers differently with them is not meant.
    """
    ended = end_of_signal(signals)
    if not 0 < len(ended) < len(signals) or any(each.trained for each in ended[1:]):
        return
    if not signals[-len(ended) - 1].spread > 1000 * SAME:
        return  # it reads next to the same, so the signal has ended before
    if spread(outputs) > SAME or any(
        spread(_answers_with(model, x, s)) > SAME for s in (1.0, 0.01)
    ):
        return
    sentence = (
        f"the model answers {float(outputs.ravel()[0]):.3g} to every example, whatever its last layer "
        "reads"
    )
    yield advise("constant answer", "error", 0.0, sentence, "one answer")


def probability_findings(seen: Observed) -> Iterator[Finding]:
    """Whether examples lie where the loss is flat because their outputs are no probabilities."""
    lost, outputs = seen.lost_share or 0.0, seen.outputs[0]
    outside = float(((outputs < 0) | (outputs > 1)).mean())
    if lost >= SOME_LOST and outside > OUTSIDE:
        sentence = (
            f"{percent(lost)} of the examples have exactly zero gradient although they cost something, "
            f"and {percent(outside)} of the outputs lie outside 0..1: the loss expects probabilities"
        )
        last = "sigmoid" if outputs.shape[-1] == 1 else "softmax"
        case = "outputs are no probabilities"
        yield advise("loss mismatch", "error", outside, sentence, case, last=last)


def _answers_with(model: keras.Model, x: Nest, scale: float) -> Array:
    """The first output, float64, with the weights of the last layer that has any times `scale`. A kernel
    of one value, which steps may well make different, is drawn at random in place of it."""
    layers = [layer for layer in _leaves(model) if layer.trainable_weights]
    weights = layers[-1].trainable_weights if layers else []
    start = [np.asarray(weight) for weight in weights]
    draw = np.random.default_rng(0)
    try:
        for weight, value in zip(weights, start, strict=True):
            alike = value.ndim > 1 and value.size > 1 and (value == value.flat[0]).all()
            weight.assign(scale * (draw.normal(size=value.shape) if alike else value))
        outputs = model(tf.nest.map_structure(tf.convert_to_tensor, x))
        return np.asarray(tf.nest.flatten(outputs)[0], dtype=np.float64)
    finally:
        for weight, value in zip(weights, start, strict=True):
            weight.assign(value)


def _bound(ends: Sequence[float]) -> float:
    """The end of what the outputs reach, from their ends at weights times 1, 100 and 1,000: none where
    ten times the weights still take it on."""
    first, middle, last = ends
    if abs(last - middle) <= max(abs(middle - first) / 2, 1e-6 * abs(last)):
        return last
    return math.copysign(math.inf, last - middle)


def _leaves(model: keras.Model) -> list[keras.layers.Layer]:
    layers: list[keras.layers.Layer] = list(model._flatten_layers(include_self=False))
    return [layer for layer in layers if not isinstance(layer, keras.Model)]


def _whole(values: Array) -> bool:
    return bool((values == np.floor(values)).all())
