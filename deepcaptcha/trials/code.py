"""What a function does, as a digest: its code, and all that it reaches of whoever wrote it.

Followed are the functions, classes, modules and values that code refers to by name, what closures,
defaults, partials and objects carry, and what is imported within. Libraries, which is what lies in
Python's own folders or in `site-packages`, stand for themselves by name and version. Not seen is what
code finds without naming it: files it reads, `getattr` with a made-up name, the environment.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib
import importlib.util
import random
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType

import numpy as np

LENGTH = 12
"""Digits kept of a SHA-256: two different codes share them with a chance of 4e-15."""


@dataclass(frozen=True)
class Code:
    """What a function reaches.

    - `digest`: of all of it; the same in every process of one Python version.
    - `functions`, `classes`: how many of the user's; `arrays`: and how many arrays, of `size` bytes.
    - `states`: digest of each array and random generator, by where it was found.
    - `unknown`: what has no digest, as it was found, such as `train: lock (_thread.lock)`.
    - `libraries`: the packages it uses, by the names they are imported by, with their versions.
    """

    digest: str
    functions: int
    classes: int
    arrays: int
    size: int
    states: Mapping[str, str]
    unknown: tuple[str, ...]
    libraries: Mapping[str, str]

    @property
    def text(self) -> str:
        """Such as `2 functions and 1 array of 25.1 MB`."""
        counts = {"function": self.functions, "class": self.classes, "array": self.arrays}
        plurals = {"class": "classes"}
        told = [
            f"{count} {kind if count == 1 else plurals.get(kind, kind + 's')}"
            for kind, count in counts.items()
            if count
        ]
        *first, last = told or ["no code of its own"]
        size = f" of {self.size / 1e6:.3g} MB" if self.size >= 1e5 else ""
        return (f"{', '.join(first)} and {last}" if first else last) + size


def read_code(*parts: object) -> Code:
    """What the parts, functions or whatever else, reach; no framework is imported for it."""
    walk = _Walk()
    for place, part in enumerate(parts):
        walk.visit(part, getattr(part, "__name__", f"part {place}"))
    return Code(
        digest=walk.hash.hexdigest()[:LENGTH],
        functions=walk.functions,
        classes=walk.classes,
        arrays=walk.arrays,
        size=walk.size,
        states=walk.states,
        unknown=tuple(walk.unknown),
        libraries={name: package_version(name) for name in sorted(walk.libraries)},
    )


@functools.cache
def package_version(name: str) -> str:
    """Of the package that is imported by this name; empty where it has none."""
    for distribution in (name, *packages_distributions().get(name, ())):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""


class _Walk:
    """Visits what is reached, depth first, each thing once."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.functions = self.classes = self.arrays = self.size = 0
        self.states: dict[str, str] = {}
        self.unknown: list[str] = []
        self.libraries: set[str] = set()
        self._seen: dict[int, int] = {}
        self._alive: list[object] = []  # or another thing might get the id of one that is gone

    def visit(self, value: object, place: str) -> None:
        if isinstance(value, str | bytes | int | float | complex | None | type(...)):
            self._add(type(value).__name__, repr(value))
            return
        # Equal tuples may be one object or two, as the compiler likes.
        if not isinstance(value, tuple):
            if id(value) in self._seen:
                self._add("again", str(self._seen[id(value)]))
                return
            self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        self._add(type(value).__qualname__)
        try:
            self._look_into(value, place)
        except RecursionError:
            self._miss(value, place)

    def _look_into(self, value: object, place: str) -> None:
        if isinstance(value, type):
            self._class(value, place)
        elif isinstance(value, ModuleType):
            self._module(value, (), place)
        elif isinstance(value, FunctionType):
            self._function(value, place)
        elif isinstance(value, MethodType):
            self.visit(value.__func__, place)
            self.visit(value.__self__, f"{place}.__self__")
        elif isinstance(value, staticmethod | classmethod):
            self.visit(value.__func__, place)
        elif isinstance(value, property):
            for part in (value.fget, value.fset, value.fdel):
                self.visit(part, place)
        elif isinstance(value, CodeType):
            self._code(value)
        elif (array := _array(value)) is not None:
            self._array(array, place)
        elif isinstance(value, dict | MappingProxyType) and type(value) in (dict, MappingProxyType):
            self._add(str(len(value)))
            for key, each in value.items():
                self.visit(key, f"{place} key")
                self.visit(each, f"{place}[{key!r:.30}]")
        elif isinstance(value, list | tuple) and type(value) in (list, tuple):
            self._add(str(len(value)))
            if all(type(each) in (int, float, str) for each in value):
                self._add(repr(value))
                return
            for number, each in enumerate(value):
                self.visit(each, f"{place}[{number}]")
        elif isinstance(value, set | frozenset):
            # Its own order differs from process to process.
            self._add(*sorted(self._digest_of(value, place)))
        else:
            self._object(value, place)

    def _object(self, value: object, place: str) -> None:
        """By what it wraps, or by what a pickle of it would hold."""
        if type(value).__module__ in _NO_EFFECT:
            self._add("object", type(value).__qualname__)
            return
        try:
            wrapped = getattr(value, "__wrapped__", None)
            reduced = None if callable(wrapped) else value.__reduce_ex__(4)
        except Exception:  # whatever its class raises: it has no such form
            self._miss(value, place)
            return
        if reduced is None:
            self.visit(type(value), place)
            self.visit(wrapped, place)
            return
        if isinstance(reduced, str):
            self._library(getattr(value, "__module__", None) or type(value).__module__)
            self._add("name", f"{getattr(value, '__module__', '')}.{reduced}")
            return
        if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
            self.states.setdefault(place, self._digest_of([reduced], place)[0])
        make, arguments, state, *items = (*reduced, None, None, None)[:5]
        self._add("object", type(value).__qualname__)
        self.visit(make, place)
        self.visit(arguments, place)
        for name, each in self._state(state):
            self._add("field", name)
            self.visit(each, f"{place}.{name}")
        for each in items:
            self.visit(None if each is None else list(each), place)

    @staticmethod
    def _state(state: object) -> Iterator[tuple[str, object]]:
        """Fields of an object, of its slots too, in order of their names."""
        for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
            if isinstance(part, dict) and all(isinstance(name, str) for name in part):
                yield from sorted(part.items())
            else:
                yield "", part

    def _function(self, function: FunctionType, place: str) -> None:
        if _is_library(function.__module__, function.__code__.co_filename):
            self._library(function.__module__)
            self._add("name", f"{function.__module__}.{function.__qualname__}")
            if "<locals>" in function.__qualname__:  # made by a call, whose arguments it carries
                self._bound(function, place)
            return
        self.functions += 1
        self._code(function.__code__, function.__doc__)
        name = function.__name__
        self._bound(function, name)
        self.visit(function.__dict__, name)
        used, imported, names = _read_names(function)
        for variable in used:
            if variable in function.__globals__:
                value = function.__globals__[variable]
                self._add("global", variable)
                if isinstance(value, ModuleType):
                    self._module(value, names, f"{name}: {variable}")
                else:
                    self.visit(value, f"{name}: {variable}")
        for module, taken in imported.items():
            self._imported(module, names, f"{name}: {module}")
            for part in taken:  # `from package import module`
                if part not in vars(sys.modules.get(module, sys)):
                    self._imported(f"{module}.{part}", names, f"{name}: {module}.{part}")

    def _bound(self, function: FunctionType, name: str) -> None:
        """Its defaults, and what its closure holds."""
        self.visit(function.__defaults__, name)
        self.visit(function.__kwdefaults__, name)
        for variable, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                self.visit(cell.cell_contents, f"{name}: {variable}")
            except ValueError:  # not assigned yet
                self._add("empty", variable)

    def _code(self, code: CodeType, text: str | None = None) -> None:
        """Its instructions and constants, without its text, file and lines."""
        self._add("code", code.co_name, code.co_code.hex(), repr(code.co_names))
        self._add(repr((code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)))
        self._add(repr((code.co_argcount, code.co_kwonlyargcount)), code.co_exceptiontable.hex())
        for number, constant in enumerate(code.co_consts):
            if isinstance(constant, CodeType):
                self._code(constant)
            elif isinstance(constant, frozenset):
                self._add("set", repr(sorted(map(repr, constant))))
            elif number or text is None or constant != text:
                self._add(type(constant).__name__, repr(constant))

    def _class(self, found: type, place: str) -> None:
        file = _file_of(found.__module__)
        if file is None and found.__module__ == "__main__":
            file = "<own>"
        if _is_library(found.__module__, file):
            self._library(found.__module__)
            self._add("name", f"{found.__module__}.{found.__qualname__}")
            return
        self.classes += 1
        self._add("class", found.__qualname__)
        self.visit(found.__bases__, place)
        for name, part in sorted(vars(found).items()):
            if name not in _NOTHING_SAID:
                self._add("field", name)
                self.visit(part, f"{found.__qualname__}.{name}")

    def _module(
        self,
        module: ModuleType,
        names: tuple[str, ...],
        place: str,
        within: tuple[ModuleType, ...] = (),
    ) -> None:
        """Of a user's module, what it holds under any of the names."""
        name = module.__name__
        if _is_library(name, _file_of(name)):
            self._library(name)
            self._add("name", name)
            return
        self._add("module", name)
        if not names:
            self._miss(module, place)
        for attribute in names:
            if attribute in vars(module):
                value = vars(module)[attribute]
                self._add("field", attribute)
                if isinstance(value, ModuleType):
                    if value not in within:
                        self._module(value, names, f"{place}.{attribute}", (*within, module))
                else:
                    self.visit(value, f"{place}.{attribute}")

    def _imported(self, name: str, names: tuple[str, ...], place: str) -> None:
        """A module that is imported within a function, and perhaps was not yet; no library is."""
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
            folders = (spec and spec.submodule_search_locations) or (None,)
            if spec is not None and _is_library(name, spec.origin or folders[0]):
                self._library(name)
                self._add("name", name)
            else:
                self._module(importlib.import_module(name), names, place)
        except Exception:  # whatever a user's module raises when it is imported
            self.unknown.append(f"{place}, which cannot be imported")

    def _array(self, array: np.ndarray, place: str) -> None:
        whole = np.ascontiguousarray(array)
        # Dates, texts and records lend nobody their bytes.
        content = hashlib.sha256(
            whole.data if whole.dtype.kind in "biufc" else whole.tobytes()
        ).hexdigest()
        self.arrays += 1
        self.size += array.nbytes
        self.states.setdefault(place, content)
        self._add("array", array.dtype.str, str(array.shape), content)

    def _digest_of(self, values: Iterable[object], place: str) -> list[str]:
        """A digest of each by itself, whatever was visited before."""
        mine, seen, found = self.hash, self._seen, []
        for value in values:
            self.hash, self._seen = hashlib.sha256(), dict(seen)
            self.visit(value, place)
            found.append(self.hash.hexdigest())
        self.hash, self._seen = mine, seen
        return found

    def _miss(self, value: object, place: str) -> None:
        kind = type(value)
        self._add("unknown", f"{kind.__module__}.{kind.__qualname__}")
        self.unknown.append(f"{place} ({kind.__module__}.{kind.__qualname__})")

    def _add(self, *words: str) -> None:
        for word in words:
            self.hash.update(f"{len(word)}:{word}".encode(errors="surrogatepass"))

    def _library(self, module: str | None) -> None:
        root = (module or "").partition(".")[0]
        if root and root not in sys.stdlib_module_names and root not in ("builtins", "deepcaptcha"):
            self.libraries.add(root)


