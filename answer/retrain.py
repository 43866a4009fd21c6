"""`python -m answer retrain`: recorded trials drawn at random, trained again."""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from deepcaptcha.cli.options import names, whole
from deepcaptcha.cli.progress import trial_progress
from deepcaptcha.errors import InputError
from deepcaptcha.networks import captcha as captcha_images
from deepcaptcha.networks.build import build, fit_to
from deepcaptcha.networks.recipes import Recipe, find_recipe, load_examples
from deepcaptcha.networks.variants import VARIANTS, find_variant
from deepcaptcha.report.table import Table, columns
from deepcaptcha.trials.runner import TRIALS_PER_PROCESS, Task, cores, process_executor, run_study
from deepcaptcha.trials.trial import Trial
from deepcaptcha.verdicts.baseline import Baseline, environment_differences, read_baseline


def retrain(options: argparse.Namespace) -> int:
    """Train recorded trials again and say which agree; 1 if one does not although the environment is
    the recording one."""
    recorded = [
        baseline
        for recipe in names(options.recipes, [])
        for name in names(options.variants, list(VARIANTS))
        if (
            baseline := read_baseline(
                Path(options.baselines), find_variant(name).name, find_recipe(recipe).name
            )
        )
        is not None
    ]
    drawing = secrets.randbelow(10**6) if options.draw is None else whole("--draw", options.draw, 0)
    every = [(baseline, place) for baseline in recorded for place in range(len(baseline.outcomes))]
    count = whole("--trials", options.trials)
    if count > len(every):
        raise InputError(f"--trials is {count}; {len(every)} are recorded in {options.baselines}")
    drawn = random.Random(drawing).sample(every, count)
    jobs = cores() if options.jobs is None else whole("--jobs", options.jobs)
    tasks = [_task(baseline, place, options.data) for baseline, place in drawn]
    with trial_progress(count, options.json) as advance:
        executors, ledger = partial(process_executor, jobs), Path(options.output)
        records = run_study(
            tasks,
            executors,
            ledger,
            reuse=False,
            wave=TRIALS_PER_PROCESS * jobs,
            on_trial=advance,
        )
    rows = [(*one, trial) for one, trial in zip(drawn, records.trials, strict=True)]
    differing = sorted({environment_differences(baseline) for baseline, _ in drawn} - {""})
    same = [_agreement(*row) for row in rows]
    if options.json:
        print(json.dumps({"draw": drawing, "environment": differing, "agreement": same}))
    else:
        _table(rows, same).write(sys.stdout)
        print(f"\n{same.count('same bits')} of {count} ended with the very same weights, ", end="")
        print(f"{count - same.count('differs')} with the same outcome after the same epochs.")
        for difference in differing:
            print(f"Not the environment of the record: {difference}.")
        print(f"Drawn again by --draw {drawing}.")
    return int(
        any(
            agreement != "same bits" and baseline.weights and not environment_differences(baseline)
            for agreement, (baseline, _) in zip(same, drawn, strict=True)
        )
    )


def _task(baseline: Baseline, place: int, data: str | None) -> Task:
    recipe = Recipe(**baseline.recipe)
    carried = recipe.data in ("subset", captcha_images.SOURCE)
    if data is not None and not carried:
        recipe = replace(recipe, data=data)
    if load_examples(recipe).sha256 != baseline.data:
        mend = "record it anew" if carried else "give --data the file it was recorded from"
        raise InputError(
            f"{baseline.name} {recipe.name} was recorded with other digits than those in "
            f"{recipe.data!r}; {mend}"
        )
    architecture = fit_to(find_variant(baseline.name).architecture, recipe)
    return Task(baseline.name, partial(build, architecture), recipe, baseline.first_seed + place)


def _agreement(baseline: Baseline, place: int, trial: Trial) -> str:
    if baseline.weights and trial.weights_sha256.startswith(baseline.weights[place]):
        return "same bits"
    recorded = baseline.outcomes[place], baseline.epochs_to_target[place]
    return "same outcome" if (trial.outcome, trial.epochs_to_target) == recorded else "differs"


def _table(rows: list[tuple[Baseline, int, Trial]], same: list[str]) -> Table:
    def ending(outcome: str, epochs: int | None) -> str:
        return outcome if epochs is None else f"{outcome} in epoch {epochs}"

    return Table(
        "Recorded trials, trained again",
        columns("<variant", "<recipe", "seed", "<recorded", "<again", "<agreement"),
        tuple(
            (
                trial.name,
                trial.recipe,
                str(trial.seed),
                ending(baseline.outcomes[place], baseline.epochs_to_target[place]),
                ending(trial.outcome, trial.epochs_to_target),
                agreement,
            )
            for (baseline, place, trial), agreement in zip(rows, same, strict=True)
        ),
    )
