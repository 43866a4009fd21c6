"""Factories whose trials are no independent draws of one model are refused, with what was seen; sound
ones are not, and a start that is always the same is said."""

from itertools import count

import numpy as np
import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.keras.backend import keras, tf
from deepcaptcha.keras.fit import hash_configuration
from deepcaptcha.keras.fresh import Ends, hash_arrays, require_new
from deepcaptcha.keras.rehearsal import rehearsed_source
from deepcaptcha.keras.source import forget_models
from deepcaptcha.trials.draws import SAME_START
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.claim import Budget, Claim
from deepcaptcha.verdicts.judge import judge

layers = keras.layers
RANDOM = np.random.RandomState(0)
X = RANDOM.rand(32, 4, 4, 1).astype("float32")
Y = (X.mean((1, 2, 3)) > 0.5).astype("float32")
TARGET = Target(0.1, 1, "val_accuracy", chance=0.05)  # any training reaches it


def compiled(*middle, first=(), **dense):
    model = keras.Sequential(
        [
            *(keras.Input((4, 4, 1)), *first, layers.Flatten(), *middle),
            layers.Dense(1, activation="sigmoid", **dense),
        ]
    )
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


def judged(build, data=None, jobs=None):
    """A verdict of two trials: one convergence alone has a chance of 0.2 > 0.05 under p_bad."""
    forget_models()
    train = (X.copy(), Y) if data is None else data
    source = rehearsed_source(build, train, train if callable(train) else (X, Y), TARGET)
    with Runner(jobs=jobs) as runner:
        return judge(
            source,
            Claim("trains", 0.95, 0.2),
            Budget(1),
            lambda index: runner.run(source, 100 + index),
        )


def seeds_itself():
    keras.utils.set_random_seed(7)
    return compiled()


def grows():
    return compiled(layers.Dense(next(NUMBERS)))


def changes_its_activation():
    return compiled(layers.Dense(3, activation=("relu", "tanh")[next(NUMBERS) > 3]))


def in_order():
    """Of batches that come in one order, so that nothing is left to differ."""
    return seeds_itself()


def pipeline():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def goes_on():
    """Keeps what it returned last, as a file of weights would."""
    model = compiled()
    if KEPT:
        model.set_weights(KEPT[-1].get_weights())
    KEPT.append(model)
    return model


def goes_on_in_part():
    model = compiled(layers.Dense(3, name="kept"))
    if KEPT:
        model.get_layer("kept").set_weights(KEPT[-1].get_layer("kept").get_weights())
    KEPT.append(model)
    return model


def shares_later():
    """The first three models, two of them tried before any trial, are new."""
    made = next(NUMBERS)
    layer = KEPT[0] if made > 3 else layers.Dense(3, name="kept")
    if made == 3:
        KEPT.append(layer)
    return compiled(layer)


