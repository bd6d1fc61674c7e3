"""The NPU's rows: encode and decode, print and parse are inverse, for every row and value."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.fields import EnumField, Field, FieldError, FlagField, IntField, imm_bits, imm_value
from isa.npu import FUNCTION_KINDS, NPU, SECTION_UNITS, section_holds, section_kind
from isa.npu_fields import (
    COUNTS,
    Guard,
    GuardField,
    MaybeRegField,
    Reg,
    RegField,
    ValueField,
)  # fmt: skip
from isa.operands import OperandError
from isa.table import DecodeError, Instruction, Row


def short(number: float) -> float:
    """The shortest text of a float32, which is what decoding gives back."""
    return float(imm_value(imm_bits(number, "fp32"), "fp32"))


def values(f: Field) -> st.SearchStrategy[Any]:
    """Every legal value of a field, derived from its declaration."""
    match f:
        case IntField():
            return st.integers(*f.bounds)
        case EnumField():
            return st.sampled_from(sorted(f.choices))
        case FlagField():
            return st.booleans()
        case RegField():
            return st.builds(Reg, st.just(f.file), st.integers(0, COUNTS[f.file] - 1))
        case MaybeRegField():
            some = st.builds(Reg, st.just(f.file), st.integers(0, COUNTS[f.file] - 1))
            return st.none() | some
        case GuardField():
            return st.none() | st.builds(Guard, st.integers(0, COUNTS["q"] - 1), st.booleans())
        case ValueField():
            kinds: list[st.SearchStrategy[Any]] = [st.integers(*f.bounds)]
            for file in f.files:
                kinds.append(st.builds(Reg, st.just(file), st.integers(0, COUNTS[file] - 1)))
            if f.floats:
                kinds.append(st.floats(width=32, allow_nan=False).map(short))
            return st.one_of(kinds)
    raise AssertionError(f"no strategy for {f}")


def instructions(row: Row) -> st.SearchStrategy[Instruction]:
    fields = {f.name: values(f) for f in row.fields}
    return st.fixed_dictionaries(fields).map(lambda chosen: Instruction(row, chosen))


@pytest.mark.parametrize("row", NPU.rows, ids=lambda row: row.name)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_two_way(row: Row, data: st.DataObject) -> None:
    instruction = data.draw(instructions(row))
    word = NPU.encode(instruction)
    assert NPU.decode(word) == instruction
    assert NPU.encode(NPU.decode(word)) == word
    head, _, rest = NPU.print(instruction).partition(" ")
    operands = [part.strip() for part in rest.split(",")] if rest else []
    assert NPU.encode(NPU.parse(head, operands)) == word


@settings(max_examples=300, deadline=None)
@given(st.integers(0, (1 << 128) - 1))
def test_every_word_is_an_instruction_or_a_named_error(word: int) -> None:
    with contextlib.suppress(DecodeError):
        assert NPU.encode(NPU.decode(word)) == word


@pytest.mark.parametrize("row", NPU.rows, ids=lambda row: row.name)
@settings(max_examples=8, deadline=None)
@given(bits=st.integers(0, (1 << 120) - 1))
def test_any_bits_behind_a_known_opcode(row: Row, bits: int) -> None:
    word = (bits << 8 | row.code) & row.used_bits
    try:
        instruction = NPU.decode(word)
    except DecodeError as error:
        problem = str(error)
    else:
        problem = row.name
        assert NPU.encode(instruction) == word
    assert problem.startswith(row.name)


@pytest.mark.parametrize("row", NPU.rows, ids=lambda row: row.name)
def test_fields_do_not_overlap(row: Row) -> None:
    used = 0xFF
    for f in row.fields:
        assert not used & f.mask, f.name
        used |= f.mask
    assert used < 1 << 128


def test_every_row_has_a_section_a_pipe_and_a_meaning() -> None:
    kinds = {unit for units in SECTION_UNITS.values() for unit in units}
    for row in NPU.rows:
        assert row.unit in kinds
        assert row.pipe
        assert row.doc
        assert row.timing
        assert row.semantics == row.name
        if row.pipe.startswith("@"):
            assert row.pipe[1:] in row.by_name


def test_sections() -> None:
    load, mmad, vadd, tadd = (NPU.row(name) for name in ("load", "mmad", "vadd", "tadd"))
    assert section_holds("core.cube", mmad)
    assert not section_holds("core.vector", mmad)
    assert section_holds("core.vector", load)
    assert section_holds("simd.f", vadd)
    assert section_holds("simd.f", NPU.row("add"))
    assert section_holds("simt.f", tadd)
    assert not section_holds("simt.f", NPU.row("add"))
    assert section_kind("core.scalar") == ""
    assert section_kind("simd.") == ""
    assert FUNCTION_KINDS == ("simd", "simt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("add x1, x32, 3", "no register x32"),
        ("add x1, v2, 3", "register such as x3"),
        ("set_flag.mte1.m 8", "0 to 7"),
        ("xset.m.grid 11", "0 to 10"),
        ("vcall 0, x1, 17", "0 to 16"),
        ("mmad.fp64 x1, x2, x3, x4, x5, x6", "type is one of"),
        ("vadd.fp32 v1, v2, p3", "not a number"),
        ("and x1, x2, 1.5", "an integer"),
        ("tadd.int32 r1, r2, r3, when=p1", "predicate"),
        ("load.l1.b16 x1, x2", "n is missing"),
    ],
)
def test_wrong_operands_say_what_is_right(text: str, message: str) -> None:
    head, _, rest = text.partition(" ")
    with pytest.raises(OperandError, match=message):
        NPU.parse(head, [part.strip() for part in rest.split(",")])


def test_near_names() -> None:
    with pytest.raises(KeyError, match="did you mean 'mmad'"):
        NPU.row("mmda")
    with pytest.raises(FieldError, match="has no operand"):
        NPU.make("end", n=3)
