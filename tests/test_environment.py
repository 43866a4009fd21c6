"""What surrounds a trial: its share of Python's `random`."""

import random
import threading

from deepcaptcha.environment import own_random


def test_other_threads_draw_from_another_random():
    """Expected: a `random.Random` of its own, whatever else is drawn meanwhile."""
    reference = random.Random(7)
    expected = [reference.randint(1, 10**9) for _ in range(1000)]
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            random.random()

    other = threading.Thread(target=disturb)
    before = random.randint
    with own_random():
        other.start()
        random.seed(7)
        drawn = [random.randint(1, 10**9) for _ in range(1000)]
        stop.set()
        other.join()
        assert random.getstate() == reference.getstate()
    assert drawn == expected
    assert random.randint == before


def test_a_function_imported_by_name_is_seeded_too():
    from random import randint

    with own_random():
        random.seed(7)
        drawn = randint(1, 10**9), random.randint(1, 10**9)
    assert drawn == (random.Random(7).randint(1, 10**9),) * 2
