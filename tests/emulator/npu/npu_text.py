"""Small programs for tests, written as text: one instruction a line, labels as ``name:``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emulator.npu.globals import at
from isa.npu import NPU
from isa.program import Program, Section, Tensor


def section(name: str, text: str, values: Mapping[str, int] | None = None) -> Section:
    """A section from text; `values` are names that operands may use."""
    lines: list[str] = []
    names = dict(values or {})
    for raw in text.split("\n"):
        line = raw.split("#")[0].strip()
        if line.endswith(":"):
            names[line[:-1]] = len(lines)
        elif line:
            lines.append(line)
    words = bytearray()
    for line in lines:
        head, _, rest = line.partition(" ")
        operands = [p.strip() for p in rest.split(",")] if rest else []

        def evaluate(word: str) -> float | int:
            if word in names:
                return names[word]
            return float(word) if "." in word or word in ("inf", "-inf") else int(word, 0)

        words += NPU.encode(NPU.parse(head, operands, evaluate)).to_bytes(16, "little")
    return Section(name, bytes(words))


def tensor(name: str, dtype: str, shape: Sequence[int], role: str, address: int) -> Tensor:
    return Tensor(name, dtype, tuple(shape), role, at(address))


def program(
    sections: Mapping[str, str], tensors: Sequence[Tensor] = (), blocks: int = 1, **values: int
) -> Program:
    """A program; tensor names are their addresses in the text."""
    names = {t.name: t.layouts[0].base for t in tensors} | values
    meta: dict[str, Any] = {"blocks": blocks}
    return Program(
        isa="npu", chip="npu-tiny", tensors=tuple(tensors), meta=meta,
        sections=tuple(section(name, text, names) for name, text in sections.items()),
    )  # fmt: skip
