"""The schedule: slides each fragment to the first cycle where all it needs is free."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from emulator.lpu.chip import LpuChip
from isa.program import Program, Tensor
from programs.lpu.schedule import emit
from programs.lpu.schedule._table import NO_ROOM
from programs.lpu.schedule.explain import gantt
from programs.lpu.schedule.fragment import Fragment, Op, Place, ScheduleError, Value
from programs.lpu.schedule.memory import Times
from programs.lpu.schedule.pattern import Pattern
from programs.lpu.schedule.planes import Planes
from programs.lpu.schedule.reservations import Reservations


@dataclass(frozen=True)
class Blocked:
    """Why a fragment could not start a cycle earlier: the resource and who held it."""

    what: str
    holder: str

    def __str__(self) -> str:
        return f"{self.what} held by {self.holder}"


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a fragment went and why not a cycle earlier.

    `start` is the cycle of its first issue, `end` the cycle after its last; `bound` names what set
    the lower bound; `options` are the positions of the queues and streams it got among those that
    its pattern left open.
    """

    fragment: Fragment
    pattern: Pattern
    start: int
    end: int
    least: int
    bound: str
    options: tuple[int, ...]
    why: Callable[[], Blocked] | None

    def time(self, op: Op) -> int:
        """Absolute cycle of an operation's first issue."""
        assert op.time is not None
        return self.start + op.time

    def last(self, op: Op) -> int:
        """Absolute cycle of an operation's last issue."""
        return self.time(op) + max(b.rel + b.length for b in op.bursts)

    @property
    def blocked(self) -> Blocked | None:
        """The reservation that blocked the last cycle tried (None: it started at the bound)."""
        return self.why() if self.why else None

    @property
    def chosen(self) -> dict[Op | Value, str | int]:
        """Queues and streams where there was a choice."""
        choices = zip(self.pattern.choices, self.options, strict=True)
        return {choice.of: choice.options[option] for choice, option in choices}

    @cached_property
    def queues(self) -> list[str]:
        """The queue of every operation."""
        chosen = self.chosen
        return [emit.queue_of(op, chosen) for op in self.fragment.ops]


class Schedule:
    """Builds one program. Fragments are placed in the order given; none is ever moved."""

    def __init__(self, chip: LpuChip, name: str) -> None:
        self.chip = chip
        self.name = name
        self.placements: list[Placement] = []
        self._reserved = Reservations(chip)
        self._known: dict[Hashable, Fragment] = {}
        self.planes = Planes(self)

    def fragment(self, label: str) -> Fragment:
        return Fragment(self.chip, label)

    def alike(self, key: Hashable, label: str, places: Sequence[Place]) -> Fragment:
        """A fragment that is like all others of the same `key`, except where in memory it is.

        `places` are blocks, each with a vector. In what a fragment does with a block, that vector
        means the same to all fragments of the key; blocks not named are the same ones, touched in
        the same vectors. The first fragment of a key is `empty`, to be filled; the others share its
        operations, so that operands and claims are worked out once.
        """
        first: dict[Times, int] = {}
        lying = [
            (block.slices, block.bank, block.step, first.setdefault(block.times, i))
            for i, (block, _) in enumerate(places)
        ]
        known = self._known.get((key, *lying))
        if known is not None:
            return known.like(label, places)
        f = self._known[key, *lying] = Fragment(self.chip, label)
        f.places = places
        return f

    def place(
        self, fragment: Fragment, after: int = 0, why: str = "start",
        bounds: Mapping[Op, tuple[int, str]] | None = None,
    ) -> Placement:  # fmt: skip
        """Place a fragment at the first possible cycle >= `after`.

        `why` says for `explain` what `after` stands for; `bounds` gives single operations a first
        cycle of their own, with the reason. Raises `ScheduleError` where operands
        cannot meet or the fragment needs more streams or ALUs than there are.
        """
        pattern = self._pattern(fragment)
        least, bound = self._lower_bound(fragment, pattern, after, why)
        for op, (cycle, reason) in (bounds or {}).items():
            assert op.time is not None
            if cycle - op.time > least:
                least, bound = cycle - op.time, reason
        start, options, blocker = self._reserved.table.place(pattern.demand, least)
        if start == NO_ROOM:
            raise ScheduleError(
                f"{fragment.label}: needs more streams, ALUs or SXM ports in one cycle than"
                f" {self.chip.name} has"
            )
        self._remember(fragment, pattern, start)
        known = blocker and partial(self._blocked, len(self.placements), *blocker)
        placement = Placement(
            fragment, pattern, start, start + pattern.span, least, bound, options, known
        )
        self.placements.append(placement)
        return placement

    def _pattern(self, fragment: Fragment) -> Pattern:
        template = fragment.template
        if template.pattern is None:
            template.solve()
            template.pattern = Pattern(template, self.chip, self._reserved)
        template.pattern.check(fragment)
        return template.pattern

    def _blocked(self, before: int, resource: int, cycle: int) -> Blocked:
        """The resource, and who of the first `before` placements holds it around a cycle."""
        holder = "another fragment"
        for placement in reversed(self.placements[:before]):
            for taken, offset, length in placement.pattern.claims(placement.options):
                if taken == resource and 0 <= cycle - placement.start - offset < length:
                    return Blocked(self._reserved.describe(resource), placement.fragment.label)
        return Blocked(self._reserved.describe(resource), holder)

    # ---- the first cycle that memory allows --------------------------------------------------

    def _lower_bound(
        self, fragment: Fragment, pattern: Pattern, after: int, why: str
    ) -> tuple[int, str]:
        least, bound = max(after, 0), why
        if not pattern.waits(fragment):
            return least, bound
        for op in fragment.ops:
            if op.block is None:
                continue
            times, move = fragment.moved(op.block.times)
            known = times.ready if op.name == "read" else times.last_read
            if known is None:
                continue
            assert op.time is not None
            for where, when in pattern.touched([op], move):
                need = int((known[where] - when).max())
                if need > least:
                    what = "written" if op.name == "read" else "read by an earlier fragment"
                    least, bound = need, f"{op.block.slices[0]} {what}"
        return least, bound

    def _remember(self, fragment: Fragment, pattern: Pattern, start: int) -> None:
        for block, ops in pattern.reads.items():
            times, move = fragment.moved(block)
            times.read(partial(pattern.touched, ops, move), start)
        for block, ops in pattern.writes.items():
            times, move = fragment.moved(block)
            # All of a block's writes have one latency.
            times.write(partial(pattern.touched, ops, move), start + ops[0].latency + 1)

    # ---- the program -------------------------------------------------------------------------

    @property
    def cycles(self) -> int:
        """The cycle after the last issue."""
        return max((p.end for p in self.placements), default=0)

    def program(self, tensors: Sequence[Tensor], meta: Mapping[str, Any] | None = None) -> Program:
        """Everything placed so far as a Program, with every operand's expected producer."""
        words = emit.Words(self.placements)
        return Program(
            isa="lpu",
            chip=self.chip.name,
            sections=tuple(words.sections),
            tensors=tuple(tensors),
            expects=words.expected(),
            meta=dict(meta or {}),
        )

    def explain(self, width: int = 72, limit: int = 40) -> str:
        """A Gantt-like text: units over time, then fragments with what blocked each."""
        return gantt(self, width, limit)
