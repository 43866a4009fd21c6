"""The declared table of `make mutants`: harmful changes of a training, and harmless ones.

The harmful ones are operators of mutation testing for deep learning (DeepMutation, 2018; DeepCrime,
2021), and what people do by mistake. The table was declared before anything was trained; those kept
back were looked at last.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from deepcaptcha.keras.data import Data, Examples
from deepcaptcha.networks.recipes import RECIPES, load_digits
from deepcaptcha.trials.trial import Target

from .operators import (
    Model,
    adam,
    another_order,
    batches,
    centred,
    compiled,
    dense_in_halves,
    dropout,
    dropout_left_on,
    first_batches_again,
    first_half,
    first_half_twice,
    from_step,
    half_an_epoch,
    idle,
    in_float64,
    labels_as_bytes,
    late_dropout,
    late_noise,
    late_wrong_labels,
    leaked,
    mirrored,
    multiplied,
    network,
    no_nines,
    noise,
    normal,
    only,
    optimizer_forgets,
    other_validation_order,
    rate,
    sorted_by_class,
    times_reciprocal,
    units_die,
    validated_on_training,
    weights_fuzzed,
    weights_restored,
    wrong_labels,
)

if TYPE_CHECKING:
    from deepcaptcha.keras.source import KerasSource

NETWORK = "same"
FASHION = "build/mutants/fashion.npz"
"""Where `make mutants` puts the images, in the layout that a recipe reads."""

# One epoch of 6,400 digits is what `same` trains in the project's own suite: it reached 0.9 by then in
# 100 of 100 trainings. Two pilot trainings on 6,400 fashion images showed 0.79 and 0.68 after one.
DIGITS = replace(RECIPES["sound-subset"], name="digits", target=Target(0.9, epochs=1))
RECIPE = {
    "digits": DIGITS,
    "fashion": replace(
        DIGITS, name="fashion", data=FASHION, n_train=3200, target=Target(0.5, epochs=1)
    ),
}


@dataclass(frozen=True, eq=False)
class Change:
    """One change of factory, data, optimizer or training loop.

    - `name`: what is changed, for people. `on`: the data set, a key of RECIPE.
    - `build`: makes the model in the place of the network's own factory. `data`: turns the recipe's
      examples into others. `training`: settings that differ. `callbacks`: as for a KerasSource.
    - `environment`: variables of the workers that train it.
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

    def source(self) -> KerasSource:
        """Its trials, which are to run in its environment."""
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


@lru_cache(maxsize=2)
def load_changed(change: Callable[[Examples], Data], **facts: Any) -> Data:
    """A recipe's examples, changed."""
    return change(load_digits(**facts))


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
