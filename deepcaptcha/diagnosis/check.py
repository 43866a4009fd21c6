"""The check before training: what can be said of a compiled model and its data.

Everything is measured, whatever layers and losses are called. Thresholds were chosen on one half of the
planted cases in `tests/diagnosis/planted.py` and on two groups of public reports in `tests/reports`; the
others say how well they do.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, error_words, require_whole
from ..finding import Finding, Severity, advise
from ..keras.backend import KERAS_ERRORS, keras, require_tensorflow, tf
from ..keras.data import Array
from ..keras.fit import require_keras_3
from .answers import (
    Answers,
    known_labels,
    long_label_findings,
    loss_findings,
    one_answer_findings,
    probability_findings,
    reach_findings,
    read_targets,
    refuses_ones,
    tell_classes,
)
from .data import data_findings, label_findings
from .model import inference_findings, looked_up_inputs, padding_findings, weight_findings
from .observe import Nest, Observed, Observer, single_loss, take
from .signal import Signal, is_called, layer_signals
from .steps import Effort, compiled_plainly, effort, has_own_step, left_as_found
from .trainer import Rows, Trainer
from .training import training_findings

MOST_ERRORS = 3
"""Errors told of one model: the first in rank. What follows from them is told as a warning."""

EPOCHS = 10
"""Epochs of a training that does not say how many it has. What its length tells is no error then."""

_USELESS = ("not finite", "labels", "same inputs", "weights")
"""Errors of the data with which nothing else can be said."""

_READ = 2000
"""Examples read from a pipeline."""

_MANY = 4096
"""Examples of which more are not tried, and the steps of an epoch that does not say how many it has."""


def check(
    model: keras.Model,
    x: Nest,
    y: Nest = None,
    validation: tuple[Nest, Nest] | tf.data.Dataset | None = None,
    *,
    sample_weight: Nest = None,
    class_weight: Mapping[int, float] | None = None,
    batch: int = 32,
    epochs: int | None = None,
) -> tuple[Finding, ...]:
    """Findings, gravest first, on a compiled Keras model and its training data; no training run.

    - `model`: a few dozen optimizer steps are taken with a copy of its optimizer and taken back. Model
      and optimizer are left exactly as they were found, but for the weights of a model that had none
      yet.
    - `x`, `y`: arrays, or nests of arrays as `fit` takes them, whose first axis counts examples; or as
      `x` alone a tf.data.Dataset of batches, of which the first are read. `y` is None where layers add
      the loss, or where a step of the model's own needs no targets.
    - `validation`: such a pair, or such a dataset.
    - `sample_weight`, `class_weight`: as `fit` takes them.
    - `batch`, `epochs`: of the training to come, None where its length is not known. They say how many
      steps it has.

    At most MOST_ERRORS errors are told. How much is tried follows from the model's size.

    Raises InputError for a model that is not compiled, for data that are no arrays of equally many
    examples, where a batch cannot be trained on, and on another backend than TensorFlow.
    """
    require_keras_3("check was given", model)
    require_tensorflow("check")
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError("the model is not compiled; compile it with its loss and optimizer first")
    batches = None
    if isinstance(x, tf.data.Dataset):
        if y is not None or sample_weight is not None:
            raise InputError(
                "y or sample_weight stands beside a dataset; it has to hold them itself"
            )
        batches = max(0, int(x.cardinality()))  # negative where it is not known or endless
        x, y, sample_weight = _read(x)
    x = _arrays("x", x)
    # A loss that layers add reads no targets, and a step of the model's own need not.
    unread = y is None if has_own_step(model) else model.loss is None
    y = () if unread else _arrays("y", y)
    weight = _weights(sample_weight, class_weight, y)
    parts = [*tf.nest.flatten((x, y)), *([] if weight is None else tf.nest.flatten(weight))]
    if len({len(part) for part in parts}) != 1 or not len(parts[0]):
        raise InputError(
            f"the data have {_lengths(parts)} examples; equally many are needed, and at least one"
        )
    held = None if validation is None else _held(validation, len(tf.nest.flatten(x)))
    with _in_one_line():
        if not model.built and is_called(model):
            model(take(slice(1), x))
    require_whole("batch", batch)
    if epochs is not None:
        require_whole("epochs", epochs)
    if batches is None:
        batches = math.ceil(len(parts[0]) / batch)
    certain = epochs is not None and batches > 0
    rows = Rows(x, y, weight, (epochs or EPOCHS) * (batches or _MANY), certain)
    found = [*weight_findings(model)]
    with warnings.catch_warnings(record=True) as told, _in_one_line(), left_as_found(model):
        for category in (UserWarning, SyntaxWarning):
            warnings.simplefilter("always", category)
        found += _findings(model, rows, held)
    found += _remarks(told)
    return _ranked(found)


def _findings(
    model: keras.Model, rows: Rows, held: tuple[list[Array], list[Array]] | None
) -> Iterator[Finding]:
    work = effort(model, rows.count)
    with compiled_plainly(work):
        yield from _with_effort(model, rows, held, work)


def _with_effort(
    model: keras.Model, rows: Rows, held: tuple[list[Array], list[Array]] | None, work: Effort
) -> Iterator[Finding]:
    x, y = _drawn(work.examples, rows.count, (rows.x, rows.y))
    few, batch = take(slice(work.few), x), take(slice(work.batch), x)
    with left_as_found(model):
        outputs, signals = layer_signals(model, batch, training=True)
    answers = Answers(None, None)
    if is_single := len(outputs) == len(tf.nest.flatten(y)) == 1:
        target = tf.nest.flatten(y)[0]
        shape = (len(target), *outputs[0].shape[1:])
        answers = read_targets(target, np.broadcast_to(outputs[0][:1], shape))
    looked_up = looked_up_inputs(model, batch)
    targets = tf.nest.flatten(rows.y)
    classes, labels = _classes(model, targets, answers, outputs)
    on_data = data_findings(
        tf.nest.flatten(rows.x),
        targets,
        classes=classes,
        labels=labels,
        looked_up=looked_up,
        validation=held,
        weights=[] if rows.weight is None else tf.nest.flatten(rows.weight),
    )
    if not is_single:
        on_data += _labels_of_several(targets, outputs)
    off_scale = [finding for finding in on_data if finding.code in ("scale", "offset")]
    yield from (finding for finding in on_data if finding not in off_scale)
    if any(f.severity == "error" and f.code in _USELESS for f in on_data):
        return
    observer = Observer(model, training=True)
    if not has_own_step(model):
        with left_as_found(model):
            before = observer.observe(x, y, size=work.batch)
        if is_single and (long := [*long_label_findings(model, target, before.outputs[0])]):
            yield from long
            return
        if not before.finite or not math.isfinite(before.example_loss):
            yield _not_finite(signals, before)
            yield from off_scale
            return
        if is_single:
            reach = [*reach_findings(model, few, answers, before.outputs[0])]
            seen = before.outputs[0], before.example_loss
            grave = [
                *loss_findings(model, target, answers, *seen, in_reach=not reach),
                *reach,
                *one_answer_findings(model, few, signals, before.outputs[0]),
                *probability_findings(before),
            ]
            yield from grave
            if grave:
                yield from off_scale
                return
    if not model.trainable_variables:
        yield from off_scale
        return
    other = [
        *inference_findings(model, batch, rows.available, rows.is_certain),
        *padding_findings(model, few),
    ]
    yield from other
    explained = any(
        finding.severity == "error" or finding.code == "unrelated labels"
        for finding in [*on_data, *other]
    )
    if rows.count > _MANY:  # what is standardized need not be copied whole
        whole = (rows.x, rows.y, () if rows.weight is None else rows.weight)
        some_x, some_y, weight = _drawn(_MANY, rows.count, whole)
        rows = replace(rows, x=some_x, y=some_y, weight=None if rows.weight is None else weight)
    trainer = Trainer(model, rows, work, observer, looked_up)
    unknown = has_own_step(model) or answers.perfect is None
    yield from training_findings(
        trainer, signals, off_scale, explained=explained, pairing_unknown=unknown
    )
    if not work.is_whole:
        told = f"{work.steps} steps of {work.batch} examples were tried, not 50 of 32"
        sentence = f"the model is large: {told}"
        yield advise("effort", "information", work.steps, sentence)


def _not_finite(signals: list[Signal], before: Observed) -> Finding:
    """What is not finite before the first step, of data that are."""
    where = next((s.layer for s in signals if not s.finite), None)
    if where is not None or not before.finite:
        of = "" if where is None else f" of {where}, the first layer that has them,"
        sentence = f"before the first step the outputs{of} are NaN or infinite"
        return advise("not finite", "error", math.nan, sentence, "not finite at the start")
    sentence = "before the first step the loss is NaN or infinite, although all outputs are finite"
    return advise("not finite", "error", math.nan, sentence, "not finite in the loss")


def _drawn(most: int, count: int, data: Nest) -> Nest:
    """At most so many of the examples, drawn as ever, in their order."""
    return take(np.sort(np.random.default_rng(0).permutation(count)[:most]), data)


def _held(validation: Nest, inputs: int) -> tuple[list[Array], list[Array]]:
    if isinstance(validation, tf.data.Dataset):
        validation = _read(validation)
    if not isinstance(validation, tuple | list) or len(validation) < 2:
        raise InputError(f"validation is {validation!r:.60}; a pair (x, y) is needed")
    held_x = tf.nest.flatten(_arrays("validation x", validation[0]))
    held_y = [] if validation[1] is None else _arrays("validation y", validation[1])
    if len(held_x) != inputs or len({len(part) for part in held_x}) != 1:
        raise InputError(
            f"the validation data have inputs of {_lengths(held_x)} examples; as many inputs as in "
            f"training, {inputs}, of equally many are needed"
        )
    if not len(held_x[0]):
        raise InputError("the validation data hold no example; at least one is needed")
    return held_x, tf.nest.flatten(held_y)


def _classes(
    model: keras.Model, targets: list[Array], answers: Answers, outputs: list[Array]
) -> tuple[int | None, NDArray[np.int64] | None]:
    """How many classes the model tells apart, None if it does not classify, and the class numbers among
    all targets where they are numbers of outputs."""
    if len(targets) != 1 or len(outputs) != 1:
        return None, None
    size = outputs[0].shape[-1]
    if answers.kind == "classes":
        labels = targets[0].ravel().astype(np.int64)
        ignored = getattr(single_loss(model), "ignore_class", None)
        labels = labels if ignored is None else labels[labels != ignored]
        known: NDArray[np.int64] | None = labels
        if ((labels < 0) | (labels >= size)).any():
            known = known_labels(model, targets[0], labels, outputs[0])
        return (None, None) if known is None else (size, known)
    if answers.kind == "numbers" and answers.perfect is not None and tell_classes(answers.perfect):
        if size == 1 and refuses_ones(model, targets[0], outputs[0]):
            return 1, targets[0].ravel().astype(np.int64)
        return max(2, size), None
    return None, None


def _labels_of_several(targets: list[Array], outputs: list[Array]) -> Iterator[Finding]:
    """Of several outputs, class numbers beyond their own; below 0 a loss may ignore them."""
    if len(targets) != len(outputs):
        return
    for target, output in zip(targets, outputs, strict=True):
        shape = (len(target), *output.shape[1:])
        answers = read_targets(target, np.broadcast_to(output[:1], shape))
        if answers.kind == "classes":
            labels = target.ravel().astype(np.int64)
            yield from label_findings(labels[labels >= 0], output.shape[-1])


def _ranked(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """The gravest first, else as they were found; no warning where an error has its code; no more errors
    than MOST_ERRORS."""
    kept: list[Finding] = []
    errors = 0
    worst = {f.code for f in found if f.severity == "error"}
    for finding in found:
        if finding.severity == "warning" and finding.code in worst:
            continue
        errors += finding.severity == "error"
        if finding.severity == "error" and errors > MOST_ERRORS:
            finding = replace(finding, severity="warning")
        kept.append(finding)
    return tuple(sorted(kept, key=lambda finding: get_args(Severity).index(finding.severity)))


def _remarks(told: list[warnings.WarningMessage]) -> Iterator[Finding]:
    """What Keras itself warned of, once each."""
    said = (" ".join(str(each.message).split()) for each in told if "keras" in each.filename)
    for words in {re.sub(r"\d+", "", each): each for each in said}.values():  # shapes differ
        yield advise("Keras", "information", math.nan, words[:200])


def _read(dataset: tf.data.Dataset) -> tuple[Nest, Nest, Nest]:
    """Inputs, targets and weights of a dataset's first batches, those of the first one's shapes."""
    batches: list[Nest] = []
    shapes, count = None, 0
    for batch in dataset.as_numpy_iterator():
        if any(np.ndim(part) == 0 for part in tf.nest.flatten(batch)):
            raise InputError("the data hold single examples; batch(...) makes batches of them")
        if shapes in (None, new := [part.shape[1:] for part in tf.nest.flatten(batch)]):
            batches.append(keras.utils.unpack_x_y_sample_weight(batch))
        shapes = shapes or new
        count += len(tf.nest.flatten(batch)[0])
        if count >= _READ:
            break
    if not batches:
        raise InputError("the data hold no batch; at least one is needed")
    x, y, weight = (
        None if parts[0] is None else tf.nest.map_structure(lambda *p: np.concatenate(p), *parts)
        for parts in zip(*batches, strict=True)
    )
    return x, y, weight


def _weights(sample_weight: Nest, class_weight: Mapping[int, float] | None, y: Nest) -> Nest:
    if sample_weight is not None and class_weight is not None:
        raise InputError("sample_weight and class_weight are both given; fit takes one of them")
    if sample_weight is not None:
        return _arrays("sample_weight", sample_weight)
    if class_weight is None:
        return None
    if len(targets := tf.nest.flatten(y)) != 1:
        raise InputError(f"class_weight is given for {len(targets)} targets; it is for one")
    labels = targets[0]
    if labels.ndim > 1:
        labels = labels.argmax(axis=-1) if labels.shape[-1] > 1 else labels[..., 0]
    weights = [class_weight.get(int(number), 1.0) for number in labels.ravel()]
    return np.array(weights, dtype=np.float32).reshape(labels.shape)


def _arrays(name: str, part: Nest) -> Nest:
    try:
        leaves = tf.nest.flatten(part)
    except TypeError as error:  # keys that have no order, None and 0
        raise InputError(f"{name} is no nest of arrays: {error_words(error)}") from None
    for leaf in leaves:
        if not hasattr(leaf, "__array__") or not np.ndim(leaf):
            held = "single numbers" if np.isscalar(leaf) else f"a {type(leaf).__name__}"
            raise InputError(
                f"{name} holds {held}; arrays whose first axis counts examples are needed"
            )
    return tf.nest.map_structure(np.asarray, part)


def _lengths(arrays: list[Array]) -> str:
    return ", ".join(str(len(array)) for array in arrays)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What Keras says of a model and data that do not fit, as an InputError."""
    try:
        yield
    except InputError:
        raise
    except KERAS_ERRORS as error:
        raise InputError(f"one batch could not be trained: {error_words(error)}") from error
