"""The check before training: what can be said of a compiled model and its data.

Everything is measured, whatever layers and losses are called. Thresholds were chosen on one half of the
planted cases in `tests/diagnosis/planted.py` and on two groups of public reports in `tests/reports`; the
others say how well they do.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, error_words
from ..finding import Finding, Severity, advise, percent
from ..keras.backend import KERAS_ERRORS, keras, tf
from .answers import (
    Answers,
    answers_one_thing,
    class_labels,
    loss_findings,
    reach_findings,
    read_targets,
)
from .data import data_findings
from .model import inference_findings, looked_up_inputs, padding_findings, weight_findings
from .observe import Nest, Observed, Observer, single_loss, take
from .signal import SAME, Signal, end_of_signal, layer_signals, spread
from .steps import Effort, compiled_plainly, effort, has_own_step, left_as_found
from .training import Rows, Trainer, training_findings

Array = NDArray[Any]

MOST_ERRORS = 3
"""Errors told of one model: the first in rank. What follows from them is told as a warning."""

EPOCHS = 10
"""Epochs of a training that does not say how many it has. What its length tells is no error then."""

_USELESS = ("not finite", "labels", "same inputs")
"""Errors of the data with which nothing else can be said."""

_READ = 2000
"""Examples read from a pipeline."""


def check(
    model: keras.Model,
    x: Nest,
    y: Nest = None,
    validation: tuple[Nest, Nest] | None = None,
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
      `x` alone a tf.data.Dataset of batches, of which the first are read.
    - `validation`: such a pair.
    - `sample_weight`, `class_weight`: as `fit` takes them.
    - `batch`, `epochs`: of the training to come, None where its length is not known. They say how many
      steps it has.

    At most MOST_ERRORS errors are told. How much is tried follows from the model's size.

    Raises InputError for a model that is not compiled, for data that are no arrays of equally many
    examples, and where a batch cannot be trained on.
    """
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError("the model is not compiled; compile it with its loss and optimizer first")
    if isinstance(x, tf.data.Dataset):
        x, y, sample_weight = _read(x)
    x, y = _arrays("x", x), _arrays("y", y)
    parts = tf.nest.flatten((x, y))
    if len({len(part) for part in parts}) != 1 or not len(parts[0]):
        raise InputError(
            f"the data have {_lengths(parts)} examples; equally many are needed, and at least one"
        )
    with _in_one_line():
        if not model.built:
            model(take(slice(1), x))
    weight = _weights(sample_weight, class_weight, y)
    steps = (epochs or EPOCHS) * math.ceil(len(parts[0]) / batch)
    rows = Rows(x, y, weight, steps, epochs is not None)
    found = [*weight_findings(model)]
    with warnings.catch_warnings(record=True) as told, _in_one_line(), left_as_found(model):
        warnings.simplefilter("always", UserWarning)
        found += _findings(model, rows, validation)
    found += _remarks(told)
    return _ranked(found)


def _findings(
    model: keras.Model, rows: Rows, validation: tuple[Nest, Nest] | None
) -> Iterator[Finding]:
    work = effort(model, rows.count)
    with compiled_plainly(work):
        yield from _with_effort(model, rows, validation, work)


def _with_effort(
    model: keras.Model, rows: Rows, validation: tuple[Nest, Nest] | None, work: Effort
) -> Iterator[Finding]:
    shown = np.sort(np.random.default_rng(0).permutation(rows.count)[: work.examples])
    x, y = take(shown, (rows.x, rows.y))
    few = take(slice(max(work.batch, min(64, work.examples))), x)
    with left_as_found(model):
        outputs, signals = layer_signals(model, take(slice(work.batch), x), training=True)
    single = len(outputs) == len(tf.nest.flatten(y)) == 1
    answers = (
        read_targets(tf.nest.flatten(y)[0], _like(outputs[0], shown))
        if single
        else Answers(None, None)
    )
    looked_up = looked_up_inputs(model, take(slice(work.batch), x))
    on_data = [*_on_data(model, rows, validation, answers, outputs, looked_up)]
    off_scale = [finding for finding in on_data if finding.code in ("scale", "offset")]
    yield from (finding for finding in on_data if finding not in off_scale)
    if any(f.severity == "error" and f.code in _USELESS for f in on_data):
        return
    own = has_own_step(model)
    observer = Observer(model, training=True)
    grave = []
    if not own:
        with left_as_found(model):
            before = observer.observe(x, y, size=work.batch)
        if not before.finite or not math.isfinite(before.example_loss):
            yield from (_not_finite(signals), *off_scale)
            return
        grave = [*_on_answers(model, few, x, y, answers, before, signals, single)]
        yield from grave
    if any(f.severity == "error" for f in grave) or not model.trainable_variables:
        yield from off_scale
        return
    other = [
        *inference_findings(model, take(slice(work.batch), x), rows.available, rows.is_certain),
        *padding_findings(model, few),
    ]
    yield from other
    explained = any(
        finding.severity == "error" or finding.code == "unrelated labels"
        for finding in [*on_data, *other]
    )
    yield from training_findings(
        Trainer(model, rows, work, observer, looked_up),
        signals,
        off_scale,
        explained=explained,
        pairing_unknown=own or answers.perfect is None,
    )
    if not work.is_whole:
        told = f"{work.steps} steps of {work.batch} examples were tried, not 50 of 32"
        sentence = f"the model is large: {told}"
        yield advise("effort", "information", work.steps, sentence)


