"""The recorded reference of a factory and recipe, and whether it trains as reliably as it did."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..keras import environment
from ..trials.trial import Trial
from .claim import Budget, TrialAt, Verdict, judge_plan
from .design import design_plan
from .plan import Plan, PlanError, binomial_interval, operating_characteristic

FORMAT = 1
DROP = 0.4
"""The fall of P(converged) below the baseline's lower bound that a comparison looks for."""

HASH_LENGTH = 12
"""Digits kept of a SHA-256: two different trainings share them with a chance of 4e-15."""

TRIALS = 30
"""Trials of a baseline, declared before the first is run."""

_POWER = 0.9
_LEAST_BAD = 0.05  # a comparison that could only see a fall to below this is useless


@dataclass(frozen=True)
class Baseline:
    """Outcomes in seed order, and what they were recorded from.

    `shapes` are the model's weights' shapes; `epochs_to_target` has None for a trial that did not
    converge; `weights` begin the SHA-256 of each trial's last weights, by which a later training in the
    same environment is known to be the same; `identity` fields as in a trial.
    """

    name: str
    recipe: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    data: str
    protocol: int
    first_seed: int
    outcomes: tuple[str, ...]
    epochs_to_target: tuple[int | None, ...]
    environment: Mapping[str, Any]
    date: str
    weights: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def converged(self) -> int:
        """Trials that converged, of `len(outcomes)`."""
        return self.outcomes.count("converged")

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's exact 95 % interval for P(converged)."""
        return binomial_interval(self.converged, len(self.outcomes))


def make_baseline(trials: Sequence[Trial]) -> Baseline:
    """The baseline of one factory's and recipe's trials, consecutive seeds, in order.

    Raises InputError where the trials are of different models, recipes, data or environments.
    """
    first = trials[0]
    for place, trial in enumerate(trials):
        if trial.seed != first.seed + place:
            raise InputError(
                f"the baseline of {first.name} lacks seed {first.seed + place}; finish its trials"
            )
        for key in ("recipe", "data", "protocol", "shapes", "environment"):
            if trial.identity[key] != first.identity[key]:
                raise InputError(
                    f"the trials of {first.name} differ in their {key}; record them anew"
                )
    return Baseline(
        name=first.name,
        recipe=first.identity["recipe"],
        shapes=tuple(tuple(shape) for shape in first.identity["shapes"]),
        data=first.identity["data"],
        protocol=first.identity["protocol"],
        first_seed=first.seed,
        outcomes=tuple(trial.outcome for trial in trials),
        epochs_to_target=tuple(trial.epochs_to_target for trial in trials),
        environment=first.identity["environment"],
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        weights=tuple(trial.weights_sha256[:HASH_LENGTH] for trial in trials),
    )


