"""The check before training: what can be said of a compiled model and its data.

Thresholds were chosen on one half of the planted cases in `tests/diagnosis/planted.py`; the other half
says how well they do.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, error_words
from ..finding import Finding, Severity, advise
from ..keras.backend import KERAS_ERRORS, keras, tf
from .data import data_findings
from .model import classes, sparse_labels, weight_findings
from .observe import Nest, take
from .steps import left_as_found, step_findings

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
    model: keras.Model, x: Nest, y: Nest, validation: tuple[Nest, Nest] | None = None
) -> tuple[Finding, ...]:
    """Findings, gravest first, on a compiled Keras model and its training data; no training run.

    - `model`: a few dozen optimizer steps are taken with a copy of its optimizer and taken back. Model
      and optimizer are left exactly as they were found, but for the weights of a model that had none
      yet. Of a model with a `train_step` of its own, only data and weights are looked at.
    - `x`, `y`: arrays, or nests of arrays as `fit` takes them, whose first axis counts examples.
    - `validation`: such a pair.

    Raises InputError for a model that is not compiled, for data that are no arrays of equally many
    examples, and where a batch cannot be trained on.
    """
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise InputError("the model is not compiled; compile it with its loss and optimizer first")
    x, y = _arrays("x", x), _arrays("y", y)
    parts = tf.nest.flatten((x, y))
    if len({len(part) for part in parts}) != 1 or not len(parts[0]):
        raise InputError(
            f"the data have {_lengths(parts)} examples; equally many are needed, and at least one"
        )
    first = take(slice(1), x)
    with _in_one_line():
        if not model.built:
            model(first)
        with left_as_found(model):
            count = classes(model, first)
    found = [*weight_findings(model), *_data(model, x, y, validation, count)]
    if type(model).train_step is not keras.Model.train_step:
        sentence = (
            "the model trains by a train_step of its own, which is not tried here: only the data and "
            "the weights were looked at"
        )
        found.append(advise("own step", "information", math.nan, sentence))
    elif not any(finding.code in ("not finite", "labels") for finding in found):
        with warnings.catch_warnings(), _in_one_line(), left_as_found(model):
            # Keras' own remarks, on logits that are probabilities for one; a finding says so instead.
            warnings.simplefilter("ignore", UserWarning)
            found += step_findings(model, x, y, count)
    return tuple(sorted(found, key=lambda finding: get_args(Severity).index(finding.severity)))


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


def _data(
    model: keras.Model, x: Nest, y: Nest, validation: tuple[Nest, Nest] | None, count: int | None
) -> list[Finding]:
    inputs, targets, held = tf.nest.flatten(x), tf.nest.flatten(y), None
    if validation is not None:
        held = tf.nest.flatten(_arrays("validation x", validation[0]))
        if len(held) != len(inputs) or len({len(part) for part in held}) != 1:
            raise InputError(
                f"the validation data have inputs of {_lengths(held)} examples; as many inputs as in "
                f"training, {len(inputs)}, of equally many are needed"
            )
        if not len(held[0]):
            raise InputError("the validation data hold no example; at least one is needed")
    first = [name for layer in model.layers if (name := type(layer).__name__) != "InputLayer"][:2]
    return data_findings(
        inputs,
        targets,
        classes=count,
        labels=sparse_labels(model, targets[0]),
        prepared_inside=any(name in _PREPARING for name in first),
        looked_up=any(type(layer).__name__ in _LOOKING_UP for layer in model._flatten_layers()),
        x_validation=held,
    )
