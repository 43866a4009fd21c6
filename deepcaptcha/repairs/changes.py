"""How a change acts on a user's model and data: on copies, by configuration, never on what was given.

A change is made of functions of this module and their arguments, so that a worker process and a trial's
identity know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np

from ..keras.backend import keras, tf
from ..keras.data import Array, Data, Examples
from ..keras.settings import Training
from ..keras.training import compile_model
from ..trials.trial import Target
from .model import Compiled, built, edited, flat_layers, read_head

T = TypeVar("T")
Scaling = Literal["range", "standard"]
CROSS_ENTROPIES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "binary_crossentropy",
)


def same(given: T, *others: object) -> T:
    """As it is."""
    return given


@dataclass(frozen=True)
class Change:
    """A change of data, model or training, and how the outputs are read as they were before it.

    - `data`, `model`: make other arrays, and another model that is not compiled. `compiled`: what
      `compile` is told of that model, of what it was told.
    - `undone`: the outputs in the unit they had without the change.
    - `values`: the class that each output stands for. `meaning`: what outputs or targets mean is not
      what it was.
    - `shuffled`: the rows to train on are drawn from all rows. `batch`: so many examples; `epochs`: so
      many times as many.
    """

    data: Callable[[Examples], Examples] = same
    model: Callable[[keras.Model], keras.Model] = same
    compiled: Callable[[Compiled, keras.Model], Compiled] = same
    undone: Callable[[Array], Array] = same
    values: tuple[float, ...] = ()
    meaning: bool = False
    shuffled: bool = False
    batch: int | None = None
    epochs: int = 1

    @property
    def remakes(self) -> bool:
        """Whether it changes the model or how it is compiled."""
        return self.meaning or self.model is not same or self.compiled is not same


# of the data


def scaling(array: Array, how: Scaling) -> tuple[Array, Array]:
    """Offset and scale that bring the array to 0..1 (only divided, where it starts near 0; to -1..1
    where it has both signs) or to mean 0 and deviation 1; of each column where an example is a row of
    unlike numbers."""
    axis = 0 if unlike_columns(array) else None
    values = array.astype(np.float64)
    if how == "standard":
        offset, scale = values.mean(axis=axis), values.std(axis=axis)
    else:
        low, high = values.min(axis=axis), values.max(axis=axis)
        offset = np.where(low > np.maximum(0, 0.5 * high), low, 0.0)
        scale = np.where(low < 0, np.maximum(-low, high), high - offset)
    return np.asarray(offset), np.where(scale > 1e-12, scale, 1.0)


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


def scaled_inputs(given: Examples, how: Scaling) -> Examples:
    """Every array of inputs, of training and validation, by the training inputs' own numbers."""

    def scaled(array: Array, train: Array) -> Array:
        if not is_scalable(train):
            return array
        offset, scale = scaling(train, how)
        return np.asarray(((array - offset) / scale).astype(np.float32))

    x, x_validation = (
        tf.nest.map_structure(scaled, part, given.x_train)
        for part in (given.x_train, given.x_validation)
    )
    return Examples(x, given.y_train, x_validation, given.y_validation)


def with_targets(given: Examples, change: Callable[[Array], Array]) -> Examples:
    """Other targets, in both parts."""
    assert isinstance(given.y_train, np.ndarray)
    assert isinstance(given.y_validation, np.ndarray)
    y, y_validation = change(given.y_train), change(given.y_validation)
    return Examples(given.x_train, y, given.x_validation, y_validation)


def scaled_targets(given: Examples, offset: Sequence[float], scale: Sequence[float]) -> Examples:
    """Targets less the offset, over the scale: one number or one a column."""
    less, over = np.array(offset), np.array(scale)
    return with_targets(given, lambda y: ((y - less) / over).astype(np.float32))


def unscaled(outputs: Array, offset: Sequence[float], scale: Sequence[float]) -> Array:
    """Outputs in the targets' own unit."""
    return np.asarray(outputs.astype(np.float64) * np.array(scale) + np.array(offset))


def numbered(given: Examples, values: Sequence[float]) -> Examples:
    """Class `values` as 0, 1, 2 and so on."""
    return with_targets(
        given,
        lambda y: np.searchsorted(values, y).astype("float32" if y.dtype.kind == "f" else "int64"),
    )


