"""Codes of a matrix unit's operand as numbers, for models of accumulation that work on numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.numerics.accumulate import Sums
from emulator.numerics.blocks import BLOCK_FORMATS
from emulator.numerics.codes import Array, decode64
from emulator.numerics.formats import get_format
from emulator.numerics.products import Doubles


def operand_values(
    codes: Array, dtype: str, scales: npt.NDArray[np.uint8] | None = None, axis: int = -1
) -> Doubles:
    """Codes [rows, columns] of a dtype as float64, exact.

    codes: in the storage type of the format; of block formats with the e8m0 `scales` of blocks
    along `axis` (ones more than needed are left alone).
    """
    block = BLOCK_FORMATS.get(dtype)
    row = get_format(block.element if block else dtype)
    values = decode64(codes.view(row.storage), row)
    if block is None or scales is None:
        return values
    factors = np.repeat(decode64(scales, block.scale), block.block, axis)
    return values * factors.take(range(codes.shape[axis]), axis)


def as_sums(bits: npt.NDArray[np.int32], dtype: str) -> Sums:
    """Accumulator bits as what products of a dtype add up in: int32 for int8, else float32."""
    if dtype == "int8":
        return bits
    return bits.view(np.float32)
