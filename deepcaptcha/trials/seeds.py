"""Four disjoint streams of seeds, so that no trial is judged by what it was chosen from."""

from __future__ import annotations

import secrets
from types import MappingProxyType

from ..errors import InputError

STREAMS = MappingProxyType(
    {
        "pilot": range(1_000_000),
        "baseline": range(1_000_000, 2_000_000),
        "pull-request": range(2_000_000, 3_000_000),
        "nightly": range(1_000_000_000, 2**32),
    }
)
"""Stream -> its seeds. Claims are chosen from `pilot`, compared with `baseline`, judged on
`pull-request` (always the same) or `nightly` (a fresh stretch each time)."""

_STRETCH = 10_000  # seeds a nightly run may use; no verdict reads more


def first_seed(stream: str) -> int:
    """Where a run in this stream begins: a fresh random place in `nightly`, else the first seed."""
    seeds = _find(stream)
    if stream != "nightly":
        return seeds.start
    return seeds.start + _STRETCH * secrets.randbelow(len(seeds) // _STRETCH)


def take(stream: str, count: int) -> range:
    """`count` (>= 1) consecutive seeds of a stream, from `first_seed`."""
    if type(count) is not int or not 1 <= count <= _STRETCH:
        raise InputError(f"{count!r} seeds; a whole number from 1 to {_STRETCH} is needed")
    start = first_seed(stream)
    return range(start, start + count)


def _find(stream: str) -> range:
    try:
        return STREAMS[stream]
    except KeyError:
        raise InputError(f"unknown seed stream {stream!r}; known: {', '.join(STREAMS)}") from None
