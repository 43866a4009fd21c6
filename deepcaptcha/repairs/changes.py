"""How a change acts on a user's model and data: on copies, by configuration, never on what was given.

A change is plain data, so that a worker process and a trial's identity know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..keras.backend import keras
from ..keras.data import Array, Data, Examples, Part, map_arrays
from ..keras.settings import Training
from ..keras.training import compile_model
from ..trials.trial import Target
from .model import Compiled, activation_edits, built, edited, flat_layers, read_head


class Change:
    """A change of data, model or training, and how the outputs are read as they were before it.

    - `values`: the class that each output stands for, where the change says so.
    - `touches_outputs`: what the outputs or targets mean is not what it was; `makes_probabilities`: they
      are probabilities once it is undone. `touches_model`, `touches_data`: what it changes.
    """

    values: tuple[float, ...] | None = None
    touches_outputs = False
    makes_probabilities = False
    touches_model = False
    touches_data = False

    def data(self, given: Examples) -> Examples:
        """Other arrays than those given."""
        return given

    def model(self, model: keras.Model) -> keras.Model:
        """Another model than that given, not compiled."""
        return model

    def compiled(self, told: Compiled, model: keras.Model) -> Compiled:
        """What `compile` is told of the changed model."""
        return told

    def training(self, training: Training) -> Training:
        """Other settings of `fit`."""
        return training

    def epochs(self, epochs: int) -> int:
        """How many there may be."""
        return epochs

    def undone(self, outputs: Array) -> Array:
        """The outputs in the unit they had without the change."""
        return outputs


Scaling = Literal["range", "standard"]


@dataclass(frozen=True)
class Affine:
    """(value - offset) / scale, of numbers or one for each column."""

    offset: Array
    scale: Array

    def apply(self, array: Array) -> Array:
        """A new float32 array."""
        return ((array - self.offset) / self.scale).astype(np.float32)

    def undo(self, array: Array) -> Array:
        """Its inverse."""
        return np.asarray(array * self.scale + self.offset)


def fitted(array: Array, how: Scaling, *, columns: bool | None = None) -> Affine:
    """What brings the array to 0..1 (only divided, where it starts at 0; to -1..1 where it has both
    signs) or to mean 0 and deviation 1; column by column where an example is a row of unlike numbers.
    """
    rows = array.reshape(len(array), -1) if array.ndim < 3 else array
    by_column = unlike_columns(array) if columns is None else columns
    axes = 0 if by_column else None
    values = rows.astype(np.float64)
    if how == "standard":
        offset, scale = values.mean(axis=axes), values.std(axis=axes)
    else:
        low, high = values.min(axis=axes), values.max(axis=axes)
        # A range that does not start near 0 is brought there too.
        far = (low > 0) & (low > 0.5 * high)
        offset = np.where(far, low, 0.0)
        scale = np.where(low < 0, np.maximum(-low, high), high - offset)
    scale = np.where(scale > 1e-12, scale, 1.0)
    return Affine(*(np.asarray(value, np.float64) for value in (offset, scale)))


def unlike_columns(array: Array) -> bool:
    """Whether an example is a row of numbers of different units: deviations that differ tenfold, and
    no whole numbers of one range, as pixels are."""
    if array.ndim != 2 or array.shape[1] == 1:
        return False
    if array.shape[1] > 16 and np.array_equal(array[:200], np.round(array[:200])):
        return False
    deviations = array.std(axis=0)
    deviations = deviations[deviations > 0]
    return len(deviations) > 1 and float(deviations.max()) > 10 * float(deviations.min())


def is_scalable(array: object) -> bool:
    """Whether it is an array of numbers."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu"


