"""From placed fragments to a Program: one word stream per queue, and every operand's producer.

A fragment's bursts are encoded once per choice of streams and ALUs; where the same choice is placed
again, only cycles and addresses differ. So all bursts of a program are rows of one array, which is
put in order, taken apart where bursts interleave on a queue, and filled into words at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.expected import OPERANDS, Expected
from isa.fields import Alu, Imm, Stream
from isa.lpu import LPU
from isa.program import Section
from isa.table import Instruction
from programs.lpu.schedule.fragment import Burst, Op, Value, chains
from programs.lpu.schedule.memory import Times

if TYPE_CHECKING:
    from programs.lpu.schedule.schedule import Placement

MAX_NOP = (1 << 20) - 1
HALF = 64  # bits of a half word
_NOP = LPU.by_name["nop"].by_name["n"]

# Columns of a burst. Its word has the strided operand `value` in the bits `mask` of `high`;
# `repeat` is the word behind it (0: none), `inner` that behind one of its groups. `time` counts
# from its fragment's first cycle, `op` its operations; addresses move with block `slot`.
NUMBERS = (
    "queue", "time", "op", "length", "group", "hold", "n", "d", "stride", "n2", "d2", "stride2",
    "value", "mask", "slot",
)  # fmt: skip
WORDS = ("low", "high", "repeat", "repeat_high", "inner", "inner_high")
Column = NDArray[Any]
Chosen = Mapping[Op | Value, str | int]  # queues and streams where there was a choice


def operand_fields(op: Op, chosen: Chosen) -> dict[str, Any]:
    """The operands of an op as the table's field values."""
    fields: dict[str, Any] = {}
    for operand, given in op.inputs.items():
        name, _, part = operand.partition("+")
        if not isinstance(given, Value):
            fields[name] = Imm(given)
        elif given.direction == "" or chains(given, op):
            producer = given.parts[0][0][0]
            fields[name] = Alu(int(queue_of(producer, chosen).split(".")[1]))
        else:
            fields[name] = Stream(int(chosen[given]) + int(part or 0), given.direction)
    row = LPU.by_name[op.name]
    out = op.output
    if "dst" in row.by_name and out is not None and out.direction:
        fields["dst"] = Stream(int(chosen[out]) + op.part, out.direction)
    return fields


def queue_of(op: Op, chosen: Chosen) -> str:
    return str(chosen[op]) if len(op.queues) > 1 else op.queues[0]


def _ragged(first: Column, count: Column) -> Column:
    """first[i], first[i] + 1, ..., `count[i]` of them, for every i."""
    at: Column = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
    return at


# ---- bursts -------------------------------------------------------------------------------------


class _Template:
    """The bursts of a fragment, and who reads what in it, for one choice of queues and streams."""

    def __init__(self, placement: Placement, encoder: _Encoder, numbers: Mapping[str, int]) -> None:
        chosen = placement.chosen
        self.numbers: list[tuple[int, ...]] = []
        self.words: list[tuple[int, ...]] = []
        self.times: dict[Times, int] = {}
        for i, (op, queue) in enumerate(zip(placement.fragment.ops, placement.queues, strict=True)):
            assert op.time is not None
            fields = operand_fields(op, chosen)
            slot = -1
            if op.block is not None:
                slot = self.times.setdefault(op.block.times, len(self.times))
            for b in op.bursts:
                word, value, mask = encoder.instruction(op, b, fields)
                self.numbers.append((
                    numbers[queue], op.time + b.rel, i, b.length, (b.n - 1) * b.d, op.hold,
                    b.n, b.d, b.stride, b.n2, b.d2, b.stride2, value, mask, slot,
                ))  # fmt: skip
                outer = encoder.repeat(b.n, b.d, b.stride, b.n2, b.d2, b.stride2)
                inner = encoder.repeat(b.n, b.d, b.stride) if b.n2 > 1 else outer
                self.words.append((word & (1 << HALF) - 1, word >> HALF, *outer, *inner))
        self._producers(placement.fragment.ops)

    def _producers(self, ops: Sequence[Op]) -> None:
        """Uses are (op, operand, list), lists (first stream, streams), sources (stream, op)."""
        number = {op: i for i, op in enumerate(ops)}
        self.uses: list[tuple[int, int, int]] = []
        self.lists: list[tuple[int, int]] = []
        self.sources: list[tuple[int, int]] = []
        self.streams = 0
        known: dict[tuple[Value, str], int] = {}
        for i, op in enumerate(ops):
            for operand, value in op.inputs.items():
                if not isinstance(value, Value) or chains(value, op):
                    continue
                name, _, part = operand.partition("+")
                if (value, part) not in known:
                    known[value, part] = len(self.lists)
                    parts = [value.parts[int(part)]] if part else value.parts
                    self.lists.append((self.streams, len(parts)))
                    for runs in parts:
                        self.sources += [(self.streams, number[source]) for source, _ in runs]
                        self.streams += 1
                self.uses.append((i, OPERANDS.index(name), known[value, part]))


