"""What a trial trains and validates on: arrays, or tf.data pipelines, checked and hashed.

Nothing here imports TensorFlow before it is given something else than arrays.
"""

from __future__ import annotations

import hashlib
import math
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..trials.copies import Copies, count_copies

if TYPE_CHECKING:
    import tensorflow as tf

Array = NDArray[Any]

Part = Any
"""An array whose first axis counts examples, or a tuple or mapping of such, for several inputs or
outputs."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a trial trains and validates on: arrays whose first axis counts examples, or a tuple or
    mapping of them where a model has several inputs or outputs.

    Raises InputError for arrays that cannot belong together or hold no example.
    """

    x_train: Part
    y_train: Part
    x_validation: Part
    y_validation: Part

    def __post_init__(self) -> None:
        for part in ("train", "validation"):
            x, y = (_leaves(getattr(self, f"{axis}_{part}")) for axis in "xy")
            inputs, labels = ({len(array) for array in arrays.values()} for arrays in (x, y))
            if inputs != labels or len(inputs) != 1 or 0 in inputs:
                raise InputError(
                    f"{part} data: {_numbers(inputs)} inputs and {_numbers(labels)} labels; equally "
                    "many are needed, and at least one"
                )
        for kind, a, b in (
            ("inputs", self.x_train, self.x_validation),
            ("labels", self.y_train, self.y_validation),
        ):
            shapes = [
                {f"{path} {array.shape[1:]}".strip() for path, array in _leaves(part).items()}
                for part in (a, b)
            ]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"{kind}: an example has shape {', '.join(sorted(shapes[0]))} in training and "
                    f"{', '.join(sorted(shapes[1]))} in validation; one shape is needed"
                )

    @property
    def n_train(self) -> int:
        """How many examples there are to train on."""
        return len(next(iter(_leaves(self.x_train).values())))

    @property
    def n_validation(self) -> int:
        """How many examples there are to validate on."""
        return len(next(iter(_leaves(self.x_validation).values())))

    @property
    def first(self) -> tuple[Part, Part]:
        """The first training example, inputs and labels, as a batch of one."""
        first = self.head(1)
        return first.x_train, first.y_train

    def steps(self, batch: int) -> int:
        """Batches an epoch, the last one possibly smaller."""
        return math.ceil(self.n_train / batch)

    def head(self, count: int) -> Examples:
        """The first `count` examples of each part."""
        parts = (self.x_train, self.y_train, self.x_validation, self.y_validation)
        return Examples(*(map_arrays(lambda array: array[:count], part) for part in parts))

    @cached_property
    def sha256(self) -> str:
        """A hash of all arrays: their places, values, shapes and dtypes."""
        return _hash_arrays(self.x_train, self.y_train, self.x_validation, self.y_validation)

    @cached_property
    def parts_sha256(self) -> tuple[str, str]:
        """The same of what trains and of what validates."""
        train, validation = (self.x_train, self.y_train), (self.x_validation, self.y_validation)
        return _hash_arrays(*train), _hash_arrays(*validation)

    @cached_property
    def copies(self) -> Copies:
        """How many examples are copies of others."""
        return count_copies(*(list(_leaves(x).values()) for x in (self.x_train, self.x_validation)))

    def require_unchanged(self, *, whole: bool = False) -> None:
        """InputError where the arrays are no longer what they were when this was first called, in this
        process or in the one that sent them. Some 1,000 examples are looked at, or the whole."""
        before = self._first_look, self.sha256
        parts = (self.x_train, self.y_train, self.x_validation, self.y_validation)
        if before != (self._look(), _hash_arrays(*parts) if whole else self.sha256):
            raise _changed()

    @cached_property
    def _first_look(self) -> int:
        return self._look()

    def _look(self) -> int:
        found = 0
        for part in (self.x_train, self.y_train, self.x_validation, self.y_validation):
            for array in _leaves(part).values():
                found = zlib.crc32(array[:: max(1, len(array) // 500)].tobytes(), found)
        return found


def _changed() -> InputError:
    return InputError(
        "the data are not what they were before the factory was called; it must change a copy of its "
        "own, or every trial has other data"
    )


def _hash_arrays(*parts: Part) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for path, array in _leaves(part).items():
            digest.update(f"{path}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _leaves(part: Part, path: str = "") -> dict[str, Array]:
    """Path -> array, in the order of keys; the path of a plain array is empty."""
    if isinstance(part, Mapping):
        items: list[tuple[object, Part]] = sorted(part.items())
    elif isinstance(part, tuple):
        items = list(enumerate(part))
    else:
        return {path: part}
    return {
        leaf: array
        for key, value in items
        for leaf, array in _leaves(value, f"{path}/{key}").items()
    }


def map_arrays(change: Callable[[Array], Part], part: Part) -> Part:
    """`part` with `change(array)` in the place of every array."""
    if isinstance(part, Mapping):
        return {key: map_arrays(change, value) for key, value in part.items()}
    if isinstance(part, tuple):
        return tuple(map_arrays(change, value) for value in part)
    return change(part)


def _numbers(counts: set[int]) -> str:
    return " or ".join(str(count) for count in sorted(counts)) or "0"


MOST_BATCHES = 1_000_000
MOST_BYTES = 2**32
"""After as many batches or bytes a pipeline that does not know its length is taken for endless."""


@dataclass(frozen=True, eq=False)
class Pipelines:
    """Two tf.data pipelines, each made anew by a function for every trial, and what reading them
    showed.

    - `batches`: of a training epoch; `batch`: examples in the first of them. `n_train`,
      `n_validation`: examples.
    - `first`: inputs and labels of the first training batch.
    - `y_validation`: all validation labels; None where they are several arrays.
    - `parts_sha256`: of every batch of either, in order, as made under seed 0; `sha256`: of both.
    """

    make_train: Callable[[], tf.data.Dataset]
    make_validation: Callable[[], tf.data.Dataset]
    batches: int
    batch: int
    n_train: int
    n_validation: int
    first: tuple[Part, Part]
    y_validation: Array | None
    parts_sha256: tuple[str, str]

    @property
    def sha256(self) -> str:
        """A hash of both parts."""
        return hashlib.sha256("".join(self.parts_sha256).encode()).hexdigest()

    def steps(self, batch: int) -> int:
        """Batches an epoch: the pipeline's own, whatever `batch` is."""
        return self.batches

    def require_unchanged(self, *, whole: bool = False) -> None:
        """InputError where training no longer begins with the same batch; looked at only if `whole`."""
        from .backend import keras, tf

        if not whole:
            return
        keras.utils.set_random_seed(0)
        pairs = next(iter(self.make_train()))[:2], self.first
        was, now = (
            [_content(np.asarray(leaf)) for leaf in tf.nest.flatten(pair, expand_composites=True)]
            for pair in pairs
        )
        if was != now:
            raise _changed()

    def head(self, count: int) -> Pipelines:
        """The first batch of each, whatever `count` is; the same one in every epoch."""
        return replace(
            self,
            make_train=lambda: self.make_train().take(1).cache(),
            make_validation=lambda: self.make_validation().take(1),
            batches=1,
        )


Data = Examples | Pipelines


def read_data(train: Part, validation: Part) -> Data:
    """What a trial is fed, from what a user gave.

    Each is a pair (x, y) of arrays, or of tuples or mappings of arrays for several inputs or outputs;
    float64 becomes float32, as in Keras' own `fit`. Or each is a finite, batched tf.data.Dataset, or a
    function that makes one. A dataset is fed as it is, in its own batches and order, and must give the
    same batches each time it is read: nothing shuffles it between epochs. A function is called in
    every trial after all random seeds were set to the trial's, so that its shuffles follow that seed
    and may differ from epoch to epoch.

    Raises InputError for anything else, for endless or empty data, and for pipelines that do not
    repeat themselves.
    """
    if _is_pair(train) and _is_pair(validation):
        parts = (("train x", train[0]), ("train y", train[1]))
        others = (("validation x", validation[0]), ("validation y", validation[1]))
        return Examples(*(_arrays(name, value) for name, value in (*parts, *others)))
    # What nothing would make right is named before a pair that only its fellow makes wrong.
    for name, value in sorted(
        (("train", train), ("validation", validation)), key=lambda part: _is_pair(part[1])
    ):
        if not (is_dataset(value) or callable(value)):
            also = " as the other is" if _is_pair(value) else ""
            raise InputError(
                f"{name} is {_describe(value)}; a pair (x, y) of arrays, a tf.data.Dataset or a "
                f"function that makes one is needed{also}"
            )
    read = _read_twice("train", train)
    read_validation = _read_twice("validation", validation)
    return Pipelines(
        _maker(train),
        _maker(validation),
        read.batches,
        read.batch,
        read.examples,
        read_validation.examples,
        read.first,
        read_validation.labels,
        (read.sha256, read_validation.sha256),
    )


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def is_dataset(value: object) -> bool:
    """Whether it is a tf.data.Dataset: whoever holds one has imported TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(value, tf.data.Dataset)


def _describe(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"of type {type(value).__name__}"


def _arrays(name: str, value: Part) -> Part:
    """Mappings and tuples of arrays as they are, a list of arrays as a tuple; else one array."""
    if isinstance(value, Mapping):
        return {key: _arrays(f"{name}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, tuple | list) and value and all(hasattr(v, "shape") for v in value):
        return tuple(_arrays(f"{name}[{place}]", item) for place, item in enumerate(value))
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is no array: {error}") from None
    if array.dtype == object or not array.ndim:
        raise InputError(
            f"{name} is {_describe(value)}; an array of numbers is needed whose first axis counts "
            "examples"
        )
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _maker(value: Part) -> Callable[[], tf.data.Dataset]:
    if is_dataset(value):
        return lambda: value
    make: Callable[[], tf.data.Dataset] = value
    return make


@dataclass(frozen=True)
class _Reading:
    batches: int
    batch: int
    examples: int
    first: tuple[Part, Part]
    labels: Array | None
    sha256: str


def _read_twice(part: str, value: Part) -> _Reading:
    first, second = _read(part, _maker(value)), _read(part, _maker(value))
    if first.sha256 == second.sha256:
        return first
    if is_dataset(value):
        raise InputError(
            f"{part} gives other batches when it is read again, so that no trial could be repeated; "
            "give a function that makes the dataset: its shuffles then follow each trial's seed"
        )
    raise InputError(
        f"{part} makes other batches when it is called again under the same seed, so that no trial "
        "could be repeated; draw randomness from tensorflow, numpy.random or random, which are seeded"
    )


def _read(part: str, make: Callable[[], tf.data.Dataset]) -> _Reading:
    from .backend import keras

    keras.utils.set_random_seed(0)
    dataset = make()
    if not is_dataset(dataset):
        raise InputError(
            f"{part} is a function whose result is {_describe(dataset)}; a tf.data.Dataset is needed"
        )
    import tensorflow as tf  # whoever made it has; Keras may run on another backend

    length = int(dataset.cardinality())
    if length == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            f"{part} is an endless dataset; a finite one is needed: leave out repeat(), or take(n)"
        )
    most = (MOST_BATCHES, MOST_BYTES) if length == tf.data.UNKNOWN_CARDINALITY else (math.inf,) * 2
    digest = hashlib.sha256()
    batches, size, examples, read, first, labels = 0, 0, 0, 0, None, []
    for element in dataset:
        if batches >= most[0] or read > most[1]:
            raise InputError(
                f"{part} does not know its length and goes on after {batches:,} batches of "
                f"{read:,} bytes in all; a finite dataset is needed: take(n), or, if it does end, "
                "apply(tf.data.experimental.assert_cardinality(n))"
            )
        count = _batch_size(part, element)
        for tensor in tf.nest.flatten(element, expand_composites=True):
            array = tensor.numpy()
            digest.update(f"{array.dtype}{array.shape}".encode())
            content = _content(array)
            digest.update(content)
            read += len(content)
        batch = tf.nest.map_structure(_plain, element)
        if first is None:
            first, size = batch[:2], count
        labels.append(batch[1])
        batches, examples = batches + 1, examples + count
    if first is None:
        raise InputError(f"{part} is an empty dataset; at least one batch is needed")
    return _Reading(batches, size, examples, first, _joined(labels), digest.hexdigest())


def _content(array: Array) -> bytes:
    """Its values; of strings, which TensorFlow gives as objects, each with its length."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(len(text).to_bytes(8, "big") + text for text in array.flat)


def _batch_size(part: str, element: tuple[tf.Tensor, ...]) -> int:
    import tensorflow as tf

    if not isinstance(element, tuple) or len(element) not in (2, 3):
        raise InputError(
            f"an element of {part} is {_describe(element)}; batches (x, y) or (x, y, sample_weight) are "
            "needed"
        )
    tensors = tf.nest.flatten(element)
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if not all(shapes) or len({shape[0] for shape in shapes}) > 1:
        raise InputError(
            f"{part} yields shapes {', '.join(map(str, shapes))} that count no examples together; a "
            "batched dataset is needed: add batch(32)"
        )
    return int(shapes[0][0])


def _plain(tensor: tf.Tensor) -> Part:
    import tensorflow as tf

    return tensor.numpy() if isinstance(tensor, tf.Tensor) else tensor


def _joined(labels: list[Part]) -> Array | None:
    if not all(isinstance(batch, np.ndarray) for batch in labels):
        return None
    return np.concatenate(labels)
