"""The NPU's instruction table, put together, and which section may hold which row.

A program has at most one section ``core.cube`` and one ``core.vector`` (what each sub-core's scalar
unit runs) and any number of functions, ``simd.NAME`` and ``simt.NAME``, that ``vcall`` runs. Read
`isa.npu_core`, then `isa.npu_simd` and `isa.npu_simt`.
"""

from __future__ import annotations

from isa import npu_core, npu_simd, npu_simt
from isa.npu_core import (
    CACHE,
    FIX_TYPES,
    MMAD_TYPES,
    PIPES,
    SCOPES,
    SPACES,
    SPECIAL,
    TYPES,
    UNIT_FLAG,
    WIDTHS,
)  # fmt: skip
from isa.npu_fields import Guard, Reg
from isa.npu_layout import CONDITIONS
from isa.table import InstructionSet, Row

ROWS = npu_core.ROWS + npu_simd.ROWS + npu_simt.ROWS
NPU = InstructionSet("npu", ROWS)

# Kind of section -> the units (`Row.unit`) whose rows it may hold. ``.core cube`` opens the
# section ``core.cube``, ``.simd f`` ``simd.f``, ``.simt f`` ``simt.f``.
SECTION_UNITS = {
    "core.cube": ("scalar", "core", "cube"),
    "core.vector": ("scalar", "core", "vector"),
    "simd": ("scalar", "simd"),
    "simt": ("simt",),
}
FUNCTION_KINDS = ("simd", "simt")
BITS_OF = {"fp32": 32, "int32": 32, "uint32": 32, "fp16": 16, "bf16": 16, "int16": 16,
           "uint16": 16, "mxfp4": 4, "e2m1": 4, "int4": 4}  # fmt: skip


def section_kind(name: str) -> str:
    """The kind of a section by its name; "" where it is none.

    >>> section_kind("core.cube"), section_kind("simd.softmax"), section_kind("mem.w0.read")
    ('core.cube', 'simd', '')
    """
    if name in SECTION_UNITS and name.startswith("core."):
        return name
    kind, dot, rest = name.partition(".")
    return kind if dot and rest and kind in FUNCTION_KINDS else ""


def section_holds(name: str, row: Row) -> bool:
    """Whether an instruction may stand in a section."""
    return row.unit in SECTION_UNITS.get(section_kind(name), ())


def row_bytes(dtype: str, elements: int) -> int:
    """Bytes of a row of elements in memory: 4-bit types are packed, low nibble first.

    >>> row_bytes("mxfp4", 5), row_bytes("fp16", 5)
    (3, 10)
    """
    return -(-elements * BITS_OF.get(dtype, 8) // 8)


__all__ = [
    "CACHE", "CONDITIONS", "FIX_TYPES", "FUNCTION_KINDS", "MMAD_TYPES", "NPU", "PIPES", "ROWS",
    "SCOPES", "SECTION_UNITS", "SPACES", "SPECIAL", "TYPES", "UNIT_FLAG", "WIDTHS", "Guard", "Reg",
    "row_bytes", "section_holds", "section_kind",
]  # fmt: skip
