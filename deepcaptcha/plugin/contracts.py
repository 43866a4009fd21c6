"""What any factory can be held to, one small function a contract, and one test for each of them.

In a test module of any project::

    @parametrize_with_contracts(
        [
            Contracted(
                build_model,
                train=(x, y),
                validation=(x_validation, y_validation),
                parameters=1234,
                claim={"target": 0.95, "epochs": 3, "p_good": 0.95, "p_bad": 0.5},
                known_failures={"save and load": "its class is not registered with Keras"},
            )
        ]
    )
    def test_my_models(contract):
        contract()
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, error_words, printable
from ..keras.data import Data, Examples, read_data
from ..keras.settings import Training
from ..trials.source import function_name
from ..trials.trial import Target

if TYPE_CHECKING:
    import keras
    import pytest

    from ..keras.fit import Callbacks, Factory
    from .judging import Convergence

SEED = 1
"""Of the models that are looked at."""

_FEW_STEPS = 3
_ONE_EPOCH = Target(0.0, epochs=1, monitor="loss", mode="min")


@dataclass(frozen=True)
class Contracted:
    """A factory, its data, and what it is held to.

    - `build`, `train`, `validation`, `training`, `callbacks`, `version`, `name`: as for
      `Convergence.check`.
    - `shapes`: layer's name -> output shape without the batch axis. `parameters`: of the model.
    - `claim`: the arguments of `pytest.mark.convergence`.
    - `overfit_share`, `overfit_steps`, `overfit_batch`: the loss on one batch of so many examples must
      fall to this share of its start within so many steps.
    - `known_failures`: contract -> reason; such a test is expected to fail, and fails if it passes.
    """

    build: Factory
    train: object
    validation: object
    shapes: Mapping[str, tuple[int | None, ...]] | None = None
    parameters: int | None = None
    claim: Mapping[str, Any] | None = None
    training: Training | None = None
    callbacks: Callbacks | None = None
    version: str | None = None
    name: str | None = None
    overfit_share: float = 0.1
    overfit_steps: int = 200
    overfit_batch: int = 32
    known_failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, or else the factory's."""
        return function_name(self.build) if self.name is None else self.name

    @cached_property
    def data(self) -> Data:
        """The data, read once in a process."""
        return read_data(self.train, self.validation)

    def small_training(self) -> Training:
        """Step by step, with the training's or the claim's batches."""
        settings = Training() if self.training is None else self.training
        batch = (self.claim or {}).get("batch", settings.batch)
        return replace(settings, batch=batch, steps_per_execution=1)

    def new_model(self, seed: int = SEED) -> keras.Model:
        """A model as a trial has it before it is compiled, if it is not.

        Raises InputError where neither the factory nor a training would compile it.
        """
        from ..keras.environment import require_single_thread
        from ..keras.fit import new_model
        from ..keras.rehearsal import require_compiled

        require_single_thread()  # of a process that may run trials later
        model = new_model(self.build, self.small_training(), self.data, seed)
        require_compiled(model, self.training)
        return model

    def compiled_model(self) -> keras.Model:
        """A model as a trial trains it."""
        from ..keras.training import prepare

        model = self.new_model()
        prepare(model, self.small_training(), _ONE_EPOCH, self.data)
        return model


class DoesNotApply(Exception):  # noqa: N818 - it is no error
    """Why a contract says nothing about a factory."""


def shapes(it: Contracted) -> None:
    """Every declared layer has its output shape."""
    if it.shapes is None:
        raise DoesNotApply("no shapes are declared")
    model = it.new_model()
    try:
        found = {layer.name: _shape(layer.output) for layer in model.layers}
    except AttributeError:
        raise DoesNotApply(
            f"{type(model).__name__} is subclassed: its layers have no shape until they are called"
        ) from None
    for name, shape in it.shapes.items():
        _demand(name in found, f"there is no layer {name}; there are {', '.join(found)}")
        _demand(found[name] == shape, f"layer {name} gives {found[name]}; {shape} is declared")


