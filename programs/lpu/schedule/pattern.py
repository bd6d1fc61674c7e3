"""What a solved fragment asks of the reservation table: made once for all fragments like it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.chip import LpuChip
from programs.lpu.schedule._table import Demand
from programs.lpu.schedule.fragment import Fragment, Op, ScheduleError, Value
from programs.lpu.schedule.memory import Times
from programs.lpu.schedule.reservations import ORIGIN, PER_STREAM, STREAMS, Claim, Reservations

RUNNING = ("runmax", "runsum")


@dataclass(frozen=True)
class Choice:
    """One of several queues for an operation, or of several streams for a value.

    `claims` are those of the first queue (of stream 0); option i lies `shifts[i]` resources on.
    """

    of: Op | Value
    options: Sequence[str | int]
    claims: list[Claim]
    shifts: list[int]


class Pattern:
    """The claims of a fragment. Raises `ScheduleError` where it is in its own way."""

    def __init__(self, fragment: Fragment, chip: LpuChip, table: Reservations) -> None:
        self._chip, self._table = chip, table
        self.ops, self.values = fragment.ops, fragment.values
        self.span = max(_span(op) for op in self.ops)
        self.reads: dict[Times, list[Op]] = {}  # what it reads and writes, block by block
        self.writes: dict[Times, list[Op]] = {}
        self._bursts: dict[Op, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
        self._extents: dict[Times, tuple[int, ...]] = {}
        for op in self.ops:
            if op.block is not None:
                kind = self.reads if op.name == "read" else self.writes
                kind.setdefault(op.block.times, []).append(op)
        self.fixed = list(self._fixed())
        self._check(fragment.label)
        self.choices = list(self._choices())
        self.demand = self._demand()

    def waits(self, fragment: Fragment) -> bool:
        """Whether anything was done before to the memory that a fragment reads or writes."""
        if any(fragment.moved(block)[0].written for block in self.reads):
            return True
        return any(fragment.moved(block)[0].read_before for block in self.writes)

    def check(self, fragment: Fragment) -> None:
        """`IndexError` where a fragment that lies elsewhere leaves its blocks."""
        for times, (block, vectors, _) in fragment.moves.items():
            if times not in self._extents:
                ops = [*self.reads.get(times, ()), *self.writes.get(times, ())]
                self._extents[times] = _extent(ops)
            for vector in self._extents[times]:
                block.address(vector + vectors)

    def touched(
        self, ops: Sequence[Op], move: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """(vectors, cycles after the fragment's first) of every burst, `move` vectors further."""
        for op in ops:
            if op not in self._bursts:
                self._bursts[op] = list(_touched(op))
            for where, when in self._bursts[op]:
                yield where + move if move else where, when

    def claims(self, chosen: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """(resource, first cycle, cycles) of every claim, with these options."""
        for claim in self.fixed:
            yield claim.taken, claim.offset, claim.mask.bit_length()
        for choice, option in zip(self.choices, chosen, strict=True):
            for claim in choice.claims:
                taken = claim.taken + choice.shifts[option]
                yield taken, claim.offset, claim.mask.bit_length()

    # ---- what no choice changes --------------------------------------------------------------

    def _fixed(self) -> Iterator[Claim]:
        for op in self.ops:
            if len(op.queues) > 1:
                continue
            assert op.time is not None
            queue, mask = op.queues[0], op.mask()
            yield _claim(self._table.queue(queue), op.time, mask)
            if op.block is not None:
                yield Claim(*self._table.ports(queue, op.block.bank), op.time, mask)
            if op.name in ("mm", "lw", "lws"):
                # A pair's other plane is busy too.
                _, plane, port = queue.split(".")
                for i in range(1, self._chip.mode(str(op.bursts[0].values["type"])).planes):
                    second = self._table.queue(f"mxm.{int(plane) + i}.{port}")
                    yield _claim(second, op.time, mask)

    def _check(self, label: str) -> None:
        held: dict[int, int] = {}
        for claim in self.fixed:
            at = claim.offset + ORIGIN
            if held.get(claim.checked, 0) >> at & claim.mask:
                what = self._table.describe(claim.checked)
                raise ScheduleError(f"{label}: two operations want {what} at once")
            held[claim.taken] = held.get(claim.taken, 0) | claim.mask << at

    # ---- choices -----------------------------------------------------------------------------

    def _choices(self) -> Iterator[Choice]:
        """Every free choice, options in order of taste."""
        free = [op for op in self.ops if len(op.queues) > 1]
        # Those with fewer candidates (large ALUs) choose first.
        for op in sorted(free, key=lambda o: len(o.queues)):
            first = self._table.queue(op.queues[0])
            shifts = [self._table.queue(queue) - first for queue in op.queues]
            yield Choice(op, op.queues, list(self._of_queue(op)), shifts)
        for value in sorted(self.values, key=lambda v: -v.width):
            if value.direction:
                firsts = value.group or range(STREAMS - value.align, -1, -value.align)
                shifts = [PER_STREAM * first for first in firsts]
                yield Choice(value, firsts, self._of_streams(value), shifts)

    def _of_queue(self, op: Op) -> Iterator[Claim]:
        """An ALU or SXM port in use, and the cycles in which an ALU delivers."""
        assert op.time is not None
        queue, mask = op.queues[0], op.mask()
        if op.name in RUNNING:  # the running value occupies its ALU from start to emit
            mask = (1 << mask.bit_length()) - 1
        yield _claim(self._table.queue(queue), op.time, mask)
        if queue.startswith("vxm.") and op.output is not None:
            # One result per ALU and cycle, also where latencies differ.
            first = op.time + op.latency - op.output.parts[0][0][1]
            yield _claim(self._table.result(queue), first, op.output.mask)

    def _of_streams(self, value: Value) -> list[Claim]:
        """Every half of the chip that a stream of the group crosses."""
        assert value.diagonal is not None
        middle, claims = self._chip.vxm_column, []
        everywhere = [op.column for op, operand, _ in value.consumers if "+" not in operand]
        for part, runs in enumerate(value.parts):
            if not runs:
                continue
            columns = [op.column for op, _ in runs] + everywhere
            columns += [op.column for op, operand, _ in value.consumers if operand == f"a+{part}"]
            for half, crossed in (("w", min(columns) < middle), ("e", max(columns) > middle)):
                if crossed:
                    resource = self._table.stream(value.direction, part, half)
                    claims.append(_claim(resource, value.diagonal, value.mask))
        return claims

    # ---- the same for the table --------------------------------------------------------------

    def _demand(self) -> Demand:
        claims, masks, words = [], {}, b""
        wanted = {
            claim.checked + shift
            for choice in self.choices if isinstance(choice.of, Op)
            for claim in choice.claims for shift in choice.shifts
        }  # fmt: skip
        for claim in (*self.fixed, *(c for choice in self.choices for c in choice.claims)):
            mask = claim.mask
            count = -(-mask.bit_length() // 64)
            if mask not in masks:
                masks[mask] = len(words) // 8
                words += mask.to_bytes(8 * count, "little")
            solid = mask & (mask + 1) == 0
            claims.append((claim.taken, claim.checked, claim.offset, masks[mask], count, solid))
            assert claim.offset >= -ORIGIN
        rivals = [i for i, claim in enumerate(self.fixed) if claim.taken in wanted]
        firsts, parts, shifts = [0], [len(self.fixed)], list[int]()
        for choice in self.choices:
            shifts += choice.shifts
            firsts.append(len(shifts))
            parts.append(parts[-1] + len(choice.claims))
        return Demand(
            np.array(claims, np.int64), np.frombuffer(words, "<u8").astype(np.uint64),
            len(self.fixed), *(np.array(x, np.int64) for x in (firsts, parts, shifts, rivals)),
        )  # fmt: skip


def _claim(resource: int, offset: int, mask: int) -> Claim:
    return Claim(resource, resource, offset, mask)


def _span(op: Op) -> int:
    assert op.time is not None
    return op.time + max(b.rel + b.length for b in op.bursts) + op.hold


def _touched(op: Op) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    assert op.time is not None
    for burst, (first, step, step2, _) in zip(op.bursts, op.indices, strict=True):
        i, j = np.arange(burst.n), np.arange(burst.n2)[:, None]
        yield (
            (first + i * step + j * step2).ravel(),
            (op.time + burst.rel + i * burst.d + j * burst.d2).ravel(),
        )


def _extent(ops: Sequence[Op]) -> tuple[int, ...]:
    """The first and the last vector that operations touch in a block (nothing: none)."""
    ends = []
    for op in ops:
        for burst, (first, step, step2, _) in zip(op.bursts, op.indices, strict=True):
            ways = (burst.n - 1) * step, (burst.n2 - 1) * step2
            ends.append(first + sum(min(way, 0) for way in ways))
            ends.append(first + sum(max(way, 0) for way in ways))
    return (min(ends), max(ends)) if ends else ()
