"""The compiled reader of plain lines against the careful way: the same program, the same errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.lpu.chip import load as load_lpu
from emulator.npu.chip import load as load_npu
from isa.asm import AssemblyError, assemble, assembler
from isa.disasm import disassemble
from isa.forms import form
from isa.lpu import LPU
from isa.npu import NPU
from isa.program import Program
from isa.table import Instruction, InstructionSet
from tests.isa.isa_strategies import instructions, programs
from tests.isa.test_npu_table import instructions as npu_instructions


def outcome(text: str) -> Program | str:
    """The program of a text, or everything that is wrong with it."""
    try:
        return assemble(text, "t.s", load_chip=load_npu if "npu" in text[:12] else load_lpu)
    except AssemblyError as error:
        return str(error)


def both(text: str) -> Program | str:
    """The outcome with the reader, which must be that without it."""
    fast = outcome(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembler, "learn", lambda *_: None)
        assert outcome(text) == fast
    return fast


# ---- forms ---------------------------------------------------------------------------------------


def composed(isa: InstructionSet, instruction: Instruction) -> int:
    """The word as its form's operands give it, each by itself."""
    found = form(isa, isa.texts(instruction)[0])
    word = found.code
    for place in found.places:
        word |= place.bits(instruction[place.name])
    return word


@given(instructions())
def test_operands_of_a_form_stand_for_themselves(instruction: Instruction) -> None:
    assert composed(LPU, instruction) == LPU.encode(instruction)


@given(st.sampled_from(NPU.rows).flatmap(npu_instructions))
def test_operands_of_an_npu_form_stand_for_themselves(instruction: Instruction) -> None:
    assert composed(NPU, instruction) == NPU.encode(instruction)


# ---- texts ---------------------------------------------------------------------------------------

LPU_LINES = (
    "read s3.e, 17", "read s[1 + A].w, A*2", "write 0x1f, s2.e@one", "write A, s2.w@one|two",
    "gather s3.e, s4.e, base=A + 1", "repeat 3, 1", "repeat A, 2, -1", "nop 5", "nop A", "sync",
    "@200 read s0.e, 1", "@A + 300 read s0.e, 1", "@(5) nop 1", "read s3.e, 1048576", "iw",
    "read s40.e, 1", "read s3.e", "read s3.e, 1, 2", "read s3.e, B", "A = A + 1", "B = 1.5",
    "mm.int8 s3.w, 5, start, emit, s4.e", "mm.int8 s3.w, 5, start, start", "mm.fp16 s3.w, 5",
    "add.fp32 s8.w, s0.e@one, 1.5", "add.fp32 s8.w, 1, 2.5e3", "add.int32 _, -7, -7",
    "add.fp32 s8.w, 0x10, -inf", "add.fp32 s8.w, a1, nan", "add.fp32 s8.w, a1, 1e39",
    "max.fp32 s8.w, A, s4.w@(one, two, *, one)", "lw.int8 s0.w, rows=16, lanes=A",
    "lw.int8 s0.w, lanes=1, rows=A == 1", "select.1 s0.w, s1.w, s2.w, s3.w", "raed s3.e, 1",
    "distribute.1 s0.e, s0.w, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, A]",
    "read s3.e , 5 # five", "read s3.e, 5 // é", 'read s3.e, 5 # "', "read s3.e, 5,",
    "read\ts3.e,5",
)  # fmt: skip
NPU_LINES = (
    "add x1, x2, 3", "add x1, x2, A*4 - 1", "mov x1, -1", "mov x1, 4294967296", "mov x1, 1.5",
    "br.lt x1, 5, one", "br.eq x1, A, two", "jump one", "jump nowhere", "jump 3", "jump two + 1",
    "vcall f, x1, 3", "vcall g, threads=A, dcache=4", "end", "load.ub.b8 x1, x2, x3, rows=x4",
    "load.ub.b8 x1, x2, x3, rows=5", "vadd.fp32 v1, v2, 1.5, mask=p1",
    "vadd.fp32 v1, v2, x3, merge",
    "vmul.int32 v1, v2, 7, merge, merge", "vld.b32.norm v1, x1, 256, post=64", "loop 4, one",
    "tadd.int32 r1, r2, 7, when=!q3", "tfma.fp32 r1, r2, 0.1, r3", "tbra one, when=q1",
    "tmov r1, inf", "tadd.fp32 r1, r2, r127", "A = A + 2", "add x1, x40, 1", "v1 = 3",
    "tatom.gm.add.int32 _, u0, r1, r2", "set_flag.mte2.v 3", "set_flag.mte2.v 8",
)  # fmt: skip
LABELS = st.sampled_from(["", "", "one: ", "two:", ".L1: ", "x1: ", "A: ", "s0.e: ", "one:two: "])
ENDS = st.sampled_from(["", "", " ", "  # end", "//", "\r", " @one", ",", " + 1"])


