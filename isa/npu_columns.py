"""The columns of a decoded NPU program: one per field name of the table, the same in every row.

A `ValueField` makes two columns, its payload and ``<name>_kind`` (0 and 1 a register, 2 an integer,
3 a float32's bits). Every other field is its raw value, sign-extended where it is signed.
"""

from __future__ import annotations

from collections.abc import Mapping

from isa import npu_core, npu_simd, npu_simt
from isa.fields import Field, IntField
from isa.npu import NPU
from isa.npu_fields import ValueField
from isa.npu_layout import CONDITIONS

# Columns that follow from the row, the section and the chip.
EXTRA = ("code", "section", "word", "pipe", "latency", "interval")


def columns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the 64-bit and of the 32-bit columns."""
    wide: set[str] = set()
    narrow: set[str] = set()
    for row in NPU.rows:
        for f in row.fields:
            (wide if isinstance(f, ValueField) else narrow).add(f.name)
    narrow = (narrow - wide) | {f"{name}_kind" for name in wide}
    names = (*EXTRA, *sorted(narrow))
    return tuple(sorted(wide)), names if len(names) % 2 == 0 else (*names, "filler")


def raw_values(f: Field, raw: int) -> dict[str, int]:
    """The columns that a field's raw bits fill."""
    if isinstance(f, ValueField):
        kind, low = raw >> f.payload, raw & ((1 << f.payload) - 1)
        if kind == 2 and low >> (f.payload - 1):
            low -= 1 << f.payload
        return {f.name: low, f"{f.name}_kind": kind}
    if isinstance(f, IntField) and f.signed and raw >> (f.width - 1):
        raw -= 1 << f.width
    return {f.name: raw}


def _enum(prefix: str, names: Mapping[str, int]) -> list[str]:
    return ["cdef enum:", *(f"    {prefix}_{n.upper()} = {v}" for n, v in names.items())]


def include() -> str:
    """The text of ``emulator/npu/_opcodes.pxi``."""
    wide, narrow = columns()
    lines = ["# Written by the build from isa/npu*.py; change those tables instead."]
    lines += _enum("OP", {row.semantics: row.code for row in NPU.rows})
    lines += _enum("TYPE", npu_core.TYPES) + _enum("PIPE", npu_core.PIPES)
    lines += _enum("SPACE", npu_core.SPACES) + _enum("WIDTH", npu_core.WIDTHS)
    lines += _enum("COND", CONDITIONS) + _enum("SCOPE", npu_core.SCOPES)
    lines += _enum("SR", npu_core.SPECIAL) + _enum("UNIT", npu_core.UNIT_FLAG)
    lines += _enum("LOAD", npu_simd.LOADS) + _enum("STORE", npu_simd.STORES)
    lines += _enum("RED", npu_simd.REDUCTIONS) + _enum("GROUP", npu_simd.GROUPS)
    lines += _enum("TSR", npu_simt.SPECIAL) + _enum("ATOM", npu_simt.ATOMICS)
    lines += _enum("SHFL", npu_simt.SHUFFLES) + _enum("VOTE", npu_simt.VOTES)
    lines += _enum("HINT", npu_simt.HINTS)
    lines += ["cdef struct Op:"]
    lines += [f"    int64_t {name}" for name in wide] + [f"    int32_t {name}" for name in narrow]
    return "\n".join(lines) + "\n"
