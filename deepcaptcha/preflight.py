"""The pre-flight check: what can be said of a compiled model and its data before training.

Thresholds were chosen on one half of the planted cases in `tests/planted.py`; the other half says how
well they do.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import environment
from .errors import InputError
from .finding import Finding, data_findings
from .report import percent
from .structure import CLIP, STEPS, classes, head_findings, weight_findings
from .symptoms import Head, Observed, Observer
from .throwaway import ThrowawaySteps, left_as_found

if TYPE_CHECKING:
    import keras

LOST = 0.5
"""Share of examples that cost something and have no gradient, from which it is an error."""

UNSTABLE = 2.0
"""How many times the loss may exceed its start after the throw-away steps."""

JUMP = 100.0
"""How many times its start the loss may be after one step."""

LEARNED = 0.9
"""Share of its start to which the loss of one batch falls when it is trained on alone."""

SURE = 2.0
"""How many times ln(classes) the first loss may be: more is a model sure of wrong answers."""

_EXAMPLES = 512
_BATCH = 32
_PREPARING = ("Rescaling", "Normalization", "BatchNormalization", "LayerNormalization", "Embedding")


def check(
    model: keras.Model, x: Any, y: Any, validation: tuple[Any, Any] | None = None
) -> tuple[Finding, ...]:
    """Findings, gravest first, on a compiled Keras model and its training data; no training run.

    `x` and `y` are arrays, or nests of arrays as `fit` takes them, whose first axis counts examples;
    `validation` is such a pair. A few dozen optimizer steps are taken with a copy of the optimizer
    and taken back: the model and its optimizer are left exactly as they were found, but for the
    weights of a model that had none yet.

    Raises InputError for a model that is not compiled, or for data that are no arrays of equally many
    examples.
    """
    keras = environment.running_keras()
    tf = environment.running_tensorflow()
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError("the model is not compiled; compile it with its loss and optimizer first")
    x, y = tf.nest.map_structure(np.asarray, (x, y))
    parts = tf.nest.flatten((x, y))
    if not all(part.ndim for part in parts):
        raise InputError(
            "x and y hold single numbers; arrays whose first axis counts examples are needed"
        )
    if len({len(part) for part in parts}) != 1 or not len(parts[0]):
        raise InputError(
            f"the data have {', '.join(str(len(part)) for part in parts)} examples; equally many are "
            "needed, and at least one"
        )
    if not model.built:
        model(tf.nest.map_structure(lambda a: a[:1], x))
    found = [*weight_findings(model), *_data(model, x, y, validation)]
    if not any(finding.code in ("not finite", "labels") for finding in found):
        with warnings.catch_warnings(), left_as_found(model):
            # Keras' own remarks, on logits that are probabilities for one; a finding says so instead.
            warnings.simplefilter("ignore", UserWarning)
            found += _try_steps(model, x, y)
    severities = ("error", "warning", "information")
    return tuple(sorted(found, key=lambda finding: severities.index(finding.severity)))


def _data(model: keras.Model, x: Any, y: Any, validation: Any) -> list[Finding]:
    tf = environment.running_tensorflow()
    first = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"][:2]
    held = None if validation is None else tf.nest.flatten(validation[0])
    if held is not None and not all(len(part) for part in held):
        raise InputError("the validation data hold no example; at least one is needed")
    return data_findings(
        tf.nest.flatten(x),
        tf.nest.flatten(y),
        classes=classes(model),
        prepared_inside=any(type(layer).__name__ in _PREPARING for layer in first),
        x_validation=held,
    )


def _try_steps(model: keras.Model, x: Any, y: Any) -> list[Finding]:
    tf = environment.running_tensorflow()
    draw = np.random.default_rng(0)
    count = len(tf.nest.flatten(x)[0])
    chosen = draw.permutation(count)[:_EXAMPLES]
    seen_x, seen_y = tf.nest.map_structure(lambda a: a[chosen], (x, y))
    observer = Observer(model, training=True)
    before = observer.observe(seen_x, seen_y)
    found = _before(model, observer.head, before, seen_y)
    if not before.finite or not model.trainable_variables:
        return found
    order = draw.integers(count, size=(STEPS, min(_BATCH, count)))
    steps = ThrowawaySteps(model, x, y)
    with left_as_found(model):
        steps.run(order[:1])
        next_ = observer.observe(seen_x, seen_y)
        steps.run(order[1:])
        after = observer.observe(seen_x, seen_y)
    found += [
        *_one_step(observer.head, before, next_),
        *_unstable(before, next_, after),
        *_lost(observer.head, before, after),
        *_dead(before, after),
        *_untouched(model, steps.untouched),
    ]
    steps.restart()
    return [*found, *_one_batch(steps, observer, order, x, y)]


def _before(model: keras.Model, head: Head, seen: Observed, y: Any) -> list[Finding]:
    if not seen.finite:
        return [
            Finding(
                "not finite",
                "error",
                math.nan,
                "the model's outputs are NaN or infinite before the first step",
                "look at the scale of inputs and initial weights",
            )
        ]
    found = head_findings(model, head, seen, y)
    count = classes(model)
    if count is not None and count > 1 and seen.loss > SURE * math.log(count):
        found.append(
            Finding(
                "first loss",
                "warning",
                seen.loss,
                f"the first loss is {seen.loss:.3g}, and guessing costs ln {count} = "
                f"{math.log(count):.3g}: the model is sure of wrong answers",
                "scale the inputs, or the last layer's initial weights, down",
            )
        )
    return found


def _one_step(head: Head, before: Observed, after: Observed) -> list[Finding]:
    if before.logits is None or after.logits is None or head.kind != "Softmax":
        return []
    moved = float(np.median(np.abs(after.logits - before.logits).max(axis=-1)))
    if not moved > CLIP:
        return []
    return [
        Finding(
            "large step",
            "warning",
            moved,
            f"one step moves the logits by {moved:.0f}; a change of {CLIP:.0f} turns certainty round",
            "scale the inputs down, or lower the learning rate",
        )
    ]


def _unstable(before: Observed, next_: Observed, after: Observed) -> list[Finding]:
    for steps, seen, most in ((1, next_, JUMP), (STEPS, after, UNSTABLE)):
        if not (seen.finite and math.isfinite(seen.loss)):
            told = "the outputs are no longer finite"
        elif 0 < most * before.loss < seen.loss:
            told = f"the loss has gone from {before.loss:.3g} to {seen.loss:.3g}"
        else:
            continue
        return [
            Finding(
                "unstable",
                "error",
                seen.loss,
                f"after {steps} step{'s' * (steps > 1)} {told}",
                "lower the learning rate tenfold, or clip the gradients",
            )
        ]
    return []


def _lost(head: Head, before: Observed, after: Observed) -> list[Finding]:
    share = after.lost_share
    if share is None or not share:
        return []
    why = (
        "softmax is saturated and the loss reads clipped probabilities, because an operation after "
        "softmax hides the logits"
        if head.hidden
        else "the loss is flat where these outputs are"
    )
    return [
        Finding(
            "lost examples",
            "error" if share >= LOST else "warning",
            share,
            f"after {STEPS} steps {percent(share)} of the examples are wrong and have exactly zero "
            f"gradient ({percent(before.lost_share or 0)} before): {why}",
            "make softmax the last operation (reshape first) or use logits with from_logits=True, or "
            "scale the inputs to 0..1"
            if head.hidden
            else "use a loss that grows with the error, and scale the inputs",
        )
    ]


def _dead(before: Observed, after: Observed) -> list[Finding]:
    found = []
    for layer, share in before.dead_units.items():
        share = min(share, after.dead_units[layer])
        if share < 0.5:
            continue
        found.append(
            Finding(
                "dead units",
                "error" if share == 1 else "warning",
                share,
                f"{percent(share)} of the ReLU units of {layer} answer 0 to every example, before and "
                f"after {STEPS} steps",
                "start biases at 0 and kernels with he_normal, or use leaky_relu",
            )
        )
    return found


def _untouched(model: keras.Model, untouched: list[Any]) -> list[Finding]:
    if not untouched:
        return []
    size = sum(math.prod(variable.shape) for variable in untouched)
    share = size / sum(math.prod(variable.shape) for variable in model.trainable_variables)
    names = ", ".join(variable.path for variable in untouched[:3])
    return [
        Finding(
            "no gradient",
            "error" if share >= 0.5 else "warning",
            share,
            f"{percent(share)} of the trainable weights had exactly zero gradient in all of {STEPS} "
            f"steps: {names}{', ...' if len(untouched) > 3 else ''}",
            "initialize kernels at random, and see what cuts these layers off from the loss",
        )
    ]


def _one_batch(
    steps: ThrowawaySteps, observer: Observer, order: NDArray[Any], x: Any, y: Any
) -> list[Finding]:
    tf = environment.running_tensorflow()
    rows = order[0]
    batch_x, batch_y = tf.nest.map_structure(lambda a: a[rows], (x, y))
    first = observer.observe(batch_x, batch_y).loss
    steps.run(np.tile(rows, (STEPS, 1)))
    last = observer.observe(batch_x, batch_y).loss
    if first <= 0 or last <= LEARNED * first:
        return []
    return [
        Finding(
            "one batch",
            "warning",
            last / first,
            f"{STEPS} steps on one batch of {len(rows)} take its loss from {first:.3g} only to "
            f"{last:.3g}; a model that learns knows it by heart soon",
            "raise the learning rate if the loss falls slowly; else see the other findings",
        )
    ]
