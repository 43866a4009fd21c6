"""A finding: what a check before training, or a trial after it, shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "information"]

Component = Literal["data", "labels", "loss", "output", "optimizer", "architecture", "budget"]
"""What of a training is at fault: what a fix changes."""

EPSILON = 1e-7
"""Where Keras' cross-entropy clips probabilities (`keras.config.epsilon()`)."""

CLIP = -math.log(EPSILON)
"""Loss, in nats, of an example whose target has probability 0 as it is clipped there, and the difference
of two logits beyond which the smaller one's probability is clipped: 16.118."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    - `code`: what it is about, in a word or two.
    - `severity`: an `error` stops training, a `warning` may, `information` does not.
    - `value`: the number found, NaN where there is none.
    - `sentence`: what was measured, with its numbers; no full stop.
    - `component`: what the fix changes.
    - `fix`: the change that repairs it; no full stop.
    """

    code: str
    severity: Severity
    value: float
    sentence: str
    component: Component
    fix: str

    def as_dict(self) -> dict[str, str | float | None]:
        """JSON-ready: a value that is not finite is None."""
        return {**asdict(self), "value": self.value if math.isfinite(self.value) else None}


ADVICE: Mapping[str, tuple[Component, str]] = {
    # of data
    "balance": ("labels", "weigh or sample the classes, and watch another metric than accuracy"),
    "classes apart": (
        "data",
        "shuffle the examples before they are split (validation_split takes the last)",
    ),
    "in order": (
        "data",
        "shuffle the examples before fit splits them: validation_split takes the last ones",
    ),
    "labels": ("labels", "number the classes from 0, or give the model {outputs} outputs"),
    "leak": ("data", "split before shuffling, and keep copies of an example on one side"),
    "not finite in the data": ("data", "remove or replace these values before training"),
    "offset": ("data", "subtract the mean, or let what matters be high and the background 0"),
    "padding": ("data", "pad in front (padding='pre'), or mask the padding (mask_zero=True)"),
    "same inputs": ("data", "look at what prepares them: a cast to whole numbers makes 0 of 0..1"),
    "scale": ("data", "divide the inputs by what they reach (pixels by 255), or standardize them"),
    "scale both": ("data", "standardize inputs and targets, and undo the latter after predicting"),
    "shifted": ("data", "prepare the validation inputs exactly as the training inputs"),
    "target scale": ("data", "standardize the targets, and undo it after predicting"),
    "unrelated labels": ("labels", "check that inputs and targets are in the same order"),
    "weights": ("data", "give every class that is to be learned a weight above 0"),
    # of a model before training
    "averages": (
        "architecture",
        "give batch normalization a momentum of {momentum:.2g} or less, or train for many more steps",
    ),
    "blind": (
        "loss",
        "use the loss that fits the outputs and targets, and give both the same shape",
    ),
    "blind batch": (
        "loss",
        "give targets and outputs the same shape: (n,) and (n, 1) make a table of n x n",
    ),
    "frozen on purpose": ("architecture", "nothing to fix if this is meant"),
    "learning rate": ("optimizer", "give the optimizer a learning rate above 0 (Adam: 0.001)"),
    "logits expected": (
        "output",
        "give the last layer no activation, or the loss from_logits=False",
    ),
    "no layer is trainable": (
        "architecture",
        "set trainable = True on the layers to train, then compile again",
    ),
    "not finite in a weight": (
        "architecture",
        "build the model anew, or load weights that are finite",
    ),
    "one answer": (
        "output",
        "give the last layer another activation (of one unit: sigmoid, or none), or more units",
    ),
    "outputs are no probabilities": (
        "output",
        "end the model in {last}, or give the loss from_logits=True",
    ),
    "effort": ("budget", "nothing to fix: a sound model may show less than a small one"),
    "Keras": ("architecture", "read what Keras says"),
    "random answers": ("architecture", "let dropout, noise and sampling run in training only"),
    "several right": (
        "output",
        "end the model in sigmoid with binary cross-entropy, where several targets may be right or none",
    ),
    "signal ends": (
        "architecture",
        "start biases at 0 and kernels at random (he_normal), and put no narrow ReLU layer there",
    ),
    "softmax axis": (
        "output",
        "let softmax run over the axis of the classes, the last one (axis=-1)",
    ),
    "targets out of reach": (
        "output",
        "give the last layer an activation and as many units as the targets need (numbers: none; "
        "classes: one unit each and softmax), or scale the targets into its range",
    ),
    # of its first steps
    "axis of one": (
        "data",
        "look at the inputs' shape: an axis has length 1 (sequences are (examples, steps, features))",
    ),
    "dead from the start": (
        "architecture",
        "start biases at 0 and kernels with he_normal, or use leaky_relu there",
    ),
    "flat loss": ("loss", "use a loss that grows with the error, and scale the inputs"),
    "label too long": (
        "architecture",
        "give the output more time steps (pool less along them), or leave these labels out",
    ),
    "not finite in the loss": (
        "loss",
        "see what the loss makes of these targets: a logarithm, root or division of 0",
    ),
    "not finite at the start": ("data", "look at the scale of inputs and initial weights"),
    "not finite in a slope": (
        "architecture",
        "keep what {layer} reads off the edge where its slope is not finite (add a small number)",
    ),
    "not finite in the loss' slope": (
        "loss",
        "keep what the loss reads off the edge where its slope is not finite (sqrt at 0, acos at 1): "
        "add a small number, or clip",
    ),
    "rate too high": ("optimizer", "multiply the learning rate by {rate:g}, or clip the gradients"),
    "rate too low": ("optimizer", "multiply the learning rate by {rate:g}"),
    "cannot learn": (
        "architecture",
        "give the hidden layers an activation (relu) and more units, or look at what cuts the model off "
        "from its inputs",
    ),
    "slow": ("optimizer", "raise the learning rate, or see the other findings"),
    "unstable": ("optimizer", "lower the learning rate tenfold, or clip the gradients"),
    "untouched weights": (
        "architecture",
        "initialize kernels at random, and see what cuts these layers off from the loss",
    ),
    "vanishing gradient": (
        "architecture",
        "use relu in the hidden layers, fewer of them, or batch normalization or shortcuts between them",
    ),
    # of examples behind the clip, before training and after it
    "clipped": (
        "output",
        "let the loss see the logits ({name} as the last operation, or from_logits=True), or "
        "scale the inputs to 0..1",
    ),
    # of a trial
    "behind in validation": (
        "data",
        "compare training and validation data: classes, scale and preparation, order before the split, "
        "each label with its row",
    ),
    "constant metric": (
        "architecture",
        "look at where the answers stop to depend on the input: dead units, one unit under softmax",
    ),
    "constant predictions": (
        "data",
        "look at the inputs' scale, the learning rate and the balance of the labels",
    ),
    "costs nothing": (
        "loss",
        "use a loss that fits outputs and targets: this one asks for nothing",
    ),
    "dead units": ("architecture", "lower the learning rate, start biases at 0, or use leaky_relu"),
    "flat": ("output", "look at outputs, loss and data"),
    "flat in validation": ("data", "use more data, regularize, or look at the labels"),
    "frozen": (
        "optimizer",
        "look for a learning rate of zero, layers that are not trainable, or an answer that is always "
        "the same",
    ),
    "frozen by its outputs": (
        "output",
        "look at the last layer: softmax over one unit is always 1, ReLU may be always 0",
    ),
    "lagging inference": (
        "architecture",
        "look at layers that act otherwise in inference: batch normalization's momentum (0.9 or "
        "less for so few steps), dropout",
    ),
    "learned by heart": ("data", "use more data, or regularize"),
    "learning": (
        "budget",
        "change the learning rate, the loss or the data, one at a time: the epochs alone do not tell",
    ),
    "loss against accuracy": (
        "output",
        "look at the last layer: one unit under softmax always answers 1",
    ),
    "negative loss": (
        "loss",
        "use the loss that fits the targets: of ten classes, ten outputs and categorical "
        "cross-entropy; of two, targets 0 and 1",
    ),
    "no gradient": ("output", "let the loss see the logits, or scale the inputs to 0..1"),
    "not finite": ("data", "scale inputs and targets to about 1, or lower the learning rate"),
    "oscillating": ("optimizer", "lower the learning rate, or use larger batches"),
    "overfitted": ("data", "use more data or regularize, and stop at that epoch"),
    "plateau": (
        "data",
        "look at the inputs' offset, scale and padding, at the learning rate, and at how far the signal "
        "reaches",
    ),
    "plateau above": ("optimizer", "lower the learning rate, or scale the inputs down"),
    "rising loss": ("optimizer", "lower the learning rate"),
    "too far": ("data", "scale targets and inputs to about 1: divide them, or standardize"),
    "too few epochs": ("budget", "give it more epochs"),
    "too slow": ("optimizer", "raise the learning rate, threefold at a time"),
    "unrelated by heart": (
        "labels",
        "check that inputs and targets are in the same order, and that the ones tell the others",
    ),
    "unmoved": (
        "loss",
        "look at what outputs and loss can do: whether the answers differ, and shapes agree",
    ),
}
"""What repairs a finding and which component that changes, by its code, or by the case where a code has
several."""


def advise(
    code: str,
    severity: Severity,
    value: float,
    sentence: str,
    case: str | None = None,
    **words: str | float,
) -> Finding:
    """A finding with its advice.

    - `code`, `severity`, `value`, `sentence`: the finding's.
    - `case`: the advice to take from ADVICE, if it is not the code's.
    - `words`: what the advice's {names} stand for.
    """
    component, fix = ADVICE[case or code]
    return Finding(code, severity, value, sentence, component, fix.format(**words))


def percent(share: float) -> str:
    """A share as whole percents, 0 and 100 only where it is exactly that."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


def number(value: float) -> str:
    """A number with three significant digits, as people write it: `0.123`, `14,500`, `1.05e15`."""
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    if 1 <= abs(value) < 1e6:
        return f"{float(text):,.0f}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}"
