"""The commands that measure and train, each beside its options; `explain` has a file of its own.

Keras is imported where something is trained.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
from argparse import ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from deepcaptcha.cli.arguments import command, flag, names, option, shared, whole_number
from deepcaptcha.cli.progress import shown_progress, trial_progress
from deepcaptcha.errors import InputError
from deepcaptcha.finding import percent
from deepcaptcha.keras import environment
from deepcaptcha.networks import captcha
from deepcaptcha.networks.recipes import RECIPES, Recipe, find_recipe, load_examples
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.report.table import Table, columns
from deepcaptcha.report.words import interval_text
from deepcaptcha.trials import seeds
from deepcaptcha.trials.history import PREDICTORS, symptom_counts
from deepcaptcha.trials.ledger import read_ledger
from deepcaptcha.trials.runner import Runner
from deepcaptcha.trials.source import Source
from deepcaptcha.trials.trial import Trial
from deepcaptcha.trials.worker import cores
from deepcaptcha.verdicts.baseline import Baseline, differences, read_baseline
from deepcaptcha.verdicts.plan import binomial_interval

from .experiments import EXPERIMENTS, Condition, Experiment
from .judging import Confusion, Scored, associate, score_checks
from .record import ExperimentRecord, require_baseline, write_measured
from .resumable import Key, fingerprint, measure_all


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """The type of lists of known names separated by commas."""

    def read(text: str) -> list[str]:
        found = names(text)
        if unknown := [name for name in found if name not in known]:
            raise ArgumentTypeError(f"unknown {unknown[0]!r}; known: {', '.join(known)}")
        return found

    return read


_BASELINES = option(
    "--baselines", "folder of what was recorded", None, Path, Path("fixtures") / "baselines"
)
_ROWS = (
    option("--variants", "", None, _some_of(VARIANTS), ",".join(VARIANTS)),
    option("--recipes", "", None, _some_of(RECIPES), "raw-subset,sound-subset"),
    _BASELINES,
)


@command(
    "Run the interventions that test why `same` gets stuck.",
    option(
        "names",
        "such as step,rescue; default: all of them",
        None,
        _some_of([each.name for each in EXPERIMENTS]),
        nargs="?",
    ),
    option("--seeds", "other than as many as are declared", None, whole_number()),
    option("--record", "folder to write the results into", None, Path),
    _BASELINES,
    *shared(output=Path("build/experiments"), jobs=None),
)
def experiment(options: Namespace) -> int:
    """Run the interventions that test why `same` gets stuck."""
    chosen = [each for each in EXPERIMENTS if not options.names or each.name in options.names]
    here = environment.describe()
    wanted: dict[Key, tuple[object, ...]] = {}
    for each in chosen:
        for condition in each.conditions:
            stands_for = fingerprint(asdict(condition), here)
            for seed in _seeds(each, condition, options):
                wanted[each.name, condition.label, seed, stands_for] = each.measure, condition, seed
    cells: dict[str, dict[str, dict[int, Any]]] = {}
    for key, result in _measure("measure_condition", wanted, options).items():
        cells.setdefault(str(key[0]), {}).setdefault(str(key[1]), {})[int(key[2])] = result
    if options.record:
        for name in cells:
            write_measured(options.record, name, cells[name], here)
    if options.json:
        print(json.dumps(cells))
        return 0
    for each in chosen:
        measured = ExperimentRecord(each.name, cells[each.name], here, "")
        rows = ((k, str(len(v)), _shown(each, measured, k)) for k, v in measured.cells.items())
        titles = columns("<condition", "seeds", "<shown")
        Table(f"{each.name}: {each.link}", titles, tuple(rows)).write(sys.stdout)
        print()
    return 0


def _seeds(experiment: Experiment, condition: Condition, options: Namespace) -> list[int]:
    if experiment.measure != "trajectory":
        return list(seeds.take("baseline", options.seeds or experiment.seeds))
    baseline = require_baseline(options.baselines, "same", "raw-subset")
    outcome = "converged" if condition.label == "converging" else "stuck"
    if outcome not in baseline.outcomes:
        raise InputError(
            f"the baseline of same raw-subset in {options.baselines} has no trial that is {outcome}; "
            "give --baselines one that has"
        )
    return [baseline.first_seed + baseline.outcomes.index(outcome)]


def _measure(
    name: str, wanted: Mapping[Key, tuple[object, ...]], options: Namespace, fresh: bool = False
) -> Mapping[Key, Any]:
    """What the laboratory's function of this name returns for each key and its arguments."""
    with shown_progress(len(wanted), options.json) as advance:
        return measure_all(
            partial(_in_laboratory, name),
            wanted,
            options.output / "measured.jsonl",
            options.jobs,
            lambda key: advance("{} {} seed {}".format(*key[:3])),
            fresh=fresh,
        )


