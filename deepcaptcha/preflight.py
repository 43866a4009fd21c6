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
from .frozen import EPSILON
from .rehearsal import Rehearsal, left_as_found
from .symptoms import Head, Observed, Observer, first_not_finite

if TYPE_CHECKING:
    import keras

STEPS = 50
"""Throw-away steps: after so many, stuck and sound runs of the question's network part."""

CLIP = -math.log(EPSILON)
"""Odds, in logits, beyond which Keras' cross-entropy clips a probability: 16.118."""

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
_CROSS_ENTROPIES = ("categorical_crossentropy", "sparse_categorical_crossentropy")
_PREPARING = ("Rescaling", "Normalization", "BatchNormalization", "LayerNormalization", "Embedding")


def check(
    model: keras.Model, x: Any, y: Any, validation: tuple[Any, Any] | None = None
) -> tuple[Finding, ...]:
    """Findings, gravest first, on a compiled Keras model and its training data; no training run.

    `x` and `y` are arrays, or nests of arrays as `fit` takes them, whose first axis counts examples;
    `validation` is such a pair. A few dozen optimizer steps are taken with a copy of the optimizer
    and taken back: the model and its optimizer are left exactly as they were found.

    Raises InputError for a model that is not compiled, or no examples.
    """
    keras = environment.load_keras()
    tf = environment.load_tensorflow()
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError("the model is not compiled; compile it with its loss and optimizer first")
    x, y = tf.nest.map_structure(np.asarray, (x, y))
    parts = tf.nest.flatten((x, y))
    if len({len(part) for part in parts}) != 1 or not len(parts[0]):
        raise InputError(
            f"the data have {', '.join(str(len(part)) for part in parts)} examples; equally many are "
            "needed, and at least one"
        )
    if not model.built:
        model(tf.nest.map_structure(lambda a: a[:1], x))
    found = [*_weights(model), *_data(model, x, y, validation)]
    if not any(finding.code in ("not finite", "labels") for finding in found):
        with warnings.catch_warnings(), left_as_found(model):
            # Keras' own remarks, on logits that are probabilities for one; a finding says so instead.
            warnings.simplefilter("ignore", UserWarning)
            found += _rehearse(model, x, y)
    severities = ("error", "warning", "information")
    return tuple(sorted(found, key=lambda finding: severities.index(finding.severity)))


def _data(model: keras.Model, x: Any, y: Any, validation: Any) -> list[Finding]:
    tf = environment.load_tensorflow()
    first = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"][:2]
    held = None if validation is None else tf.nest.flatten(validation[0])
    return data_findings(
        tf.nest.flatten(x),
        tf.nest.flatten(y),
        classes=_classes(model),
        prepared_inside=any(type(layer).__name__ in _PREPARING for layer in first),
        x_validation=held,
    )


def _weights(model: keras.Model) -> list[Finding]:
    found = []
    if (path := first_not_finite(model)) is not None:
        found.append(
            Finding(
                "not finite",
                "error",
                math.nan,
                f"weight {path} holds NaN or infinity",
                "build the model anew, or load weights that are finite",
            )
        )
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    if not model.trainable_variables:
        found.append(
            Finding(
                "frozen",
                "error",
                len(frozen),
                "no layer is trainable, so no weight will ever change",
                "set trainable = True on the layers to train, then compile again",
            )
        )
    elif frozen:
        found.append(
            Finding(
                "frozen",
                "information",
                len(frozen),
                f"{len(frozen)} layers are not trainable: {', '.join(frozen[:5])}",
                "nothing to mend if this is meant",
            )
        )
    if not any(_learning_rates(model)):
        found.append(
            Finding(
                "learning rate",
                "error",
                0.0,
                f"the learning rate is 0 in each of the first {STEPS} steps",
                "give the optimizer a learning rate above 0 (Adam: 0.001)",
            )
        )
    return found


def _learning_rates(model: keras.Model) -> list[float]:
    keras = environment.load_keras()
    rate = model.optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return [float(rate(step)) for step in range(STEPS)]
    return [float(model.optimizer.learning_rate)]


def _rehearse(model: keras.Model, x: Any, y: Any) -> list[Finding]:
    tf = environment.load_tensorflow()
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
    start = [np.asarray(variable).copy() for variable in model.variables]
    rehearsal = Rehearsal(model, x, y)
    rehearsal.run(order[:1])
    next_ = observer.observe(seen_x, seen_y)
    rehearsal.run(order[1:])
    after = observer.observe(seen_x, seen_y)
    found += [
        *_one_step(observer.head, before, next_),
        *_unstable(before, next_, after),
        *_lost(observer.head, before, after),
        *_dead(before, after),
        *_untouched(model, rehearsal.untouched),
    ]
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)
    rehearsal.restart()
    return [*found, *_one_batch(rehearsal, observer, order, x, y)]


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
    found = _head_findings(model, head, seen, y)
    classes = _classes(model)
    if classes is not None and classes > 1 and seen.loss > SURE * math.log(classes):
        found.append(
            Finding(
                "first loss",
                "warning",
                seen.loss,
                f"the first loss is {seen.loss:.3g}, and guessing costs ln {classes} = "
                f"{math.log(classes):.3g}: the model is sure of wrong answers",
                "scale the inputs, or the last layer's initial weights, down",
            )
        )
    return found


