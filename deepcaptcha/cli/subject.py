"""What a command is to look at or to train: a network of the question's, or anyone's own."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from ..errors import InputError, error_words
from ..keras import environment
from ..keras.settings import Training
from ..networks import recipes, variants
from ..trials.source import ChangeableSource, FunctionSource, Source
from ..trials.trial import Target
from .arguments import TARGET

if TYPE_CHECKING:
    import keras

    from ..keras.data import Part

    Start = tuple[keras.Model, Part, Part, tuple[Part, Part] | None]

HELP = (
    "VARIANT:RECIPE such as same:raw-subset (which same alone means), or package.module:object or "
    "file.py:object: a factory of Keras models, a function train(seed), which is called with one "
    "argument, or a source of trials"
)
_PARTS = "(train, validation), each a pair (x, y) or a dataset,"
_USUAL_RECIPE = "raw-subset"


@dataclass(frozen=True)
class Subject:
    """A network as the command line names it: `known` is its variant and recipe, or `own` what a module
    of the user's has under that name. `data`: the place they come from."""

    text: str
    data: str | None
    known: tuple[variants.Variant, recipes.Recipe] | None = None
    own: object = None

    def source(self, options: Namespace, *, tried: bool = True) -> Source:
        """What yields its trials, with target and batch as the options say; unless `tried`, no batch is
        trained before.

        Raises InputError where it does not fit its data, or brings itself what an option says.
        """
        changes = {
            name: value for name in TARGET if (value := getattr(options, name, None)) is not None
        }
        source: Source
        if self.known is not None:
            variant, recipe = self.known
            recipes.load_examples(recipe)  # what is missing is told before anything is trained
            source = recipe.source(variant)
        elif _is_source(self.own):
            source = self.own
        else:
            target = Target.from_dict({**Target().as_dict(), **changes})
            batch = changes.get("batch")
            if not _takes_a_seed(self.own):
                train, validation = self._load_data()
                if validation is None:
                    raise InputError(f"{self.data} gives no validation data; {_PARTS} is needed")
                from ..keras.rehearsal import rehearsed_source

                parts = self._factory, train, validation
                with _in_one_line(f"{self.text} cannot be trained"):
                    return rehearsed_source(
                        *parts, target, batch=batch, name=self.text, tried=tried
                    )
            source = FunctionSource(self._factory, target, name=self.text)  # type: ignore[arg-type]
            changes = {} if batch is None else {"batch": batch}
        if not changes:
            return source
        if not _is_changeable(source):
            raise InputError(f"{self.text} brings its own {next(iter(changes))}; leave it out")
        return source.replace(source.name, None, **changes)

    def changeable(self, options: Namespace) -> ChangeableSource:
        """The same, if its settings can be changed, under the name that it was given."""
        source = self.source(options)
        if not _is_changeable(source):
            raise InputError(f"{self.text} has no settings to change; a Keras network is needed")
        return source.replace(self.text, source.recipe)

    def start(self, seed: int) -> Start:
        """What `deepcaptcha.check` takes: the model that begins with this seed, and its data."""
        if self.known is not None or _is_source(self.own):
            start = getattr(self.source(Namespace()), "start", None)
            if start is None:
                raise InputError(f"{self.text} is no Keras network; it can only be trained")
            found: Start = start(seed)
            return found
        if _takes_a_seed(self.own):
            raise InputError(f"{self.text} is a function train(seed); it can only be trained")
        train, validation = self._load_data()
        from ..keras.backend import keras
        from ..keras.data import Examples, read_data

        data = read_data(train, train if validation is None else validation)
        keras.utils.set_random_seed(seed)
        model = self.model()
        if not isinstance(data, Examples):
            return model, *data.first, None
        held = data.x_validation, data.y_validation
        return model, data.x_train, data.y_train, None if validation is None else held

    @property
    def length(self) -> tuple[int, int | None]:
        """Examples in a batch of its training, and epochs where they are known."""
        if self.known is None and not _is_source(self.own):
            return Training().batch, None
        length: tuple[int, int] = self.source(Namespace()).length  # type: ignore[attr-defined]
        return length

    def model(self) -> keras.Model:
        """What the user's own factory returns."""
        build = getattr(self.own, "factory", None) if _is_source(self.own) else self._factory
        if build is None or _takes_a_seed(build):
            raise InputError(f"{self.text} is no factory of Keras models")
        from ..keras.fit import require_model

        with _in_one_line(f"{self.text}() failed"):
            return require_model(build)

    @property
    def _factory(self) -> Callable[..., object]:
        assert callable(self.own)
        return self.own

    def _load_data(self) -> tuple[object, object | None]:
        """What trains, and what validates, None where there are only training data."""
        place = self.data
        if place is None:
            raise InputError(
                f"{self.text} needs data: give --data module:function, which returns {_PARTS} or --data "
                "FILE.npz"
            )
        if place.endswith(".npz"):
            return _read_arrays(Path(place))
        given = _load_object(place)
        if callable(given):
            with _in_one_line(f"{place}() failed"):
                given = given()
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise InputError(f"{place} gives {type(given).__name__}; {_PARTS} is needed")
        train, validation = given
        if all(_is_part(part) for part in given):
            return train, validation
        return (train, validation), None  # x and y


