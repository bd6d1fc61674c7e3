"""Block formats (OCP MX, nvfp4) and per-tensor integers: numbers to codes with scales, and back.

A block is a run of elements along one axis that share a scale. The last block of a row may be
shorter. Sources: OCP MX v1.0 (section 6.3 for the FLOOR scale); cuBLAS (RCEIL: "amax / max rounded
up"); torchao's ScaleCalculationMode (CEIL, EVEN); NVIDIA's description of NVFP4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from emulator.host import in_threads
from emulator.numerics import _core
from emulator.numerics.codes import Array, Floats, checked_codes, encode, to_numbers
from emulator.numerics.formats import Format, get_format

SCALE_MODES = ("floor", "rceil", "ceil", "even")  # in the order of _blocks.pxi
PIECE = 1 << 19  # elements that a thread takes at a time


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """`block` elements of format `element`, each times 2^-`fraction`, and one `scale`."""

    name: str
    element: str
    scale: str
    block: int
    fraction: int = 0
    tensor_scale: bool = False

    @property
    def row(self) -> Format:
        """The element format."""
        return get_format(self.element)

    @property
    def scale_row(self) -> Format:
        """The format of the block scales."""
        return get_format(self.scale)

    @property
    def emax(self) -> int:
        """Exponent of the largest element (OCP MX: emax_elem)."""
        return int(np.frexp(self.max_element)[1]) - 1

    @property
    def max_element(self) -> float:
        """The largest element value."""
        return self.row.max_finite * 2.0**-self.fraction


BLOCK_FORMATS: dict[str, BlockFormat] = {
    row.name: row
    for row in (
        BlockFormat("mxfp8", "e4m3", "e8m0", 32),
        BlockFormat("mxfp8_e5m2", "e5m2", "e8m0", 32),
        BlockFormat("mxfp6", "e2m3", "e8m0", 32),
        BlockFormat("mxfp6_e3m2", "e3m2", "e8m0", 32),
        BlockFormat("mxfp4", "e2m1", "e8m0", 32),
        BlockFormat("mxint8", "int8", "e8m0", 32, fraction=6),
        BlockFormat("nvfp4", "e2m1", "e4m3", 16, tensor_scale=True),
    )
}


def get_block_format(fmt: str | BlockFormat) -> BlockFormat:
    """The row of a name. ValueError names the block formats there are."""
    if isinstance(fmt, BlockFormat):
        return fmt
    row = BLOCK_FORMATS.get(fmt)
    if row is None:
        raise ValueError(f"unknown block format {fmt!r}; known: {', '.join(BLOCK_FORMATS)}")
    return row


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A quantised tensor. Unpacks as `codes, scales`.

    codes: shape of the tensor; scales: the same with `axis` cut down to its number of blocks;
    tensor_scale: the float32 that multiplies everything (nvfp4; 1.0 elsewhere).
    """

    codes: Array
    scales: Array
    fmt: str
    axis: int
    tensor_scale: float = 1.0

    def __iter__(self) -> Iterator[Array]:
        yield self.codes
        yield self.scales

    def values(self) -> Floats:
        """The values as float32, shape of the tensor."""
        return dequantize_blocks(self.codes, self.scales, self.fmt, self.axis, self.tensor_scale)


def quantize_blocks(
    x: npt.ArrayLike,
    fmt: str | BlockFormat,
    axis: int = -1,
    mode: str = "floor",
    tensor_scale: float | None = None,
) -> Blocks:
    """Quantise numbers of any shape (at least one axis) in blocks along `axis`.

    mode (e8m0 scales): with amax the largest magnitude of the block, the scale is
        floor   2^(floor(log2 amax) - emax): the largest elements may saturate
        rceil   the smallest power of two that is at least amax / max element: nothing saturates
        ceil    2^(ceil(log2 amax) - emax)
        even    floor of amax rounded to the element's mantissa bits
    clamped to 2^-127 .. 2^127. Elements: nearest even, saturating; mxint8 in its symmetric range.
    A block with a NaN or Inf gets the scale NaN and codes 0; it decodes to NaN.

    nvfp4 ignores the mode: scale = e4m3(amax / 6 / tensor_scale), and tensor_scale = amax of the
    tensor / (448 * 6) as float32 unless given (1 for a tensor of zeros).

    ValueError for an unknown format or mode or a bad axis, TypeError for a dtype without numbers.
    """
    row = get_block_format(fmt)
    mode = mode.lower()
    if mode not in SCALE_MODES:
        raise ValueError(f"unknown scale mode {mode!r}; known: {', '.join(SCALE_MODES)}")
    numbers = to_numbers(x)
    axis = _checked_axis(numbers.shape, axis)
    if not row.tensor_scale:
        tensor = 1.0
    elif tensor_scale is not None:
        tensor = float(tensor_scale)
    else:
        top = row.scale_row.max_finite * row.max_element
        tensor = float(np.float32(_core.finite_amax(numbers.reshape(-1)) / top)) or 1.0
    scale_shape = _scale_shape(row, numbers.shape, axis)
    codes = np.empty(numbers.shape, dtype=row.row.storage)
    scales = np.empty(scale_shape, dtype=np.uint8)
    x3, codes3, scales3 = (_three(a, axis) for a in (numbers, codes.view(np.uint8), scales))
    number = SCALE_MODES.index(mode)
    in_threads([
        partial(_core.quantize, row, number, tensor, x3[part], codes3[part], scales3[its_scales])
        for part, its_scales in _pieces(x3.shape, row.block)
    ])  # fmt: skip
    return Blocks(codes, scales, row.name, axis, tensor)