def parameter_count(it: Contracted) -> None:
    """The model has the declared number of parameters."""
    if it.parameters is None:
        raise DoesNotApply("no parameter count is declared")
    model = it.new_model()
    count = model.count_params()
    sizes = {
        layer.name: sum(weight.size for weight in layer.get_weights()) for layer in model.layers
    }
    rows = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    _demand(
        count == it.parameters,
        f"the model has {count:,} parameters; {it.parameters:,} are declared. By layer: {rows}",
    )


def overfits_one_batch(it: Contracted) -> None:
    """The training loss on one batch falls to a share of its start within some steps."""
    from ..keras.backend import keras
    from ..keras.training import feed

    model = it.compiled_model()
    losses: list[float] = []

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        losses.append(float(logs["loss"]))
        model.stop_training = losses[-1] <= it.overfit_share * losses[0]

    batch, _ = feed(it.data.head(it.overfit_batch), it.overfit_batch, SEED)
    model.fit(
        batch,
        epochs=it.overfit_steps + 1,  # an epoch's loss is that before its only step
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)],
    )
    least = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
    bound = it.overfit_share * losses[0]
    _demand(
        least <= bound,
        f"the loss on one batch fell from {losses[0]:.4g} to {least:.4g} in {len(losses) - 1} steps; "
        f"{bound:.4g}, {it.overfit_share:g} of its start, is expected",
    )


def is_reproducible(it: Contracted) -> None:
    """The same seed gives the same bits before and after a few steps, another seed other weights."""
    from ..keras.fit import hash_weights
    from ..keras.source import KerasSource

    training = it.small_training()
    data = it.data.head(_FEW_STEPS * training.batch)
    source = KerasSource(it.build, data, _ONE_EPOCH, training, callbacks=it.callbacks)
    first, second = source.run(SEED), source.run(SEED)
    start = first.identity["initial_weights"]
    _demand(
        start == second.identity["initial_weights"],
        f"two models built under seed {SEED} start from different weights",
    )
    _demand(
        first.weights_sha256 == second.weights_sha256,
        f"two trainings under seed {SEED} from the same weights ended with different ones",
    )
    other = hash_weights(it.new_model(SEED + 1).get_weights())
    _demand(
        start != other,
        f"seeds {SEED} and {SEED + 1} give the same weights; does the factory set a seed of its own?",
    )


