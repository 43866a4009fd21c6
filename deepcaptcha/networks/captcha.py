"""CAPTCHA images of digits, drawn by the `captcha` package and the same for the same seed.

The package draws from the operating system's randomness, which it reads through the name `secrets` of
its module `captcha.image`. Here a private copy of that module is loaded and given a seeded generator
under that name; the module that others import stays as unpredictable as it should be.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .digits import Digits, read_arrays

SOURCE = "captcha"
"""What a recipe's `data` says to have such images."""

HEIGHT, WIDTH = 30, 80
"""Pixels of an image: half of what the package draws."""

CACHE = Path("build")
"""Where drawn images are kept, below the working folder."""

DRAWING = 1
"""Raised by hand whenever the drawing here changes, so that no kept file passes for a new one."""

_MISSING = "CAPTCHA images need a package: install pytest-deepcaptcha with its extra `captcha`"


def load_captchas(count: int, n_prediction: int, seed: int) -> Digits:
    """`draw_captchas`, drawn once and kept in a file of CACHE.

    The file is drawn again if it is damaged or was drawn by other versions. Raises InputError without
    the package, or where the file cannot be written.
    """
    path = CACHE / f"captcha-{count}-{n_prediction}-{seed}.npz"
    facts = {"count": count, "n_prediction": n_prediction, "seed": seed, "drawing": DRAWING}
    origin = json.dumps({**facts, "captcha": _version("captcha"), "pillow": _version("pillow")})
    kept = _read(path, origin)
    if kept is None:
        kept = draw_captchas(count, n_prediction, seed)
        _write(path, origin, kept)
    return kept


def draw_captchas(count: int, n_prediction: int, seed: int) -> Digits:
    """At least one image of `n_prediction` random digits: images (count, HEIGHT, WIDTH), 0 ink to 255
    paper, grey; labels (count, n_prediction).

    The first images are the same for every count. Raises InputError without the package, or if what
    it draws does not follow from the seed.
    """
    images = np.empty((count, HEIGHT, WIDTH), np.uint8)
    labels = np.empty((count, n_prediction), np.uint8)
    drawn = _drawn(seed, n_prediction)
    for index in range(count):
        images[index], labels[index] = next(drawn)
    image, label = next(_drawn(seed, n_prediction))
    if not (np.array_equal(image, images[0]) and np.array_equal(label, labels[0])):
        raise InputError(
            f"captcha {_version('captcha')} draws differently from the same seed; "
            "version 0.7.1 is known to work"
        )
    return Digits(images, labels)


def _drawn(seed: int, n_prediction: int) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
    """Image after image with its labels, all from one seeded generator."""
    draw = random.Random(seed)
    module = _private_copy()
    module.secrets = SimpleNamespace(
        randbelow=draw.randrange, randbits=draw.getrandbits, choice=draw.choice
    )
    drawer = module.ImageCaptcha(width=2 * WIDTH, height=2 * HEIGHT)
    while True:
        digits = [draw.randrange(10) for _ in range(n_prediction)]
        image = drawer.generate_image("".join(map(str, digits)))
        yield np.asarray(image.convert("L").reduce(2)), digits


def _private_copy() -> Any:
    """A new module object of `captcha.image`, not the one others import."""
    installed = importlib.util.find_spec("captcha") is not None
    spec = importlib.util.find_spec("captcha.image") if installed else None
    if spec is None or spec.loader is None:
        raise InputError(_MISSING)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(_MISSING) from None


def _read(path: Path, origin: str) -> Digits | None:
    """What the file holds, if it is whole and of that origin."""
    try:
        arrays = read_arrays(path)
        if str(arrays["origin"]) == origin:
            return Digits(arrays["images"], arrays["labels"])
    except (KeyError, OSError, ValueError):
        pass  # no such file, or a damaged one: it is drawn anew
    return None


def _write(path: Path, origin: str, digits: Digits) -> None:
    """Put the file in its place at once, so that no other process reads half of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                np.savez_compressed(file, origin=origin, images=digits.images, labels=digits.labels)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot keep the CAPTCHA images in {path}: {error.strerror}; work in a writable folder"
        ) from None
