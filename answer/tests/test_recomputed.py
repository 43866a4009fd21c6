"""ANSWER.md's numbers, computed again from the raw record by other means; its experiments' are in
`test_recomputed_experiments.py`."""

import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest, rankdata, spearmanr

from answer.tests.raw import (
    QUESTION,
    RAW,
    SOUND,
    TEXT,
    counted,
    endings,
    exact,
    experiment,
    fresh,
    holm,
    named,
    rate,
    read,
    row,
    stratified,
    tables,
)

(RATES,) = tables("network", f"`{RAW}`")
NETWORKS = [named(cells[0]) for cells in RATES]


def test_what_became_of_all_trainings():
    assert len(NETWORKS) == 12
    for name, *cells in RATES:
        expected = [
            rate(*counted(row(named(name), recipe)["outcomes"]))
            for recipe in (RAW, SOUND, QUESTION)
        ]
        assert cells == expected


def test_twins_are_one_training():
    both = [
        (a, b)
        for recipe in (RAW, SOUND, QUESTION)
        for a, b in zip(
            row("same-logits", recipe)["weights"],
            row("same-reshape-first", recipe)["weights"],
            strict=True,
        )
    ]
    assert all(a == b for a, b in both)
    assert f"equal weights in {len(both)} of {len(both)} trials" in TEXT


WORDS = [
    (*cells, recipe)
    for recipe, rows in zip((RAW, QUESTION), tables("verdict"), strict=True)
    for cells in rows
]


@pytest.mark.parametrize(
    ("word", "said", "network", "reading", "measured", "recipe"), WORDS, ids=lambda each: each[:30]
)
def test_what_was_said(word, said, network, reading, measured, recipe):
    alpha = 0.05 / len(WORDS)
    event, relation, bound = re.fullmatch(
        r"P\((\w+)\) ([a-z ]+?)(?: that of)? ([\w.-]+)", reading
    ).groups()
    k, n = counted(fresh(named(network), recipe), event)
    at_least = relation in ("at least", "more than")

    def judged(k, other):
        if relation.startswith("at"):
            low, high = binomtest(k, n).proportion_ci(1 - alpha, "exact")
            up, down = low >= float(bound), high < float(bound)
            if not at_least:
                up, down = low > float(bound), high <= float(bound)
        else:
            up, down = (exact((k, n), (other, n), way) <= alpha / 2 for way in ("greater", "less"))
        return (
            "holds"
            if (up if at_least else down)
            else "does not hold"
            if up or down
            else "undecided"
        )

    other = 0
    expected = rate(k, n)
    if not relation.startswith("at"):
        other, of = counted(fresh(bound, recipe), event)
        expected += f" (against {other} / {of})"
    assert word == f"**{judged(k, other)}**"
    best = (n, 0) if at_least else (0, n)
    if judged(k, other) == "undecided" and judged(*best) != "holds":
        expected += f"; {n} trials could not show it"
    assert measured == expected


def test_pairs_of_networks():
    (rows,) = tables("network", "parameters")
    chances = []
    for better, larger, first, worse, smaller, second, *_ in rows:
        sides = [re.fullmatch(r"`(.+)`, (.+)", side).groups() for side in (better, worse)]
        sizes = [sum(math.prod(shape) for shape in row(*side)["shapes"]) for side in sides]
        assert [larger, smaller] == [f"{size:,}" for size in sizes]
        assert sizes[0] >= sizes[1]
        counts = [counted(fresh(*side)) for side in sides]
        assert [first, second] == [rate(*each) for each in counts]
        chances.append(exact(*counts, "greater"))
    adjusted = holm(chances)
    assert [cells[6] for cells in rows] == [f"{p:.2g}" for p in adjusted]
    assert [cells[7] == "yes" for cells in rows] == [p <= 0.05 for p in adjusted]
    against = sum(p <= 0.05 for p in adjusted)
    assert f"**{against} of {len(rows)} pairs speak against the theory**" in TEXT
    assert "same-logits" not in str(rows)


