"""The reservation table: which queue, bank and stream segment is taken in which cycle.

Streams are reserved per diagonal (`Value` in `fragment`), once for the western and once for the
eastern half of the chip: a value uses a half if any part of its way from producer to last consumer
lies there. Resources have numbers, so that what differs only in the stream or the ALU is the same
claim some numbers further on; `_table.pyx` keeps the bits.
"""

from __future__ import annotations

from typing import NamedTuple

from emulator.lpu.chip import LpuChip
from programs.lpu.schedule._table import Table

STREAMS = 32  # in each direction
PER_STREAM = 2  # resources: its western and its eastern half

# Diagonals of westward streams exceed, those of eastward ones precede, the cycle; keep bits >= 0.
ORIGIN = 1 << 10


class Claim(NamedTuple):
    """`mask` (bit i = `offset` + i cycles after the fragment's first) of the resource `taken`.

    It has to be free in `checked`: the same, but for a bank's port, which only excludes the other.
    """

    taken: int
    checked: int
    offset: int
    mask: int


class Reservations:
    """Numbers the resources of a chip, and keeps their busy cycles."""

    def __init__(self, chip: LpuChip) -> None:
        self._queues = {name: i for i, name in enumerate(chip.queues)}
        self._slices = {name: i for i, name in enumerate(chip.slice_names)}
        self._results = len(self._queues)
        self._banks = 2 * self._results
        self._streams = self._banks + 4 * len(self._slices)
        self.table = Table(self._streams + 2 * STREAMS * PER_STREAM, ORIGIN)

    def queue(self, name: str) -> int:
        return self._queues[name]

    def result(self, queue: str) -> int:
        """The cycles in which an ALU delivers."""
        return self._results + self._queues[queue]

    def ports(self, queue: str, bank: int) -> tuple[int, int]:
        """A bank's port that a slice's queue takes, and the other, which has to be free."""
        _, name, port = queue.split(".")
        first = self._banks + 4 * self._slices[name] + 2 * bank
        writes = port == "write"
        return first + writes, first + (not writes)

    def stream(self, direction: str, index: int, half: str) -> int:
        at = STREAMS * (direction == "w") + index
        return self._streams + PER_STREAM * at + (half == "e")

    def describe(self, resource: int) -> str:
        """A resource in words."""
        if resource >= self._streams:
            at, half = divmod(resource - self._streams, PER_STREAM)
            west, index = divmod(at, STREAMS)
            return f"stream s{index}.{'ew'[west]} ({'east' if half else 'west'} half)"
        if resource >= self._banks:
            at, port = divmod(resource - self._banks, 2)
            name = list(self._slices)[at // 2]
            return f"bank {at % 2} of slice {name} ({'write' if port else 'read'} port)"
        kind, at = divmod(resource, self._results)
        return f"{'the result of' if kind else 'queue'} {list(self._queues)[at]}"
