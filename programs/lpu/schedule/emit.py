"""From placed fragments to a Program: one word stream per queue, and every operand's producer.

A fragment's bursts are encoded once per choice of streams and ALUs; where the same choice is placed
again, only cycles and addresses differ. So all bursts of a program are rows of one array, which is
put in order, taken apart where bursts interleave on a queue, and filled into words at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isa.fields import Alu, Imm, Stream
from isa.lpu import LPU
from isa.program import Expectations, Producer, Section
from isa.table import Instruction
from programs.lpu.schedule.fragment import Burst, Op, Value, chains
from programs.lpu.schedule.memory import Times

if TYPE_CHECKING:
    from programs.lpu.schedule.schedule import Placement

MAX_NOP = (1 << 20) - 1
HALF = 64  # bits of a half word
_NOP = LPU.by_name["nop"].by_name["n"]

# A burst on its queue: `low` and `high` are its word without the strided operand, which has the
# value `value` and the bits `mask` of `high`. `repeat` is the word after it (0: none), `inner` that
# of one of its groups. Times are absolute, `op` counts the operations of all placements.
ROW = np.dtype([
    *((name, np.int64) for name in (
        "queue", "time", "length", "hold", "op", "n", "d", "stride", "n2", "d2", "stride2",
        "value", "mask",
    )),
    *((name, np.uint64) for name in ("low", "high")),
    ("repeat", np.uint64, 2), ("inner", np.uint64, 2),
])  # fmt: skip
Rows = NDArray[Any]
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


# ---- rows ---------------------------------------------------------------------------------------


class _Template:
    """The rows of a fragment that starts at cycle 0, and what of them an address moves."""

    def __init__(self, placement: Placement, encoder: _Encoder, numbers: Mapping[str, int]) -> None:
        chosen, rows, moves = placement.chosen, [], []
        self.times: dict[Times, int] = {}
        for i, op in enumerate(placement.fragment.ops):
            assert op.time is not None
            fields = operand_fields(op, chosen)
            queue = numbers[queue_of(op, chosen)]
            slot, step = -1, 0
            if op.block is not None:
                slot = self.times.setdefault(op.block.times, len(self.times))
                step = op.block.step
            for b in op.bursts:
                word, value, mask = encoder.instruction(op, b, fields)
                low, high = word & (1 << HALF) - 1, word >> HALF
                rows.append((
                    queue, op.time + b.rel, b.length, op.hold, i, b.n, b.d, b.stride, b.n2, b.d2,
                    b.stride2, value, mask, low, high, encoder.repeat(b),
                    encoder.repeat(Burst(0, {}, b.n, b.d, b.stride)),
                ))  # fmt: skip
                moves.append((slot, step))
        self.rows = np.array(rows, ROW)
        self.slot, self.step = np.array(moves, np.int64).T

    def at(self, placements: Sequence[Placement], first_op: NDArray[np.int64]) -> Rows:
        """The rows of some placements."""
        rows = np.repeat(self.rows[None], len(placements), 0)
        rows["time"] += np.array([p.start for p in placements])[:, None]
        rows["op"] += first_op[:, None]
        # The last column is for what is not in memory.
        moves = np.array(
            [[*(p.fragment.moves.get(t, 0) for t in self.times), 0] for p in placements], np.int64
        )
        rows["value"] += moves[:, self.slot] * self.step
        return rows.ravel()


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

    def repeat(self, burst: Burst) -> tuple[int, int]:
        """The two halves of the word behind a burst's own; 0 where there is none."""
        if burst.n == 1 and burst.n2 == 1:
            return 0, 0
        key = (burst.n, burst.d, burst.stride, burst.n2, burst.d2, burst.stride2)
        if key not in self._repeats:
            values = {"n": burst.n - 1, "d": burst.d, "stride": burst.stride}
            if burst.n2 > 1:
                values |= {"n2": burst.n2 - 1, "d2": burst.d2, "stride2": burst.stride2}
            word = LPU.encode(Instruction(LPU.by_name["repeat"], values))
            self._repeats[key] = word & (1 << HALF) - 1, word >> HALF
        return self._repeats[key]


def _frozen(field: str, value: Any) -> tuple[str, Any]:
    # 1 and 1.0 and True are equal as keys but not as immediates.
    return (field, (type(value.value), repr(value))) if isinstance(value, Imm) else (field, value)


# ---- order --------------------------------------------------------------------------------------


def _in_order(rows: Rows) -> Rows:
    """Rows by queue and cycle; bursts that interleave are taken apart.

    First into their groups, and where they still interleave, into their single issues.
    """
    rows, crowd = _sorted(rows)
    nested = rows["n2"] > 1
    crowded = np.bincount(crowd)[crowd] > 1
    if (crowded & nested).any():
        rows, crowd = _sorted(_pieces(rows, crowded & nested, "n2", "d2", "stride2"))
        crowded = np.bincount(crowd)[crowd] > 1
    if crowded.any():
        rows, _ = _sorted(_pieces(rows, crowded, "n", "d", "stride"))
    return rows


