"""The declared table of `make mutants`: harmful changes of a training, and harmless ones.

The harmful ones are operators of mutation testing for deep learning (DeepMutation, 2018; DeepCrime,
2021), and what people do by mistake. The table was declared before anything was trained; those kept
back were looked at last.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcaptcha.errors import InputError
from deepcaptcha.keras.data import Data, Examples, read_data
from deepcaptcha.networks.recipes import RECIPES, load_digits
from deepcaptcha.trials.trial import Identity, Target, Trial

if TYPE_CHECKING:
    import keras

    from deepcaptcha.keras.source import KerasSource

NETWORK = "same"
FASHION = "build/mutants/fashion.npz"
"""Where `benchmarks.mutants` puts the images, in the layout that a recipe reads."""

# One epoch of 6,400 digits is what `same` trains in the project's own suite: it reached 0.9 by then in
# 100 of 100 trainings. Two pilot trainings on 6,400 fashion images showed 0.79 and 0.68 after one.
DIGITS = replace(RECIPES["sound-subset"], name="digits", target=Target(0.9, epochs=1))
RECIPE = {
    "digits": DIGITS,
    "fashion": replace(
        DIGITS, name="fashion", data=FASHION, n_train=3200, target=Target(0.5, epochs=1)
    ),
}

Model = Any  # a keras.Model, which is not imported here
Number = np.ndarray


@dataclass(frozen=True, eq=False)
class Change:
    """One change of factory, data, optimizer or training loop.

    - `name`: what is changed, for people. `on`: the data set, a key of RECIPE.
    - `build`: makes the model in the place of the network's own factory. `data`: turns the recipe's
      examples into others. `training`: settings that differ. `callbacks`: as for a KerasSource.
    - `environment`: variables of a process of its own.
    - `late`: it acts after step 50 alone. `kept_back`: looked at after all others.
    - `harmless`: nobody would want to be told. `bits`: it is expected to change them.
    """

    name: str
    build: Callable[[], Model] | None = None
    data: Callable[[Examples], Data] | None = None
    training: Mapping[str, object] = field(default_factory=dict)
    callbacks: Callable[[], Sequence[Any]] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    on: str = "digits"
    late: bool = False
    kept_back: bool = False
    harmless: bool = False
    bits: bool = True

    @cached_property
    def key(self) -> str:
        """Its name with a digest of its own code: a change that was edited is trained anew."""
        parts = [_text(part) for part in (self.build, self.data, self.callbacks)]
        text = repr((parts, sorted(self.training.items()), sorted(self.environment.items())))
        return f"{self.name} {hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def source(self) -> KerasSource | InEnvironment:
        """Its trials."""
        return InEnvironment(self) if self.environment else self.keras_source()

    def keras_source(self) -> KerasSource:
        """Its trials in whatever environment."""
        recipe = RECIPE[self.on]
        source = replace(recipe.source(NETWORK), name=self.key, callbacks=self.callbacks)
        if self.build is not None:
            source = replace(source, build=self.build, arguments={})
        if self.data is not None:
            source = replace(source, data=partial(load_changed, self.data))
        return replace(source, training=replace(recipe.training, **self.training))


def _text(part: object) -> str:
    if isinstance(part, partial):
        named = [(name, _text(value)) for name, value in sorted(part.keywords.items())]
        return repr(([_text(each) for each in (part.func, *part.args)], named))
    if not inspect.isfunction(part):
        return repr(part)
    return ast.dump(ast.parse(inspect.getsource(part)))  # whatever its comments and layout


@dataclass(frozen=True)
class InEnvironment:
    """Trials of a change in a process whose environment differs, which is fresh."""

    change: Change

    @property
    def name(self) -> str:
        return self.change.key

    @property
    def recipe(self) -> str:
        return RECIPE[self.change.on].name

    @property
    def target(self) -> Target:
        return RECIPE[self.change.on].target

    def identity(self, seed: int) -> Identity:
        return self._told(self._source().identity(seed))

    def run(self, seed: int, *, steps: int | None = None) -> Trial:
        trial = self._source().run(seed, steps=steps)
        return replace(trial, identity=self._told(trial.identity))

    def _told(self, identity: Identity) -> Identity:
        return {**identity, "environment": {**identity["environment"], **self.change.environment}}

    def _source(self) -> KerasSource:
        from deepcaptcha.keras import environment

        if "tensorflow" in sys.modules and not environment.is_left_alone():
            raise InputError("TensorFlow has its settings already; a fresh process is needed")
        environment.leave_alone()
        os.environ.update(self.change.environment)
        return replace(self.change.keras_source(), _any_threads=True)


@lru_cache(maxsize=2)
def load_changed(change: Callable[[Examples], Data], **facts: Any) -> Data:
    """A recipe's examples, changed."""
    return change(load_digits(**facts))


