"""What a test declares with `pytest.mark.convergence`, checked before anything is trained."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, did_you_mean, require_whole
from ..keras.settings import Training
from ..trials.trial import Target
from ..verdicts.claim import Claim
from .stream import Cap

TARGET = ("target", "epochs", "monitor", "mode", "chance", "also")
"""What a marker may say of the target: the arguments of `Target`."""

CLAIM = ("kind", "p_good", "p_bad")
"""What it may say of the claim: the arguments of `Claim`; `kind` is `trains` unless given."""

EXAMPLE = "pytest.mark.convergence(target=0.95, epochs=3, p_good=0.95, p_bad=0.5)"


@dataclass(frozen=True)
class Declared:
    """A marker's content.

    - `hypotheses`: how many verdicts its test asks for. `rows`: how many rows it compares with a
      baseline, each by two of these verdicts.
    - `twin`: the name of another row that this one is the very training of, so that its verdicts are
      that one's and count no further; empty where there is none.
    - `claim`: what is judged unless the test names it itself, which it must where this is None.
    - `target`: what a training is to reach, where a source does not bring its own.
    - `cap`: `max_trials` and `minutes`, the most that each of its verdicts may cost.
    - `batch`: examples in a batch of a Keras model; None: its training's own.
    - `start`: `same` where all trials are meant to start from the same weights, such as pretrained ones,
      so that the verdict need not say so; else empty.
    - `known_failure`: why a red verdict is expected, before the day `until`, YYYY-MM-DD; both empty
      where it is not.
    """

    hypotheses: int = 1
    claim: Claim | None = None
    target: Target | None = None
    batch: int | None = None
    rows: int = 0
    twin: str = ""
    start: str = ""
    cap: Cap = field(default_factory=Cap)
    known_failure: str = ""
    until: str = ""

    def require(self, row: str, asked: int, compared: int, used: int, rows: int) -> None:
        """InputError where a row asks for more than is declared: for so many verdicts and comparisons
        with a baseline, 0 or 1, after so many verdicts and rows that are `used`."""
        if used + asked <= self.hypotheses and rows + compared <= self.rows:
            return
        needed = f"hypotheses={max(used + asked, self.hypotheses)}"
        if rows + compared:
            needed += f", rows={rows + compared}"
        raise InputError(
            f"{row} asks for {asked} verdicts"
            + (", two of them against its baseline," if compared else "")
            + f" and its test declares {self.hypotheses}"
            + (f" and {self.rows} rows" if compared else "")
            + (f", of which {used} are used" if used else "")
            + f"; mark it with pytest.mark.convergence({needed}), or the suite's error rates do not hold"
        )


def read_marker(arguments: Sequence[object], keywords: Mapping[str, Any]) -> Declared:
    """The declaration of `pytest.mark.convergence(*arguments, **keywords)`.

    Raises InputError for unknown or impossible values, such as p_bad >= p_good, an accuracy above 1 or a
    chance that meets the target.
    """
    count = keywords.get("hypotheses", 1)
    if arguments or type(count) is not int or count < 1:
        raise InputError(
            f"write pytest.mark.convergence(hypotheses=N), N a whole number >= 1, or {EXAMPLE}"
        )
    rows, twin = keywords.get("rows", 0), keywords.get("twin", "")
    if type(rows) is not int or not 0 <= 2 * rows <= count:
        raise InputError(
            f"rows is {rows!r}; a whole number is needed, and 2 of the {count} hypotheses for each row "
            "that is compared with a baseline"
        )
    known = (
        "hypotheses",
        *TARGET,
        "batch",
        *CLAIM,
        "rows",
        "twin",
        "start",
        "max_trials",
        "minutes",
        "known_failure",
        "until",
    )
    if unknown := [name for name in keywords if name not in known]:
        raise InputError(
            f"pytest.mark.convergence does not know {', '.join(unknown)}"
            f"{did_you_mean(unknown[0], known)}; it knows {', '.join(known)}"
        )
    for name, value in keywords.items():
        _require_kind(name, value)
    if (start := keywords.get("start", "")) not in ("", "same"):
        raise InputError(
            f"start is {start!r}; 'same' is needed, where all trials are meant to start from the same "
            "weights"
        )
    training = {name: keywords[name] for name in (*TARGET, "batch") if name in keywords}
    rates = {name: keywords[name] for name in CLAIM if name in keywords}
    if "batch" in training:
        Training(batch=training["batch"])  # refuses an impossible one
    target = _read_target(training) if {*TARGET} & {*training} else None
    claim = Claim(**{"kind": "trains", **rates}) if training or rates else None
    cap = Cap(keywords.get("max_trials"), keywords.get("minutes"))
    failure = keywords.get("known_failure", ""), keywords.get("until", "")
    _require_quarantine(*failure)
    return Declared(count, claim, target, training.get("batch"), rows, twin, start, cap, *failure)


def _require_quarantine(reason: str, until: str) -> None:
    """InputError unless both are given, the latter a day, or neither."""
    if bool(reason) != bool(until):
        raise InputError(
            "known_failure and until are given together: why a red verdict is expected, and the day, "
            "such as '2027-01-31', from which it no longer is"
        )
    try:  # no other form that Python reads, 20270131 or 2027-W05, orders as the text does
        if until and datetime.date.fromisoformat(until).isoformat() != until:
            raise ValueError
    except ValueError:
        raise InputError(f"until is {until!r}; a day such as '2027-01-31' is needed") from None


def count_of(keywords: Mapping[str, Any]) -> Declared:
    """What a marker with a mistake counts for, so that it changes no other test's share."""
    try:
        return read_marker((), {name: keywords[name] for name in _COUNTED if name in keywords})
    except InputError:
        return Declared()


_COUNTED = ("hypotheses", "rows", "twin")


def _read_target(training: Mapping[str, Any]) -> Target:
    monitor = training.get("monitor", Target.monitor)
    if "accuracy" not in monitor and "mode" not in training:
        meant = did_you_mean(monitor, ("accuracy", "val_accuracy"))
        raise InputError(
            f"monitor is {monitor!r}{meant}, and mode is missing: 'max' if more of it is better, 'min' "
            "if less is"
        )
    fields = {
        "value" if name == "target" else name: training[name] for name in TARGET if name in training
    }
    target = Target(**fields)  # refuses impossible values
    if missing := [name for name in ("target", "epochs") if name not in training]:
        raise nothing_says(*missing)
    if target.chance is not None and target.is_met(target.chance):
        raise InputError(f"chance is {target.chance}, and already meets the target, {target.text}")
    return target


def nothing_says(*names: str) -> InputError:
    """Where neither the marker nor anything else names what is needed."""
    return InputError(f"nothing says {' and '.join(names)}; write {EXAMPLE}")


def _require_kind(name: str, value: object) -> None:
    """InputError where a number or a text is needed and `value` is something else. Only `chance` may be
    None; bool is no number."""
    if name in ("monitor", "mode", "kind", "twin", "start", "known_failure", "until"):
        if not isinstance(value, str):
            raise InputError(f"{name} is {value!r}; a text is needed")
    elif name == "also":
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise InputError(f"also is {value!r}; a list such as ['val_loss <= 0.3'] is needed")
    elif name == "max_trials":
        require_whole(name, value)
    elif name in ("target", "p_good", "p_bad", "chance", "minutes"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and (name, value) != ("chance", None):
            raise InputError(f"{name} is {value!r}; a number is needed")
        if name == "minutes" and not 0 < value < math.inf:  # type: ignore[operator]
            raise InputError(f"minutes is {value!r}; a number above 0 is needed")
