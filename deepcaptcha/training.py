"""How a model is compiled, fed and fitted: Keras' own `fit`, fed from tensors in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import environment
from .architecture import LOGITS
from .errors import InputError
from .recipe import Examples, Recipe

if TYPE_CHECKING:
    import keras

ZERO_GRADIENT_SHARE = "zero_gradient_share"
"""Key in an epoch's logs: the share of training examples whose own loss had an exactly zero gradient
with respect to whatever the loss reads (the model's output, or the logits where Keras finds them), at
the step that trained on them. No parameter receives anything from such an example."""

_VALIDATION_BATCH = 250


@dataclass
class Prepared:
    """A compiled model ready to fit, with the metric that watches its zero gradients, the values its
    optimizer starts from, and what probes traced for it."""

    model: keras.Model
    share: Any
    optimizer_start: list[Any]
    kept: dict[str, Any] = field(default_factory=dict)

    def restart(self, fresh: keras.Model) -> None:
        """Take every weight and random state of `fresh`, the same model newly built, and put the
        optimizer back to its start; the traced training step stays."""
        for mine, its in zip(_variables(self.model), _variables(fresh), strict=True):
            mine.assign(its)
        optimizer = self.model.optimizer
        for variable, value in zip(optimizer.variables, self.optimizer_start, strict=True):
            variable.assign(value)


def prepare(model: keras.Model, recipe: Recipe, examples: Examples) -> Prepared:
    """Compile `model` as the recipe says, unless it is compiled already, and watch it."""
    keras = environment.load_keras()
    if not model.compiled:
        compile_model(model, recipe, examples)
    model.steps_per_execution = recipe.steps_per_execution
    optimizer = model.optimizer
    if optimizer is not None:
        optimizer.build(model.trainable_variables)
    start = [] if optimizer is None else [np.asarray(variable) for variable in optimizer.variables]
    share = keras.metrics.Mean(name=ZERO_GRADIENT_SHARE)
    _observe_zero_gradients(model, share)
    return Prepared(model, share, start)


def _variables(model: keras.Model) -> list[Any]:
    return [variable for layer in model.layers for variable in layer.variables]


def compile_model(model: keras.Model, recipe: Recipe, examples: Examples) -> None:
    """Compile `model` as the recipe says; an output named `logits` has its loss taken from logits."""
    keras = environment.load_keras()
    loss: Any = recipe.loss
    if list(getattr(model, "output_names", [])) == [LOGITS]:
        loss = keras.losses.get({"class_name": _class_name(loss), "config": {"from_logits": True}})
    metrics: list[Any] = ["accuracy"]
    if examples.y_train.ndim == 3 and examples.y_train.shape[1] > 1:
        metrics.append(string_accuracy)
    model.compile(
        optimizer=keras.optimizers.get(
            {"class_name": recipe.optimizer, "config": dict(recipe.optimizer_settings)}
        ),
        loss=loss,
        metrics=metrics,
    )


def string_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Share of strings read without a mistake: (batch, n_prediction, n_class) twice in, 0 or 1 an
    example out."""
    tf = environment.load_tensorflow()
    right = tf.equal(tf.argmax(y_true, axis=-1), tf.argmax(y_pred, axis=-1))
    return tf.cast(tf.reduce_all(right, axis=-1), tf.float32)


def require_fit(model: keras.Model, examples: Examples) -> None:
    """InputError where the examples' shapes do not fit the model's single input and output."""
    for what, model_shape, shape in (
        ("input", getattr(model, "input_shape", None), examples.x_train.shape[1:]),
        ("output", getattr(model, "output_shape", None), examples.y_train.shape[1:]),
    ):
        if not isinstance(model_shape, tuple) or not all(
            isinstance(size, int | None) for size in model_shape
        ):
            continue  # several inputs or outputs, or not built yet: Keras checks them
        expected = model_shape[1:]
        if what == "output" and len(shape) < len(expected):
            continue  # labels as class numbers
        if len(shape) != len(expected) or any(
            want not in (None, got) for want, got in zip(expected, shape, strict=True)
        ):
            raise InputError(
                f"the model's {what} has shape {expected} and the data's {shape}; they must agree"
            )


def fit(
    prepared: Prepared,
    recipe: Recipe,
    examples: Examples,
    seed: int,
    after_execution: Callable[[int, Any], None],
    after_epoch: Callable[[int, dict[str, float]], None],
) -> None:
    """Keras' `fit` for at most `recipe.epochs` epochs.

    `after_execution(index of the last batch in its epoch, logs)` follows every
    `steps_per_execution` batches, `after_epoch(epoch, logs)` every epoch; both may set
    `model.stop_training`.
    """
    keras = environment.load_keras()
    prepared.model.fit(
        _training_batches(examples, recipe.batch, seed),
        validation_data=_validation_batches(examples),
        epochs=recipe.epochs,
        shuffle=False,  # the data set shuffles itself
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: prepared.share.reset_state(),
                on_train_batch_end=after_execution,
                on_epoch_end=after_epoch,
            )
        ],
    )


