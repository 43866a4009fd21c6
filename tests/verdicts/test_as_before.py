"""Whether rows train as before, against hand arithmetic and SciPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from deepcaptcha import InputError
from deepcaptcha.trials.trial import Target
from deepcaptcha.verdicts.as_before import Looks, as_before_text, colour_of, judge_as_before
from deepcaptcha.verdicts.comparison import compare_courses
from deepcaptcha.verdicts.measures import Course, measures_of
from deepcaptcha.verdicts.ruler import Shift
from tests.verdicts.examples import courses, logged

TARGET = Target(0.9, epochs=3)
LOSSES = [round(0.46 + 0.001 * place, 3) for place in range(90)]  # 0.460 to 0.549
RECORDED = courses(LOSSES)
MEASURES = measures_of(RECORDED, TARGET, 0.1)
LOSS = MEASURES[:1]


def judged(new, measures=MEASURES, alpha=0.001, **options):
    return judge_as_before(
        measures, RECORDED, new.__getitem__, alpha, monitor="val_accuracy", **options
    )


def same_start(losses, **fields):
    return courses(losses, first=2_000_000, start="ab", **fields)


RULER = [
    Shift(name, "row", "training loss after epoch 1", shift, 0.0006, 0.026, 20)
    for name, shift in (("onednn off", 0.0001), ("two threads", -0.0002))
]


def test_what_lies_among_the_recorded_is_green():
    verdict = judged(courses([0.47, 0.50, 0.52, 0.54], first=0))
    assert (verdict.hypothesis, verdict.colour, verdict.trials) == ("as before", "green", 4)
    assert verdict.alpha == 0.001
    assert "sees shifts of" in verdict.note


def test_of_what_does_not_vary_no_spreads_are_told():
    constant = courses([0.5] * 90)
    (alone,) = compare_courses(LOSS, constant, courses([0.5] * 4, first=0), 0.001)
    assert (alone.sees, alone.spread) == (0, 0)
    assert as_before_text([alone]) == "the recorded values do not vary"
    (varied,) = compare_courses(LOSS, RECORDED, courses([0.5] * 4, first=0), 0.001)
    assert as_before_text([alone, varied]) == as_before_text([varied])


def test_what_lies_above_is_red_and_says_by_how_much():
    new = courses([0.902, 0.898, 0.906, 0.9], first=0)
    (one,) = compare_courses(LOSS, RECORDED, new, 0.001)
    # All four above all 90: one of C(94, 4) choices, doubled.
    assert one.p == pytest.approx(2 / math.comb(94, 4))
    assert one.p == pytest.approx(
        mannwhitneyu([0.902, 0.898, 0.906, 0.9], LOSSES, method="exact").pvalue
    )
    assert (one.way, one.paired, one.now, one.without) == ("worse", False, pytest.approx(0.901), 0)
    # The mean of 0.460 to 0.549 is 0.5045, and its standard deviation 0.0261.
    assert one.spreads == pytest.approx((0.9015 - 0.5045) / np.std(LOSSES, ddof=1))
    assert one.text == "training loss after epoch 1: 0.901, recorded 0.460 to 0.549 (+15 spreads)"
    verdict = judged(new, LOSS)
    assert verdict.colour == "red"
    assert verdict.note == f"worse in {one.text}, p {one.p:.2g}"


def test_better_is_yellow_unless_it_is_strict():
    new = courses([0.39, 0.38, 0.397, 0.377], first=0)
    assert judged(new, LOSS).colour == "yellow"
    assert judged(new, LOSS).note.startswith("better in training loss after epoch 1: 0.385")
    assert judged(new, LOSS, strict=True).colour == "red"


def test_what_is_worse_by_some_and_better_by_others_is_worse_if_its_monitor_is():
    found = compare_courses(MEASURES, RECORDED, courses([0.9] * 4, first=0), 0.001)
    worse = {one.measure.key: one for one in found if one.way == "worse"}
    loss, monitor = worse["loss"], worse["val_accuracy"]
    better = replace(loss, way="better")
    assert colour_of([], "val_accuracy") == "green"
    assert colour_of([loss], "val_accuracy") == "red"
    assert colour_of([better], "val_accuracy") == "yellow"
    assert colour_of([better, loss], "val_accuracy") == "yellow"
    assert colour_of([better, monitor], "val_accuracy") == "red"


def test_p_values_are_adjusted_over_a_rows_measures():
    new = courses([0.9] * 4, first=0)
    alone = compare_courses(LOSS, RECORDED, new, 0.001)[0].p
    together = compare_courses(MEASURES, RECORDED, new, 0.001)
    assert len(together) == 4
    assert together[0].p == pytest.approx(4 * alone)


def test_a_trial_that_misses_its_target_ranks_last():
    missed = [Course(n, "stuck", (logged(0.1, 0.5, 0.25),) * 3) for n in range(4)]
    (one,) = compare_courses(MEASURES[-1:], RECORDED, missed, 0.001)
    assert (one.p, one.way) == (pytest.approx(2 / math.comb(94, 4)), "worse")
    assert (one.now, one.without, one.shift) == (None, 4, 0)
    assert one.text.startswith("time to target: none in 4 trials, recorded ")


def test_looks_are_counted_and_a_clear_answer_is_not_looked_at_again():
    asked = []

    def course_at(place):
        asked.append(place)
        return courses([0.545, 0.546, 0.547, 0.548, 0.5455, 0.5465, 0.5475, 0.5485], first=0)[place]

    # Four of the upper five: too few of C(94, 4) for a tenth of the level, not for the second look.
    looks = Looks((4, 8), (0.01, 0.9), doubt=0.05)
    verdict = judge_as_before(LOSS, RECORDED, course_at, 0.0001, monitor="", looks=looks)
    assert (verdict.colour, asked) == ("red", list(range(8)))
    asked.clear()
    sure = Looks((4, 8), (0.01, 0.9), doubt=1e-9)
    verdict = judge_as_before(LOSS, RECORDED, course_at, 0.0001, monitor="", looks=sure)
    assert (verdict.colour, asked) == ("green", [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (((8, 4), (0.5, 0.5)), "rising numbers of trials"),
        (((4, 8), (1.0,)), "a share of each"),
        (((), ()), "rising numbers"),
        (((4, 8), (0.6, 0.5)), "at most 1 in all"),
        (((4, 8), (0.6, 0.0)), "above 0"),
    ],
)
def test_impossible_looks_are_refused(looks, words):
    with pytest.raises(InputError, match=words):
        Looks(*looks)


def test_the_same_seeds_are_compared_one_by_one_and_much_finer():
    old = same_start([0.47, 0.48, 0.5, 0.52])
    options = {"row": "row", "ruler": RULER, "same_seeds": {c.seed: c for c in old}}
    # 0.02 more on each seed is well among the recorded ones, and 0.77 of their spread.
    moved = same_start([0.49, 0.50, 0.52, 0.54])
    assert compare_courses(LOSS, RECORDED, moved, 0.001)[0].p > 0.2
    (one,) = compare_courses(LOSS, RECORDED, moved, 0.001, **options)
    assert (one.paired, one.way, one.shift) == (True, "worse", pytest.approx(0.02))
    assert one.p < 1e-9
    # 0.15 of the spread is 0.0039, more than 3 x 0.0002.
    assert one.allowed == pytest.approx(0.15 * np.std(LOSSES, ddof=1))
    assert one.text == (
        "training loss after epoch 1: +0.02 on the same seeds, at most 0.0039 allowed (+0.77 spreads)"
    )
    assert judged(moved, LOSS, **options).colour == "red"
    lower = same_start([0.45, 0.46, 0.48, 0.50])
    assert judged(lower, LOSS, **options).colour == "yellow"


def test_what_rounding_may_do_is_green_and_told():
    # The list of seeds lies low by itself, which alone would be a difference between samples.
    old = same_start([0.4601, 0.4602, 0.4603, 0.4604])
    moved = same_start([0.4611, 0.4612, 0.4613, 0.4614])
    assert judged(moved, LOSS, alpha=0.01).colour == "yellow"
    options = {"row": "row", "ruler": RULER, "same_seeds": {c.seed: c for c in old}}
    verdict = judged(moved, LOSS, alpha=0.01, **options)
    assert verdict.colour == "green"
    assert verdict.note.startswith("moved by 0.038 spreads (training loss after epoch 1)")


@pytest.mark.parametrize(
    "change",
    [
        {"ruler": ()},
        {"ruler": [replace(shift, scatter=0.02) for shift in RULER]},  # chaotic: no seeds pair
        {"same_seeds": {}},
        {"start": "cd"},  # other initial weights
    ],
)
def test_where_seeds_do_not_pair_samples_are_compared(change):
    old = same_start([0.47, 0.48, 0.5, 0.52])
    new = courses([0.49, 0.5, 0.52, 0.54], first=2_000_000, start=change.pop("start", "ab"))
    options = {"row": "row", "ruler": RULER, "same_seeds": {c.seed: c for c in old}, **change}
    assert not compare_courses(LOSS, RECORDED, new, 0.001, **options)[0].paired


def own(losses, **fields):
    """The first recorded seeds trained again, as `again_at`, and a stream that nobody may ask."""
    asked = []
    again = same_start(losses, **fields)

    def again_at(place):
        asked.append(place)
        return again[place]

    return asked, {"row": "row", "ruler": RULER, "again_at": again_at}


OWN = same_start([round(0.46 + 0.001 * place, 3) for place in range(90)], order="o")


def judged_again(options, new=(), recorded=OWN):
    def course_at(place):
        return new[place]

    return judge_as_before(LOSS, recorded, course_at, 0.001, monitor="val_accuracy", **options)


def test_a_records_own_seeds_decide_where_they_pair():
    asked, options = own([0.4601, 0.4612, 0.4622, 0.4631], order="o")
    verdict = judged_again(options)
    assert (verdict.colour, verdict.trials, asked) == ("green", 4, [0, 1, 2, 3])
    # Moved by (0.1 + 0.2 + 0.2 + 0.1) / 4 = 0.15 thousandths of a spread of 26.1.
    assert verdict.note.startswith("moved by 0.0057 spreads (training loss after epoch 1)")
    assert verdict.note.endswith("ruler: onednn off, two threads")
    asked, options = own([0.48, 0.481, 0.482, 0.483], order="o")
    verdict = judged_again(options)
    assert (verdict.colour, verdict.trials) == ("red", 4)
    assert "worse in training loss after epoch 1: +0.02 on the same seeds" in verdict.note


def test_one_own_seed_that_comes_again_to_the_last_bit_is_enough():
    asked, options = own([0.46, 0.47, 0.48, 0.49], order="o")
    verdict = judged_again(options)
    assert (verdict.colour, verdict.trials, asked) == ("green", 1, [0])
    assert verdict.note == "all values of seed 2000000 came again to the last bit"


def test_a_later_own_seed_that_comes_again_says_nothing_of_an_earlier_one_that_did_not():
    asked, options = own([0.48, 0.461, 0.482, 0.483], order="o")
    verdict = judged_again(options)
    assert (verdict.trials, asked) == (4, [0, 1, 2, 3])
    assert "came again" not in verdict.note
    # (20 + 0 + 20 + 20) / 4 thousandths, of which 3.9 are allowed.
    assert (verdict.colour, "+0.015 on the same seeds" in verdict.note) == ("red", True)


def test_a_look_that_could_show_nothing_is_not_taken():
    # The rarest order of 4 among 30, adjusted over four measures, is 4 x 2 / C(34, 4): 1.7e-4.
    few = RECORDED[:30]
    new = courses([0.47] * 8, first=0)
    options = {"monitor": "val_accuracy", "looks": Looks((4, 8), (0.5, 0.5))}
    for alpha, trials in ((3.5e-4, 4), (3.4e-4, 8)):
        verdict = judge_as_before(MEASURES, few, new.__getitem__, alpha, **options)
        assert (verdict.colour, verdict.trials) == ("green", trials)


def test_what_no_arithmetic_moved_is_not_compared_seed_by_seed():
    # All recorded trials meet the target with their first epoch, whatever the arithmetic; now one does
    # not. That is no sign of a change: of 94 seeds any may be the one.
    time = [replace(MEASURES[-1], chance=None)]
    steady = [
        Shift(name, "row", time[0].name, 0.0, 0.0, spread, 4)
        for spread in (0.0, 0.1)
        for name in ("onednn off", "two threads", "AVX", "SSE")
    ]
    late = replace(OWN[0], history=(logged(0.85), logged(0.95)))
    again = [late, *OWN[1:4]]
    for ruler in (steady[:4], steady[4:]):
        (one,) = compare_courses(
            time, OWN, again, 0.001, row="row", ruler=ruler, same_seeds={c.seed: c for c in OWN}
        )
        assert (one.paired, one.p > 0.05) == (False, True)


def test_own_seeds_that_began_otherwise_leave_the_answer_to_samples():
    asked, options = own([0.48, 0.481, 0.482, 0.483], order="another")
    options["again_at"] = lambda place: replace(
        same_start([0.48])[0], start="cd0", order="o", seed=asked.append(place) or 2_000_000
    )
    verdict = judged_again(options, courses([0.47, 0.5, 0.52, 0.54], first=0))
    assert (verdict.colour, verdict.trials, asked) == ("green", 5, [0])
    # So few recorded ones could show nothing: of C(6, 4) orders none is rare. None is trained.
    verdict = judged_again(options, recorded=OWN[:2])
    assert (verdict.colour, verdict.trials) == ("cannot tell", 1)
    assert verdict.note == "2 recorded trials are too few to compare samples with; record more"


@pytest.mark.parametrize(("order", "colour"), [("o", "yellow"), ("another", "green")])
def test_the_same_weights_and_examples_with_another_loss_are_another_function(order, colour):
    first = replace(same_start([0.48], order=order)[0], first_loss=2.4)
    options = {"row": "row", "ruler": RULER, "again_at": lambda place: first}
    verdict = judged_again(options, courses([0.47, 0.5, 0.52, 0.54], first=0))
    assert (verdict.colour, verdict.trials) == (colour, 5)
    told = "different in the loss of the first batch, from the same weights: 2.4, recorded 2.3; "
    assert verdict.note.startswith(told) == (colour == "yellow")
    strict = judged_again({**options, "strict": True}, courses([0.47, 0.5, 0.52, 0.54], first=0))
    assert strict.colour == ("red" if colour == "yellow" else "green")


def test_without_a_common_measure_it_cannot_tell():
    other = [Course(n, "converged", ({"accuracy": 0.9},)) for n in range(4)]
    verdict = judged(other)
    assert (verdict.colour, verdict.trials) == ("cannot tell", 4)
    assert verdict.note == "the record and the new trials have no measure in common"
