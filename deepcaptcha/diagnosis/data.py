"""Findings that follow from the data alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..finding import Finding, Severity, advise, percent

Array = NDArray[Any]

OFFSET = 2.0
"""Means of so many standard deviations are an offset worth a warning. Initializers assume inputs about
zero; digits as 0..1 have 0.4, their negative 2.8."""

SCALE = 10.0
"""Root mean square of inputs worth a warning: initializers assume about 1."""

UNRELATED = 0.01
"""Labels are called unrelated where a test of nearest neighbours does not reject it at this level."""

LEAK = 0.01
"""Least share of validation examples that are copies of training examples to be an error."""

LEAK_LEVEL = 1e-4
"""Level at which so many copies must be more than chance to be an error."""

DOMINANT = 0.9
"""Share of the most frequent class worth a warning: guessing it looks like learning."""

_NEIGHBOURS = 500
_COLUMNS = 4096


def data_findings(
    x: list[Array],
    y: list[Array],
    *,
    classes: int | None,
    labels: NDArray[np.int64] | None = None,
    prepared_inside: bool,
    looked_up: bool = False,
    x_validation: list[Array] | None,
) -> list[Finding]:
    """Findings on arrays whose first axis counts examples.

    - `x`, `y`: one array for each input and each target.
    - `classes`: how many the model tells apart, None if it does not classify.
    - `labels`: the class numbers in the targets, where there may be several an example; without, those
      that `class_numbers` finds.
    - `prepared_inside`: the model scales, normalizes or embeds its inputs itself.
    - `looked_up`: integers among the inputs are numbers of words or categories.
    - `x_validation`: an array for each input, or None.
    """
    if found := [*_not_finite(x, y)]:
        return found  # no statistic of such data means anything
    if not prepared_inside:
        found += _offset_and_scale(x, looked_up)
    if classes is not None and len(y) == 1:
        found += _labels(class_numbers(y[0], classes) if labels is None else labels, classes)
    if len(x) == len(y) == 1:
        found += _unrelated(x[0], y[0], classes)
    if x_validation is not None:
        found += _leak(x, x_validation)
    return found


def class_numbers(y: Array, classes: int) -> NDArray[np.int64] | None:
    """The one class of each example (n,), from one-hot rows or class numbers; None for anything else."""
    flat = y.reshape(len(y), -1)
    if flat.shape[1] == classes > 1:
        one_hot = (flat.sum(axis=1) == 1) & (flat.max(axis=1) == 1)
        return flat.argmax(axis=1).astype(np.int64) if one_hot.all() else None
    if flat.shape[1] == 1 and (flat == np.floor(flat)).all():
        return np.asarray(flat[:, 0], dtype=np.int64)
    return None


def _not_finite(x: list[Array], y: list[Array]) -> Iterator[Finding]:
    for what, arrays in (("inputs", x), ("targets", y)):
        bad = sum(
            int((~np.isfinite(a)).reshape(len(a), -1).any(axis=1).sum())
            for a in arrays
            if np.issubdtype(a.dtype, np.floating)
        )
        if bad:
            sentence = (
                f"{bad} of {len(arrays[0])} examples have NaN or infinity in their {what}; one such "
                "batch makes every weight NaN"
            )
            yield advise("not finite", "error", bad, sentence, "not finite in the data")


def _offset_and_scale(x: list[Array], looked_up: bool) -> Iterator[Finding]:
    for array in x:
        if not np.issubdtype(array.dtype, np.floating if looked_up else np.number):
            continue
        mean, deviation = float(array.mean(dtype=np.float64)), float(array.std(dtype=np.float64))
        size = float(np.hypot(mean, deviation))
        if abs(mean) > OFFSET * deviation:
            ratio = abs(mean) / deviation if deviation else math.inf
            sentence = (
                f"the inputs' mean {mean:.3g} is {ratio:.1f} standard deviations from zero, so all "
                "examples look alike to the first layer"
            )
            yield advise("offset", "warning", ratio, sentence)
        if size > SCALE:
            sentence = (
                f"the inputs' root mean square is {size:.3g}; initializers and learning rates assume "
                "about 1"
            )
            yield advise("scale", "warning", size, sentence)


def _labels(labels: NDArray[np.int64] | None, classes: int) -> Iterator[Finding]:
    if labels is None or not len(labels):
        return
    least, most, last = int(labels.min()), int(labels.max()), classes - 1
    if outside := int(((labels < 0) | (labels > last)).sum()):
        sentence = (
            f"{outside} of {len(labels)} labels lie outside 0..{last}, from {least} to {most}"
        )
        yield advise("labels", "error", outside, sentence, outputs=most + 1)
    elif (share := float(np.bincount(labels).max() / len(labels))) >= DOMINANT:
        sentence = (
            f"{percent(share)} of the examples are of one class; always saying it is as accurate"
        )
        yield advise("balance", "warning", share, sentence)


def _unrelated(x: Array, y: Array, classes: int | None) -> Iterator[Finding]:
    """Does an example's nearest neighbour tell anything about its target? Class labels: exact binomial
    test of agreement against chance (sum of squared class shares); numbers: Spearman's correlation
    of the two targets."""
    from scipy.stats import binomtest, spearmanr

    x, y = x[:_NEIGHBOURS], y[:_NEIGHBOURS]
    count = len(x)
    targets = y.reshape(count, -1) if classes is None else class_numbers(y, classes)
    if not _numeric(x) or targets is None or targets.size != count:
        return
    targets = targets.ravel()
    # So few examples prove nothing, even if all agree.
    if classes is None:
        if 1 / math.factorial(count) >= UNRELATED or np.ptp(targets) == 0:
            return
        near = targets[nearest(x)]
        if np.ptp(near) == 0:
            return
        test = spearmanr(targets, near, alternative="greater")
        level, value = test.pvalue, float(test.statistic)
        told = f"the targets of nearest neighbours have rank correlation {value:.2f}"
    else:
        chance = float(((np.unique(targets, return_counts=True)[1] / count) ** 2).sum())
        if chance**count >= UNRELATED:
            return
        agree = int((targets == targets[nearest(x)]).sum())
        level, value = binomtest(agree, count, chance, alternative="greater").pvalue, agree / count
        told = f"nearest neighbours share their label in {percent(value)}, chance {percent(chance)}"
    if not level < UNRELATED:
        sentence = f"inputs and targets look unrelated: {told}, of {count} examples"
        yield advise("unrelated labels", "warning", value, sentence)


def nearest(x: Array) -> NDArray[np.int64]:
    """(n,): each example's nearest other one. Distances are taken from scalar products, which a matrix
    product gives in a second where the examples are large photographs."""
    rows = x.reshape(len(x), -1)
    kind: Any = np.float64 if rows.shape[1] <= _COLUMNS else np.float32
    products = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], _COLUMNS):
        part: Array = rows[:, start : start + _COLUMNS].astype(kind)
        part = part - part.mean(axis=0)  # or an offset would take the digits
        products += np.dot(part, part.T)
    distances = products.diagonal() - 2 * products  # squared, less what a row has in common
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.argmin(axis=1))


def _numeric(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.number)) or array.dtype == np.bool_


def _leak(x: list[Array], validation: list[Array]) -> Iterator[Finding]:
    from scipy.stats import binomtest

    train = _rows(x)
    held = _rows(
        [v.astype(a.dtype) if _numeric(a) else v for a, v in zip(x, validation, strict=True)]
    )
    counted = Counter(train)
    copies = sum(row in counted for row in held)
    # Data with few distinct values repeats itself anyway: what is more than that is a leak. A training
    # example more that repeats another would not be remarkable, hence the 1 added.
    repeats = sum(count for count in counted.values() if count > 1)
    share = copies / len(held) - repeats / len(train)
    chance = (repeats + 1) / (len(train) + 1)
    proven = binomtest(copies, len(held), chance, alternative="greater").pvalue < LEAK_LEVEL
    if share > 0 and (proven or not repeats):
        sentence = (
            f"{copies} of {len(held)} validation examples are copies of training examples; the "
            "validation metric rewards memory"
        )
        severity: Severity = "error" if proven and share >= LEAK else "warning"
        yield advise("leak", severity, share, sentence)


def _rows(arrays: list[Array]) -> list[bytes]:
    return [
        b"".join(
            part.tobytes() if _numeric(part) else repr(part.tolist()).encode()
            for part in map(np.asarray, parts)
        )
        for parts in zip(*arrays, strict=True)
    ]
