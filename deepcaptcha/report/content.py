"""What the HTML report shows, computed from trials and verdicts; nothing here draws or reads a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..finding import percent
from ..networks.recipes import target_text
from ..trials.history import symptom_counts, symptom_lines
from ..trials.ledger import Records, trial_key
from ..trials.trial import Trial
from ..verdicts.claim import Colour
from .words import OUTCOMES, Summary, counts_text, interval_text, row_names, summarise

Evidence = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """The monitored metric of one seed at the end of each epoch it trained, from the first on; None
    where it was not finite."""

    seed: int
    outcome: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Reached:
    """Kaplan and Meier's (1958) estimate of the share of trainings that met the target.

    From the end of epoch `epochs[i]`, rising from 0, the share is `shares[i]`. `missed` trials of
    `trials` had not met it when their epochs were over (censored there).
    """

    epochs: tuple[int, ...]
    shares: tuple[float, ...]
    missed: int
    trials: int


@dataclass(frozen=True)
class Walk:
    """How a sequential plan read its trials: `successes[n]` after n of them, from 0 on. `accept` and
    `reject` are the plan's boundaries (`deepcaptcha.plan.Plan`)."""

    hypothesis: str
    colour: Colour
    successes: tuple[int, ...]
    accept: tuple[int, ...]
    reject: tuple[int, ...]


@dataclass(frozen=True)
class Chance:
    """P(converge): `converged` of `trials`, and its exact 95 % interval.

    `bounded`: the plan counted stuck trials, so the interval only says how large P(converge) may be.
    """

    converged: int
    trials: int
    interval: tuple[float, float]
    bounded: bool = False

    @property
    def text(self) -> str:
        """The interval in words."""
        if self.bounded:
            return f"at most {interval_text((0, self.interval[1])).removeprefix('0-')}"
        return interval_text(self.interval)


@dataclass(frozen=True)
class Row:
    """One factory under one recipe, with its trials in seed order; no verdicts for a mere study."""

    name: str
    trials: tuple[Trial, ...]
    summary: Summary
    chance: Chance
    claim: str = ""
    verdicts: tuple[Evidence, ...] = ()
    walks: tuple[Walk, ...] = ()

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe as recorded."""
        recipe: Mapping[str, Any] = self.trials[0].identity["recipe"]
        return recipe

    @property
    def colour(self) -> Colour | None:
        """Red with any red verdict, else green with any green one; None without verdicts."""
        colours = {verdict["colour"] for verdict in self.verdicts}
        found: tuple[Colour, ...] = ("red", "green", "cannot tell")
        return next((colour for colour in found if colour in colours), None)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """A curve a trial."""
        monitor = self.recipe["monitor"]
        return tuple(
            Curve(t.seed, t.outcome, tuple(epoch.metrics.get(monitor) for epoch in t.epochs))
            for t in self.trials
        )

    @property
    def symptoms(self) -> str:
        """The diagnoses with their counts, most frequent first, such as `clipped 6, learning 1`."""
        return counts_text(symptom_counts(self.trials))

    @property
    def diagnoses(self) -> list[str]:
        """The diagnoses as sentences."""
        return symptom_lines(self.trials)


@dataclass(frozen=True)
class Section:
    """The rows of one recipe, highest rate first."""

    recipe: str
    target: str
    settings: str
    rows: tuple[Row, ...]


def rows_of_ledger(records: Records) -> tuple[Row, ...]:
    """A row for every factory and recipe of a ledger; InputError for a seed trained in several ways."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in records.trials:
        key = (trial.name, _recipe_key(trial.identity["recipe"]))
        groups.setdefault(key, []).append(trial)
    rows = []
    for (name, _), group in groups.items():
        found = Records(tuple(group)).of(name, group[0].recipe)
        trials = tuple(found[seed] for seed in sorted(found))
        summary = summarise(trials)
        chance = Chance(summary.converged, summary.trials, summary.interval)
        rows.append(Row(name, trials, summary, chance))
    return tuple(rows)


def rows_of_verdicts(reported: Sequence[Evidence], records: Records) -> tuple[Row, ...]:
    """A row for the evidence of every judged factory and recipe, its trials taken from the ledger.

    InputError where the ledger lacks one of them.
    """
    known = {trial_key(trial): trial for trial in records.trials}
    rows = []
    for name, evidence in zip(row_names(reported), reported, strict=True):
        missing = sum(key not in known for key in evidence["trials"])
        if missing:
            raise InputError(
                f"the ledger lacks {missing} of {len(evidence['trials'])} trials of "
                f"{evidence['name']} {evidence['recipe']}; no report was written"
            )
        trials = tuple(known[key] for key in evidence["trials"])
        rows.append(
            Row(
                name,
                trials,
                summarise(trials),
                _chance(evidence, trials),
                evidence["claim"],
                tuple(evidence["verdicts"]),
                walks(evidence, trials),
            )
        )
    return tuple(rows)


def _chance(evidence: Evidence, trials: Sequence[Trial]) -> Chance:
    """From the first verdict that counted converged trials; else from the one that counted stuck
    ones, of which no converged one is: P(converge) <= 1 - P(stuck)."""
    for verdict in evidence["verdicts"]:
        if verdict["hypothesis"] in ("trains", "mixed", "as reliable") and verdict["trials"]:
            low, high = verdict["interval"]
            return Chance(verdict["successes"], verdict["trials"], (low, high))
    stuck = evidence["verdicts"][0]
    read = trials[: stuck["trials"]]
    converged = sum(trial.outcome == "converged" for trial in read)
    return Chance(converged, len(read), (0.0, 1 - stuck["interval"][0]), bounded=True)


