"""Rigid fragments: reads, transits, computations and writes whose relative cycles are fixed.

Streams hold nothing, so once one operation of a fragment has its cycle, hops and latencies fix all
others. A `Fragment` collects operations (`Op`) connected by values (`Value`); `solve` finds the
relative cycles. Nothing here knows about other fragments: placing is `schedule.Schedule`'s.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.lpu.chip import LpuChip
from isa.lpu import LPU
from isa.table import BYTES_OF
from programs.lpu.schedule.memory import Block, Times

if TYPE_CHECKING:
    from programs.lpu.schedule.pattern import Pattern


class ScheduleError(ValueError):
    """A fragment that no cycle can satisfy; the message says which operands disagree."""


@dataclass(frozen=True)
class Burst:
    """Issues of one word at rel, rel + d, ... (n of them), all that n2 times, d2 apart."""

    rel: int
    values: Mapping[str, Any]
    n: int = 1
    d: int = 1
    stride: int = 0
    n2: int = 1
    d2: int = 0
    stride2: int = 0

    @property
    def length(self) -> int:
        """Cycles from the first to the last issue."""
        return (self.n - 1) * self.d + (self.n2 - 1) * self.d2

    def mask(self, hold: int = 1) -> int:
        """Bit i set where the queue is held `i` cycles after the burst's first issue."""
        one = (1 << hold) - 1
        inner = repeated(one, self.n, self.d)
        return repeated(inner, self.n2, self.d2)


