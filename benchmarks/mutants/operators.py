"""How a training is changed, by one thing each: its data, its model, optimizer and loss, its loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcaptcha.keras.data import Data, Examples, read_data

if TYPE_CHECKING:
    import keras

Model = Any  # a keras.Model, which is not imported here
Number = np.ndarray

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
