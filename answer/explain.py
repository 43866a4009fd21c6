"""`python -m answer explain`: the answer to the question, from the record."""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from deepcaptcha.errors import InputError
from deepcaptcha.finding import percent
from deepcaptcha.networks.architecture import LayerRow
from deepcaptcha.networks.variants import VARIANTS
from deepcaptcha.report.page import fill, require_extra
from deepcaptcha.report.table import Table
from deepcaptcha.verdicts.plan import binomial_interval

from .answer import (
    expectations,
    judged_pairs,
    movement,
    rank_correlation,
    score_checks,
)
from .experiments import EXPERIMENTS, Experiment
from .figures import figures
from .record import RECORDED, Record, read_record
from .statements import ALPHA, RECIPES, SEEN, STATEMENTS, count
from .tables import (
    checks_table,
    pairs_table,
    rates_table,
    repairs_table,
    said_table,
    step_table,
    symptoms_table,
    trainings_table,
    walk_table,
)

FIGURES = Path("docs") / "answer"
TEMPLATE = Path(__file__).with_name("ANSWER.md.j2")

_CURES = (
    ("same-reshape-first", "raw-subset"),
    ("same-logits", "raw-subset"),
    ("same", "sound-subset"),
)


def explain(options: argparse.Namespace) -> int:
    """Write ANSWER.md and its figures from the committed record."""
    require_extra()
    record = read_record(Path(options.record))
    folder = Path(options.output)
    content = answer_content(record)
    files = {folder / "ANSWER.md": fill(TEMPLATE, content, escape=False)}
    files |= {folder / FIGURES / name: svg for name, svg in figures(record).items()}
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None
    if options.json:
        print(json.dumps({"written": [str(path) for path in files]}))
    else:
        print(f"{folder / 'ANSWER.md'} and {len(files) - 1} figures, from {options.record}.")
    return 0


def answer_content(record: Record) -> dict[str, Any]:
    """Everything that the template of the answer names."""
    asked = record.baselines["same", "raw-subset"]
    at_size = record.baselines["same", "question"]
    return {
        "same_stuck": asked.outcomes.count("stuck"),
        "same_trials": len(asked.outcomes),
        "same_rate": _rate(record, "same", "raw-subset"),
        "question_stuck": f"{at_size.outcomes.count('stuck')} of {len(at_size.outcomes)}",
        "reshape_rate": _rate(record, "same-reshape-first", "raw-subset"),
        "question_reshape_rate": _rate(record, "same-reshape-first", "question"),
        "scaled_rate": _rate(record, "same", "sound-subset"),
        "first_seed": f"{asked.first_seed:,}",
        "seen": SEEN["raw-subset"],
        "unseen": len(record.unseen(("same", "raw-subset"))),
        "judgements": len(STATEMENTS) * len(RECIPES),
        "word_confidence": f"{100 * (1 - ALPHA):.1f} %",
        "rates": rates_table(record).as_markdown_rows(),
        "scaled_missed": sum(
            count("missed", record.outcomes((name, "sound-subset")))[0] for name in VARIANTS
        ),
        "said_raw": said_table(record, "raw-subset").as_markdown_rows(),
        "said_question": said_table(record, "question").as_markdown_rows(),
        "walks": walk_table(record).as_markdown_rows(),
        "symptoms": symptoms_table(record).as_markdown_rows(),
        **_symptoms(record),
        "trials_text": _trials_text(record),
        "environment": _environment_text(record),
        **_sizes(),
        **_theory(record),
        **_mechanism(record),
        **_repairs(record),
        **_checks(record),
    }


def _sizes() -> dict[str, Any]:
    same, valid = (VARIANTS[name].architecture for name in ("same", "valid"))
    return {
        "same_parameters": same.parameters,
        "valid_parameters": valid.parameters,
        "dense_ratio": _dense(same.rows) / _dense(valid.rows),
        "same_inputs": prod(same.features_shape),
        "valid_inputs": prod(valid.features_shape),
        "third_shape": VARIANTS["stride2-third"].architecture.features_shape,
        "last20_shape": VARIANTS["last20"].architecture.features_shape,
    }


def _theory(record: Record) -> dict[str, Any]:
    judged = judged_pairs(record)
    correlations = {of: rank_correlation(record, of) for of in ("parameters", "features")}
    return {
        "pairs": pairs_table(record).as_markdown_rows(),
        "pairs_count": len(judged),
        "against": sum(one.against for one in judged),
        "head_against": all(
            one.against for one in judged if one.pair.worse == ("same", "raw-subset")
        ),
        "networks": correlations["parameters"][2],
        **{f"by_{of}": f"{rho:.2f} (p {p:.2g})" for of, (rho, p, _) in correlations.items()},
    }


