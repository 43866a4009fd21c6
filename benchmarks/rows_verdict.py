"""How long all verdicts take, against tests a user would write by hand.

Nobody trains hundreds of models for a benchmark: the numbers of trials follow from the plans and the
recorded baselines, and only the speed is timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from deepcaptcha.networks.recipes import RECIPES, Recipe
from deepcaptcha.networks.variants import HYPOTHESES, VARIANTS
from deepcaptcha.trials.worker import cores
from deepcaptcha.verdicts.baseline import Baseline, read_baseline
from deepcaptcha.verdicts.claim import Budget
from deepcaptcha.verdicts.design import design_plan, fixed_plan
from deepcaptcha.verdicts.plan import Plan

from .arithmetic import (
    Pace,
    Work,
    compare_work,
    expected_trials,
    fixed_work,
    sequential_work,
    stopping_plan,
)
from .processes import PEERS, REPOSITORY, Measured, Team, interleave, require_module
from .row import Benchmark, Row
from .rows_speed import median, rate

RATES = (0.85, 0.5, *Budget(HYPOTHESES).share)
"""The reference claim: p_good, p_bad and one hypothesis' share of the suite's error rates."""

BASELINES = REPOSITORY / "fixtures" / "baselines"
_BARS = tuple(bar / 100 for bar in range(50, 86))  # from p_bad to p_good its own theory holds
_MOST = 400

_CLAIM = (
    f"every variant with a baseline judged once by the claim trains {RATES[0]}/{RATES[1]} at "
    f"alpha = beta = {RATES[2]:.2g} (the suite's 5 % over {HYPOTHESES})"
)
_TIMED = (
    "timed in this run: samples/s, seconds a trial and a model cost besides, examples and seconds until "
    "a stuck trial of `same` is proved so, the proof's seconds counted as examples; extrapolated: the "
    "rest, from the plans and fixtures/baselines, with the speed of `valid` for all variants on both "
    "sides"
)


def _baselines(recipe: Recipe) -> list[Baseline]:
    found = [read_baseline(BASELINES, name, recipe.name) for name in VARIANTS]
    return [baseline for baseline in found if baseline is not None]


def _our_pace(measured: Mapping[str, Measured]) -> Pace:
    # A trial's own costs are in the rate: it was taken from whole trials of one epoch.
    ready = statistics.median(float(facts["seconds"]) for facts in measured["trial"].ready)
    tracing = max(ready - median(measured["trial"], "seconds"), 0.0)
    return Pace(rate(measured["trial"]), cores(), setup=tracing)


def _peer_pace(measured: Mapping[str, Measured]) -> Pace:
    return Pace(rate(measured["fit"]), cores(), overhead=median(measured["fit"], "overhead"))


def _our_work(measured: Mapping[str, Measured], recipe: Recipe) -> Work:
    return sequential_work(
        design_plan(*RATES),
        _baselines(recipe),
        _epoch(recipe),
        recipe.target.epochs,
        _stuck_examples(measured, recipe),
    )


def _stuck_examples(measured: Mapping[str, Measured], recipe: Recipe) -> float:
    """What a stuck trial takes, in examples of `valid`: those it trains until it is proved stuck, and
    as many as would fit into its other seconds. The proof reads every training example, so these grow
    with their number."""
    turns = [facts for turn in measured["stuck"].turns for facts in turn]
    trained = statistics.fmean(float(facts["samples"]) for facts in turns)
    seconds = statistics.fmean(float(facts["seconds"]) for facts in turns)
    besides = max(seconds * rate(measured["trial"]) / cores() - trained, 0.0)
    return trained + besides * _epoch(recipe) / _epoch(RECIPES["raw-subset"])


def _epoch(recipe: Recipe) -> int:
    return round(recipe.n_train * (1 - (recipe.validation_split or 0)))


def _row(name: str, measured: Mapping[str, Measured], recipe: Recipe, peer: Work, how: str) -> Row:
    ours, our_pace, peer_pace = (
        _our_work(measured, recipe),
        _our_pace(measured),
        _peer_pace(measured),
    )
    product = compare_work(ours, our_pace, peer, peer_pace)
    text = (
        f"{_CLAIM}; {product.ratio:.3g} = {product.trials:.3g} (trials a verdict, "
        f"{peer.trials_per_verdict:.1f} / {ours.trials_per_verdict:.1f}) x {product.samples:.3g} "
        f"(examples a trial, {peer.samples_per_trial:,.0f} / {ours.samples_per_trial:,.0f}) x "
        f"{product.speed:.3g} (examples/s with all a trial costs, "
        f"{our_pace.effective_rate(ours):,.0f} / {peer_pace.effective_rate(peer):,.0f}); {how}; "
        f"{_TIMED}"
    )
    return Row(
        name,
        our_pace.seconds(ours) / 60,
        peer_pace.seconds(peer) / 60,
        product.ratio,
        f"minutes to {ours.verdicts} verdicts",
        text,
    )


def _fixed(name: str, measured: Mapping[str, Measured], recipe: Recipe, note: str) -> Row:
    trials, threshold = fixed_plan(*RATES)
    peer = fixed_work(len(_baselines(recipe)), trials, recipe.target.epochs * _epoch(recipe))
    how = (
        f"peer: a test file over variants x {trials} seeds ({threshold} must converge), a new model "
        f"and model.fit for all {recipe.target.epochs} epochs each, pytest -n auto, default settings"
    )
    return _row(name, measured, recipe, peer, how + note)


def _raw_subset(measured: Mapping[str, Measured]) -> Row:
    return _fixed("verdict-raw-subset", measured, RECIPES["raw-subset"], "")


def _question(measured: Mapping[str, Measured]) -> Row:
    note = (
        "; assumed: a stuck trial trains as many examples as on the subset, and its proof takes as long "
        "for each example it reads"
    )
    return _fixed("verdict-question", measured, RECIPES["question"], note)


def _pytest_probability(measured: Mapping[str, Measured]) -> Row:
    require_module("pytest_probability")
    recipe = RECIPES["raw-subset"]
    bar, plan, trials = _best_bar(recipe)
    verdicts = len(_baselines(recipe))
    peer = fixed_work(verdicts, trials / verdicts, recipe.target.epochs * recipe.n_train)
    how = (
        "peer: a plain model.fit for all epochs in a bench_ function under pytest-probability's "
        f"--prob-stop=sequential with min_rate={bar:g} (the bar with the fewest trials of "
        f"{len(_BARS)}), confidence=1-{RATES[2]:.2g}, runs={plan.max_trials}: the fewest that keep "
        "both rates; undecided counts as failed, and stops once it cannot pass"
    )
    return _row("verdict-pytest-probability", measured, recipe, peer, how)


def _best_bar(recipe: Recipe) -> tuple[float, Plan, float]:
    """The bar in the peer's favour: with the fewest expected trials over all baselines."""
    arguments = {"bars": _BARS, "level": 1 - RATES[2], "most": _MOST}
    team = Team("peers", "cutoffs", 1, arguments, interpreter=PEERS)
    (facts,) = interleave({"cutoffs": team}, repeats=0)["cutoffs"].ready
    found = []
    for bar in _BARS:
        plan = stopping_plan(RATES, facts["cutoffs"][str(bar)])
        if plan is not None:
            trials = sum(expected_trials(plan, baseline) for baseline in _baselines(recipe))
            found.append((bar, plan, trials))
    return min(found, key=lambda choice: choice[2])


_TEAMS = ("trial", "stuck", "fit")
BENCHMARKS = (
    Benchmark("verdict-raw-subset", _raw_subset, _TEAMS),
    Benchmark("verdict-question", _question, _TEAMS),
    Benchmark("verdict-pytest-probability", _pytest_probability, _TEAMS),
)
