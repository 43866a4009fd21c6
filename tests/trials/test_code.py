"""What a function reaches, as a digest: it changes with all that a training may follow from, and with
nothing else. Each module is written twice, once with a change, so that no digest is taken on trust."""

import functools
import reprlib
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest

from deepcaptcha.trials.code import read_code
from tests.helpers import ENVIRONMENT

MODEL = """
import functools
import reprlib
import numpy as np
from dataclasses import dataclass
from own_{number}.more import offset

DATA = np.arange(6.0)
RATES = {{"slow": 0.1, "fast": 1.0}}


@dataclass
class Layer:
    size: int = 3

    def width(self):
        return helper(self.size)


def helper(value):
    '''Says what it does.'''
    return value + 1  # a remark


def unused():
    return 1


@functools.lru_cache
def loaded():
    return DATA * 2


def train(seed, *, steps=2):
    from own_{number} import later

    def step(value):
        return value * RATES["fast"]

    for _ in range(steps):
        yield {{"accuracy": step(Layer().width()) + loaded().sum() + offset() + later.bias}}
"""
MORE = "def offset():\n    return SHIFT\n\n\nSHIFT = 1\n"
LATER = "bias = 0.5\n"


CHANGES = {
    "a constant": ("return value + 1 ", "return value + 2 "),
    "an operation": ("value * RATES", "value / RATES"),
    "a global value": ('"fast": 1.0', '"fast": 2.0'),
    "data": ("np.arange(6.0)", "np.arange(6.0) + 1"),
    "a default": ("steps=2", "steps=3"),
    "a field of a class": ("size: int = 3", "size: int = 4"),
    "a method": ("helper(self.size)", "helper(self.size) + 1"),
    "a function of another module": ("return SHIFT", "return -SHIFT"),
    "a global of another module": ("SHIFT = 1", "SHIFT = 2"),
    "what is cached": ("return DATA * 2", "return DATA * 3"),
    "what is imported within": ("bias = 0.5", "bias = 0.6"),
}
SAME = {
    "nothing": ("", ""),
    "a comment": ("# a remark", "# another"),
    "a docstring": ("Says what it does", "Says little"),
    "what is not reached": ("return 1\n\n\n@", "return 2\n\n\n@"),
    "where it stands": ("RATES = {{", "\n\nRATES = {{"),
}


def digest(train):
    """Of its module's name only the number differs, which two packages of one process need."""
    found = read_code(train)
    assert not found.unknown
    return found.digest


@pytest.fixture
def alike(tmp_path):
    """A function that tells of the package with each of some changes, as another process sees it."""

    def ask(*changes):
        found = []
        for place, (old, new) in enumerate(changes):
            package = tmp_path / str(place) / "own_0"
            package.mkdir(parents=True)
            texts = {"model": MODEL.format(number=0), "more": MORE, "later": LATER}
            old, new = old.replace("{{", "{"), new.replace("{{", "{")
            assert any(old in text for text in texts.values())
            for name, text in texts.items():
                (package / f"{name}.py").write_text(text.replace(old, new) if old else text)
            found.append(package.parent)
        script = (
            "import sys, importlib\n"
            "from deepcaptcha.trials.code import read_code\n"
            "for folder in sys.argv[1:]:\n"
            "    sys.path.insert(0, folder)\n"
            "    importlib.invalidate_caches()\n"
            "    code = read_code(importlib.import_module('own_0.model').train)\n"
            "    print(code.digest, code.unknown, code.text)\n"
            "    sys.path.remove(folder)\n"
            "    for name in [n for n in sys.modules if n.startswith('own_0')]:\n"
            "        del sys.modules[name]\n"
        )
        command = [sys.executable, "-c", script, *map(str, found)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return ask


def test_it_changes_with_all_that_a_training_may_follow_from_and_with_nothing_else(alike):
    """In two processes, whose sets and addresses differ."""
    asked = [("", ""), *CHANGES.values(), *SAME.values()]
    lines = alike(*asked)
    digests = [line.split()[0] for line in lines]
    own, others, same = digests[0], digests[1 : 1 + len(CHANGES)], digests[1 + len(CHANGES) :]
    assert len({own, *others}) == 1 + len(CHANGES), dict(zip(CHANGES, others, strict=True))
    assert dict(zip(SAME, same, strict=True)) == dict.fromkeys(SAME, own)
    # train with its inner function's code, helper, loaded, offset; Layer with width and what a dataclass
    # writes; DATA.
    assert {line.split(" ", 1)[1].startswith("() ") for line in lines} == {True}
    assert lines[0].endswith("1 class and 1 array")


def scaled(seed, rate=1.0):
    return {"accuracy": rate * seed}


class Learner:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, seed):
        return {"accuracy": self.rate * seed}


