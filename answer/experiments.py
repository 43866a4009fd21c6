"""Interventions on the question's network: each changes one thing and says beforehand what that does.

Declared here, measured by `laboratory`. Pixels are raw (0..255) times a factor, the recipe is
`raw-subset` but for what a condition changes, and seeds are the first of the baseline stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Measure = Literal["step", "training", "rescue", "trajectory"]


@dataclass(frozen=True)
class Condition:
    """What one cell of an experiment trains.

    - `pixels`: what the raw ones are multiplied by. `learning_rate`: Adam's. `epochs`: at most so many.
    - `clip`: replaces the 1e-7 at which Keras clips probabilities, in a loss of our own.
    - `goes_on_as`: the variant that takes over the weights of a stuck training.
    """

    label: str
    variant: str = "same"
    pixels: float = 1.0
    learning_rate: float = 0.001
    epochs: int = 5
    clip: float | None = None
    goes_on_as: str | None = None


@dataclass(frozen=True)
class Ratio:
    """The median movement of the logits under condition `a` is `low` to `high` times that under `b`;
    with `layer`, what the step of that layer alone does."""

    a: str
    b: str
    low: float
    high: float
    why: str
    layer: str | None = None


@dataclass(frozen=True)
class Contrast:
    """`event` is more frequent under condition `a` than under `b`."""

    a: str
    b: str
    event: Literal["stuck", "converged"]


@dataclass(frozen=True)
class Experiment:
    """A link of the mechanism, the conditions that test it over `seeds` seeds, and what they should
    show."""

    name: str
    link: str
    measure: Measure
    seeds: int
    conditions: tuple[Condition, ...]
    expected: tuple[Ratio | Contrast, ...] = ()


def _scaled(variant: str, ninths: int = 0, learning_rate: float = 0.001) -> Condition:
    """A variant on pixels times 9 to that power."""
    pixels = f", pixels {'*' if ninths > 0 else '/'} {9 ** abs(ninths)}" if ninths else ""
    rate = "" if learning_rate == 0.001 else f", rate {learning_rate:g}"
    return Condition(f"{variant}{pixels}{rate}", variant, 9.0**ninths, learning_rate)


EXPERIMENTS = (
    Experiment(
        "step",
        "One optimizer step moves the logits in proportion to the pixels' scale, the number of inputs "
        "of the dense layer and the learning rate.",
        "step",
        10,
        (
            *(_scaled("same", ninths) for ninths in (0, -1, -2)),
            *(_scaled("valid", ninths) for ninths in (1, 0, -1)),
            _scaled("two-by-two"),
            _scaled("same", learning_rate=0.0001),
            _scaled("same-reshape-first"),
        ),
        (
            Ratio("same", "same, pixels / 9", 6, 13.5, "9 times the pixels"),
            Ratio("same, pixels / 9", "same, pixels / 81", 6, 13.5, "9 times the pixels"),
            Ratio("valid", "valid, pixels / 9", 6, 13.5, "9 times the pixels"),
            Ratio("same", "valid", 6, 13.5, "576 inputs against 64"),
            Ratio("two-by-two", "valid", 2.7, 6, "256 inputs against 64"),
            Ratio("same", "same, rate 0.0001", 6.7, 15, "10 times the learning rate"),
            Ratio("same", "valid", 6, 13.5, "576 inputs against 64", layer="dense1"),
            Ratio("two-by-two", "valid", 2.7, 6, "256 inputs against 64", layer="dense1"),
        ),
    ),
    Experiment(
        "pixels",
        "What moves too far gets stuck: smaller pixels free the network that is stuck, larger ones "
        "strand the one that trains, at equal numbers of parameters.",
        "training",
        20,
        (
            *(_scaled("same", ninths) for ninths in (-2, -1, 0)),
            *(_scaled("valid", ninths) for ninths in (-1, 0, 1, 2)),
        ),
        (
            Contrast("same", "same, pixels / 9", "stuck"),
            Contrast("valid, pixels * 9", "valid", "stuck"),
        ),
    ),
    Experiment(
        "learning-rate",
        "The step does its part: with a tenth of the learning rate the very same start gets stuck less.",
        "training",
        20,
        (Condition("rate 0.001"), Condition("rate 0.0001", learning_rate=0.0001)),
        (Contrast("rate 0.001", "rate 0.0001", "stuck"),),
    ),
    Experiment(
        "patience",
        "What a tenth of the learning rate leaves slow lacks only time: given 50 epochs, it trains.",
        "training",
        20,
        (
            Condition("rate 0.0001, 5 epochs", learning_rate=0.0001),
            Condition("rate 0.0001, 50 epochs", learning_rate=0.0001, epochs=50),
        ),
        (Contrast("rate 0.0001, 50 epochs", "rate 0.0001, 5 epochs", "converged"),),
    ),
    Experiment(
        "clip",
        "Beyond the clip the loss sees nothing: with the clip moved from 1e-7 to 1e-30, everything else "
        "the same, the network gets stuck less.",
        "training",
        20,
        (
            Condition("clip at 1e-7", clip=1e-7),
            Condition("clip at 1e-15", clip=1e-15),
            Condition("clip at 1e-30", clip=1e-30),
        ),
        (Contrast("clip at 1e-7", "clip at 1e-30", "stuck"),),
    ),
    Experiment(
        "rescue",
        "The stuck weights are not lost: go on from the very same ones with a loss that sees the "
        "logits, and the network trains.",
        "rescue",
        20,
        (
            Condition("as it was", goes_on_as="same"),
            Condition("reshape first", goes_on_as="same-reshape-first"),
        ),
        (Contrast("reshape first", "as it was", "converged"),),
    ),
    Experiment(
        "trajectory",
        "The first 1,500 steps of a training that gets stuck, of one that converges, and of the stuck "
        "one's start with softmax last.",
        "trajectory",
        1,
        (
            Condition("stuck"),
            Condition("converging"),
            Condition("stuck start, reshape first", "same-reshape-first"),
        ),
    ),
)
