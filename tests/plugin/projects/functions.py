"""Trainings that know nothing of deepcaptcha or any framework: NumPy's numbers, milliseconds each."""

import numpy as np


def points(random):
    """Two numbers and whether the first is the larger one, well apart."""
    x = random.normal(size=(200, 2))
    x = x[abs(x[:, 0] - x[:, 1]) > 0.2]
    return x, x[:, 0] > x[:, 1]


def perceptron(seed, rate=1.0):
    """Yields the accuracy on new points after each epoch; without a rate it never learns."""
    random = np.random.default_rng(seed)
    (x, y), (x_validation, y_validation) = points(random), points(random)
    weights = np.zeros(2)
    while True:
        for row, label in zip(x, y, strict=True):
            weights += rate * (int(label) - int(row @ weights > 0)) * row
        yield {"val_accuracy": np.mean((x_validation @ weights > 0) == y_validation)}


def guess(seed):
    """Always right once in ten, and nothing else."""
    while True:
        yield {"val_accuracy": 0.1}
