"""The opaque twin of a model: the same weights and computations, and no name that tells what they are.

What a check finds from numbers, it finds in the twin as well.
"""

import inspect
import random

from deepcaptcha.keras.backend import keras, tf


def opaque(model):
    """The twin of a compiled and built model, functional or Sequential. Every layer is behind a class of
    its own, which shows variables and nothing else: no activation, no configuration, no layer inside it
    (a nested model is one layer). Layers, variables and losses have meaningless names.

    A model that trains by a train_step of its own, or is no graph of layers, comes back as it is; and
    operations between layers, such as a product, stay what they are.

    The twin trains the very variables of the model, and renames them: use one of the two. Inputs
    keep their names, and so do the layers of several outputs: data and losses may be given by them.
    """
    own_step = type(model).train_step is not keras.Model.train_step
    if own_step or not _is_graph(model):
        return model
    words = _words()
    kept = model.output_names if len(model.outputs) > 1 else ()

    def hide(operation):
        if not isinstance(operation, keras.layers.Layer):
            return operation
        name = operation.name if operation.name in kept else next(words)
        return _hidden_layer(operation, name, words)

    if isinstance(model, keras.Sequential):
        ends = model.inputs[0], model.outputs[0]
    else:
        ends = model.input, model.output
    graph = keras.Model(*ends, name=next(words))
    twin = keras.models.clone_model(graph, clone_function=hide)
    settings = model._compile_config.config  # as they were given to `compile`
    optimizer = model.optimizer
    twin.compile(
        optimizer=type(optimizer).from_config(optimizer.get_config()),
        loss=tf.nest.map_structure(lambda loss: _hidden_loss(loss, words), model.loss),
        loss_weights=settings["loss_weights"],
        metrics=settings["metrics"],
        weighted_metrics=settings["weighted_metrics"],
        run_eagerly=model.run_eagerly,
        steps_per_execution=model.steps_per_execution,
        jit_compile=model.jit_compile,
    )
    return twin


def _is_graph(model):
    """Whether it is made of layers between inputs and outputs that are known."""
    return isinstance(model, keras.Sequential) or type(model) in (keras.Model, _FUNCTIONAL)


_FUNCTIONAL = type(keras.Model(*[keras.Input((1,))] * 2))


def _words():
    """Words without a meaning, the same ones for every model."""
    draw = random.Random(0)
    while True:
        yield "".join(draw.choices("bcdfghjklmnpqrstvwxz", k=8))


def _hidden_layer(inner, name, words):
    """A layer that does what `inner` does, and has its variables. Nothing leads from it to `inner`: only
    its methods know it."""

    def __init__(self):  # noqa: N807 - a method of the class below
        keras.layers.Layer.__init__(self, name=name, dtype=inner.dtype_policy)
        self.autocast = inner.autocast
        self.supports_masking = inner.supports_masking
        self.activity_regularizer = inner.activity_regularizer
        seeds = [seed for layer in inner._flatten_layers() for seed in layer._seed_generators]
        for shown in (*inner.weights, *seeds):
            setattr(self, next(words), shown)
        for variable in inner.variables:
            variable._name = variable._path = next(words)
        self.trainable = inner.trainable
        self.built = True

    def call(self, *arguments, **named):
        return inner.call(*arguments, **named)

    def compute_mask(self, *arguments, **named):
        return inner.compute_mask(*arguments, **named)

    # Keras reads from it whether to pass `training` and masks.
    call.__signature__ = inspect.signature(type(inner).call)
    methods = {each.__name__: each for each in (__init__, call, compute_mask)}
    return type(next(words).capitalize(), (keras.layers.Layer,), methods)()


def _hidden_loss(loss, words):
    """What computes the same numbers: a function of one's own, or a class."""
    if loss is None:
        return None
    inner, word = keras.losses.get(loss), next(words)
    if not isinstance(inner, keras.losses.Loss):

        def function(targets, outputs):
            return inner(targets, outputs)

        function.__name__ = function.__qualname__ = word
        return function

    def call(self, targets, outputs):
        return inner.call(targets, outputs)

    hidden = type(word.capitalize(), (keras.losses.Loss,), {"call": call})
    return hidden(name=word, reduction=inner.reduction, dtype=inner.dtype)
