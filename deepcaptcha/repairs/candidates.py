"""The candidate changes: which are offered for a model and its data, in what order, as code to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import InputError, error_words
from ..finding import Component, Finding
from . import offers
from .case import Case
from .changes import Change
from .offers import Offer


@dataclass(frozen=True)
class Candidate:
    """A change that might repair.

    - `name`: for people and `--only`. `component`: what it changes. `slot`: two of one slot exclude each
      other.
    - `text`: the change in words, with its numbers. `code`: as a user can paste it.
    - `failed`: why it cannot be made, in a line.
    """

    name: str
    component: Component
    slot: str
    change: Change
    text: str
    code: str
    failed: str = ""


@dataclass(frozen=True)
class Rule:
    """One line of the list in `docs/diagnosis.md`.

    - `codes`: findings, of a check or of a trial, that suggest it; so do others of its component, less.
    - `offer`: makes it for a case.
    """

    name: str
    component: Component
    slot: str
    codes: tuple[str, ...]
    offer: Callable[[Case], Offer]


def candidates(
    case: Case,
    findings: Sequence[Finding] = (),
    only: Sequence[str] = (),
) -> tuple[Candidate, ...]:
    """Those that apply, the ones that the findings suggest first.

    - `findings`: gravest first. `only`: names; all by default.

    One whose looking fails has only a name and says why. What changes the meaning of outputs needs a
    measure that does not change with it, and what numbers classes anew one that knows them by any
    number. Raises InputError for a name that no candidate has.
    """
    units = case.measure is not None
    classes = case.measure is None or case.measure.unit != "own"
    require_known(only)
    found = []
    for rule in sorted(RULES, key=lambda rule: _rank(rule, findings)):
        if only and rule.name not in only:
            continue
        try:
            offered = _offered(rule, case)
        except Exception as error:  # whatever a user's layers or data raise
            failed = error_words(error) or type(error).__name__
            made = Candidate(rule.name, rule.component, rule.slot, Change(), "", "", failed)
            found.append(made)
            continue
        if offered is None:
            continue
        change = offered[0]
        if (units or not change.meaning) and (classes or not change.values):
            found.append(Candidate(rule.name, rule.component, rule.slot, *offered))
    return tuple(found)


def require_known(only: Sequence[str]) -> None:
    """InputError for a name that no candidate has."""
    known = [rule.name for rule in RULES]
    if unknown := [name for name in only if name not in known]:
        raise InputError(f"no repair is named {unknown[0]!r}; known: {', '.join(known)}")


def _offered(rule: Rule, case: Case) -> Offer:
    """What the rule offers; nothing where the case is of a kind that its looking fails on."""
    try:
        return rule.offer(case)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _rank(rule: Rule, findings: Sequence[Finding]) -> int:
    """The place of the first finding that suggests it: by its code, then by its component."""
    for place, finding in enumerate(findings):
        if finding.code in rule.codes:
            return place
    told = [finding for finding in findings if finding.severity != "information"]
    for place, finding in enumerate(told):
        if finding.component == rule.component:
            return len(findings) + place
    return 2 * len(findings)


def not_offered(case: Case) -> tuple[str, ...]:
    """What could not be tried, a line each."""
    lines = []
    if case.refusal:
        lines.append(
            f"changes of layers, activations and outputs: {case.refusal}, and only Sequential and "
            "functional models are changed by configuration"
        )
    if case.examples is None:
        lines.append("changes of the data: they come as a tf.data pipeline; give arrays for them")
    if case.measure is None:
        lines.append(
            "changes of the loss or of what the outputs mean: the target is on "
            f"{case.source.target.monitor}, which only Keras' own log has, and would change with them"
        )
    elif case.measure.unit == "own" and (
        case.values != tuple(range(len(case.values))) or len(case.values) > max(2, case.units or 1)
    ):
        lines.append(
            f"changes that number classes anew: {case.measure.name} reads the numbers they have"
        )
    return tuple(lines)


RULES: tuple[Rule, ...] = (
    Rule("activation last", "output", "output", ("lost examples", "clipped", "no gradient"),
         offers.activation_last),
    Rule("logits", "output", "output", ("lost examples", "clipped", "no gradient"), offers.logits),
    Rule("inputs by range", "data", "inputs", ("scale", "not finite", "plateau"),
         partial(offers.scaled_inputs, how="range")),
    Rule("inputs standardized", "data", "inputs", ("offset", "scale", "not finite", "plateau"),
         partial(offers.scaled_inputs, how="standard")),
    Rule("rows shuffled", "data", "rows", ("validation differs", "behind in validation"),
         offers.shuffled),
    Rule("labels from 0", "labels", "labels", ("labels", "negative loss"), offers.numbered),
    Rule("targets in the outputs' shape", "labels", "labels", ("blind loss", "unmoved"),
         offers.reshaped),
    Rule("output activation", "output", "output",
         ("out of reach", "constant answer", "loss mismatch", "loss against accuracy", "frozen",
          "constant metric"), offers.activation_that_fits),
    Rule("an output for each class", "output", "output",
         ("out of reach", "labels", "negative loss"), offers.output_for_each_class),
    Rule("loss that fits", "loss", "loss",
         ("blind loss", "loss mismatch", "negative loss", "unmoved"), offers.loss_that_fits),
    Rule("targets standardized", "data", "targets", ("target scale", "not finite", "too slow"),
         offers.scaled_targets),
    Rule("learning rate / 10", "optimizer", "rate",
         ("unstable", "learning rate", "rising loss", "oscillating"),
         partial(offers.learning_rate, factor=0.1)),
    Rule("learning rate x 10", "optimizer", "rate", ("learning rate", "slow", "too slow"),
         partial(offers.learning_rate, factor=10)),
    Rule("gradients clipped", "optimizer", "clip", ("unstable", "not finite"), offers.clipped),
    Rule("leaky_relu", "architecture", "activations", ("dead units", "constant answer"),
         partial(offers.activations, olds=("relu",), new="leaky_relu")),
    Rule("relu", "architecture", "activations", ("vanishing gradient",),
         partial(offers.activations, olds=("sigmoid", "tanh"), new="relu")),
    Rule("initializers", "architecture", "initializers",
         ("vanishing gradient", "no gradient", "dead units"), offers.initializers),
    Rule("biases at 0", "architecture", "biases", ("dead units", "constant answer"), offers.biases),
    Rule("wider layers", "architecture", "units", ("dead units", "constant answer", "flat"),
         offers.wider),
    Rule("momentum 0.5", "architecture", "momentum", ("averages", "behind in validation"),
         partial(offers.momentum, value=0.5)),
    Rule("padding masked", "architecture", "mask", ("padding",), offers.masked),
    Rule("batch size", "optimizer", "batch", ("oscillating",), offers.batch),
    Rule("more epochs", "budget", "epochs", ("too few epochs", "slow"), offers.epochs),
)  # fmt: skip
"""All candidates, in the order in which they are tried where nothing suggests another."""


def pairs(singles: Sequence[Candidate]) -> Iterator[tuple[Candidate, Candidate]]:
    """Two of them that can be made at once, those of the first ones first, each pair in the order in
    which it is made: data before what reads them."""
    names = [rule.name for rule in RULES]
    data = ("rows", "inputs", "labels", "targets")

    def place(one: Candidate) -> tuple[int, int]:
        return data.index(one.slot) if one.slot in data else len(data), names.index(one.name)

    for last, b in enumerate(singles):
        for a in singles[:last]:
            # Logits bring their loss with them.
            own_loss = {a.slot, b.slot} == {"output", "loss"} and "logits" in (a.name, b.name)
            if a.slot != b.slot and not own_loss:
                first, second = sorted((a, b), key=place)
                yield first, second
