"""Arrays of people and codes of machines, for program files: quantise, decode, default data.

Kernels do this by `programs.encoding`; a file's tensors follow the same rules (floats nearest even
and saturating with scale 1, int8 and int4 per tensor; arrays in the code type are codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isa.program import Tensor
from tools.problem import Problem

if TYPE_CHECKING:
    from emulator.numerics.blocks import BlockFormat

Array = NDArray[Any]

# Tensors of these are integers to a person, not codes of something else.
INTEGERS: dict[str, type[np.integer[Any]]] = {
    "int8": np.int8, "int4": np.int8, "uint8": np.uint8, "uint16": np.uint16, "int32": np.int32,
}  # fmt: skip
QUANTISED = ("int8", "int4")  # integers that floats may become, with a scale


def element(dtype: str) -> str:
    """The element format of a tensor's dtype; block formats keep their scales in another tensor."""
    from emulator.numerics import BLOCK_FORMATS

    return BLOCK_FORMATS[dtype].element if dtype in BLOCK_FORMATS else dtype


def code_type(dtype: str) -> np.dtype[Any]:
    """The numpy type in which codes of a dtype are kept."""
    name = element(dtype)
    if name in INTEGERS:
        return np.dtype(INTEGERS[name])
    from emulator.numerics import get_format

    return np.dtype(get_format(name).storage)


def decode(dtype: str, codes: Array) -> Array:
    """Codes as float32; integers stay integers."""
    name = element(dtype)
    if name in INTEGERS:
        return codes.view(INTEGERS[name])
    from emulator import numerics

    return numerics.decode(codes, name)


def to_codes(tensor: Tensor, array: Array) -> tuple[Array, float | None]:
    """A user's array as codes of a tensor, and the scale where there is one.

    `Problem` where the array cannot be the tensor.
    """
    from emulator import numerics

    if array.shape != tensor.shape:
        wanted, got = list(tensor.shape), list(array.shape)
        raise Problem(f"--in {tensor.name}: the tensor is {wanted}, the array {got}")
    kept, name = code_type(tensor.dtype), element(tensor.dtype)
    if array.dtype == kept:
        return array, None
    if numerics.format_of(array) == name:  # the same format in another library's dtype
        return array.view(kept), None
    if array.dtype.kind != "f":
        if name in INTEGERS:
            return _integers(tensor, array, kept), None
        raise Problem(
            f"--in {tensor.name}: {array.dtype} is neither float nor {tensor.dtype}'s code type",
            help=f"give floats, or codes as {kept}",
        )
    if name in QUANTISED:
        codes, scale = numerics.quantize_int(array, name)
        return codes, scale
    if name in INTEGERS:
        return _integers(tensor, array, kept), None
    return numerics.encode(array, name), None


def _integers(tensor: Tensor, array: Array, kept: np.dtype[Any]) -> Array:
    limits = np.iinfo(kept)
    whole = array.dtype.kind != "f" or bool(np.all(np.rint(array) == array))
    if not whole or (array.size and not limits.min <= array.min() <= array.max() <= limits.max):
        raise Problem(
            f"--in {tensor.name}: the tensor holds {tensor.dtype},"
            f" integers from {limits.min:,} to {limits.max:,}"
        )
    return array.astype(kept)


def default_values(tensor: Tensor, seed: int, stream: int) -> Array:
    """Seeded data for an input: N(0, 1) for float formats, uniform for integers."""
    from programs.draws import normal

    name = element(tensor.dtype)
    if name not in INTEGERS and name != "e8m0":
        return normal(tensor.shape, seed, stream)
    low, high = {
        "e8m0": (124, 130),  # scales near 1
        "int4": (-8, 7),
        "int32": (-(1 << 20), 1 << 20),  # narrow enough that sums do not overflow
        "uint16": (0, 15),  # addresses and lane maps: what every table has
    }.get(name, (0, 0))
    if low == high:
        low, high = int(np.iinfo(INTEGERS[name]).min), int(np.iinfo(INTEGERS[name]).max)
    rng = np.random.Generator(np.random.Philox(key=[seed, stream]))
    return rng.integers(low, high, tensor.shape, endpoint=True).astype(code_type(tensor.dtype))


