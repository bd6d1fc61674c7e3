"""Operands as codes: what the user's arrays become before they reach a chip.

Arrays in the operand's code type are codes already; float arrays are rounded to nearest even,
saturating, with scale 1 (floats), amax / 127 per tensor (int8), or FLOOR block scales (MX) along
the contraction axis. `--scale` chooses otherwise, where a kernel can take it:

    none               scale 1
    tensor             one scale per tensor, its largest magnitude over that of the format
    channel            one per row of the left and per column of the right operand
    block              one per BLOCK_ROWS rows of the last two axes
    floor, rceil, ...  the rule by which MX block scales are chosen (emulator.numerics.blocks)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from emulator.numerics import (
    SCALE_MODES,
    decode,
    dequantize_blocks,
    encode,
    get_format,
    quantize_blocks,
    quantize_int8,
    scale_factors,
)
from emulator.numerics.quantized import factors_of
from programs.kernel import Array, Arrays, KernelError, Scale

# Element format of block-scaled types.
SCALED = {"mxfp8": "e4m3", "mxfp8_e5m2": "e5m2", "mxfp4": "e2m1"}
CODE_TYPES = {"int8": np.int8, "fp16": np.uint16, "bf16": np.uint16}  # the rest: uint8


BLOCK_ROWS = 64  # FlashAttention-3's blocks
NARROW = ("e4m3", "e5m2", "hif8")  # floats of a range that makes a scale worth while


def scale_choices(dtype: str, *finer: str) -> tuple[str, ...]:
    """What `--scale` may be for a format, the default first; `finer`: what the kernel adds.

    >>> scale_choices("e4m3", "channel"), scale_choices("bf16")
    (('none', 'tensor', 'channel'), ('none',))
    """
    if is_block_scaled(dtype):
        return SCALE_MODES
    if dtype == "int8":
        return ("tensor", *finer)
    return ("none", "tensor", *finer) if dtype in NARROW else ("none",)


def is_block_scaled(dtype: str) -> bool:
    return dtype in SCALED


def element_format(dtype: str) -> str:
    """The numerics format of one element."""
    return SCALED.get(dtype, dtype)


def accumulator(dtype: str) -> str:
    """What products of this operand format accumulate in."""
    return "int32" if dtype == "int8" else "fp32"


@dataclass(frozen=True)
class Operand:
    """Codes, scales by name, e8m0 block scales where the format has them."""

    codes: Array
    scales: Mapping[str, Scale] = field(default_factory=dict)
    block_scales: Array | None = None


def as_codes(name: str, array: Array, dtype: str) -> Array | None:
    """The array's codes if it is in the operand's code type, else None (it is to be quantised)."""
    wanted = np.dtype(CODE_TYPES.get(dtype, np.uint8))
    if array.dtype == np.float16 and dtype == "fp16":
        return array.view(np.uint16)
    if array.dtype == wanted:
        return array
    named = {"bf16": "bfloat16", "e4m3": "float8_e4m3fn", "e5m2": "float8_e5m2"}
    if named.get(dtype) == array.dtype.name:
        return array.view(wanted)
    if array.dtype.kind == "f":
        return None
    raise KernelError(
        f"{name} is an array of {array.dtype}; give floats, or {dtype} codes as {wanted}"
    )


def encode_operand(
    name: str, arrays: Arrays, dtype: str, axis: int, scale: str | None = None
) -> Operand:
    """Quantise one operand; `axis` is the contraction axis, along which MX blocks run.

    `scale`: one of `scale_choices`, None the first of them. A scale per tensor is a float, finer
    ones are an array that broadcasts against the operand.
    """
    array = np.asarray(arrays[name])
    codes = as_codes(name, array, dtype)
    if is_block_scaled(dtype):
        if codes is None:
            codes, scales = quantize_blocks(
                np.asarray(array, np.float32), dtype, axis, scale or "floor"
            )
            return Operand(codes, {}, scales)
        given = arrays.get(f"{name}.scale")
        if given is None:
            raise KernelError(f"{name} holds {dtype} codes: their block scales {name}.scale too")
        return Operand(codes, {}, np.asarray(given, np.uint8))
    if codes is not None:
        return Operand(codes)
    x = np.asarray(array, np.float32)
    if dtype == "int8" and scale in (None, "tensor"):
        codes, factor = quantize_int8(x)
        return Operand(codes, {name: float(factor)})
    if scale in (None, "none"):
        return Operand(encode(x, dtype))
    factors = _factors(x, dtype, scale, axis)
    scaled = x / factors
    if dtype == "int8":  # the symmetric range
        scaled = np.clip(scaled, -127, 127)
    return Operand(encode(scaled, dtype), {name: factors if factors.ndim else float(factors)})


def _factors(x: Array, dtype: str, scale: str, axis: int) -> Array:
    """Scales that bring the largest magnitude of what they belong to to that of the format."""
    row = get_format(dtype)
    if scale != "block":
        return scale_factors(x, row, scale, axis)
    rows = np.abs(np.where(np.isfinite(x), x, 0)).max(-1, keepdims=True, initial=0)
    starts = np.arange(0, x.shape[-2], BLOCK_ROWS)
    lengths = np.diff(np.append(starts, x.shape[-2]))
    top = np.repeat(np.maximum.reduceat(rows, starts, axis=-2), lengths, axis=-2)
    return factors_of(top, row)


def encode_operands(
    arrays: Arrays, dtype: str, axes: Mapping[str, int], scale: str | None = None
) -> tuple[dict[str, Array], dict[str, Scale]]:
    """(input tensors, scales) of several operands; `axes` their contraction axes."""
    tensors: dict[str, Array] = {}
    scales: dict[str, Scale] = {}
    for name, axis in axes.items():
        operand = encode_operand(name, arrays, dtype, axis, scale)
        tensors[name] = operand.codes
        scales |= operand.scales
        if operand.block_scales is not None:
            tensors[f"{name}.scale"] = operand.block_scales
    return tensors, scales


def rounded(x: Array, dtype: str, axis: int) -> Array:
    """`x` rounded to a format and back, as `encode_operand` does it (float32)."""
    x = np.asarray(x, np.float32)
    if is_block_scaled(dtype):
        codes, scales = quantize_blocks(x, dtype, axis, "floor")
        return code_values(codes, dtype, axis, scales)
    if dtype == "int8":
        codes, scale = quantize_int8(x)
        return code_values(codes, dtype, axis, scale)
    return code_values(encode(x, dtype), dtype, axis)


def code_values(codes: Array, dtype: str, axis: int, scale: Scale | None = None) -> Array:
    """Codes as float32; `scale` is that of an int8 tensor, or a block format's codes of scales."""
    if is_block_scaled(dtype):
        return dequantize_blocks(codes, np.asarray(scale, np.uint8), dtype, axis)
    if dtype == "int8":
        return codes.astype(np.float32) * np.float32(scale)
    return decode(codes, dtype)
