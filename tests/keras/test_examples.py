"""Arrays that belong together, and their hash."""

import hashlib

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras.data import Examples

X, Y = np.zeros((4, 2)), np.zeros((4, 1))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((X, Y[:3], X, Y), "train data: 4 inputs and 3 labels"),
        ((X, Y, X[:0], Y[:0]), "validation data: 0 inputs"),
        ((X, Y, np.zeros((4, 3)), Y), "inputs: an example has shape (2,) in training and (3,) in"),
        (((X, X[:3]), Y, (X, X), Y), "train data: 3 or 4 inputs and 4 labels"),
        (({"a": X}, Y, {"b": X}, Y), "an example has shape /a (2,) in training and /b (2,) in"),
        (((), Y, (), Y), "train data: 0 inputs and 4 labels"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(parts, words):
    with pytest.raises(InputError) as error:
        Examples(*parts)
    assert words in str(error.value)


def test_a_hash_knows_values_shapes_types_and_places():
    x, y = np.arange(8.0).reshape(4, 2), np.zeros((4, 1))
    parts = [x, x + 1, x.astype("float32"), x.reshape(4, 2, 1), (x,), {"a": x}, {"b": x}, (x, x)]
    assert len({Examples(part, y, part, y).sha256 for part in parts}) == len(parts)


def test_the_hash_of_plain_arrays_is_that_of_recorded_trials():
    """Ledgers and baselines hold hashes made so: type and shape, then the bytes, four times."""
    x, y = np.arange(8.0).reshape(4, 2), np.zeros((4, 1), np.uint8)
    text = b"float64(4, 2)" + x.tobytes() + b"uint8(4, 1)" + y.tobytes()
    assert Examples(x, y, x, y).sha256 == hashlib.sha256(2 * text).hexdigest()


def test_several_inputs_are_counted_and_cut_together():
    examples = Examples({"a": X, "b": (Y, Y)}, Y, {"a": X[:2], "b": (Y[:2], Y[:2])}, Y[:2])
    assert (examples.n_train, examples.n_validation, examples.steps(3)) == (4, 2, 2)
    head = examples.head(1)
    assert head.x_train["b"][1].shape == head.y_validation.shape == (1, 1)
    assert examples.first[0]["a"].shape == (1, 2)