def _sorted(rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
    """Rows in order, and for each the number of the crowd that it is in: bursts that overlap."""
    rows = rows[np.lexsort((rows["time"], rows["queue"]))]
    apart = int((rows["time"] + rows["length"]).max(initial=0)) + 1
    start = rows["queue"] * apart + rows["time"]
    last = np.maximum.accumulate(start + rows["length"])
    crowd = np.zeros(len(rows), np.int64)
    crowd[1:] = np.cumsum(start[1:] > last[:-1])
    return rows, crowd


def _pieces(rows: Rows, which: NDArray[np.bool_], n: str, d: str, stride: str) -> Rows:
    """The issues (or with n2, d2, stride2: the groups) of some rows, each a row of its own."""
    count = np.where(which, rows[n], 1)
    first = np.cumsum(count) - count
    pieces = np.repeat(rows, count)
    i = np.arange(len(pieces)) - np.repeat(first, count)
    pieces["time"] += i * pieces[d]
    pieces["value"] += i * pieces[stride]
    split = np.repeat(which, count)
    pieces["repeat"][split] = pieces["inner"][split] if n == "n2" else 0
    pieces[n][split] = 1
    pieces["length"][split] = ((pieces["n"] - 1) * pieces["d"])[split] if n == "n2" else 0
    return pieces


# ---- words --------------------------------------------------------------------------------------


class Words:
    """The words of a program: `sections`, and where each operation's stand."""

    def __init__(self, placements: Sequence[Placement]) -> None:
        used = {queue for p in placements for queue in p.queues}
        self.names = sorted(used)
        numbers = {name: i for i, name in enumerate(self.names)}
        ops = np.cumsum([0, *(len(p.fragment.ops) for p in placements)])
        alike: dict[Any, list[int]] = defaultdict(list)
        for i, p in enumerate(placements):
            alike[p.pattern, p.options].append(i)
        encoder, parts = _Encoder(), [np.zeros(0, ROW)]
        for members in alike.values():
            template = _Template(placements[members[0]], encoder, numbers)
            parts.append(template.at([placements[i] for i in members], ops[members]))
        rows = _in_order(np.concatenate(parts))
        words, first, at = _words(rows)
        ends = np.searchsorted(rows["queue"], np.arange(len(self.names) + 1))
        starts = np.append(first, len(words))[ends]
        self.sections = [
            Section(name, words[starts[i] : starts[i + 1]].tobytes())
            for i, name in enumerate(self.names)
        ]
        self._first_op = ops.tolist()
        # Where the words of an operation stand in their section.
        order = np.argsort(rows["op"], kind="stable")
        self._word = (at - starts[rows["queue"]])[order].tolist()
        self._from = np.searchsorted(rows["op"][order], np.arange(ops[-1] + 1)).tolist()

    def of(self, placement: int, op: int) -> list[int]:
        """Word indices of operation `op` of a placement, in its section."""
        at = self._first_op[placement] + op
        return self._word[self._from[at] : self._from[at + 1]]  # type: ignore[no-any-return]


def _words(rows: Rows) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """All words [n, 2]; for each row the index of its first (nops), and that of its own.

    A repeat stands behind that.
    """
    after = rows["time"] + rows["length"] + rows["hold"]
    fresh = np.append(True, rows["queue"][1:] != rows["queue"][:-1])[: len(rows)]
    gap = rows["time"] - np.where(fresh, 0, np.append(0, after[:-1])[: len(rows)])
    assert not len(gap) or gap.min() >= 0, "reservations keep a queue's bursts apart"
    nops = -(-gap // MAX_NOP)
    repeats = rows["repeat"][:, 0] != 0
    count = nops + 1 + repeats
    first = np.cumsum(count) - count
    words = np.zeros((int(count.sum()), 2), "<u8")
    nth = np.arange(nops.sum()) - np.repeat(np.cumsum(nops) - nops, nops)
    idle = np.minimum(np.repeat(gap, nops) - nth * MAX_NOP, MAX_NOP)
    where = np.repeat(first, nops) + nth
    words[where, 0] = LPU.by_name["nop"].code | idle << _NOP.lo
    at = first + nops
    words[at, 0] = rows["low"]
    words[at, 1] = rows["high"] | (rows["value"] & rows["mask"]).astype(np.uint64)
    words[at[repeats] + 1] = rows["repeat"][repeats]
    return words, first, at


def expectations(placements: Sequence[Placement], words: Words) -> Expectations:
    """For every stream operand of every word: which words may have produced it, per stream."""
    expects: dict[tuple[str, int, str], tuple[tuple[Producer, ...], ...]] = {}
    for i, placement in enumerate(placements):
        number = {op: j for j, op in enumerate(placement.fragment.ops)}
        queues = placement.queues
        memo: dict[tuple[Value, str], tuple[tuple[Producer, ...], ...]] = {}
        for j, op in enumerate(placement.fragment.ops):
            for operand, value in op.inputs.items():
                if not isinstance(value, Value) or chains(value, op):
                    continue
                name, _, part = operand.partition("+")
                if (value, part) not in memo:
                    parts = [value.parts[int(part)]] if part else value.parts
                    memo[value, part] = tuple(
                        tuple(
                            (queues[number[source]], word)
                            for source, _ in runs for word in words.of(i, number[source])
                        ) for runs in parts
                    )  # fmt: skip
                for word in words.of(i, j):
                    expects[queues[j], word, name] = memo[value, part]
    return expects
