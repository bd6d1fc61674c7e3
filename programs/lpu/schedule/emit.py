"""From placed operations to a Program: one word stream per queue, and every operand's producer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isa.fields import WORD_BYTES, Alu, Imm, Stream
from isa.lpu import LPU
from isa.program import Producer, Section
from isa.table import Instruction
from programs.lpu.schedule.fragment import Burst, Op, Value

Words = dict[int, tuple[str, list[int]]]  # id(op) -> (queue, its words)
_NOP, _REPEAT = LPU.by_name["nop"], LPU.by_name["repeat"]
MAX_NOP = (1 << 20) - 1


@dataclass(frozen=True)
class Placed:
    """An operation at its absolute cycle."""

    op: Op
    time: int
    fields: Mapping[str, Any]  # operand values that all bursts share (streams, ALUs, numbers)


def operand_fields(op: Op) -> dict[str, Any]:
    """The operands of an op as the table's field values, once streams and ALUs are chosen."""
    fields: dict[str, Any] = {}
    for operand, given in op.inputs.items():
        name, _, part = operand.partition("+")
        if not isinstance(given, Value):
            fields[name] = Imm(given)
        elif given.direction == "" or _chained(given, op):
            fields[name] = Alu(int(given.parts[0][0][0].queue.split(".")[1]))
        else:
            fields[name] = Stream(given.stream + int(part or 0), given.direction)
    row = LPU.by_name[op.name]
    out = op.output
    if "dst" in row.by_name and out is not None and out.direction:
        fields["dst"] = Stream(out.stream + op.part, out.direction)
    return fields


def _chained(value: Value, op: Op) -> bool:
    return op.queue.startswith("vxm.") and value.parts[0][0][0].queue.startswith("vxm.")


def sections(placed: Iterable[Placed]) -> tuple[list[Section], Words]:
    """Encode every queue's operations in order of time."""
    encode = _Encoder()
    by_queue: dict[str, list[Placed]] = defaultdict(list)
    for item in placed:
        by_queue[item.op.queue].append(item)
    result, words = [], {}
    for queue in sorted(by_queue):
        writer = _Queue(encode)
        for issue in _in_order(by_queue[queue]):
            writer.put(*issue)
        result.append(Section(queue, b"".join(writer.words)))
        for op_id, indices in writer.of_op.items():
            words[op_id] = (queue, indices)
    return result, words


Issue = tuple[int, Placed, Burst]  # cycle of a burst's first issue


def _in_order(items: list[Placed]) -> Iterable[tuple[Placed, int, Burst]]:
    """(op, cycle, burst) in order of time; bursts that interleave are taken apart."""
    for start, item, burst in _apart([(i.time + b.rel, i, b) for i in items for b in i.op.bursts]):
        yield item, start, burst


def _apart(bursts: list[Issue]) -> Iterator[Issue]:
    """Bursts one after another: where some interleave, their groups or at last their issues."""
    bursts.sort(key=lambda entry: entry[0])
    i = 0
    while i < len(bursts):
        start, _, burst = bursts[i]
        end = start + burst.length
        j = i + 1
        while j < len(bursts) and bursts[j][0] <= end:
            end = max(end, bursts[j][0] + bursts[j][2].length)
            j += 1
        if j == i + 1:
            yield bursts[i]
        else:
            groups = any(b.n2 > 1 for _, _, b in bursts[i:j])
            yield from _apart([s for entry in bursts[i:j] for s in _pieces(*entry, groups)])
        i = j


def _pieces(start: int, item: Placed, burst: Burst, groups: bool) -> list[Issue]:
    """A burst's groups (or its single issues), their strided operands worked out."""
    if groups and burst.n2 == 1:
        return [(start, item, burst)]
    strided = LPU.by_name[item.op.name].strided
    pieces = []
    for j in range(burst.n2):
        for i in range(1 if groups else burst.n):
            values = dict(burst.values)
            advance = i * burst.stride + j * burst.stride2
            if advance:
                values[strided] += advance
            at = i * burst.d + j * burst.d2
            inner = (burst.n, burst.d, burst.stride) if groups else ()
            pieces.append((start + at, item, Burst(burst.rel + at, values, *inner)))
    return pieces


class _Encoder:
    """Encodes instructions, remembering words that differ only in the strided field."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}

    def __call__(self, name: str, values: Mapping[str, Any]) -> bytes:
        row = LPU.by_name[name]
        # The strided field is OR-ed in afterwards; immediates are encoded with their type.
        strided = row.strided if row.strided in values else ""
        key = (name, *[_frozen(k, v) for k, v in values.items() if k != strided])
        word = self._known.get(key)
        if word is None:
            base = {**values, **({strided: 0} if strided else {})}
            word = self._known[key] = LPU.encode(Instruction(row, base))
        if strided:
            word |= row.by_name[strided].insert(values[strided])
        return word.to_bytes(WORD_BYTES, "little")


def _frozen(field: str, value: Any) -> tuple[str, Any]:
    # 1 and 1.0 and True are equal as keys but not as immediates.
    return (field, (type(value.value), repr(value))) if isinstance(value, Imm) else (field, value)


class _Queue:
    """The words of one queue under construction."""

    def __init__(self, encode: _Encoder) -> None:
        self.encode = encode
        self.words: list[bytes] = []
        self.now = 0
        self.of_op: dict[int, list[int]] = defaultdict(list)

    def put(self, item: Placed, cycle: int, burst: Burst) -> None:
        gap = cycle - self.now
        assert gap >= 0, "reservations keep a queue's bursts apart"
        while gap > 0:
            n = min(gap, MAX_NOP)
            self.words.append(self.encode("nop", {"n": n}))
            gap -= n
        self.of_op[id(item.op)].append(len(self.words))
        values = {**item.fields, **burst.values}
        if item.op.name == "mm" and not values.get("emit"):
            values.pop("dst", None)  # of several passes only the last has a result
        self.words.append(self.encode(item.op.name, values))
        if burst.n > 1 or burst.n2 > 1:
            self.words.append(self.encode("repeat", _repeat(burst)))
        self.now = cycle + burst.length + item.op.hold


def _repeat(burst: Burst) -> dict[str, int]:
    values = {"n": burst.n - 1, "d": burst.d, "stride": burst.stride}
    if burst.n2 > 1:
        values |= {"n2": burst.n2 - 1, "d2": burst.d2, "stride2": burst.stride2}
    return values


def expectations(
    placed: Iterable[Placed], words: Words
) -> dict[tuple[str, int, str], tuple[tuple[Producer, ...], ...]]:
    """For every stream operand of every word: which words may have produced it, per stream."""
    expects = {}
    memo: dict[tuple[int, int], tuple[tuple[Producer, ...], ...]] = {}
    for item in placed:
        queue, indices = words[id(item.op)]
        for operand, value in item.op.inputs.items():
            if not isinstance(value, Value) or _chained(value, item.op):
                continue
            name, _, part = operand.partition("+")
            key = (id(value), int(part or -1))
            if key not in memo:
                parts = [value.parts[int(part)]] if part else value.parts
                memo[key] = tuple(
                    tuple((words[id(op)][0], w) for op, _ in runs for w in words[id(op)][1])
                    for runs in parts
                )
            for word in indices:
                expects[queue, word, name] = memo[key]
    return expects
