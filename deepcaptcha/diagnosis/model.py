"""Findings on a compiled model itself: its weights, its learning rate, its averages."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..finding import Finding, Severity, advise, percent
from ..keras.backend import KERAS_ERRORS, keras, tf
from ..keras.data import Array
from .observe import Nest, first_not_finite
from .signal import SAME, layer_signals, spread
from .steps import STEPS, left_as_found

LAG, SOME_LAG = 0.5, 0.2
"""What is left, at the end of a training, of the start of a layer's averages: an error, a warning."""

PADDED = 0.5
"""Share of the inputs that is padding, from which it is tried at the front too."""

DROWNED = 10.0
"""How many times the answers must differ more with the padding at the front."""


def weight_findings(model: keras.Model) -> Iterator[Finding]:
    """Weights that are not finite, layers that are not trainable, a learning rate of zero."""
    if (path := first_not_finite(model)) is not None:
        sentence = f"weight {path} holds NaN or infinity"
        yield advise("not finite", "error", math.nan, sentence, "not finite in a weight")
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    if not model.trainable_variables:
        sentence = "no layer is trainable, so no weight will ever change"
        yield advise("frozen", "error", len(frozen), sentence, "no layer is trainable")
    elif frozen:
        sentence = f"{len(frozen)} layers are not trainable: {', '.join(frozen[:5])}"
        yield advise("frozen", "information", len(frozen), sentence, "frozen on purpose")
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of mixed precision
    rate = getattr(optimizer, "_learning_rate", None)  # its property has evaluated a schedule
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        stands = not float(optimizer.learning_rate)
    else:
        stands = not any(float(rate(step)) for step in range(STEPS))
    if stands:
        sentence = f"the learning rate is 0 in each of the first {STEPS} steps"
        yield advise("learning rate", "error", 0.0, sentence)


def inference_findings(
    model: keras.Model, x: Nest, available: int, is_certain: bool
) -> Iterator[Finding]:
    """What the model does otherwise in inference than in training: averages that a training of
    `available` steps, where that `is_certain`, does not bring from their start to the data, and answers
    that are drawn."""
    with left_as_found(model):
        answers = [layer_signals(model, x, training=False)[0] for _ in range(2)]
        rate = _average_rate(model, x)
    drawn = max(
        (spread(np.stack([a, b])) for a, b in zip(*answers, strict=True) if a.dtype.kind == "f"),
        default=0.0,
    )
    if drawn > 1000 * SAME:
        sentence = f"two answers to the same inputs differ by {percent(drawn)} in inference mode"
        yield advise("random answers", "warning", drawn, sentence)
    if rate is None:
        return
    left = rate**available
    if left > SOME_LAG:
        sentence = (
            f"a training step takes the model's moving averages {percent(1 - rate)} of the way to the "
            f"data: after the {available} steps of this training {percent(left)} of their start is "
            "left, and inference answers with it"
        )
        severity: Severity = "error" if left > LAG and is_certain else "warning"
        # 0.05 is left after so many steps.
        momentum = 0.05 ** (1 / available)
        yield advise("averages", severity, left, sentence, momentum=min(momentum, 0.9))


def looked_up_inputs(model: keras.Model, x: Nest) -> list[bool]:
    """Of each input, whether its whole numbers name words or categories: a quarter more changes no
    answer then."""
    parts = tf.nest.flatten(x)
    if not any(_is_whole(part) for part in parts):
        return [part.dtype.kind not in "iuf" for part in parts]
    with left_as_found(model):
        start, _ = layer_signals(model, x, training=False)
        found = []
        for index, part in enumerate(parts):
            if not _is_whole(part):
                found.append(part.dtype.kind not in "iuf")
                continue
            more = [*parts]
            more[index] = part.astype(np.float32) + np.float32(0.25)
            try:
                answers, _ = layer_signals(model, tf.nest.pack_sequence_as(x, more), training=False)
            except KERAS_ERRORS:
                found.append(True)  # it takes whole numbers only
                continue
            pairs = zip(start, answers, strict=True)
            found.append(all(np.array_equal(a, b) for a, b in pairs))
    return found


def _is_whole(array: Array) -> bool:
    return array.dtype.kind in "iuf" and bool((array == np.floor(array)).all())


def padding_findings(model: keras.Model, x: Nest) -> Iterator[Finding]:
    """Whether padding at the end of sequences drowns what stands before it: `x` as they are, and with
    each row's padding moved to its front."""
    parts = tf.nest.flatten(x)
    padded = [_padding_share(part) for part in parts]
    if max(padded, default=0.0) < PADDED:
        return
    moved = [
        _padded_in_front(a) if share >= PADDED else a
        for a, share in zip(parts, padded, strict=True)
    ]
    with left_as_found(model):
        spreads = [
            _deviation(layer_signals(model, each, training=False)[0])
            for each in (x, tf.nest.pack_sequence_as(x, moved))
        ]
    ratio = spreads[1] / spreads[0] if spreads[0] else math.inf
    if spreads[1] > 0 and ratio >= DROWNED:
        sentence = (
            f"{percent(max(padded))} of the inputs are one value at the end of the rows; with it moved "
            f"to the front the answers differ {ratio:.3g} times as much from example to example"
        )
        yield advise("padding", "error", ratio, sentence)


def _padding_share(array: Array) -> float:
    """Mean share of a row at whose end one value stands, the same in all rows that end in it; 0 for what
    is no sequence."""
    if array.ndim not in (2, 3) or array.shape[1] < 4:
        return 0.0
    return float(_padding_lengths(array).mean() / array.shape[1])


def _padding_lengths(array: Array) -> NDArray[np.int64]:
    rows = array.reshape(len(array), array.shape[1], -1)
    values, counts = np.unique(rows[:, -1].ravel(), return_counts=True)
    same = (rows == values[counts.argmax()]).all(axis=2)[:, ::-1]
    return np.asarray(np.where(same.all(axis=1), array.shape[1], same.argmin(axis=1)))


def _padded_in_front(array: Array) -> Array:
    lengths = _padding_lengths(array)
    return np.stack([np.roll(row, int(n), axis=0) for row, n in zip(array, lengths, strict=True)])


def _deviation(outputs: list[Array]) -> float:
    return max(float(np.std(output, axis=0, dtype=np.float64).max()) for output in outputs)


def _average_rate(model: keras.Model, x: Nest) -> float | None:
    """What of their distance to the data is left of the model's averages after a step on the same
    inputs: the momentum of batch normalization, whatever the layer; None where nothing is averaged."""
    averages = [v for v in model.non_trainable_variables if v.dtype.startswith(("float", "bfloat"))]
    if not averages:
        return None
    inputs = tf.nest.map_structure(tf.convert_to_tensor, x)
    seen = [[np.asarray(v, np.float64) for v in averages]]
    for _ in range(2):
        model(inputs, training=True)
        seen.append([np.asarray(v, np.float64) for v in averages])
    first, second = (
        np.concatenate([(b - a).ravel() for a, b in zip(*pair, strict=True)])
        for pair in (seen[:2], seen[1:])
    )
    moved = np.abs(first) > 1e-6
    if not moved.any():
        return None
    return float(np.clip(np.median(second[moved] / first[moved]), 0.0, 1.0))
