"""The disassembler's text assembles to the same program."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings

from emulator.lpu.chip import load
from isa.asm import assemble
from isa.disasm import disassemble, explain_word
from isa.lpu import LPU
from isa.program import Program, Section
from isa.table import DecodeError
from tests.isa.isa_strategies import instructions, programs, tiny

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "programs" / "lpu").glob("*.s"))


def bare(program: Program) -> Program:
    """The program without what text cannot carry over: where its words came from."""
    sections = tuple(dataclasses.replace(s, lines=()) for s in program.sections)
    return dataclasses.replace(program, sections=sections, files=())


def assert_equal(a: Program, b: Program) -> None:
    a, b = bare(a), bare(b)
    for f in dataclasses.fields(Program):
        assert getattr(a, f.name) == getattr(b, f.name), f.name
    assert a.sha256 == b.sha256


@settings(deadline=None, max_examples=150)
@given(programs())
def test_text_of_any_program_assembles_to_it(program: Program) -> None:
    text = disassemble(program)
    assert_equal(assemble(text, load_chip=load), program)
    assert_equal(assemble(text), program)
    assert disassemble(assemble(text)) == text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_text_of_our_programs_assembles_to_them(path: Path) -> None:
    program = assemble(path.read_text(), str(path), load_chip=load)
    assert_equal(assemble(disassemble(program), load_chip=load), program)


@settings(deadline=None, max_examples=50)
@given(programs())
def test_any_program_has_a_listing(program: Program) -> None:
    listing = disassemble(program, listing=True)
    for section in program.sections:
        assert f"{section.name}  ({len(section)} words)" in listing


def test_listing() -> None:
    text = """\
        .chip lpu-tiny
        .tensor x, int8, [32], in, at=w0:0x10
        .queue mem.w0.read
        load: @3 read s0.e, 16
                 repeat 3, 2, 1
        .queue mem.e0.write
        @15 write 8, s0.e@load
    """
    program = assemble(text, "copy.s", load_chip=load)
    assert disassemble(program, listing=True) == (
        "lpu program for lpu-tiny: 2 sections, 5 words, 1 tensors\n"
        "\n"
        "mem.w0.read  (3 words)\n"
        "     0  @0       00000000000000000000000000000301  "
        "nop 3                                     copy.s:4\n"
        "load:\n"
        "     1  @3       00000000000000100000000000000010  "
        "read s0.e, 16                             copy.s:4\n"
        "     2  @3       00000000000000000000100020000302  "
        "repeat 3, 2, 1                            copy.s:5\n"
        "\n"
        "mem.e0.write  (2 words)\n"
        "     0  @0       00000000000000000000000000000f01  "
        "nop 15                                    copy.s:7\n"
        "     1  @15      00000000000000080000000000000012  "
        "write 8, s0.e@load                        copy.s:7\n"
    )


def test_words_that_are_no_instruction_stay_as_they_are() -> None:
    bad = (0xFF).to_bytes(16, "little")
    repeat = LPU.encode(LPU.make("repeat", n=1, d=1)).to_bytes(16, "little")
    program = Program("lpu", "", (Section("vxm.0", bad + repeat),))
    text = disassemble(program)
    assert ".insn 0x000000000000000000000000000000ff  # no lpu instruction has opcode 0xff" in text
    assert_equal(assemble(text), program)


def test_a_label_outside_the_program_is_an_error() -> None:
    program = Program("lpu", "", (Section("vxm.0", b""),), symbols={"x": ("vxm.0", 1)})
    with pytest.raises(ValueError, match=r"the symbol 'x' names word 1 of 'vxm\.0'"):
        disassemble(program)
    program = Program("lpu", "", (), expects={("vxm.0", 0, "a"): ((("vxm.9", 0),),)})
    with pytest.raises(ValueError, match=r"an expectation names word 0 of 'vxm\.9'"):
        disassemble(program)


@settings(deadline=None)
@given(instructions())
def test_any_word_can_be_explained(instruction) -> None:
    text = explain_word(LPU.encode(instruction))
    assert instruction.name in text
    for f in instruction.row.fields:
        assert f.name in text


def test_explanation_of_a_word() -> None:
    assert explain_word(0x3FC00000_00000000_C0406020) == (
        "0x000000003fc0000000000000c0406020   add.fp32 s0.w, s0.e, 1.5\n"
        "   95.. 64  0x3fc00000              imm      1.5\n"
        "   43.. 40  0x0                     type     fp32\n"
        "   31.. 24  0xc0                    b        1.5\n"
        "   23.. 16  0x40                    a        s0.e\n"
        "   15..  8  0x60                    dst      s0.w\n"
        "    7..  0  0x20                    opcode   add, vxm queues, latency vxm.add\n"
        "  dst = a + b; int32 wraps, fp32 rounds to nearest even."
    )
    with pytest.raises(DecodeError):
        explain_word(0)


def test_chip_is_the_one_the_strategies_use() -> None:
    assert tiny().name == "lpu-tiny"
