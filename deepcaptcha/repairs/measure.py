"""By what a repair is judged: the user's own measure, computed here from outputs and untouched targets.

Neither the loss nor the scale of targets nor the number of outputs, all of which a repair may change,
have a part in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..keras.backend import keras, tf
from ..keras.data import Array, Pipelines, map_arrays
from ..trials.trial import Mode, Target
from .changes import Change, probabilities, reads_logits

if TYPE_CHECKING:
    from ..keras.fit import Run

MONITOR = "val_held_out"
"""What the measure is called among an epoch's metrics."""

_BATCH = 250


@dataclass(frozen=True, eq=False)
class Measure:
    """A measure on held-out rows.

    - `unit`: what is computed: `accuracy`, `string accuracy`, `accuracy of each output`,
      `cross-entropy`, `mean squared error`, `mean absolute error`, `root mean squared error`, `own`.
    - `truth`: the targets, of classes their values: (n,) or (n, positions).
    - `mode`: which values are better. `values`: the classes there are; none where targets are numbers.
    - `threshold`: between two classes of one output, in the outputs' own unit.
    - `own`: the user's metric or loss, and its `name`.
    """

    unit: str
    truth: Array
    mode: Mode
    values: tuple[float, ...] = ()
    threshold: float = 0.5
    own: Metric | None = field(default=None, repr=False)
    name: str = ""

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.name} as the user's own code has it" if self.unit == "own" else self.unit

    def __repr__(self) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(self.truth).tobytes()).hexdigest()
        return f"Measure({self.unit!r}, {self.name!r}, {self.values}, {self.threshold}, {digest})"

    def value(self, outputs: Array, values: Sequence[float] | None = None) -> float:
        """Of the outputs, in their original unit; NaN where one is not finite. `values`: the classes
        that they stand for, where these are not 0, 1, 2 and so on."""
        if not np.isfinite(outputs).all():
            return float("nan")
        if self.unit in ("accuracy", "string accuracy"):
            right = self.truth == self._classes(outputs, values)
            if self.unit == "string accuracy":
                right = right.reshape(len(right), -1).all(axis=1)
            return float(right.mean())
        if self.unit == "cross-entropy":
            return self._cross_entropy(outputs, values)
        return self._score(self._as_truth(outputs))

    @cached_property
    def constant(self) -> float:
        """What the best constant answer reaches on the same rows."""
        truth = self.truth
        if self.unit == "string accuracy":
            counts = np.unique(truth.reshape(len(truth), -1), axis=0, return_counts=True)[1]
            return float(counts.max() / len(truth))
        if self.unit in ("accuracy", "cross-entropy"):
            found = []
            for column in truth.reshape(len(truth), -1).T:
                shares = np.unique(column, return_counts=True)[1] / len(column)
                entropy = float(-(shares * np.log(shares)).sum())
                found.append(float(shares.max()) if self.unit == "accuracy" else entropy)
            return float(np.mean(found))
        answers = [truth.mean(axis=0), np.median(truth, axis=0), 0.0, 1.0]
        shape = np.zeros(truth.shape, np.float32)
        with np.errstate(all="ignore"):
            scores = [self._score((shape + answer).astype(np.float32)) for answer in answers]
        scores = [score for score in scores if np.isfinite(score)]
        if not scores:
            raise InputError(f"{self.words} of a constant answer is not finite")
        return max(scores) if self.mode == "max" else min(scores)

    def _score(self, outputs: Array) -> float:
        if self.own is not None:
            return self.own(self.truth, outputs)
        if self.unit == "accuracy of each output":
            return float(((outputs > self.threshold) == (self.truth > 0.5)).mean())
        error = outputs.astype(np.float64) - self.truth
        if self.unit == "mean absolute error":
            return float(np.abs(error).mean())
        squared = float(np.square(error).mean())
        return squared**0.5 if self.unit == "root mean squared error" else squared

    def _as_truth(self, outputs: Array) -> Array:
        if outputs.size != self.truth.size:
            raise InputError(
                f"outputs of shape {outputs.shape[1:]} and targets of shape {self.truth.shape[1:]} "
                "cannot be compared"
            )
        return outputs.reshape(self.truth.shape)

    def _classes(self, outputs: Array, values: Sequence[float] | None) -> Array:
        if outputs.size == self.truth.size:  # one output stands for all classes
            outputs = self._as_truth(outputs)
            if values is not None:  # numbered anew
                places = np.clip(np.rint(outputs), 0, len(values) - 1).astype(int)
                return np.asarray(np.asarray(values)[places])
            known = np.array(self.values)
            if len(known) == 2:
                return np.asarray(np.where(outputs > self.threshold, known[1], known[0]))
            return np.asarray(known[np.abs(outputs[..., None] - known).argmin(axis=-1)])
        chosen = outputs.argmax(axis=-1)
        chosen = chosen if values is None else np.asarray(values)[chosen]
        return np.asarray(chosen.reshape(self.truth.shape))

    def _cross_entropy(self, outputs: Array, values: Sequence[float] | None) -> float:
        """Mean of -ln(probability of the true class), clipped as Keras clips it."""
        if outputs.size == self.truth.size:
            high = self._as_truth(outputs).astype(np.float64)
            right = np.where(self.truth == max(self.values), high, 1 - high)
        else:
            rows = outputs.reshape(self.truth.size, -1).astype(np.float64)
            rows = rows / np.maximum(rows.sum(axis=-1, keepdims=True), 1e-7)
            known = np.arange(rows.shape[-1]) if values is None else np.asarray(values)
            right = np.where(self.truth.reshape(-1, 1) == known, rows, 0.0).sum(axis=-1)
        return float(-np.log(np.clip(right, 1e-7, 1.0)).mean())


