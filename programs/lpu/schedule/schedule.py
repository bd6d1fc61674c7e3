"""The schedule: slides each fragment to the first cycle where all it needs is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.chip import LpuChip
from isa.program import Program, Tensor
from programs.lpu.schedule import emit
from programs.lpu.schedule.explain import gantt
from programs.lpu.schedule.fragment import Fragment, Op, ScheduleError, Value
from programs.lpu.schedule.planes import Planes
from programs.lpu.schedule.reservations import (
    ORIGIN,
    Blocked,
    Claim,
    Hit,
    Key,
    Reservations,
    describe,
)

RUNNING = ("runmax", "runsum")


@dataclass(frozen=True)
class Placement:
    """Where a fragment went and why not a cycle earlier.

    `start` is the cycle of its first issue, `end` the cycle after its last; `bound` names what set
    the lower bound, `blocked` the reservation that blocked the last cycle tried (None: it started
    at the bound).
    """

    fragment: Fragment
    start: int
    end: int
    least: int
    bound: str
    blocked: Blocked | None

    def time(self, op: Op) -> int:
        """Absolute cycle of an operation's first issue."""
        assert op.time is not None
        return self.start + op.time

    def last(self, op: Op) -> int:
        """Absolute cycle of an operation's last issue."""
        return self.time(op) + max(b.rel + b.length for b in op.bursts)


@dataclass(frozen=True)
class Choice:
    """Something a fragment needs one of: the options, what each claims, and how to take it."""

    options: Sequence[Any]
    claims: Callable[[Any], list[Claim]]
    take: Callable[[Any], None]