# The data


def wrong_labels(share: float, given: Examples) -> Examples:
    random, y = np.random.default_rng(0), given.y_train.copy()
    (rows,) = np.nonzero(random.random(len(y)) < share)
    others = (y[rows, 0].argmax(axis=-1) + random.integers(1, 10, len(rows))) % 10
    y[rows, 0] = np.eye(10, dtype=y.dtype)[others]
    return replace(given, y_train=y)


def only(rows: Callable[[Number], Number], given: Examples) -> Examples:
    """Only the training rows that `rows` chooses by their labels."""
    chosen = rows(given.y_train[:, 0].argmax(axis=-1))
    return replace(given, x_train=given.x_train[chosen], y_train=given.y_train[chosen])


def first_half(labels: Number) -> Number:
    return np.arange(len(labels) // 2)


def no_nines(labels: Number) -> Number:
    return np.flatnonzero(labels != 9)


def first_half_twice(labels: Number) -> Number:
    return np.tile(np.arange(len(labels) // 2), 2)


def another_order(labels: Number) -> Number:
    return np.random.default_rng(0).permutation(len(labels))


def noise(given: Examples) -> Examples:
    random = np.random.default_rng(0)
    added = random.normal(0, 0.3, given.x_train.shape).astype(np.float32)
    return replace(given, x_train=given.x_train + added)


def mirrored(given: Examples) -> Examples:
    x = given.x_train.copy()
    x[::2] = x[::2, :, ::-1]
    return replace(given, x_train=x)


def multiplied(train: float, validation: float, given: Examples) -> Examples:
    x, other = given.x_train * np.float32(train), given.x_validation * np.float32(validation)
    return replace(given, x_train=x, x_validation=other)


def centred(given: Examples) -> Examples:
    """The training pixels standardized, those that validate forgotten."""
    return replace(given, x_train=(given.x_train - given.x_train.mean()) / given.x_train.std())


def leaked(given: Examples) -> Examples:
    x, y, count = given.x_train.copy(), given.y_train.copy(), given.n_validation
    x[:count], y[:count] = given.x_validation, given.y_validation
    return replace(given, x_train=x, y_train=y)


def validated_on_training(given: Examples) -> Examples:
    count = given.n_validation
    return replace(given, x_validation=given.x_train[:count], y_validation=given.y_train[:count])


def other_validation_order(given: Examples) -> Examples:
    x, y = given.x_validation[::-1].copy(), given.y_validation[::-1].copy()
    return replace(given, x_validation=x, y_validation=y)


def in_float64(given: Examples) -> Data:
    train, validation = (given.x_train, given.y_train), (given.x_validation, given.y_validation)
    wide = [tuple(part.astype(np.float64) for part in pair) for pair in (train, validation)]
    return read_data(*wide)


def labels_as_bytes(given: Examples) -> Examples:
    y, other = given.y_train.astype(np.uint8), given.y_validation.astype(np.uint8)
    return replace(given, y_train=y, y_validation=other)


def times_reciprocal(given: Examples) -> Examples:
    """0..255 divided by 255, and multiplied by its reciprocal, differ in the last bit."""
    x, other = (np.rint(part * 255) for part in (given.x_train, given.x_validation))
    return multiplied(1 / 255, 1 / 255, replace(given, x_train=x, x_validation=other))


def batches(change: Callable[..., Any] | None, given: Examples, *, shuffled: bool = True) -> Data:
    """A pipeline of the user's own, with `change(batches)` at its end."""
    import tensorflow as tf

    def train() -> Any:
        made = tf.data.Dataset.from_tensor_slices((given.x_train, given.y_train))
        made = (made.shuffle(given.n_train) if shuffled else made).batch(32)
        return made if change is None else change(made)

    def validation() -> Any:
        pair = (given.x_validation, given.y_validation)
        return tf.data.Dataset.from_tensor_slices(pair).batch(250)

    return read_data(train, validation)


def sorted_by_class(given: Examples) -> Data:
    order = np.argsort(given.y_train[:, 0].argmax(axis=-1), kind="stable")
    ordered = replace(given, x_train=given.x_train[order], y_train=given.y_train[order])
    return batches(None, ordered, shuffled=False)


def late_wrong_labels(made: Any) -> Any:
    """From step 51 on, the first six labels of a batch of 32 are those of the row before."""
    import tensorflow as tf

    def change(step: Any, pair: Any) -> Any:
        x, y = pair
        rolled = tf.concat([tf.roll(y[:6], 1, 0), y[6:]], 0)
        return x, tf.where(step >= 50, rolled, y)

    return made.enumerate().map(change)


def late_noise(made: Any) -> Any:
    import tensorflow as tf

    def change(step: Any, pair: Any) -> Any:
        x, y = pair
        added = 0.5 * tf.random.stateless_normal(tf.shape(x), [0, step])
        return tf.where(step >= 50, x + added, x), y

    return made.enumerate().map(change)


def first_batches_again(made: Any) -> Any:
    return made.take(50).cache().repeat(4)


def half_an_epoch(made: Any) -> Any:
    return made.take(100)


# The model


def network(
    *,
    activation: str | None = "relu",
    filters: tuple[int, ...] = (32, 48, 64),
    units: int = 512,
    pooling: str = "MaxPooling2D",
    own_activations: bool = False,
    pool_first: bool = False,
    normalized: bool = False,
    frozen: int = 0,
    prefix: str = "",
    scaled: bool = False,
    before_output: Callable[[Any], Any] | None = None,
    dense: Callable[..., Any] | None = None,
    logits: bool = False,
    unused: bool = False,
    draws: int = 0,
    **options: Any,
) -> keras.Model:
    """The NETWORK, where nothing else is asked for; `options` go to every layer with weights."""
    import random

    from deepcaptcha.keras.backend import keras

    layers = keras.layers
    for _ in range(draws):
        random.random()  # Keras' initializers take their seeds from there
    inner = None if own_activations or pool_first else activation
    x = inputs = keras.Input((28, 28, 1), name=f"{prefix}image")
    if scaled:
        x = layers.Rescaling(1 / 255)(x)
    for number, count in enumerate(filters, start=1):
        named = {"name": f"{prefix}conv{number}", "trainable": number > frozen}
        x = layers.Conv2D(count, 3, padding="same", activation=inner, **named, **options)(x)
        if normalized:
            x = layers.BatchNormalization(momentum=0.99)(x)
        if own_activations:
            x = layers.Activation(activation)(x)
        x = getattr(layers, pooling)(2, name=f"{prefix}pool{number}")(x)
        if pool_first:
            x = layers.Activation(activation)(x)
    x = layers.Flatten(name=f"{prefix}flatten")(x)
    if unused:
        x = layers.Add()([x, 0.0 * layers.Dense(1, name="unused")(x)])
    make = layers.Dense if dense is None else dense()
    inner = None if own_activations else activation
    x = make(units, activation=inner, name=f"{prefix}dense1", **options)(x)
    if own_activations:
        x = layers.Activation(activation)(x)
    if before_output is not None:
        x = before_output(x)
    last = None if logits else "softmax"
    x = layers.Dense(10, activation=last, name=f"{prefix}probabilities", **options)(x)
    return keras.Model(inputs, layers.Reshape((1, 10), name="logits" if logits else "output")(x))


def dropout(rate: float, x: Any) -> Any:
    from deepcaptcha.keras.backend import keras

    return keras.layers.Dropout(rate)(x)


def dropout_left_on(rate: float, x: Any) -> Any:
    from deepcaptcha.keras.backend import keras

    class LeftOn(keras.layers.Dropout):
        def call(self, inputs: Any, training: bool = False) -> Any:
            return super().call(inputs, training=True)

    return LeftOn(rate)(x)


def late_dropout(rate: float, x: Any) -> Any:
    """From step 51 on."""
    from deepcaptcha.keras.backend import keras

    class Late(keras.layers.Dropout):
        def build(self, shape: Any) -> None:
            self.step = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if not training:
                return inputs
            self.step.assign_add(1.0)
            return keras.ops.where(self.step > 50, super().call(inputs, training=True), inputs)

    return Late(rate)(x)


def dense_in_halves() -> Any:
    """A dense layer that adds up its inputs in two halves: the same sum, rounded otherwise."""
    from deepcaptcha.keras.backend import keras

    class Halves(keras.layers.Dense):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            middle, kernel = inputs.shape[-1] // 2, self.kernel
            first = keras.ops.matmul(inputs[:, :middle], kernel[:middle])
            second = keras.ops.matmul(inputs[:, middle:], kernel[middle:])
            return self.activation(first + second + self.bias)

    return Halves


def normal(deviation: float) -> Any:
    from deepcaptcha.keras.backend import keras

    return network(kernel_initializer=keras.initializers.RandomNormal(stddev=deviation))


# Optimizer and loss


def compiled(
    optimizer: str = "Adam", loss: str = "", metrics: tuple[str, ...] = (), **how: Any
) -> Any:
    """The network, compiled by its factory; `how` names what is not usual of optimizer and loss."""
    from deepcaptcha.keras.backend import keras

    model = network()
    of_loss = {name: how.pop(name) for name in ("label_smoothing", "from_logits") if name in how}
    rate = how.pop("learning_rate", 1e-3)
    if not isinstance(rate, float):
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(*rate)
    model.compile(
        optimizer=getattr(keras.optimizers, optimizer)(rate, **how),
        loss=getattr(keras.losses, loss or "CategoricalCrossentropy")(**of_loss),
        metrics=["accuracy", *metrics],
    )
    return model


# The training loop: callbacks, which hear of every 50th batch


def _after(act: Callable[[Any, int], None]) -> list[Any]:
    """A callback that acts on the model after steps 50, 100, ... of an epoch."""
    from deepcaptcha.keras.backend import keras

    class After(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            act(self.model, batch + 1)

    return [After()]


def idle() -> list[Any]:
    return _after(lambda model, step: None)


def optimizer_forgets() -> list[Any]:
    """Its moments are zero again every 50 steps, as after a resumed training without its state."""

    def act(model: Model, step: int) -> None:
        for variable in model.optimizer.variables:
            if "momentum" in variable.path or "velocity" in variable.path:
                variable.assign(np.zeros(variable.shape, np.float32))

    return _after(act)


def weights_restored() -> list[Any]:
    """After step 100 the weights are those of step 50 again."""
    kept = []

    def act(model: Model, step: int) -> None:
        if step == 50:
            kept[:] = model.get_weights()
        if step == 100:
            model.set_weights(kept)

    return _after(act)


def units_die() -> list[Any]:
    """After step 150 half of the dense layer's units are dead: a ReLU of zero learns nothing."""

    def act(model: Model, step: int) -> None:
        if step == 150:
            layer = model.get_layer("dense1")
            kernel, bias = layer.get_weights()
            kernel[:, ::2], bias[::2] = 0, -1
            layer.set_weights([kernel, bias])

    return _after(act)


def weights_fuzzed() -> list[Any]:
    """After step 150 noise of a tenth of their standard deviation is added to all weights."""

    def act(model: Model, step: int) -> None:
        if step == 150:
            random = np.random.default_rng(0)
            old = model.get_weights()
            model.set_weights([w + 0.1 * w.std() * random.normal(size=w.shape) for w in old])

    return _after(act)


def rate(value: float) -> dict[str, object]:
    """The training's settings with that learning rate."""
    return {"optimizer_settings": {"learning_rate": value}}


def adam(**settings: float) -> dict[str, object]:
    """Adam's other settings."""
    return {"optimizer_settings": {"learning_rate": 0.001, **settings}}


def from_step(step: int, factor: float) -> Callable[[], Model]:
    """The learning rate times a factor, after so many steps."""
    return partial(compiled, learning_rate=((step,), (1e-3, factor * 1e-3)))


LEFT_ON = partial(network, before_output=partial(dropout_left_on, 0.8))
UNSCALED = partial(multiplied, 1, 255)

HARMFUL = (
    # Of the data
    Change("10 % of the training labels wrong", data=partial(wrong_labels, 0.1)),
    Change("3 % of the training labels wrong", data=partial(wrong_labels, 0.03), kept_back=True),
    Change("half of the training rows missing", data=partial(only, first_half)),
    Change("no nines to train on", data=partial(only, no_nines)),
    Change("half of the rows twice", data=partial(only, first_half_twice)),
    Change("noise of 0.3 on training pixels", data=noise),
    Change("half of the training digits mirrored", data=mirrored, kept_back=True),
    Change("validation pixels not scaled", data=UNSCALED),
    Change("no pixels scaled", data=partial(multiplied, 255, 255)),
    Change("only training pixels standardized", data=centred),
    Change("validation rows among the training ones", data=leaked),
    Change("validated on training rows", data=validated_on_training),
    Change("sorted by class, not shuffled", data=sorted_by_class),
    # Of optimizer and loss
    Change("learning rate x 3", training=rate(0.003)),
    Change("learning rate x 1.5", training=rate(0.0015), kept_back=True),
    Change("learning rate / 3", training=rate(0.001 / 3)),
    Change("batches of 128", training={"batch": 128}),
    Change("batches of 64", training={"batch": 64}, kept_back=True),
    Change("SGD 0.01 for Adam", training={"optimizer": "SGD", **rate(0.01)}),
    Change("Adam without momentum", training=adam(beta_1=0.0)),
    Change("Adam's epsilon 0.01", training=adam(epsilon=0.01)),
    Change("gradients clipped to norm 0.1", training=adam(clipnorm=0.1)),
    Change("decoupled weight decay 0.3", training=adam(weight_decay=0.3)),
    Change("mean squared error for cross-entropy", training={"loss": "mean_squared_error"}),
    Change("label smoothing 0.1", partial(compiled, label_smoothing=0.1)),
    Change("probabilities taken for logits", partial(compiled, from_logits=True)),
    # Of the model
    Change("no activation anywhere", partial(network, activation=None)),
    Change("sigmoid for ReLU", partial(network, activation="sigmoid")),
    Change("first convolution frozen", partial(network, frozen=1)),
    Change("third convolution left out", partial(network, filters=(32, 48))),
    Change("64 units for 512", partial(network, units=64), kept_back=True),
    Change("average pooling for max", partial(network, pooling="AveragePooling2D")),
    Change("no biases", partial(network, use_bias=False)),
    Change("initial weights normal, 0.3", partial(normal, 0.3)),
    Change("batch normalization, momentum 0.99", partial(network, normalized=True)),
    Change("dropout 0.8 left on at inference", LEFT_ON),
    Change("dropout 0.3", partial(network, before_output=partial(dropout, 0.3)), kept_back=True),
    # After step 50
    Change("learning rate x 10 from step 51", from_step(50, 10), late=True),
    Change("learning rate / 10 from step 51", from_step(50, 0.1), late=True),
    Change("nothing learned from step 101", from_step(100, 0), late=True),
    Change(
        "19 % of the labels wrong from step 51", data=partial(batches, late_wrong_labels), late=True
    ),
    Change("noise of 0.5 on pixels from step 51", data=partial(batches, late_noise), late=True),
    Change("the first 50 batches again", data=partial(batches, first_batches_again), late=True),
    Change("an epoch ends after 100 steps", data=partial(batches, half_an_epoch), late=True),
    Change(
        "dropout 0.5 from step 51",
        partial(network, before_output=partial(late_dropout, 0.5)),
        late=True,
    ),
    Change("optimizer forgets every 50 steps", callbacks=optimizer_forgets, late=True),
    Change("half of the dense units dead at step 150", callbacks=units_die, late=True),
    Change(
        "weights of step 50 again at step 100",
        callbacks=weights_restored,
        late=True,
        kept_back=True,
    ),
    Change("weights fuzzed at step 150", callbacks=weights_fuzzed, late=True, kept_back=True),
)

_ON_FASHION = {
    "10 % of the training labels wrong": False,
    "validation pixels not scaled": False,
    "validation rows among the training ones": False,
    "learning rate x 3": False,
    "learning rate / 3": True,
    "no activation anywhere": False,
    "first convolution frozen": False,
    "dropout 0.8 left on at inference": True,
    "learning rate / 10 from step 51": False,
    "optimizer forgets every 50 steps": True,
}
"""Those tried on the second data set, and whether they are kept back there."""

FASHIONABLE = tuple(
    replace(change, on="fashion", kept_back=_ON_FASHION[change.name])
    for change in HARMFUL
    if change.name in _ON_FASHION
)

_NO_BITS = (
    Change("layers renamed", partial(network, prefix="my_")),
    Change("an optimizer object for its name", partial(compiled)),
    Change("float64 inputs", data=in_float64),
    Change("labels as bytes", data=labels_as_bytes),
    Change("25 steps an execution", training={"steps_per_execution": 25}),
    Change("pooling before the ReLU", partial(network, pool_first=True)),
    Change("activations as layers", partial(network, own_activations=True)),
    Change("a callback that does nothing", callbacks=idle),
    Change("another metric logged", partial(compiled, metrics=("mean_squared_error",))),
    Change("AMSGrad named and off", training=adam(amsgrad=False)),
)

ARITHMETICS = (
    Change("oneDNN off", environment={"TF_ENABLE_ONEDNN_OPTS": "0"}),
    Change("two threads", environment={"TF_NUM_INTRAOP_THREADS": "2"}),
    Change("a dense layer summed in halves", partial(network, dense=dense_in_halves)),
    Change("pixels times 1/255", data=times_reciprocal),
)
"""Harmless changes of nothing but rounding: what they do to the recorded seeds is the ruler."""

_BITS = (
    *ARITHMETICS,
    Change("other initial draws", partial(network, draws=1)),
    Change("training rows in another order", data=partial(only, another_order)),
    Change("shuffled by a tf.data pipeline", data=partial(batches, None)),
    Change("validation rows in another order", data=other_validation_order),
    Change("an unused layer", partial(network, unused=True)),
    Change(
        "pixels scaled by the model", partial(network, scaled=True), partial(multiplied, 255, 255)
    ),
    Change("the loss taken from logits", partial(network, logits=True)),
    Change("Adam's epsilon 1e-8", training=adam(epsilon=1e-8)),
)

HARMLESS = tuple(
    replace(change, harmless=True, bits=bits)
    for changes, bits in ((_BITS, True), (_NO_BITS, False))
    for change in changes
)

CHANGES = (*HARMFUL, *FASHIONABLE, *HARMLESS)
