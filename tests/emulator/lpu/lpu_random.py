"""Random legal programs with the values they must leave in memory.

A `Planner` draws transactions (move a vector, compute, permute lanes, multiply), tries start cycles
until every queue, register, bank and ALU output is free, and computes with numpy what each writes.
Every value it drives is read, so a legal machine has nothing to report.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emulator.lpu.chip import LpuChip
from isa.fields import Stream
from isa.lpu import LPU
from tests.emulator.lpu.lpu_programs import Bench, planes_of, row_layout, values_of, wide

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
INTEGER: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "max": np.maximum, "min": np.minimum,
}  # fmt: skip


@dataclass
class Word:
    """A vector in SRAM: where, since when it may be read, and its bytes."""

    slice_name: str
    addr: int
    ready: int
    value: Bytes


@dataclass
class Claim:
    """What a transaction needs at one start cycle, and what it would issue."""

    keys: set[tuple[Any, ...]] = field(default_factory=set)
    issues: list[tuple[str, int, str, dict[str, Any]]] = field(default_factory=list)
    clash: bool = False

    def need(self, *key: Any) -> None:
        self.clash |= key in self.keys
        self.keys.add(key)


class Planner:
    """Places transactions; `bench` is the program, `written` what memory must hold at the end."""

    def __init__(self, seed: int, chip: LpuChip | None = None) -> None:
        self.random = random.Random(seed)
        self.chip = chip or wide()
        self.bench = Bench(self.chip)
        self.taken: set[tuple[Any, ...]] = set()
        self.next_word = dict.fromkeys(self.chip.slice_names, 0)
        self.words: list[Word] = []
        self.written: dict[str, Bytes] = {}
        rng = np.random.default_rng(seed)
        for name in self.chip.slice_names:
            value = rng.integers(0, 256, self.chip.lanes).astype(np.uint8)
            addr = self.fresh(name)
            self.bench.memory(name, addr, value[None])
            self.words.append(Word(name, addr, 0, value))

    def fresh(self, slice_name: str) -> int:
        """A word that nobody has used, in either bank."""
        n = self.next_word[slice_name]
        self.next_word[slice_name] = n + 1
        return (n >> 1) + (n & 1) * (1 << self.chip.mem.bank_bit)

    # ---- pieces of a transaction -----------------------------------------------------------

    def bank(self, claim: Claim, slice_name: str, addr: int, cycle: int) -> None:
        claim.need("bank", slice_name, self.chip.bank(addr), cycle)

    def issue(self, claim: Claim, queue: str, cycle: int, name: str, **fields: Any) -> None:
        claim.clash |= cycle < 0
        claim.need("queue", queue, cycle)
        claim.issues.append((queue, cycle, name, fields))

    def drive(self, claim: Claim, stream: Stream, column: int, cycle: int) -> None:
        """A value takes its whole diagonal, from edge to edge."""
        diagonal = cycle - column if stream.direction == "e" else cycle + column
        claim.need("register", stream, diagonal)

    def read(self, claim: Claim, word: Word, stream: Stream, column: int, cycle: int) -> None:
        """`word` on `stream` at `column` in `cycle`."""
        queue = f"mem.{word.slice_name}.read"
        own = self.chip.queue_column(queue)
        distance = column - own if stream.direction == "e" else own - column
        at = cycle - distance - self.chip.latency["mem.read"]
        claim.clash |= distance <= 0 or at < word.ready
        self.issue(claim, queue, at, "read", dst=stream, addr=word.addr)
        self.bank(claim, word.slice_name, word.addr, at)
        self.drive(claim, stream, own, cycle - distance)

    def write(self, claim: Claim, word: Word, stream: Stream, column: int, cycle: int) -> None:
        """What `column` drives on `stream` in `cycle` goes to `word`."""
        queue = f"mem.{word.slice_name}.write"
        own = self.chip.queue_column(queue)
        distance = own - column if stream.direction == "e" else column - own
        claim.clash |= distance <= 0
        at = cycle + distance
        self.issue(claim, queue, at, "write", a=stream, addr=word.addr)
        self.bank(claim, word.slice_name, word.addr, at)
        word.ready = at + self.chip.latency["mem.write"] + 1

    def place(self, attempt: Callable[[Claim, int], None], results: list[Word]) -> None:
        """The first cycle from a random one at which everything is free."""
        cycle = self.random.randrange(20, 120)
        while True:
            claim = Claim()
            attempt(claim, cycle)
            if not claim.clash and not (claim.keys & self.taken):
                break
            cycle += 1
            assert cycle < 5000
        self.taken |= claim.keys
        for queue, at, name, fields in claim.issues:
            self.bench.at(queue, at, name, **fields)
        for word in results:
            self.words.append(word)
            name = f"{word.slice_name}.{word.addr}"
            self.bench.output(word.slice_name, word.addr, 1, name)
            self.written[name] = word.value

    # ---- choices ---------------------------------------------------------------------------

    def stream(self, count: int, direction: str) -> Stream:
        return Stream(self.random.randrange(0, 32, count), direction)

    def before(self, column: int, direction: str, count: int) -> list[Word]:
        """Words whose slices lie upstream of a column, each in a slice of its own."""
        found: dict[str, Word] = {}
        for word in self.random.sample(self.words, len(self.words)):
            own = self.chip.mem_column(word.slice_name)
            if (own < column) == (direction == "e") and own != column:
                found.setdefault(word.slice_name, word)
        return list(found.values())[:count]

    def after(self, column: int, direction: str, values: Bytes) -> list[Word]:
        """New words downstream of a column, in different slices, to hold the planes of a result."""
        names = [
            n for n in self.chip.slice_names
            if (self.chip.mem_column(n) > column) == (direction == "e")
            and self.chip.mem_column(n) != column
        ]  # fmt: skip
        chosen = self.random.sample(names, len(values))
        return [Word(n, self.fresh(n), 0, v) for n, v in zip(chosen, values, strict=True)]

    def plus(self, stream: Stream, k: int) -> Stream:
        return Stream(stream.index + k, stream.direction)

    # ---- transactions ----------------------------------------------------------------------

    def copy(self) -> None:
        """One vector from a slice to another, past any number of columns."""
        direction = self.random.choice("ew")
        column = self.chip.vxm_column
        (source,) = self.before(column, direction, 1)
        (target,) = self.after(column, direction, source.value[None])
        stream = self.stream(1, direction)

        def attempt(claim: Claim, cycle: int) -> None:
            self.read(claim, source, stream, column, cycle)
            self.write(claim, target, stream, column, cycle)

        self.place(attempt, [target])

    def arithmetic(self) -> None:
        """int32 arithmetic of two vectors in the VXM, the operands from both sides."""
        name = self.random.choice(list(INTEGER))
        large = name in self.chip.vxm.large_ops
        alu = self.random.choice(self.chip.vxm.large_alus if large else range(self.chip.vxm.alus))
        column, latency = self.chip.vxm_column, self.chip.latency[LPU.by_name[name].timing]
        a, b = self.before(column, "e", 4), self.before(column, "w", 4)
        out = self.random.choice("ew")
        values = [values_of(np.stack([w.value for w in x])[None], np.int32)[0] for x in (a, b)]
        with np.errstate(over="ignore"):
            result = planes_of(INTEGER[name](*values)[None])[0]
        targets = self.after(column, out, result)
        streams = self.stream(4, "e"), self.stream(4, "w"), self.stream(4, out)

        def attempt(claim: Claim, cycle: int) -> None:
            for p in range(4):
                self.read(claim, a[p], self.plus(streams[0], p), column, cycle)
                self.read(claim, b[p], self.plus(streams[1], p), column, cycle)
            self.issue(claim, f"vxm.{alu}", cycle, name, type="int32", dst=streams[2],
                       a=streams[0], b=streams[1])  # fmt: skip
            claim.need("alu", alu, cycle + latency)
            for p in range(4):
                self.drive(claim, self.plus(streams[2], p), column, cycle + latency)
                self.write(claim, targets[p], self.plus(streams[2], p), column, cycle + latency)

        self.place(attempt, targets)

    def lanes(self) -> None:
        """A shift or rotation in one of the SXMs."""
        side = self.random.choice("ew")
        column = self.chip.sxm_column(side)
        outward = side
        inward = "we"[side == "w"]
        (source,) = self.before(column, outward, 1)
        amount = self.random.randrange(-15, 16)
        if self.random.random() < 0.5:
            name, fields = "shift", {"wrap": True}
            value = np.roll(source.value, amount)
        else:
            name, fields = "rotate", {}
            value = np.roll(source.value.reshape(-1, 16), amount, 1).ravel()
        (target,) = self.after(column, inward, value[None])
        streams = self.stream(1, outward), self.stream(1, inward)
        queue = f"sxm.{side}.{self.random.randrange(self.chip.sxm.ops_per_cycle)}"
        latency = self.chip.latency[f"sxm.{name}"]

        def attempt(claim: Claim, cycle: int) -> None:
            self.read(claim, source, streams[0], column, cycle)
            self.issue(claim, queue, cycle, name, width=1, dst=streams[1], a=streams[0],
                       amount=amount, **fields)  # fmt: skip
            self.drive(claim, streams[1], column, cycle + latency)
            self.write(claim, target, streams[1], column, cycle + latency)

        self.place(attempt, [target])

    def product(self) -> None:
        """16 rows of int8 weights and one activation on a plane, with nothing between."""
        side = self.random.choice("ew")
        plane = 0 if side == "w" else self.chip.mxm.planes // 2
        column = self.chip.mxm_column(side)
        inward = "we"[side == "w"]
        rows = self.before(column, side, 17)
        x, weights = rows[0], rows[1:]
        group, source = Stream(0, side), Stream(16 + self.random.randrange(16), side)
        n, k = len(weights), self.random.randrange(1, self.chip.lanes + 1)
        w = np.stack([r.value for r in weights]).view(np.int8).astype(np.int32)
        total = np.zeros(self.chip.lanes, np.int32)
        total[:n] = w[:, :k] @ x.value[:k].view(np.int8).astype(np.int32)
        targets = self.after(column, inward, planes_of(total[None])[0])
        out = self.stream(4, inward)
        latency = self.chip.latency

        def attempt(claim: Claim, cycle: int) -> None:
            for j, word in enumerate(weights):
                self.read(claim, word, self.plus(group, j), column, cycle)
            queue, mm = f"mxm.{plane}.weights", cycle + 1 + latency["mxm.iw"]
            self.issue(claim, queue, cycle, "lw", type="int8", a=group, rows=n, lanes=k)
            self.issue(claim, queue, cycle + 1, "iw")
            self.read(claim, x, source, column, mm)
            self.issue(claim, f"mxm.{plane}.mm", mm, "mm", type="int8", a=source, row=0,
                       start=True, emit=True, dst=out)  # fmt: skip
            for at in range(cycle, mm + 1):  # nobody else's weights in between
                claim.need("plane", plane, at)
            for p in range(4):
                self.drive(claim, self.plus(out, p), column, mm + latency["mxm.mm"])
                self.write(claim, targets[p], self.plus(out, p), column, mm + latency["mxm.mm"])

        self.place(attempt, targets)

    def fill(self, count: int) -> Planner:
        """`count` random transactions."""
        kinds = [self.copy, self.copy, self.arithmetic, self.lanes, self.product]
        for _ in range(count):
            self.random.choice(kinds)()
        return self


__all__ = ["Planner", "row_layout"]
