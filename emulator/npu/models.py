"""The cube's sums by a chosen model of accumulation: what the engine asks instead of adding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emulator.numerics.blocks import BLOCK_FORMATS
from emulator.numerics.formats import get_format
from emulator.numerics.operands import as_sums, operand_values
from emulator.numerics.products import Doubles
from emulator.numerics.running import Accumulation, Running
from isa.npu import TYPES

_NAMES = {code: name for name, code in TYPES.items()}
Bits = NDArray[np.int32]


class CubeSums:
    """The sums of every block of L0C that an mmad wrote."""

    def __init__(self, chosen: Accumulation) -> None:
        self.chosen = chosen
        self._running = Running(chosen)
        self.error: BaseException | None = None  # what stopped the engine, if anything did

    def mmad(self, place: int, kind: int, size: tuple[int, int, int], start: bool,
             a: bytes, a_scales: bytes, b: bytes, b_scales: bytes, bits: Bits) -> None:  # fmt: skip
        """bits [m, n] = or += a [m, k] b [k, n]; `place` is its address.

        Starting, `bits` hold the bias or zeros; else the sums so far, which go on where the last
        mmad at that place left them, and count as numbers where anything else wrote them.
        """
        dtype, (m, n, k) = _NAMES[kind], size
        sums = as_sums(bits, dtype)
        if start or not self._running.holds(place, sums):
            self._running.start(place, sums)
        left = _operand(a, a_scales, dtype, m, k, 1)
        self._running.add(place, left, _operand(b, b_scales, dtype, k, n, 0))
        sums[:] = self._running.value(place)


def _operand(data: bytes, scales: bytes, dtype: str, rows: int, cols: int, axis: int) -> Doubles:
    """A tile as numbers; its blocks lie along `axis`."""
    block = BLOCK_FORMATS.get(dtype)
    row = get_format(block.element if block else dtype)
    raw = np.frombuffer(data, np.uint8)
    if row.bits == 4:
        halves = np.stack([raw & 15, raw >> 4], -1).reshape(rows, -1)
        codes = np.ascontiguousarray(halves[:, :cols])
    else:
        codes = raw.view(row.storage).reshape(rows, cols)
    if not scales:
        return operand_values(codes, dtype)
    factors = np.frombuffer(scales, np.uint8)
    factors = factors.reshape((rows, -1) if axis else (-1, cols))
    return operand_values(codes, dtype, factors, axis)
