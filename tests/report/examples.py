"""Trials, evidence and rows that the tests of this room share."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from deepcaptcha.networks.recipes import Recipe
from deepcaptcha.report.content import rows_of_ledger, rows_of_verdicts
from deepcaptcha.trials.ledger import LedgerTrials, trial_key
from deepcaptcha.trials.trial import Epoch, Target
from deepcaptcha.verdicts import claim as claims
from deepcaptcha.verdicts.claim import Budget, Claim
from deepcaptcha.verdicts.judge import judge
from deepcaptcha.verdicts.plan import Plan
from tests.helpers import make_trial

RECIPE = Recipe(name="points", target=Target(epochs=5))
CURVES = {
    "converged": (0.5, 0.95),
    "stuck": (0.1, 0.1),
    "slow": (0.2, 0.4, 0.6, 0.7, 0.8),
    "diverged": (0.3, None),
}

STOPS = {"converged": "target", "stuck": "frozen", "slow": "epochs", "diverged": "not finite"}

# Green from 3 successes on, red at 2 failures or more, decided after 4 trials at the latest.
PLAN = Plan(0.9, 0.5, 0.1, 0.4, 4, (1, 2, 3, 3, 3), (-1, -1, 0, 1, 2))


def trained(seed=0, outcome="converged", name="same", recipe=RECIPE, values=None):
    """A trial with a learning curve."""
    values = CURVES[outcome] if values is None else values
    trial = make_trial(seed, name, outcome, epochs=len(values))
    loss = {"stuck": 14.5, "diverged": None}.get(outcome, 0.3)
    accuracy = 0.1 if outcome == "stuck" else 0.5
    return replace(
        trial,
        recipe=recipe.name,
        frozen_at_step=300 if outcome == "stuck" else None,
        stop_reason=STOPS[outcome],
        epochs=tuple(
            Epoch({"loss": loss, "accuracy": accuracy, recipe.target.monitor: value}, 0.99, True)
            for value in values
        ),
        identity={
            "seed": seed,
            "factory": name,
            "recipe": recipe.as_dict(),
            "environment": {"tensorflow": "2.21.0", "threads": 1, "onednn": True},
        },
    )


def judged(name, outcomes, kind="trains", test=""):
    """(evidence, trials) of a claim judged by PLAN."""
    trials = [trained(seed, outcome, name) for seed, outcome in enumerate(outcomes)]
    source = SimpleNamespace(name=name, recipe=RECIPE.name, target=RECIPE.target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "design_plan", lambda *rates: PLAN)
        claim = Claim(kind, PLAN.p_good, PLAN.p_bad)
        evidence = judge(source, claim, Budget(1), trials.__getitem__, test=test)
    return evidence, trials[: len(evidence.trials)]


LONG = "tests.models.test_a_name_that_never_seems_to_end[adam-1e-3]"
LOSS = replace(RECIPE, name="loss", target=Target(0.05, 40, "val_loss", "min"))


def study_rows():
    trials = [trained(seed, outcome, "all-four") for seed, outcome in enumerate(CURVES)]
    trials += [trained(seed, name="<b>&'\"$x_1$") for seed in range(3)]
    for seed, outcome in enumerate(["converged", "slow"]):
        values = [2.3 / (1 + epoch) for epoch in range(40)]
        trials.append(trained(seed, outcome, LONG, LOSS, values))
    return rows_of_ledger(LedgerTrials(tuple(trials)))


HOSTILE = (
    "<script>document.title = 'run'</script>",
    '"><img src=x onerror="document.title=\'run\'">',
    "</svg></title></style><h1>large</h1>",
    "$\\frac{1}{0}$ {{ 7 * 7 }} | `a` **b** [c](javascript:d)",
    "\x1b[2J\x1b[31mred\0\r\nnext\n::error::line",
    "report \u202egnp.exe \u2066\u200f\u05d0\u05d1",
    "half a letter \udc80\ud800",
    "W" * 24,
    "\U0001f468\u200d\U0001f469" * 12,
    "long" * 300,
)
"""Names, and whatever else is anybody's text."""


def hostile_rows():
    """Of the first half verdicts are red; each recipe and metric has a hostile name too."""
    evidence, found = [], []
    for place, name in enumerate(HOSTILE):
        outcomes = ["stuck", "diverged", "slow"] if place < len(HOSTILE) / 2 else ["converged"] * 3
        told, trials = judged(name, outcomes, test=name)
        evidence.append(replace(told, recipe=name, compiled=name, again=name, repairs=(name,)))
        other = replace(RECIPE, name=name, target=Target(0.9, 5, name))
        for trial in trials:
            values = [epoch.metrics["val_accuracy"] for epoch in trial.epochs]
            again = trained(trial.seed, trial.outcome, name, other, values)
            found.append(replace(again, identity=trial.identity | {"recipe": other.as_dict()}))
        keys = tuple(map(trial_key, found[-len(trials) :]))
        evidence[-1] = replace(evidence[-1], trials=keys)
    return rows_of_verdicts(evidence, LedgerTrials(tuple(found)))


def verdict_rows():
    evidence, found = [], []
    for name, outcomes, kind in (
        ("mine", ["converged"] * 3, "trains"),
        ("broken", ["stuck", "diverged", "slow"], "trains"),
        ("hopeless", ["stuck"] * 3, "stuck"),
    ):
        told, trials = judged(name, outcomes, kind)
        evidence.append(told)
        found += trials
    return rows_of_verdicts(evidence, LedgerTrials(tuple(found)))
