"""Local memory and who owns it: an allocator per memory, and rings of buffers between pipes.

A `Ring` hands buffers from pipe to pipe, each pipe waiting only for the one before it:

    ring = core.ring("x", ("mte2", "v", "mte3"), {"x": ("ub", 8192)})     # two slots
    with ring.stage("mte2") as slot:    # waits until MTE3 is done with the slot before
        core("load", ..., dst=slot["x"], ...)
    with ring.stage("v") as slot:       # waits for the load
        core.call(function, slot["x"])
    with ring.stage("mte3") as slot:    # waits for the function
        core("store", ..., src=slot["x"], ...)
    ring.advance()                      # the next turn takes the other slot

The scalar unit only dispatches, so with two slots the load of the next turn runs while V works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emulator.npu.chip import NpuChip
from isa.npu import Reg
from programs.kernel import KernelError

if TYPE_CHECKING:
    from programs.npu.tiles import Core

ALIGN = 256  # bytes of a vector register: what a row's tail may load lies in its own buffer
FLAGS = 8  # per pair of pipes


class Buffers:
    """Addresses in the local memories of one kind of sub-core."""

    def __init__(self, chip: NpuChip) -> None:
        self.chip = chip
        self.sizes = chip.buffers()
        self.used: dict[str, int] = {}
        self._items: dict[str, list[str]] = {}

    def take(self, space: str, size: int, what: str) -> int:
        """The address of `size` bytes; `KernelError` says what is needed and available."""
        at = self.used.get(space, 0)
        end = at + -(-size // ALIGN) * ALIGN
        self._items.setdefault(space, []).append(f"{what} {size:,}")
        if end > self.sizes[space]:
            raise KernelError(
                f"{self.chip.name}: needs {end:,} bytes of {space.upper()}, it has"
                f" {self.sizes[space]:,} ({', '.join(self._items[space])})"
            )
        self.used[space] = end
        return at

    def forget(self, space: str) -> None:
        """The memory is all free again; its users see to it that nobody is at work there."""
        self.used.pop(space, None)
        self._items.pop(space, None)

    def left(self, space: str) -> int:
        """Bytes that nobody has taken."""
        return self.sizes[space] - self.used.get(space, 0)


class Slot:
    """The buffers of a ring's current slot, while a stage has them."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._at: dict[str, Reg] = {}

    def __getitem__(self, part: str) -> Reg:
        """The address of a part, in a register that is free again after the stage."""
        if part not in self._at:
            self._at[part] = self._ring.address(part)
        return self._at[part]

    def release(self) -> None:
        self._ring.core.free(*self._at.values())


class Ring:
    """`depth` slots of equal buffers that go round from pipe to pipe."""

    def __init__(
        self, core: Core, name: str, stages: tuple[str, ...], depth: int,
        parts: Mapping[str, tuple[str, int]],
    ) -> None:  # fmt: skip
        self.core, self.name, self.stages, self.depth = core, name, stages, depth
        self._parts: dict[str, tuple[int, int]] = {}  # first address, bytes to the next slot
        for part, (space, size) in parts.items():
            step = -(-size // ALIGN) * ALIGN
            what = part if part == name else f"{name}.{part}"
            what = f"{depth} slots of {what}" if depth > 1 else what
            self._parts[part] = core.buffers.take(space, step * depth, what), step
        pairs = list(zip(stages, (*stages[1:], stages[0]), strict=True))
        self.flag = core.flags(pairs, depth)
        self.slot = core.reg(0) if depth > 1 else None
        for number in range(depth):  # everything is free
            core.raise_flag(stages[-1], stages[0], self.flag + number)

    def address(self, part: str) -> Reg:
        """A register with the address of a part of the current slot; the caller frees it."""
        base, step = self._parts[part]
        core, register = self.core, self.core.reg()
        if self.slot is None:
            core.mov(register, base)
            return register
        core.scaled(register, self.slot, step)
        return core.op("add", register, register, base) if base else register

    @contextmanager
    def stage(self, pipe: str) -> Iterator[Slot]:
        """The slot while `pipe` works on it: from the stage before to the stage behind."""
        self.begin(pipe)
        slot = Slot(self)
        yield slot
        slot.release()
        self.end(pipe)

    def begin(self, pipe: str) -> None:
        """`pipe` waits for the stage before; `stage` in two halves, for what spans a loop."""
        with self._number() as flag:
            self.core.await_flag(self.stages[self.stages.index(pipe) - 1], pipe, flag)

    def end(self, pipe: str) -> None:
        """`pipe` is done with the slot."""
        behind = self.stages[(self.stages.index(pipe) + 1) % len(self.stages)]
        with self._number() as flag:
            self.core.raise_flag(pipe, behind, flag)

    @contextmanager
    def _number(self) -> Iterator[Reg | int]:
        """The current slot's flag."""
        if self.slot is None or self.flag == 0:
            yield self.flag if self.slot is None else self.slot
            return
        with self.core.temporary() as register:
            yield self.core.op("add", register, self.slot, self.flag)

    def advance(self) -> None:
        """Go on to the next slot."""
        if self.slot is None:
            return
        if self.depth == 2:
            self.core.op("xor", self.slot, self.slot, 1)
            return
        self.core.op("add", self.slot, self.slot, 1)
        with self.core.when("eq", self.slot, self.depth):
            self.core.mov(self.slot, 0)
