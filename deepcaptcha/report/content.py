"""What the HTML report shows, computed from trials and verdicts; nothing here draws or reads a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from ..errors import InputError
from ..finding import percent
from ..trials.history import symptom_counts, symptom_lines
from ..trials.ledger import LedgerTrials, trial_key
from ..trials.source import is_named, row_text
from ..trials.trial import OUTCOMES, Target, Trial
from ..verdicts.claim import Colour, Summary, Verdict, summarise
from ..verdicts.judge import Evidence
from ..verdicts.plan import Plan
from .words import counts_text, interval_text, plural, row_names

Settings = Mapping[str, object]


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
    """How a sequential plan read its trials: `successes[n]` after n of them, from 0 on; a success is a
    trial that ended as `counted` says."""

    hypothesis: str
    colour: Colour
    counted: str
    successes: tuple[int, ...]
    plan: Plan


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
class ReportRow:
    """One factory under one recipe, with its trials in seed order; no evidence of a mere study."""

    name: str
    trials: tuple[Trial, ...]
    evidence: Evidence | None = None

    @property
    def settings(self) -> Settings:
        """How the trials were trained, as recorded."""
        return self.trials[0].settings

    @property
    def recipe(self) -> str:
        """The recipe's name, as recorded with its settings."""
        return str(self.settings.get("name", self.trials[0].recipe))

    @property
    def target(self) -> Target:
        """What the trials were to reach."""
        return self.trials[0].target

    @property
    def settings_text(self) -> str:
        """The settings but for name and target; where nobody chose a recipe the model was compiled, and
        its own optimizer and loss count."""
        inner = self.settings.get("optimizer_settings")
        flat = {**self.settings, **(inner if isinstance(inner, Mapping) else {})}
        told = {"name", "optimizer_settings", "monitor", "mode", "target", "epochs"}
        if not is_named(self.recipe):
            told |= {"optimizer", "loss", *(inner if isinstance(inner, Mapping) else ())}
        return ", ".join(f"{k} {v}" for k, v in flat.items() if k not in told and v is not None)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """None for a mere study."""
        return () if self.evidence is None else self.evidence.verdicts

    @property
    def title(self) -> str:
        """Of its section: the recipe's name, or what is to be reached where nobody gave it one."""
        return self.recipe if is_named(self.recipe) else self.target.text

    @property
    def colour(self) -> Colour | None:
        """The evidence's."""
        return None if self.evidence is None else self.evidence.colour

    @property
    def order(self) -> int:
        """Red rows come first."""
        return {"red": 0, "undecided": 1}.get(self.colour or "", 2)

    @cached_property
    def summary(self) -> Summary:
        """Of all trials."""
        return summarise(self.trials)

    @cached_property
    def chance(self) -> Chance:
        """From the first verdict that counted converged trials; else from the one that counted stuck
        ones, of which no converged one is: P(converge) <= 1 - P(stuck)."""
        if not self.verdicts:
            return Chance(self.summary.converged, self.summary.trials, self.summary.interval)
        for verdict in self.verdicts:
            if verdict.hypothesis in ("trains", "mixed", "as reliable") and verdict.trials:
                return Chance(verdict.successes, verdict.trials, verdict.interval)
        stuck = self.verdicts[0]
        converged = _successes(self.trials[: stuck.trials], "converged")[-1]
        return Chance(converged, stuck.trials, (0.0, 1 - stuck.interval[0]), bounded=True)

    @property
    def walks(self) -> tuple[Walk, ...]:
        """The walk of every verdict that a sequential plan gave."""
        found = []
        for verdict in self.verdicts:
            if (plan := verdict.plan) is not None:
                counted = "stuck" if verdict.hypothesis == "stuck" else "converged"
                successes = _successes(self.trials[: verdict.trials], counted)
                found.append(Walk(verdict.hypothesis, verdict.colour, counted, successes, plan))
        return tuple(found)

    @property
    def curves(self) -> list[tuple[Trial, list[float | None]]]:
        """Every trial with the monitored metric at the end of each epoch it trained, from the first on;
        None where it was not finite."""
        monitor = self.target.monitor
        return [(t, [epoch.metrics.get(monitor) for epoch in t.epochs]) for t in self.trials]

    @property
    def symptoms(self) -> str:
        """The diagnoses with their counts, most frequent first, such as `clipped 6, learning 1`."""
        return counts_text(symptom_counts(self.trials))

    @property
    def diagnoses(self) -> list[str]:
        """What explains that trainings missed their target, as the failing test tells it."""
        return symptom_lines(self.trials) if self.evidence is None else [*self.evidence.symptoms]

    @property
    def repairs(self) -> tuple[str, ...]:
        """What a search for a repair found, or how to look for one; none of a mere study."""
        return () if self.evidence is None else self.evidence.repairs

    @property
    def identified(self) -> str:
        """By what a function's trials are known again; empty of a mere study."""
        return "" if self.evidence is None else self.evidence.identified


def _successes(trials: Iterable[Trial], outcome: str) -> tuple[int, ...]:
    return tuple(accumulate((trial.outcome == outcome for trial in trials), initial=0))


