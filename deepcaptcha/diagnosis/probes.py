"""Symptoms measured along a trial: predictors at declared steps, and the state of a failed one at its
end. Optional: `study --symptoms`.

Every measurement is exact, over the examples named, with the layers in inference mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..keras.data import Array, Examples
from ..keras.fit import Probe, Run
from ..trials.history import END, PREDICTORS
from .observe import Observed, Observer, first_not_finite, gradient_norms, logit_movement

STEPS = (0, 50, 100)
"""Batches trained at which predictors are measured: long before any outcome is known."""

EXAMPLES = 512
"""The first training examples, on which predictors are measured."""


def _observer(run: Run) -> Observer:
    observer: Observer = run.kept.setdefault("observer", Observer(run.model, training=False))
    return observer  # traced once, when it first observes


def predictors(run: Run) -> dict[str, float | None] | None:
    """At one of STEPS, as shares of the first EXAMPLES training examples unless said otherwise:

    - `zero_gradient_share`: their own loss has an exactly zero gradient;
    - `lost_share`: so, although their loss is above `observe.COSTS`;
    - `most_frequent_share`: predicted to be of the one class predicted most often;
    - `dead_units`: of the ReLU units of the layer with most of them, those no example activates;
    - `logit_movement`: median over examples of the largest change of a logit since step 0, in nats.

    None at other steps, and where the examples are no plain arrays; a value is None where the model
    does not show it.
    """
    arrays = _arrays(run)
    if run.step not in STEPS or arrays is None or first_not_finite(run.model) is not None:
        return None
    seen = _observer(run).observe(*(array[:EXAMPLES] for array in arrays))
    if run.step == 0:
        run.kept["first logits"] = seen.logits
    moved = logit_movement(run.kept["first logits"], seen.logits)
    return {
        **_shares(seen),
        "dead_units": max(seen.dead_units.values(), default=None),
        "logit_movement": _finite(moved),
    }


def state_at_end(run: Run) -> dict[str, Any] | None:
    """Of a trial that did not converge, over all its training examples: the shares of `predictors`,
    the loss, `dead_units` layer by layer, the Euclidean `gradient_norms` of the mean loss layer by
    layer over the first EXAMPLES, and the path of the first weight that is not finite, if any."""
    if run.converged:
        return None
    if (path := first_not_finite(run.model)) is not None:
        return {"first_not_finite": path}
    if (arrays := _arrays(run)) is None:
        return None
    seen = _observer(run).observe(*arrays)
    norms = gradient_norms(run.model, *(array[:EXAMPLES] for array in arrays))
    return {
        "first_not_finite": None if seen.finite else "outputs",
        "loss": _finite(seen.loss),
        **_shares(seen),
        "dead_units": dict(seen.dead_units),
        "gradient_norms": {layer: _finite(norm) for layer, norm in norms.items()},
    }


SYMPTOMS = (
    Probe(PREDICTORS, predictors, at=("start", "execution")),
    Probe(END, state_at_end, at=("end",)),
)


def _arrays(run: Run) -> tuple[Array, Array] | None:
    """(x, y) of all training examples, where each is one array in memory."""
    if not isinstance(run.data, Examples):
        return None
    x, y = run.data.x_train, run.data.y_train
    return (x, y) if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) else None


def _shares(seen: Observed) -> dict[str, float | None]:
    names = ("zero_gradient_share", "lost_share", "most_frequent_share")
    return {name: getattr(seen, name) for name in names}


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
