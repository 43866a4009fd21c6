"""How a model is compiled, fed and fitted: Keras' own `fit`, fed from tensors in memory.

What watches single batches is TensorFlow's. On another backend a trial is a plain `fit`, fed from arrays
and looked at after each epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import InputError
from ..trials.trial import Target
from .backend import TENSORFLOW, keras, tf
from .data import Array, Data, Examples, Part, Pipelines, map_arrays
from .settings import LOGITS, Training

Pair = tuple[Part, Part]
Batches = tuple[Any, Any]
"""What Keras trains and validates on."""
Kept = dict[str, Any]
"""What was traced for a model, by whoever did it."""

ZERO_GRADIENT_SHARE = "zero_gradient_share"
"""Key in an epoch's logs: the share of training examples whose own loss had an exactly zero gradient
with respect to whatever the loss reads (the model's output, or the logits where Keras finds them), at
the step that trained on them. No parameter receives anything from such an example."""

_VALIDATION_BATCH = 250


class FirstLoss:
    """The loss of a training's first batch before any update, as its own training step computed it."""

    def __init__(self) -> None:
        self._value = tf.Variable(0.0, trainable=False, name="first_loss")
        self._seen = tf.Variable(False, trainable=False, name="first_loss_seen")

    def see(self, loss: tf.Tensor) -> None:
        """Keep the loss of the first batch; of every training step, in its graph."""
        value = tf.reduce_mean(tf.cast(loss, tf.float32))
        self._value.assign(tf.where(self._seen, self._value, value))
        self._seen.assign(True)

    def forget(self) -> None:
        """Wait for the first batch again."""
        self._seen.assign(False)

    @property
    def value(self) -> float | None:
        """None where no batch was seen: a model that trains itself is left alone."""
        return float(self._value.numpy()) if bool(self._seen.numpy()) else None


_SEED_MODULUS = 2**31 - 1
"""TensorFlow takes seeds modulo this, and this in place of a second seed of zero where both are."""


@dataclass
class Prepared:
    """A compiled model ready to fit, with what watches its zero gradients and its first loss (None on
    another backend than TensorFlow), the values its optimizer starts from, and what probes traced."""

    model: keras.Model
    share: keras.Metric | None
    first_loss: FirstLoss | None
    optimizer_start: list[Array]
    kept: Kept = field(default_factory=dict)

    def starts_as(self, fresh: keras.Model) -> bool:
        """Whether `fresh`, the same model newly built, has the very weights and random states that
        this one has."""
        pairs = zip(_variables(self.model), _variables(fresh), strict=True)
        return all(np.array_equal(mine, its) for mine, its in pairs)

    def restart(self, fresh: keras.Model) -> None:
        """Take every weight and random state of `fresh`, the same model newly built, and put the
        optimizer back to its start; the traced training step stays."""
        for mine, its in zip(_variables(self.model), _variables(fresh), strict=True):
            mine.assign(its)
        optimizer = self.model.optimizer
        for variable, value in zip(optimizer.variables, self.optimizer_start, strict=True):
            variable.assign(value)


def prepare(model: keras.Model, training: Training, target: Target, data: Data) -> Prepared:
    """Compile `model`, unless it is compiled already, and watch it."""
    if not model.compiled:
        compile_model(model, training, target, data)
    if not TENSORFLOW:
        return Prepared(model, None, None, [])
    model.steps_per_execution = training.steps_per_execution
    optimizer = model.optimizer
    if optimizer is not None:
        optimizer.build(model.trainable_variables)
    start = [] if optimizer is None else [np.asarray(variable) for variable in optimizer.variables]
    share = keras.metrics.Mean(name=ZERO_GRADIENT_SHARE)
    first_loss = FirstLoss()
    _observe_batches(model, share, first_loss)
    return Prepared(model, share, first_loss, start)


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for layer in model.layers for variable in layer.variables]


def compile_model(model: keras.Model, training: Training, target: Target, data: Data) -> None:
    """Compile `model` with the training's optimizer and loss, and the metrics that the target needs; an
    output named `logits` has its loss taken from logits."""
    loss: str | keras.Loss = training.loss
    if list(getattr(model, "output_names", [])) == [LOGITS]:
        loss = keras.losses.get({"class_name": _class_name(loss), "config": {"from_logits": True}})
    metrics: list[str | Callable[..., Any]] = []
    if "crossentropy" in training.loss or any("accuracy" in name for name in target.names):
        metrics.append("accuracy")
    _, y = data.first
    if getattr(y, "ndim", 0) == 3 and y.shape[1] > 1:
        metrics.append(string_accuracy)
    model.compile(
        optimizer=keras.optimizers.get(
            {"class_name": training.optimizer, "config": dict(training.optimizer_settings)}
        ),
        loss=loss,
        metrics=metrics,
    )


