"""What a search for repairs found: as data, in sentences, as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..finding import Component
from ..report.table import Table, columns
from ..report.words import interval_text, plural
from ..trials.source import row_text

SCREEN = 3
"""Trainings that a change must all pass before it is confirmed; the first of them is every change's."""

INTERRUPTED = "it was interrupted"


@dataclass(frozen=True)
class Attempt:
    """What trainings with changes did; without a change, the model as it is.

    - `names`, `components`: of the changes. `text`: in words.
    - `converged` of `trials` reached the target while it was searched; `best` is the best value of the
      measure that any of them reached, None where there is none.
    - `failed`: why it could not be trained, in a line.
    """

    names: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    text: str = ""
    converged: int = 0
    trials: int = 0
    best: float | None = None
    failed: str = ""

    @property
    def name(self) -> str:
        """Joined by +."""
        return " + ".join(self.names) or "as it is"

    @property
    def trains(self) -> bool:
        """Whether all of its trainings did."""
        return 0 < self.trials == self.converged

    @property
    def count(self) -> str:
        """For people."""
        return f"{self.converged} of {plural(self.trials, 'training')}"


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of the changes that were found.

    - `converged` of `trials`, in seed order; `interval`: exact, 95 %, under the plan's stopping rule.
    - `unrepaired` of `unrepaired_trials`: the model as it is, on the same seeds.
    - `chance`: of being shown if P(reaches the target) were `p_bad`.
    - `shown`: the plan accepts. `code`: the changes as a user can paste them.
    """

    names: tuple[str, ...]
    components: tuple[Component, ...]
    text: str
    code: str
    converged: int
    trials: int
    interval: tuple[float, float]
    unrepaired: int
    unrepaired_trials: int
    p_bad: float
    chance: float
    shown: bool


@dataclass(frozen=True)
class Repair:
    """What a search found.

    - `name`, `recipe`: of the source. `target`: in the user's own words.
    - `measure`: by what it was judged; `constant`: what the best constant answer reaches there;
      `bar`: what had to be reached. `rows`: on which rows.
    - `unrepaired`: the model as it is; `attempts`: what was tried, in order.
    - `found`: the last confirmation; None where nothing came so far.
    - `not_tried`: what could not be, a line each. `trials`: run or reused; `most`: the budget.
    - `ended`: why the search ended early; empty where it did not.
    - `narrowed`: only some changes were asked for.
    """

    name: str
    recipe: str
    target: str
    measure: str
    constant: float | None
    bar: float
    rows: str
    unrepaired: Attempt
    attempts: tuple[Attempt, ...]
    found: Confirmation | None
    not_tried: tuple[str, ...]
    trials: int
    most: int
    seconds: float
    ended: str = ""
    narrowed: bool = False

    @property
    def shown(self) -> bool:
        """Whether a repair was."""
        return self.found is not None and self.found.shown

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.ended == INTERRUPTED

    @property
    def trains(self) -> bool:
        """Whether the model trains as it is, so that there is nothing to repair."""
        return self.unrepaired.trials >= SCREEN and self.unrepaired.trains

    @property
    def alternatives(self) -> tuple[Attempt, ...]:
        """Other changes, no larger than the one shown, that trained while it was searched."""
        own = self.found
        if own is None or not own.shown:
            return ()
        others = [a for a in self.attempts if a.trains and a.names != own.names]
        return tuple(other for other in others if len(other.names) <= len(own.names))

    @property
    def cause(self) -> bool:
        """Whether the components of the repair are the cause: no change of another one, and no smaller
        one, trained, and every single change was tried."""
        if self.found is None or not self.shown:
            return False
        if self.ended or self.narrowed or self.not_tried:
            return False
        if any(len(a.names) == 1 and not a.trials and not a.failed for a in self.attempts):
            return False
        own = set(self.found.components)
        return all(set(other.components) == own for other in self.alternatives)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **asdict(self),
            "shown": self.shown,
            "cause": self.cause,
            "alternatives": [asdict(attempt) for attempt in self.alternatives],
        }


def repair_lines(found: Repair) -> list[str]:
    """Sentences: the smallest change that trains, or that none was found; what it rests on; the change
    as code, a line of code each."""
    one = found.found
    lines = [_answer(found)]
    if one is not None and found.shown:
        lines.append(_standing(found, one))
    elif one is not None:
        lines.append(
            f"{one.text} trained while it was searched, and then in {one.converged} of "
            f"{plural(one.trials, 'fresh training')}: too few to be shown against a rate of "
            f"{one.p_bad:g}."
        )
    if found.attempts or found.trains:
        lines.append(_measure(found))
    if vain := [_value(a) for a in found.attempts if not a.trains and not a.failed and a.trials]:
        lines.append(f"Tried in vain: {', '.join(vain)}.")
    lines += [f"Failed: {a.name}: {a.failed.rstrip('.')}." for a in found.attempts if a.failed]
    lines += [f"Not tried: {line}." for line in found.not_tried]
    cost = f"of at most {found.most}, {found.seconds / 60:.1f} minutes."
    ended = f" The search ended early: {found.ended}." if found.ended else ""
    lines.append(f"{plural(found.trials, 'training')} {cost}{ended}")
    if one is not None and found.shown:
        lines += ["The change as code:", *(f"  {line}" for line in one.code.splitlines())]
    return lines


def _answer(found: Repair) -> str:
    whole, one, as_is = row_text(found.name, found.recipe), found.found, found.unrepaired
    if found.trains:
        return f"{whole} reaches its target in {as_is.count} as it is: nothing to repair."
    if one is None or not found.shown:
        tried = plural(len([a for a in found.attempts if a.trials or a.failed]), "change")
        return f"No repair of {whole} was shown: {tried} tried."
    beside = ""  # where the budget ended before the model as it is was trained
    if as_is.failed:
        beside = f"; as it is it cannot be trained: {as_is.failed}"
    elif one.unrepaired_trials:
        beside = f"; as it is {one.unrepaired} of {one.unrepaired_trials} on the same seeds"
    return (
        f"The smallest change that trains {whole}: {one.text} ({one.converged} of "
        f"{plural(one.trials, 'fresh training')}, 95 % interval {interval_text(one.interval)})"
        f"{beside}."
    )


def _standing(found: Repair, one: Confirmation) -> str:
    components = " and ".join(dict.fromkeys(one.components))
    told = f"Shown: were its rate {one.p_bad:g}, this would be said with {one.chance:.2g} at most."
    if found.alternatives:
        others = "; ".join(f"{a.text or a.name} ({a.count})" for a in found.alternatives)
        told += f" The cause lies in the {components}." if found.cause else ""
        return f"{told} Alternatives that trained while it was searched: {others}."
    if not found.cause:
        return told
    smaller = "no other single change" if len(one.names) == 1 else "no part of it alone"
    return f"{told} Cause: the {components}; {smaller} repairs."


def _measure(found: Repair) -> str:
    if found.constant is None:
        return (
            f"Judged by {found.measure} as Keras logs it, to reach {found.bar:.4g}; what a constant "
            "answer reaches is not known."
        )
    return (
        f"Judged by the {found.measure} on {found.rows}: to reach {found.bar:.4g} ({found.target}); the "
        f"best constant answer has {found.constant:.4g}."
    )


def _value(attempt: Attempt) -> str:
    best = "not finite" if attempt.best is None else f"{attempt.best:.3g}"
    return f"{attempt.name} ({attempt.count if attempt.converged else best})"


def attempt_table(found: Repair) -> Table:
    """One line a change, those that trained first."""
    rows = (found.unrepaired, *sorted(found.attempts, key=lambda a: (bool(a.failed), -a.converged)))
    return Table(
        f"Repairs of {row_text(found.name, found.recipe)}",
        columns("<change", "<component", "reached", found.measure, "<"),
        tuple(
            (
                attempt.name,
                ", ".join(attempt.components),
                f"{attempt.converged} / {attempt.trials}",
                "" if attempt.best is None else f"{attempt.best:.4g}",
                f"failed: {attempt.failed}" if attempt.failed else attempt.text,
            )
            for attempt in rows
        ),
    )
