"""Data that several reports use."""

from typing import Any

import numpy as np

from deepcaptcha.networks.digits import load_mnist


def digits(training: int, validation: int, classes: int = 10) -> Any:
    """The first handwritten digits below `classes` of either part of the fixture: pairs of images,
    float32 (n, 28, 28, 1) of 0..255, and labels, int64 (n,)."""
    pairs = []
    for part, count in zip(load_mnist("subset"), (training, validation), strict=True):
        chosen = np.flatnonzero(part.labels < classes)[:count]
        images = part.images[chosen, ..., np.newaxis].astype("float32")
        pairs.append((images, part.labels[chosen].astype("int64")))
    return tuple(pairs)


def divided(pairs: Any, divisor: float) -> Any:
    """The same pairs with inputs divided."""
    return tuple((x / np.float32(divisor), y) for x, y in pairs)


def cut(x: Any, y: Any, training: int) -> Any:
    """The first `training` rows to train on, the rest to validate on."""
    return (x[:training], y[:training]), (x[training:], y[training:])
