"""`python -m answer explain`: the answer to the question, from the record."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from functools import partial
from math import ceil, prod
from pathlib import Path

from deepcaptcha.cli.arguments import command, option
from deepcaptcha.errors import write_file
from deepcaptcha.finding import percent
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.report.page import fill, require_extra
from deepcaptcha.verdicts.plan import binomial_interval

from . import tables
from .experiments import EXPERIMENTS
from .figures import figures
from .judging import (
    DRAWS,
    expectations,
    judged_pairs,
    movement,
    rank_correlation,
    recorded_symptoms,
    score_checks,
)
from .record import RECORDED, Record, read_record
from .statements import ALPHA, RECIPES, SEEN, STATEMENTS, count

FIGURES = Path("docs") / "answer"
TEMPLATE = Path(__file__).with_name("ANSWER.md.j2")

Content = dict[str, object]
"""Name in the template -> what stands there."""

_CURES = (
    ("same-reshape-first", "raw-subset"),
    ("same-logits", "raw-subset"),
    ("same", "sound-subset"),
)


@command(
    "Write ANSWER.md from the record.",
    option("--record", "", None, Path, Path("fixtures")),
    option("--output", "where ANSWER.md goes", None, Path),
)
def explain(options: Namespace) -> int:
    """Write ANSWER.md and its figures from the committed record."""
    require_extra()
    record = read_record(options.record)
    folder = options.output or Path()
    answer = folder / "ANSWER.md"
    files = {answer: fill(TEMPLATE, answer_content(record), escape=False)}
    files |= {folder / FIGURES / name: svg for name, svg in figures(record).items()}
    for path, text in files.items():
        write_file(path, text, "the answer")
    if options.json:
        print(json.dumps({"written": [str(path) for path in files]}))
    else:
        print(f"{answer} and {len(files) - 1} figures, from {options.record}.")
    return 0


def answer_content(record: Record) -> Content:
    """Everything that the template of the answer names."""
    asked = record.baselines["same", "raw-subset"]
    at_size = record.baselines["same", "question"]
    scaled = [count("missed", record.outcomes((name, "sound-subset")))[0] for name in VARIANTS]
    return {
        "same_stuck": asked.outcomes.count("stuck"),
        "same_trials": len(asked.outcomes),
        "rate": partial(_rate, record),
        "question_stuck": f"{at_size.outcomes.count('stuck')} of {len(at_size.outcomes)}",
        "first_seed": f"{asked.first_seed:,}",
        "seen": SEEN["raw-subset"],
        "unseen": len(record.unseen(("same", "raw-subset"))),
        "judgements": len(STATEMENTS) * len(RECIPES),
        "word_confidence": f"{100 * (1 - ALPHA):.1f} %",
        "rates": tables.rates_table(record),
        "scaled_missed": sum(scaled),
        "said": partial(tables.said_table, record),
        "walks": tables.walk_table(record),
        "trials_text": _trials_text(record),
        "environment": _environment_text(record),
        **_twins(record),
        **_sizes(),
        **_theory(record),
        **_mechanism(record),
        **_symptoms(record),
        **_repairs(record),
        **_checks(record),
    }


def _rate(record: Record, name: str, recipe: str) -> str:
    baseline = record.baselines[name, recipe]
    return f"{baseline.converged} of {len(baseline.outcomes)}"


def _twins(record: Record) -> Content:
    """Networks that are one training, under whatever recipe, and how many trials show it."""
    pairs = {(twin, first) for (twin, _), (first, _) in record.twins.items()}
    trials = sum(len(record.outcomes(row)) for row in record.twins)
    words = [f"`{twin}` and `{first}`" for twin, first in sorted(pairs)]
    return {
        "twins": ", ".join(words),
        "twin_trials": trials,
        "twins_raw": sum(
            len(record.outcomes(row)) for row in record.twins if row[1] == "raw-subset"
        ),
    }


def _sizes() -> Content:
    networks = {name: variant.architecture for name, variant in VARIANTS.items()}
    dense = {
        name: next(row.parameters for row in networks[name].rows if row.name == "dense1")
        for name in ("same", "valid")
    }
    return {
        "architectures": networks,
        "dense_ratio": dense["same"] / dense["valid"],
        "same_inputs": prod(networks["same"].features_shape),
        "valid_inputs": prod(networks["valid"].features_shape),
    }


def _theory(record: Record) -> Content:
    judged = judged_pairs(record)
    correlations = {of: rank_correlation(record, of) for of in ("parameters", "features")}
    heads = [one.against for one in judged if one.pair.worse == ("same", "raw-subset")]
    return {
        "pairs": tables.pairs_table(record),
        "pairs_count": len(judged),
        "against": sum(one.against for one in judged),
        "head_against": all(heads),
        "networks": correlations["parameters"].networks,
        "draws": f"{DRAWS:,}",
        **{
            f"by_{of}": f"{found.rho:.2f} (p {found.p:.2g} +- {found.error:.1g})"
            for of, found in correlations.items()
        },
    }


def _mechanism(record: Record) -> Content:
    links: list[Content] = []
    as_told = True
    for experiment in EXPERIMENTS:
        expected = expectations(record, experiment)
        if not expected:
            continue
        met, direction = sum(one.met for one in expected), all(one.direction for one in expected)
        # Patience is beside the account; the step's ratios may fail while its directions hold.
        if experiment.name != "patience":
            as_told &= direction if experiment.name == "step" else met == len(expected)
        links.append(
            {
                "number": len(links) + 1,
                "name": experiment.name,
                "sentence": experiment.link[0].lower() + experiment.link[1:].rstrip("."),
                "table": tables.experiment_table(record, experiment),
                "expected": expected,
                "met": met,
                "doubtful": sum(one.doubtful for one in expected),
                "direction": direction,
            }
        )
    step = record.experiments["step"]
    (looks,) = record.experiments["trajectory"].results("stuck")
    moved = {label: movement(step, label) for label in ("same", "valid", "same-reshape-first")}
    return {
        "links": links,
        "as_told": as_told,
        "lost": {label: percent(step.median(label, "lost_before")) for label in moved},
        "moved": {label: f"{nats:.0f}" for label, nats in moved.items()},
        "overshoots_too": moved["same-reshape-first"] >= moved["same"] / 2,
        "stuck_lost": percent(looks[-1][2]),
        "last_move": max((look[0] for look in looks if look[4]), default=0),
        "step_seeds": len(step.results("same")),
    }


def _symptoms(record: Record) -> Content:
    modes = record.symptoms["modes"]
    early = [
        f"{found['converged'][0]} of {found['converged'][0] + found['stuck'][0]}"
        for found in record.symptoms["predictors"]
        if (found["predictor"]["measure"], found["predictor"]["step"]) == ("lost_share", 0)
    ]
    symptoms = recorded_symptoms(record)
    return {
        "symptoms": tables.symptoms_table(symptoms),
        "strata": sum(each.computed for each in symptoms),
        "strata_missing": sum(not each.computed for each in symptoms),
        "failures": sum(modes.values()),
        "clipped": modes.get("clipped", 0),
        "early": early[0] if early else "",
    }


def _repairs(record: Record) -> Content:
    hidden = [
        variant.name
        for variant in VARIANTS.values()
        if variant.architecture.head == "softmax-reshape" and variant.name != "same"
    ]
    missed = {name: count("missed", record.outcomes((name, "raw-subset"))) for name in hidden}
    cures = list(dict.fromkeys(record.once(row) for row in _CURES))
    trials = {
        (row, record.baselines[row].first_seed + place): outcome != "converged"
        for row in cures
        for place, outcome in enumerate(record.outcomes(row))
    }
    seeds = {seed for _, seed in trials}
    seeds_missed = {seed for (_, seed), missed in trials.items() if missed}
    return {
        "repairs": tables.repairs_table(record),
        "hidden": len(hidden),
        "missing": [f"`{name}` {k} of {n}" for name, (k, n) in missed.items() if k],
        "cures_told": len(_CURES),
        "cures": len(cures),
        "cures_missed": sum(trials.values()),
        "cures_trials": len(trials),
        "cures_seeds": len(seeds),
        "cures_bound": _at_most(sum(trials.values()), len(trials)),
        "cures_bound_by_seeds": _at_most(len(seeds_missed), len(seeds)),
    }


def _at_most(missed: int, trials: int) -> str:
    """The upper end of the exact 95 % interval, rounded upwards."""
    return f"{ceil(1000 * binomial_interval(missed, trials)[1]) / 10:.1f} %"


def _checks(record: Record) -> Content:
    checks = record.checks["raw-subset"]
    scored = score_checks([c for c in checks if (c["variant"], "raw-subset") not in record.twins])
    alarms = Counter({name: c.false_alarms for name, c in scored.by_network.items()})
    many = min(sorted(alarms.values())[-2:])  # the two highest, and all that equal the second
    return {
        "scored": scored,
        "checks": tables.checks_table(scored),
        "checks_p": f"{scored.p:.2g}",
        "base_rate": percent(scored.fixed.stuck / scored.fixed.trials),
        "share": _share,
        "alarming": [f"`{name}` ({k})" for name, k in alarms.most_common() if k >= many],
    }


def _share(value: float | None) -> str:
    return "none to tell" if value is None else percent(value)


def _trials_text(record: Record) -> str:
    """How many trials of each recipe's rows there are."""
    parts = []
    for recipe, declared in RECORDED.items():
        counts = sorted({len(record.outcomes((name, recipe))) for name in VARIANTS})
        each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        of = "" if counts == [declared] else f" of the {declared} declared"
        parts.append(f"{each}{of} under `{recipe}`")
    return f"{len(VARIANTS)} networks; trials of each: {', '.join(parts)}"


def _environment_text(record: Record) -> str:
    """The environments the record was made in, each once, with the dates."""
    found: dict[str, set[str]] = {}
    parts = [(b.environment, b.date) for b in record.baselines.values()]
    parts += [(m.environment, m.date) for m in record.experiments.values()]
    for made_in, date in parts:
        versions = ", ".join(
            f"{title} {made_in[title.lower()]}"
            for title in ("TensorFlow", "Keras", "NumPy", "Python")
        )
        words = (
            f"{versions}, {made_in['processor']} ({', '.join(made_in['instructions'])}), "
            f"{made_in['threads']} thread a trial, oneDNN {'on' if made_in['onednn'] else 'off'}"
        )
        found.setdefault(words, set()).add(date)
    return "; ".join(
        f"{words}; recorded {', '.join(sorted(dates))}" for words, dates in found.items()
    )
