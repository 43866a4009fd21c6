"""The frozen spec of a convolutional classifier, and the arithmetic that follows from it.

Nothing here imports TensorFlow: shapes and parameter counts are closed-form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any, Literal, get_args

from ..errors import InputError, require_text, require_whole
from ..keras.settings import LOGITS

Padding = Literal["same", "valid"]
Head = Literal["softmax-reshape", "reshape-softmax", "logits"]
Shape = tuple[int, ...]

HEADS: Mapping[Head, tuple[str, ...]] = {
    "softmax-reshape": ("probabilities", "reshape"),
    "reshape-softmax": ("units", "reshape", "softmax"),
    "logits": ("units", LOGITS),
}
"""Layers of a head by name: a dense one of all units, then those of n_prediction x n_class."""

_MAIN_BLOCKS = 3  # of the question's network; what lies beyond is one difference
_BLOCK_ARGUMENTS = ("filters", "kernels", "strides", "paddings", "pools")  # as ConvBlock's fields


@dataclass(frozen=True)
class ConvBlock:
    """One convolution with ReLU, then max pooling with stride equal to its size.

    `kernel`, `stride` and `pool` are square sides in pixels, at least 1; `pool=1` leaves the pooling
    layer out. Pooling never pads.
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: Padding = "same"
    pool: int = 2


@dataclass(frozen=True)
class LayerRow:
    """One layer of an architecture.

    `output_shape` leaves the batch axis out; `arithmetic` is the parameter count written out
    (`3*3*1*32 + 32 = 320`), empty for a layer without parameters.
    """

    name: str
    output_shape: Shape
    parameters: int = 0
    arithmetic: str = ""


@dataclass(frozen=True)
class Architecture:
    """Conv blocks, flatten, dense layers with ReLU, and a head of n_prediction x n_class units.

    `input_shape` is (height, width, channels). Heads:

    - `softmax-reshape`, the question's: one softmax over all n_prediction * n_class units, then
      reshape. For n_prediction > 1 all predictions together sum to 1.
    - `reshape-softmax`: reshape, then a softmax over each prediction's n_class units.
    - `logits`: reshape only; the output layer is named `logits`.

    Raises InputError, naming the layer and the numbers, for a shape that cannot exist.
    """

    blocks: tuple[ConvBlock, ...]
    dense: tuple[int, ...] = (512,)
    head: Head = "softmax-reshape"
    input_shape: tuple[int, int, int] = (28, 28, 1)
    n_prediction: int = 1
    n_class: int = 10

    def __post_init__(self) -> None:
        for name in ("blocks", "dense", "input_shape"):
            value = getattr(self, name)
            if not isinstance(value, Sequence):
                raise InputError(f"{name} is {value!r}; a tuple is needed")
            object.__setattr__(self, name, tuple(value))
        for number, block in enumerate(self.blocks, start=1):
            if not isinstance(block, ConvBlock):
                raise InputError(f"conv{number}: {block!r} is no ConvBlock, which is needed")
        if len(self.input_shape) != 3:
            raise InputError(
                f"input: shape {self.input_shape} has {len(self.input_shape)} axes; "
                "(height, width, channels) is needed"
            )
        for name, size in zip(("height", "width", "channels"), self.input_shape, strict=True):
            require_whole(f"input: {name}", size)
        require_whole("head: n_prediction", self.n_prediction)
        require_whole("head: n_class", self.n_class, least=2)
        require_text("head", self.head)
        if self.head not in get_args(Head):
            raise InputError(f"head: unknown kind {self.head!r}; one of {', '.join(HEADS)}")
        for number, units in enumerate(self.dense, start=1):
            require_whole(f"dense{number}: units", units)
        self.rows  # noqa: B018 - walks the layers and refuses the first impossible one

    @property
    def arguments(self) -> dict[str, Any]:
        """Named arguments of `from_arguments` that give this architecture: its first three blocks'
        fields across the blocks, further blocks as they are, and the rest."""
        rest = dict(vars(self))
        blocks = rest.pop("blocks")
        across = {
            name: tuple(getattr(block, field.name) for block in blocks[:_MAIN_BLOCKS])
            for name, field in zip(_BLOCK_ARGUMENTS, fields(ConvBlock), strict=True)
        }
        return {**across, "extra": blocks[_MAIN_BLOCKS:], **rest}

    @classmethod
    def from_arguments(cls, *, extra: Sequence[ConvBlock], **arguments: Any) -> Architecture:
        """The inverse of `arguments`."""
        main = zip(*(arguments.pop(name) for name in _BLOCK_ARGUMENTS), strict=True)
        return cls((*(ConvBlock(*values) for values in main), *extra), **arguments)

    @property
    def rows(self) -> tuple[LayerRow, ...]:
        """Every layer after the input, in order, named as in the Keras model."""
        return tuple(self._walk())

    @property
    def parameters(self) -> int:
        """Total number of parameters; all are trainable."""
        return sum(row.parameters for row in self.rows)

    @property
    def features_shape(self) -> Shape:
        """(height, width, channels) of what the last conv block hands to the flatten layer."""
        shapes = [self.input_shape, *(row.output_shape for row in self.rows)]
        return next(shape for shape in reversed(shapes) if len(shape) == 3)

    def _walk(self) -> Iterator[LayerRow]:
        shape: Shape = self.input_shape
        for number, block in enumerate(self.blocks, start=1):
            for row in _block_rows(number, block, shape):
                yield row
                shape = row.output_shape
        units = prod(shape)
        yield LayerRow("flatten", (units,))
        for number, width in enumerate(self.dense, start=1):
            yield _dense_row(f"dense{number}", units, width)
            units = width
        predictions = (self.n_prediction, self.n_class)
        first, *others = HEADS[self.head]
        yield _dense_row(first, units, prod(predictions))
        for name in others:
            yield LayerRow(name, predictions)


def _block_rows(number: int, block: ConvBlock, shape: Shape) -> Iterator[LayerRow]:
    name = f"conv{number}"
    for what in ("filters", "kernel", "stride", "pool"):
        require_whole(f"{name}: {what}", getattr(block, what))
    height, width, channels = shape
    side, pool = block.kernel, block.pool
    require_text(f"{name}: padding", block.padding)
    if block.padding not in get_args(Padding):
        raise InputError(f"{name}: unknown padding {block.padding!r}; 'same' or 'valid' is needed")
    if block.padding == "valid":
        if side > min(height, width):
            raise InputError(
                f"{name}: a {side} x {side} kernel with valid padding does not fit into its "
                f"{height} x {width} input; use a smaller kernel, padding 'same' or less pooling"
            )
        height, width = height - side + 1, width - side + 1
    # ceil(n / stride): with 'same', the input is padded just enough for every stride to have its
    # window; with 'valid', n counts the places where a window may stand.
    height, width = -(-height // block.stride), -(-width // block.stride)
    count = side * side * channels * block.filters + block.filters
    text = f"{side}*{side}*{channels}*{block.filters} + {block.filters} = {count}"
    yield LayerRow(name, (height, width, block.filters), count, text)
    if pool > min(height, width):
        raise InputError(
            f"pool{number}: a {pool} x {pool} pool does not fit into its {height} x {width} input; "
            "use a smaller pool or leave it out (pool=1)"
        )
    if pool > 1:
        yield LayerRow(f"pool{number}", (height // pool, width // pool, block.filters))


def _dense_row(name: str, inputs: int, units: int) -> LayerRow:
    count = inputs * units + units
    return LayerRow(name, (units,), count, f"{inputs}*{units} + {units} = {count}")
