"""The raw JSON of `fixtures/` and the text of ANSWER.md, read by JSON, NumPy and SciPy alone: for tests
that compute the answer's numbers again, without anything of `answer` or `deepcaptcha`."""

import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import binomtest, fisher_exact, hypergeom

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
ANSWER = (ROOT / "ANSWER.md").read_text()
TEXT = " ".join(ANSWER.split())
RAW, SOUND, QUESTION = "raw-subset", "sound-subset", "question"
SEEN = {RAW: 30, SOUND: 30, QUESTION: 0}
"""Seeds that had been seen when the numbers were written down, as ANSWER.md's last section says."""

read = cache(lambda path: json.loads((FIXTURES / path).read_text()))


def row(name, recipe=RAW):
    return read(f"baselines/{recipe}/{name}.json")


def experiment(name):
    return {
        label: {int(seed): result for seed, result in cell.items()}
        for label, cell in read(f"experiments/{name}.json")["cells"].items()
    }


def tables(*titles):
    """The tables whose head begins so, each as rows of cells."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", ANSWER, re.MULTILINE):
        head, _, *rows = [
            [cell.strip() for cell in line[1:-2].split(" |")] for line in block.splitlines(True)
        ]
        if head[: len(titles)] == list(titles):
            found.append(rows)
    return found


def rate(k, n):
    low, high = binomtest(k, n).proportion_ci(0.95, "exact")
    return f"{k} / {n}, {math.floor(100 * low)}-{math.ceil(100 * high)} %"


def counted(outcomes, event="converged"):
    hits = [one != "converged" if event == "missed" else one == event for one in outcomes]
    return sum(hits), len(hits)


def fresh(name, recipe=RAW):
    return row(name, recipe)["outcomes"][SEEN[recipe] :]


def exact(first, second, way):
    """One-sided p of Fisher's test."""
    both = [[k, n - k] for k, n in (first, second)]
    return fisher_exact(both, alternative=way).pvalue


def holm(values):
    """Of each, the largest of the smaller ones', each times how many are not smaller."""
    steps = [p * sum(other >= p for other in values) for p in values]
    return [
        min(1, max(s for s, other in zip(steps, values, strict=True) if other <= p)) for p in values
    ]


def stratified(strata):
    """P(so many events with the symptom), where within each stratum it tells nothing."""
    chances, seen = np.ones(1), 0
    for a, b, c, d in strata:
        within = hypergeom(a + b + c + d, a + b, a + c)
        chances = np.convolve(chances, within.pmf(np.arange(a + b + 1)))
        seen += a
    return chances[seen:].sum()


def named(cell):
    return cell.strip("`")


def endings(results):
    reached = [one["epochs_to_target"] for one in results if one["epochs_to_target"] is not None]
    return [
        rate(*counted([one["outcome"] for one in results])),
        f"{np.median(reached):g}" if reached else "-",
    ]