def shares_an_optimizer_later():
    model = compiled()
    if next(NUMBERS) > 2:
        KEPT.append(keras.optimizers.SGD())
        model.compile(KEPT[0], "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(autouse=True)
def _new_state():
    global NUMBERS, KEPT
    NUMBERS, KEPT = count(1), []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (in_order, "seeds 100 and 101 ended in the same weights, bit for bit, and are one trai"),
        (
            grows,
            r"seed 101 trained another architecture \(weights of shape \[16, 4\], not \[16, 3\]\)",
        ),
        (
            changes_its_activation,
            r"another architecture \(the same shapes, other layers or compile",
        ),
        (goes_on, r"the factory goes on from where seed 0 ended \(weight 1 of 2 is the same"),
        (goes_on_in_part, r"the factory goes on from where seed 0 ended \(weight 1 of 4 is"),
        (shares_later, "two models of the factory share sequential/kept/kernel and so weights"),
        (shares_an_optimizer_later, "two models of the factory share one optimizer"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_draw_is_refused(build, words):
    data = pipeline if build is in_order else None
    with pytest.raises(InputError, match=words):
        judged(build, data)


@pytest.mark.integration
def test_a_factory_that_changes_its_data_is_refused():
    """At its first calls, where all is compared, and at a later one, where a part is."""
    for calls in (0, 2):
        x, numbers = X.copy(), count()

        def scales(x=x, calls=calls, numbers=numbers):
            if next(numbers) >= calls:
                np.multiply(x, 0.5, out=x)
            return compiled()

        with pytest.raises(
            InputError, match=r"^the data are not what they were before the factory"
        ):
            judged(scales, (x, Y))


def touched():
    return compiled(layers.Dropout(0.5), layers.GaussianNoise(0.1), first=[layers.RandomFlip()])


def drawn_by_its_own():
    """From a generator of its own, which nothing seeds again."""
    kernel = np.random.default_rng(next(NUMBERS)).normal(size=(16, 1))
    start = keras.initializers.Constant(kernel)
    return compiled(layers.Dropout(0.1, seed=3), kernel_initializer=start)


class Subclassed(keras.Model):
    """Without a configuration, with a layer that draws its own seed."""

    def __init__(self):
        super().__init__()
        self.parts = [layers.RandomCrop(4, 4), layers.Flatten(), layers.Dense(1, "sigmoid")]

    def call(self, x, training=False):
        for part in self.parts:
            x = part(x, training=training) if part is self.parts[0] else part(x)
        return x


def subclassed():
    model = Subclassed()
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


NORMAL = layers.Normalization()
NORMAL.adapt(X)
WORDS = layers.TextVectorization(max_tokens=10, output_sequence_length=2)
WORDS.adapt(["good film", "bad film"])


def standardized():
    return compiled(first=[NORMAL])


def words():
    model = keras.Sequential(
        [
            *(keras.Input((), dtype="string"), WORDS, layers.Embedding(10, 3), layers.Flatten()),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


def texts():
    said = tf.constant(["good film", "bad film"] * 16)
    return (
        tf.data.Dataset.from_tensor_slices((said, tf.constant([1.0, 0.0] * 16)))
        .shuffle(32)
        .batch(8)
    )


def cropped():
    return compiled(first=[layers.RandomCrop(4, 4)])


def shuffled():
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(32).batch(16)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("build", "data"),
    [
        (touched, None),
        (drawn_by_its_own, None),
        (subclassed, None),
        (cropped, None),
        (standardized, None),
        (words, texts),
        (compiled, shuffled),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_sound_factories_are_judged_without_a_word(build, data):
    evidence = judged(build, data)
    assert (evidence.colour, evidence.summary.trials, evidence.start) == ("green", 2, "")


@pytest.mark.integration
@pytest.mark.parametrize("jobs", [None, 1])
def test_a_start_that_is_always_the_same_is_said(jobs):
    evidence = judged(seeds_itself, jobs=jobs)
    assert (evidence.colour, evidence.start) == ("green", SAME_START)


def test_what_shares_nothing_is_new():
    first = compiled()
    assert require_new(first) is first
    require_new(compiled())
    with pytest.raises(InputError, match="returned the same model twice"):
        require_new(first)
    shared = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), first.layers[-1]])
    with pytest.raises(InputError, match=r"share sequential\w*/dense\w*/kernel and so weights"):
        require_new(shared)
    # A layer without any state may stand in as many models as it likes.
    require_new(keras.Sequential([keras.Input((4, 4, 1)), first.layers[0], layers.Dense(1)]))
    # Nor does training change what was adapted beforehand; a moving average it does.
    for _ in range(2):
        require_new(standardized())
        require_new(words())
    averages = layers.BatchNormalization()
    require_new(compiled(first=[averages]))
    with pytest.raises(InputError, match="batch_normalization/"):
        require_new(compiled(first=[averages]))


def test_an_adapted_vocabulary_is_part_of_the_configuration():
    """Of as many words: Keras' own configuration is the same then."""

    def digest(*texts):
        words = layers.TextVectorization(4, output_sequence_length=2, name="words")
        words.adapt(texts)
        entry = keras.Input((), dtype="string", name="texts")
        model = keras.Sequential([entry, words], name="model")
        model.compile(keras.optimizers.SGD(name="sgd"), "mse")
        return hash_configuration(model)

    assert digest("good film", "bad film") == digest("good film", "bad film")
    assert digest("good film", "bad film") != digest("good book", "bad book")


def test_ends_are_of_one_row_and_of_weights_that_changed():
    start, end = [np.arange(3.0), np.zeros(2)], [np.arange(3.0) + 1, np.ones(2)]
    ends = Ends()
    ends.keep(("a", "r"), 5, hash_arrays(start), hash_arrays(end))
    ends.require_left(("a", "r"), hash_arrays(start))  # as the last one began: pretrained
    ends.require_left(("b", "r"), hash_arrays(end))
    ends.require_left(("a", "r"), hash_arrays([np.arange(3.0), np.ones(2)]))  # ones are no training
    with pytest.raises(InputError, match=r"^a: .* where seed 5 ended \(weight 2 of 2 is"):
        ends.require_left(("a", "r"), hash_arrays([np.zeros(2), end[0]]))
