"""`python -m deepcaptcha explain`: the answer to the question, from the record."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .answer import expectations, judged_pairs, movement, rank_correlation, score_checks
from .answer_figures import figures
from .answer_tables import (
    checks_table,
    pairs_table,
    repairs_table,
    said_table,
    step_table,
    symptoms_table,
    trainings_table,
    walk_table,
)
from .architecture import LayerRow
from .errors import InputError
from .experiments import EXPERIMENTS, Experiment
from .page import fill, require_extra
from .record import RECORDED, Record, read_record
from .report import Table, percent
from .statements import RECIPES, STATEMENTS
from .variants import VARIANTS

FIGURES = Path("docs") / "answer"

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
    files = {folder / "ANSWER.md": fill("ANSWER.md.j2", content, escape=False)}
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
    same, valid = (VARIANTS[name].architecture for name in ("same", "valid"))
    asked = record.baselines["same", "raw-subset"]
    step = record.experiments["step"]
    pairs = judged_pairs(record)
    scored = score_checks(record)
    links = [
        {
            "number": number,
            "name": experiment.name,
            "sentence": experiment.link.rstrip("."),
            "table": _cells(record, experiment).as_markdown_rows(),
            "expected": (expected := expectations(record, experiment)),
            "met": sum(one.met for one in expected),
        }
        for number, experiment in enumerate((e for e in EXPERIMENTS if e.expected), 1)
    ]
    by_parameters, networks = rank_correlation(record, "parameters")
    alarms = Counter({name: c.false_alarms for name, c in scored.by_network.items()})
    return {
        "contrasts_met": all(
            expected.met
            for experiment in EXPERIMENTS
            if experiment.measure != "step"
            for expected in expectations(record, experiment)
        ),
        "cures_all": all(
            record.baselines[row].converged == len(record.outcomes(row)) for row in _CURES
        ),
        "moved_same": movement(step, "same"),
        "moved_valid": movement(step, "valid"),
        "moved_reshape": movement(step, "same-reshape-first"),
        "step_seeds": len(step.results("same")),
        "same_stuck": asked.outcomes.count("stuck"),
        "same_trials": len(asked.outcomes),
        "same_rate": _rate(record, "same", "raw-subset"),
        "reshape_rate": _rate(record, "same-reshape-first", "raw-subset"),
        "scaled_rate": _rate(record, "same", "sound-subset"),
        "judgements": len(STATEMENTS) * len(RECIPES),
        "said": said_table(record).as_markdown_rows(),
        "same_parameters": same.parameters,
        "valid_parameters": valid.parameters,
        "dense_ratio": _dense(same.rows) / _dense(valid.rows),
        "third_shape": VARIANTS["stride2-third"].architecture.features_shape,
        "last20_shape": VARIANTS["last20"].architecture.features_shape,
        "pairs": pairs_table(record).as_markdown_rows(),
        "pairs_count": len(pairs),
        "against": sum(pair.against for pair in pairs),
        "head_against": all(pair.against for pair in pairs if pair.worse[0] == "same"),
        "networks": networks,
        "by_parameters": by_parameters,
        "by_features": rank_correlation(record, "features")[0],
        "walks": walk_table(record).as_markdown_rows(),
        "links": links,
        "symptoms": symptoms_table(record).as_markdown_rows(),
        "repairs": repairs_table(record).as_markdown_rows(),
        "scored": scored,
        "recall": _share(scored.fixed.recall),
        "precision": _share(scored.fixed.precision),
        "left_out_recall": _share(scored.left_out.recall),
        "left_out_precision": _share(scored.left_out.precision),
        "checks": checks_table(scored).as_markdown_rows(),
        "alarming": [f"`{name}`" for name, _ in alarms.most_common(2)],
        "trials_text": _trials_text(record),
        "first_seed": f"{asked.first_seed:,}",
        "environment": _environment_text(record),
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
    for recipe in RECORDED:
        counts = sorted({len(record.outcomes((name, recipe))) for name in VARIANTS})
        each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        parts.append(f"{each} under `{recipe}`")
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