def read_subject(text: str, data: str | None) -> Subject:
    """The network that `text` names, whose data come from the place `data`.

    Raises InputError for an unknown name, and for an object that is nothing to train.
    """
    name, colon, recipe = text.partition(":")
    if not colon or name in variants.VARIANTS or recipe in recipes.RECIPES:
        found = recipes.find_recipe(recipe if colon else _USUAL_RECIPE, data)
        return Subject(text, data, known=(variants.find_variant(name), found))
    own = _load_object(text)
    if not callable(own) and not _is_source(own):
        raise InputError(
            f"{text} is of type {type(own).__name__}; a factory of Keras models, a function "
            "train(seed) or a source of trials is needed"
        )
    if data is not None and (_is_source(own) or _takes_a_seed(own)):
        raise InputError(f"{text} brings its own data; leave --data out")
    return Subject(text, data, own=own)


@contextmanager
def _in_one_line(what: str) -> Iterator[None]:
    """Whatever the user's own code raises, as an InputError; a script that ends itself would else end
    the command, and with 0 look like a good answer."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        words = error_words(error).removeprefix("KeyError: ")
        raise InputError(f"{what}: {type(error).__name__}: {words}") from error


def _load_object(text: str) -> object:
    """What `package.module:object` or `file.py:object` names; modules of the current folder, or of the
    file's, come first."""
    module, _, path = text.rpartition(":")
    if not module or not path:
        raise InputError(f"{text!r} names nothing; package.module:object is needed")
    folder = os.getcwd()
    if module.endswith(".py"):
        folder, module = str(Path(module).resolve().parent), Path(module).stem
    if folder not in sys.path:
        sys.path.insert(0, folder)
    environment.prepare_import()  # it may import TensorFlow, which is as quiet then as ours
    with _in_one_line(f"{module} cannot be imported"), environment.loading():
        found = importlib.import_module(module)
    try:
        return attrgetter(path)(found)
    except AttributeError:
        raise InputError(f"{module} has no {path!r}; package.module:object is needed") from None


def _is_source(found: object) -> TypeGuard[Source]:
    parts = ("name", "recipe", "target", "identity", "run")
    return not isinstance(found, type) and all(hasattr(found, part) for part in parts)


def _is_changeable(source: Source) -> TypeGuard[ChangeableSource]:
    return hasattr(source, "settings") and hasattr(source, "replace")


def _takes_a_seed(found: object) -> bool:
    """Whether it is a function that cannot be called but with one argument."""
    try:
        parameters = inspect.signature(found).parameters.values() if callable(found) else ()
    except ValueError:  # written in C, without a signature
        return False
    others = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    needed = [p.kind for p in parameters if p.default is p.empty and p.kind not in others]
    return len(needed) == 1 and needed[0] is not inspect.Parameter.KEYWORD_ONLY


def _is_part(part: object) -> bool:
    """Whether it can train or validate: a pair (x, y), a dataset, or a function that makes one."""
    pair = isinstance(part, tuple | list) and len(part) == 2
    return pair or callable(part) or hasattr(part, "element_spec")


def _read_arrays(path: Path) -> tuple[object, object | None]:
    from ..networks.digits import read_arrays

    try:
        arrays = read_arrays(path)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"cannot read the data from {path}: {told}") from None
    if "x_train" not in arrays or "y_train" not in arrays:
        raise InputError(
            f"{path} holds {', '.join([*arrays][:9]) or 'nothing'}; the arrays x_train, y_train and "
            "x_validation, y_validation (or x_test, y_test) are needed"
        )
    parts = [
        (arrays[f"x_{kind}"], arrays[f"y_{kind}"])
        for kind in ("train", "validation", "test")
        if f"x_{kind}" in arrays and f"y_{kind}" in arrays
    ]
    return parts[0], parts[1] if len(parts) > 1 else None