def dequantize_blocks(
    codes: Array,
    scales: Array,
    fmt: str | BlockFormat,
    axis: int = -1,
    tensor_scale: float = 1.0,
) -> Floats:
    """The float32 values of block codes: element * scale * tensor_scale, rounded once.

    codes, scales, axis: as in `Blocks`. ValueError if the shapes do not belong together.
    """
    row = get_block_format(fmt)
    elements = checked_codes(np.asarray(codes), row.row)
    factors = checked_codes(np.asarray(scales), row.scale_row)
    axis = _checked_axis(elements.shape, axis)
    expected = _scale_shape(row, elements.shape, axis)
    if factors.shape != expected:
        raise ValueError(
            f"{row.name} codes of shape {elements.shape} along axis {axis} need scales of shape "
            f"{expected}, not {factors.shape}"
        )
    out = np.empty(elements.shape, dtype=np.float32)
    codes3 = _three(np.ascontiguousarray(elements).view(np.uint8), axis)
    scales3, out3 = _three(np.ascontiguousarray(factors), axis), _three(out, axis)
    in_threads([
        partial(_core.dequantize, row, tensor_scale, codes3[part], scales3[its_scales], out3[part])
        for part, its_scales in _pieces(out3.shape, row.block)
    ])  # fmt: skip
    return out


def quantize_int(x: npt.ArrayLike, fmt: str = "int8") -> tuple[npt.NDArray[np.int8], float]:
    """Per-tensor symmetric integers: round(x / scale) in +-127 (int4: +-7), scale = amax / 127.

    Returns int8 codes of the shape of x, and the scale, a float32 value as a Python float. amax is
    that of the finite values (scale 1 if all are 0); Inf clamps, NaN becomes 0.
    """
    row = get_format(fmt)
    if row.name not in ("int8", "int4"):
        raise ValueError(f"no per-tensor quantiser for {row.name}; known: int8, int4")
    numbers = to_numbers(x)
    flat = numbers.reshape(-1)
    scale = float(np.float32(_core.finite_amax(flat) / row.max_finite)) or 1.0
    scaled = np.empty(numbers.shape, dtype=np.float32)
    _core.divide(flat, scale, row.max_finite, scaled.reshape(-1))
    return encode(scaled, row), scale


def quantize_int8(x: npt.ArrayLike) -> tuple[npt.NDArray[np.int8], float]:
    """`quantize_int` to int8."""
    return quantize_int(x, "int8")


def _checked_axis(shape: tuple[int, ...], axis: int) -> int:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis {axis} is out of range for an array of shape {shape}")
    return axis % len(shape)


def _scale_shape(row: BlockFormat, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], -(-shape[axis] // row.block), *shape[axis + 1 :])


Part = tuple[slice, ...]


def _pieces(shape: tuple[int, ...], block: int) -> Iterator[tuple[Part, Part]]:
    """Parts of [before, axis, after] that lie together in memory and are worth a thread, each as
    what to take of the elements and of the scales.
    """
    before, length, after = shape
    if before > 1:
        step = max(1, PIECE // max(length * after, 1))
        for start in range(0, before, step):
            part = (slice(start, start + step),)
            yield part, part
    else:
        blocks = max(1, PIECE // max(block * after, 1))
        for start in range(0, -(-length // block), blocks):
            stop = start + blocks
            yield (
                (slice(None), slice(start * block, stop * block)),
                (slice(None), slice(start, stop)),
            )


def _three(array: Array, axis: int) -> Array:
    """A contiguous array as [before, axis, after]."""
    shape = array.shape
    return array.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