@dataclass(frozen=True)
class ScaledInputs(Change):
    """Training and validation inputs by the training inputs' own numbers."""

    how: Scaling
    touches_data = True

    def data(self, given: Examples) -> Examples:
        """Every array of inputs scaled."""
        parts = _paired(given.x_train, given.x_validation, self._scale)
        return Examples(parts[0], given.y_train, parts[1], given.y_validation)

    def _scale(self, train: Array, validation: Array) -> tuple[Array, Array]:
        if not is_scalable(train):
            return train, validation
        by = fitted(train, self.how)
        return by.apply(train), by.apply(validation)


def _paired(
    a: Part, b: Part, change: Callable[[Array, Array], tuple[Array, Array]]
) -> tuple[Part, Part]:
    if isinstance(a, Mapping):
        both = {key: _paired(a[key], b[key], change) for key in a}
        return {k: v[0] for k, v in both.items()}, {k: v[1] for k, v in both.items()}
    if isinstance(a, tuple):
        found = [_paired(x, y, change) for x, y in zip(a, b, strict=True)]
        return tuple(pair[0] for pair in found), tuple(pair[1] for pair in found)
    return change(a, b)


@dataclass(frozen=True)
class ScaledTargets(Change):
    """Targets less `offset`, over `scale`; the outputs are brought back before they are judged."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    touches_data = True
    touches_outputs = True

    def data(self, given: Examples) -> Examples:
        """Both parts' targets."""
        train, validation = (self._affine.apply(y) for y in (given.y_train, given.y_validation))
        return Examples(given.x_train, train, given.x_validation, validation)

    def undone(self, outputs: Array) -> Array:
        """In the targets' own unit."""
        return self._affine.undo(outputs.astype(np.float64))

    @property
    def _affine(self) -> Affine:
        one = len(self.offset) == 1
        offset, scale = np.array(self.offset), np.array(self.scale)
        return Affine(offset[0] if one else offset, scale[0] if one else scale)


@dataclass(frozen=True)
class ShuffledRows(Change):
    """The rows to train on are drawn from all rows (`resplit` does it)."""

    touches_data = True


@dataclass(frozen=True)
class NumberedLabels(Change):
    """Class `values` as 0, 1, 2 and so on."""

    values: tuple[float, ...]
    touches_data = True
    touches_outputs = True

    def data(self, given: Examples) -> Examples:
        """Both parts' labels, by their place among the values."""
        train, validation = (
            np.searchsorted(self.values, y).astype(np.float32 if y.dtype.kind == "f" else y.dtype)
            for y in (given.y_train, given.y_validation)
        )
        return Examples(given.x_train, train, given.x_validation, validation)


@dataclass(frozen=True)
class ReshapedTargets(Change):
    """Targets in the outputs' own shape."""

    shape: tuple[int, ...]
    touches_data = True

    def data(self, given: Examples) -> Examples:
        """The same numbers."""
        train, validation = (
            y.reshape(len(y), *self.shape) for y in (given.y_train, given.y_validation)
        )
        return Examples(given.x_train, train, given.x_validation, validation)


class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule times a factor."""

    def __init__(self, schedule: Any, factor: float) -> None:
        self.schedule = keras.optimizers.schedules.deserialize(schedule)
        self.factor = factor

    def __call__(self, step: Any) -> Any:
        return self.factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        """What makes it again."""
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "factor": self.factor}


@dataclass(frozen=True)
class LearningRate(Change):
    """The optimizer's learning rate, or its schedule, times `factor`."""

    factor: float

    def compiled(self, told: Compiled, model: keras.Model) -> Compiled:
        """A new optimizer."""
        rate = told.optimizer.get_config()["learning_rate"]
        if isinstance(rate, Mapping):
            return told.with_optimizer(learning_rate=ScaledSchedule(dict(rate), self.factor))
        return told.with_optimizer(learning_rate=float(f"{float(rate) * self.factor:.6g}"))


@dataclass(frozen=True)
class ClippedGradients(Change):
    """The norm of all gradients together at most `norm`."""

    norm: float = 1.0

    def compiled(self, told: Compiled, model: keras.Model) -> Compiled:
        """A new optimizer."""
        return told.with_optimizer(global_clipnorm=self.norm)


