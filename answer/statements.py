"""What question and answer say of training, as numbers declared before they were judged.

Each statement is one sentence of theirs, read as a bound on a rate over random seeds or as a
comparison of two variants. The word it earns is exact and simultaneous: with at least 95 % probability
every `holds` and `does not hold` of all of them is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from deepcaptcha.verdicts.exact import fisher
from deepcaptcha.verdicts.plan import binomial_interval

Word = Literal["holds", "does not hold", "undecided"]
Event = Literal["converged", "missed", "stuck"]
Outcomes = Callable[[str], Sequence[str]]
"""A variant's outcomes in seed order."""

CONFIDENCE = 0.95
"""Of all words on all statements under all recipes together (Bonferroni)."""

RECIPES = ("raw-subset", "question")
"""Where the statements are judged: raw pixels, as in the question."""

SEEN: Mapping[str, int] = MappingProxyType({"raw-subset": 30, "sound-subset": 30})
"""Recipe -> how many of the first seeds had been trained, on another processor, when statements and
pairs were written down. They are judged on the other seeds alone."""


@dataclass(frozen=True)
class Statement:
    """`said` by question or answer, read so: P(`event`) of `variant` is `relation` `bound`.

    `bound` is a rate for `at least` and `at most`; for `more than` and `less than` it names the variant
    compared with.
    """

    by: Literal["question", "answer"]
    said: str
    variant: str
    event: Event
    relation: Literal["at least", "at most", "more than", "less than"]
    bound: float | str

    @property
    def reading(self) -> str:
        """The number it was turned into: `P(converged) at least 0.9`."""
        if isinstance(self.bound, str):
            return f"P({self.event}) {self.relation} that of {self.bound}"
        return f"P({self.event}) {self.relation} {self.bound:g}"


_WORKED = ("extra-conv", "pool4", "stride2-first", "stride2-second", "stride2-third", "last20")

STATEMENTS = (
    Statement("question", "stuck at 10 % accuracy", "same", "stuck", "at least", 0.75),
    Statement("question", "works flawlessly", "valid", "converged", "at least", 0.95),
    *(
        Statement("answer", "they all worked well", name, "converged", "at least", 0.90)
        for name in _WORKED
    ),
    Statement("answer", "64 units will help as well", "dense64", "converged", "more than", "same"),
    Statement("answer", "poor with a little chance", "dense64", "missed", "at most", 0.20),
    Statement("answer", "with (2, 2, 64) less", "two-by-two", "converged", "less than", "valid"),
    Statement("answer", "with (2, 2, 64) less", "stride2-third", "converged", "less than", "valid"),
    Statement("answer", "a lot of time 10 %", "two-by-two", "stuck", "at least", 0.25),
)

ALPHA = (1 - CONFIDENCE) / (len(STATEMENTS) * len(RECIPES))
"""Chance of a wrong word on one statement under one recipe."""

RowName = tuple[str, str]
"""A variant and a recipe."""


@dataclass(frozen=True)
class Pair:
    """Two rows that the theory of too many parameters tells apart wrongly, if `better` converges more
    often: it has as many parameters as `worse`, or more."""

    better: RowName
    worse: RowName


def _pairs(recipe: str, *names: tuple[str, str]) -> tuple[Pair, ...]:
    return tuple(Pair((better, recipe), (worse, recipe)) for better, worse in names)


PAIRS = (
    *_pairs(
        "raw-subset",
        ("stride2-first", "pool4"),
        ("valid", "pool4"),
        ("stride2-third", "two-by-two"),
        ("stride2-first", "dense64"),
        ("extra-conv", "dense64"),
        ("last20", "dense64"),
        ("same-reshape-first", "same"),
        ("same-logits", "same"),
        ("same-reshape-first", "dense64"),
    ),
    Pair(("same", "sound-subset"), ("same", "raw-subset")),
    *_pairs("question", ("same-reshape-first", "same"), ("same-logits", "same")),
)
"""Matched pairs: equal numbers of parameters, or more of them in the network expected to do better."""


def judge_statement(statement: Statement, outcomes: Outcomes) -> Word:
    """The word a statement earns from the outcomes of independent trials.

    A bound on a rate by Clopper and Pearson's interval of coverage 1 - ALPHA; a comparison by Fisher's
    exact test, one-sided at ALPHA / 2 either way.
    """
    successes, trials = count(statement.event, outcomes(statement.variant))
    if isinstance(statement.bound, str):
        others = count(statement.event, outcomes(statement.bound))
        more, less = (fisher((successes, trials), others, way) for way in ("greater", "less"))
        holds, fails = (more, less) if statement.relation == "more than" else (less, more)
        return _word(holds <= ALPHA / 2, fails <= ALPHA / 2)
    low, high = binomial_interval(successes, trials, 1 - ALPHA)
    if statement.relation == "at least":
        return _word(low >= statement.bound, high < statement.bound)
    return _word(high <= statement.bound, low > statement.bound)


def could_hold(statement: Statement, trials: int) -> bool:
    """Whether so many trials of each variant could show that the statement holds, at best."""
    best = {"converged": "converged", "stuck": "stuck", "missed": "stuck"}[statement.event]
    worst = "stuck" if best == "converged" else "converged"
    if statement.relation in ("at most", "less than"):
        best, worst = worst, best
    shown = {statement.variant: [best] * trials}
    return judge_statement(statement, lambda name: shown.get(name, [worst] * trials)) == "holds"


def count(event: Event, outcomes: Sequence[str]) -> tuple[int, int]:
    """(trials that ended so, trials); a trial `missed` unless it converged."""
    if event == "missed":
        return sum(outcome != "converged" for outcome in outcomes), len(outcomes)
    return list(outcomes).count(event), len(outcomes)


def _word(holds: bool, fails: bool) -> Word:
    return "holds" if holds else "does not hold" if fails else "undecided"
