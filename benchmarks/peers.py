"""The peers, written as a user would by hand: each runs in a process of its own.

    python -m benchmarks.peers fit '{"padding": "valid"}'

Every turn trains one epoch on the subset's first 6,400 digits, pixels 0..1, and validates on its 2,000
test digits, as a trial does; see turns.py for how the turns are taken.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.turns import Facts, serve

N_TRAIN = 6400


def peak_megabytes() -> float:
    """The most memory this process ever held, in MB of 2**20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, else kilobytes


def _digits() -> tuple[Any, Any, Any, Any]:
    with np.load(Path(__file__).parents[1] / "fixtures" / "mnist.npz") as file:
        x, y = file["x_train"][:N_TRAIN], file["y_train"][:N_TRAIN]
        x_test, y_test = file["x_test"], file["y_test"]
    return _images(x), y.astype(np.int64), _images(x_test), y_test.astype(np.int64)


def _images(pixels: Any) -> Any:
    return (pixels[..., np.newaxis] / 255).astype(np.float32)


def fit(padding: str = "valid") -> tuple[Facts, Callable[[], Facts]]:
    """The question's own `model.fit(x, y)`, at whatever settings the environment says.

    A turn reports the epoch's `seconds` and, apart, the `overhead` of a new model: building and
    compiling it and tracing its steps, on two batches.
    """
    import keras

    layers = keras.layers
    x, y, x_test, y_test = _digits()
    y, y_test = (keras.utils.to_categorical(labels, 10)[:, None] for labels in (y, y_test))

    def build() -> Any:
        inputs = keras.Input((28, 28, 1))
        h = inputs
        for filters in (32, 48, 64):
            h = layers.Conv2D(filters, 3, activation="relu", padding=padding)(h)
            h = layers.MaxPooling2D(2)(h)
        h = layers.Flatten()(h)
        h = layers.Dense(512, activation="relu")(h)
        h = layers.Dense(10, activation="softmax")(h)
        model = keras.Model(inputs, layers.Reshape((1, 10))(h))
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    def turn() -> Facts:
        keras.utils.clear_session()
        began = time.perf_counter()
        model = build()
        few = (x_test[:48], y_test[:48])  # a whole and a smaller batch, as 2,000 digits have
        model.fit(x[:64], y[:64], validation_data=few, verbose=0)
        traced = time.perf_counter()
        model.fit(x, y, validation_data=(x_test, y_test), verbose=0)
        ended = time.perf_counter()
        return {"samples": N_TRAIN, "seconds": ended - traced, "overhead": traced - began}

    first = turn()
    return {**first, "megabytes": peak_megabytes()}, turn


def torch() -> tuple[Facts, Callable[[], Facts]]:
    """A PyTorch loop at its best settings here: channels-last, fused Adam, one thread, data resident,
    the loss from logits (which spares it a softmax)."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    x, y, x_test, y_test = _digits()
    inputs, inputs_test = (
        torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        for a in (x, x_test)
    )
    labels, labels_test = torch.from_numpy(y), torch.from_numpy(y_test)
    network: list[nn.Module] = []
    for before, filters in ((1, 32), (32, 48), (48, 64)):
        network += [nn.Conv2d(before, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
    network += [nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10)]
    model = nn.Sequential(*network).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)
    loss_of = nn.CrossEntropyLoss()

    def turn() -> Facts:
        began = time.perf_counter()
        for rows in torch.randperm(N_TRAIN).split(32):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        right = 0
        with torch.inference_mode():
            for batch, wanted in zip(inputs_test.split(250), labels_test.split(250), strict=True):
                right += int((model(batch).argmax(dim=1) == wanted).sum())
        return {
            "samples": N_TRAIN,
            "seconds": time.perf_counter() - began,
            "accuracy": right / len(labels_test),
        }

    return turn(), turn


def matmul(side: int = 2048, seconds: float = 1.0) -> tuple[Facts, Callable[[], Facts]]:
    """TensorFlow's own product of two square float32 matrices, for about so many seconds a turn."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    random = np.random.default_rng(0)
    a, b = (tf.constant(random.standard_normal((side, side)), tf.float32) for _ in range(2))

    def turn() -> Facts:
        began = time.perf_counter()
        products = 0
        while time.perf_counter() - began < seconds:
            tf.linalg.matmul(a, b).numpy()
            products += 1
        spent = time.perf_counter() - began
        return {"operations": 2 * side**3 * products, "seconds": spent}  # side**3 multiply-adds

    return turn(), turn


def cutoffs(bars: list[float], level: float, most: int) -> tuple[Facts, Callable[[], Facts]]:
    """pytest-probability's sequential stop: for each bar and 0..most trials the fewest successes whose
    whole interval lies above the bar, and the most whose whole interval lies below it."""
    from pytest_probability.stats import confidence_sequence

    def boundary(n: int, beyond: Callable[[tuple[float, float]], bool]) -> int:
        low, high = -1, n + 1  # the bounds rise with the successes: bisect
        while high - low > 1:
            middle = (low + high) // 2
            if beyond(confidence_sequence(middle, n, level)):
                high = middle
            else:
                low = middle
        return high

    found = {
        str(bar): [
            (
                boundary(n, lambda interval, bar=bar: interval[0] > bar),
                boundary(n, lambda interval, bar=bar: interval[1] >= bar) - 1,
            )
            for n in range(most + 1)
        ]
        for bar in bars
    }
    return {"cutoffs": found}, dict


if __name__ == "__main__":
    serve({"fit": fit, "torch": torch, "matmul": matmul, "cutoffs": cutoffs})
