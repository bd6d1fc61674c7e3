"""Weight passes as matrix products: the planes of a run of the bulk engine.

A pass is exact and rounded once, so it may come from any BLAS where its sums are provably exact:
integers in float32, formats of few bits in float64; `emulator.numerics.products` proves or mends
the rest. Passes are independent, only their additions are not: several host threads multiply, each
with a BLAS of one thread, and every plane adds in its own order. Bits do not depend on how many.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from emulator.lpu import _bulk_values as rows
from emulator.lpu.chip import LpuChip
from emulator.numerics.products import Operand, exact_dot, right_operand
from isa.lpu import TYPES
from isa.table import BYTES_OF

Bytes = NDArray[np.uint8]
SCALE_BLOCK = 32  # lanes that share a block scale
_INT8 = TYPES["int8"]
_SCALED = {TYPES["mxfp8"], TYPES["mxfp4"]}
_BYTES = {code: BYTES_OF[name] for name, code in TYPES.items()}
_THREADS_PAY = 1 << 27  # multiply-adds of a program from which on threads are worth starting
_WAITING = 32  # passes of a plane that may wait to be added
_RECENT = 4  # planes often hold the same weights: how many decoded ones to compare with


def is_scaled(type_: int) -> bool:
    """Whether a matrix type has block scales."""
    return type_ in _SCALED


@dataclass(frozen=True)
class Pass:
    """One burst of ``mm``: vectors x [n, lanes * bytes] times the weights of segment `load`."""

    queue: int
    type: int
    load: int
    load_scales: int
    x: Bytes
    scales: Bytes | None  # e8m0 codes [n, lanes] of x, block-scaled types
    row: int  # accumulator row of the first, then by `stride`
    stride: int
    start: bool
    emit: bool


class Matrix:
    """Decoded weights [output lanes, input lanes]: float32 for int8, else float64."""

    def __init__(self, type_: int, codes: Bytes, scales: Bytes | None) -> None:
        self.type, self.codes = type_, codes
        shape = codes.shape[0], codes.shape[1] // _BYTES[type_]
        self.values: NDArray[Any] = np.empty(shape, np.float32 if type_ == _INT8 else np.float64)
        if type_ == _INT8:
            rows.decode_int8(codes, self.values)
        else:
            rows.decode(type_, codes, self.values)
        if scales is not None:
            factors = np.empty(scales.shape)
            rows.decode_scales(scales, factors)
            spread = np.repeat(factors[:, : shape[0]].T, SCALE_BLOCK, axis=1)
            self.values *= spread[:, : shape[1]]
        self._right: Operand | None = None

    @property
    def right(self) -> Operand:
        """As the right factor of products that need a proof."""
        if self._right is None:
            self._right = right_operand(self.values.T)
        return self._right


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _threads() -> int:
    """How many threads the BLAS was told to use."""
    return max((pool.num_threads for pool in _controller().lib_controllers), default=1)


class Passes:
    """The planes of one run: weights by the segment that loaded them, and accumulators."""

    def __init__(self, chip: LpuChip, macs: int) -> None:
        self._chip, self._macs = chip, macs
        self._codes: dict[int, tuple[int, Bytes]] = {}
        self._active: dict[int, tuple[tuple[int, int], Matrix]] = {}  # by queue
        self._recent: list[Matrix] = []
        self._sums: dict[int, NDArray[np.int32]] = {}
        self._waiting: dict[int, list[tuple[Pass, Callable[[], NDArray[np.float32]]]]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._limit: Any = None

    def __enter__(self) -> Passes:
        if self._macs >= _THREADS_PAY and _threads() > 1:
            self._pool = ThreadPoolExecutor(_threads())
            self._limit = _controller().limit(limits=1, user_api="blas")
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._limit.restore_original_limits()

    def load(self, number: int, type_: int, codes: Bytes) -> None:
        """What segment `number`, an lw or lws, loads."""
        self._codes[number] = type_, codes

    def multiply(self, product: Pass) -> Bytes | None:
        """Start a pass; with `emit` the rows [n, 4 * lanes] afterwards."""
        matrix = self._matrix(product)
        sums = _integer_sums if product.type == _INT8 else _float_sums
        waiting = self._waiting.setdefault(product.queue, [])
        if self._pool is None:
            made = sums(product, matrix)
            waiting.append((product, lambda: made))
        else:
            future: Future[NDArray[np.float32]] = self._pool.submit(sums, product, matrix)
            waiting.append((product, future.result))
        if not product.emit and len(waiting) < _WAITING:
            return None
        out = None
        for earlier, result in waiting:
            out = self._add(earlier, result())
        waiting.clear()
        return out

    def _matrix(self, product: Pass) -> Matrix:
        """The weights of a product, decoded when the first needs them."""
        key = product.load, product.load_scales
        active = self._active.get(product.queue)
        if active is not None and active[0] == key:
            return active[1]
        type_, codes = self._codes.pop(product.load)
        scales = self._codes.pop(product.load_scales)[1] if is_scaled(type_) else None
        for matrix in self._recent:
            same = scales is None and matrix.type == type_ and matrix.codes.shape == codes.shape
            if same and np.array_equal(matrix.codes, codes):
                break
        else:
            matrix = Matrix(type_, codes, scales)
            if scales is None:
                self._recent = [matrix, *self._recent[: _RECENT - 1]]
        self._active[product.queue] = key, matrix
        return matrix

    def _add(self, product: Pass, sums: NDArray[np.float32]) -> Bytes | None:
        lanes = self._chip.lanes
        acc = self._sums.get(product.queue)
        if acc is None:
            acc = np.zeros((self._chip.mxm.acc_rows, lanes), np.int32)
            self._sums[product.queue] = acc
        out = np.empty((len(product.x), lanes), np.int32) if product.emit else None
        if product.type == _INT8:
            rows.add_integers(sums, acc, product.row, product.stride, product.start, out)
        else:
            floats = None if out is None else out.view(np.float32)
            rows.add_floats(
                sums, acc.view(np.float32), product.row, product.stride, product.start, floats
            )
        return None if out is None else out.view(np.uint8)


def _integer_sums(product: Pass, matrix: Matrix) -> NDArray[np.float32]:
    """At most 1,024 products of at most 2^14, so at most 2^24: exact in float32."""
    x = np.empty((len(product.x), matrix.values.shape[1]), np.float32)
    rows.decode_int8(product.x, x)
    sums: NDArray[np.float32] = x @ matrix.values.T
    return sums


def _float_sums(product: Pass, matrix: Matrix) -> NDArray[np.float32]:
    x = np.empty((len(product.x), matrix.values.shape[1]))
    rows.decode(product.type, product.x, x)
    if product.scales is not None:
        scales = np.empty_like(x)
        rows.decode_scales(product.scales, scales)
        x *= scales
    if rows.sums_are_exact(product.type, x.shape[1]):
        sums = x @ matrix.values.T
        if rows.finite(sums):
            out = np.empty(sums.shape, np.float32)
            rows.round_sums(sums, out)
            return out
    return exact_dot(x, matrix.right)