class _Encoder:
    """Encodes words, remembering those that differ only in the strided operand."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}
        self._repeats: dict[Any, tuple[int, int]] = {}

    def instruction(self, op: Op, burst: Burst, fields: Mapping[str, Any]) -> tuple[int, int, int]:
        """The word without its strided operand, that operand's value, and its bits in the word."""
        row = LPU.by_name[op.name]
        values = {**fields, **burst.values}
        if op.name == "mm" and not values.get("emit"):
            values.pop("dst", None)  # of several passes only the last has a result
        strided = row.strided if row.strided in values else ""
        # Immediates are encoded with their type.
        key = (op.name, *[_frozen(k, v) for k, v in values.items() if k != strided])
        word = self._known.get(key)
        if word is None:
            base = {**values, **({strided: 0} if strided else {})}
            word = self._known[key] = LPU.encode(Instruction(row, base))
        if not strided:
            return word, 0, 0
        field = row.by_name[strided]
        assert field.lo == HALF, "repeat advances the lowest bits of the upper half"
        field.encode(values[strided])  # which refuses what does not fit
        return word, values[strided], field.mask >> HALF

    def repeat(
        self, n: int, d: int, stride: int, n2: int = 1, d2: int = 0, stride2: int = 0
    ) -> tuple[int, int]:  # fmt: skip
        """The two halves of the word behind a burst's own; 0 where there is none."""
        if n == 1 and n2 == 1:
            return 0, 0
        key = (n, d, stride, n2, d2, stride2)
        if key not in self._repeats:
            values = {"n": n - 1, "d": d, "stride": stride}
            if n2 > 1:
                values |= {"n2": n2 - 1, "d2": d2, "stride2": stride2}
            word = LPU.encode(Instruction(LPU.by_name["repeat"], values))
            self._repeats[key] = word & (1 << HALF) - 1, word >> HALF
        return self._repeats[key]


def _frozen(field: str, value: Any) -> tuple[str, Any]:
    # 1 and 1.0 and True are equal as keys but not as immediates.
    return (field, (type(value.value), repr(value))) if isinstance(value, Imm) else (field, value)


# ---- order --------------------------------------------------------------------------------------

WHOLE, GROUP, SINGLE = range(3)


