"""Findings that follow from the data alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..finding import Finding, Severity, advise, percent
from ..keras.data import Array
from ..trials.copies import is_numeric, keys_of_both

OFFSET = 2.0
"""Means of so many standard deviations are an offset worth a warning. Initializers assume inputs about
zero; digits as 0..1 have 0.4, their negative 2.8."""

SCALE = 10.0
"""Root mean square of inputs worth a warning: initializers assume about 1."""

SMALL = 0.01
"""The same of inputs that are too small: what the first layer makes of them is next to nothing."""

UNRELATED = 0.01
"""Labels are called unrelated where a test of nearest neighbours does not reject it at this level."""

LEAK = 0.01
"""Least share of validation examples that are copies of training examples to be an error."""

LEAK_LEVEL = 1e-4
"""Level at which so many copies must be more than chance to be an error."""

DOMINANT = 0.9
"""Share of the most frequent class worth a warning: guessing it looks like learning."""

_SOME = 10_000
"""Examples of which more are not needed for a mean and a deviation."""

_NEIGHBOURS = 500
_COLUMNS = 4096

SHIFT = 3.0
"""Standard deviations between the means of training and validation inputs, or the factor between their
sizes, from which it is an error: validation is of other data then."""

ABSENT = 0.05
"""Share of validation examples of classes that training lacks, from which it is an error."""


def data_findings(
    x: list[Array],
    y: list[Array],
    *,
    classes: int | None,
    labels: NDArray[np.int64] | None = None,
    looked_up: Sequence[bool],
    validation: tuple[list[Array], list[Array]] | None,
    weights: Sequence[Array] = (),
) -> list[Finding]:
    """Findings on arrays whose first axis counts examples.

    - `x`, `y`: one array for each input and each target.
    - `classes`: how many the model tells apart, None if it does not classify.
    - `labels`: the class numbers in the targets, where there may be several an example; without, those
      that `class_numbers` finds.
    - `looked_up`: of each input, whether it holds numbers of words or categories.
    - `validation`: arrays for each input and each target, or None.
    - `weights`: of the examples; none where they all count the same.
    """
    if found := [*_not_finite(x, y, weights)]:
        return found  # no statistic of such data means anything
    if len(x[0]) > 1 and all((array == array[:1]).all() for array in x):
        sentence = f"all {len(x[0])} examples have the same inputs"
        return [advise("same inputs", "error", 0.0, sentence)]
    seen = [array for array, words in zip(x, looked_up, strict=True) if not words]
    found += _offset_and_scale(seen)
    if classes is not None and len(y) == 1:
        labels = class_numbers(y[0], classes) if labels is None else labels
        found += label_findings(labels, classes)
    found += _weightless(weights, labels)
    if len(seen) == len(y) == 1:
        found += _unrelated(x[0], y[0], classes)
    if validation is not None:
        found += _shifted(x, validation[0], looked_up)
        found += _classes_apart(y, validation[1], classes)
        same = len(validation[1]) == len(y)
        found += (
            _leak([*x, *y], [*validation[0], *validation[1]]) if same else _leak(x, validation[0])
        )
    elif len(y) == 1:
        found += _in_order(y[0], classes)
    return found


def is_off_scale(array: Array) -> bool:
    """Whether inputs lie so far from zero, or spread so far, that standardizing them is worth a try; of
    a table, whether any column does. Words and their numbers do not."""
    values = np.asarray(array)
    if values.dtype.kind not in "iuf" or (values.ndim < 2 and values.dtype.kind != "f"):
        return False
    mean, deviation = _columns(values)
    size = np.hypot(mean, deviation)
    far = np.abs(mean) > OFFSET * deviation
    return bool((size > SCALE).any() or size.max() < SMALL or far.any())


def standardized(array: Array) -> Array:
    """float32: less the mean, over the standard deviation; of a table (examples, columns), column by
    column."""
    values = np.asarray(array, dtype=np.float64)
    mean, deviation = _columns(values)
    return np.asarray((values - mean) / np.where(deviation > 0, deviation, 1), dtype=np.float32)


def _drawn(most: int, *arrays: Array) -> list[Array]:
    """At most so many of the examples of equally many in each array, drawn as ever, in their order."""
    if len(arrays[0]) <= most:
        return [*arrays]
    rows = np.sort(np.random.default_rng(0).permutation(len(arrays[0]))[:most])
    return [array[rows] for array in arrays]


def _moments(array: Array) -> tuple[float, float]:
    """Mean and standard deviation."""
    (some,) = _drawn(_SOME, array)
    return float(some.mean(dtype=np.float64)), float(some.std(dtype=np.float64))


def _columns(values: Array) -> tuple[Array, Array]:
    axis = 0 if values.ndim < 3 else None
    return values.mean(axis=axis, dtype=np.float64), values.std(axis=axis, dtype=np.float64)


def _shifted(x: list[Array], held: list[Array], looked_up: Sequence[bool]) -> Iterator[Finding]:
    for mine, other, words in zip(x, held, looked_up, strict=True):
        if words or not np.issubdtype(mine.dtype, np.number) or not is_numeric(other):
            continue
        (mean, deviation), (its_mean, its_deviation) = _moments(mine), _moments(other)
        if not deviation or not its_deviation:
            continue
        shift = abs(its_mean - mean) / deviation
        factor = max(deviation / its_deviation, its_deviation / deviation)
        if max(shift, factor) >= SHIFT:
            sentence = (
                f"the validation inputs have mean {its_mean:.3g} and standard deviation "
                f"{its_deviation:.3g}, the training inputs {mean:.3g} and {deviation:.3g}"
            )
            severity: Severity = "error" if _apart(mine, other) else "warning"
            yield advise("validation differs", severity, max(shift, factor), sentence, "shifted")


def _apart(mine: Array, other: Array) -> bool:
    """Whether the middle parts of both lie SHIFT apart too: a mean and a deviation may hang on a single
    value, and on few examples nothing is certain."""
    if min(len(mine), len(other)) < 30:
        return False
    parts = [
        np.quantile(some, (0.16, 0.5, 0.84))
        for some in (*_drawn(_SOME, mine), *_drawn(_SOME, other))
    ]
    (low, middle, high), (its_low, its_middle, its_high) = parts
    width, its_width = high - low, its_high - its_low
    if not width or not its_width:
        return True  # mostly one value, as the paper of images
    factor = max(width / its_width, its_width / width)
    return bool(max(2 * abs(its_middle - middle) / width, factor) >= SHIFT)


def _classes_apart(y: list[Array], held: list[Array], classes: int | None) -> Iterator[Finding]:
    if classes is None or not len(y) == len(held) == 1:
        return
    mine, its = class_numbers(y[0], classes), class_numbers(held[0], classes)
    if mine is None or its is None or not len(its) or mine.min() < 0 or its.min() < 0:
        return
    size = int(max(mine.max(), its.max())) + 1
    shares = np.bincount(mine, minlength=size) / len(mine)
    its_shares = np.bincount(its, minlength=size) / len(its)
    absent = float(its_shares[shares == 0].sum())
    apart = float(np.abs(shares - its_shares).sum() / 2)
    if absent >= ABSENT:
        told = "of the validation examples are of classes that no training example has"
        sentence = f"{percent(absent)} {told}"
        yield advise("validation differs", "error", absent, sentence, "classes apart")
    elif apart >= 0.25 and len(its) >= 30:
        sentence = (
            f"{percent(apart)} of the validation examples are of other classes than in training"
        )
        yield advise("validation differs", "warning", apart, sentence, "classes apart")


def _in_order(y: Array, classes: int | None) -> Iterator[Finding]:
    labels = None if classes is None else class_numbers(y, classes)
    if labels is None or len(labels) < 10 * (count := len(np.unique(labels))) or count < 2:
        return
    changes = int((np.diff(labels) != 0).sum())
    if changes == count - 1:
        sentence = f"the examples lie class after class ({count} classes, {changes} changes)"
        yield advise("validation differs", "warning", changes, sentence, "in order")


def class_numbers(y: Array, classes: int) -> NDArray[np.int64] | None:
    """The one class of each example (n,), from one-hot rows or class numbers; None for anything else."""
    flat = y.reshape(len(y), -1)
    if flat.shape[1] == classes > 1:
        one_hot = (flat.sum(axis=1) == 1) & (flat.max(axis=1) == 1)
        return flat.argmax(axis=1).astype(np.int64) if one_hot.all() else None
    if flat.shape[1] == 1 and (flat == np.floor(flat)).all():
        return np.asarray(flat[:, 0], dtype=np.int64)
    return None


def _weightless(weights: Sequence[Array], labels: NDArray[np.int64] | None) -> Iterator[Finding]:
    """Whether all examples, or all of a class, have the weight 0."""
    if not weights:
        return
    if not any(weight.any() for weight in weights):
        sentence = f"all {len(weights[0])} examples have the weight 0, so that nothing is learned"
        yield advise("weights", "error", 1.0, sentence)
        return
    weight = weights[0].ravel()
    if len(weights) > 1 or labels is None or len(labels) != len(weight) or labels.min() < 0:
        return
    there, kind = np.unique(labels, return_inverse=True)
    silent = np.bincount(kind, weights=np.abs(weight)) == 0
    if silent.any():
        share = float(silent[kind].mean())
        sentence = (
            f"all examples of the classes {', '.join(map(str, there[silent][:5]))} have the weight 0 "
            f"({percent(share)} of the examples), so that they are not learned"
        )
        severity: Severity = "error" if (~silent).sum() == 1 else "warning"
        yield advise("weights", severity, share, sentence)


def _not_finite(x: list[Array], y: list[Array], weights: Sequence[Array]) -> Iterator[Finding]:
    for what, arrays in (("inputs", x), ("targets", y), ("weights", weights)):
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


def _offset_and_scale(x: list[Array]) -> Iterator[Finding]:
    for array in x:
        if not np.issubdtype(array.dtype, np.number):
            continue
        mean, deviation = _moments(array)
        size = float(np.hypot(mean, deviation))
        if abs(mean) > OFFSET * deviation:
            ratio = abs(mean) / deviation if deviation else math.inf
            sentence = (
                f"the inputs' mean {mean:.3g} is {ratio:.1f} standard deviations from zero, so all "
                "examples look alike to the first layer"
            )
            yield advise("offset", "warning", ratio, sentence)
        if size > SCALE or size < SMALL:
            sentence = (
                f"the inputs' root mean square is {size:.3g}; initializers and learning rates assume "
                "about 1"
            )
            yield advise("scale", "warning", size, sentence)


def label_findings(labels: NDArray[np.int64] | None, classes: int) -> Iterator[Finding]:
    """Whether class numbers are those of so many outputs, and whether one is nearly all of them."""
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

    x, y = _drawn(_NEIGHBOURS, x, y)
    count = len(x)
    targets = y.reshape(count, -1) if classes is None else class_numbers(y, classes)
    if not is_numeric(x) or targets is None or targets.size != count:
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


def _leak(x: list[Array], validation: list[Array]) -> Iterator[Finding]:
    from scipy.stats import binomtest

    train, held = keys_of_both(x, validation)
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
        # Whoever validates on nothing but training examples, as toys do, means it.
        part = copies < len(held)
        severity: Severity = "error" if proven and part and share >= LEAK else "warning"
        yield advise("leak", severity, share, sentence)