def sources(head: str, heads: tuple[str, ...], lines: tuple[str, ...]) -> st.SearchStrategy[str]:
    line = st.builds(lambda *parts: "".join(parts), LABELS, st.sampled_from(lines), ENDS)
    section = st.builds(
        lambda name, body: "\n".join([name, *body]), st.sampled_from(heads),
        st.lists(line | st.sampled_from(lines), min_size=4, max_size=14),
    )  # fmt: skip
    return st.lists(section, min_size=1, max_size=3).map(lambda s: "\n".join([head, *s, ""]))


LPU_HEADS = (".queue mem.w0.read", ".queue mem.w0.write", ".queue vxm.0", ".queue mxm.0.mm",
             ".queue mxm.0.weights", ".queue sxm.w.0", "")  # fmt: skip
NPU_HEADS = (".core cube", ".core vector", ".simd f", ".simt g", "")


@settings(max_examples=250, deadline=None)
@given(sources(".chip lpu-tiny\nA = 3", LPU_HEADS, LPU_LINES))
def test_lpu_texts(text: str) -> None:
    both(text)


@settings(max_examples=250, deadline=None)
@given(sources(".chip npu-tiny\nA = 3", NPU_HEADS, NPU_LINES))
def test_npu_texts(text: str) -> None:
    both(text)


@settings(max_examples=60, deadline=None)
@given(programs())
def test_programs_are_read_back(program: Program) -> None:
    found = both(disassemble(program))
    assert isinstance(found, Program)
    assert found.sha256 == program.sha256


def test_a_kept_text_does_not_outlive_a_symbol() -> None:
    found = both(
        ".chip npu-tiny\n.core vector\nN = 1\nadd x1, x2, N\nN = 2\nadd x1, x2, N\n"
        "add x1, x2, N+1\njump N\nN = 7\njump N\n"
    )
    assert isinstance(found, Program)
    texts = [NPU.print(NPU.decode(word)) for word in found.sections[0]]
    assert texts == ["add x1, x2, 1", "add x1, x2, 2", "add x1, x2, 3", "jump 2", "jump 7"]


def test_names_that_come_later() -> None:
    found = both(
        ".chip npu-tiny\n.core vector\nbr.lt x1, 5, on\nvcall f, x1, 1\non: jump on\nend\n.simd f\n"
    )
    assert isinstance(found, Program)
    texts = [NPU.print(NPU.decode(word)) for word in found.sections[0]]
    assert texts == ["br.lt x1, 5, 2", "vcall 0, x1, 1", "jump 2", "end"]


def test_lines_met_before_are_judged_anew() -> None:
    text = ".chip lpu-tiny\n.queue mem.w0.read\nread s0.e, 1\nrepeat 3, 1, 2\nrepeat 3, 1, 2\n"
    found = both(text)
    assert isinstance(found, str)
    assert found.startswith("t.s:5:1: error: there is nothing to repeat here [A041]")


def test_a_comment_ends_an_expectation() -> None:
    text = ".chip lpu-tiny\n.queue mem.w0.read\none: read s0.e, 1\n.queue mem.w0.write\n"
    found = both(text + "write 1, s0.e@one// from there\nwrite 2, s0.e@one# and again\n")
    assert isinstance(found, Program)
    assert len(found.expects) == 2