@dataclass
class _Issues:
    """Bursts of the whole program, or parts of bursts, each a row of the table of all bursts."""

    table: dict[str, Column]
    row: Column
    time: Column
    value: Column
    op: Column
    part: Column  # WHOLE, a GROUP of a burst with two levels, or a SINGLE issue

    def __getitem__(self, name: str) -> Column:
        """A column of the burst's."""
        column: Column = self.table[name][self.row]
        return column

    @property
    def length(self) -> Column:
        """Cycles from the first to the last issue."""
        shorter = np.where(self.part == GROUP, self["group"], 0)
        return np.where(self.part == WHOLE, self["length"], shorter)

    def take(self, at: Column) -> _Issues:
        columns = (x[at] for x in (self.row, self.time, self.value, self.op, self.part))
        return _Issues(self.table, *columns)

    def sorted(self) -> tuple[_Issues, Column]:
        """By queue and cycle, and for each the number of its crowd: of bursts that overlap."""
        issues = self.take(np.lexsort((self.time, self["queue"])))
        ends = issues.time + issues.length
        apart = issues["queue"] * (int(ends.max(initial=0)) + 1)
        last = np.maximum.accumulate(apart + ends)
        crowd = np.zeros(len(ends), np.int64)
        crowd[1:] = np.cumsum((apart + issues.time)[1:] > last[:-1])
        return issues, crowd

    def pieces(self, which: Column, part: int) -> _Issues:
        """Some of them taken apart into groups or single issues."""
        n, d, stride = ("n2", "d2", "stride2") if part == GROUP else ("n", "d", "stride")
        count = np.where(which, self[n], 1)
        pieces = self.take(np.repeat(np.arange(len(which)), count))
        i = _ragged(np.zeros(len(which), np.int64), count)
        pieces.time += i * pieces[d]
        pieces.value += i * pieces[stride]
        pieces.part[np.repeat(which, count)] = part
        return pieces

    def in_order(self) -> _Issues:
        """By queue and cycle; bursts that interleave are taken apart.

        First into their groups, and where they still interleave, into their single issues.
        """
        issues, crowd = self.sorted()
        crowded = np.bincount(crowd)[crowd] > 1
        nested = crowded & (issues["n2"] > 1)
        if nested.any():
            issues, crowd = issues.pieces(nested, GROUP).sorted()
            crowded = np.bincount(crowd)[crowd] > 1
        if crowded.any():
            issues, _ = issues.pieces(crowded, SINGLE).sorted()
        return issues


# ---- words --------------------------------------------------------------------------------------


