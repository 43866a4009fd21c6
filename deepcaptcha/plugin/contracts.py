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
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, error_words
from ..keras import environment, training
from ..keras.examples import Examples
from ..keras.identity import hash_weights
from ..trials.trial import run_trial
from ..verdicts.judge import Judge
from .contracted import SEED
from .contracted import Contracted as Contracted

if TYPE_CHECKING:
    import keras
    import pytest

_FEW_STEPS = 3


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
    keras = environment.load_keras()
    model = it.new_model()
    data, recipe = it.data.head(it.overfit_batch), it.small_recipe(it.overfit_batch)
    training.prepare(model, recipe, data)
    losses: list[float] = []

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        losses.append(float(logs["loss"]))
        model.stop_training = losses[-1] <= it.overfit_share * losses[0]

    batch, _ = training.feed(data, it.overfit_batch, SEED)
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
    recipe = it.small_recipe()
    data = it.data.head(_FEW_STEPS * recipe.batch)
    first, second = (
        run_trial(it.build, recipe, SEED, examples=data, callbacks=it.callbacks) for _ in range(2)
    )
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
    keras = environment.load_keras()
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

    model = it.new_model()
    training.prepare(model, it.small_recipe(), it.data)
    data = it.data
    if isinstance(data, Examples):
        found = check(model, data.x_train, data.y_train, (data.x_validation, data.y_validation))
    else:
        found = check(model, *data.first)
    errors = [finding for finding in found if finding.severity == "error"]
    _demand(
        not errors, " ".join(f"{each.code}: {each.sentence} {each.fix}".strip() for each in errors)
    )


def converges(it: Contracted, judge: Callable[[], Judge]) -> None:
    """The claim holds, as far as trials can tell."""
    if it.claim is None:
        raise DoesNotApply("no claim is declared")
    judge().check(
        it.build,
        train=it.train,
        validation=it.validation,
        recipe=it.recipe,
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

    def verify(self, judge: Callable[[], Judge]) -> None:
        """Fail the test with one message, skip it with a reason, or return. `judge` gives the
        `convergence` fixture, which only a claim needs."""
        import pytest

        try:
            if self.name == _CONVERGENCE:
                converges(self.factory, judge)
            else:
                _ALONE[self.name](self.factory)
        except DoesNotApply as reason:
            pytest.skip(str(reason))
        except (AssertionError, InputError) as error:
            message = f"{self.factory.title}, {self.name}: {error}"
            raise pytest.fail.Exception(message, pytrace=False) from None
        except environment.keras_errors() as error:
            message = f"{self.factory.title}, {self.name}: {error_words(error)}"
            raise pytest.fail.Exception(message, pytrace=False) from error


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


def _shape(output: Any) -> Any:
    if isinstance(output, list | tuple):
        return [_shape(each) for each in output]
    return tuple(output.shape[1:])


def _predictions(model: keras.Model, inputs: Any) -> list[Any]:
    tf = environment.load_tensorflow()
    return [np.asarray(output) for output in tf.nest.flatten(model(inputs, training=False))]