_NO_EFFECT = ("_thread", "threading")
"""Modules of objects that no number follows from, such as locks."""

_NOTHING_SAID = (
    *("__dict__", "__weakref__", "__module__", "__doc__", "_abc_impl", "__firstlineno__"),
    *("__annotations__", "__annotate_func__", "__annotations_cache__", "__static_attributes__"),
)
"""Fields of a class that do nothing when its methods run."""


@functools.cache
def _is_library(module: str | None, file: str | None) -> bool:
    """Whether what has this module and file is not the user's."""
    root = (module or "").partition(".")[0]
    if file is None or file.startswith("<"):  # built in, written in C, or made up by whoever runs
        return file is None or file.startswith("<frozen") or root in sys.stdlib_module_names
    path = Path(file)
    folders = sysconfig.get_path("stdlib"), Path(__file__).parents[1]
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return bool(installed) or any(path.is_relative_to(folder) for folder in folders)


def _file_of(module: str) -> str | None:
    """Of a module, or of the package that it would be in; a folder where a package has no file."""
    loaded = sys.modules.get(module) or sys.modules.get(module.partition(".")[0])
    return getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", ())), None)


def _array(value: object) -> np.ndarray | None:
    """The numbers of an array, of a framework's tensor too; None where it is none."""
    if not isinstance(value, np.ndarray | np.generic) and not (
        hasattr(value, "__array__") and hasattr(value, "dtype") and hasattr(value, "shape")
    ):
        return None
    try:
        # A tensor that is trained gives its numbers only without its history.
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    except Exception:  # on another device, or of a type that NumPy does not know
        return None
    return None if array.dtype.hasobject else array


