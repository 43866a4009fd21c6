"""Four streams that never meet."""

from itertools import combinations

import pytest

from deepcaptcha.errors import InputError
from deepcaptcha.trials.seeds import STREAMS, first_seed, take


def test_streams_are_disjoint_and_are_seeds():
    assert set(STREAMS) == {"pilot", "baseline", "pull-request", "nightly"}
    for a, b in combinations(STREAMS.values(), 2):
        assert a[-1] < b[0] or b[-1] < a[0]
    assert all(stream[0] >= 0 and stream[-1] < 2**32 for stream in STREAMS.values())


def test_only_nightly_is_fresh():
    assert [first_seed(s) for s in ("pilot", "baseline", "pull-request")] == [0, 10**6, 2 * 10**6]
    assert len({first_seed("nightly") for _ in range(20)}) > 1
    for _ in range(20):
        chosen = take("nightly", 100)
        assert chosen[0] in STREAMS["nightly"]
        assert chosen[-1] in STREAMS["nightly"]


@pytest.mark.parametrize("count", [0, -1, 10_001, 2.0])
def test_no_seeds_are_refused(count):
    with pytest.raises(InputError, match="seeds; a whole number from 1 to 10000"):
        take("pilot", count)