def _in_laboratory(name: str, *arguments: object) -> object:
    from . import laboratory  # in a worker, which then imports Keras

    return getattr(laboratory, name)(*arguments)


def _shown(experiment: Experiment, measured: ExperimentRecord, label: str) -> str:
    results = measured.results(label)
    if experiment.measure == "step":
        moved, lost = (measured.median(label, key) for key in ("movement", "lost_after"))
        return f"logits move {moved:.3g} nats, {percent(lost)} lost after the step"
    if experiment.measure == "trajectory":
        step, zero, _, moved, _ = results[0][-1]
        return f"at step {step} {percent(zero)} with zero gradient, logits {moved:.3g} nats away"
    counts = Counter(result["outcome"] for result in results)
    return ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common())


@command(
    "Score the check's errors against how recorded trials ended.",
    *_ROWS,
    option("--seeds", "of each row", None, whole_number(), 30),
    flag("--fresh", "check again what is held"),
    *shared(output=Path("build/predict"), jobs=None),
)
def predict(options: Namespace) -> int:
    """Score the check's errors against how recorded trials ended."""
    here = environment.describe()
    wanted: dict[Key, tuple[object, ...]] = {}
    recorded: dict[Key, str] = {}
    for recipe in map(find_recipe, options.recipes):
        for name in options.variants:
            baseline = require_baseline(options.baselines, name, recipe.name)
            if len(baseline.outcomes) < options.seeds:
                raise InputError(
                    f"--seeds is {options.seeds}; the baseline of {name} {recipe.name} has "
                    f"{len(baseline.outcomes)}"
                )
            stands_for = fingerprint(recipe.as_dict(), here)
            for place in range(options.seeds):
                key: Key = name, recipe.name, baseline.first_seed + place, stands_for
                wanted[key] = name, recipe, baseline.first_seed + place
                recorded[key] = baseline.outcomes[place]
    checks: dict[str, list[Mapping[str, Any]]] = {}
    for key, found in _measure("check_start", wanted, options, options.fresh).items():
        checks.setdefault(found["recipe"], []).append({**found, "outcome": recorded[key]})
    if options.json:
        print(json.dumps(checks))
        return 0
    for name, scored in checks.items():
        _prediction_table(name, score_checks(scored)).write(sys.stdout)
        print()
    return 0


def _prediction_table(recipe: str, scored: Scored) -> Table:
    def shares(counts: Confusion) -> list[str]:
        both = (counts.precision, counts.alarms), (counts.recall, counts.stuck)
        return ["-" if value is None else f"{percent(value)} of {of}" for value, of in both]

    rows = [
        (name, scored.by_network[name], f"{threshold:.2f}", left_out)
        for name, (threshold, left_out) in scored.others.items()
    ]
    figures = ("precision", "recall")
    return Table(
        f"{recipe}: does an error of the check foretell a stuck trial?",
        columns("<variant", "stuck", "errors", *figures, "others' threshold", *figures),
        tuple(
            (
                name,
                *(f"{count} / {fixed.trials}" for count in (fixed.stuck, fixed.alarms)),
                *(*shares(fixed), threshold, *shares(left_out)),
            )
            for name, fixed, threshold, left_out in (
                *rows,
                ("all", scored.fixed, "", scored.left_out),
            )
        ),
    )


@command(
    "Train recorded trials, drawn at random, again.",
    *_ROWS,
    option("--trials", "how many", None, whole_number(), 10),
    option("--draw", "number of a drawing, to repeat it", None, whole_number(0)),
    option("--data", "an mnist.npz, or 'keras', in place of the recorded name"),
    *shared(output=Path("build/retrain"), jobs=None),
)
def retrain(options: Namespace) -> int:
    """Train recorded trials, drawn at random, again and say which agree; 1 if one does not although the
    environment is the recording one."""
    rows = [(name, recipe) for recipe in options.recipes for name in options.variants]
    found = [read_baseline(options.baselines, *row) for row in rows]
    every = [(b, place) for b in found if b is not None for place in range(len(b.outcomes))]
    count = options.trials
    if count > len(every):
        raise InputError(f"--trials is {count}; {len(every)} are recorded in {options.baselines}")
    drawing = secrets.randbelow(10**6) if options.draw is None else options.draw
    drawn = random.Random(drawing).sample(every, count)
    wanted = [(_recorded_source(b, options.data), b.first_seed + place) for b, place in drawn]
    jobs = options.jobs or cores()
    with (
        trial_progress(count, options.json, []) as advance,
        Runner(options.output, reuse=False, jobs=jobs, on_trial=advance) as runner,
    ):
        trials = runner.run_all(wanted)
    compared, elsewhere, code = [], set(), 0
    for (baseline, place), trial in zip(drawn, trials, strict=True):
        compared.append(_compared(baseline, place, trial))
        if difference := differences(baseline.environment, trial.identity["environment"]):
            elsewhere.add(difference)
        elif baseline.weights and compared[-1][-1] != "same bits":
            code = 1
    same = [row[-1] for row in compared]
    if options.json:
        print(json.dumps({"draw": drawing, "environment": sorted(elsewhere), "agreement": same}))
        return code
    titles = columns("<variant", "<recipe", "seed", "<recorded", "<again", "<agreement")
    Table("Recorded trials, trained again", titles, tuple(compared)).write(sys.stdout)
    print(f"\n{same.count('same bits')} of {count} ended with the very same weights, ", end="")
    print(f"{count - same.count('differs')} with the same outcome after the same epochs.")
    for difference in sorted(elsewhere):
        print(f"Not the environment of the record: {difference}.")
    print(f"Drawn again by --draw {drawing}.")
    return code


