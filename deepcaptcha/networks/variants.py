"""The named variants of the DeepCAPTCHA network, with what the question or answer says of each.

The network and the repairs come from the Stack Overflow question "Adding padding='same' argument to
Conv2D layers broke the model" and its answer (CC BY-SA 4.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ..errors import InputError
from ..verdicts.claim import Claim
from .architecture import Architecture, ConvBlock

By = Literal["question", "answer", "this project"]


@dataclass(frozen=True)
class Variant:
    """A named architecture.

    `change` is how it differs from the question's network; `said` the claim made of it in words and
    `by` who makes it; `remark` says where that claim is inexact.
    """

    name: str
    change: str
    architecture: Architecture
    by: By
    said: str
    remark: str = ""


def question_architecture(**changes: Any) -> Architecture:
    """The question's network with changes of its `arguments`; without any it is the one that gets
    stuck."""
    question = Architecture(tuple(ConvBlock(filters) for filters in (32, 48, 64)))
    return Architecture.from_arguments(**{**question.arguments, **changes})


def _variant(
    name: str, change: str, by: By, said: str, remark: str = "", **changes: object
) -> Variant:
    return Variant(name, change, question_architecture(**changes), by, said, remark)


_ONE: tuple[By, str] = ("answer", "gives (1, 1, 64), worked well")
_LOGITS: tuple[By, str] = ("this project", "trains: the loss sees the logits")
_ALL = (
    _variant("same", "none: padding 'same' everywhere", "question", "stuck at 10 %, like guessing"),
    _variant(
        "valid",
        "padding 'valid' everywhere",
        "question",
        "works flawlessly",
        paddings=("valid", "valid", "valid"),
    ),
    _variant("extra-conv", "one more conv(64) and max pooling", *_ONE, extra=(ConvBlock(64),)),
    _variant("pool4", "last max pooling of size 4", *_ONE, pools=(2, 2, 4)),
    _variant("stride2-first", "stride 2 in the first conv", *_ONE, strides=(2, 1, 1)),
    _variant("stride2-second", "stride 2 in the second conv", *_ONE, strides=(1, 2, 1)),
    _variant(
        "stride2-third",
        "stride 2 in the third conv",
        *_ONE,
        "inexact: stride 2 in the third conv layer gives (2, 2, 64), not (1, 1, 64)",
        strides=(1, 1, 2),
    ),
    _variant(
        "last20",
        "20 filters in the last conv",
        *_ONE,
        "inexact: 20 filters give (3, 3, 20), not (1, 1, 64)",
        filters=(32, 48, 20),
    ),
    _variant(
        "dense64",
        "64 dense units instead of 512",
        "answer",
        "helps as well, poor results now and then",
        dense=(64,),
    ),
    _variant(
        "two-by-two",
        "paddings same, valid, valid",
        "answer",
        "less likely to pass 90 %, often 10 %",
        "the answer does not say how it reached (2, 2, 64); paddings same, valid, valid do",
        paddings=("same", "valid", "valid"),
    ),
    _variant("same-reshape-first", "reshape before softmax", *_LOGITS, head="reshape-softmax"),
    _variant("same-logits", "logits out, loss from logits", *_LOGITS, head="logits"),
)

VARIANTS: Mapping[str, Variant] = MappingProxyType({variant.name: variant for variant in _ALL})

CLAIMS: Mapping[tuple[str, str], Claim] = MappingProxyType(
    {
        **{(name, "sound-subset"): Claim("trains", 0.85, 0.5) for name in VARIANTS},
        **{(name, "raw-subset"): Claim("mixed") for name in VARIANTS},
        ("same", "raw-subset"): Claim("stuck", 0.75, 0.35),
        ("same-reshape-first", "raw-subset"): Claim("trains", 0.75, 0.35),
        ("same-logits", "raw-subset"): Claim("trains", 0.75, 0.35),
        **{
            (name, "raw-subset"): Claim("trains", 0.6, 0.25)
            for name in ("valid", "extra-conv", "stride2-first", "stride2-second")
        },
    }
)
"""(variant, recipe) -> what is claimed of its training. Chosen from the pilot in fixtures/pilot and
reviewed against the baselines in fixtures/baselines; neither's seeds are ever judged."""

TWINS: Mapping[str, str] = MappingProxyType({"same-reshape-first": "same-logits"})
"""Variants that are one training with another one, bit for bit, and that one's name: their rows are one
piece of evidence, and are counted once."""

_COUNTED = [claim for (name, _), claim in CLAIMS.items() if name not in TWINS]

ROWS = len(_COUNTED)
"""Rows of the suite that are compared with their baselines."""

HYPOTHESES = sum(2 if claim.kind == "mixed" else 3 for claim in _COUNTED)
"""What the suite's error rates are shared by: for each row whether it is as reliable and as it was
before, and the claim itself where it is judged."""


def find_variant(name: str) -> Variant:
    """The variant of that name; InputError with the known names if there is none."""
    if name not in VARIANTS:
        raise InputError(f"unknown variant {name!r}; known: {', '.join(VARIANTS)}")
    return VARIANTS[name]
