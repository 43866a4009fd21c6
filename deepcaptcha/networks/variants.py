"""The named variants of the DeepCAPTCHA network, with what the question or answer says of each.

The network and the repairs come from the Stack Overflow question "Adding padding='same' argument to
Conv2D layers broke the model" and its answer (CC BY-SA 4.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ..errors import InputError
from ..verdicts.claim import Claim
from .architecture import Architecture, ConvBlock, Head, Padding


@dataclass(frozen=True)
class Variant:
    """A named architecture.

    `change` is how it differs from the question's network; `said` the claim made of it in words and
    `by` who makes it; `remark` says where that claim is inexact.
    """

    name: str
    change: str
    architecture: Architecture
    by: Literal["question", "answer", "this project"]
    said: str
    remark: str = ""


def question_architecture(
    *,
    paddings: tuple[Padding, Padding, Padding] = ("same", "same", "same"),
    strides: tuple[int, int, int] = (1, 1, 1),
    filters: tuple[int, int, int] = (32, 48, 64),
    last_pool: int = 2,
    extra: tuple[ConvBlock, ...] = (),
    dense: int = 512,
    head: Head = "softmax-reshape",
    input_shape: tuple[int, int, int] = (28, 28, 1),
    n_prediction: int = 1,
    n_class: int = 10,
) -> Architecture:
    """The question's network with the given changes; without any it is the one that gets stuck."""
    blocks = tuple(
        ConvBlock(filters=f, stride=s, padding=p, pool=pool)
        for f, s, p, pool in zip(filters, strides, paddings, (2, 2, last_pool), strict=True)
    )
    return Architecture(
        blocks=(*blocks, *extra),
        dense=(dense,),
        head=head,
        input_shape=input_shape,
        n_prediction=n_prediction,
        n_class=n_class,
    )


_ALL = (
    Variant(
        "same",
        "none: padding 'same' everywhere",
        question_architecture(),
        "question",
        "stuck at 10 %, like guessing",
    ),
    Variant(
        "valid",
        "padding 'valid' everywhere",
        question_architecture(paddings=("valid", "valid", "valid")),
        "question",
        "works flawlessly",
    ),
    Variant(
        "extra-conv",
        "one more conv(64) and max pooling",
        question_architecture(extra=(ConvBlock(64),)),
        "answer",
        "gives (1, 1, 64), worked well",
    ),
    Variant(
        "pool4",
        "last max pooling of size 4",
        question_architecture(last_pool=4),
        "answer",
        "gives (1, 1, 64), worked well",
    ),
    Variant(
        "stride2-first",
        "stride 2 in the first conv",
        question_architecture(strides=(2, 1, 1)),
        "answer",
        "gives (1, 1, 64), worked well",
    ),
    Variant(
        "stride2-second",
        "stride 2 in the second conv",
        question_architecture(strides=(1, 2, 1)),
        "answer",
        "gives (1, 1, 64), worked well",
    ),
    Variant(
        "stride2-third",
        "stride 2 in the third conv",
        question_architecture(strides=(1, 1, 2)),
        "answer",
        "gives (1, 1, 64), worked well",
        "inexact: stride 2 in the third conv layer gives (2, 2, 64), not (1, 1, 64)",
    ),
    Variant(
        "last20",
        "20 filters in the last conv",
        question_architecture(filters=(32, 48, 20)),
        "answer",
        "gives (1, 1, 64), worked well",
        "inexact: 20 filters give (3, 3, 20), not (1, 1, 64)",
    ),
    Variant(
        "dense64",
        "64 dense units instead of 512",
        question_architecture(dense=64),
        "answer",
        "helps as well, poor results now and then",
    ),
    Variant(
        "two-by-two",
        "paddings same, valid, valid",
        question_architecture(paddings=("same", "valid", "valid")),
        "answer",
        "less likely to pass 90 %, often 10 %",
        "the answer does not say how it reached (2, 2, 64); paddings same, valid, valid do",
    ),
    Variant(
        "same-reshape-first",
        "reshape before softmax",
        question_architecture(head="reshape-softmax"),
        "this project",
        "trains: the loss sees the logits",
    ),
    Variant(
        "same-logits",
        "logits out, loss from logits",
        question_architecture(head="logits"),
        "this project",
        "trains: the loss sees the logits",
    ),
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

HYPOTHESES = sum(2 if claim.kind == "mixed" else 3 for claim in CLAIMS.values())
"""What the suite's error rates are shared by: for each row reliability and speed against its baseline,
and the claim itself where it is judged."""


def find_variant(name: str) -> Variant:
    """The variant of that name; InputError with the known names if there is none."""
    try:
        return VARIANTS[name]
    except KeyError:
        raise InputError(f"unknown variant {name!r}; known: {', '.join(VARIANTS)}") from None
