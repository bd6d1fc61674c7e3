"""SIMT functions decoded: each word with the scoreboard entries that it needs, numbers as bits.

The scoreboard of a warp has an entry for every predicate and, behind them, for every register.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.npu.simt_slice import demanded
from emulator.numerics import encode
from isa.forms import instruction_of
from isa.npu import NPU, WIDTHS, Guard, Reg
from isa.npu_fields import COUNTS, GuardField, float_bits
from isa.table import Instruction

# What an instruction occupies beside its scheduler's slot; the engine's enum TAKES.
NOTHING, MEMORY, UB, SPECIAL = range(4)
QS = 8  # scoreboard entries of predicates
SOURCES = 12
UNGUARDED, GUARDED, NEGATED = range(3)

_FIELDS = (
    "row", "code", "type", "to", "cond", "op", "mode", "which", "size", "regs", "cache", "takes",
    "guard", "guard_q", "dst", "q_dst", "src", "a", "a_kind", "b", "b_kind", "c", "index", "base",
    "offset", "target", "latency", "interval", "entry", "needed",
    "sources",
)  # fmt: skip
_COPIED = ("code", "type", "to", "cond", "op", "mode", "which", "cache", "offset", "target",
           "latency", "interval")  # fmt: skip
UOP = np.dtype([(name, np.int32) for name in _FIELDS] + [("source", np.int32, (SOURCES,))])


class Access(NamedTuple):
    """What a word reads and writes, as scoreboard entries."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]


def entry(reg: Reg) -> int:
    """The scoreboard entry of a register or predicate."""
    return reg.index if reg.file == "q" else QS + reg.index


def span(instruction: Instruction) -> int:
    """Registers that a load or store moves per thread."""
    if instruction.name not in ("tld", "tst"):
        return 1
    return max(1 << WIDTHS[str(instruction["width"])] - 1, 4) // 4


def access(instruction: Instruction) -> Access:
    """Registers and predicates by the fields' declarations: ``dst`` is written, the rest read."""
    reads: list[int] = []
    writes: list[int] = []
    for f in instruction.row.fields:
        value = instruction[f.name]
        if isinstance(f, GuardField) and isinstance(value, Guard):
            reads.append(value.index)
        elif isinstance(value, Reg) and value.file in "rq":
            first = entry(value)
            wide = span(instruction) if f.name in ("dst", "src") else 1
            (writes if f.name == "dst" else reads).extend(range(first, first + wide))
    return Access(tuple(reads), tuple(writes))


def number(value: int | float, dtype: str) -> int:
    """The 32 bits that a number in the word stands for in an operation of a type ("": none).

    >>> hex(number(3, "fp32")), number(2.5, "int32"), hex(number(2.5, ""))
    ('0x40400000', 2, '0x40200000')
    """
    if dtype in ("fp16", "bf16"):
        return int(encode(np.array([value], np.float32), dtype, saturate=False)[0])
    if dtype == "fp32" or (dtype == "" and isinstance(value, float)):
        return float_bits(float(np.float32(value)))
    if isinstance(value, float):
        return int(value) & 0xFFFFFFFF if abs(value) < float(1 << 63) else 0
    return value & 0xFFFFFFFF


class Code(NamedTuple):
    """A SIMT function. `registers` per thread, `arguments` that it reads, and whether what it
    loads decides where it goes or what it touches."""

    uops: NDArray[Any]
    registers: int
    arguments: int
    data: bool


def decode(words: Sequence[int], ops: NDArray[Any], first: int) -> Code:
    """Decode a function whose words, all good ones, are the rows of `ops` from `first` on."""
    instructions = [instruction_of(NPU.by_code[bits & 0xFF], bits) for bits in words]
    accesses = [access(i) for i in instructions]
    needed, data = demanded(instructions, accesses)
    uops = np.zeros(len(words), UOP)
    end = first + len(words)
    for name in (*_COPIED, "a_kind", "b_kind"):
        uops[name] = ops[name][first:end]
    uops["row"], uops["needed"] = np.arange(first, end), needed
    registers = arguments = 0
    for word, (instruction, touched) in enumerate(zip(instructions, accesses, strict=True)):
        uop = uops[word]
        _columns(uop, instruction)
        waits = tuple(dict.fromkeys(touched.reads + touched.writes))
        uop["sources"], uop["entry"] = len(waits), min(touched.writes, default=-1)
        uop["source"][: len(waits)] = waits
        registers = max([registers, *(e - QS + 1 for e in waits if e >= QS)])
        used = [v.index + 1 for v in instruction.values.values()
                if isinstance(v, Reg) and v.file == "u"]  # fmt: skip
        arguments = max([arguments, *used])
    return Code(uops, registers, arguments, data)


def _columns(uop: Any, instruction: Instruction) -> None:
    row = instruction.row
    for name in ("dst", "src", "a", "b", "c", "index", "base"):
        value = instruction[name] if name in row.by_name else None
        uop[name] = value.index if isinstance(value, Reg) else -1
    uop["q_dst"] = -1
    dst = instruction["dst"] if "dst" in row.by_name else None
    if isinstance(dst, Reg) and dst.file == "q":
        uop["q_dst"], uop["dst"] = dst.index, -1
    dtype = str(instruction["type"]) if "type" in row.by_name else ""
    for name in ("a", "b"):
        value = instruction[name] if name in row.by_name else None
        if isinstance(value, int | float) and not isinstance(value, Reg):
            bits = number(value, dtype)
            uop[name] = bits - (1 << 32) if bits >> 31 else bits
    guard = instruction["when"] if "when" in row.by_name else None
    if isinstance(guard, Guard):
        uop["guard"], uop["guard_q"] = NEGATED if guard.negated else GUARDED, guard.index
    if "space" in row.by_name:
        uop["takes"] = UB if instruction["space"] == "ub" else MEMORY
        width = 1 << WIDTHS[str(instruction["width"])] - 1 if "width" in row.by_name else 4
        uop["size"], uop["regs"] = width, span(instruction)
    elif uop["interval"] > 1:
        uop["takes"] = SPECIAL


def limit(registers: dict[str, int] | Any, threads: int) -> int:
    """Registers per thread of a launch; 0 where it is too large.

    >>> limit({"2048": 16, "1024": 32}, 1024)
    32
    """
    fits = [count for most, count in registers.items() if threads <= int(most)]
    return max(fits, default=0)


__all__ = ["COUNTS", "QS", "UOP", "Access", "Code", "access", "decode", "limit", "number"]
