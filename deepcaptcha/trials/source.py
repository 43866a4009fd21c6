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
import secrets
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from numbers import Real
from typing import TYPE_CHECKING, Protocol

from ..errors import InputError, did_you_mean, printable, require_text
from .trial import Epoch, Identity, Target, Trial, outcome_of

if TYPE_CHECKING:
    from .code import Code


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
    return printable(f"{name} under {recipe}" if is_named(recipe) else name)


Metrics = Mapping[str, float]
Train = Callable[[int], Metrics | bool | Iterable[Metrics | bool]]
"""`train(seed)`: yields a mapping of metrics after each epoch, or returns one, of the whole training, or
a list of them. True and False stand for a monitor of 1 and 0."""

ANSWER = Target(1.0, 1, "answer")
"""The target of a function that itself says whether it succeeded."""


@dataclass(frozen=True)
class FunctionSource:
    """Trials of any function, in whatever framework.

    - `train`: see `Train`. A generator is closed once the target is met, or after the target's
      epochs. What it yields after a seed is to depend on that seed alone.
    - `target`: its `chance` says what the monitor shows of something that learned nothing, without
      which only a monitor that never changes tells `stuck` from `slow`.
    - `name`: for people; the function's own by default.
    - `version`: stands for the code in a trial's identity. Without it all that the function reaches
      does (`trials.code`), as it was when the source was made.
    """

    train: Train
    target: Target
    name: str = ""
    version: str | None = None
    recipe: str = OWN_RECIPE
    code: str = field(init=False, compare=False)
    unknown: tuple[str, ...] = field(init=False, compare=False)
    identified: str = field(init=False, compare=False)
    environment: Mapping[str, object] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.train):
            raise InputError(f"train is {self.train!r}; a function of a seed is needed")
        require_text("name", self.name, or_none=True)
        require_text("version", self.version, or_none=True)
        try:
            inspect.signature(self.train).bind(0)
        except TypeError as error:
            raise InputError(
                f"{function_name(self.train)} cannot be called with a seed alone ({error}); wrap it "
                "with functools.partial"
            ) from None
        except ValueError:
            pass  # written in C, without a signature
        code = self._read_code()
        digest, unknown = code.digest, code.unknown
        known = f"code {digest}: {code.text}"
        if self.version is not None:
            digest, known, unknown = f"version {self.version}", f"version {self.version!r}", ()
        elif unknown:
            digest, known = f"{digest} {secrets.token_hex(8)}", f"{known}, but not {unknown[0]}"
        found = {
            "name": self.name or function_name(self.train),
            # As it is now: what a training changes is found by `run`.
            "code": digest,
            "unknown": unknown,
            "identified": known,
            "environment": {**machine(), **code.libraries},
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def why_not_again(self) -> str:
        """Why none of its trials is known again; empty where they are."""
        if not self.unknown:
            return ""
        return f"{self.unknown[0]} has no digest; give the code a version, version=..., of your own"

    def identity(self, seed: int) -> Identity:
        """The code, by its version or its digest, which is another one each time where a part of it has
        none; target, seed, machine and the versions of the libraries that the code names."""
        code = {"code": self.code} if self.version is None else {"version": self.version}
        return {
            **code,
            "factory": f"{self.train.__module__}.{self.name}",
            "shapes": [],
            "recipe": {"name": self.recipe, **self.target.as_dict()},
            "data": "",
            "seed": seed,
            "environment": dict(self.environment),
            "protocol": 1,
        }

    def run(self, seed: int, *, steps: int | None = None) -> Trial:
        """The trial of this seed. `steps` counts epochs here, since nothing smaller is known.

        Raises InputError where what is yielded is no mapping of numbers with the monitor among them, and
        where the training changes an array or a random generator that it begins from.
        """
        before = self._read_code().states
        most = self.target.epochs if steps is None else min(steps, self.target.epochs)
        began = time.perf_counter()
        epochs: list[Epoch] = []
        made = self.train(seed)
        parts = iter([made]) if isinstance(made, Mapping) or _is_answer(made) else _iterator(made)
        with closing(parts) if isinstance(parts, Generator) else nullcontext(parts):
            for metrics in parts:
                epochs.append(Epoch(self._read(metrics)))
                if self.target.is_reached(epochs[-1].metrics) or len(epochs) >= most:
                    break
        if not epochs:
            raise InputError(f"{self.name} yields no metrics; a mapping after each epoch is needed")
        self._require_as_before(before)
        met = self.target.is_reached(epochs[-1].metrics)
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
            digests=self._digests(),
        )

    def _digests(self) -> dict[str, str]:
        """What all trials of one code follow from, as `verdicts.confirm` reads it."""
        if self.unknown:
            return {}
        return {"code": self.code, "target": json.dumps(self.target.as_dict())}

    def _read_code(self) -> Code:
        from .code import read_code  # and NumPy, which the plugin itself does without

        return read_code(self.train)

    def _require_as_before(self, states: Mapping[str, str]) -> None:
        now = self._read_code().states
        for place in now:
            if states.get(place, now[place]) != now[place]:
                raise InputError(
                    f"the training changed what it begins from ({place}), so that the next trial would "
                    "go on where this one ended; make it anew for each seed"
                )

    def _read(self, metrics: object) -> dict[str, float | None]:
        if _is_answer(metrics):
            if self.target.also or self.target.is_met(0.0) or not self.target.is_met(1.0):
                raise InputError(
                    f"{self.name} answers {metrics}, which is no number for the target "
                    f"{self.target.text}; leave target, epochs and monitor out of the marker, or yield "
                    f"{{{self.target.monitor!r}: 0.9}}"
                )
            return {self.target.monitor: float(bool(metrics))}
        if self.target == ANSWER:
            raise InputError(
                f"nothing says target and epochs, so that {self.name} is to answer True or False, and "
                f"it gives {metrics!r:.60}; say in the marker what is to be reached"
            )
        if not isinstance(metrics, Mapping):
            raise InputError(
                f"{self.name} yields {metrics!r:.60}; a mapping of metrics, such as "
                f"{{{self.target.monitor!r}: 0.9}}, is needed"
            )
        for name in (name for name in self.target.names if name not in metrics):
            raise InputError(
                f"the target is on {name!r}, which {self.name} does not yield"
                f"{did_you_mean(name, map(str, metrics))}; it yields "
                f"{', '.join(map(str, metrics))}"
            )
        return {str(key): self._number(key, value) for key, value in metrics.items()}

    def _number(self, key: object, value: object) -> float | None:
        """A plain number, of a NumPy, PyTorch or JAX scalar too; None where it is not finite."""
        try:
            # A tensor that is trained warns where it is made a number otherwise.
            number = float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError, RuntimeError):  # PyTorch's, of several
            raise InputError(
                f"{self.name} yields {key!r}: {value!r:.60}; a number is needed"
            ) from None
        return number if math.isfinite(number) else None


def _is_answer(made: object) -> bool:
    """Whether it is True or False, of whatever library."""
    kind = getattr(getattr(made, "dtype", None), "kind", "")
    return isinstance(made, bool) or (kind == "b" and getattr(made, "shape", None) == ())


def _iterator(made: object) -> Iterator[object]:
    single = getattr(made, "shape", None) == ()  # an array that says it can be iterated over
    if not isinstance(made, Iterable) or isinstance(made, Real | str | bytes) or single:
        raise InputError(
            f"train returned {made!r:.60}; a mapping of metrics, or a generator of them, is needed"
        )
    return iter(made)


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