def _read_names(
    function: FunctionType,
) -> tuple[list[str], Mapping[str, tuple[str, ...]], tuple[str, ...]]:
    """Global variables that a function's code reads; modules that it imports, with what is taken from
    each; all names in it."""
    used: dict[str, None] = {}
    imported: dict[str, tuple[str, ...]] = {}
    names: dict[str, None] = {}
    waiting = [function.__code__]
    while waiting:
        code = waiting.pop(0)
        names.update(dict.fromkeys(code.co_names))
        waiting += [part for part in code.co_consts if isinstance(part, CodeType)]
        constants: list[object] = [0, None]
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                used[str(step.argval)] = None
            elif step.opname == "IMPORT_NAME":
                # Loaded before it: how many packages up the name begins, and what is taken from it.
                level, taken = constants[-2:]
                name = str(step.argval)
                if level:
                    package = str(function.__globals__.get("__package__") or "")
                    name = importlib.util.resolve_name(f"{'.' * int(str(level))}{name}", package)
                names.update(dict.fromkeys(name.split(".")))
                imported[name] = taken if isinstance(taken, tuple) else ()
            elif step.opname.startswith("LOAD_CONST") or step.opname == "LOAD_SMALL_INT":
                constants.append(step.argval)
    return list(used), imported, tuple(names)