def baseline_path(folder: Path, name: str, recipe: str) -> Path:
    """Where the baseline of one factory and recipe lies."""
    return folder / recipe / f"{name}.json"


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Write it, one line a field, replacing an older one; returns the path."""
    path = baseline_path(folder, baseline.name, baseline.recipe["name"])
    fields = [f'  "{key}": {json.dumps(value)}' for key, value in asdict(baseline).items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text("{\n" + ",\n".join(fields) + "\n}\n")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write the baseline {path}: {error.strerror}") from None
    return path


def read_baseline(folder: Path, name: str, recipe: str) -> Baseline | None:
    """The baseline, None where there is none; InputError for a damaged or later one."""
    path = baseline_path(folder, name, recipe)
    try:
        fields = json.loads(path.read_text())
        if fields["format"] != FORMAT:
            raise InputError(f"{path} has format {fields['format']}; this version reads {FORMAT}")
        fields["shapes"] = tuple(tuple(shape) for shape in fields["shapes"])
        for key in ("outcomes", "epochs_to_target", "weights"):
            fields[key] = tuple(fields.get(key, ()))
        return Baseline(**fields)
    except FileNotFoundError:
        return None
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the baseline {path} cannot be read ({error}); restore it or record it anew"
        ) from None


def require_comparable(baseline: Baseline, trial: Trial) -> None:
    """InputError where model shapes, recipe, data or protocol differ: then nothing can be compared."""
    shapes = tuple(tuple(shape) for shape in trial.identity["shapes"])
    if shapes != baseline.shapes:
        raise InputError(
            f"the baseline of {baseline.name} is of another architecture: weights of shapes "
            f"{_first_difference(baseline.shapes, shapes)}; record it anew"
        )
    for key in ("recipe", "data", "protocol"):
        was, now = getattr(baseline, key), trial.identity[key]
        if was != now:
            what = _differences(was, now) if isinstance(was, Mapping) else f"{was} then, {now} now"
            raise InputError(
                f"the baseline of {baseline.name} is of another {key} ({what}); record it anew"
            )


def environment_differences(baseline: Baseline) -> str:
    """How this environment differs from the recording one: `tensorflow 2.19.1 -> 2.21.0, ...`."""
    return _differences(baseline.environment, environment.describe())


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return ", ".join(f"{key} {was.get(key)} -> {now.get(key)}" for key in keys)


def _first_difference(was: Sequence[Any], now: Sequence[Any]) -> str:
    for a, b in zip(was, now, strict=False):
        if a != b:
            return f"{a} then, {b} now"
    return f"{len(was)} weights then, {len(now)} now"


def regression_plan(baseline: Baseline, budget: Budget) -> Plan | None:
    """The plan with p_good at the baseline's lower 95 % bound and p_bad DROP below; None where that
    leaves nothing to fall to."""
    p_good = int(100 * baseline.interval[0]) / 100
    p_bad = round(p_good - DROP, 2)
    if p_bad < _LEAST_BAD:
        return None
    return design_plan(p_good, p_bad, *budget.share)


def detectable_rate(plan: Plan) -> float:
    """The highest P(converged), to 0.01, at which the plan turns red with 90 % probability."""
    rates = (i / 100 for i in range(100, -1, -1))
    return next(r for r in rates if operating_characteristic(plan, r).accept <= 1 - _POWER)


def judge_reliability(baseline: Baseline, budget: Budget, trial_at: TrialAt) -> Verdict:
    """Whether P(converged) fell below the baseline's, read in seed order."""
    rate = baseline.converged / len(baseline.outcomes)
    try:
        plan = regression_plan(baseline, budget)
    except PlanError as error:
        plan, why = None, str(error)
    else:
        why = f"a baseline of {100 * rate:.0f} % leaves no fall of {100 * DROP:.0f} % to detect"
    if plan is None:
        return Verdict("as reliable", "cannot tell", 0, 0, (0.0, 1.0), note=why)
    verdict = judge_plan("as reliable", plan, lambda i: trial_at(i).outcome == "converged")
    seen = detectable_rate(plan)
    note = f"detects a fall from {100 * rate:.0f} % to {100 * seen:.0f} % with 90 % power"
    return replace(verdict, detects=seen, note=note)


def judge_speed(baseline: Baseline, budget: Budget, trial_at: TrialAt, count: int) -> Verdict:
    """Whether the first `count` trials take longer to their target than the baseline's.

    One-sided permutation test on the mean number of epochs (SciPy), every trial that did not
    converge counted at one epoch more than the recipe has. `count` must be fixed by the plans, not
    by what the trials showed. A gain is noted and green.
    """
    from scipy.stats import permutation_test

    censored = int(baseline.recipe["epochs"]) + 1
    then = np.array([epochs or censored for epochs in baseline.epochs_to_target], float)
    now = np.array([trial_at(i).epochs_to_target or censored for i in range(count)], float)
    result = permutation_test(
        (now, then),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        alternative="greater",
        n_resamples=99_999,
        rng=np.random.default_rng(0),
    )
    p = float(result.pvalue)
    alpha = budget.share[0]
    return Verdict(
        "as fast",
        "red" if p <= alpha else "green",
        int(sum(trial_at(i).outcome == "converged" for i in range(count))),
        count,
        (0.0, 1.0),
        alpha=alpha,
        note=f"{now.mean():.2f} epochs to target, baseline {then.mean():.2f}; p {p:.2g}",
    )