def _on_answers(
    model: keras.Model,
    few: Nest,
    x: Nest,
    y: Nest,
    answers: Answers,
    before: Observed,
    signals: list[Signal],
    single: bool,
) -> Iterator[Finding]:
    if not single:
        return
    target, outputs = np.asarray(tf.nest.flatten(y)[0]), before.outputs[0]
    yield from loss_findings(model, target, answers, outputs, before.example_loss)
    yield from reach_findings(model, few, answers, outputs)
    ended = end_of_signal(signals)
    at_the_last = 0 < len(ended) < len(signals) and not any(each.trained for each in ended[1:])
    if at_the_last and spread(outputs) <= SAME and answers_one_thing(model, few):
        sentence = (
            f"the model answers {float(outputs.ravel()[0]):.3g} to every example, whatever its last "
            "layer reads"
        )
        yield advise("constant answer", "error", 0.0, sentence, "one answer")
    outside = float(((outputs < 0) | (outputs > 1)).mean())
    if (before.lost_share or 0) >= 0.05 and outside > 0.01:
        last_ = "sigmoid" if outputs.shape[-1] == 1 else "softmax"
        sentence = (
            f"{percent(before.lost_share or 0)} of the examples have exactly zero gradient although they "
            f"cost something, and {percent(outside)} of the outputs lie outside 0..1: the loss "
            "expects probabilities"
        )
        yield advise(
            "loss mismatch", "error", outside, sentence, "outputs are no probabilities", last=last_
        )


def _not_finite(signals: list[Signal]) -> Finding:
    where = next((s.layer for s in signals if not s.finite), None)
    at = "its loss" if where is None else f"the outputs of {where}, the first layer that has them,"
    sentence = f"before the first step {at} are NaN or infinite"
    return advise("not finite", "error", math.nan, sentence, "not finite at the start")


def _like(output: Array, shown: Array) -> Array:
    return np.broadcast_to(output[:1], (len(shown), *output.shape[1:]))


def _on_data(
    model: keras.Model,
    rows: Rows,
    validation: tuple[Nest, Nest] | None,
    answers: Answers,
    outputs: list[Array],
    looked_up: list[bool],
) -> Iterator[Finding]:
    inputs, targets = tf.nest.flatten(rows.x), tf.nest.flatten(rows.y)
    held = None
    if validation is not None:
        held_x = tf.nest.flatten(_arrays("validation x", validation[0]))
        held_y = tf.nest.flatten(_arrays("validation y", validation[1]))
        if len(held_x) != len(inputs) or len({len(part) for part in held_x}) != 1:
            raise InputError(
                f"the validation data have inputs of {_lengths(held_x)} examples; as many inputs as in "
                f"training, {len(inputs)}, of equally many are needed"
            )
        if not len(held_x[0]):
            raise InputError("the validation data hold no example; at least one is needed")
        held = held_x, held_y
    classes, labels = _classes(model, targets, answers, outputs)
    yield from data_findings(
        inputs,
        targets,
        classes=classes,
        labels=labels,
        looked_up=looked_up,
        validation=held,
    )


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
        return size, labels if ignored is None else labels[labels != ignored]
    if answers.kind == "numbers" and answers.perfect is not None:
        some = class_labels(answers.perfect, answers, outputs[0])
        if some is not None:
            return max(2, size), None
    return None, None


def _ranked(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, else as they were found; one finding a code and sentence; no more errors than
    MOST_ERRORS."""
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
    said = (" ".join(str(each.message).split()) for each in told)
    for words in {re.sub(r"\d+", "", each): each for each in said}.values():  # shapes differ
        yield advise("Keras", "information", math.nan, words[:200])


def _read(dataset: tf.data.Dataset) -> tuple[Nest, Nest, Nest]:
    batches, count = [], 0
    for batch in dataset.as_numpy_iterator():
        batches.append(keras.utils.unpack_x_y_sample_weight(batch))
        count += len(tf.nest.flatten(batch)[0])
        if count >= _READ:
            break
    if not batches:
        raise InputError("the data hold no batch; at least one is needed")
    joined = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)
    x, y, weight = joined
    return x, y, weight


def _weights(sample_weight: Nest, class_weight: Mapping[int, float] | None, y: Nest) -> Nest:
    if sample_weight is not None or class_weight is None:
        return None if sample_weight is None else tf.nest.map_structure(np.asarray, sample_weight)
    labels = np.asarray(tf.nest.flatten(y)[0])
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(axis=-1)
    numbers = labels.reshape(len(labels), -1)[:, 0].astype(int)
    return np.array([class_weight.get(int(number), 1.0) for number in numbers], dtype=np.float32)


def _arrays(name: str, part: Nest) -> Nest:
    for leaf in tf.nest.flatten(part):
        if not hasattr(leaf, "__array__") or not np.ndim(leaf):
            held = "single numbers" if np.isscalar(leaf) else f"a {type(leaf).__name__}"
            raise InputError(
                f"{name} holds {held}; arrays whose first axis counts examples are needed"
            )
    return tf.nest.map_structure(np.asarray, part)


def _lengths(arrays: list[NDArray[Any]]) -> str:
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
