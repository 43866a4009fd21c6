"""What a user gives a test, made a source of Keras trials in whichever process trains it: the process of
the tests imports no Keras for it, draws no random number and runs nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ..errors import error_words, require_text
from ..finding import Finding
from ..keras.data import is_dataset
from ..trials.source import Source
from ..trials.trial import Identity, Target, Trial

if TYPE_CHECKING:
    import tensorflow as tf

    from ..keras.fit import Callbacks, Factory
    from ..keras.settings import Training
    from ..keras.source import KerasSource
    from ..trials.runner import Runner

_made: dict[str, KerasSource] = {}  # of this process; at most one, which holds its data


@dataclass(frozen=True, eq=False)
class GivenSource:
    """Trials of what `Convergence.check` is given; see there, and `rehearsed_source`.

    - `recipe`, `length`, `compiled`: known once it is rehearsed. `key`: of what is given, everywhere.
    - `settings`: Keras' own where it is given, which hold where it trains too.
    """

    build: Factory
    train: object
    validation: object
    target: Target
    name: str
    training: Training | None = None
    batch: int | None = None
    callbacks: Callbacks | None = None
    version: str | None = None
    recipe: str = ""
    length: tuple[int, int] = (0, 0)
    compiled: str = ""
    key: str = field(default_factory=lambda: uuid4().hex)
    settings: Mapping[str, object] = field(default_factory=lambda: _keras_settings())

    def __post_init__(self) -> None:
        require_text("name", self.name, or_none=True)
        require_text("version", self.version, or_none=True)
        for name in ("train", "validation"):
            if is_dataset(value := getattr(self, name)):
                object.__setattr__(self, name, Batches(value))

    def rehearsed(self, runner: Runner) -> GivenSource:
        """The same, once all was tried with one batch where trials run; InputError for whatever does not
        fit together."""
        recipe, length, compiled = runner.call(self.name, _rehearse, self)
        return replace(self, recipe=recipe, length=length, compiled=compiled)

    def made(self, *, tried: bool = False) -> KerasSource:
        """The source of this process; `tried`: with one batch."""
        if self.key not in _made:
            from ..keras.backend import keras
            from ..keras.rehearsal import rehearsed_source

            forget()
            for name, value in self.settings.items():
                getattr(keras.config, f"set_{name}")(value)
            _made[self.key] = rehearsed_source(
                self.build,
                _opened(self.train),
                _opened(self.validation),
                self.target,
                training=self.training,
                batch=self.batch,
                callbacks=self.callbacks,
                version=self.version,
                name=self.name,
                tried=tried,
            )
        return _made[self.key]

    def identity(self, seed: int) -> Identity:
        """As of `KerasSource`."""
        return self.made().identity(seed)

    def run(self, seed: int, *, steps: int | None = None) -> Trial:
        """As of `KerasSource`."""
        return self.made().run(seed, steps=steps)

    def start(self, seed: int) -> tuple[object, ...]:
        """As of `KerasSource`."""
        return self.made().start(seed)

    @property
    def code(self) -> str:
        """As of `KerasSource`."""
        from ..keras.environment import training_code

        return training_code()


def _keras_settings() -> Mapping[str, object]:
    """What a conftest, say, may have set; nothing where Keras is not loaded."""
    keras = sys.modules.get("keras")
    if keras is None or not hasattr(keras, "config"):
        return {}
    plain = ("floatx", "epsilon", "image_data_format")
    found = {name: getattr(keras.config, name)() for name in plain}
    return {**found, "dtype_policy": keras.config.dtype_policy().name}


MOST_BYTES = 2**30
"""A dataset of more is not sent to another process."""


class Batches:
    """A `tf.data.Dataset`, which does not pickle, and here does: as all of its batches."""

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self.dataset = dataset
        self._read: list[list[Any]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        self._read = self._read or self._read_twice()
        return _unpacked, (self.dataset.element_spec, self._read)

    def _read_twice(self) -> list[list[Any]]:
        import tensorflow as tf

        if int(self.dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError("it is endless")
        batches: list[list[Any]] = []
        size = 0
        for element in self.dataset:
            batches.append([each.numpy() for each in tf.nest.flatten(element, True)])
            size += sum(array.nbytes for array in batches[-1])
            if size > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        for element, before in zip(self.dataset, batches, strict=True):
            again = (each.numpy() for each in tf.nest.flatten(element, True))
            if not all(np.array_equal(*pair) for pair in zip(again, before, strict=True)):
                raise ValueError("it gives other batches when it is read again")
        return batches


def _unpacked(spec: object, batches: list[list[Any]]) -> Batches:
    import tensorflow as tf

    def elements() -> Iterator[object]:
        for batch in batches:
            yield tf.nest.pack_sequence_as(spec, [tf.constant(part) for part in batch], True)

    made = tf.data.Dataset.from_generator(elements, output_signature=spec)
    return Batches(made.apply(tf.data.experimental.assert_cardinality(len(batches))))


def _opened(value: object) -> object:
    return value.dataset if isinstance(value, Batches) else value


def _rehearse(given: GivenSource) -> tuple[str, tuple[int, int], str]:
    source = given.made(tried=True)
    return source.recipe, source.length, source.compiled


def check_source(source: Source, seed: int) -> tuple[tuple[Finding, ...], str]:
    """What a check of a Keras source finds before training, or why there was none."""
    try:
        from ..diagnosis.check import check

        batch, epochs = source.length  # type: ignore[attr-defined]
        return check(*source.start(seed), batch=batch, epochs=epochs), ""  # type: ignore[attr-defined]
    except Exception as error:  # whatever a user's model raises, the verdict stands
        return (), error_words(error) or type(error).__name__


def forget() -> None:
    """Let go of what this process holds of the last row."""
    _made.clear()
    if (source := sys.modules.get("deepcaptcha.keras.source")) is not None:
        source.forget_models()
