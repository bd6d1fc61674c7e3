"""The table mechanism: one `Row` per instruction, everything else derived from it.

An `InstructionSet` encodes, decodes, parses and prints `Instruction` objects by their rows. It
serves every machine class; the rows are in `isa.lpu` (and, per class, beside it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from isa.fields import (
    WORD_BITS,
    Alu,
    Evaluate,
    Field,
    FieldError,
    Imm,
    ImmediateField,
    IntField,
    OperandField,
    Stream,
    imm_bits,
    imm_value,
    literal,
    near,
)
from isa.operands import OperandError, bind_operands, blame, suffix_values

OPCODE = IntField(name="opcode", lo=0, width=8, role="hidden")

# Streams that one vector of a type takes; a mask or an 8-bit code is one byte per lane.
BYTES_OF = {
    "fp32": 4, "int32": 4, "fp16": 2, "bf16": 2, "uint16": 2, "int8": 1, "uint8": 1, "e4m3": 1,
    "e5m2": 1, "mxfp8": 1, "mxfp4": 1, "e2m1": 1, "e2m3": 1, "e3m2": 1, "e8m0": 1, "hif8": 1,
    "int4": 1, "int16": 2, "uint32": 4,
}  # fmt: skip


class DecodeError(ValueError):
    """A word that is no instruction; the message names what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One instruction.

    `unit` is the kind of queue it runs on (``*`` = every queue); `timing` the key of its latency
    in the chip file's ``[latency]`` table ("" where it has none); `semantics` names the engine's
    function; `strided` the operand that ``repeat`` advances; `type_field` the suffix that gives the
    immediate its type. `pipe` is where a multi-pipe core executes it ("" on other machines;
    ``@suffix``: the pipe that this suffix names). Text may also spell the mnemonic as one of
    `aliases`, which may be another row's name as long as the suffixes tell the two apart.
    """

    name: str
    code: int
    unit: str
    fields: tuple[Field, ...] = ()
    timing: str = ""
    semantics: str = ""
    strided: str = ""
    type_field: str = ""
    doc: str = ""
    aliases: tuple[str, ...] = ()
    pipe: str = ""

    @cached_property
    def by_name(self) -> dict[str, Field]:
        return {f.name: f for f in self.fields}

    @cached_property
    def suffixes(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.role == "suffix")

    @cached_property
    def positionals(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.role == "positional")

    @cached_property
    def used_bits(self) -> int:
        used = OPCODE.mask
        for f in self.fields:
            used |= f.mask
        return used

    @property
    def syntax(self) -> str:
        """The instruction as the manual writes it: ``mm.type a, row[, start][, emit][, r]``."""
        head = self.name + "".join(f.syntax() for f in self.suffixes)
        shown = [f for f in self.fields if f.role in ("positional", "key", "flag")]
        parts = [f"[{f.syntax()}]" if f.optional else f.syntax() for f in shown]
        return f"{head} {', '.join(parts)}".rstrip()


@dataclass(frozen=True)
class Instruction:
    """A row with values; `values` holds every field of the row that is not at its default."""

    row: Row
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.row.name

    def __getitem__(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        return self.row.by_name[name].default

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Instruction)
            and self.row.name == other.row.name
            and all(self[f.name] == other[f.name] for f in self.row.fields)
        )

    def __hash__(self) -> int:
        return hash((self.row.name, tuple(self[f.name] for f in self.row.fields)))


@dataclass(frozen=True)
class StreamUse:
    """`count` streams from `first` that an operand reads or drives."""

    operand: str
    first: Stream
    count: int


class InstructionSet:
    """The rows of one machine class."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self.name = name
        self.rows = tuple(rows)
        self.by_name = {row.name: row for row in rows}
        self.by_code = {row.code: row for row in rows}
        if len(self.by_name) != len(rows) or len(self.by_code) != len(rows):
            raise ValueError(f"{name}: two rows share a mnemonic or an opcode")
        self.spellings: dict[str, list[Row]] = {}
        for row in rows:
            for spelling in (row.name, *row.aliases):
                self.spellings.setdefault(spelling, []).append(row)

    def row(self, mnemonic: str) -> Row:
        """The row of a mnemonic; `KeyError` with a suggestion where there is none."""
        if mnemonic in self.by_name:
            return self.by_name[mnemonic]
        hint = near(mnemonic, self.spellings)
        raise KeyError(f"unknown instruction '{mnemonic}'" + (f"; {hint}" if hint else ""))

    def make(self, mnemonic: str, **values: Any) -> Instruction:
        """An instruction from field values, checked by encoding it once.

        >>> from isa.lpu import LPU
        >>> LPU.print(LPU.make("read", dst=Stream(3, "e"), addr=16))
        'read s3.e, 16'
        """
        row = self.row(mnemonic)
        unknown = set(values) - set(row.by_name)
        if unknown:
            raise FieldError(f"{mnemonic} has no operand {', '.join(sorted(unknown))}")
        for f in row.suffixes:
            if f.name in values:
                values[f.name] = f.parse(str(values[f.name]))  # f32 is short for fp32
        instruction = Instruction(row, values)
        self.encode(instruction)
        return instruction

    def encode(self, instruction: Instruction) -> int:
        """The instruction as a 128-bit integer."""
        row = instruction.row
        word = row.code
        for f in row.fields:
            if isinstance(f, ImmediateField):
                word |= self._immediate(instruction) << f.lo
                continue
            value = instruction[f.name]
            if value is None and not f.optional and not isinstance(f, OperandField):
                raise FieldError(f"{row.name} needs {f.name}")
            word |= f.insert(value)
        self._check_streams(instruction)
        return word

    def _immediate(self, instruction: Instruction) -> int:
        used: int | None = None
        for name, value in instruction.values.items():
            if not isinstance(value, Imm):
                continue
            try:
                bits = imm_bits(value.value, str(instruction[instruction.row.type_field]))
            except FieldError as error:
                raise FieldError(str(error), field=name) from None
            if used not in (None, bits):
                message = "a word holds one immediate; both numbers must be the same"
                raise FieldError(message, field=name)
            used = bits
        return used or 0

    def decode(self, word: int) -> Instruction:
        """The instruction of a 128-bit integer, or `DecodeError`. Inverse of `encode`."""
        if not 0 <= word < 1 << WORD_BITS:
            raise DecodeError("an instruction word has 128 bits")
        row = self.by_code.get(word & 0xFF)
        if row is None:
            raise DecodeError(f"no {self.name} instruction has opcode {word & 0xFF:#04x}")
        if word & ~row.used_bits:
            raise DecodeError(f"reserved bits of {row.name} are set: {word & ~row.used_bits:#x}")
        values: dict[str, Any] = {}
        try:
            for f in row.fields:
                if not isinstance(f, ImmediateField):
                    values[f.name] = f.extract(word)
            for f in row.fields:
                if isinstance(f, ImmediateField):
                    self._decode_immediate(row, values, f.extract(word))
            instruction = Instruction(row, values)
            self._check_streams(instruction)
        except FieldError as error:
            raise DecodeError(f"{row.name}: {error}") from None
        return instruction

    @staticmethod
    def _decode_immediate(row: Row, values: dict[str, Any], bits: int) -> None:
        number = imm_value(bits, str(values[row.type_field]))
        used = False
        for name, value in values.items():
            if isinstance(value, Imm):
                values[name] = Imm(number)
                used = True
        if bits and not used:
            raise FieldError("immediate bits are set but no operand is an immediate")

    # ---- streams ---------------------------------------------------------------------------

    def stream_uses(self, instruction: Instruction) -> tuple[list[StreamUse], list[StreamUse]]:
        """The stream groups an instruction reads and those it drives, in operand order."""
        reads: list[StreamUse] = []
        writes: list[StreamUse] = []
        for f in instruction.row.fields:
            rule = f.reads or f.writes
            value = instruction[f.name]
            if not rule or not isinstance(value, Stream):
                continue
            use = StreamUse(f.name, value, stream_count(rule, instruction))
            (reads if f.reads else writes).append(use)
        return reads, writes

    def _check_streams(self, instruction: Instruction) -> None:
        reads, writes = self.stream_uses(instruction)
        for use in reads + writes:
            check_alignment(use.operand, use.first, use.count)

    # ---- text ------------------------------------------------------------------------------

    def print(self, instruction: Instruction) -> str:
        """Assembly text of one instruction. Inverse of `parse`."""
        head, operands = self.texts(instruction)
        return f"{head} {', '.join(text for _, text in operands)}".rstrip()

    def texts(self, instruction: Instruction) -> tuple[str, list[tuple[str, str]]]:
        """The mnemonic with its suffixes, and each operand as (field name, text)."""
        row = instruction.row
        head = row.name + "".join(f".{f.print(instruction[f.name])}" for f in row.suffixes)
        given = [f for f in row.positionals if not f.optional or instruction[f.name] != f.default]
        # An optional operand may be left out only where no positional one follows.
        last = row.positionals.index(given[-1]) if given else -1
        needed = {f.name for f in row.positionals[: last + 1]}
        parts = []
        for f in row.fields:
            value = instruction[f.name]
            if f.role in ("suffix", "hidden"):
                continue
            if f.name not in needed and f.optional and value == f.default:
                continue
            text = f.print(value)
            parts.append((f.name, f"{f.name}={text}" if f.role == "key" else text))
        return head, parts

    def parse(
        self, mnemonic: str, operands: Sequence[str], evaluate: Evaluate = literal
    ) -> Instruction:
        """An instruction from its mnemonic (with suffixes) and operand texts.

        Raises `KeyError` (unknown mnemonic) or `OperandError` naming the operand at fault.
        """
        return self.bind(mnemonic, operands, evaluate)[0]

    def bind(
        self, mnemonic: str, operands: Sequence[str], evaluate: Evaluate = literal
    ) -> tuple[Instruction, tuple[Field, ...]]:
        """As `parse`, with the field that each operand text belongs to."""
        name, *suffixes = mnemonic.split(".")
        row, values = self.suffixed(name, suffixes)
        bound = bind_operands(row, operands, values, evaluate)
        instruction = Instruction(row, values)
        try:
            self.encode(instruction)
        except FieldError as error:
            raise blame(bound, values, error) from None
        return instruction, bound

    def suffixed(self, name: str, suffixes: Sequence[str]) -> tuple[Row, dict[str, Any]]:
        """The row that a spelling and its suffixes mean, and the suffixes' values."""
        rows = self.spellings.get(name) or [self.row(name)]
        for row in rows[:-1]:
            try:
                return row, suffix_values(row, name, suffixes)
            except OperandError:
                continue
        try:
            return rows[-1], suffix_values(rows[-1], name, suffixes)
        except OperandError:
            # Nothing fits: the complaint of the row that bears this name is the useful one.
            return rows[0], suffix_values(rows[0], name, suffixes)


def check_alignment(operand: str, first: Stream, count: int) -> None:
    """Refuse a group of streams that does not start at a multiple of its size."""
    align = 16 if count > 4 else count
    if first.index % align:
        message = f"{operand} takes {count} streams and starts at a multiple of {align}"
        raise FieldError(f"{message}, not at s{first.index}", field=operand)


def stream_count(rule: str, instruction: Instruction) -> int:
    """How many streams an operand takes.

    A rule is a number, ``@field`` (the bytes of the type in that suffix, or the suffix itself where
    it is a number), or ``@field+scale`` (one more stream where the type has block scales).
    """
    if rule.isdigit():
        return int(rule)
    name, _, extra = rule[1:].partition("+")
    value = str(instruction[name])
    count = int(value) if value.isdigit() else BYTES_OF[value]
    return count + (extra == "scale" and value.startswith("mx"))


__all__ = [
    "BYTES_OF", "OPCODE", "Alu", "DecodeError", "Imm", "Instruction", "InstructionSet",
    "OperandError", "Row", "Stream", "StreamUse", "check_alignment", "stream_count",
]  # fmt: skip
