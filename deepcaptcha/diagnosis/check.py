"""The pre-flight check: what can be said of a compiled model and its data before training.

Thresholds were chosen on one half of the planted cases in `tests/planted.py`; the other half says how
well they do.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, error_words
from ..keras import environment
from .data import Finding, data_findings
from .model import STEPS, classes, guess_costs, sparse_labels, weight_findings
from .observe import Observer
from .steps import has_learnt, is_finite, start_findings, step_findings
from .throwaway import ThrowawaySteps, left_as_found

if TYPE_CHECKING:
    import keras

LEARNED = 0.9
"""Share of its start to which the loss of one batch falls when it is trained on alone."""

_EXAMPLES = 512
_BATCH = 32
_PREPARING = ("Rescaling", "Normalization", "BatchNormalization", "LayerNormalization", "Embedding")
_LOOKING_UP = (
    "CategoryEncoding",
    "Discretization",
    "Embedding",
    "Hashing",
    "IntegerLookup",
    "ReversibleEmbedding",
)


def check(
    model: keras.Model, x: Any, y: Any, validation: tuple[Any, Any] | None = None
) -> tuple[Finding, ...]:
    """Findings, gravest first, on a compiled Keras model and its training data; no training run.

    `x` and `y` are arrays, or nests of arrays as `fit` takes them, whose first axis counts examples;
    `validation` is such a pair. A few dozen optimizer steps are taken with a copy of the optimizer
    and taken back: the model and its optimizer are left exactly as they were found, but for the
    weights of a model that had none yet.

    Raises InputError for a model that is not compiled, for data that are no arrays of equally many
    examples, and where a batch cannot be trained on. Of a model with a `train_step` of its own, only
    data and weights are looked at.
    """
    keras = environment.running_keras()
    tf = environment.running_tensorflow()
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError("the model is not compiled; compile it with its loss and optimizer first")
    x, y = _arrays("x", x), _arrays("y", y)
    parts = tf.nest.flatten((x, y))
    if len({len(part) for part in parts}) != 1 or not len(parts[0]):
        raise InputError(
            f"the data have {', '.join(str(len(part)) for part in parts)} examples; equally many are "
            "needed, and at least one"
        )
    first = tf.nest.map_structure(lambda a: a[:1], x)
    with _told_in_one_line():
        if not model.built:
            model(first)
        with left_as_found(model):
            count = classes(model, first)
    found = [*weight_findings(model), *_data(model, x, y, validation, count)]
    if type(model).train_step is not keras.Model.train_step:
        found.append(
            Finding(
                "own step",
                "information",
                math.nan,
                "the model trains by a train_step of its own, which is not tried here: only the data "
                "and the weights were looked at",
                "watch its loss over the first batches",
            )
        )
    elif not any(finding.code in ("not finite", "labels") for finding in found):
        with warnings.catch_warnings(), _told_in_one_line(), left_as_found(model):
            # Keras' own remarks, on logits that are probabilities for one; a finding says so instead.
            warnings.simplefilter("ignore", UserWarning)
            found += _try_steps(model, x, y, count)
    severities = ("error", "warning", "information")
    return tuple(sorted(found, key=lambda finding: severities.index(finding.severity)))


def _arrays(name: str, part: Any) -> Any:
    tf = environment.running_tensorflow()
    for leaf in tf.nest.flatten(part):
        if not hasattr(leaf, "__array__") or not np.ndim(leaf):
            held = "single numbers" if np.isscalar(leaf) else f"a {type(leaf).__name__}"
            raise InputError(
                f"{name} holds {held}; arrays whose first axis counts examples are needed"
            )
    return tf.nest.map_structure(np.asarray, part)


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except environment.keras_errors() as error:
        raise InputError(f"one batch could not be trained: {error_words(error)}") from error


def _data(model: keras.Model, x: Any, y: Any, validation: Any, count: int | None) -> list[Finding]:
    tf = environment.running_tensorflow()
    first = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"][:2]
    inputs, targets = tf.nest.flatten(x), tf.nest.flatten(y)
    held = None
    if validation is not None:
        held = tf.nest.flatten(_arrays("validation x", validation[0]))
        if len(held) != len(inputs) or len({len(part) for part in held}) != 1:
            raise InputError(
                f"the validation data have inputs of {', '.join(str(len(part)) for part in held)} "
                f"examples; as many inputs as in training, {len(inputs)}, of equally many are needed"
            )
        if not len(held[0]):
            raise InputError("the validation data hold no example; at least one is needed")
    return data_findings(
        inputs,
        targets,
        classes=count,
        labels=sparse_labels(model, targets[0]),
        prepared_inside=any(type(layer).__name__ in _PREPARING for layer in first),
        looked_up=any(type(layer).__name__ in _LOOKING_UP for layer in model._flatten_layers()),
        x_validation=held,
    )


def _try_steps(model: keras.Model, x: Any, y: Any, count: int | None) -> list[Finding]:
    tf = environment.running_tensorflow()
    draw = np.random.default_rng(0)
    size = len(tf.nest.flatten(x)[0])
    chosen = draw.permutation(size)[:_EXAMPLES]
    seen_x, seen_y = tf.nest.map_structure(lambda a: a[chosen], (x, y))
    observer = Observer(model, training=True)
    before = observer.observe(seen_x, seen_y)
    found = start_findings(model, observer.head, before, seen_y, count)
    if not is_finite(before) or not model.trainable_variables:
        return found
    guess = guess_costs(model, tf.nest.flatten(seen_y)[0], count)
    order = draw.integers(size, size=(STEPS, min(_BATCH, size)))
    steps = ThrowawaySteps(model, x, y)
    with left_as_found(model):
        steps.run(order[:1])
        next_ = observer.observe(seen_x, seen_y)
        steps.run(order[1:])
        after = observer.observe(seen_x, seen_y)
    seen = (before, next_, after)
    found += step_findings(model, observer.head, seen, guess, steps.untouched)
    if has_learnt(before, guess):
        return found
    steps.restart()
    return [*found, *_one_batch(steps, observer, order, x, y)]


def _one_batch(
    steps: ThrowawaySteps, observer: Observer, order: NDArray[Any], x: Any, y: Any
) -> list[Finding]:
    tf = environment.running_tensorflow()
    rows = order[0]
    batch_x, batch_y = tf.nest.map_structure(lambda a: a[rows], (x, y))
    first = observer.observe(batch_x, batch_y).example_loss
    steps.run(np.tile(rows, (STEPS, 1)))
    last = observer.observe(batch_x, batch_y).example_loss
    if first <= 0 or last <= LEARNED * first:
        return []
    told = (
        f"take its loss from {first:.3g} only to {last:.3g}"
        if math.isfinite(last)
        else "make its loss NaN or infinite"
    )
    return [
        Finding(
            "one batch",
            "warning",
            last / first,
            f"{STEPS} steps on one batch of {len(rows)} {told}; a model that learns knows it by heart "
            "soon",
            "raise the learning rate if the loss falls slowly; else see the other findings",
        )
    ]