def rows_of_ledger(ledger: LedgerTrials) -> tuple[ReportRow, ...]:
    """A row for every factory and recipe of a ledger; InputError for a seed trained in several ways."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in ledger.trials:
        groups.setdefault((trial.name, _settings_key(trial.settings)), []).append(trial)
    rows = []
    for (name, _), group in groups.items():
        found = LedgerTrials(tuple(group)).of(name, group[0].recipe)
        rows.append(ReportRow(name, tuple(found[seed] for seed in sorted(found))))
    return tuple(rows)


def rows_of_verdicts(reported: Sequence[Evidence], ledger: LedgerTrials) -> tuple[ReportRow, ...]:
    """A row for the evidence of every judged factory and recipe, its trials taken from the ledger.

    InputError where the ledger lacks one of them.
    """
    known = {trial_key(trial): trial for trial in ledger.trials}
    for evidence in reported:
        if missing := sum(key not in known for key in evidence.trials):
            raise InputError(
                f"the ledger lacks {missing} of {len(evidence.trials)} trials of "
                f"{evidence.name} {evidence.recipe}; no report was written"
            )
    return tuple(
        ReportRow(name, tuple(known[key] for key in evidence.trials), evidence)
        for name, evidence in zip(row_names(reported), reported, strict=True)
    )


def reached(trials: Sequence[Trial]) -> Reached:
    """The share of trainings that met the target by each epoch (SciPy's `ecdf`).

    A trial that missed it counts as observed to the last of its recipe's epochs, also where it was
    stopped on proof: the proof says that the rest would not have met it either. One that a callback
    ended counts as far as it went.
    """
    from scipy.stats import CensoredData, ecdf

    met = [t.epochs_to_target for t in trials if t.epochs_to_target is not None]
    missed = [
        len(t.epochs) if t.ended_early else t.target.epochs
        for t in trials
        if t.epochs_to_target is None
    ]
    estimate = ecdf(CensoredData(uncensored=met, right=missed)).cdf
    steps = {0: 0.0}
    for epoch, share in zip(estimate.quantiles, estimate.probabilities, strict=True):
        steps[int(epoch)] = float(share)
    steps.setdefault(max(t.target.epochs for t in trials), max(steps.values()))
    return Reached(tuple(steps), tuple(steps.values()), len(missed), len(trials))


def sections(rows: Iterable[ReportRow]) -> list[list[ReportRow]]:
    """The rows by recipe, in order of its name; in each, highest rate first; but what is red, and then
    what is undecided, before all else. Recipes of one name that
    differ, in their target or else, are sections of their own."""
    groups: dict[tuple[str, str], list[ReportRow]] = {}
    for row in rows:
        groups.setdefault((row.recipe, _settings_key(row.settings)), []).append(row)
    found = [
        sorted(
            group,
            key=lambda row: (row.order, -row.chance.converged / row.chance.trials, row.name),
        )
        for _, group in sorted(groups.items())
    ]
    return sorted(found, key=lambda group: group[0].order)


def _settings_key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def opening(rows: Sequence[ReportRow]) -> str:
    """One paragraph: what was trained, how it ended and, where it was judged, what the verdicts say."""
    factories = len({row.name for row in rows})
    counts = Counter(trial.outcome for row in rows for trial in row.trials)
    total = sum(counts.values())
    ends = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    under = ""
    if any(is_named(row.recipe) for row in rows):
        recipes = len({_settings_key(row.settings) for row in rows})
        under = f" under {plural(recipes, 'recipe')}"
    text = (
        f"{plural(total, 'training')} of {plural(factories, 'factory', 'factories')}{under}: {ends} "
        f"({percent(counts['converged'] / total)} converged)."
    )
    colours = Counter(row.colour for row in rows)
    if colours.keys() == {None}:
        full = sum(row.summary.converged == row.summary.trials for row in rows)
        return f"{text} Every training converged in {full} of {plural(len(rows), 'row')}."
    red = [row_text(row.name, row.recipe) for row in rows if row.colour == "red"]
    named = f" Red: {', '.join(red)}." if red else ""
    yellow = f"{colours['yellow']} yellow, " if colours["yellow"] else ""
    yellow += f"{colours['undecided']} undecided, " if colours["undecided"] else ""
    return (
        f"{plural(len(rows), 'row')} judged: {colours['red']} red, {yellow}{colours['green']} green, "
        f"{colours['cannot tell']} cannot tell.{named} {text}"
    )


def environment_lines(rows: Iterable[ReportRow]) -> list[str]:
    """A line for every environment the trials were run in, with their number if there are several."""
    counts = Counter(
        _environment_text(trial.identity.get("environment", {}))
        for row in rows
        for trial in row.trials
    )
    if len(counts) == 1:
        return list(counts)
    return [f"{plural(count, 'trial')}: {text}" for text, count in counts.most_common()]


def _environment_text(facts: Settings) -> str:
    backends = ("tensorflow", "jax", "torch")
    shown = (*backends, "keras", "numpy", "python", "processor", "machine", "device")
    parts = [f"{key} {facts[key]}" for key in shown if facts.get(key)]
    if isinstance(threads := facts.get("threads"), int):
        parts.append(plural(threads, "thread"))
    if "onednn" in facts:
        parts.append(f"oneDNN {'on' if facts['onednn'] else 'off'}")
    return ", ".join(parts) or "environment not recorded"


def seeds_text(rows: Iterable[ReportRow]) -> str:
    """The seeds of all rows as ranges, such as `0-4, 2000000-2000013`."""
    seeds = sorted({trial.seed for row in rows for trial in row.trials})
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)
