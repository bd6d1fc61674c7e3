"""Weight passes: which of them belong together, and who makes them.

A pass is exact and rounded once, then added to its plane's accumulators (`emulator.numerics`). The
passes from one that starts accumulators to the one that emits them are a *chain*. Where nobody sees
the accumulators but the chain itself, it needs no state of the plane: it is made by any thread, at
any time from when its operands are there until its rows are wanted, and adds into those. A chain of
which all operands are words that never change is made ahead. Bits depend on none of that.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.host import host_threads
from emulator.lpu._bulk_values import Multiplier
from emulator.lpu.chip import LpuChip
from isa.lpu import TYPES

Bytes = NDArray[np.uint8]
Rows = NDArray[np.int32]
_SCALED = {TYPES["mxfp8"], TYPES["mxfp4"]}
_THREADS_PAY = 1 << 27  # multiply-adds of a program from which on threads are worth starting
_AHEAD = 4  # chains that a thread may be ahead of whoever wants their rows
GROUP = 4  # chains that share weights laid out once


def is_scaled(type_: int) -> bool:
    """Whether a matrix type has block scales."""
    return type_ in _SCALED


class Weights(NamedTuple):
    """What an ``lw`` loads: codes [columns, depth elements], or SRAM and where in it they are."""

    columns: int
    depth: int
    codes: Bytes
    table: NDArray[np.int64] | None


class Pass(NamedTuple):
    """One burst of ``mm``: vectors x [n, lanes * bytes] times weights."""

    type: int
    x: Bytes
    scales: Bytes | None  # e8m0 codes [n, lanes] of x, block-scaled types
    weights: Weights
    weight_scales: Bytes | None  # [blocks, lanes]
    start: bool


@dataclass(eq=False)
class Chain:
    """Passes that share accumulator rows, in their order."""

    rows: tuple[int, int, int]  # the first, how many, their distance
    passes: list[int] = field(default_factory=list)  # numbers of segments
    emitted: bool = False  # by the last pass
    private: bool = True  # nobody else sees the accumulators


class Burst(NamedTuple):
    """What chains depend on of a segment of ``mm``."""

    number: int
    queue: int
    row: int
    n: int
    stride: int
    start: bool
    emit: bool


def find_chains(bursts: Iterable[Burst], acc_rows: int) -> list[Chain]:
    """The private, emitted chains of all `bursts`, which come in the order of their planes."""
    chains: list[Chain] = []
    owners: dict[int, NDArray[np.int64]] = {}  # of a queue's accumulator rows
    for burst in bursts:
        owner = owners.setdefault(burst.queue, np.full(acc_rows, -1))
        touched = np.arange(burst.n) * burst.stride + burst.row if burst.stride else [burst.row]
        before, rows = owner[touched], (burst.row, burst.n, burst.stride)
        last = int(before[0])
        if burst.start or last < 0 or not _continues(chains[last], before == last, rows):
            if not burst.start:
                for seen in set(before[before >= 0].tolist()):
                    chains[seen].private = False
            # Rows that follow each other in one accumulator are sums of their own, or none.
            apart = burst.stride != 0 or burst.n == 1 or burst.emit
            last = len(chains)
            chains.append(Chain(rows, private=burst.start and apart))
            owner[touched] = last
        chains[last].passes.append(burst.number)
        chains[last].emitted = burst.emit
    return [chain for chain in chains if chain.private and chain.emitted]


def _continues(chain: Chain, same: NDArray[np.bool_], rows: tuple[int, int, int]) -> bool:
    return (
        chain.rows == rows
        and not chain.emitted
        and bool(same.all())
        and (rows[1] == 1 or rows[2] != 0)
    )


def grouped(chains: Iterable[Chain], weights: Sequence[Hashable]) -> list[list[Chain]]:
    """Chains that come near each other and have equal `weights`, in groups of GROUP at most."""
    groups: list[list[Chain]] = []
    open_: dict[Hashable, list[Chain]] = {}
    for chain, key in zip(chains, weights, strict=True):
        if key not in open_:
            if len(open_) == GROUP:
                del open_[next(iter(open_))]
            open_[key] = []
            groups.append(open_[key])
        open_[key].append(chain)
        if len(open_[key]) == GROUP:
            del open_[key]
    return groups


class Planes:
    """Who makes the passes of one run: accumulators of planes, buffers, and host threads."""

    def __init__(self, chip: LpuChip, macs: int) -> None:
        self._chip = chip
        self._sums: dict[int, Rows] = {}  # by queue
        self._idle: list[Multiplier] = []
        threads = host_threads() if macs >= _THREADS_PAY else 1
        self.ahead = threads * _AHEAD if threads > 1 else 0
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Planes:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def later(self, chains: Sequence[Iterable[Pass]]) -> list[Bytes] | list[Future[Bytes]]:
        """What each of some chains emits, or will have emitted: rows [n, 4 * lanes].

        They have as many passes, with the same weights, which are laid out once for all of them.
        """
        if self._pool is None:
            return self._chains(chains)
        found: list[Future[Bytes]] = [Future() for _ in chains]

        def make() -> None:
            try:
                made = self._chains(chains)
            except BaseException as error:
                for future in found:
                    future.set_exception(error)
                raise
            for future, out in zip(found, made, strict=True):
                future.set_result(out)

        self._pool.submit(make)
        return found

    def _chains(self, chains: Sequence[Iterable[Pass]]) -> list[Bytes]:
        multiplier = self._multiplier()
        sums: list[Rows] = []
        for together in zip(*chains, strict=True):
            if not sums:
                sums = [np.empty((len(one.x), self._chip.lanes), np.int32) for one in together]
            for i, (one, out) in enumerate(zip(together, sums, strict=True)):
                _multiply(multiplier, one, out, again=i > 0)
        self._idle.append(multiplier)
        return [out.view(np.uint8) for out in sums]

    def add(self, queue: int, one: Pass, row: int, stride: int, emit: bool) -> Bytes | None:
        """A pass into a plane's accumulators; with `emit` their rows [n, 4 * lanes] afterwards."""
        lanes, n = self._chip.lanes, len(one.x)
        acc = self._sums.get(queue)
        if acc is None:
            acc = self._sums[queue] = np.zeros((self._chip.mxm.acc_rows, lanes), np.int32)
        multiplier = self._multiplier()
        out = np.empty((n, lanes), np.int32) if emit else None
        parts = [slice(0, n)] if stride else [slice(i, i + 1) for i in range(n)]
        for part in parts:  # one after another where they share a row
            at = row + np.arange(part.start, part.stop) * stride
            sums = acc[at]
            scales = None if one.scales is None else one.scales[part]
            _multiply(multiplier, one._replace(x=one.x[part], scales=scales), sums)
            acc[at] = sums
            if out is not None:
                out[part] = sums
        self._idle.append(multiplier)
        return None if out is None else out.view(np.uint8)

    def _multiplier(self) -> Multiplier:
        try:
            return self._idle.pop()
        except IndexError:
            return Multiplier()


def _multiply(multiplier: Multiplier, one: Pass, sums: Rows, again: bool = False) -> None:
    w = one.weights
    multiplier.multiply(
        one.type, w.depth, w.columns, one.x, one.scales, w.codes, w.table, one.weight_scales, sums,
        one.start, again,
    )  # fmt: skip


def settled(rows: Any) -> Any:
    """Rows, waited for if somebody is still making them."""
    return rows.result() if isinstance(rows, Future) else rows