@dataclass(frozen=True)
class Batch(Change):
    """So many examples in a batch."""

    size: int

    def training(self, training: Training) -> Training:
        """The same with this batch."""
        return replace(training, batch=self.size)


@dataclass(frozen=True)
class Epochs(Change):
    """So many times the epochs."""

    times: int

    def epochs(self, epochs: int) -> int:
        """More of them."""
        return epochs * self.times


@dataclass(frozen=True)
class Loss(Change):
    """Another loss; where it reads logits, they are made probabilities before they are judged."""

    name: str
    from_logits: bool = False
    touches_outputs = True
    makes_probabilities = True

    def compiled(self, told: Compiled, model: keras.Model) -> Compiled:
        """Without metrics, which may read outputs of another kind."""
        return replace(told.without_metrics(), loss=make_loss(self.name, self.from_logits))

    def undone(self, outputs: Array) -> Array:
        """Probabilities."""
        return probabilities(outputs, self.name) if self.from_logits else outputs


def make_loss(name: str, from_logits: bool = False) -> Any:
    """One of Keras' losses by its name in snake case."""
    kind = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    config = {"from_logits": True} if from_logits else {}
    return keras.losses.get({"class_name": kind, "config": config})


def probabilities(logits: Array, loss: str) -> Array:
    """Softmax over the last axis, or sigmoid where the loss is a binary one."""
    from scipy.special import expit, softmax

    found = expit(logits) if loss.startswith("binary") else softmax(logits, axis=-1)
    return np.asarray(found)


@dataclass(frozen=True)
class OutputActivation(Change):
    """The last activation, as the last operation; earlier ones behind the outputs are taken away. With
    `logits` it is taken away too, and the loss is told so; `loss` is its name then."""

    activation: str
    logits: bool = False
    loss: str = ""
    touches_outputs = True
    makes_probabilities = True
    touches_model = True

    def model(self, model: keras.Model) -> keras.Model:
        """A copy with another end."""
        head = read_head(model)
        if head is None:
            raise InputError("no layer with weights is found behind the outputs")
        last = "linear" if self.logits else self.activation
        updates, appended = activation_edits(model, head, last)
        ends = [partial(keras.layers.Activation, last, dtype="float32")] if appended else []
        return edited(model, updates, ends=ends)

    def compiled(self, told: Compiled, model: keras.Model) -> Compiled:
        """With the loss from logits, where they are what is left."""
        loss = make_loss(self.loss, True) if self.logits else told.loss
        return replace(told.without_metrics(), loss=loss)

    def undone(self, outputs: Array) -> Array:
        """Probabilities."""
        return probabilities(outputs, self.loss) if self.logits else outputs


@dataclass(frozen=True)
class ClassOutputs(Change):
    """A softmax with an output for each of the class `values`, and the cross-entropy that reads class
    numbers."""

    values: tuple[float, ...]
    touches_data = True
    touches_outputs = True
    makes_probabilities = True
    touches_model = True

    def data(self, given: Examples) -> Examples:
        """Labels as numbers from 0."""
        train, validation = (
            np.searchsorted(self.values, y.reshape(len(y))).astype(np.int64)
            for y in (given.y_train, given.y_validation)
        )
        return Examples(given.x_train, train, given.x_validation, validation)

    def model(self, model: keras.Model) -> keras.Model:
        """A copy whose last layer has that many units."""
        head = read_head(model)
        if head is None:
            raise InputError("no layer with weights is found behind the outputs")
        updates, appended = activation_edits(model, head, "softmax")
        last = {**updates.get(head.layer, {}), head.units_name: len(self.values)}
        ends = [partial(keras.layers.Activation, "softmax")] if appended else []
        return edited(model, {**updates, head.layer: last}, ends=ends)

    def compiled(self, told: Compiled, model: keras.Model) -> Compiled:
        """With the sparse cross-entropy."""
        return replace(told.without_metrics(), loss=make_loss("sparse_categorical_crossentropy"))