@dataclass(frozen=True)
class HeldOut:
    """A trial's measure: predicts the held-out inputs, undoes the changes, measures.

    - `raw`: it reads the outputs as they are, also where the loss reads them as logits.
    """

    measure: Measure
    changes: tuple[Change, ...] = ()
    raw: bool = False

    def __call__(self, run: Run) -> dict[str, float]:
        """By its name among the metrics."""
        outputs, loss = predict(run), run.model.loss
        if reads_logits(loss) and not self.raw:
            outputs = probabilities(outputs, type(loss).__name__.lower())
        for change in reversed(self.changes):
            outputs = change.undone(outputs)
        values = next((change.values for change in self.changes if change.values), None)
        return {MONITOR: self.measure.value(np.asarray(outputs), values)}


def predict(run: Run) -> Array:
    """The model's outputs on what its trial validates on."""
    data, model = run.data, run.model
    if isinstance(data, Pipelines):
        parts = [model.predict_on_batch(element[0]) for element in data.make_validation()]
        return np.concatenate(parts)
    fixed = getattr(model, "input_shape", None)
    fixed = fixed[0] if isinstance(fixed, tuple) and isinstance(fixed[0], int) else 1
    size = fixed if fixed > 1 else _BATCH  # 1: as the model was called first
    # `predict` makes a data set anew each time, which costs as much as a short epoch.
    parts = []
    for start in range(0, data.n_validation, size):
        rows = slice(start, start + size)
        parts.append(model.predict_on_batch(map_arrays(itemgetter(rows), data.x_validation)))
    return np.concatenate(parts)


@dataclass(frozen=True)
class Metric:
    """A user's metric or loss as a score; new for each use, so that no state is shared.

    - `kind`, `config`: make it; or `function`, of targets and outputs.
    """

    kind: type[Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None

    @classmethod
    def of(cls, given: Any) -> Metric:
        """Of what `compile` was given: a name, an object or a function."""
        if isinstance(given, str):
            try:
                given = keras.metrics.get(given)
            except ValueError:
                given = keras.losses.get(given)
        if isinstance(given, keras.metrics.Metric | keras.losses.Loss):
            return cls(type(given), given.get_config())
        return cls(function=given)

    def __call__(self, truth: Array, outputs: Array) -> float:
        """As Keras computes it over batches."""
        made: Any = self.function if self.kind is None else self.kind.from_config(dict(self.config))
        is_metric, total = isinstance(made, keras.metrics.Metric), 0.0
        for start in range(0, len(truth), _BATCH):
            rows = slice(start, start + _BATCH)
            pair = tf.constant(truth[rows]), tf.constant(outputs[rows], tf.float32)
            if is_metric:
                made.update_state(*pair)
            else:
                total += float(np.mean(made(*pair))) * len(truth[rows])
        return float(np.mean(made.result())) if is_metric else total / len(truth)


def held_out_target(target: Target, constant: float, mode: Mode) -> Target:
    """The user's target, and better than the best constant answer.

    Raises InputError where nothing can be better than a constant.
    """
    better = np.nextafter(np.float32(constant), np.float32(np.inf if mode == "max" else -np.inf))
    value = (max if mode == "max" else min)(target.value, float(better))
    if (mode == "max" and constant >= 1 and target.value <= 1) or (mode == "min" and constant <= 0):
        raise InputError(
            "a constant answer is perfect on the rows that validate; rows that differ are needed"
        )
    return Target(value, target.epochs, MONITOR, mode, constant)
