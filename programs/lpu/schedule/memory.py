"""SRAM for kernel builders: arenas, blocks of vectors, and when each vector is there.

A `Block` is `count` vectors that lie at the same words of a list of slices (the byte planes of an
element, or the 16 sources of a weight load). Vectors of a block are numbered 0..count-1 in one
bank; `address(i)` hides which address bit selects the bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.chip import LpuChip
from programs.kernel import KernelError

NEVER = -(1 << 40)


Touched = Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]  # (vectors, cycles from first)


class Times:
    """When each vector of a block is there and when it was last read.

    Most blocks are inputs and never written, or results and never read: nothing is worked out
    before it is asked for.
    """

    def __init__(self, count: int) -> None:
        self._reads = _Record(count)
        self._writes = _Record(count)

    @property
    def ready(self) -> NDArray[np.int64] | None:
        """First cycle in which a read of each vector may issue (None: there from the start)."""
        return self._writes.latest()

    @property
    def last_read(self) -> NDArray[np.int64] | None:
        """Cycle of the last read of every vector (None: never read)."""
        return self._reads.latest()

    @property
    def written(self) -> bool:
        """Whether the program writes the block."""
        return self._writes.any

    @property
    def read_before(self) -> bool:
        """Whether the program has read the block."""
        return self._reads.any

    def read(self, touched: Callable[[], Touched], first: int) -> None:
        self._reads.add(touched, first)

    def write(self, touched: Callable[[], Touched], first: int) -> None:
        # The byte planes of a block share the record; the latest counts.
        self._writes.add(touched, first)


class _Record:
    """The latest cycle of each vector."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._known: NDArray[np.int64] | None = None
        self._new: list[tuple[Callable[[], Touched], int]] = []
        self.any = False

    def add(self, touched: Callable[[], Touched], first: int) -> None:
        self._new.append((touched, first))
        self.any = True

    def latest(self) -> NDArray[np.int64] | None:
        if self._new:
            if self._known is None:
                self._known = np.full(self._count, NEVER, np.int64)
            known = self._known
            for touched, first in self._new:
                for where, when in touched():
                    known[where] = np.maximum(known[where], when + first)
            self._new.clear()
        return self._known


class Block:
    """Vectors 0..count-1 in one bank of some slices; remembers when they were written and read."""

    def __init__(self, slices: Sequence[str], bank: int, base: int, step: int, count: int) -> None:
        self.slices = tuple(slices)
        self.bank = bank
        self.base = base
        self.step = step  # address distance of neighbouring vectors
        self.count = count
        self.times = Times(count)

    def address(self, i: int) -> int:
        if not 0 <= i < self.count:
            raise IndexError(f"vector {i} of a block of {self.count}")
        return self.base + i * self.step

    def on(self, *positions: int) -> Block:
        """The same vectors on some of the slices only; shares the time keeping."""
        return self.on_slices(tuple(self.slices[p] for p in positions))

    def on_slices(self, slices: tuple[str, ...]) -> Block:
        """As `on`, by name."""
        part = Block.__new__(Block)
        part.__dict__.update(self.__dict__)
        part.slices = slices
        return part


class Arena:
    """Hands out SRAM of one chip: a bump allocator per slice and bank run."""

    def __init__(self, chip: LpuChip) -> None:
        self.chip = chip
        bit, words = chip.mem.bank_bit, chip.mem.words
        # Runs of equally spaced words in one bank: (first word, step, count).
        if bit < 6:
            step = 2 << bit
            run = [(b << bit, step, words // step) for b in (0, 1)]
            self._runs = {b: [run[b]] for b in (0, 1)}
        else:
            size = 1 << bit
            self._runs = {
                b: [((2 * k + b) * size, 1, size) for k in range(words // (2 * size))]
                for b in (0, 1)
            }
        self._used: dict[tuple[str, int, int], int] = {}

    def block(self, slices: Sequence[str], bank: int, count: int, what: str = "data") -> Block:
        """`count` vectors at the same words of all `slices`; `KernelError` when they do not fit."""
        for r, (first, step, size) in enumerate(self._runs[bank]):
            top = max(self._used.get((s, bank, r), 0) for s in slices)
            if top + count <= size:
                for s in slices:
                    self._used[s, bank, r] = top + count
                return Block(slices, bank, first + top * step, step, count)
        free = max(
            size - max(self._used.get((s, bank, r), 0) for s in slices)
            for r, (_, _, size) in enumerate(self._runs[bank])
        )
        lanes = self.chip.lanes
        raise KernelError(
            f"{what} does not fit {self.chip.name}: needs {count * lanes:,} bytes in bank {bank} of"
            f" each of {len(set(slices))} slices, {free * lanes:,} available"
        )

    def free(self, slices: Sequence[str], bank: int) -> int:
        """Vectors that still fit a block on these slices."""
        return max(
            size - max(self._used.get((s, bank, r), 0) for s in slices)
            for r, (_, _, size) in enumerate(self._runs[bank])
        )

    def balanced(
        self, groups: Sequence[Sequence[str]], bank: int, count: int, what: str = "data"
    ) -> Block:
        """A block on whichever group of slices has most room."""
        best = max(groups, key=lambda g: self.free(g, bank))
        return self.block(best, bank, count, what)