def _mechanism(record: Record) -> dict[str, Any]:
    links: list[dict[str, Any]] = []
    for experiment in EXPERIMENTS:
        if expected := expectations(record, experiment):
            links.append(
                {
                    "number": len(links) + 1,
                    "name": experiment.name,
                    "sentence": experiment.link[0].lower() + experiment.link[1:].rstrip("."),
                    "table": _cells(record, experiment).as_markdown_rows(),
                    "expected": expected,
                    "met": sum(one.met for one in expected),
                    "direction": all(one.direction for one in expected),
                }
            )
    step = record.experiments["step"]
    (stuck_looks,) = record.experiments["trajectory"].results("stuck")
    lost = {
        name: statistics.median(result["lost_before"] for result in step.results(name))
        for name in ("same", "valid")
    }
    return {
        "links": links,
        # Patience is beside the account; the step's ratios may fail while its directions hold.
        "as_told": all(
            link["direction"] if link["name"] == "step" else link["met"] == len(link["expected"])
            for link in links
            if link["name"] != "patience"
        ),
        "lost_same": percent(lost["same"]),
        "lost_valid": percent(lost["valid"]),
        "moved_same": f"{movement(step, 'same'):.0f}",
        "moved_valid": f"{movement(step, 'valid'):.0f}",
        "moved_reshape": f"{movement(step, 'same-reshape-first'):.0f}",
        "overshoots_too": movement(step, "same-reshape-first") >= movement(step, "same") / 2,
        "stuck_lost": percent(stuck_looks[-1][2]),
        "last_move": max((look[0] for look in stuck_looks if look[4]), default=0),
        "step_seeds": len(step.results("same")),
    }


def _symptoms(record: Record) -> dict[str, Any]:
    modes = record.symptoms["modes"]
    early = [
        (found["converged"][0], found["converged"][0] + found["stuck"][0])
        for found in record.symptoms["predictors"]
        if (found["predictor"]["measure"], found["predictor"]["step"]) == ("lost_share", 0)
    ]
    return {
        "failures": sum(modes.values()),
        "clipped": modes.get("clipped", 0),
        "early": "{} of {}".format(*early[0]) if early else "",
    }


def _repairs(record: Record) -> dict[str, Any]:
    hidden = [
        variant.name
        for variant in VARIANTS.values()
        if variant.architecture.head == "softmax-reshape" and variant.name != "same"
    ]
    missed = {name: count("missed", record.outcomes((name, "raw-subset"))) for name in hidden}
    cures = [count("missed", record.outcomes(row)) for row in _CURES]
    cures_missed, cures_trials = (sum(each) for each in zip(*cures, strict=True))
    return {
        "repairs": repairs_table(record).as_markdown_rows(),
        "hidden": len(hidden),
        "missing": [f"`{name}` {k} of {n}" for name, (k, n) in missed.items() if k],
        "cures_missed": cures_missed,
        "cures_trials": cures_trials,
        "cures_bound": f"{100 * binomial_interval(cures_missed, cures_trials)[1]:.1f} %",
    }


def _checks(record: Record) -> dict[str, Any]:
    scored = score_checks(record)
    alarms = Counter({name: c.false_alarms for name, c in scored.by_network.items()})
    many = min(sorted(alarms.values())[-2:])  # the two highest, and all that equal the second
    return {
        "scored": scored,
        "checks": checks_table(scored).as_markdown_rows(),
        "checks_p": f"{scored.p:.2g}",
        "base_rate": percent((scored.fixed.hits + scored.fixed.misses) / scored.trials),
        "recall": _share(scored.fixed.recall),
        "precision": _share(scored.fixed.precision),
        "left_out_recall": _share(scored.left_out.recall),
        "left_out_precision": _share(scored.left_out.precision),
        "alarming": [
            f"`{name}` ({alarmed})" for name, alarmed in alarms.most_common() if alarmed >= many
        ],
    }


def _cells(record: Record, experiment: Experiment) -> Table:
    return (
        step_table(record) if experiment.measure == "step" else trainings_table(record, experiment)
    )


def _dense(rows: Sequence[LayerRow]) -> int:
    return next(row.parameters for row in rows if row.name == "dense1")


def _rate(record: Record, name: str, recipe: str) -> str:
    baseline = record.baselines[name, recipe]
    return f"{baseline.converged} of {len(baseline.outcomes)}"


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
