"""MNIST digits, and strips of several digits side by side."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Collection
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, require_whole

SUBSET_SHA256 = "c02dc200942f8a189a95b526377b1e16654d8fabaf941447da0c39ef006db49c"

_CARRIED = Path(__file__).parents[1] / "_fixtures" / "mnist.npz"  # in a wheel
_REPOSITORY = Path(__file__).parents[2] / "fixtures" / "mnist.npz"  # in an editable install

MOST_BYTES = 2**32
"""An npz file that would unpack to more is not read."""


class Digits(NamedTuple):
    """`images` (n, height, width) uint8, 0 paper to 255 ink, CAPTCHA images the other way round;
    `labels` (n,) or, for several digits an image, (n, n_prediction) uint8, 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class Mnist(NamedTuple):
    """Training and test digits; unpacks as Keras' `load_data()` does."""

    train: Digits
    test: Digits


@lru_cache(maxsize=2)
def load_mnist(source: str = "subset") -> Mnist:
    """MNIST from `subset` (12,000 + 2,000 digits carried by this package), `keras` (Keras' cached
    download, 60,000 + 10,000) or the path of an npz file in Keras' layout.

    Raises InputError for a missing, damaged or misshapen file.
    """
    if source == "keras":
        return _check(_download(), "Keras' MNIST")
    if source != "subset":
        return _check(_read(Path(source)), source)
    path = _CARRIED if _CARRIED.exists() else _REPOSITORY
    return _check(_read(path, sha256=SUBSET_SHA256), str(path))


def digit_strips(n_prediction: int, digits: Digits | None = None, seed: int = 0) -> Digits:
    """As many strips as there are digits (default: the subset's training digits), each of
    `n_prediction` digits side by side.

    Every digit appears exactly once at each position: images (n, 28, 28 * n_prediction), labels
    (n, n_prediction).
    """
    require_whole("n_prediction", n_prediction)
    digits = load_mnist().train if digits is None else digits
    random = np.random.RandomState(seed)
    order = [random.permutation(len(digits.labels)) for _ in range(n_prediction)]
    return Digits(
        np.concatenate([digits.images[indices] for indices in order], axis=2),
        np.stack([digits.labels[indices] for indices in order], axis=1),
    )


def read_arrays(
    file: Path | io.BytesIO, names: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, or those `names` among them; pickled objects are never read.

    Raises ValueError for a file that is none, is damaged, or would unpack to more than MOST_BYTES;
    OSError for one that cannot be opened.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            # zipfile unpacks no more of a member than this, whatever it holds.
            if (size := sum(member.file_size for member in members)) > MOST_BYTES:
                raise ValueError(f"it unpacks to {size:,} bytes; at most {MOST_BYTES:,} are read")
            named = {member.filename.removesuffix(".npy"): member for member in members}
            return {
                name: _read_array(packed, member)
                for name, member in named.items()
                if names is None or name in names
            }
    except OSError:
        raise
    except Exception as error:  # zipfile, its unpackers, tokenize and NumPy raise a dozen kinds
        raise ValueError(str(error) or type(error).__name__) from None


def _read_array(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with packed.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(
                f"{member.filename} has version {version} of the npy format, not 1 or 2"
            )
        first = version == (1, 0)
        header = (
            np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
        held = member.file_size - file.tell()
        # What is declared is allocated before it is read; what is left unread has no checksum.
        if not dtype.hasobject and (prod(shape) * dtype.itemsize != held or not dtype.itemsize):
            raise ValueError(f"{member.filename} declares {dtype} {shape} and holds {held:,} bytes")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _read(path: Path, sha256: str | None = None) -> dict[str, NDArray[np.uint8]]:
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read the digits from {path}: {getattr(error, 'strerror', error)}; "
            "give 'subset', 'keras' or the path of an mnist.npz"
        ) from None
    if sha256 and hashlib.sha256(raw).hexdigest() != sha256:
        raise InputError(
            f"{path} is damaged: its SHA-256 is not {sha256[:12]}...; "
            "restore it or make it again with fixtures/make_mnist.py"
        )
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        arrays = read_arrays(io.BytesIO(raw), names)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not an npz file in Keras' MNIST layout ({error})") from None
    if missing := [name for name in names if name not in arrays]:
        raise InputError(
            f"{path} has no {', '.join(missing)}; the arrays {', '.join(names)} are needed"
        )
    return arrays


def _download() -> dict[str, NDArray[np.uint8]]:
    from ..keras.backend import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise InputError(
            f"Keras could not load MNIST ({error}); give --data the path of an mnist.npz"
        ) from None
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _check(arrays: dict[str, NDArray[np.uint8]], origin: str) -> Mnist:
    for x, y in (("x_train", "y_train"), ("x_test", "y_test")):
        images, labels, problem = arrays[x], arrays[y], ""
        if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            problem = f"{x} is {images.dtype} {images.shape}; uint8 (n, 28, 28) is needed"
        elif labels.shape != images.shape[:1]:
            shape = f"{y} has shape {labels.shape} for {len(images)} images"
            problem = f"{shape}; ({len(images)},) is needed"
        elif not len(labels) or not np.issubdtype(labels.dtype, np.integer):
            problem = f"{y} is {labels.dtype} {labels.shape}; at least one whole label is needed"
        elif labels.min() < 0 or labels.max() > 9:
            held = f"{y} holds {labels.min()} to {labels.max()}"
            problem = f"{held}; whole labels 0 to 9 are needed"
        if problem:
            raise InputError(f"{origin}: {problem}")
    return Mnist(
        Digits(arrays["x_train"], arrays["y_train"]), Digits(arrays["x_test"], arrays["y_test"])
    )
