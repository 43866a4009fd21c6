"""What may be given to train on, and what is refused before any training."""

import itertools

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras.backend import tf
from deepcaptcha.keras.data import Examples, Pipelines, read_data

X = np.arange(20, dtype="float32").reshape(10, 2)
Y = np.arange(10) % 2


def dataset(x=X, y=Y, batch=4):
    made = tf.data.Dataset.from_tensor_slices((x, y))
    return made.batch(batch) if batch else made


def shuffled(**settings):
    return dataset(batch=None).shuffle(10, **settings).batch(4)


def always(made):
    return lambda: made


def test_arrays_become_examples_in_keras_types():
    examples = read_data((X.astype("float64").tolist(), Y), [X, Y])
    assert isinstance(examples, Examples)
    assert (examples.x_train.dtype, examples.y_train.dtype) == (np.float32, Y.dtype)


def test_several_inputs_and_outputs_keep_their_structure():
    examples = read_data(({"a": X, "b": [X, X]}, (Y, Y)), ({"a": X, "b": (X, X)}, [Y, Y]))
    assert isinstance(examples.x_train["b"], tuple)
    assert len(examples.y_validation) == 2


def test_a_dataset_is_read_once_and_described():
    pipelines = read_data(dataset(), dataset(X[:6], Y[:6]))
    assert isinstance(pipelines, Pipelines)
    assert (pipelines.batches, pipelines.batch) == (3, 4)
    assert (pipelines.n_train, pipelines.n_validation) == (10, 6)
    np.testing.assert_array_equal(pipelines.first[0], X[:4])
    np.testing.assert_array_equal(pipelines.y_validation, Y[:6])
    others = [read_data(dataset(X + 1), dataset()), read_data(dataset(batch=5), dataset())]
    hashes = {p.sha256 for p in (pipelines, *others)}
    assert len(hashes) == 3
    assert read_data(dataset(), dataset(X[:6], Y[:6])).sha256 == pipelines.sha256
    assert len(list(pipelines.head(1).make_train())) == pipelines.head(1).batches == 1


def test_a_function_may_shuffle():
    pipelines = read_data(shuffled, dataset)
    assert pipelines.sha256 == read_data(shuffled, dataset).sha256


def test_the_head_of_shuffled_data_is_one_batch_that_is_kept():
    tf.random.set_seed(0)
    train = read_data(shuffled, dataset).head(1).make_train()
    first, second = ([x.numpy().tolist() for x, _ in train] for _ in "ab")
    assert first == second
    assert len(first) == 1


def test_strings_are_told_apart_by_their_content():
    """Two cuts of the same letters: only the lengths tell them apart."""
    words, cut = np.array([f"word {n}" for n in range(10)]), np.array(["ab", "c"] * 5)
    data = [dataset(words), dataset(words[::-1].copy()), dataset(cut), dataset(cut[::-1].copy())]
    data.append(dataset(np.array(["a", "bc"] * 5)))
    hashes = [read_data(made, dataset()).sha256 for made in data]
    assert len(set(hashes)) == 5
    assert read_data(dataset(words), dataset()).sha256 == hashes[0]


def numbers(count=None):
    """`count` batches of one example, or endlessly many, from a generator that does not know it; 8 bytes
    each, as two float32."""
    one = ([1.0], [1])
    return tf.data.Dataset.from_generator(
        lambda: itertools.repeat(one) if count is None else itertools.repeat(one, count),
        output_signature=(tf.TensorSpec((1,)), tf.TensorSpec((1,))),
    )


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"MOST_BATCHES": 100}, "after 100 batches of 800 bytes in all;"),
        ({"MOST_BYTES": 400}, "after 51 batches of 408 bytes in all;"),
    ],
)
def test_a_generator_without_end_is_given_up(monkeypatch, bound, words):
    for name, most in bound.items():
        monkeypatch.setattr(f"deepcaptcha.keras.data.{name}", most)
    with pytest.raises(InputError, match=r"train does not know its length.* take\(n\)") as error:
        read_data(numbers(), dataset())
    assert words in str(error.value)
    sure = numbers(101).apply(tf.data.experimental.assert_cardinality(101))
    assert read_data(sure, numbers(50)).batches == 101


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (lambda: None, "train is None; a pair (x, y) of arrays, a tf.data.Dataset or a function"),
        (lambda: (X, Y), "train is a tuple of 2; a pair (x, y) of arrays, a tf.data.Dataset or a "),
        (lambda: (X, Y, Y), "train is a tuple of 3;"),
        (lambda: X, "train is of type ndarray;"),
        (lambda: dataset().repeat(), "train is an endless dataset; a finite one is needed"),
        (lambda: dataset().take(0), "train is an empty dataset"),
        (
            lambda: dataset(batch=None),
            "that count no examples together; a batched dataset is needed",
        ),
        (
            lambda: dataset().map(lambda x, y: x),
            "an element of train is of type EagerTensor; batches (x, y)",
        ),
        (lambda: shuffled(), "gives other batches when it is read again, so that no trial could"),
        (lambda: shuffled(seed=1), "give a function that makes the dataset"),
        (lambda: lambda: 3, "train is a function whose result is of type int; a tf.data"),
        (lambda: always(shuffled()), "makes other batches when it is called again"),
    ],
)
def test_bad_data_is_one_clear_line(train, words):
    with pytest.raises(InputError) as error:
        read_data(train(), dataset())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("validation", [None, (X, Y, Y)])
def test_a_wrong_validation_is_not_blamed_on_train(validation):
    with pytest.raises(InputError, match=r"^validation is (None|a tuple of 3); a pair \(x, y\)"):
        read_data((X, Y), validation)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (None, "train x is None; an array of numbers is needed"),
        (3, "train x is of type int; an array"),
        ([[1, 2], [3]], "train x is no array"),
        ({"a": np.array([{}, {}])}, "train x['a'] is of type ndarray; an array of"),
    ],
)
def test_what_is_no_array_is_named(x, words):
    with pytest.raises(InputError) as error:
        read_data((x, Y), (X, Y))
    assert words in str(error.value)
