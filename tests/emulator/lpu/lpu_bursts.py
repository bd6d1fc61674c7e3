"""Random legal programs of bursts: what the bulk engine resolves as a whole.

As `lpu_random.Planner`, with blocks of rows instead of single vectors and repeats instead of
single words: bursts at any distance, two-level repeats, operands stitched together from two bursts
or taken from half of one, one vector read again and again, chains, running values and accumulated
products.
No values are predicted here: the step engine's are what counts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emulator.lpu.chip import LpuChip
from isa.fields import Alu, Imm, Stream
from isa.lpu import LPU
from tests.emulator.lpu.lpu_programs import Bench, wide

BINARY = ("add", "sub", "mul", "max", "min")


@dataclass
class Rows:
    """`count` words of a slice from `addr` on, `step` apart, readable from cycle `ready` on."""

    slice_name: str
    addr: int
    count: int
    step: int
    ready: int = 0


@dataclass
class Plan:
    """Claims and issues of one transaction at one cycle."""

    keys: set[tuple[Any, ...]] = field(default_factory=set)
    issues: list[tuple[str, int, str, dict[str, Any]]] = field(default_factory=list)
    ready: dict[int, int] = field(default_factory=dict)
    clash: bool = False

    def need(self, *key: Any) -> None:
        self.clash |= key in self.keys
        self.keys.add(key)


class BurstPlanner:
    """Places transactions; `bench` is the program."""

    def __init__(self, seed: int, chip: LpuChip | None = None) -> None:
        self.random = random.Random(seed)
        self.chip = chip or wide()
        self.bench = Bench(self.chip)
        self.taken: set[tuple[Any, ...]] = set()
        self.used = dict.fromkeys(self.chip.slice_names, 0)
        self.blocks: list[Rows] = []
        rng = np.random.default_rng(seed)
        for name in self.chip.slice_names:
            block = self.fresh(name, 8)
            data = rng.integers(0, 256, (1 + 7 * block.step, self.chip.lanes))
            self.bench.memory(name, block.addr, data)
            self.blocks.append(block)

    def fresh(self, name: str, count: int) -> Rows:
        step = self.random.choice((1, 1, 2))
        first = self.used[name]
        self.used[name] += count * step
        half = self.random.random() < 0.5
        return Rows(name, first + half * (1 << self.chip.mem.bank_bit), count, step)

    # ---- bursts ------------------------------------------------------------------------------

    def issue(self, plan: Plan, queue: str, cycle: int, shape: tuple[int, int, int],
              name: str, stride: int = 0, **fields: Any) -> list[int]:  # fmt: skip
        """A burst of shape (n, d, groups): its cycles. Groups follow 2 cycles after another."""
        n, d, groups = shape
        period = (n - 1) * d + 2
        cycles = [cycle + j * period + i * d for j in range(groups) for i in range(n)]
        plan.clash |= cycle < 0
        for at in range(cycle, cycles[-1] + 1):
            plan.need("queue", queue, at)
        if n * groups > 1:
            fields["repeat"] = {"n": n - 1, "d": d, "stride": stride}
            if groups > 1:
                fields["repeat"] |= {"n2": groups - 1, "d2": period, "stride2": n * stride}
        plan.issues.append((queue, cycle, name, fields))
        return cycles

    def drive(self, plan: Plan, stream: Stream, column: int, cycles: list[int]) -> None:
        for at in cycles:
            diagonal = at - column if stream.direction == "e" else at + column
            plan.need("register", stream, diagonal)

    def read(self, plan: Plan, rows: Rows, stream: Stream, column: int, cycle: int,
             shape: tuple[int, int, int], again: bool = False) -> None:  # fmt: skip
        """`rows` on `stream` at `column` from `cycle` on; `again`: the first one all the time."""
        queue = f"mem.{rows.slice_name}.read"
        own = self.chip.queue_column(queue)
        distance = column - own if stream.direction == "e" else own - column
        first = cycle - distance - self.chip.latency["mem.read"]
        plan.clash |= distance <= 0 or first < rows.ready
        step = 0 if again else rows.step
        cycles = self.issue(plan, queue, first, shape, "read", step, dst=stream, addr=rows.addr)
        for i, at in enumerate(cycles):
            plan.need("bank", rows.slice_name, self.chip.bank(rows.addr + i * step), at)
        latency = self.chip.latency["mem.read"]
        self.drive(plan, stream, own, [at + latency for at in cycles])

    def write(self, plan: Plan, rows: Rows, stream: Stream, column: int, cycle: int,
              shape: tuple[int, int, int]) -> None:  # fmt: skip
        """What `column` drives on `stream` from `cycle` on goes to `rows`."""
        queue = f"mem.{rows.slice_name}.write"
        own = self.chip.queue_column(queue)
        distance = own - column if stream.direction == "e" else column - own
        plan.clash |= distance <= 0
        cycles = self.issue(plan, queue, cycle + distance, shape, "write", rows.step, a=stream,
                            addr=rows.addr)  # fmt: skip
        for i, at in enumerate(cycles):
            plan.need("bank", rows.slice_name, self.chip.bank(rows.addr + i * rows.step), at)
        # Sometimes while the burst still runs, never before its own row has landed.
        plan.ready[id(rows)] = cycles[-1] + self.chip.latency["mem.write"] + 1

    def place(self, attempt: Any, results: list[Rows]) -> None:
        """The first cycle that fits; a transaction that conflicts with itself is left out."""
        first = self.random.randrange(20, 150)
        for cycle in range(first, first + 2000):
            plan = Plan()
            attempt(plan, cycle)
            if not plan.clash and not (plan.keys & self.taken):
                break
        else:
            return
        self.taken |= plan.keys
        for queue, at, name, fields in plan.issues:
            self.bench.at(queue, at, name, **fields)
        for rows in results:
            rows.ready = plan.ready[id(rows)]
            self.blocks.append(rows)
            for i in range(rows.count):
                addr = rows.addr + i * rows.step
                self.bench.output(rows.slice_name, addr, 1, f"{rows.slice_name}.{addr}")

    # ---- choices -----------------------------------------------------------------------------

    def shape(self) -> tuple[int, int, int]:
        n = self.random.randrange(1, 5)
        return n, self.random.choice((1, 1, 1, 2, 3)), self.random.choice((1, 1, 2)) if n > 1 else 1

    def stream(self, count: int, direction: str) -> Stream:
        return Stream(self.random.randrange(0, 32, count), direction)

    def sources(self, column: int, direction: str, planes: int, count: int) -> list[Rows]:
        """Blocks of at least `count` rows upstream of a column, each in a slice of its own."""
        found: dict[str, Rows] = {}
        for rows in self.random.sample(self.blocks, len(self.blocks)):
            own = self.chip.mem_column(rows.slice_name)
            if (own < column) == (direction == "e") and own != column and rows.count >= count:
                found.setdefault(rows.slice_name, rows)
        return list(found.values())[:planes]

    def targets(self, column: int, direction: str, planes: int, count: int) -> list[Rows]:
        names = [
            n for n in self.chip.slice_names
            if (self.chip.mem_column(n) > column) == (direction == "e")
            and self.chip.mem_column(n) != column
        ]  # fmt: skip
        return [self.fresh(n, count) for n in self.random.sample(names, planes)]

    @staticmethod
    def plus(stream: Stream, k: int) -> Stream:
        return Stream(stream.index + k, stream.direction)

    # ---- transactions ------------------------------------------------------------------------

    def copy(self) -> None:
        """Rows from a slice to another, or one vector many times."""
        direction, column = self.random.choice("ew"), self.chip.vxm_column
        shape = self.shape()
        count = shape[0] * shape[2]
        again = self.random.random() < 0.25
        (source,) = self.sources(column, direction, 1, count)
        (target,) = self.targets(column, direction, 1, count)
        stream = self.stream(1, direction)

        def attempt(plan: Plan, cycle: int) -> None:
            self.read(plan, source, stream, column, cycle, shape, again)
            self.write(plan, target, stream, column, cycle, shape)

        self.place(attempt, [target])

    def stitched(self) -> None:
        """Two bursts become one, or one becomes two."""
        direction, column = self.random.choice("ew"), self.chip.vxm_column
        n, d = self.random.randrange(1, 4), self.random.choice((1, 1, 2))
        parts, whole = (n, d, 1), (2 * n, d, 1)
        both = self.random.random() < 0.5
        sources = self.sources(column, direction, 2 if both else 1, n if both else 2 * n)
        targets = self.targets(column, direction, 1 if both else 2, 2 * n if both else n)
        stream = self.stream(1, direction)

        def attempt(plan: Plan, cycle: int) -> None:
            for i, rows in enumerate(sources):
                self.read(plan, rows, stream, column, cycle + i * n * d, parts if both else whole)
            for i, rows in enumerate(targets):
                self.write(plan, rows, stream, column, cycle + i * n * d, whole if both else parts)

        self.place(attempt, targets)

    def arithmetic(self) -> None:
        """int32 or fp32 of two operands or a number, alone or through a chain."""
        name, kind = self.random.choice(BINARY), self.random.choice(("int32", "fp32"))
        chip, shape = self.chip, self.shape()
        column = chip.vxm_column
        first, second = self.random.sample(list(chip.vxm.large_alus), 2)
        latency, after = chip.latency[LPU.by_name[name].timing], chip.latency["vxm.add"]
        count = shape[0] * shape[2]
        a, b = (self.sources(column, side, 4, count) for side in "ew")
        out, chained = self.random.choice("ew"), self.random.random() < 0.5
        number = self.random.random() < 0.3
        targets = self.targets(column, out, 4, count)
        streams = self.stream(4, "e"), self.stream(4, "w"), self.stream(4, out)

        def attempt(plan: Plan, cycle: int) -> None:
            for p in range(4):
                self.read(plan, a[p], self.plus(streams[0], p), column, cycle, shape)
                if not number:
                    self.read(plan, b[p], self.plus(streams[1], p), column, cycle, shape)
            operand = Imm(3) if number else streams[1]
            at = self.issue(
                plan, f"vxm.{first}", cycle, shape, name, int(number), type=kind,
                dst=None if chained else streams[2], a=streams[0], b=operand,
            )  # fmt: skip
            for t in at:
                plan.need("alu", first, t + latency)
            done = cycle + latency
            if chained:
                at = self.issue(plan, f"vxm.{second}", done, shape, "neg", type=kind,
                                dst=streams[2], a=Alu(first))  # fmt: skip
                for t in at:
                    plan.need("alu", second, t + after)
                done += after
            for p in range(4):
                self.drive(plan, self.plus(streams[2], p), column, [t - at[0] + done for t in at])
                self.write(plan, targets[p], self.plus(streams[2], p), column, done, shape)

        self.place(attempt, targets)

    def running(self) -> None:
        """The sum or maximum of n rows: start, middle and emit on one ALU."""
        name = self.random.choice(("runsum", "runmax"))
        chip, n = self.chip, self.random.randrange(3, 6)
        column, alu = chip.vxm_column, self.random.choice(list(chip.vxm.large_alus))
        latency = chip.latency[LPU.by_name[name].timing]
        sources = self.sources(column, "e", 4, n)
        targets, streams = (
            self.targets(column, "e", 4, 1),
            (self.stream(4, "e"), self.stream(4, "e")),
        )
        common = {"type": self.random.choice(("int32", "fp32")), "a": streams[0]}

        def attempt(plan: Plan, cycle: int) -> None:
            for p in range(4):
                self.read(plan, sources[p], self.plus(streams[0], p), column, cycle, (n, 1, 1))
            queue, end = f"vxm.{alu}", cycle + n - 1
            self.issue(plan, queue, cycle, (1, 1, 1), name, start=True, dst=None, **common)
            self.issue(plan, queue, cycle + 1, (n - 2, 1, 1), name, dst=None, **common)
            self.issue(plan, queue, end, (1, 1, 1), name, emit=True, dst=streams[1], **common)
            plan.need("alu", alu, end + latency)
            for p in range(4):
                self.drive(plan, self.plus(streams[1], p), column, [end + latency])
                self.write(plan, targets[p], self.plus(streams[1], p), column, end + latency,
                           (1, 1, 1))  # fmt: skip

        self.place(attempt, targets)

    def lanes(self) -> None:
        """Rows through an SXM, each shifted by one more."""
        side, shape = self.random.choice("ew"), self.shape()
        column, inward = self.chip.sxm_column(side), "we"[side == "w"]
        count = shape[0] * shape[2]
        (source,) = self.sources(column, side, 1, count)
        (target,) = self.targets(column, inward, 1, count)
        streams = self.stream(1, side), self.stream(1, inward)
        name, fields = self.random.choice(
            (("shift", {"amount": -3, "wrap": True}), ("shift", {"amount": 2}),
             ("rotate", {"amount": -2}), ("broadcast", {"lane": 1}))
        )  # fmt: skip
        queue = f"sxm.{side}.{self.random.randrange(self.chip.sxm.ops_per_cycle)}"
        latency = self.chip.latency[f"sxm.{name}"]

        def attempt(plan: Plan, cycle: int) -> None:
            self.read(plan, source, streams[0], column, cycle, shape)
            at = self.issue(plan, queue, cycle, shape, name, 1, width="1", dst=streams[1],
                            a=streams[0], **fields)  # fmt: skip
            self.drive(plan, streams[1], column, [t + latency for t in at])
            self.write(plan, target, streams[1], column, cycle + latency, shape)

        self.place(attempt, [target])

    def product(self) -> None:
        """A pass or two of weights; the second pass is added to the same accumulator rows."""
        side, chip = self.random.choice("ew"), self.chip
        plane = 0 if side == "w" else chip.mxm.planes // 2
        column, inward = chip.mxm_column(side), "we"[side == "w"]
        passes, (n, d, _) = self.random.randrange(1, 3), self.shape()
        shape = (n, d, 1)
        dtype = self.random.choice([t for t in ("int8", "e4m3") if t in chip.mxm.modes])
        count, k = self.random.randrange(1, 17), self.random.randrange(1, chip.lanes + 1)
        loads = [self.sources(column, side, count + 1, n) for _ in range(passes)]
        targets = self.targets(column, inward, 4, n)
        group, out = Stream(0, side), self.stream(4, inward)
        source = Stream(16 + self.random.randrange(16), side)
        latency = chip.latency

        def attempt(plan: Plan, cycle: int) -> None:
            queue = f"mxm.{plane}.weights"
            for p, (x, *weights) in enumerate(loads):
                for j, rows in enumerate(weights):
                    self.read(plan, rows, self.plus(group, j), column, cycle, (1, 1, 1))
                last = p == passes - 1
                rows = min(count, len(weights))
                self.issue(plan, queue, cycle, (1, 1, 1), "lw", type=dtype, a=group, rows=rows,
                           lanes=k)  # fmt: skip
                ready = cycle + 1 + latency["mxm.lw"]
                self.issue(plan, queue, ready, (1, 1, 1), "iw")
                mm = ready + latency["mxm.iw"]
                self.read(plan, x, source, column, mm, shape)
                self.issue(plan, f"mxm.{plane}.mm", mm, shape, "mm", 1, type=dtype, a=source,
                           row=0, start=p == 0, emit=last, dst=out if last else None)  # fmt: skip
                end = mm + (n - 1) * d
                for at in range(cycle, end + 2):
                    plan.need("plane", plane, at)
                cycle = end + 2
            for p in range(4):
                done = [mm + latency["mxm.mm"] + i * d for i in range(n)]
                self.drive(plan, self.plus(out, p), column, done)
                self.write(plan, targets[p], self.plus(out, p), column, done[0], shape)

        self.place(attempt, targets)

    def fill(self, count: int) -> BurstPlanner:
        kinds = [self.copy, self.stitched, self.arithmetic, self.running, self.lanes, self.product]
        for _ in range(count):
            self.random.choice(kinds)()
        return self


__all__ = ["BurstPlanner"]