@cache
def repeated(unit: int, n: int, d: int) -> int:
    """`n` copies of `unit`, `d` bits apart, by doubling."""
    if n <= 1:
        return unit
    half = repeated(unit, n // 2, d)
    both = half | half << (n // 2) * d
    return both | unit << (n - 1) * d if n % 2 else both


@dataclass(eq=False)
class Op:
    """Bursts of one mnemonic on one queue; `queues` are the candidates (ALUs, SXM ports)."""

    name: str
    queues: tuple[str, ...]
    column: int
    bursts: tuple[Burst, ...]
    latency: int
    skew: int
    hold: int = 1
    inputs: dict[str, Value | float | int] = field(default_factory=dict)
    block: Block | None = None
    indices: tuple[tuple[int, int, int, int], ...] = ()  # per burst: first index, step, step2, -
    time: int | None = None  # relative cycle of the first issue, by solve()
    output: Value | None = None
    part: int = 0  # the stream of `output` that it drives (reads: one; others: from the first on)

    def mask(self) -> int:
        mask = 0
        for burst in self.bursts:
            mask |= burst.mask(self.hold) << burst.rel
        return mask


@dataclass(eq=False)
class Value:
    """A burst of vectors on `width` aligned streams.

    ``parts[i]`` are the (operation, delay) pairs that drive stream i: an operation's first vector
    comes `delay` cycles after the value's first. Eastward, a vector driven at column c in cycle T
    has diagonal T - c (westward T + c) all its life; `diagonal` is that of the first vector,
    relative to the fragment.
    """

    width: int
    parts: list[list[tuple[Op, int]]]
    mask: int  # bit i: a vector passes i diagonals after the first
    label: str = ""
    consumers: list[tuple[Op, str, int]] = field(default_factory=list)  # op, operand, delay
    diagonal: int | None = None
    direction: str = ""
    group: tuple[int, ...] | None = None  # streams allowed; None: any aligned one

    @property
    def align(self) -> int:
        return 16 if self.width > 4 else self.width


@dataclass(frozen=True)
class Run:
    """`count` vectors of a block of one slice: `first`, ``first + step``, ...

    All that `groups` times, `period` cycles apart, the first vector advancing by `step2`. `delay`
    is the cycle of the first vector after that of the value; None: right after the run before.
    """

    block: Block
    first: int
    count: int
    step: int = 1
    groups: int = 1
    period: int = 0
    step2: int = 0
    delay: int | None = None


Place = tuple[Block, int]  # a block and a vector of it


class Move(NamedTuple):
    """To another place: the block there, and the distance in vectors and in words."""

    block: Block
    vectors: int
    words: int


def lie(sources: Sequence[Sequence[Run]]) -> tuple[Hashable, list[Place]]:
    """What `Schedule.alike` has to know of reads: how they lie to one another, and where."""
    places: dict[Times, tuple[int, Place]] = {}
    key: list[Hashable] = [len(sources)]
    for part, runs in enumerate(sources):
        for run in runs:
            block = run.block
            i, (_, first) = places.setdefault(block.times, (len(places), (block, run.first)))
            key.append((
                part, block.slices, i, run.first - first, run.count, run.step, run.groups,
                run.period, run.step2, run.delay,
            ))  # fmt: skip
    return tuple(key), [place for _, place in places.values()]


class Fragment:
    """Build one with `Schedule.fragment`, fill it, hand it to `Schedule.place`."""

    def __init__(self, chip: LpuChip, label: str) -> None:
        self.chip = chip
        self.label = label
        self.ops: list[Op] = []
        self.values: list[Value] = []
        self.ties: list[tuple[Op, Op, int]] = []
        self.template = self  # whose operations it shares
        self.pattern: Pattern | None = None  # of a template: its claims, once it was placed
        self.places: Sequence[Place] = ()  # where in memory it is
        self.moves: Mapping[Times, Move] = {}  # from the template's blocks

    @property
    def empty(self) -> bool:
        return not self.ops

    def like(self, label: str, places: Sequence[Place]) -> Fragment:
        """The same operations elsewhere in memory; see `Schedule.alike`."""
        moved = Fragment(self.chip, label)
        moved.template, moved.places = self, places
        moved.ops, moved.values, moved.ties = self.ops, self.values, self.ties
        moved.moves = {
            old.times: Move(new, to - at, new.address(to) - old.address(at))
            for (old, at), (new, to) in zip(self.places, places, strict=True)
        }
        return moved

    def moved(self, times: Times) -> tuple[Times, int]:
        """Which block it touches instead of one of the template's, and how many vectors on."""
        move = self.moves.get(times)
        return (times, 0) if move is None else (move.block.times, move.vectors)

    # ---- memory ----------------------------------------------------------------------------

    def read(
        self, block: Block, first: int = 0, n: int = 1, *, step: int = 1, d: int = 1,
        n2: int = 1, d2: int = 0, step2: int = 0,
    ) -> Value:  # fmt: skip
        """Vectors ``first + i*step (+ j*step2)`` of a block, one stream per slice of the block."""
        mask = Burst(0, {}, n, d, 0, n2, d2).mask()
        value = self._value(len(block.slices), mask, f"read {block.slices[0]}")
        for part, slice_name in enumerate(block.slices):
            op = self._read_op(block, slice_name, (first, step, step2), (n, d, n2, d2))
            value.parts[part] = [(op, 0)]
            op.output, op.part = value, part
        return value

    def _read_op(
        self, block: Block, slice_name: str, index: tuple[int, int, int],
        pattern: tuple[int, int, int, int],
    ) -> Op:  # fmt: skip
        first, step, step2 = index
        n, d, n2, d2 = pattern
        burst = Burst(0, {"addr": block.address(first)}, n, d, step * block.step,
                      n2, d2, step2 * block.step)  # fmt: skip
        op = self._op("read", (f"mem.{slice_name}.read",), (burst,), "mem.read")
        op.block, op.indices = block, ((first, step, step2, 0),)
        return op

    def read_runs(
        self, sources: Sequence[Sequence[Run]], n: int = 1, mask: int | None = None
    ) -> Value:
        """One value from many blocks: stream i takes the runs of ``sources[i]`` one after another.

        Counts of a stream add up to `n` or less (then its last vectors are missing). This is how
        16 slices feed a weight load, and how a burst of rows crosses from block to block. With
        groups of runs `mask` says which cycles hold a vector.
        """
        mask = (1 << n) - 1 if mask is None else mask
        value = self._value(len(sources), mask, "gathered reads")
        for part, runs in enumerate(sources):
            delay = 0
            for run in runs:
                index = (run.first, run.step, run.step2)
                pattern = (run.count, 1, run.groups, run.period)
                op = self._read_op(run.block, run.block.slices[0], index, pattern)
                op.output, op.part = value, part
                value.parts[part].append((op, delay if run.delay is None else run.delay))
                delay += run.count
        return value

    def join(self, *values: Value) -> Value:
        """Values that travel side by side as one group, such as elements and their block scales."""
        joined = self._value(sum(v.width for v in values), values[0].mask, "joined")
        joined.parts = [runs for v in values for runs in v.parts]
        for value in values:
            if value.consumers:
                raise ScheduleError(f"{self.label}: join {value.label} before anything reads it")
            self.values.remove(value)
            for runs in value.parts:
                for op, _ in runs:
                    op.output = joined
        for part in reversed(range(len(joined.parts))):
            for op, _ in joined.parts[part]:
                op.part = part
        return joined

    def write(self, value: Value, block: Block, first: int = 0, *, step: int = 1) -> None:
        """Store every vector of a value in vectors ``first, first + step, ...`` of a block."""
        if len(block.slices) != value.width:
            raise ScheduleError(
                f"{self.label}: a value on {value.width} streams needs as many slices,"
                f" the block has {len(block.slices)}"
            )
        n, d = _regular(value.mask)
        for part, slice_name in enumerate(block.slices):
            burst = Burst(0, {"addr": block.address(first)}, n, d, step * block.step)
            op = self._op("write", (f"mem.{slice_name}.write",), (burst,), "mem.write")
            op.block, op.indices = block, ((first, step, 0, 0),)
            self._consume(value, op, f"a+{part}", 0)

    # ---- vector unit -----------------------------------------------------------------------

    def vxm(self, op: str, *operands: Value | float | int, sat: bool = False) -> Value:
        """A VXM operation such as ``vxm("mul.fp32", x, 0.5)``; operands in the table's order.

        Values that come from the VXM are chained, others arrive on streams. Returns the result.
        """
        name, kind, *rest = op.split(".")
        to = rest[0] if rest else ""
        values: dict[str, Any] = {"type": kind}
        if to:
            values["to"] = to
        if sat:
            values["sat"] = True
        mask = next(v.mask for v in operands if isinstance(v, Value))
        n, d = _regular(mask)
        return self._vxm(name, values, operands, (Burst(0, values, n, d),), mask)

    def running(self, op: str, x: Value, groups: int = 1) -> Value:
        """``runmax`` or ``runsum`` over `x` in `groups` equal runs of vectors; a result each."""
        name, kind = op.split(".")
        total, d = _regular(x.mask)
        n = total // groups
        if n * groups != total:
            raise ScheduleError(f"{self.label}: {total} vectors do not make {groups} equal runs")
        base = {"type": kind}
        start, middle, last = {**base, "start": True}, base, {**base, "emit": True}
        bursts: list[Burst] = []
        for g in range(groups):
            at = g * n * d
            if n == 1:
                bursts.append(Burst(at, {**start, **last}))
                continue
            bursts.append(Burst(at, start))
            if n > 2:
                bursts.append(Burst(at + d, middle, n - 2, d))
            bursts.append(Burst(at + (n - 1) * d, last))
        value = self._vxm(name, base, (x,), tuple(bursts), repeated(1, groups, n * d))
        value.parts = [[(value.parts[0][0][0], -(n - 1) * d)] for _ in range(value.width)]
        return value

    def _vxm(self, name: str, values: Mapping[str, Any], operands: Sequence[Value | float | int],
             bursts: tuple[Burst, ...], mask: int) -> Value:  # fmt: skip
        row = LPU.by_name[name]
        vxm = self.chip.vxm
        large = name in vxm.large_ops
        alus = vxm.large_alus if large else tuple(range(vxm.alus))
        if not large:  # leave the large ones to those who need them
            alus = tuple(sorted(alus, key=lambda a: a in vxm.large_alus))
        op = self._op(name, tuple(f"vxm.{a}" for a in alus), bursts, row.timing)
        names = [f.name for f in row.positionals if f.name != "dst"]
        for operand, given in zip(names, operands, strict=True):
            if isinstance(given, Value):
                self._consume(given, op, operand, 0)
            else:
                op.inputs[operand] = given
        mask_op = row.by_name["dst"].writes == "1"
        width = 1 if mask_op else BYTES_OF[str(values.get("to", values["type"]))]
        result = self._value(width, mask, name)
        result.parts = [[(op, 0)] for _ in range(width)]
        op.output = result
        return result

    # ---- matrix unit -----------------------------------------------------------------------

    def load_weights(self, plane: int, dtype: str, weights: Value, rows: int, lanes: int,
                     groups: tuple[int, ...] = (0, 16)) -> Op:  # fmt: skip
        """``lw``: `weights` is a value on 16 streams, ceil(rows/16) vectors (16-bit: rows/8)."""
        return self.load_passes(plane, dtype, weights, rows, (lanes,), 1, groups)

    def load_passes(self, plane: int, dtype: str, weights: Value, rows: int,
                    lanes: Sequence[int], period: int,
                    groups: tuple[int, ...] = (0, 16)) -> Op:  # fmt: skip
        """An ``lw`` for each of `lanes`, `period` cycles apart."""
        values = {"type": dtype, "rows": rows}
        same = sum(n == lanes[0] for n in lanes)  # all but the last may differ
        bursts = [Burst(0, {**values, "lanes": lanes[0]}, same, period)]
        bursts += [
            Burst(i * period, {**values, "lanes": lanes[i]}) for i in range(same, len(lanes))
        ]
        op = self._op("lw", (f"mxm.{plane}.weights",), tuple(bursts), "mxm.lw")
        op.hold = -(-rows // (16 // BYTES_OF[dtype]))
        weights.group = groups
        self._consume(weights, op, "a", 0)
        return op

    def load_scales(self, plane: int, dtype: str, scales: Value,
                    groups: tuple[int, ...] = (0, 16), passes: int = 1,
                    period: int = 1) -> Op:  # fmt: skip
        """``lws``: `scales` is a value on 10 streams, one vector (for each of `passes`)."""
        burst = Burst(0, {"type": dtype}, passes, period)
        op = self._op("lws", (f"mxm.{plane}.weights",), (burst,), "mxm.lws")
        scales.group = groups
        self._consume(scales, op, "a", 0)
        return op

    def install(self, plane: int, passes: int = 1, period: int = 1) -> Op:
        """``iw``: swap the plane's shadow and active weights (in each of `passes`)."""
        queue = f"mxm.{plane}.weights"
        return self._op("iw", (queue,), (Burst(0, {}, passes, period),), "mxm.iw")

    def matmul(self, plane: int, dtype: str, activations: Value, *, row: int = 0,
               start: bool = True, emit: bool = True) -> Value | None:  # fmt: skip
        """``mm`` of every vector of `activations` into accumulator rows from `row` on.

        With `start` and `emit` nothing stays behind, so all vectors use the one row.
        Returns the emitted fp32 or int32 rows (with `emit`), else None.
        """
        n, d = _regular(activations.mask)
        values = {"type": dtype, "row": row, **_flags(start, emit)}
        burst = Burst(0, values, n, d, 0 if start and emit else 1)
        op = self._mm(plane, dtype, activations, (burst,))
        return self._emitted(op, plane, activations.mask, 0) if emit else None

    def matmul_passes(self, plane: int, dtype: str, activations: Value, n: int, passes: int,
                      period: int) -> tuple[Op, Value]:  # fmt: skip
        """``mm`` of `passes` (2 or more) times `n` vectors, `period` cycles apart, added up.

        Rows 0..n-1 of the accumulators; the last pass emits them. Returns the op and the rows.
        """
        base = {"type": dtype, "row": 0}
        d = self.chip.mode(dtype).cycles_per_mm
        bursts = [Burst(0, {**base, **_flags(True, False)}, n, d, 1)]
        if passes > 2:
            bursts.append(Burst(period, base, n, d, 1, passes - 2, period))
        end = (passes - 1) * period
        bursts.append(Burst(end, {**base, **_flags(False, True)}, n, d, 1))
        op = self._mm(plane, dtype, activations, tuple(bursts))
        return op, self._emitted(op, plane, repeated(1, n, d), -end)

    def _mm(self, plane: int, dtype: str, activations: Value, bursts: tuple[Burst, ...]) -> Op:
        op = self._op("mm", (f"mxm.{plane}.mm",), bursts, "mxm.mm")
        op.hold = self.chip.mode(dtype).cycles_per_mm
        op.latency += op.skew
        self._consume(activations, op, "a", 0)
        return op

    def _emitted(self, op: Op, plane: int, mask: int, delay: int) -> Value:
        result = self._value(4, mask, f"mm plane {plane}")
        result.parts = [[(op, delay)] for _ in range(4)]
        op.output = result
        return result

    # ---- shifts and permutations -----------------------------------------------------------

    def sxm(self, op: str, side: str, *operands: Value, stride: int = 0, **fields: Any) -> Value:
        """An SXM operation such as ``sxm("broadcast", "w", x, lane=0, stride=1)``.

        The width is that of the last operand; `stride` advances lane or amount per vector.
        """
        x = operands[-1]
        n, d = _regular(x.mask)
        row = LPU.by_name[op]
        values: dict[str, Any] = dict(fields)
        if "width" in row.by_name:
            values["width"] = str(x.width)
        ports = tuple(f"sxm.{side}.{i}" for i in range(self.chip.sxm.ops_per_cycle))
        node = self._op(op, ports, (Burst(0, values, n, d, stride),), row.timing)
        names = [f.name for f in row.positionals if f.reads]
        for operand, value in zip(names, operands, strict=True):
            self._consume(value, node, operand, 0)
        result = self._value(x.width, x.mask, op)
        result.parts = [[(node, 0)] for _ in range(x.width)]
        node.output = result
        return result

    # ---- plumbing --------------------------------------------------------------------------

    def _op(self, name: str, queues: tuple[str, ...], bursts: tuple[Burst, ...],
            timing: str) -> Op:  # fmt: skip
        op = Op(name, queues, self.chip.queue_column(queues[0]), bursts,
                self.chip.latency[timing], self.chip.skew.get(timing, 0))  # fmt: skip
        self.ops.append(op)
        return op

    def _value(self, width: int, mask: int, label: str) -> Value:
        value = Value(width, [[] for _ in range(width)], mask, label)
        self.values.append(value)
        return value

    def _consume(self, value: Value, op: Op, operand: str, delay: int) -> None:
        if value not in self.values:
            raise ScheduleError(f"{self.label}: {value.label} belongs to another fragment")
        value.consumers.append((op, operand, delay))
        op.inputs[operand] = value

    def tie(self, op: Op, other: Op, cycles: int) -> None:
        """Fix the first issue of `other` `cycles` after that of `op`."""
        self.ties.append((op, other, cycles))

    # ---- relative time ---------------------------------------------------------------------

    def solve(self) -> None:
        """Give every operation its cycle relative to the fragment's first issue.

        Raises `ScheduleError` where two operands of one operation cannot meet.
        """
        for op in self.ops:
            op.time = None
        for value in self.values:
            value.diagonal = None
            self._orient(value)
        for start in self.ops:
            if start.time is None:
                if start is not self.ops[0]:
                    raise ScheduleError(
                        f"{self.label}: '{start.name}' shares no value with the rest; make it a"
                        " fragment of its own"
                    )
                start.time = 0
                self._spread(start)
        first = min(op.time for op in self.ops if op.time is not None)
        for op in self.ops:
            assert op.time is not None
            op.time -= first
        for value in self.values:
            assert value.diagonal is not None
            value.diagonal -= first

    def _orient(self, value: Value) -> None:
        columns = [op.column for runs in value.parts for op, _ in runs]
        if not value.consumers:
            raise ScheduleError(f"{self.label}: nobody uses the result of {value.label}")
        wants = set()
        for op, operand, _ in value.consumers:
            sources = [columns[int(operand[2:])]] if operand.startswith("a+") else columns
            for source in sources:
                if op.column != source:
                    wants.add("e" if op.column > source else "w")
                elif not chains(value, op):
                    raise ScheduleError(
                        f"{self.label}: {op.name} sits at column {source} where {value.label} is"
                        " driven; the first reader is the next column"
                    )
        if len(wants) > 1:
            raise ScheduleError(
                f"{self.label}: {value.label} is wanted both east and west of its producer"
            )
        value.direction = wants.pop() if wants else ""

    def _spread(self, start: Op) -> None:
        waiting = [start]
        while waiting:
            op = waiting.pop()
            for value in self._values_of(op):
                if value.diagonal is not None:  # its operations have been told
                    continue
                value.diagonal = self._diagonal_from(value, op)
                for other, time in self._times_from(value):
                    if other.time is None:
                        other.time = time
                        waiting.append(other)
                    elif other.time != time:
                        late = time - other.time
                        raise ScheduleError(
                            f"{self.label}: {value.label} reaches {other.name}"
                            f" {abs(late)} cycles {'late' if late > 0 else 'early'}: its operands"
                            " cannot meet; read one of them again, or go through memory"
                        )
            for first, second, cycles in self.ties:
                other, by = (second, cycles) if first is op else (first, -cycles)
                if op in (first, second) and other.time is None:
                    assert op.time is not None
                    other.time = op.time + by
                    waiting.append(other)

    def _values_of(self, op: Op) -> list[Value]:
        values = [v for v in op.inputs.values() if isinstance(v, Value)]
        return values + ([op.output] if op.output is not None else [])

    def _sign(self, value: Value) -> int:
        return {"e": -1, "w": 1, "": 0}[value.direction]

    def _diagonal_from(self, value: Value, op: Op) -> int:
        assert op.time is not None
        sign = self._sign(value)
        for runs in value.parts:
            for producer, delay in runs:
                if producer is op:
                    return op.time + op.latency + sign * op.column - delay
        for consumer, _, delay in value.consumers:
            if consumer is op:
                return op.time + op.skew + sign * op.column - delay
        raise AssertionError("an operation of a value is its producer or a consumer")

    def _times_from(self, value: Value) -> list[tuple[Op, int]]:
        assert value.diagonal is not None
        sign = self._sign(value)
        times = []
        for runs in value.parts:
            for op, delay in runs:
                times.append((op, value.diagonal + delay - op.latency - sign * op.column))
        for op, _, delay in value.consumers:
            times.append((op, value.diagonal + delay - op.skew - sign * op.column))
        return times


def _flags(start: bool, emit: bool) -> dict[str, bool]:
    return ({"start": True} if start else {}) | ({"emit": True} if emit else {})


def chains(value: Value, op: Op) -> bool:
    """Whether a value goes from ALU to ALU rather than on a stream."""
    producer = value.parts[0][0][0]
    return producer.queues[0].startswith("vxm.") and op.queues[0].startswith("vxm.")


def _regular(mask: int) -> tuple[int, int]:
    """(count, distance) of a mask of equally spaced bits."""
    n = mask.bit_count()
    if n <= 1:
        return 1, 1
    d = (mask.bit_length() - 1) // (n - 1)
    if repeated(1, n, d) != mask:
        raise ScheduleError("vectors at irregular distances cannot be one burst")
    return n, d