def reshaped_targets(given: Examples, shape: tuple[int, ...]) -> Examples:
    """The same numbers in the outputs' own shape."""
    return with_targets(given, lambda y: y.reshape(len(y), *shape))


def resplit(given: Examples, shuffled: bool) -> Examples:
    """The rows to judge on drawn from all of them, always the same; the others are trained on, where
    `shuffled`, or else those of them that were meant to be."""
    count, held = given.n_train + given.n_validation, given.n_validation
    order = np.random.default_rng(0).permutation(count)
    judged, trained = np.sort(order[:held]), np.sort(order[held:])
    trained = trained if shuffled else trained[trained < given.n_train]
    pairs = (given.x_train, given.x_validation), (given.y_train, given.y_validation)
    return Examples(
        *(
            tf.nest.map_structure(lambda a, b, c=chosen: np.concatenate([a, b])[c], *pair)
            for chosen in (trained, judged)
            for pair in pairs
        )
    )


# of how it is compiled


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


def learning_rate(told: Compiled, model: keras.Model, factor: float) -> Compiled:
    """The optimizer's learning rate, or its schedule, times a factor."""
    rate = told.optimizer.get_config()["learning_rate"]
    if isinstance(rate, Mapping):
        return told.with_optimizer(learning_rate=ScaledSchedule(dict(rate), factor))
    return told.with_optimizer(learning_rate=float(f"{float(rate) * factor:.6g}"))


def clipped(told: Compiled, model: keras.Model) -> Compiled:
    """The norm of all gradients together at most 1."""
    return told.with_optimizer(global_clipnorm=1.0)


def with_loss(told: Compiled, model: keras.Model, name: str) -> Compiled:
    """One of Keras' losses by its name in snake case; a cross-entropy reads logits where the model does
    not end in probabilities."""
    kind = "".join(part.title() for part in name.split("_"))
    config = {}
    if name in CROSS_ENTROPIES:
        head = read_head(model)
        if head is not None:
            config["from_logits"] = head.activation not in ("softmax", "sigmoid")
        else:
            config["from_logits"] = reads_logits(told.loss)
    return replace(told, loss=keras.losses.get({"class_name": kind, "config": config}))


def reads_logits(loss: Any) -> bool:
    """Whether it is a loss object that is told to."""
    return bool(getattr(loss, "from_logits", False) or settings(loss).get("from_logits", False))


def settings(part: Any) -> dict[str, Any]:
    """Its configuration, where it has one."""
    try:
        return dict(part.get_config())
    except (AttributeError, NotImplementedError, TypeError):
        return {}


def probabilities(logits: Array, loss: str) -> Array:
    """Softmax over the last axis, or sigmoid where the loss is a binary one."""
    from scipy.special import expit, softmax

    return np.asarray(expit(logits) if loss.startswith("binary") else softmax(logits, axis=-1))


# of the model


def layer_settings(
    model: keras.Model, settings: Sequence[tuple[int, Mapping[str, Any]]]
) -> keras.Model:
    """Settings of layers, by their places in `flat_layers`, for Keras may name them anew."""
    layers = flat_layers(model)
    return edited(model, {layers[place].name: values for place, values in settings})


def masked_steps(model: keras.Model, place: int) -> keras.Model:
    """A Masking layer in front of the layer at a place."""
    return edited(model, {}, mask=flat_layers(model)[place].name)


# of a source of trials


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
        if not any(change.remakes for change in self.changes):
            return model
        told = Compiled.of(model)
        for change in self.changes:
            model = change.model(model)
        for change in self.changes:
            told = change.compiled(told, model)
        if any(change.meaning for change in self.changes):
            told = told.without_metrics()
        told.compile(model)
        return model


@dataclass(frozen=True)
class ChangedData:
    """Loads the data, split anew where `pooled`, and changed."""

    load: Data | Callable[..., Data]
    pooled: bool
    changes: tuple[Change, ...] = ()

    def __call__(self, **facts: Any) -> Data:
        """The data of a trial."""
        given = self.load(**facts) if callable(self.load) else self.load
        return _changed(given, self) if isinstance(given, Examples) else given


@lru_cache(maxsize=2)
def _changed(given: Examples, to: ChangedData) -> Examples:
    if to.pooled:
        given = resplit(given, any(change.shuffled for change in to.changes))
    for change in to.changes:
        given = change.data(given)
    return given
