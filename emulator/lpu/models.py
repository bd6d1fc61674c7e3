"""The planes' sums by a chosen model of accumulation: what the engine asks instead of adding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emulator.numerics.operands import as_sums, operand_values
from emulator.numerics.products import Doubles
from emulator.numerics.running import Accumulation, Running
from isa.lpu import TYPES
from isa.table import BYTES_OF

Row = tuple[int, int]  # plane, accumulator row
_NAMES = {code: name for name, code in TYPES.items()}


class PlaneSums:
    """Weights as numbers, and the sums of every accumulator row; bytes as the planes keep them."""

    def __init__(self, chosen: Accumulation, lanes: int) -> None:
        self.chosen = chosen
        self._running = Running(chosen)
        self._lanes = lanes
        self._weights: dict[int, Doubles] = {}
        self.error: BaseException | None = None  # what stopped the engine, if anything did

    def load(self, buffer: int, kind: int, rows: int, k: int, raw: bytes, scales: bytes) -> None:
        """Weights of a buffer: raw [lanes][2 bytes][lanes], scales [blocks][lanes]."""
        dtype = _NAMES[kind]
        bytes_ = np.frombuffer(raw, np.uint8).reshape(self._lanes, 2, self._lanes)[:rows, :, :k]
        factors = np.frombuffer(scales, np.uint8).reshape(-1, self._lanes)[:, :rows].T
        values = operand_values(_joined(bytes_, dtype), dtype, factors)
        self._weights[buffer] = np.ascontiguousarray(values.T)

    def begin(self, row: Row, kind: int, bits: NDArray[np.int32], start: bool) -> None:
        """Before a pass: the row starts from `bits` if it is told to, or was never started."""
        if start or row not in self._running:
            self._running.start(row, as_sums(bits, _NAMES[kind])[None])

    def mm(self, row: Row, buffer: int, kind: int, data: bytes, scales: bytes) -> None:
        """One pass. `data`: the activation, byte plane after byte plane; a scale for every lane."""
        dtype, weights = _NAMES[kind], self._weights[buffer]
        k = weights.shape[0]
        planes = np.frombuffer(data, np.uint8).reshape(1, BYTES_OF[dtype], -1)[..., :k]
        values = operand_values(_joined(planes, dtype), dtype)
        if scales:
            values = values * operand_values(np.frombuffer(scales, np.uint8)[None, :k], "e8m0")
        self._running.add(row, values, weights)

    def value(self, row: Row) -> NDArray[np.int32]:
        """The bits of a row's sums so far."""
        bits: NDArray[np.int32] = self._running.value(row)[0].view(np.int32)
        return bits


def _joined(planes: NDArray[np.uint8], dtype: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Byte planes [..., 2 or 1, n] as codes [..., n]."""
    low = np.ascontiguousarray(planes[..., 0, :])
    if BYTES_OF[dtype] == 1:
        return low
    return low.astype(np.uint16) | planes[..., 1, :].astype(np.uint16) << np.uint16(8)