def closed_over(rate):
    return lambda seed: {"accuracy": rate * seed}


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: partial(scaled, rate=rate),
        closed_over,
        Learner,
        lambda rate: Learner(rate).__call__,
        lambda rate: partial(scaled, rate=np.full(3, rate)),
        lambda rate: partial(scaled, rate={"deep": [(rate,)]}),
        lambda rate: partial(scaled, rate=functools.cache(closed_over(rate))),
        lambda rate: partial(scaled, rate=np.random.default_rng(int(rate))),
        # A library's function that a call made: the argument is in its closure.
        lambda rate: partial(scaled, rate=reprlib.recursive_repr(str(rate))),
    ],
)
def test_what_is_bound_to_a_function_is_reached(make):
    assert digest(make(1.0)) == digest(make(1.0)) != digest(make(2.0))


def test_sets_and_addresses_say_nothing():
    first, second = (partial(scaled, rate={"a", "b", "c", scaled}) for _ in range(2))
    assert digest(first) == digest(second) != digest(partial(scaled, rate={"a", "b", scaled}))
    assert digest(partial(scaled, rate=object())) == digest(partial(scaled, rate=object()))


@pytest.mark.parametrize("kind", ["datetime64[D]", "U3", "float16", [("a", "f4"), ("b", "i2")]])
def test_arrays_of_any_type_have_a_digest(kind):
    one, other = (np.array([value], "i4").astype(kind) for value in (1, 2))
    assert digest(partial(scaled, rate=one)) != digest(partial(scaled, rate=other))


def test_two_functions_on_one_line_are_two():
    one, other = (lambda seed: {"a": 1}), (lambda seed: {"a": 2})
    assert digest(one) != digest(other)


def test_what_has_no_digest_is_named():
    with open(__file__) as handle:
        found = read_code(lambda seed: handle.read(), closed_over(i for i in range(3)))
    assert found.unknown == (
        "<lambda>: handle (_io.TextIOWrapper)",
        "<lambda>: rate (builtins.generator)",
    )


def test_a_lock_has_no_part_in_it():
    lock = threading.Lock()
    assert not read_code(lambda seed: lock).unknown


def test_things_that_refer_to_each_other_end():
    ring = []
    ring.append(ring)
    learner = Learner(1.0)
    learner.own = learner
    assert digest(partial(scaled, rate=ring)) == digest(partial(scaled, rate=ring))
    assert digest(learner) == digest(learner)


def test_libraries_are_named_with_their_versions_and_not_looked_into():
    import scipy.optimize

    def train(seed):
        import cloudpickle
        import numpy.linalg

        return scipy.optimize.minimize(numpy.linalg.norm, cloudpickle.dumps(seed))

    found = read_code(train)
    assert found.libraries == {
        "cloudpickle": __import__("cloudpickle").__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    assert found.text == "1 function"


def test_arrays_and_random_generators_have_a_state_that_tells_whether_they_were_changed():
    data, draw = np.zeros(3), np.random.default_rng(0)

    def train(seed):
        return data, draw

    before = read_code(train).states
    assert read_code(train).states == before
    data[0] = 1
    draw.random()
    after = read_code(train).states
    assert {place for place in after if before[place] != after[place]} == {
        "train: data",
        "train: draw",
    }
