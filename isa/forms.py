"""Forms: an instruction whose suffixes are chosen, so that each operand stands for itself.

``add.fp32`` is a form of ``add``. What an operand of a form may be and how many streams it takes
depends on the suffixes alone. So an operand, a `Place`, goes from a value to bits of the word and
back without a look at the others, and whoever reads or prints many instructions can keep what it
found out about a place. Operands share one thing, the word's immediate; see `Place.immediate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from isa.fields import (
    Evaluate,
    Field,
    FlagField,
    Imm,
    ImmediateField,
    IntField,
    Numbers,
    OperandField,
    Stream,
    imm_bits,
    imm_value,
)
from isa.table import Instruction, InstructionSet, Row, check_alignment, stream_count

INT32 = (-(1 << 31), (1 << 31) - 1)


class Place:
    """An operand of a form.

    `default` are the bits that it gives where it is left out; `streams` is how many streams it
    reads where it is one. Numbers that it takes, in bits of the whole word: `integers` as in
    `Numbers` with the tag in place and `lo` the lowest bit; `floats` the (tag, lowest bit) of
    float32s. `immediate` says that numbers go into the word's immediate, of which there is one.
    """

    def __init__(self, form: Form, f: Field) -> None:
        self.form = form
        self.field = f
        self.name = f.name
        self.flag = isinstance(f, FlagField)
        self.default = f.insert(f.default) if f.optional else 0
        self.streams = stream_count(f.reads, form.head) if f.reads else 0
        self.drives = stream_count(f.writes, form.head) if f.writes else 0
        self.immediate = isinstance(f, OperandField) and not f.destination
        self.expression = isinstance(f, IntField)  # whatever its text, it is an expression
        self.lo = f.lo
        self.integers: Numbers | None = f.numbers
        self.floats = None if f.float_tag is None else (f.float_tag << f.lo, f.lo)
        if self.immediate and form.immediate is not None:
            self.immediate_tag = f.encode(Imm(0))
            tag = self.immediate_tag << f.lo
            self.lo = form.immediate.lo
            if form.dtype == "fp32":
                self.floats = (tag, self.lo)
            else:
                self.integers = Numbers(*INT32, 32, tag)
        elif self.integers is not None:
            self.integers = self.integers._replace(tag=self.integers.tag << f.lo)

    def read(self, text: str, evaluate: Evaluate) -> tuple[int, int, bool]:
        """Bits, number of streams read, and whether the immediate is taken, of a text."""
        value = self.field.parse(text, evaluate)
        streams = self.streams if isinstance(value, Stream) else 0
        return self.bits(value), streams, isinstance(value, Imm)

    def bits(self, value: Any) -> int:
        """The bits of the word that a value sets; `FieldError` where it may not stand here."""
        if isinstance(value, Stream):
            check_alignment(self.name, value, self.streams or self.drives)
        bits = self.field.insert(value)
        if isinstance(value, Imm) and self.form.immediate is not None:
            bits |= imm_bits(value.value, self.form.dtype) << self.form.immediate.lo
        return bits

    def show(self, raw: int, immediate: int) -> tuple[str, bool]:
        """The operand's text, and whether it may be left out; `FieldError` for bits that are none.

        `raw` are its bits of the word, `immediate` those that its numbers have.
        """
        f = self.field
        value = f.decode(raw)
        if isinstance(value, Imm):
            value = Imm(imm_value(immediate, self.form.dtype))
        if isinstance(value, Stream):
            check_alignment(self.name, value, self.streams or self.drives)
        text = f.print(value)
        left_out = f.optional and value == f.default
        return f"{f.name}={text}" if f.role == "key" else text, left_out


class Form:
    """A row with its suffixes.

    `code` are the bits of opcode and suffixes; `places` its operands in the table's order;
    `positionals` those that stand in order, of which `least` must be there; `named` those that
    are known by their key or are a flag.
    """

    def __init__(self, row: Row, suffixes: Mapping[str, Any]) -> None:
        self.row = row
        self.head = Instruction(row, dict(suffixes))
        self.dtype = str(suffixes.get(row.type_field, ""))
        self.immediate = next((f for f in row.fields if isinstance(f, ImmediateField)), None)
        self.code = row.code
        for f in row.suffixes:
            self.code |= f.insert(suffixes[f.name])
        given = [f for f in row.fields if f.role in ("positional", "key", "flag")]
        self.places = tuple(Place(self, f) for f in given)
        self.positionals = tuple(p for p in self.places if p.field.role == "positional")
        self.named = {p.name: p for p in self.places if p.field.role != "positional"}
        must = [i for i, p in enumerate(self.positionals) if not p.field.optional]
        self.least = 1 + must[-1] if must else 0


@cache
def form(isa: InstructionSet, mnemonic: str) -> Form:
    """The form that a mnemonic with its suffixes names; `KeyError` or `OperandError` if none."""
    name, *suffixes = mnemonic.split(".")
    return Form(*isa.suffixed(name, suffixes))


def instruction_of(row: Row, word: int) -> Instruction:
    """The instruction of a word that is known to be one."""
    return Instruction(row, {f.name: f.extract(word) for f in row.fields})
