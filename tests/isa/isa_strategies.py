"""Hypothesis strategies made from the instruction table: there is no second list of mnemonics."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from hypothesis import strategies as st

from emulator.lpu.chip import LpuChip, load
from isa.fields import (
    Alu,
    EntriesField,
    EnumField,
    Field,
    FlagField,
    Imm,
    ImmediateField,
    IntField,
    OperandField,
    OptionalStreamField,
    Stream,
    StreamField,
)
from isa.lpu import LPU
from isa.program import ROLES, Digit, Layout, Program, Section, Tensor
from isa.table import BYTES_OF, Instruction, InstructionSet, Row, stream_count


@cache
def tiny() -> LpuChip:
    return load("lpu-tiny")


def _stream(count: int) -> st.SearchStrategy[Stream]:
    align = 16 if count > 4 else count
    return st.builds(
        Stream, st.integers(0, 31 // align).map(lambda i: i * align), st.sampled_from("ew")
    )


def _immediates(dtype: str) -> st.SearchStrategy[Imm]:
    if dtype == "fp32":
        # Numbers that fp32 holds, so that what is printed is what was put in.
        exact = st.floats(width=32).map(lambda x: struct.unpack("<f", struct.pack("<f", x))[0])
        return exact.map(lambda x: Imm(float("nan") if x != x else x))
    return st.integers(-(1 << 31), (1 << 31) - 1).map(Imm)


@st.composite
def instructions(draw: st.DrawFn, rows: tuple[Row, ...] = LPU.rows) -> Instruction:
    """Any instruction of the given rows, with any operands."""
    row = draw(st.sampled_from(rows))
    values: dict[str, Any] = {
        f.name: draw(st.sampled_from(sorted(f.choices)))
        for f in row.fields
        if isinstance(f, EnumField)
    }
    typed = Instruction(row, values)
    immediate = draw(_immediates(values.get(row.type_field, ""))) if row.type_field else None
    for f in row.fields:
        if not isinstance(f, (EnumField, ImmediateField)):
            values[f.name] = draw(_value(f, typed, immediate))
    return Instruction(row, values)


def _value(f: Field, typed: Instruction, immediate: Imm | None) -> st.SearchStrategy[Any]:
    rule = f.reads or f.writes
    streams = _stream(stream_count(rule, typed)) if rule else st.nothing()
    match f:
        case IntField():
            return st.integers(*f.bounds)
        case FlagField():
            return st.booleans()
        case EntriesField():
            return st.lists(st.integers(0, f.most), min_size=f.count, max_size=f.count).map(tuple)
        case OptionalStreamField():
            return st.none() | streams
        case StreamField():
            return streams
        case OperandField() if f.destination:
            return st.none() | streams
        case OperandField():
            return streams | st.builds(Alu, st.integers(0, 63)) | st.just(immediate)
    raise AssertionError(f"no strategy for {type(f).__name__}")


def rows_for(unit: str, isa: InstructionSet = LPU) -> tuple[Row, ...]:
    return tuple(row for row in isa.rows if row.unit in ("*", unit))


# ---- programs ------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,6}", fullmatch=True) | st.sampled_from(
    [".L0", ".L1", "odd name", "a@b", "q'\"", "#x", "s0.e", "ä"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], element_bytes: int) -> Layout:
    """A place on lpu-tiny that the shape fits in."""
    digits = []
    reach = 0
    for axis, size in enumerate(shape):
        if draw(st.booleans()):
            div = draw(st.integers(1, size))
            mod = draw(st.integers(1, -(-size // div)))
            step = draw(st.integers(0, 1))
            reach += step * (mod - 1)
            digits.append(Digit(axis, div, mod, slice=step, addr=draw(st.integers(0, 20))))
    need = reach + element_bytes
    every = tiny().slice_names
    slices = tuple(draw(st.sampled_from(every)) for _ in range(need))
    axis = draw(st.none() | st.integers(0, len(shape) - 1)) if shape else None
    return Layout(
        slices=slices,
        base=draw(st.integers(0, 100)),
        digits=tuple(digits),
        lane_axis=axis,
        lane_div=draw(st.integers(1, 3)),
        lane_mod=draw(st.integers(1, 8)),
        lane_repeat=draw(st.integers(1, 4)),
        plane=1,
    )


@st.composite
def tensors(draw: st.DrawFn, name: str) -> Tensor:
    dtype = draw(st.sampled_from(sorted(BYTES_OF)))
    shape = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    role = draw(st.sampled_from(ROLES))
    size = BYTES_OF[dtype]
    count = size
    for n in shape:
        count *= n
    data = draw(st.binary(min_size=count, max_size=count)) if role == "const" else None
    places = draw(st.lists(layouts(shape, size), min_size=1, max_size=2))
    return Tensor(name, dtype, shape, role, tuple(places), draw(st.integers(0, 255)), data)


@st.composite
def sections(draw: st.DrawFn, queue: str) -> Section:
    """Words that fit the queue; a repeat only where there is something to repeat."""
    rows = rows_for(tiny().queue_unit(queue))
    words = []
    repeatable = False
    for instruction in draw(st.lists(instructions(rows), max_size=6)):
        if instruction.name == "repeat" and not repeatable:
            continue
        repeatable = instruction.name not in ("repeat", "sync")
        words.append(LPU.encode(instruction).to_bytes(16, "little"))
    return Section(queue, b"".join(words), tuple((0, i + 1) for i in range(len(words))))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any program for lpu-tiny: legal to the assembler, nonsense to the machine."""
    chip = tiny()
    queues = draw(st.lists(st.sampled_from(chip.queues), max_size=4, unique=True))
    made = tuple(draw(sections(queue)) for queue in queues)
    places = [(s.name, i) for s in made for i in range(len(s) + 1)]
    producers = st.lists(st.sampled_from(places), max_size=2, unique=True).map(tuple)
    expects = {}
    for section in made:
        for i, word in enumerate(section):
            for use in LPU.stream_uses(LPU.decode(word))[0]:
                if draw(st.booleans()):
                    streams = st.lists(producers, min_size=use.count, max_size=use.count)
                    expects[section.name, i, use.operand] = tuple(draw(streams))
    symbols = draw(st.dictionaries(names, st.sampled_from(places), max_size=4)) if places else {}
    tensor_names = draw(st.lists(names, max_size=3, unique=True))
    return Program(
        isa="lpu",
        chip="lpu-tiny",
        sections=made,
        tensors=tuple(draw(tensors(name)) for name in tensor_names),
        expects=expects,
        symbols=symbols,
        files=("random.s",),
        meta=draw(st.dictionaries(st.text(min_size=1, max_size=5), json_values, max_size=3)),
    )
