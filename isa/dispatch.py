"""The enums that the compiled engines dispatch on, written by the build from the tables.

``emulator/<machine>/_opcodes.pxi`` holds one constant per row (``OP_READ``) and one per operand
type (``TYPE_FP32``). Files change only when their text does, so nothing recompiles for nothing.
"""

from __future__ import annotations

from pathlib import Path

from isa.fields import KIND_ALU, KIND_IMM, KIND_NONE, KIND_STREAM
from isa.lpu import LPU, TYPES
from isa.npu_columns import include as npu_include


def lpu_include() -> str:
    """The text of ``emulator/lpu/_opcodes.pxi``."""
    lines = ["# Written by the build from isa/lpu.py; change that table instead.", "cdef enum:"]
    lines += [f"    OP_{row.semantics.upper()} = {row.code:#04x}" for row in LPU.rows]
    lines += ["cdef enum:"]
    lines += [f"    TYPE_{name.upper()} = {code}" for name, code in TYPES.items()]
    kinds = {"NONE": KIND_NONE, "STREAM": KIND_STREAM, "ALU": KIND_ALU, "IMM": KIND_IMM}
    lines += ["cdef enum:"]
    lines += [f"    KIND_{name} = {code}" for name, code in kinds.items()]
    return "\n".join(lines) + "\n"


def includes() -> dict[str, str]:
    """Every generated include: path below the root -> text."""
    return {
        "emulator/lpu/_opcodes.pxi": lpu_include(),
        "emulator/npu/_opcodes.pxi": npu_include(),
    }


def write_includes(root: Path) -> None:
    """Write each include whose text is not there already."""
    for name, text in includes().items():
        path = root / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
