"""Whatever yields a trial for a seed.

A `Source` is all that verdicts, studies and bisections know of what trains: a Keras factory
(`deepcaptcha.keras.source`), a variant of the question's network, or any function (`FunctionSource`).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import platform
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from numbers import Real
from types import ModuleType
from typing import Protocol

from ..errors import InputError, did_you_mean
from .trial import Epoch, Identity, Target, Trial, outcome_of


class Source(Protocol):
    """Yields a trial for a seed.

    - `name`, `recipe`: what trains, and how, for people; together they name a row of trials.
    - `target`: what its trials are to reach.
    """

    @property
    def name(self) -> str: ...
    @property
    def recipe(self) -> str: ...
    @property
    def target(self) -> Target: ...

    def identity(self, seed: int) -> Identity:
        """What makes the trial of this seed the very same trial."""
        ...

    def run(self, seed: int, *, steps: int | None = None) -> Trial:
        """The trial of this seed; with `steps`, only so much of it, which is no evidence of how the
        whole would end. InputError for a source that cannot be trained."""
        ...


class ChangeableSource(Source, Protocol):
    """A source made of named settings, of which some can be changed.

    - `settings`: the value of each. `recorded`: those that an identity holds under its recipe.
    - `base`: what is not among them, by name; sources of equal bases differ by their settings alone.
    """

    @property
    def settings(self) -> Mapping[str, object]: ...
    @property
    def recorded(self) -> Mapping[str, object]: ...
    @property
    def base(self) -> Mapping[str, object]: ...

    def replace(self, name: str, recipe: str | None = None, **changes: object) -> ChangeableSource:
        """The same under other names, with some settings changed; InputError where that cannot be."""
        ...


OWN_RECIPE = "own-training"
"""Of whatever nobody gave a recipe of a name."""


def is_named(recipe: str) -> bool:
    """Whether somebody chose the recipe, and knows the word."""
    return recipe != OWN_RECIPE and not re.fullmatch(r"[\d,]+ examples", recipe)


def row_text(name: str, recipe: str) -> str:
    """A row in a sentence: `same under raw-subset`, or its name alone where nobody chose a recipe."""
    return f"{name} under {recipe}" if is_named(recipe) else name


Metrics = Mapping[str, float]
Train = Callable[[int], Metrics | Iterable[Metrics]]
"""`train(seed)`: yields a mapping of metrics after each epoch, or returns one of the whole training."""


@dataclass(frozen=True)
class FunctionSource:
    """Trials of any function, in whatever framework.

    - `train`: see `Train`. A generator is closed once the target is met, or after the target's
      epochs. What it yields after a seed is to depend on that seed alone.
    - `target`: its `chance` says what the monitor shows of something that learned nothing, without
      which only a monitor that never changes tells `stuck` from `slow`.
    - `name`: for people; the function's own by default.
    - `version`: stands for the code in a trial's identity. Without it the function's own source text
      does, with what is bound to it (by `functools.partial`, a closure or an object) as far as its
      `repr` tells it apart, but nothing that the function calls.
    """

    train: Train
    target: Target
    name: str = ""
    version: str | None = None
    recipe: str = OWN_RECIPE

    def __post_init__(self) -> None:
        if not callable(self.train):
            raise InputError(f"train is {self.train!r}; a function of a seed is needed")
        try:
            inspect.signature(self.train).bind(0)
        except TypeError as error:
            raise InputError(
                f"{function_name(self.train)} cannot be called with a seed alone ({error}); wrap it "
                "with functools.partial"
            ) from None
        except ValueError:
            pass  # written in C, without a signature
        object.__setattr__(self, "name", self.name or function_name(self.train))

    def identity(self, seed: int) -> Identity:
        """The code, by its version or its text; target, seed and machine."""
        code = {"version": self.version} if self.version is not None else {"code": self._code()}
        return {
            **code,
            "factory": f"{self.train.__module__}.{self.name}",
            "shapes": [],
            "recipe": {"name": self.recipe, **self.target.as_dict()},
            "data": "",
            "seed": seed,
            "environment": machine(),
            "protocol": 1,
        }

    def run(self, seed: int, *, steps: int | None = None) -> Trial:
        """The trial of this seed. `steps` counts epochs here, since nothing smaller is known.

        Raises InputError where what is yielded is no mapping of numbers with the monitor among them.
        """
        most = self.target.epochs if steps is None else min(steps, self.target.epochs)
        began = time.perf_counter()
        epochs: list[Epoch] = []
        made = self.train(seed)
        parts = iter([made]) if isinstance(made, Mapping) else _iterator(made)
        with closing(parts) if isinstance(parts, Generator) else nullcontext(parts):
            for metrics in parts:
                epochs.append(Epoch(self._read(metrics)))
                if self._is_met(epochs[-1]) or len(epochs) >= most:
                    break
        if not epochs:
            raise InputError(f"{self.name} yields no metrics; a mapping after each epoch is needed")
        met = self._is_met(epochs[-1])
        history = json.dumps([dict(epoch.metrics) for epoch in epochs], sort_keys=True)
        cut = steps is not None and not met and most <= len(epochs) < self.target.epochs
        return Trial(
            name=self.name,
            recipe=self.recipe,
            seed=seed,
            outcome=outcome_of(epochs, self.target, self.target.chance),
            stop_reason="target" if met else "steps" if cut else "epochs",
            epochs_to_target=len(epochs) if met else None,
            steps_to_target=None,
            frozen_at_step=None,
            epochs=tuple(epochs),
            seconds=round(time.perf_counter() - began, 3),
            weights_sha256=hashlib.sha256(history.encode()).hexdigest(),
            identity=self.identity(seed) if not cut else {**self.identity(seed), "steps": steps},
        )

    def _is_met(self, epoch: Epoch) -> bool:
        value = epoch.metrics[self.target.monitor]
        return value is not None and self.target.is_met(value)

    def _read(self, metrics: object) -> dict[str, float | None]:
        if not isinstance(metrics, Mapping):
            raise InputError(
                f"{self.name} yields {metrics!r:.60}; a mapping of metrics, such as "
                f"{{{self.target.monitor!r}: 0.9}}, is needed"
            )
        if self.target.monitor not in metrics:
            raise InputError(
                f"the target is on {self.target.monitor!r}, which {self.name} does not yield"
                f"{did_you_mean(self.target.monitor, map(str, metrics))}; it yields "
                f"{', '.join(map(str, metrics))}"
            )
        return {str(key): self._number(key, value) for key, value in metrics.items()}

    def _number(self, key: object, value: object) -> float | None:
        """A plain number, of a NumPy, PyTorch or JAX scalar too; None where it is not finite."""
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InputError(
                f"{self.name} yields {key!r}: {value!r:.60}; a number is needed"
            ) from None
        return number if math.isfinite(number) else None

    def _code(self) -> str:
        """A digest of the function's own text, or of its compiled code where it has none, and of what is
        bound to it."""
        function, bound = inspect.unwrap(_innermost(self.train)), _bound(self.train)
        try:
            text = inspect.getsource(function if hasattr(function, "__code__") else type(function))
        except (OSError, TypeError):
            text = repr(getattr(getattr(function, "__code__", None), "co_code", type(function)))
        return hashlib.sha256(f"{text}{without_addresses(bound)}".encode()).hexdigest()


def _iterator(made: object) -> Iterator[object]:
    if not isinstance(made, Iterable) or isinstance(made, Real | str):
        raise InputError(
            f"train returned {made!r:.60}; a mapping of metrics, or a generator of them, is needed"
        )
    return iter(made)


def _bound(function: object) -> list[object]:
    """Arguments, values of a closure and attributes that a function carries with it."""
    found: list[object] = []
    while isinstance(function, partial):
        found.append((function.args, sorted(function.keywords.items())))
        function = function.func
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # not assigned yet
            found.append(cell.cell_contents)
    holder = getattr(function, "__self__", function)
    if not hasattr(holder, "__code__") and not isinstance(holder, ModuleType):
        found.append(sorted(getattr(holder, "__dict__", {}).items()))
    return found


def without_addresses(value: object) -> str:
    """Its repr without memory addresses, which no other process would have again."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _innermost(function: object) -> Callable[..., object]:
    while isinstance(function, partial):
        function = function.func
    return function  # type: ignore[return-value]


def function_name(function: object) -> str:
    """The name of a function, also of one that `functools.partial` wraps, or of an object's class."""
    found = _innermost(function)
    return str(getattr(found, "__name__", type(found).__name__))


# Instruction sets that libraries choose kernels by; each sums in another order.
_ROUNDING_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")


@cache
def machine() -> dict[str, object]:
    """What of Python and the processor may change rounding, JSON-ready."""
    return {
        "numpy": distribution_version("numpy"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **_processor(),
    }


def distribution_version(name: str) -> str:
    """The installed version, or `not installed`."""
    # tensorflow-cpu and the like carry the same package under another distribution name.
    for distribution in (name, f"{name}-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "not installed"


def _processor() -> dict[str, object]:
    try:
        with open("/proc/cpuinfo") as file:
            lines = file.read().split("\n\n", 1)[0].splitlines()
    except OSError:
        return {"processor": platform.processor(), "instructions": []}
    pairs = (line.partition(":") for line in lines)
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return {
        "processor": facts.get("model name", platform.processor()),
        "instructions": [flag for flag in _ROUNDING_FLAGS if flag in flags],
    }
