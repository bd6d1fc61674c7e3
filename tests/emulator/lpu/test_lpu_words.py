"""What is no instruction is found, also among words that differ in numbers alone."""

from __future__ import annotations

from emulator.lpu.chip import load
from emulator.lpu.prepare import prepare
from isa.lpu import LPU
from isa.program import Program, Section
from isa.table import DecodeError

USED, UNUSED = "add.fp32 _, s0.e, 1.5", "add.fp32 _, s0.e, s4.e"
BITS = (0, 1, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FC00001, 0x80000000, 0xFF800000, 0xFFC00000)


def encoded(text: str) -> int:
    head, _, rest = text.partition(" ")
    return LPU.encode(LPU.parse(head, rest.split(", ")))


def is_instruction(word: int) -> bool:
    try:
        LPU.decode(word)
    except DecodeError:
        return False
    return True


def test_immediates() -> None:
    words = []
    for text in (USED, USED.replace("fp32", "int32").replace("1.5", "1"), UNUSED):
        base = encoded(text) & ~(0xFFFFFFFF << 64)
        words += [base | bits << 64 for bits in BITS]
    section = Section("vxm.0", b"".join(word.to_bytes(16, "little") for word in words))
    program = Program(isa="lpu", chip="lpu-tiny", sections=(section,))
    faults = prepare(program, load("lpu-tiny")).faults
    found = {fault.where[1] for fault in faults if fault.kind == "encoding" and fault.where}
    assert found == {i for i, word in enumerate(words) if not is_instruction(word)}
    assert len(found) == 3 + 0 + 8