@dataclass(frozen=True)
class LayerSettings(Change):
    """Settings of layers, by their places in `flat_layers`, for Keras may name them anew; a class in the
    place of `class` replaces the layer."""

    settings: tuple[tuple[int, tuple[tuple[str, Any], ...]], ...]
    touches_model = True

    def model(self, model: keras.Model) -> keras.Model:
        """A copy with these settings."""
        layers = flat_layers(model)
        return edited(model, {layers[place].name: dict(values) for place, values in self.settings})


@dataclass(frozen=True)
class MaskedSteps(Change):
    """A Masking layer in front of the layer at a place."""

    place: int
    touches_model = True

    def model(self, model: keras.Model) -> keras.Model:
        """A copy with one layer more."""
        return edited(model, {}, before=flat_layers(model)[self.place].name)


@dataclass(frozen=True)
class Repaired:
    """A factory: what `build()` returns, changed.

    - `training`, `target`, `example`: compile a model that is not, as its trials would.
    """

    build: Callable[[], keras.Model]
    changes: tuple[Change, ...]
    training: Training
    target: Target
    example: Data

    def __call__(self) -> keras.Model:
        """A new, compiled model."""
        model = built(self.build(), self.example.first[0])
        if not model.compiled:
            compile_model(model, self.training, self.target, self.example)
        told = Compiled.of(model)
        for change in self.changes:
            model = change.model(model)
        for change in self.changes:
            told = change.compiled(told, model)
        if any(change.touches_outputs for change in self.changes):
            told = told.without_metrics()
        told.compile(model)
        return model


@dataclass(frozen=True)
class ChangedData:
    """Loads the data, split anew where `pooled`, and changed."""

    load: Data | Callable[..., Data]
    pooled: bool
    changes: tuple[Change, ...] = field(default=())

    def __call__(self, **facts: Any) -> Data:
        """The data of a trial."""
        given = self.load(**facts) if callable(self.load) else self.load
        if not isinstance(given, Examples):
            return given
        return _changed(given, self.pooled, self.changes)


def adapted(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The same, a loss told what the output activation beside it makes."""
    ends = [c for c in changes if isinstance(c, OutputActivation)]
    return tuple(
        replace(c, from_logits=end.activation not in ("softmax", "sigmoid") and not end.logits)
        if isinstance(c, Loss) and (end := next(iter(ends), None)) is not None
        else c
        for c in changes
    )


@lru_cache(maxsize=2)
def _changed(given: Examples, pooled: bool, changes: tuple[Change, ...]) -> Examples:
    if pooled:
        given = resplit(given, any(isinstance(change, ShuffledRows) for change in changes))
    for change in changes:
        given = change.data(given)
    return given


def resplit(given: Examples, shuffled: bool) -> Examples:
    """The rows to judge on drawn from all of them, always the same; the others are trained on, where
    `shuffled`, or else those of them that were meant to be."""
    count, held = given.n_train + given.n_validation, given.n_validation
    order = np.random.default_rng(0).permutation(count)
    judged = np.sort(order[:held])
    trained = np.sort(order[held:])
    trained = trained if shuffled else trained[trained < given.n_train]

    def rows(chosen: Array) -> Callable[[Part, Part], tuple[Part, Part]]:
        return lambda a, b: (np.concatenate([a, b])[chosen], None)

    parts = []
    for chosen in (trained, judged):
        for a, b in ((given.x_train, given.x_validation), (given.y_train, given.y_validation)):
            parts.append(_paired(a, b, rows(chosen))[0])
    return Examples(*parts)


def leaves(part: Part) -> list[Array]:
    """The arrays of a part."""
    found: list[Array] = []
    map_arrays(found.append, part)
    return found
