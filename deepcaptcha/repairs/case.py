"""What a search for repairs sees of a model and its data before it tries anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..keras.backend import KERAS_ERRORS, keras
from ..keras.data import Array, Data, Examples, Pipelines
from ..keras.source import KerasSource
from ..trials.trial import Mode
from .changes import resplit
from .measure import Measure, Metric, Unit
from .model import Compiled, Head, activation_of, built, edited, flat_layers, read_head

Targets = Literal["one-hot", "classes", "two classes", "labels", "numbers", "other"]
"""Of a vector with a single 1; class numbers; one of two values an output; any number of 1s; numbers."""

CROSS_ENTROPIES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "binary_crossentropy",
)
_SHORT = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}
_UNITS: dict[str, Unit] = {
    **dict.fromkeys(
        (
            "accuracy",
            "acc",
            "binary_accuracy",
            "categorical_accuracy",
            "sparse_categorical_accuracy",
        ),
        "accuracy",
    ),
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
    def of(cls, source: KerasSource) -> Case:
        """What `source` trains; InputError where its model cannot be built."""
        model, *_ = source.start(0)
        data = source.examples
        built(model, data.first[0])
        pooled = isinstance(data, Examples) and are_unlike(data)
        examples = None
        if isinstance(data, Examples):
            examples = resplit(data, shuffled=False) if pooled else data
        return cls(source, model, Compiled.of(model), data, examples, pooled)

    @property
    def loss(self) -> str:
        """The name of the loss in snake case; empty where there is none, or several."""
        return loss_name(self.told.loss)

    @property
    def from_logits(self) -> bool:
        """Whether the loss reads logits."""
        loss = self.told.loss
        return isinstance(loss, keras.losses.Loss) and bool(
            getattr(loss, "from_logits", False) or _config(loss).get("from_logits", False)
        )

    @cached_property
    def editable(self) -> bool:
        """Whether the model can be made anew from its configuration."""
        return not self.refusal

    @cached_property
    def refusal(self) -> str:
        """Why the model cannot be changed by configuration."""
        if type(self.model) not in (keras.Sequential, keras.Model, _functional()):
            return f"{type(self.model).__name__} is a class of its own"
        if not getattr(self.model, "inputs", None):
            return "its layers are not connected before it is called"
        try:
            edited(self.model, {})
        except Exception as error:  # whatever a user's layer raises when it is made anew
            return f"it cannot be copied ({type(error).__name__})"
        return ""

    @cached_property
    def head(self) -> Head | None:
        """The end of the model, where it can be changed."""
        return read_head(self.model) if self.editable else None

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Of an example's output; empty where there are several or it is not known."""
        try:
            shape = self.model.output_shape
        except (AttributeError, ValueError):
            return ()
        if not isinstance(shape, tuple) or not all(isinstance(s, int | None) for s in shape):
            return ()
        return shape[1:]

    @property
    def y(self) -> Array | None:
        """The training targets, where they are one array of numbers."""
        y = self.examples.y_train if self.examples is not None else None
        return y if isinstance(y, np.ndarray) and y.dtype.kind in "biuf" else None

    @cached_property
    def y_held(self) -> Array | None:
        """The targets to judge by, where they are one array of numbers."""
        if isinstance(self.given, Pipelines):
            y = self.given.y_validation
        else:
            y = self.examples.y_validation if self.examples is not None else None
        return y if isinstance(y, np.ndarray) and y.dtype.kind in "biuf" else None

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The class numbers in training and validation data, in order; empty where there are none."""
        if self.kind not in ("classes", "two classes"):
            return ()
        known = [part for part in (self.y, self.y_held) if part is not None]
        return tuple(
            float(value) for value in np.unique(np.concatenate([p.ravel() for p in known]))
        )

    @cached_property
    def kind(self) -> Targets:
        """What the targets are."""
        y = self.y if self.y is not None else self.y_held
        if y is None or not np.isfinite(y).all():
            return "other"
        shape = self.output_shape
        classifies = "crossentropy" in self.loss or any(
            "accuracy" in name for name in (self.source.target.monitor, *metric_names(self.told))
        )
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

    def measure(self) -> Measure | None:
        """The user's own, computed from outputs; None where only Keras' log has it."""
        target, truth = self.source.target, self.y_held
        if truth is None or len(self.output_shape) == 0 or isinstance(self.told.loss, dict | list):
            return None
        name, given = self._monitored()
        if given is None:
            return None
        unit = _UNITS.get(name)
        threshold = 0.5
        if target.monitor.endswith("loss") and name in CROSS_ENTROPIES:
            unit = "cross-entropy"
        if unit in ("accuracy", "string accuracy", "cross-entropy"):
            if self.kind == "labels" and unit == "accuracy":
                return Measure("accuracy of each output", truth, "max", threshold=threshold)
            if self.kind == "one-hot":
                return Measure(unit, truth.argmax(axis=-1), target.mode)
            if self.kind in ("classes", "two classes"):
                shape = truth.shape[:-1] if truth.shape[1:] == (1,) else truth.shape
                if len(self.values) == 2 and not self.from_logits:
                    threshold = float(np.mean(self.values))
                values = self.values
                return Measure(unit, truth.reshape(shape), target.mode, values, threshold)
            unit = None
        if unit is not None and _fits(truth, self.output_shape):
            return Measure(unit, truth.astype(np.float64), target.mode)
        if _fits(truth, self.output_shape):
            shape = (len(truth), *(s or 1 for s in self.output_shape))
            shaped = truth.reshape(shape) if np.prod(shape) == truth.size else truth
            own = Metric.of(given)
            return Measure("own", shaped.astype(np.float32), target.mode, own=own, name=name)
        return None

    @property
    def logits(self) -> str:
        """The loss that reads the outputs as logits; empty where it reads them as they are."""
        return self.loss if self.from_logits else ""

    def _monitored(self) -> tuple[str, Any]:
        """The name of what the target is on, in snake case, and what `compile` was given for it."""
        monitor = self.source.target.monitor.removeprefix("val_")
        if monitor == "loss":
            return (self.loss, self.told.loss) if self.loss else ("", None)
        for given in _given_metrics(self.told):
            logged = given if isinstance(given, str) else getattr(given, "name", "")
            if monitor in (logged, getattr(given, "__name__", "")):
                return metric_name(given), given
        return "", None

    def layers(self, *kinds: str) -> list[keras.Layer]:
        """The layers whose class has one of these names; all of them without a name."""
        whole = flat_layers(self.model)
        return [layer for layer in whole if not kinds or type(layer).__name__ in kinds]

    def place(self, layer: keras.Layer) -> int:
        """Of a layer among all."""
        return [one is layer for one in flat_layers(self.model)].index(True)

    def hidden_activations(self, *names: str) -> list[keras.Layer]:
        """Layers before the head with such an activation, but recurrent ones."""
        own = (
            {self.head.layer, *(name for name, _ in self.head.activations)} if self.head else set()
        )
        return [
            layer
            for layer in self.layers()
            if layer.name not in own and not _is_recurrent(layer) and activation_of(layer) in names
        ]

    @property
    def recurrent(self) -> list[keras.Layer]:
        """Recurrent layers, those inside a Bidirectional one as that one."""
        return [layer for layer in self.model.layers if _is_recurrent(layer)]


def _is_recurrent(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional)


def _functional() -> type[keras.Model]:
    inputs = keras.Input((1,))
    return type(keras.Model(inputs, inputs))


def _config(part: Any) -> dict[str, Any]:
    try:
        return dict(part.get_config())
    except (NotImplementedError, TypeError):
        return {}


def snake(name: str) -> str:
    """`MeanSquaredError` as `mean_squared_error`."""
    found = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _SHORT.get(found, found)


def loss_name(loss: Any) -> str:
    """In snake case; empty for none or several."""
    if loss is None or isinstance(loss, dict | list | tuple):
        return ""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except KERAS_ERRORS:
            return snake(str(loss))
    return snake(getattr(loss, "__name__", type(loss).__name__))


def metric_name(given: Any) -> str:
    """In snake case."""
    if isinstance(given, str):
        return snake(given)
    return snake(getattr(given, "__name__", type(given).__name__))


def metric_names(told: Compiled) -> list[str]:
    """Of all that `compile` was given."""
    return [metric_name(given) for given in _given_metrics(told)]


def _given_metrics(told: Compiled) -> list[Any]:
    given: list[Any] = []

    def gather(part: Any) -> None:
        if isinstance(part, list | tuple):
            for each in part:
                gather(each)
        elif isinstance(part, dict):
            gather(list(part.values()))
        elif part is not None:
            given.append(part)

    gather(told.others.get("metrics"))
    return given


def _fits(truth: Array, shape: tuple[int | None, ...]) -> bool:
    """Whether an example has as many outputs as targets."""
    sizes = [size for size in shape if size is not None]
    return len(sizes) < len(shape) or int(np.prod(sizes)) == truth.size // len(truth)


def are_unlike(data: Examples) -> bool:
    """Whether training and validation targets are of two distributions: one side lacks classes that the
    other has many of, or their numbers differ (Kolmogorov-Smirnov, 1e-6)."""
    from scipy.stats import chi2_contingency, ks_2samp

    parts = []
    for y in (data.y_train, data.y_validation):
        if not (isinstance(y, np.ndarray) and y.dtype.kind in "biuf") or not np.isfinite(y).all():
            return False
        one_hot = y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all()
        if one_hot and (y.sum(axis=1) == 1).all():
            y = y.argmax(axis=1)
        if y.size != len(y):
            return False
        parts.append(y.ravel())
    values = np.unique(np.concatenate(parts))
    if len(values) < 2:
        return False
    if len(values) > 50:
        return float(ks_2samp(*parts).pvalue) < _UNLIKE
    counts = np.array([[(part == value).sum() for value in values] for part in parts])
    return float(chi2_contingency(counts).pvalue) < _UNLIKE


def direction(mode: Mode) -> int:
    """1 where more is better, -1 where less is."""
    return 1 if mode == "max" else -1


def require_keras(source: object) -> KerasSource:
    """`source`, if it is Keras'; else InputError."""
    if isinstance(source, KerasSource):
        return source
    name = getattr(source, "name", type(source).__name__)
    raise InputError(f"{name} is no Keras network, and only those can be changed by configuration")