def test_sizes_and_shapes():
    same, valid, third, last20 = (
        row(name)["shapes"] for name in ("same", "valid", "stride2-third", "last20")
    )
    sizes, dense = (
        [sum(map(math.prod, each[part])) for each in (same, valid)]
        for part in (slice(None), slice(6, 8))
    )
    size, other = (f"{size:,}" for size in sizes)
    assert f"{size} is {sizes[0] / sizes[1]:.1f} times {other}" in TEXT
    assert f"first dense layer alone has {dense[0] / dense[1]:.1f} times as many" in TEXT
    assert f"hands {same[6][0]} numbers to the dense layer, that of `valid` {valid[6][0]}" in TEXT
    # Inputs of the dense layer are width x height x filters.
    assert (same[6][0], valid[6][0], third[6][0]) == (3 * 3 * 64, 64, 2 * 2 * 64)
    assert (last20[6][0], last20[4][-1]) == (3 * 3 * 20, 20)
    assert "third, which gives (2, 2, 64)" in TEXT
    assert "they give (3, 3, 20)" in TEXT


def orders(left, length):
    """Every different order of tied numbers, (number, how often)."""
    if not length:
        yield ()
    for value, count in left.items():
        if count:
            for rest in orders({**left, value: count - 1}, length - 1):
                yield (value, *rest)


def test_rank_correlations():
    """p by all different orders, of which ties leave 75,600 and 7,560; ANSWER.md's is simulated."""
    hidden = [name for name in NETWORKS if name not in ("same-logits", "same-reshape-first")]
    shapes = [row(name)["shapes"] for name in hidden]
    rates = [counted(row(name)["outcomes"])[0] for name in hidden]
    sizes = [sum(map(math.prod, each)) for each in shapes]
    inputs = [next(shape[0] for shape in each if len(shape) == 2) for each in shapes]
    told = re.findall(r"(-0\.\d\d) \(p ([\d.e-]+) \+- ([\d.e-]+)\)", TEXT)
    for values, (rho, p, error) in zip((sizes, inputs), told, strict=True):
        assert rho == f"{spearmanr(values, rates).statistic:.2f}"
        ranks, others = rankdata(values), rankdata(rates) - (len(rates) + 1) / 2
        sums = np.array(list(orders(Counter(ranks), len(ranks)))) @ others
        least = min(np.mean(sums <= ranks @ others + 1e-9), np.mean(sums >= ranks @ others - 1e-9))
        assert float(p) == pytest.approx(2 * least, abs=4 * float(error))


def test_repairs_and_their_price():
    (rows,) = tables("change")
    question = sum(map(math.prod, row("same")["shapes"]))
    names = [name for name in NETWORKS if not name.startswith("same")]
    trained = [("same", RAW), ("same-reshape-first", RAW), ("same-logits", RAW), ("same", SOUND)]
    trained += [(name, RAW) for name in names]
    patient = rows.pop(4)
    slow = list(experiment("patience")["rate 0.0001, 50 epochs"].values())
    assert patient[1:3] == endings(slow)
    for (_, *cells), (name, recipe) in zip(rows, trained, strict=True):
        one = row(name, recipe)
        results = [
            {"outcome": o, "epochs_to_target": e}
            for o, e in zip(one["outcomes"], one["epochs_to_target"], strict=True)
        ]
        more = sum(map(math.prod, one["shapes"])) - question
        assert cells[:3] == [*endings(results), f"{more:+,}" if more else "0"]
        missed, trials = counted(one["outcomes"], "missed")
        if name in names and missed:
            assert f"`{name}` {missed} of {trials}" in TEXT


def test_repairs_that_never_missed():
    """No miss in n: at most 1 - 0.025 ** (1 / n) of all (Clopper and Pearson)."""
    cures = [row("same-reshape-first"), row("same", SOUND)]
    outcomes = [one for cure in cures for one in cure["outcomes"]]
    assert set(outcomes) == {"converged"}
    bounds = [math.ceil(1000 * (1 - 0.025 ** (1 / n))) / 10 for n in (len(outcomes), 100)]
    assert f"0 of {len(outcomes)} trainings on 100 seeds" in TEXT
    assert f"in at most {bounds[0]} % of all, and on at most {bounds[1]} % of all seeds" in TEXT


def test_symptoms():
    told = read("symptoms.json")
    (rows,) = tables("symptom")
    raw = {name: Counter(row(name)["outcomes"]) for name in NETWORKS}
    adjusted = [found["p"] for found in told["predictors"]]
    for (words, stuck, converged, p), found in zip(rows, told["predictors"], strict=True):
        strata = found.get("strata")
        assert words.endswith("(as recorded)") == (strata is None)
        assert p == f"{found['p']:.2g}"
        if strata is None:
            sums = found["stuck"], found["converged"]
        else:
            for name, counts in raw.items():
                a, b, c, d = strata[f"{RAW} {name}"]
                assert (a + b, c + d) == (counts["stuck"], counts["converged"])
            steps = sum(other >= found["p"] for other in adjusted)
            assert stratified(strata.values()) * steps == pytest.approx(found["p"], rel=1e-9)
            a, b, c, d = np.sum(
                [s for name, s in strata.items() if "same-logits" not in name], axis=0
            )
            sums = (a, a + b), (c, c + d)
        assert [stuck, converged] == ["{} of {}".format(*each) for each in sums]
    missed = sum(sum(each.values()) - each["converged"] for each in raw.values())
    clipped = told["modes"]["clipped"]
    assert f"Of {missed} trainings with raw pixels that missed their target, {clipped} had" in TEXT


