"""The candidate changes: which are offered for a model and its data, in what order, as code to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import InputError
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
    - `cost`: epochs of a trial with it, as a multiple of one without.
    """

    name: str
    component: Component
    slot: str
    change: Change
    text: str
    code: str
    cost: int = 1


@dataclass(frozen=True)
class Rule:
    """One line of the list in `docs/diagnosis.md`.

    - `codes`: findings that suggest it; so do others of its component, less.
    - `offer`: makes it for a case. `unit`: it changes what the outputs or a loss mean, and needs a
      measure that does not change with them. `classes`: it changes how classes are numbered.
    """

    name: str
    component: Component
    slot: str
    codes: tuple[str, ...]
    offer: Callable[[Case], Offer]
    unit: bool = False
    classes: bool = False
    cost: int = 1


def candidates(
    case: Case,
    findings: Sequence[Finding] = (),
    only: Sequence[str] = (),
    *,
    units: bool = True,
    classes: bool = True,
) -> tuple[Candidate, ...]:
    """Those that apply, the ones that the findings suggest first and cheap ones before others.

    - `findings`: gravest first. `only`: names; all by default. `units`: whether there is a measure that
      a change of the loss or of the outputs' meaning cannot touch; `classes`: one that knows classes
      however they are numbered.

    Raises InputError for a name that no candidate has.
    """
    known = [rule.name for rule in RULES]
    if unknown := [name for name in only if name not in known]:
        raise InputError(f"no repair is named {unknown[0]!r}; known: {', '.join(known)}")
    found = [
        (rule, Candidate(rule.name, rule.component, rule.slot, *offered, rule.cost))
        for rule in RULES
        if (not only or rule.name in only) and (units or not rule.unit)
        if classes or not rule.classes
        if (offered := _offered(rule, case)) is not None
    ]
    found.sort(key=lambda pair: (_rank(pair[0], findings), pair[1].cost))
    return tuple(candidate for _, candidate in found)


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


def not_offered(case: Case, units: bool) -> tuple[str, ...]:
    """What could not be tried, a line each."""
    lines = []
    if case.refusal:
        lines.append(
            f"changes of layers, activations and outputs: {case.refusal}, and only Sequential and "
            "functional models are changed by configuration"
        )
    if case.examples is None:
        lines.append("changes of the data: they come as a tf.data pipeline; give arrays for them")
    if not units:
        lines.append(
            "changes of the loss or of what the outputs mean: the target is on "
            f"{case.source.target.monitor}, which only Keras' own log has, and would change with them"
        )
    return tuple(lines)


RULES: tuple[Rule, ...] = (
    Rule("activation last", "output", "output", ("hidden", "hidden softmax", "lost examples"),
         offers.activation_last, unit=True),
    Rule("logits", "output", "output", ("hidden softmax", "hidden sigmoid", "lost examples"),
         offers.logits, unit=True),
    Rule("inputs by range", "data", "inputs", ("scale", "large step", "first loss"),
         offers.scaled_inputs("range")),
    Rule("inputs standardized", "data", "inputs", ("offset", "scale", "large step"),
         offers.scaled_inputs("standard")),
    Rule("rows shuffled", "data", "rows", ("classes apart",), offers.shuffled),
    Rule("labels from 0", "labels", "labels", ("labels",),
         offers.numbered, unit=True, classes=True),
    Rule("targets in the outputs' shape", "labels", "labels", ("broadcast",), offers.reshaped),
    Rule("output activation", "output", "output", ("loss mismatch", "constant answer"),
         offers.activation_that_fits, unit=True),
    Rule("an output for each class", "output", "output", ("labels", "loss mismatch"),
         offers.output_for_each_class, unit=True, classes=True),
    Rule("loss that fits", "loss", "loss", ("loss mismatch", "flat loss"),
         offers.loss_that_fits, unit=True),
    Rule("targets standardized", "data", "targets", ("targets",),
         offers.scaled_targets("standard"), unit=True),
    Rule("targets by range", "data", "targets", ("targets",),
         offers.scaled_targets("range"), unit=True),
    Rule("learning rate / 10", "optimizer", "rate", ("unstable", "large step"),
         offers.learning_rate(0.1)),
    Rule("learning rate x 10", "optimizer", "rate", ("one batch",), offers.learning_rate(10)),
    Rule("gradients clipped", "optimizer", "clip", ("unstable",), offers.clipped),
    Rule("leaky_relu", "architecture", "activations", ("dead units",),
         offers.activations(("relu",), "leaky_relu")),
    Rule("elu", "architecture", "activations", ("dead units",),
         offers.activations(("relu",), "elu")),
    Rule("relu", "architecture", "activations", ("no gradient",),
         offers.activations(("sigmoid", "tanh"), "relu")),
    Rule("initializers", "architecture", "initializers", ("no gradient", "first loss"),
         offers.initializers),
    Rule("biases at 0", "architecture", "biases", ("dead units",), offers.biases),
    Rule("momentum 0.5", "architecture", "momentum", ("inference",), offers.momentum(0.5)),
    Rule("momentum 0.9", "architecture", "momentum", ("inference",), offers.momentum(0.9)),
    Rule("padding masked", "architecture", "mask", ("padding",), offers.masked),
    Rule("batch size", "optimizer", "batch", (), offers.batch),
    Rule("more epochs", "budget", "epochs", ("too slow",), offers.epochs, cost=4),
)  # fmt: skip
"""All candidates, in the order in which they are tried where nothing suggests another."""


def together(a: Candidate, b: Candidate) -> bool:
    """Whether both can be made at once: logits bring their loss with them."""
    loss = {a.slot, b.slot} == {"output", "loss"} and "logits" in (a.name, b.name)
    return a.slot != b.slot and not loss


def pairs(singles: Sequence[Candidate]) -> Iterator[tuple[Candidate, Candidate]]:
    """Two of them at a time, those of the first ones first."""
    for last, b in enumerate(singles):
        for a in singles[:last]:
            if together(a, b):
                yield in_order(a, b)


def in_order(a: Candidate, b: Candidate) -> tuple[Candidate, Candidate]:
    """Both in the order in which they are made: data before what reads them."""
    names = [rule.name for rule in RULES]
    data = ("rows", "inputs", "labels", "targets")

    def place(one: Candidate) -> tuple[int, int]:
        return data.index(one.slot) if one.slot in data else len(data), names.index(one.name)

    first, second = sorted((a, b), key=place)
    return first, second