def walks(evidence: Evidence, trials: Sequence[Trial]) -> tuple[Walk, ...]:
    """The walk of every verdict that a sequential plan gave, over `trials` in the order read."""
    found = []
    for verdict in evidence["verdicts"]:
        if verdict["hypothesis"] == "mixed" or not verdict["trials"]:
            continue
        rates = (verdict["p_good"], verdict["p_bad"])
        plan = next((p for p in evidence["plans"] if (p["p_good"], p["p_bad"]) == rates), None)
        if plan is None:  # the comparison of speed reads a fixed number
            continue
        counted = "stuck" if verdict["hypothesis"] == "stuck" else "converged"
        successes = [0]
        for trial in trials[: verdict["trials"]]:
            successes.append(successes[-1] + (trial.outcome == counted))
        found.append(
            Walk(
                verdict["hypothesis"],
                verdict["colour"],
                tuple(successes),
                tuple(plan["accept"]),
                tuple(plan["reject"]),
            )
        )
    return tuple(found)


def reached(trials: Sequence[Trial]) -> Reached:
    """The share of trainings that met the target by each epoch (SciPy's `ecdf`).

    A trial that missed it counts as observed to the last of its recipe's epochs, also where it was
    stopped on proof: the proof says that the rest would not have met it either. One that a callback
    ended counts as far as it went.
    """
    from scipy.stats import CensoredData, ecdf

    met = [t.epochs_to_target for t in trials if t.epochs_to_target is not None]
    missed = [
        len(t.epochs) if t.ended_early else int(t.identity["recipe"]["epochs"])
        for t in trials
        if t.epochs_to_target is None
    ]
    planned = max(int(trial.identity["recipe"]["epochs"]) for trial in trials)
    estimate = ecdf(CensoredData(uncensored=met, right=missed)).cdf
    steps = {0: 0.0}
    for epoch, share in zip(estimate.quantiles, estimate.probabilities, strict=True):
        steps[int(epoch)] = float(share)
    steps.setdefault(planned, max(steps.values()))
    return Reached(tuple(steps), tuple(steps.values()), len(missed), len(trials))


def sections(rows: Iterable[Row]) -> tuple[Section, ...]:
    """The rows by recipe, in order of its name; in each, highest rate first. Recipes of one name that
    differ, in their target or else, are sections of their own."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.recipe["name"], _recipe_key(row.recipe)), []).append(row)
    found = []
    for (name, _), group in sorted(groups.items()):
        recipe = group[0].recipe
        group.sort(key=lambda row: (-row.chance.converged / row.chance.trials, row.name))
        found.append(Section(name, target_text(recipe), _settings_text(recipe), tuple(group)))
    return tuple(found)


def _recipe_key(recipe: Mapping[str, Any]) -> str:
    return json.dumps(recipe, sort_keys=True)


def _settings_text(recipe: Mapping[str, Any]) -> str:
    flat = {**recipe, **recipe.get("optimizer_settings", {})}
    told = {"name", "optimizer_settings", "monitor", "mode", "target", "epochs"}
    return ", ".join(f"{k} {v}" for k, v in flat.items() if k not in told and v is not None)


def opening(rows: Sequence[Row]) -> str:
    """One paragraph: what was trained, how it ended and, where it was judged, what the verdicts say."""
    factories = len({row.name for row in rows})
    recipes = len({_recipe_key(row.recipe) for row in rows})
    counts = Counter(trial.outcome for row in rows for trial in row.trials)
    total = sum(counts.values())
    ends = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    text = (
        f"{plural(total, 'training')} of {plural(factories, 'factory', 'factories')} under "
        f"{plural(recipes, 'recipe')}: {ends} ({percent(counts['converged'] / total)} converged)."
    )
    colours = Counter(row.colour for row in rows)
    if not any(colours[colour] for colour in ("red", "green", "cannot tell")):
        full = sum(row.summary.converged == row.summary.trials for row in rows)
        return f"{text} Every training converged in {full} of {plural(len(rows), 'row')}."
    red = [f"{row.name} under {row.recipe['name']}" for row in rows if row.colour == "red"]
    named = f" Red: {', '.join(red)}." if red else ""
    return (
        f"{plural(len(rows), 'row')} judged: {colours['red']} red, {colours['green']} green, "
        f"{colours['cannot tell']} cannot tell.{named} {text}"
    )


def environment_lines(rows: Iterable[Row]) -> list[str]:
    """A line for every environment the trials were run in, with their number if there are several."""
    counts: Counter[str] = Counter()
    for row in rows:
        for trial in row.trials:
            facts = trial.identity.get("environment", {})
            counts[_environment_text(facts)] += 1
    if len(counts) == 1:
        return list(counts)
    return [f"{plural(count, 'trial')}: {text}" for text, count in counts.most_common()]


def _environment_text(facts: Mapping[str, Any]) -> str:
    shown = ("tensorflow", "keras", "numpy", "python", "processor", "machine")
    parts = [f"{key} {facts[key]}" for key in shown if facts.get(key)]
    if "threads" in facts:
        parts.append(plural(facts["threads"], "thread"))
    if "onednn" in facts:
        parts.append(f"oneDNN {'on' if facts['onednn'] else 'off'}")
    return ", ".join(parts) or "environment not recorded"


def seeds_text(rows: Iterable[Row]) -> str:
    """The seeds of all rows as ranges, such as `0-4, 2000000-2000013`."""
    seeds = sorted({trial.seed for row in rows for trial in row.trials})
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 trial`, `2 trials`; thousands set apart by commas."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"
