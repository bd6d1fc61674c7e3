"""The instruction table: encodings, texts, and that the one is the inverse of the other."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isa.fields import FieldError, Imm, Stream
from isa.lpu import LPU
from isa.operands import OperandError
from isa.table import OPCODE, DecodeError, Instruction, Row
from tests.isa.isa_strategies import instructions

SLOW = settings(deadline=None, max_examples=25)


def _same(a: Instruction, b: Instruction) -> bool:
    """Equal, where a NaN equals a NaN."""
    return a == b or (a.row == b.row and LPU.encode(a) == LPU.encode(b))


@pytest.mark.parametrize("row", LPU.rows, ids=lambda row: row.name)
def test_fields_of_a_row_do_not_overlap(row: Row) -> None:
    used = OPCODE.mask
    for f in row.fields:
        assert f.width > 0
        assert f.lo + f.width <= 128
        assert not used & f.mask, f"{row.name}.{f.name} overlaps another field"
        used |= f.mask


def test_opcodes_differ() -> None:
    codes = [row.code for row in LPU.rows]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 256 for code in codes)


@pytest.mark.parametrize("row", LPU.rows, ids=lambda row: row.name)
@SLOW
@given(data=st.data())
def test_encode_and_print_have_inverses(row: Row, data: st.DataObject) -> None:
    instruction = data.draw(instructions((row,)))
    word = LPU.encode(instruction)
    assert _same(LPU.decode(word), instruction)
    text = LPU.print(instruction)
    mnemonic, _, operands = text.partition(" ")
    pieces = operands.split(", ") if operands else []
    if "[" in operands:  # the entries of distribute hold commas of their own
        head, _, entries = operands.partition("[")
        pieces = [*head.rstrip(", ").split(", "), "[" + entries]
    assert _same(LPU.parse(mnemonic, pieces), instruction), text
    assert LPU.encode(LPU.parse(mnemonic, pieces)) == word


@settings(deadline=None, max_examples=300)
@given(st.integers(0, (1 << 128) - 1), st.sampled_from([0, *(row.code for row in LPU.rows)]))
@example(0, 0)
@example((1 << 128) - 1, 0x20)
def test_every_word_is_an_instruction_or_an_error(bits: int, code: int) -> None:
    word = bits >> 8 << 8 | code if code else bits
    try:
        instruction = LPU.decode(word)
    except DecodeError:
        return
    assert LPU.encode(instruction) == word


@SLOW
@given(instructions(), st.integers(0, 127))
def test_a_flipped_bit_is_an_instruction_or_an_error(instruction: Instruction, bit: int) -> None:
    word = LPU.encode(instruction) ^ 1 << bit
    try:
        again = LPU.decode(word)
    except DecodeError:
        return
    assert LPU.encode(again) == word


@pytest.mark.parametrize("word", [-1, 1 << 128])
def test_a_word_has_128_bits(word: int) -> None:
    with pytest.raises(DecodeError, match="128 bits"):
        LPU.decode(word)


def test_rows_are_complete() -> None:
    for row in LPU.rows:
        assert row.doc.endswith("."), row.name
        assert row.semantics, row.name
        assert row.strided in ("", *row.by_name), row.name
        assert row.type_field in ("", *row.by_name), row.name


def test_two_machines_words_share_a_mnemonic() -> None:
    """DESIGN calls an instruction of both the SXM and the VXM ``select``."""
    operands = ["s0.e", "s4.e", "s8.e", "s12.e"]
    assert LPU.parse("select.4", operands).name == "choose"
    assert LPU.parse("select.fp32", operands).name == "select"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ad.fp32 s0.e, s4.e, s8.e", "did you mean 'add'"),
        ("add s0.e, s4.e, s8.e", "write it as 'add.type'; type is one of fp32, int32"),
        ("add.fp16 s0.e, s4.e, s8.e", "type is one of fp32, int32, not 'fp16'"),
        ("add.fp32.x s0.e, s4.e, s8.e", "without '.x'"),
        ("add.fp32 s0.e, s4.e", "b is missing; the form is 'add.type dst, a, b'"),
        ("add.fp32 s0.e, s4.e, 1, 2", "too many operands"),
        ("add.fp32 s2.e, s4.e, 1", "dst takes 4 streams and starts at a multiple of 4"),
        ("add.fp32 s0.e, 1, 2", "a word holds one immediate"),
        ("add.int32 s0.e, s4.e, 1.5", "is an integer, not 1.5"),
        ("read s32.e, 0", "no stream register s32; they are s0 to s31"),
        ("read s0.e, 1048576", "addr is 0 to 1048575, not 1048576"),
        ("read s0.e, 1, addr=2", "read has no operand 'addr'"),
        ("lw.int8 s0.e, rows=0, lanes=1", "rows is 1 to 4095, not 0"),
        ("lw.int8 s0.e, row=1, lanes=1", "lw has no operand 'row'"),
        ("lw.int8 s0.e, rows=1, rows=1, lanes=1", "rows is given twice"),
        ("shift.3 s0.e, s1.e, 1", "width is one of 1, 2, 4, not '3'"),
    ],
)
def test_wrong_operands_are_named(text: str, message: str) -> None:
    mnemonic, _, operands = text.partition(" ")
    with pytest.raises((KeyError, OperandError)) as caught:
        LPU.parse(mnemonic, operands.split(", "))
    assert message in str(caught.value)


def test_make_checks_its_values() -> None:
    with pytest.raises(FieldError, match="has no operand"):
        LPU.make("read", dst=Stream(0, "e"), address=1)
    with pytest.raises(FieldError, match="needs addr"):
        LPU.make("read", dst=Stream(0, "e"))
    made = LPU.make("add", type="f32", dst=None, a=Imm(1.5), b=Stream(4, "w"))
    assert LPU.print(made) == "add.fp32 _, 1.5, s4.w"
    assert LPU.print(LPU.decode(LPU.encode(made))) == "add.fp32 _, 1.5, s4.w"