def as_numbers(dtype: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A kernel's arrays as plain numbers: codes of float formats decoded, block scales applied."""
    kept = code_type(dtype)
    numbers: dict[str, Array] = {}
    for name, array in arrays.items():
        if name.endswith(".scale"):
            continue
        if array.dtype != kept or element(dtype) in INTEGERS:
            numbers[name] = array
        elif (scales := arrays.get(f"{name}.scale")) is not None:
            numbers[name] = _with_scales(dtype, array, scales)
        else:
            numbers[name] = decode(dtype, array)
    return numbers


def _with_scales(dtype: str, codes: Array, scales: Array) -> Array:
    """Block codes as numbers; the blocks lie along the axis that is shorter in the scales."""
    from emulator import numerics

    pairs = list(zip(codes.shape, scales.shape, strict=False))
    axis = next((i for i, (size, blocks) in enumerate(pairs) if size != blocks), -1)
    if axis < 0:  # all the same: one block, along an axis of one element
        axis = codes.shape.index(1) if 1 in codes.shape else 0
    try:
        return numerics.dequantize_blocks(codes, scales, dtype, axis)
    except ValueError as error:
        raise Problem(str(error)) from None


def clipped(
    dtype: str,
    axes: Mapping[str, int],
    arrays: Mapping[str, Array],
    scale: str | None = None,
    encoded: Mapping[str, Array] | None = None,
) -> int:
    """Elements of the float inputs in `axes` that are beyond the largest value of the format.

    In a block format that is the largest element times the block's scale, the blocks lying along
    the axis given and their scales chosen by the rule `scale`; where `encoded` has them already,
    as `name.scale`, they are not chosen again. Scales per tensor and finer, which int8 always has,
    spare it this.
    """
    from emulator import numerics

    count = 0
    for name, axis in axes.items():
        x = arrays.get(name)
        if x is None or x.dtype.kind != "f" or dtype in QUANTISED or not x.size:
            continue
        if dtype not in numerics.BLOCK_FORMATS and scale not in (None, "none"):
            continue
        if dtype in numerics.BLOCK_FORMATS:
            row = numerics.BLOCK_FORMATS[dtype]
            scales = _block_scales(row, x, axis, scale, (encoded or {}).get(f"{name}.scale"))
            tops, length = np.moveaxis(row.max_element * scales, axis, 0), row.block
        else:
            length = -(-x.shape[axis] // 64)
            tops = np.full(64, numerics.get_format(dtype).max_finite)
        # A slice at a time: whole arrays of float64 would cost more than the run.
        slices = np.moveaxis(x, axis, 0)
        for number, top in enumerate(tops):
            part = np.abs(slices[number * length : (number + 1) * length])
            with np.errstate(over="ignore"):
                narrow = np.asarray(top).astype(part.dtype)
            if not np.array_equal(narrow, top, equal_nan=True):
                part = part.astype(np.float64)
                narrow = top
            count += int(np.count_nonzero(part > narrow))
    return count


def _block_scales(
    row: BlockFormat, x: Array, axis: int, scale: str | None, chosen: Array | None
) -> Array:
    """The scales of x's blocks along an axis, in float64; `chosen`: their codes where known."""
    from emulator import numerics

    whole = 1.0
    shape = list(x.shape)
    shape[axis] = -(-shape[axis] // row.block)
    if chosen is None or row.tensor_scale or list(chosen.shape) != shape:
        blocks = numerics.quantize_blocks(x, row, axis, scale or "floor")
        chosen, whole = blocks.scales, blocks.tensor_scale
    return numerics.decode64(chosen, row.scale) * whole
