"""What surrounds a trial: its share of Python's `random`, and of the garbage collection."""

import gc
import random
import threading

from deepcaptcha.keras import environment
from deepcaptcha.keras.environment import own_random


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


def test_what_tensorflow_keeps_is_looked_through_no_more():
    environment.load_keras()
    assert gc.isenabled()
    # 323,000 objects are left to the collector by a plain import of TensorFlow 2.21 with Keras 3.15.
    assert gc.get_freeze_count() > 100_000


def test_what_was_made_before_deepcaptcha_was_asked_can_be_freed():
    """Where TensorFlow is imported already, models may be alive, and they are full of cycles."""
    environment.require_single_thread()
    before = gc.get_freeze_count()
    environment.require_single_thread.cache_clear()
    environment.require_single_thread()
    assert gc.get_freeze_count() <= before