@lru_cache(maxsize=2)
def _tensors(examples: Examples) -> tuple[Any, Any, Any, Any]:
    tf = environment.load_tensorflow()
    return (
        tf.constant(examples.x_train),
        tf.constant(examples.y_train),
        tf.constant(examples.x_validation),
        tf.constant(examples.y_validation),
    )


def _training_batches(examples: Examples, batch: int, seed: int) -> Any:
    tf = environment.load_tensorflow()
    x, y, _, _ = _tensors(examples)
    count = len(examples.x_train)
    indices = tf.data.Dataset.range(count).shuffle(count, seed=seed).batch(batch)
    return _single_threaded(
        indices.map(lambda chosen: (tf.gather(x, chosen), tf.gather(y, chosen)))
    )


@lru_cache(maxsize=2)
def _validation_batches(examples: Examples) -> Any:
    tf = environment.load_tensorflow()
    _, _, x, y = _tensors(examples)
    indices = tf.data.Dataset.range(len(examples.x_validation)).batch(_VALIDATION_BATCH)
    return _single_threaded(
        indices.map(lambda chosen: (tf.gather(x, chosen), tf.gather(y, chosen)))
    )


def _single_threaded(dataset: Any) -> Any:
    tf = environment.load_tensorflow()
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    return dataset.with_options(options)


def _observe_zero_gradients(model: keras.Model, share: Any) -> None:
    """Have the training step report ZERO_GRADIENT_SHARE among its metrics.

    It costs one backward pass through the loss alone. Models that override `train_step` are left as
    they are.
    """
    keras = environment.load_keras()
    if type(model).train_step is not keras.Model.train_step:
        return
    compute = model.compute_metrics

    def compute_metrics(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        results = compute(x, y, y_pred, sample_weight)
        zero = zero_gradient(model, x, y, y_pred, sample_weight)
        if zero is None:
            return dict(results)
        share.update_state(zero)
        return {**results, ZERO_GRADIENT_SHARE: share.result()}

    model.compute_metrics = compute_metrics


def zero_gradient(
    model: keras.Model, x: Any, y: Any, y_pred: Any, sample_weight: Any, *, training: bool = True
) -> Any:
    """float32 (batch,): 1 where the example's loss has an exactly zero gradient; None where the loss
    does not depend on the outputs at all."""
    tf = environment.load_tensorflow()
    read = [tensor for output in tf.nest.flatten(y_pred) for tensor in _read_by_loss(output)]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(read)
        loss = model.compute_loss(x, y, y_pred, sample_weight, training=training)
    gradients = [gradient for gradient in tape.gradient(loss, read) if gradient is not None]
    if not gradients:
        return None
    silent = [
        tf.reduce_all(tf.equal(gradient, 0), axis=list(range(1, gradient.shape.rank)))
        for gradient in gradients
    ]
    return tf.cast(tf.reduce_all(silent, axis=0), tf.float32)


def _read_by_loss(output: Any) -> list[Any]:
    """The output and, as Keras' cross-entropies look for them, the logits behind it."""
    if hasattr(output, "_keras_logits"):
        return [output, output._keras_logits]
    if hasattr(output, "graph") and output.op.type in ("Softmax", "Sigmoid"):
        return [output, output.op.inputs[0]]
    return [output]


def _class_name(loss: str) -> str:
    return "".join(part.capitalize() for part in loss.split("_"))
