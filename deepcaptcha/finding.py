"""A finding: what a check before training, or a trial after it, shows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "information"]

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
    - `fix`: the change that repairs it; no full stop.
    """

    code: str
    severity: Severity
    value: float
    sentence: str
    fix: str

    def as_dict(self) -> dict[str, str | float | None]:
        """JSON-ready: a value that is not finite is None."""
        return {**asdict(self), "value": self.value if math.isfinite(self.value) else None}


def percent(share: float) -> str:
    """A share as whole percents, 0 and 100 only where it is exactly that."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")
