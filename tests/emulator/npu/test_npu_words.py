"""Decoding all words at once gives the rows that decoding them one by one gives."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.npu import prepare as module
from emulator.npu.chip import load
from isa.npu import NPU, SECTION_UNITS
from isa.program import Program, Section
from isa.table import Instruction
from tests.isa.test_npu_table import instructions

SECTIONS = {
    "core.cube": "core.cube",
    "core.vector": "core.vector",
    "simd.f": "simd",
    "simt.g": "simt",
}


def words(kind: str) -> st.SearchStrategy[bytes]:
    rows = [row for row in NPU.rows if row.unit in SECTION_UNITS[kind]]
    some = st.sampled_from(rows).flatmap(instructions).map(near)
    return st.lists(some | some | st.integers(0, (1 << 128) - 1), max_size=3).map(
        lambda found: b"".join(word.to_bytes(16, "little") for word in found)
    )


def near(instruction: Instruction) -> int:
    """The word, with a target that may well be there."""
    values = dict(instruction.values)
    if "target" in values:
        values["target"] %= 8
    return NPU.encode(Instruction(instruction.row, values))


programs = st.fixed_dictionaries({name: words(kind) for name, kind in SECTIONS.items()}).map(
    lambda found: Program(
        isa="npu", chip="npu-tiny", sections=tuple(Section(*pair) for pair in found.items())
    )
)


def without_faults(program: Program) -> Program:
    """The program without the words that have faults."""
    for _ in range(8):
        bad = {fault.where for fault in module.prepare(program, load("npu-tiny")).faults}
        program = Program(
            isa="npu", chip="npu-tiny",
            sections=tuple(
                Section(s.name, b"".join(
                    word.to_bytes(16, "little") for i, word in enumerate(s)
                    if (s.name, i) not in bad
                ))
                for s in program.sections
            ),
        )  # fmt: skip
    return program


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs)
def test_all_at_once(program: Program) -> None:
    chip = load("npu-tiny")
    for tried in (program, without_faults(program)):
        fast = module.prepare(tried, chip)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module._Decoder, "_all_at_once", lambda *_: False)
            slow = module.prepare(tried, chip)
        assert fast.faults == slow.faults
        assert fast.ops.tobytes() == slow.ops.tobytes()
        assert fast.uops.tobytes() == slow.uops.tobytes()
        assert (fast.sections, fast.functions) == (slow.sections, slow.functions)