class Words:
    """The words of a program: its `sections`, and what their operands expect."""

    def __init__(self, placements: Sequence[Placement]) -> None:
        alike = {(p.pattern, p.options): p for p in placements}
        self.names = sorted({queue for p in alike.values() for queue in p.queues})
        numbers = {name: i for i, name in enumerate(self.names)}
        encoder, position = _Encoder(), {key: i for i, key in enumerate(alike)}
        self._kinds = [_Template(p, encoder, numbers) for p in alike.values()]
        # The position of every placement's template among the kinds.
        self._kind = np.array([position[p.pattern, p.options] for p in placements], np.int64)
        ops = np.array([len(p.fragment.ops) for p in placements], np.int64)
        self._first_op = np.cumsum(ops) - ops
        issues = self._issues(placements).in_order()
        words, first, at = _words(issues)
        queue = issues["queue"]
        ends = np.searchsorted(queue, np.arange(len(self.names) + 1))
        starts = np.append(first, len(words))[ends]
        self.sections = [
            Section(name, words[starts[i] : starts[i + 1]].tobytes())
            for i, name in enumerate(self.names)
        ]
        # Section and word of all words of all operations, one operation after another.
        order = np.argsort(issues.op, kind="stable")
        self._place = np.stack([queue, at - starts[queue]], 1)[order]
        self._count = np.bincount(issues.op, minlength=int(ops.sum()))
        self._from = np.cumsum(self._count) - self._count

    def _issues(self, placements: Sequence[Placement]) -> _Issues:
        numbers = np.array([row for t in self._kinds for row in t.numbers], np.int64)
        words = np.array([row for t in self._kinds for row in t.words], np.uint64)
        table = dict(zip(NUMBERS, numbers.reshape(-1, len(NUMBERS)).T.copy(), strict=True))
        table |= dict(zip(WORDS, words.reshape(-1, len(WORDS)).T.copy(), strict=True))
        of, row = self._each([len(t.numbers) for t in self._kinds])
        # The last slot is for what is not in memory.
        slots = 1 + max((len(t.times) for t in self._kinds), default=0)
        moves = np.zeros((len(placements), slots), np.int64)
        for i, (p, kind) in enumerate(zip(placements, self._kind.tolist(), strict=True)):
            slot = self._kinds[kind].times
            for times, move in p.fragment.moves.items():
                if times in slot:
                    moves[i, slot[times]] = move.words
        start = np.array([p.start for p in placements], np.int64)
        return _Issues(
            table, row, start[of] + table["time"][row],
            table["value"][row] + moves[of, table["slot"][row]],
            self._first_op[of] + table["op"][row], np.zeros(len(row), np.int64),
        )  # fmt: skip

    def _each(self, counts: Sequence[int]) -> tuple[Column, Column]:
        """(placement, row) of every row that the placements' templates have in a table of all."""
        count = np.array(counts, np.int64)
        first = np.cumsum(count) - count
        of = np.repeat(np.arange(len(self._kind)), count[self._kind])
        return of, _ragged(first[self._kind], count[self._kind])

    def expected(self) -> Expected:
        """For every stream operand of every word: which words may have produced it, per stream."""
        uses, lists, sources = (
            np.array([row for rows in table for row in rows], np.int64).reshape(-1, width)
            for table, width in (
                ([t.uses for t in self._kinds], 3), ([t.lists for t in self._kinds], 2),
                ([t.sources for t in self._kinds], 2),
            )
        )  # fmt: skip
        n_lists, n_streams = (
            np.array(n, np.int64)[self._kind] for n in (
                [len(t.lists) for t in self._kinds], [t.streams for t in self._kinds],
            )
        )  # fmt: skip
        first_list, first_stream = (np.cumsum(n) - n for n in (n_lists, n_streams))
        of, row = self._each([len(t.uses) for t in self._kinds])
        op = self._first_op[of] + uses[row, 0]
        count = self._count[op]
        words = np.column_stack([
            self._place[_ragged(self._from[op], count)], np.repeat(uses[row, 1], count),
        ])  # fmt: skip
        wants = np.repeat(first_list[of] + uses[row, 2], count)
        of, row = self._each([len(t.lists) for t in self._kinds])
        of_lists = np.column_stack([first_stream[of] + lists[row, 0], lists[row, 1]])
        of, row = self._each([len(t.sources) for t in self._kinds])
        op = self._first_op[of] + sources[row, 1]
        producers = self._place[_ragged(self._from[op], self._count[op])]
        stream = np.repeat(first_stream[of] + sources[row, 0], self._count[op])
        per_stream = np.bincount(stream, minlength=int(n_streams.sum()))
        streams = np.column_stack([np.cumsum(per_stream) - per_stream, per_stream])
        return Expected(self.names, words, wants, of_lists, streams, producers)


def _words(issues: _Issues) -> tuple[NDArray[np.uint64], Column, Column]:
    """All words [n, 2]; of each row the index of its first (nops), and that of its own.

    A repeat stands behind that.
    """
    queue, time = issues["queue"], issues.time
    after = time + issues.length + issues["hold"]
    before = np.zeros(len(time), np.int64)
    before[1:] = np.where(queue[1:] == queue[:-1], after[:-1], 0)
    gap = time - before
    assert not (gap < 0).any(), "reservations keep a queue's bursts apart"
    nops = -(-gap // MAX_NOP)
    repeat = np.zeros((len(time), 2), np.uint64)
    for part, names in ((WHOLE, ("repeat", "repeat_high")), (GROUP, ("inner", "inner_high"))):
        which = issues.part == part
        repeat[which] = np.stack([issues[name][which] for name in names], 1)
    repeats = repeat[:, 0] != 0
    count = nops + 1 + repeats
    first = np.cumsum(count) - count
    words = np.zeros((int(count.sum()), 2), "<u8")
    nth = _ragged(np.zeros(len(nops), np.int64), nops)
    idle = np.minimum(np.repeat(gap, nops) - nth * MAX_NOP, MAX_NOP)
    words[np.repeat(first, nops) + nth, 0] = LPU.by_name["nop"].code | idle << _NOP.lo
    at = first + nops
    words[at, 0] = issues["low"]
    words[at, 1] = issues["high"] | (issues.value & issues["mask"]).astype(np.uint64)
    words[at[repeats] + 1] = repeat[repeats]
    return words, first, at