def best_threshold(cases):
    """The middle of the widest gap between scores among those that tell most cases rightly."""
    scores = sorted({score for score, _ in cases})
    tried = [((a + b) / 2, b - a) for a, b in pairwise(scores)]
    tried += [(scores[0], 0), (math.inf, 0)]
    return max(tried, key=lambda t: (sum((s >= t[0]) == stuck for s, stuck in cases), t[1]))[0]


def test_the_check():
    told = [one for one in read("checks.json")[RAW] if one["variant"] != "same-logits"]
    (rows,) = tables("network", "stuck")
    by_network = {}
    for one in told:
        assert one["outcome"] == row(one["variant"])["outcomes"][one["seed"] - 1_000_000]
        by_network.setdefault(one["variant"], []).append(one)
    strata, others = [], Counter()
    for (name, *cells), (network, ones) in zip(rows, by_network.items(), strict=True):
        counts = Counter((bool(one["errors"]), one["outcome"] == "stuck") for one in ones)
        hits, misses, alarms = counts[True, True], counts[False, True], counts[True, False]
        assert named(name) == network
        assert cells == [f"{hits + misses} / {len(ones)}", *map(str, (hits, alarms, misses))]
        strata.append((hits, misses, alarms, counts[False, False]))
        rest = [(o["lost_share"], o["outcome"] == "stuck") for o in told if o not in ones]
        limit = best_threshold(rest)
        others.update((one["lost_share"] >= limit, one["outcome"] == "stuck") for one in ones)
    hits, misses, alarms, _ = np.sum(strata, axis=0)
    share = "{:.0%}".format
    for said in (
        f"On {len(told)} recorded trainings",
        f"of which {share((hits + misses) / len(told))} got stuck",
        f"foretold {hits} of {hits + misses} stuck ones (recall {share(hits / (hits + misses))})",
        f"{hits} of {hits + alarms} errors were right (precision {share(hits / (hits + alarms))})",
        f"only: recall {share(others[True, True] / (hits + misses))}, precision "
        + share(others[True, True] / (others[True, True] + others[True, False])),
        f"if an error told nothing is {stratified(strata):.2g}.",
        f"{alarms} errors on trainings that did not get stuck",
        f"and {misses} stuck trainings that it let pass",
    ):
        assert said.replace("%", " %") in TEXT


def test_in_short():
    step = experiment("step")
    middle = {
        label: {
            key: np.median([one[key] for one in step[label].values()])
            for key in ("movement", "lost_before")
        }
        for label in ("same", "valid", "same-reshape-first")
    }
    (stuck,) = experiment("trajectory")["stuck"].values()
    last = max(look[0] for look in stuck if look[4])
    same = Counter(row("same")["outcomes"])
    at_size = Counter(row("same", QUESTION)["outcomes"])
    for said in (
        f"{middle['same']['lost_before']:.0%} of the examples are beyond the clip",
        f"({middle['valid']['lost_before']:.0%} with `valid`), and that step moves the logits by "
        f"{middle['same']['movement']:.0f} ({middle['valid']['movement']:.0f} with `valid`; medians of"
        f" {len(step['same'])} seeds",
        f"(to step {last} in the training drawn below)",
        f"got stuck in {same['stuck']} of {same.total()} trainings on 6,400 images, and in "
        f"{at_size['stuck']} of {at_size.total()} at the question's own size",
        f"moves the logits by {middle['same-reshape-first']['movement']:.0f}, against "
        f"{middle['same']['movement']:.0f} from the same",
        f"trainings converged, against {same['converged']} of {same.total()}",
        f"It cannot even fit: {stuck[-1][2]:.0%} of the stuck one's",
    ):
        assert said.replace("%", " %") in TEXT
    for name, recipe in (
        ("same-reshape-first", RAW),
        ("same-reshape-first", QUESTION),
        ("same", SOUND),
    ):
        k, n = counted(row(name, recipe)["outcomes"])
        assert f"{k} of {n}" in TEXT
