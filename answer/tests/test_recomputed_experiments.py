"""The numbers of ANSWER.md's experiments, computed again from the raw record by other means."""

import re
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binomtest

from answer.tests.raw import ANSWER, TEXT, endings, experiment, holm, tables


def test_ratios_of_medians():
    cells = experiment("step")
    ratios = re.findall(
        r"(yes|\*\*no\*\*): (\S.*?) moves ([\d.]+) to ([\d.]+) times as far as (.+?)"
        r"(?: \(`(\w+)` alone\))?, for .+?: ([\d.]+) times \(([\d.]+) to ([\d.]+)\)",
        ANSWER,
    )
    assert len(ratios) == 8
    draw, doubtful, met = np.random.default_rng(1), 0, 0
    for word, a, low, high, b, layer, shown, *interval in ratios:
        key = f"movement of {layer}" if layer else "movement"
        both = np.array([[cells[label][seed][key] for seed in cells[a]] for label in (a, b)])
        ratio = np.divide(*np.median(both, axis=1))
        assert shown == f"{ratio:.1f}"
        assert (word == "yes") == (float(low) <= ratio <= float(high))
        drawn = np.median(both[:, draw.integers(10, size=(20_000, 10))], axis=2)
        ends = np.percentile(drawn[0] / drawn[1], (2.5, 97.5))
        # The medians of ten take few values; other draws hit the next one now and then.
        assert [float(end) for end in interval] == pytest.approx(list(ends), rel=0.06)
        doubtful += any(ends[0] < float(end) < ends[1] for end in (low, high))
        met += word == "yes"
    assert f"{met} of 8 as expected" in TEXT
    assert f"{doubtful} of the 8 intervals hold an end" in TEXT


def test_one_step():
    (rows,) = tables("network", "largest logit")
    cells = experiment("step")
    assert [label for label, *_ in rows] == list(cells)
    for label, size, moved, before, after in rows:
        values = {
            key: [seed[key] for seed in cells[label].values()] for key in cells[label][1_000_000]
        }
        middle = {key: float(np.median(value)) for key, value in values.items()}
        assert size == f"{middle['size']:.3g}"
        ends = min(values["movement"]), max(values["movement"])
        assert moved == "{:.3g} ({:.3g}-{:.3g})".format(middle["movement"], *ends)
        shares = [f"{middle[key]:.0%}".replace("%", " %") for key in ("lost_before", "lost_after")]
        assert [before, after] == shares


CONTRASTS = [
    ("pixels", "same", "same, pixels / 9", "stuck"),
    ("pixels", "valid, pixels * 9", "valid", "stuck"),
    ("learning-rate", "rate 0.001", "rate 0.0001", "stuck"),
    ("patience", "rate 0.0001, 50 epochs", "rate 0.0001, 5 epochs", "converged"),
    ("clip", "clip at 1e-7", "clip at 1e-30", "stuck"),
    ("rescue", "reshape first", "as it was", "converged"),
]


def ended(name, label):
    """Seed -> result, of a rescue where there was something to rescue."""
    cell = experiment(name)[label]
    return {seed: one for seed, one in cell.items() if one.get("before", "stuck") == "stuck"}


def test_contrasts_of_experiments():
    counts, chances = [], []
    for name, a, b, event in CONTRASTS:
        sides = [ended(name, label) for label in (a, b)]
        hits = [{s: one["outcome"] == event for s, one in side.items()} for side in sides]
        counts.append([(sum(side.values()), len(side)) for side in hits])
        only = [sum(x[s] and not y[s] for s in x) for x, y in (hits, hits[::-1])]
        chances.append(
            binomtest(only[0], sum(only), alternative="greater").pvalue if sum(only) else 1
        )
    for (_, a, b, event), ((k, n), (j, m)), p in zip(CONTRASTS, counts, holm(chances), strict=True):
        word = "yes" if p <= 0.05 else "**no**"
        said = (
            f"{word}: {a}: {event} more often than {b}: {k} of {n} against {j} of {m}, p {p:.2g}."
        )
        assert said in TEXT

    for name in dict.fromkeys(name for name, *_ in CONTRASTS):
        judged = [
            p <= 0.05 for one, p in zip(CONTRASTS, holm(chances), strict=True) if one[0] == name
        ]
        last = list(experiment(name))[-1]
        assert f"**{sum(judged)} of {len(judged)} as expected:**" in after(f"| {last} |")


def after(text):
    """What follows the last place of `text`, to the end of the next paragraph."""
    return ANSWER.rpartition(text)[2].partition(":**")[0] + ":**"


def test_walks():
    walks = {
        f"{label} (seed {seed})": {look[0]: look for look in looks}
        for label, cell in experiment("trajectory").items()
        for seed, looks in cell.items()
    }
    (rows,) = tables("training")
    assert len(rows) == 6 * len(walks)
    for label, step, *cells in rows:
        at, *shares, moved, changed = walks[label][int(step.replace(",", ""))]
        told = "-" if at == 0 else "0" if changed == 0 else f"{changed:.1g}"
        shown = [f"{share:.0%}".replace("%", " %") for share in shares]
        assert cells == [*shown, f"{moved:.3g}", told]


def test_trainings_of_experiments():
    found = tables("changed")
    names = list(dict.fromkeys(name for name, *_ in CONTRASTS))
    for name, rows in zip(names, found, strict=True):
        assert [label for label, *_ in rows] == list(experiment(name))
        for label, converged, epochs, failures in rows:
            assert [converged, epochs] == endings(list(ended(name, label).values()))
            others = Counter(one["outcome"] for one in ended(name, label).values())
            told = [
                f"{what} {others[what]}" for what in ("stuck", "slow", "diverged") if others[what]
            ]
            assert failures == ", ".join(told)