def string_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Share of strings read without a mistake: (batch, n_prediction, n_class) twice in, 0 or 1 an
    example out."""
    ops = keras.ops
    right = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
    return ops.cast(ops.all(right, axis=-1), "float32")


def require_fit(model: keras.Model, training: Training, data: Data) -> None:
    """InputError where the data's shapes do not fit the model's single input and output."""
    for what, model_shape, batch in (
        ("input", getattr(model, "input_shape", None), data.first[0]),
        ("output", getattr(model, "output_shape", None), data.first[1]),
    ):
        if not (
            isinstance(batch, np.ndarray)
            and isinstance(model_shape, tuple)
            and all(isinstance(size, int | None) for size in model_shape)
        ):
            continue  # several inputs or outputs, or not built yet: Keras checks them
        expected, shape = model_shape[1:], batch.shape[1:]
        lacks = what == "input" and len(shape) < len(expected) and expected[-1] == 1
        given = (*shape, 1) if lacks else shape  # Keras adds this axis itself
        if what == "output" and (
            len(shape) < len(expected) or not _compares_outputs(model, training)
        ):
            continue  # labels as class numbers, or whatever a loss of its own reads
        if len(given) != len(expected) or any(
            want not in (None, got) for want, got in zip(expected, given, strict=True)
        ):
            raise InputError(
                f"the model's {what} has shape {expected} and the data's {shape}; they must agree"
            )


def _compares_outputs(model: keras.Model, training: Training) -> bool:
    """Whether the loss is one of Keras' that reads labels of the outputs' shape."""
    loss = model.loss if model.compiled else training.loss
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    if _trains_itself(model) or loss is None or isinstance(loss, dict | list | tuple):
        return False
    kind = loss if hasattr(loss, "__name__") else type(loss)
    return kind.__module__.startswith("keras.") and not any(
        word in kind.__name__.lower() for word in ("sparse", "ctc")
    )


def _trains_itself(model: keras.Model) -> bool:
    return any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in ("train_step", "compute_loss")
    )


def fit(
    prepared: Prepared,
    epochs: int,
    batches: Batches,
    callbacks: Sequence[keras.callbacks.Callback],
    after_execution: Callable[[int, object], None],
    after_epoch: Callable[[int, dict[str, float]], None],
) -> None:
    """Keras' `fit` for at most so many epochs, on what `feed` made.

    `after_execution(index of a batch in its epoch, logs)` follows every `steps_per_execution` batches,
    `after_epoch(epoch, logs)` every epoch; both may set `model.stop_training`. The user's `callbacks`
    are called before them. On another backend than TensorFlow a whole epoch is one execution.
    """
    training_data, validation_data = batches
    share, first_loss = prepared.share, prepared.first_loss
    if share is None or first_loss is None:

        def after_all(epoch: int, logs: dict[str, float]) -> None:
            after_execution(0, logs)
            after_epoch(epoch, logs)

        looking = keras.callbacks.LambdaCallback(on_epoch_end=after_all)
    else:
        first_loss.forget()
        looking = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: share.reset_state(),
            on_train_batch_end=after_execution,
            on_epoch_end=after_epoch,
        )
    prepared.model.fit(
        training_data,
        validation_data=validation_data,
        validation_batch_size=None if TENSORFLOW else _VALIDATION_BATCH,
        epochs=epochs,
        shuffle=False,  # the data set shuffles itself
        verbose=0,
        callbacks=[*callbacks, looking],
    )


def feed(data: Data, batch: int, seed: int) -> Batches:
    """What a trial trains and validates on."""
    if isinstance(data, Pipelines):
        # Whatever building the model drew, the pipeline's own shuffles follow the seed alone.
        keras.utils.set_random_seed(seed)
        made = data.make_train(), data.make_validation()
        return _single_threaded(made[0]), _single_threaded(made[1])
    if not TENSORFLOW:
        return Shuffled(data, batch, seed), (data.x_validation, data.y_validation)
    return _training_batches(data, batch, seed), _validation_batches(data)


class Shuffled(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of arrays for any backend, in another order each epoch, which follows from the seed."""

    def __init__(self, examples: Examples, batch: int, seed: int) -> None:
        super().__init__()
        self._pair = examples.x_train, examples.y_train
        self._batch, self._count = batch, examples.n_train
        self._random = np.random.default_rng(seed)
        self.order = self._random.permutation(self._count)

    def __len__(self) -> int:
        return math.ceil(self._count / self._batch)

    def __getitem__(self, index: int) -> Pair:
        chosen = self.order[index * self._batch : (index + 1) * self._batch]
        x, y = map_arrays(lambda array: array[chosen], self._pair)
        return x, y

    def on_epoch_end(self) -> None:
        """Draw the next order."""
        self.order = self._random.permutation(self._count)


