"""Operands as codes: what the user's arrays become before they reach a chip.

Arrays in the operand's code type are codes already; float arrays are rounded to nearest even,
saturating, with scale 1 (floats), amax / 127 per tensor (int8), or FLOOR block scales (MX) along
the contraction axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from emulator.numerics import decode, dequantize_blocks, encode, quantize_blocks, quantize_int8
from programs.kernel import Array, Arrays, KernelError

SCALED = {"mxfp8": "e4m3", "mxfp4": "e2m1"}  # element format of block-scaled types
CODE_TYPES = {"int8": np.int8, "fp16": np.uint16, "bf16": np.uint16}  # the rest: uint8


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
    """Codes, scalar scales by name, e8m0 block scales where the format has them."""

    codes: Array
    scales: Mapping[str, float] = field(default_factory=dict)
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


def encode_operand(name: str, arrays: Arrays, dtype: str, axis: int) -> Operand:
    """Quantise one operand; `axis` is the contraction axis, along which MX blocks run."""
    array = np.asarray(arrays[name])
    codes = as_codes(name, array, dtype)
    if is_block_scaled(dtype):
        if codes is None:
            codes, scales = quantize_blocks(array.astype(np.float32), dtype, axis, "floor")
            return Operand(codes, {}, scales)
        given = arrays.get(f"{name}.scale")
        if given is None:
            raise KernelError(f"{name} holds {dtype} codes: their block scales {name}.scale too")
        return Operand(codes, {}, np.asarray(given, np.uint8))
    if codes is not None:
        return Operand(codes)
    if dtype == "int8":
        codes, scale = quantize_int8(array.astype(np.float32))
        return Operand(codes, {name: float(scale)})
    return Operand(encode(array.astype(np.float32), dtype))


def encode_operands(
    arrays: Arrays, dtype: str, axes: Mapping[str, int]
) -> tuple[dict[str, Array], dict[str, float]]:
    """(input tensors, scales) of several operands; `axes` their contraction axes."""
    tensors: dict[str, Array] = {}
    scales: dict[str, float] = {}
    for name, axis in axes.items():
        operand = encode_operand(name, arrays, dtype, axis)
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
        return dequantize_blocks(codes, scales, dtype, axis)
    if dtype == "int8":
        codes, scale = quantize_int8(x)
        return codes.astype(np.float32) * np.float32(scale)
    return decode(encode(x, dtype), dtype)
