"""What a search for repairs sees of a model and its data before it tries anything."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..errors import InputError, error_words
from ..keras.backend import KERAS_ERRORS, keras
from ..keras.data import Array, Data, Examples
from ..keras.source import KerasSource
from ..trials.trial import Target
from .changes import CROSS_ENTROPIES, reads_logits, resplit
from .measure import Measure, Metric, held_out_target
from .model import Compiled, Head, activation_of, built, edited, flat_layers, read_head

Targets = Literal["one-hot", "classes", "two classes", "labels", "numbers", "other"]
"""Of a vector with a single 1; class numbers; one of two values an output; any number of 1s; numbers."""

_SHORT = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}
_UNITS: dict[str, str] = {
    **dict.fromkeys(("accuracy", "acc", "binary_accuracy"), "accuracy"),
    **dict.fromkeys(("categorical_accuracy", "sparse_categorical_accuracy"), "accuracy"),
    "string_accuracy": "string accuracy",
    "mean_squared_error": "mean squared error",
    "mean_absolute_error": "mean absolute error",
    "root_mean_squared_error": "root mean squared error",
}
_MOST_CLASSES = 1000
_UNLIKE = 1e-6  # p of training and validation targets being of one distribution


@dataclass(frozen=True, eq=False)
class Case:
    """A model as its trials begin it, with its data and how it is trained.

    - `given`: the user's data; `examples`: those that the unrepaired model trains and is judged on, with
      the rows of the measure where those differ. None of pipelines.
    - `pooled`: the user's training and validation rows are unlike, and the rows to judge on are drawn
      from all of them.
    """

    source: KerasSource
    model: keras.Model
    told: Compiled
    given: Data
    examples: Examples | None
    pooled: bool

    @classmethod
    def of(cls, source: object) -> Case:
        """What `source` trains; InputError where that is no Keras network or cannot be built."""
        if not isinstance(source, KerasSource):
            name = getattr(source, "name", type(source).__name__)
            raise InputError(
                f"{name} is no Keras network, and only those can be changed by configuration"
            )
        data = source.examples
        try:
            model, *_ = source.start(0)
            built(model, data.first[0])
            told = Compiled.of(model)
        except InputError:
            raise
        except Exception as error:  # whatever a user's model, or optimizer, raises
            words = error_words(error) or type(error).__name__
            raise InputError(f"{source.name} cannot be built for repairs: {words}") from error
        examples = data if isinstance(data, Examples) else None
        pooled = examples is not None and are_unlike(examples)
        if examples is not None and pooled:
            examples = resplit(examples, shuffled=False)
        return cls(source, model, told, data, examples, pooled)

    @property
    def loss(self) -> str:
        """The name of the loss in snake case; empty where there is none, or several."""
        loss = self.told.loss
        return "" if loss is None or isinstance(loss, dict | list | tuple) else loss_name(loss)

    @property
    def from_logits(self) -> bool:
        """Whether the loss reads logits."""
        return reads_logits(self.told.loss)

    @cached_property
    def refusal(self) -> str:
        """Why the model cannot be made anew from its configuration; empty where it can."""
        if not type(self.model).__module__.startswith("keras."):
            return f"{type(self.model).__name__} is a class of its own"
        try:
            edited(self.model, {})
        except Exception as error:  # whatever a user's layer raises when it is made anew
            return f"it cannot be copied ({type(error).__name__})"
        return ""

    @cached_property
    def head(self) -> Head | None:
        """The end of the model, where it can be changed."""
        return None if self.refusal else read_head(self.model)

    @cached_property
    def output_shape(self) -> tuple[int | None, ...]:
        """Of an example's output; empty where there are several."""
        try:
            shape = getattr(self.model, "output_shape", None)
            if shape is None:  # of a class of its own
                shape = getattr(self.model(self.given.first[0]), "shape", None)
        except Exception:  # whatever a user's model raises: then it is not known
            return ()
        if shape is None or not all(isinstance(size, int | None) for size in shape):
            return ()
        return tuple(shape[1:])

    @property
    def units(self) -> int | None:
        """Outputs along the last axis."""
        return self.output_shape[-1] if self.output_shape else None

    @property
    def y(self) -> Array | None:
        """The training targets, where they are one array of numbers."""
        return None if self.examples is None else _numbers(self.examples.y_train)

    @cached_property
    def y_held(self) -> Array | None:
        """The targets to judge by, where they are one array of numbers."""
        return _numbers((self.examples or self.given).y_validation)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The class numbers in training and validation data, in order; empty where there are none."""
        if self.kind not in ("classes", "two classes"):
            return ()
        parts = [part.ravel() for part in (self.y, self.y_held) if part is not None]
        return tuple(np.unique(np.concatenate(parts)).astype(float).tolist())

    @cached_property
    def kind(self) -> Targets:
        """What the targets are."""
        y = self.y if self.y is not None else self.y_held
        if y is None or not np.isfinite(y).all():
            return "other"
        shape = self.output_shape
        names = (self.source.target.monitor, *map(metric_name, self._metrics))
        classifies = "crossentropy" in self.loss or any("accuracy" in name for name in names)
        binary = bool(np.isin(y, (0, 1)).all())
        if y.ndim > 1 and y.shape[-1] > 1:
            if binary and (y.sum(axis=-1) == 1).all() and shape[-1:] == y.shape[-1:]:
                return "one-hot"
            if shape[:-1] != y.shape[1:] or not classifies:
                return "labels" if binary else "numbers"
        if not classifies:
            return "numbers"
        found = np.unique(y)
        if len(found) > min(_MOST_CLASSES, max(2, y.size // 4)) or (found != np.round(found)).any():
            return "numbers" if not binary else "labels"
        if len(found) == 2 and (not shape or shape[-1] == 1):
            # Of many outputs, such as an image's pixels, each is judged by itself.
            return "two classes" if y.size == len(y) else "labels"
        return "classes"

    @cached_property
    def target(self) -> Target:
        """The user's, on the measure, and better than the best constant answer.

        Raises InputError where nothing can be better than that.
        """
        target, measure = self.source.target, self.measure
        return target if measure is None else held_out_target(target, measure.constant, target.mode)

    @cached_property
    def measure(self) -> Measure | None:
        """The user's own, computed from outputs; None where only Keras' log has it."""
        target, truth, shape = self.source.target, self.y_held, self.output_shape
        given = self._monitored
        if truth is None or not shape or given is None:
            return None
        name = loss_name(given) if given is self.told.loss else metric_name(given)
        unit = _UNITS.get(name)
        if target.monitor.endswith("loss") and name in CROSS_ENTROPIES:
            unit = "cross-entropy"
        if unit in ("accuracy", "string accuracy", "cross-entropy"):
            if self.kind == "labels" and unit == "accuracy":
                return Measure("accuracy of each output", truth, "max")
            if self.kind == "one-hot":
                return Measure(unit, truth.argmax(axis=-1), target.mode)
            if self.values:
                truth = truth[..., 0] if truth.shape[1:] == (1,) else truth
                two = len(self.values) == 2 and not self.from_logits
                threshold = float(np.mean(self.values)) if two else 0.5
                return Measure(unit, truth, target.mode, self.values, threshold)
            unit = None
        known = None not in shape
        if known and int(np.prod([size or 1 for size in shape])) != truth.size // len(truth):
            return None
        if unit is not None:
            return Measure(unit, truth.astype(np.float64), target.mode)
        truth = truth.reshape(len(truth), *shape) if known else truth
        try:
            own = Metric.of(given)
            found = Measure("own", truth.astype(np.float32), target.mode, own=own, name=name)
            _ = found.constant  # computed once, so that it is known to be computed at all
        except InputError:
            raise
        except Exception:  # whatever a user's metric raises, such as for a lack of arguments
            return None
        return found

    @property
    def _monitored(self) -> Any:
        """What `compile` was given for what the target is on; None where that is not known."""
        monitor = self.source.target.monitor.removeprefix("val_")
        if monitor == "loss":
            return self.told.loss if self.loss else None
        for given in self._metrics:
            logged = given if isinstance(given, str) else getattr(given, "name", "")
            if monitor in (logged, getattr(given, "__name__", "")):
                return given
        return None

    @property
    def _metrics(self) -> list[Any]:
        """All that `compile` was given."""
        return [m for m in keras.tree.flatten(self.told.others.get("metrics")) if m is not None]

    def layers(self, *kinds: str) -> list[keras.Layer]:
        """The layers whose class has one of these names, all without a name; none of a model that cannot
        be changed."""
        whole = [] if self.refusal else flat_layers(self.model)
        return [layer for layer in whole if not kinds or type(layer).__name__ in kinds]

    def place(self, layer: keras.Layer) -> int:
        """Of a layer among all."""
        return [one is layer for one in flat_layers(self.model)].index(True)

    def hidden(self, *activations: str) -> list[keras.Layer]:
        """Layers before the head with such an activation, but recurrent ones."""
        head = self.head
        own = {head.layer, *(name for name, _ in head.activations)} if head else set()
        return [
            layer
            for layer in self.layers()
            if activation_of(layer) in activations
            and layer.name not in own
            and not is_recurrent(layer)
        ]


def is_recurrent(layer: keras.Layer) -> bool:
    """Whether it reads steps in turn, in one direction or two."""
    return isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional)


def _numbers(y: object) -> Array | None:
    return y if isinstance(y, np.ndarray) and y.dtype.kind in "biuf" else None


def metric_name(given: Any) -> str:
    """In snake case: `MeanSquaredError` as `mean_squared_error`."""
    kind = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    found = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    return _SHORT.get(found, found)


def loss_name(loss: Any) -> str:
    """In snake case, of one that may be given by a short name."""
    if isinstance(loss, str):
        with suppress(*KERAS_ERRORS):  # then its name is all there is
            loss = keras.losses.get(loss)
    return metric_name(loss)


def are_unlike(data: Examples) -> bool:
    """Whether training and validation targets are of two distributions: one side lacks classes that the
    other has many of, or their numbers differ (Kolmogorov-Smirnov, 1e-6)."""
    from scipy.stats import chi2_contingency, ks_2samp

    parts = []
    for part in (data.y_train, data.y_validation):
        y = _numbers(part)
        if y is None or not np.isfinite(y).all():
            return False
        if y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all():
            y = y.argmax(axis=1)
        if y.size != len(y):
            return False
        parts.append(y.ravel())
    values = np.unique(np.concatenate(parts))
    if len(values) < 2:
        return False
    if len(values) > 50:
        return float(ks_2samp(*parts).pvalue) < _UNLIKE
    counts = [[(part == value).sum() for value in values] for part in parts]
    return float(chi2_contingency(counts).pvalue) < _UNLIKE