def _head_findings(model: keras.Model, head: Head, seen: Observed, y: Any) -> list[Finding]:
    loss, from_logits = _loss(model)
    outputs = seen.outputs[0]
    found = []
    if head.twice or (from_logits and head.kind in ("Softmax", "Sigmoid")):
        name = (head.kind or "").lower()
        found.append(
            Finding(
                "softmax twice",
                "error",
                float(outputs.max()),
                f"the outputs pass {name} twice"
                + ("" if head.twice else f" (the model ends in {name} and the loss expects logits)")
                + f", which leaves at most {outputs.max():.2f} for any class",
                "keep one of the two: logits with from_logits=True, or probabilities without",
            )
        )
    elif loss in _CROSS_ENTROPIES and not from_logits:
        found += _probabilities(head, outputs)
    found += _range(model, head, y)
    return found


def _probabilities(head: Head, outputs: NDArray[Any]) -> list[Finding]:
    outside = float(((outputs < 0) | (outputs > 1)).mean())
    if outside:
        return [
            Finding(
                "loss mismatch",
                "error",
                outside,
                f"the loss expects probabilities and {outside:.0%} of the outputs lie outside 0..1",
                "end the model in softmax, or give the loss from_logits=True",
            )
        ]
    sums = outputs.sum(axis=-1)
    off = float((np.abs(sums - 1) > 0.01).mean())
    if off and head.kind == "Softmax":
        return [
            Finding(
                "softmax axis",
                "error",
                float(sums.mean()),
                f"the classes' probabilities sum to {sums.mean():.2f}, not 1: softmax runs over another "
                "axis than the last",
                "let softmax run over the last axis, axis=-1",
            )
        ]
    if off:
        return [
            Finding(
                "loss mismatch",
                "warning",
                float(sums.mean()),
                f"the classes' probabilities sum to {sums.mean():.2f}, not 1",
                "end the model in softmax, or use binary cross-entropy for independent labels",
            )
        ]
    if not head.hidden:
        return []
    return [
        Finding(
            "hidden softmax",
            "warning",
            CLIP,
            f"an operation after softmax hides the logits from the loss, which then reads "
            f"probabilities clipped at {EPSILON:g}: beyond logit differences of {CLIP:.1f} an example "
            "has no gradient at all",
            "make softmax the last operation (reshape first), or use logits with from_logits=True",
        )
    ]


def _range(model: keras.Model, head: Head, y: Any) -> list[Finding]:
    ranges = {
        "Sigmoid": (0.0, 1.0),
        "Softmax": (0.0, 1.0),
        "Tanh": (-1.0, 1.0),
        "Relu": (0.0, np.inf),
    }
    if head.kind not in ranges or _loss(model)[0] in _CROSS_ENTROPIES:
        return []
    targets = environment.load_tensorflow().nest.flatten(y)[0]
    low, high = ranges[head.kind]
    outside = float(((targets < low) | (targets > high)).mean())
    if not outside:
        return []
    return [
        Finding(
            "loss mismatch",
            "error",
            outside,
            f"{outside:.0%} of the targets lie outside {low:g}..{high:g}, which is all the last "
            f"operation ({head.kind.lower()}) can reach",
            "give the last layer no activation, or scale the targets into its range",
        )
    ]


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
        elif seen.loss > most * before.loss:
            told = f"the loss has gone from {before.loss:.3g} to {seen.loss:.3g}"
        else:
            continue
        return [
            Finding(
                "unstable",
                "error",
                seen.loss / before.loss,
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
            f"after {STEPS} steps {share:.0%} of the examples are wrong and have exactly zero gradient "
            f"({before.lost_share or 0:.0%} before): {why}",
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
                f"{share:.0%} of the ReLU units of {layer} answer 0 to every example, before and after "
                f"{STEPS} steps",
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
            f"{share:.0%} of the trainable weights had exactly zero gradient in all of {STEPS} steps: "
            f"{names}{', ...' if len(untouched) > 3 else ''}",
            "initialize kernels at random, and see what cuts these layers off from the loss",
        )
    ]


def _one_batch(
    rehearsal: Rehearsal, observer: Observer, order: NDArray[Any], x: Any, y: Any
) -> list[Finding]:
    tf = environment.load_tensorflow()
    rows = order[0]
    batch_x, batch_y = tf.nest.map_structure(lambda a: a[rows], (x, y))
    first = observer.observe(batch_x, batch_y).loss
    rehearsal.run(np.tile(rows, (STEPS, 1)))
    last = observer.observe(batch_x, batch_y).loss
    if last <= LEARNED * first:
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


def _loss(model: keras.Model) -> tuple[str | None, bool]:
    """The single loss' name in snake case and whether it takes logits; (None, False) for several."""
    keras = environment.load_keras()
    if isinstance(model.loss, str):
        model_loss = keras.losses.get(model.loss)
        return getattr(model_loss, "__name__", str(model.loss)), False
    if isinstance(model.loss, keras.losses.Loss):
        settings = model.loss.get_config()
        return str(getattr(model.loss, "fn", model.loss).__name__), bool(
            settings.get("from_logits")
        )
    return None, False


def _classes(model: keras.Model) -> int | None:
    """How many classes a model with cross-entropy tells apart (1: two, by one output); else None."""
    loss, _ = _loss(model)
    shape = getattr(model, "output_shape", None)
    if loss == "binary_crossentropy":
        return 1
    if loss not in _CROSS_ENTROPIES or not isinstance(shape, tuple):
        return None
    return int(shape[-1])