class Schedule:
    """Builds one program. Fragments are placed in the order given; none is ever moved."""

    def __init__(self, chip: LpuChip, name: str) -> None:
        self.chip = chip
        self.name = name
        self.placements: list[Placement] = []
        self._reserved = Reservations()
        self.planes = Planes(self)

    def fragment(self, label: str) -> Fragment:
        return Fragment(self.chip, label)

    def place(
        self, fragment: Fragment, after: int = 0, why: str = "start",
        bounds: Mapping[Op, tuple[int, str]] | None = None,
    ) -> Placement:  # fmt: skip
        """Place a fragment at the first possible cycle >= `after`.

        `why` says for `explain` what `after` stands for; `bounds` gives single operations a first
        cycle of their own, with the reason. Raises `ScheduleError` where operands
        cannot meet or the fragment needs more streams or ALUs than there are.
        """
        fragment.solve()
        least, bound = self._lower_bound(fragment, after, why)
        for op, (cycle, reason) in (bounds or {}).items():
            assert op.time is not None
            if cycle - op.time > least:
                least, bound = cycle - op.time, reason
        fixed = list(self._fixed_claims(fragment))
        choices = list(self._choices(fragment))
        start, blocked = least, None
        while True:
            hit, chosen = self._try(fragment, fixed, choices, start)
            if hit is None:
                break
            blocked = Blocked(hit.key, self._reserved.holder(hit.key, hit.at))
            start += hit.step
        for claim in fixed + chosen:
            self._reserved.reserve(claim, start, fragment.label)
        self._remember(fragment, start)
        end = start + max(_span(op) for op in fragment.ops)
        placement = Placement(fragment, start, end, least, bound, blocked)
        self.placements.append(placement)
        return placement

    # ---- the first cycle that memory allows --------------------------------------------------

    def _lower_bound(self, fragment: Fragment, after: int, why: str) -> tuple[int, str]:
        least, bound = max(after, 0), why
        for op in fragment.ops:
            if op.block is None:
                continue
            assert op.time is not None
            known = op.block.times.ready if op.name == "read" else op.block.times.last_read
            if known is None:
                continue
            for where, when in _touched(op):
                need = int((known[where] - when).max()) - op.time
                if need > least:
                    what = "written" if op.name == "read" else "read by an earlier fragment"
                    least, bound = need, f"{op.block.slices[0]} {what}"
        return least, bound

    def _remember(self, fragment: Fragment, start: int) -> None:
        for op in fragment.ops:
            if op.block is None:
                continue
            assert op.time is not None
            first = start + op.time
            if op.name == "read":
                op.block.times.read(partial(_touched, op), first)
            else:
                op.block.times.write(_touched(op), first + op.latency + 1)

    # ---- claims ------------------------------------------------------------------------------

    def _fixed_claims(self, fragment: Fragment) -> Iterator[Claim]:
        for op in fragment.ops:
            assert op.time is not None
            if len(op.queues) > 1:
                continue
            op.queue = op.queues[0]
            yield Claim(("queue", op.queue), op.time, op.mask())
            if op.block is not None:
                slice_name = op.queue.split(".")[1]
                port, other = ("read", "write") if op.name == "read" else ("write", "read")
                yield Claim(
                    ("bank", slice_name, op.block.bank, port), op.time, op.mask(),
                    (("bank", slice_name, op.block.bank, other),), shared=True,
                )  # fmt: skip
            if op.name in ("mm", "lw", "lws"):
                yield from self._pair_claims(op)

    def _pair_claims(self, op: Op) -> Iterator[Claim]:
        assert op.time is not None
        mode = self.chip.mode(str(op.bursts[0].values["type"]))
        _, plane, port = op.queue.split(".")
        for other in range(1, mode.planes):
            yield Claim(("queue", f"mxm.{int(plane) + other}.{port}"), op.time, op.mask())

    def _stream_claims(self, value: Value, first: int, way: list[tuple[int, str]]) -> list[Claim]:
        assert value.diagonal is not None
        return [
            Claim(("stream", value.direction, first + part, half), value.diagonal, value.mask)
            for part, half in way
        ]

    def _way(self, value: Value) -> list[tuple[int, str]]:
        """(stream of the group, half of the chip) for every half that the value crosses."""
        middle, way = self.chip.vxm_column, []
        everywhere = [op.column for op, operand, _ in value.consumers if "+" not in operand]
        for part, runs in enumerate(value.parts):
            if not runs:
                continue
            columns = [op.column for op, _ in runs] + everywhere
            columns += [op.column for op, operand, _ in value.consumers if operand == f"a+{part}"]
            if min(columns) < middle:
                way.append((part, "w"))
            if max(columns) > middle:
                way.append((part, "e"))
        return way

    def _try(
        self, fragment: Fragment, fixed: Sequence[Claim], choices: Sequence[Choice], start: int
    ) -> tuple[Hit | None, list[Claim]]:
        """(None, chosen claims) if the fragment fits at `start`, else (what blocks it, [])."""
        extra: dict[Key, int] = {}
        for claim in fixed:
            hit = self._reserved.blocked_for(claim, start, extra)
            if hit is not None:
                if hit.step == 0:
                    what = describe(hit.key)
                    raise ScheduleError(f"{fragment.label}: two operations want {what} at once")
                return hit, []
            _add(extra, claim)
        chosen: list[Claim] = []
        for choice in choices:
            best: Hit | None = None
            for option in choice.options:
                claims = choice.claims(option)
                hits = [h for c in claims if (h := self._reserved.blocked_for(c, start, extra))]
                if not hits:
                    choice.take(option)
                    for claim in claims:
                        _add(extra, claim)
                    chosen += claims
                    break
                worst = max(hits, key=lambda h: h.step)
                if all(h.step for h in hits) and (best is None or worst.step < best.step):
                    best = worst
            else:
                if best is None:
                    raise ScheduleError(
                        f"{fragment.label}: needs more streams, ALUs or SXM ports in one cycle than"
                        f" {self.chip.name} has"
                    )
                return best, []
        return None, chosen

    def _choices(self, fragment: Fragment) -> Iterator[Choice]:
        """Every free choice (queue of an op, streams of a value), options in order of taste."""
        free = [op for op in fragment.ops if len(op.queues) > 1]
        # Those with fewer candidates (large ALUs) choose first.
        for op in sorted(free, key=lambda o: len(o.queues)):
            claims = cache(partial(self._queue_claims, op))
            yield Choice(op.queues, claims, partial(setattr, op, "queue"))
        for value in sorted(fragment.values, key=lambda v: -v.width):
            if value.direction == "":
                continue
            firsts = value.group or tuple(range(32 - value.align, -1, -value.align))
            claims = cache(partial(self._stream_claims, value, way=self._way(value)))
            yield Choice(firsts, claims, partial(setattr, value, "stream"))

    @staticmethod
    def _queue_claims(op: Op, queue: str) -> list[Claim]:
        """An ALU or SXM port in use, and the cycles in which an ALU delivers."""
        assert op.time is not None
        mask = op.mask()
        if op.name in RUNNING:  # the running value occupies its ALU from start to emit
            mask = (1 << mask.bit_length()) - 1
        claims = [Claim(("queue", queue), op.time, mask)]
        if queue.startswith("vxm.") and op.output is not None:
            # One result per ALU and cycle, also where latencies differ.
            delay = op.output.parts[0][0][1]
            claims.append(Claim(("result", queue), op.time + op.latency - delay, op.output.mask))
        return claims

    # ---- the program -------------------------------------------------------------------------

    @property
    def cycles(self) -> int:
        """The cycle after the last issue."""
        return max((p.end for p in self.placements), default=0)

    def program(self, tensors: Sequence[Tensor], meta: Mapping[str, Any] | None = None) -> Program:
        """Everything placed so far as a Program, with every operand's expected producer."""
        placed = [
            emit.Placed(op, placement.time(op), emit.operand_fields(op))
            for placement in self.placements
            for op in placement.fragment.ops
        ]
        sections, words = emit.sections(placed)
        return Program(
            isa="lpu",
            chip=self.chip.name,
            sections=tuple(sections),
            tensors=tuple(tensors),
            expects=emit.expectations(placed, words),
            meta=dict(meta or {}),
        )

    def explain(self, width: int = 72, limit: int = 40) -> str:
        """A Gantt-like text: units over time, then fragments with what blocked each."""
        return gantt(self, width, limit)


def _add(extra: dict[Key, int], claim: Claim) -> None:
    extra[claim.key] = extra.get(claim.key, 0) | claim.mask << (claim.offset + ORIGIN)


def _span(op: Op) -> int:
    assert op.time is not None
    return op.time + max(b.rel + b.length for b in op.bursts) + op.hold


def _touched(op: Op) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(vectors of the block, cycles after the op's first issue) of every burst."""
    for burst, (first, step, step2, _) in zip(op.bursts, op.indices, strict=True):
        i, j = np.arange(burst.n), np.arange(burst.n2)[:, None]
        yield (
            (first + i * step + j * step2).ravel(),
            (burst.rel + i * burst.d + j * burst.d2).ravel(),
        )
