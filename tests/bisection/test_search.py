"""Minimal sets against their definition, by enumeration of every world that the answers allow."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcaptcha.bisection.search import (
    MinimalSet,
    breaking_sets,
    cell_bound,
    explore,
    repairing_sets,
    shrink,
    subsets,
)

NAMES = tuple("abcdefgh")


def cells_of(names):
    return [frozenset(c) for n in range(len(names) + 1) for c in itertools.combinations(names, n)]


def parts(chosen):
    return [cell for cell in cells_of(sorted(chosen)) if cell != chosen]


def repairs_minimally(world, chosen):
    return world[chosen] == "trains" and all(world[part] != "trains" for part in parts(chosen))


def breaks_minimally(world, chosen):
    everything = max(world, key=len)
    return world[everything - chosen] == "fails" and all(
        world[everything - part] != "fails" for part in parts(chosen)
    )


def worlds(cells):
    """Every way in which the undecided cells may turn out."""
    options = [("trains", "fails") if a == "undecided" else (a,) for a in cells.values()]
    return [dict(zip(cells, chosen, strict=True)) for chosen in itertools.product(*options)]


def expected(cells, minimally, answer_of, wanted):
    """Minimal in every world; in some, and known to act; in some, and not known to act."""
    possible = worlds(cells)
    found = set()
    for chosen in cells:
        count = sum(minimally(world, chosen) for world in possible)
        if count == len(possible):
            found.add((tuple(sorted(chosen)), "minimal"))
        elif count:
            acts = answer_of(chosen) == wanted
            found.add((tuple(sorted(chosen)), "minimal as far as decided" if acts else "open"))
    return found


def as_pairs(sets):
    return {(found.names, found.standing) for found in sets}


@pytest.mark.parametrize(
    ("count", "answers"),
    [
        (1, ("trains", "fails", "undecided", "impossible")),
        (2, ("trains", "fails", "undecided", "impossible")),
        (3, ("trains", "fails", "undecided")),
    ],
)
def test_every_table_agrees_with_the_definition(count, answers):
    names = NAMES[:count]
    everything = frozenset(names)
    middle = [cell for cell in cells_of(names) if cell not in (frozenset(), everything)]
    tables = 0
    for chosen in itertools.product(answers, repeat=len(middle)):
        cells = {frozenset(): "fails", everything: "trains"}
        cells.update(zip(middle, chosen, strict=True))
        repairing = expected(cells, repairs_minimally, cells.__getitem__, "trains")
        breaking = expected(cells, breaks_minimally, lambda s, c=cells: c[everything - s], "fails")
        assert as_pairs(repairing_sets(cells)) == repairing
        assert as_pairs(breaking_sets(cells, everything)) == breaking
        assert repairing  # B itself repairs, so there is always something
        tables += 1
    assert tables == len(answers) ** (2**count - 2)


def test_the_surest_and_smallest_come_first():
    cells = dict.fromkeys(cells_of("abc"), "fails")
    cells |= {frozenset("abc"): "trains", frozenset("ab"): "trains", frozenset("c"): "undecided"}
    assert repairing_sets(cells) == (
        MinimalSet(("a", "b"), "minimal"),
        MinimalSet(("c",), "open"),
    )


def explored(world, names, bound=None):
    """The cells that are judged in a world whose every answer is known, and how many batches."""
    asked = []

    def judge(wanted):
        asked.extend(wanted)
        return [world[cell] for cell in wanted]

    ends = {cell: world[cell] for cell in (frozenset(), frozenset(names))}
    bound = cell_bound(len(names)) if bound is None else bound
    cells = explore(names, ends, judge, bound)
    assert len(asked) == len(set(asked)) == len(cells) - 2  # each once, the ends not again
    assert len(cells) <= bound
    assert all(cells[cell] == world[cell] for cell in cells)
    return cells


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_up_to_four_differences_every_cell_is_judged(count):
    world = dict.fromkeys(cells_of(NAMES[:count]), "undecided")
    world |= {frozenset(): "fails", frozenset(NAMES[:count]): "trains"}
    assert len(explored(world, NAMES[:count])) == 2**count == cell_bound(count)


def test_the_bound_is_declared_beforehand():
    # 8 a difference, never more than there are cells: 2**5 = 32 < 40, 8 * 6 = 48 < 64
    assert [cell_bound(count) for count in (4, 5, 6, 12)] == [16, 32, 48, 96]


@given(st.integers(5, 7), st.randoms(use_true_random=False), st.integers(0, 2))
def test_whatever_a_search_calls_minimal_is_minimal(count, chance, kinds):
    """In any world, monotone or not: what is listed acts, and what is called minimal is so."""
    names = NAMES[:count]
    everything = frozenset(names)
    answers = ("trains", "fails", "undecided", "impossible")[: 2 + kinds]
    world = {cell: chance.choice(answers) for cell in cells_of(names)}
    world |= {frozenset(): "fails", everything: "trains"}
    cells = explored(world, names)
    for sets, minimally, answer_of, wanted in (
        (repairing_sets(cells), repairs_minimally, world.__getitem__, "trains"),
        (
            breaking_sets(cells, everything),
            breaks_minimally,
            lambda s: world[everything - s],
            "fails",
        ),
    ):
        assert sets
        for found in sets:
            chosen = frozenset(found.names)
            if found.standing == "minimal":
                assert minimally(world, chosen)
            assert answer_of(chosen) == ("undecided" if found.standing == "open" else wanted)


def monotone_world(names, causes):
    return {
        cell: "trains" if any(cause <= cell for cause in causes) else "fails"
        for cell in cells_of(names)
    }


@given(st.integers(5, 6), st.randoms(use_true_random=False))
def test_where_more_never_hurts_a_search_finds_every_minimal_set(count, chance):
    names = NAMES[:count]
    causes = [frozenset(chance.sample(names, chance.randint(1, 3))) for _ in range(2)]
    world = monotone_world(names, causes)
    cells = explored(world, names, bound=2**count)
    for found, minimally in (
        (repairing_sets(cells), repairs_minimally),
        (breaking_sets(cells, frozenset(names)), breaks_minimally),
    ):
        truth = {tuple(sorted(cell)) for cell in world if minimally(world, cell)}
        assert {f.names for f in found if f.standing == "minimal"} == truth


@pytest.mark.parametrize("cause", ["a", "h", "ae", "bdg", "abef"])
def test_a_search_among_eight_differences_finds_the_cause_within_its_bound(cause):
    world = monotone_world(NAMES, [frozenset(cause)])
    cells = explored(world, NAMES)
    assert as_pairs(repairing_sets(cells)) == {(tuple(cause), "minimal")}
    # With one cause, each of its members put back breaks B.
    assert as_pairs(breaking_sets(cells, frozenset(NAMES))) == {((c,), "minimal") for c in cause}


def test_a_search_looks_into_every_part_of_a_small_set():
    """Delta debugging alone would stop at abcd: it tries ab and cd, and each three of the four."""
    world = monotone_world(NAMES[:5], [frozenset("abcd")]) | {frozenset("ac"): "trains"}
    cells = explored(world, NAMES[:5])
    assert (("a", "c"), "minimal") in as_pairs(repairing_sets(cells))


def test_a_search_that_reaches_its_bound_claims_no_minimum():
    world = monotone_world(NAMES, [frozenset("bdg")])
    cells = explored(world, NAMES, bound=6)
    assert all(found.standing != "minimal" for found in repairing_sets(cells))


def test_delta_debugging_leaves_nothing_that_could_go():
    """Against the definition of 1-minimal, in random worlds that are not monotone."""
    for seed in range(200):
        chance = random.Random(seed)
        world = {cell: chance.random() < 0.3 for cell in cells_of(NAMES[:6])}
        world[frozenset()], world[frozenset(NAMES[:6])] = False, True
        left = shrink(NAMES[:6], world.__getitem__)
        assert world[left]
        assert not any(world[left - {name}] for name in left)


def test_subsets_come_smallest_first():
    assert subsets("abc") == cells_of("abc")