def _recorded_source(baseline: Baseline, data: str | None) -> Source:
    recipe = Recipe.from_dict(baseline.recipe)
    carried = recipe.data in ("subset", captcha.SOURCE)
    if data is not None and not carried:
        recipe = replace(recipe, data=data)
    if load_examples(recipe).sha256 != baseline.data:
        fix = "record it anew" if carried else "give --data the file it was recorded from"
        raise InputError(
            f"{baseline.name} {recipe.name} was recorded with other digits than those in "
            f"{recipe.data!r}; {fix}"
        )
    return recipe.source(baseline.name)


def _compared(baseline: Baseline, place: int, trial: Trial) -> tuple[str, ...]:
    """The trial, how it ended when it was recorded and now, and how far both agree."""

    def ending(outcome: str, epochs: int | None) -> str:
        return outcome if epochs is None else f"{outcome} in epoch {epochs}"

    recorded = ending(baseline.outcomes[place], baseline.epochs_to_target[place])
    again = ending(trial.outcome, trial.epochs_to_target)
    agreement = "same outcome" if again == recorded else "differs"
    if baseline.weights and trial.weights_sha256.startswith(baseline.weights[place]):
        agreement = "same bits"
    return trial.name, trial.recipe, str(trial.seed), recorded, again, agreement


@command(
    "Say which symptoms foretold the stuck trials of `study --symptoms`.",
    *shared(ledger=Path("build/study/symptoms")),
)
def symptoms(options: Namespace) -> int:
    """Say which symptoms, declared beforehand, foretold the stuck trials of a ledger, and how its trials
    failed."""
    records = read_ledger(options.ledger)
    trials = records.trials
    for problem in records.problems:
        print(f"answer: {problem}", file=sys.stderr)
    if not any(PREDICTORS in trial.probes for trial in trials):
        raise InputError(
            f"{options.ledger} holds no trials with symptoms; run `study --symptoms` first"
        )
    found = associate(trials)
    for association in found:
        if not association.stuck[1] + association.converged[1]:
            print(
                f"answer: no trial was measured for {association.predictor.words}: no execution ended "
                "at that step; use a steps_per_execution that divides it",
                file=sys.stderr,
            )
    modes = symptom_counts(trials)
    missed = sum(modes.values())
    intervals = {mode: binomial_interval(count, missed) for mode, count in modes.items()}
    if options.json:
        record = {
            "trials": len(trials),
            "recipes": sorted({trial.recipe for trial in trials}),
            "predictors": [asdict(association) for association in found],
            "modes": modes,
            "mode_intervals": intervals,
        }
        print(json.dumps(record, indent=2))
        return 0
    symptoms = (
        (
            each.predictor.words,
            *("{} / {}".format(*shown) for shown in (each.stuck, each.converged)),
            *(f"{p:.2g}" for p in (each.p, each.least_p)),
        )
        for each in found
    )
    failures = (
        (mode, str(count), percent(count / missed), interval_text(intervals[mode]))
        for mode, count in modes.items()
    )
    told = "Symptoms declared before the trials, and how the trials ended"
    figures = "shown by stuck", "by converged", "p (Holm)", "least p, unadjusted"
    Table(told, columns("<symptom", *figures), tuple(symptoms)).write(sys.stdout)
    print()
    told = f"Failures: {missed} of {len(trials)} trials"
    titles = columns("<mode", "trials", "share", "95 % interval")
    Table(told, titles, tuple(failures)).write(sys.stdout)
    return 0