def saves_and_loads(it: Contracted) -> None:
    """A model saved as `.keras` and loaded again gives the same predictions, bit for bit."""
    from ..keras.backend import keras

    model = it.new_model()
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(weight + 0.01)  # away from what a new model starts with
    if (optimizer := getattr(model, "optimizer", None)) is not None:
        optimizer.build(model.trainable_variables)  # as after a training
    inputs = it.data.first[0]
    expected = _predictions(model, inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            loaded = keras.models.load_model(path)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise AssertionError(
                f"it could not be saved and loaded: {error_words(error)}"
            ) from error
    found = _predictions(loaded, inputs)
    _demand(len(found) == len(expected), f"it has {len(found)} outputs, and had {len(expected)}")
    worst = max(
        float(np.abs(a.astype(np.float64) - b).max(initial=0))
        for a, b in zip(found, expected, strict=True)
    )
    _demand(worst == 0, f"its predictions differ by up to {worst:.3g} after saving and loading")


def passes_preflight(it: Contracted) -> None:
    """What can be checked before training finds no error."""
    from ..diagnosis.check import check
    from ..keras.backend import BACKEND, TENSORFLOW

    if not TENSORFLOW:
        raise DoesNotApply(f"check works on TensorFlow alone, and Keras' backend is {BACKEND}")
    model, data = it.compiled_model(), it.data
    if isinstance(data, Examples):
        found = check(model, data.x_train, data.y_train, (data.x_validation, data.y_validation))
    else:
        found = check(model, *data.first)
    errors = [finding for finding in found if finding.severity == "error"]
    _demand(
        not errors, " ".join(f"{each.code}: {each.sentence} {each.fix}".strip() for each in errors)
    )


def converges(it: Contracted, convergence: Callable[[], Convergence]) -> None:
    """The claim holds, as far as trials can tell."""
    if it.claim is None:
        raise DoesNotApply("no claim is declared")
    convergence().check(
        it.build,
        train=it.train,
        validation=it.validation,
        training=it.training,
        callbacks=it.callbacks,
        version=it.version,
        name=it.name,
    )


_CONVERGENCE = "convergence"
_ALONE: Mapping[str, Callable[[Contracted], None]] = MappingProxyType(
    {
        "shapes": shapes,
        "parameter count": parameter_count,
        "one-batch overfit": overfits_one_batch,
        "seed reproducibility": is_reproducible,
        "save and load": saves_and_loads,
        "pre-flight check": passes_preflight,
    }
)

CONTRACTS = (*_ALONE, _CONVERGENCE)
"""Their names, as `known_failures` and the tests' ids have them; blanks and the like are `_` there."""


@dataclass(frozen=True)
class Contract:
    """One contract of one factory; what the `contract` fixture calls."""

    factory: Contracted
    name: str

    def verify(self, convergence: Callable[[], Convergence]) -> None:
        """Fail the test with one message, skip it with a reason, or return. `convergence`
        gives the fixture of that name, which only a claim needs."""
        import pytest

        try:
            if self.name == _CONVERGENCE:
                converges(self.factory, convergence)
            else:
                _ALONE[self.name](self.factory)
        except DoesNotApply as reason:
            pytest.skip(str(reason))
        except (AssertionError, InputError) as error:
            # The test's id names factory and contract already.
            raise pytest.fail.Exception(printable(str(error), keep="\n"), pytrace=False) from None
        except Exception as error:
            from ..keras.backend import KERAS_ERRORS

            if not isinstance(error, KERAS_ERRORS):
                raise
            raise pytest.fail.Exception(printable(error_words(error)), pytrace=False) from error


def parametrize_with_contracts(factories: Sequence[Contracted]) -> pytest.MarkDecorator:
    """A decorator that makes one test of each factory and contract; the test takes `contract` and calls
    it. `pytest -k save_and_load` selects a contract, `-k build_model` a factory.

    Raises InputError for a known failure of an unknown contract, or without a reason.
    """
    import pytest

    for factory in factories:
        for name, reason in factory.known_failures.items():
            if name not in CONTRACTS or not reason:
                raise InputError(
                    f"{factory.title}: known_failures[{name!r}] is {reason!r}; a reason is needed, and "
                    f"one of {', '.join(CONTRACTS)}"
                )

    def parameters(factory: Contracted, name: str) -> Any:
        marks = []
        if name == _CONVERGENCE and factory.claim is not None:
            marks.append(pytest.mark.convergence(**factory.claim))
        if (reason := factory.known_failures.get(name)) is not None:
            marks.append(pytest.mark.xfail(strict=True, reason=reason))
        # What `-k` reads as one word.
        test_id = re.sub(r"[^\w:+.-]+", "_", f"{factory.title}-{name}")
        return pytest.param(Contract(factory, name), marks=marks, id=test_id)

    return pytest.mark.parametrize(
        "contract",
        [parameters(factory, name) for factory in factories for name in CONTRACTS],
        indirect=True,
    )


def _demand(met: bool, otherwise: str) -> None:
    if not met:
        raise AssertionError(otherwise)


def _shape(output: Any) -> object:
    if isinstance(output, list | tuple):
        return [_shape(each) for each in output]
    return tuple(output.shape[1:])


def _predictions(model: keras.Model, inputs: object) -> list[NDArray[Any]]:
    from ..keras.backend import keras

    outputs = keras.tree.flatten(model(inputs, training=False))
    return [np.asarray(keras.ops.convert_to_numpy(output)) for output in outputs]