@lru_cache(maxsize=2)
def _tensors(examples: Examples) -> tuple[Pair, Pair]:
    """(x, y) to train on and to validate on, in memory."""
    train, validation = (
        map_arrays(tf.constant, pair)
        for pair in (
            (examples.x_train, examples.y_train),
            (examples.x_validation, examples.y_validation),
        )
    )
    return train, validation


def _training_batches(examples: Examples, batch: int, seed: int) -> tf.data.Dataset:
    count = examples.n_train
    indices = shuffled(tf.data.Dataset.range(count), count, seed).batch(batch)
    return _gathered(_tensors(examples)[0], indices)


def shuffled(numbers: tf.data.Dataset, count: int, seed: int) -> tf.data.Dataset:
    """The data set of int64 scalars as `shuffle(count, seed=seed)` has it after
    `tf.random.set_seed(seed)`, in another order each epoch. Without that call: after it TensorFlow
    starts every traced function anew, which takes a sixth of a short trial."""
    first = seed % _SEED_MODULUS
    return tf.data.experimental.from_variant(
        tf.raw_ops.ShuffleDatasetV3(
            input_dataset=tf.data.experimental.to_variant(numbers),
            buffer_size=count,
            seed=first,
            seed2=first or _SEED_MODULUS,
            seed_generator=tf.raw_ops.DummySeedGenerator(),
            output_types=[tf.int64],
            output_shapes=[[]],
        ),
        numbers.element_spec,
    )


def first_order(examples: Examples, seed: int) -> Array:
    """The places of the training examples in the order in which a trial's first epoch has them."""
    count = examples.n_train
    if not TENSORFLOW:
        return Shuffled(examples, 1, seed).order
    (order,) = shuffled(tf.data.Dataset.range(count), count, seed).batch(count)
    return np.asarray(order)


@lru_cache(maxsize=2)
def _validation_batches(examples: Examples) -> tf.data.Dataset:
    indices = tf.data.Dataset.range(examples.n_validation).batch(_VALIDATION_BATCH)
    return _gathered(_tensors(examples)[1], indices)


def _gathered(tensors: Pair, indices: tf.data.Dataset) -> tf.data.Dataset:
    return _single_threaded(
        indices.map(lambda chosen: map_arrays(lambda tensor: tf.gather(tensor, chosen), tensors))
    )


def _single_threaded(dataset: tf.data.Dataset) -> tf.data.Dataset:
    import tensorflow  # a user's own pipeline, on another backend too

    options = tensorflow.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.deterministic = True
    return dataset.with_options(options)


def _observe_batches(model: keras.Model, share: keras.Metric, first_loss: FirstLoss) -> None:
    """Have the training step report ZERO_GRADIENT_SHARE among its metrics, and keep its first loss.

    It costs one backward pass through the loss alone. Models with a `train_step` or `compute_loss` of
    their own are left as they are.
    """
    if _trains_itself(model):
        return
    compute = model.compute_metrics

    def compute_metrics(
        x: Part, y: Part, y_pred: Part, sample_weight: Part = None
    ) -> dict[str, tf.Tensor]:
        results = compute(x, y, y_pred, sample_weight)
        loss, zero = loss_and_zero_gradient(model, x, y, y_pred, sample_weight, training=True)
        first_loss.see(loss)  # outputs are computed before the update
        if zero is None:
            return dict(results)
        share.update_state(zero)
        return {**results, ZERO_GRADIENT_SHARE: share.result()}

    model.compute_metrics = compute_metrics


def loss_and_zero_gradient(
    model: keras.Model, x: Part, y: Part, y_pred: Part, sample_weight: Part, *, training: bool
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The loss, and float32 (batch,): 1 where the example's has an exactly zero gradient; None where the
    loss does not depend on the outputs at all."""
    read = [tensor for output in tf.nest.flatten(y_pred) for tensor in _read_by_loss(output)]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(read)
        loss = model.compute_loss(x, y, y_pred, sample_weight, training=training)
    gradients = [gradient for gradient in tape.gradient(loss, read) if gradient is not None]
    if not gradients:
        return loss, None
    silent = [
        tf.reduce_all(tf.equal(gradient, 0), axis=list(range(1, gradient.shape.rank)))
        for gradient in gradients
    ]
    return loss, tf.cast(tf.reduce_all(silent, axis=0), tf.float32)


def _read_by_loss(output: tf.Tensor) -> list[tf.Tensor]:
    """The output and, as Keras' cross-entropies look for them, the logits behind it."""
    if hasattr(output, "_keras_logits"):
        return [output, output._keras_logits]
    if hasattr(output, "graph") and output.op.type in ("Softmax", "Sigmoid"):
        return [output, output.op.inputs[0]]
    return [output]


def _class_name(loss: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in loss.split("_"))
