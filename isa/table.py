"""The table mechanism: one `Row` per instruction, everything else derived from it.

An `InstructionSet` encodes, decodes, parses and prints `Instruction` objects by their rows. It
serves every machine class; the rows are in `isa.lpu` (and, per class, beside it).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from isa.fields import (
    WORD_BITS,
    Alu,
    Field,
    FieldError,
    FlagField,
    Imm,
    ImmediateField,
    IntField,
    OperandField,
    Stream,
    imm_bits,
    imm_value,
)

OPCODE = IntField(name="opcode", lo=0, width=8, role="hidden")

# Streams that one vector of a type takes; a mask or an 8-bit code is one byte per lane.
BYTES_OF = {
    "fp32": 4, "int32": 4, "fp16": 2, "bf16": 2, "uint16": 2, "int8": 1, "uint8": 1, "e4m3": 1,
    "e5m2": 1, "mxfp8": 1, "mxfp4": 1, "e2m1": 1, "e2m3": 1, "e3m2": 1, "e8m0": 1, "hif8": 1,
    "int4": 1,
}  # fmt: skip


class DecodeError(ValueError):
    """A word that is no instruction; the message names what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One instruction.

    `unit` is the kind of queue it runs on (``*`` = every queue); `timing` the key of its latency
    in the chip file's ``[latency]`` table ("" where it has none); `semantics` names the engine's
    function; `strided` the operand that ``repeat`` advances; `type_field` the suffix that gives the
    immediate its type.
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

    def row(self, mnemonic: str) -> Row:
        """The row of a mnemonic; `KeyError` with a suggestion where there is none."""
        if mnemonic in self.by_name:
            return self.by_name[mnemonic]
        near = difflib.get_close_matches(mnemonic, self.by_name, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise KeyError(f"unknown instruction '{mnemonic}'{hint}")

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
        used = {
            imm_bits(v.value, str(instruction[instruction.row.type_field]))
            for v in instruction.values.values()
            if isinstance(v, Imm)
        }
        if len(used) > 1:
            raise FieldError("a word holds one immediate; both numbers must be the same")
        return used.pop() if used else 0

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
        reads, writes = [], []
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
            align = 16 if use.count > 4 else use.count
            if use.first.index % align:
                raise FieldError(
                    f"{use.operand} takes {use.count} streams and starts at a multiple of"
                    f" {align}, not at s{use.first.index}"
                )

    # ---- text ------------------------------------------------------------------------------

    def print(self, instruction: Instruction) -> str:
        """Assembly text of one instruction. Inverse of `parse`."""
        row = instruction.row
        head = row.name + "".join(f".{f.print(instruction[f.name])}" for f in row.suffixes)
        parts = []
        given = [f for f in row.positionals if not f.optional or instruction[f.name] != f.default]
        # An optional operand may be left out only where no positional one follows.
        last = row.positionals.index(given[-1]) if given else -1
        needed = set(row.positionals[: last + 1])
        for f in row.fields:
            value = instruction[f.name]
            if f.role in ("suffix", "hidden"):
                continue
            if f not in needed and f.optional and value == f.default:
                continue
            text = f.print(value)
            parts.append(f"{f.name}={text}" if f.role == "key" else text)
        return f"{head} {', '.join(parts)}".rstrip()

    def parse(self, mnemonic: str, operands: Sequence[str]) -> Instruction:
        """An instruction from its mnemonic (with suffixes) and operand texts.

        Raises `KeyError` (unknown mnemonic) or `OperandError` naming the operand at fault.
        """
        name, *suffixes = mnemonic.split(".")
        row = self.row(name)
        values: dict[str, Any] = {}
        if len(suffixes) != len(row.suffixes):
            wanted = name + "".join(f.syntax() for f in row.suffixes)
            raise OperandError(f"write it as '{wanted}'", None)
        for f, text in zip(row.suffixes, suffixes, strict=True):
            try:
                values[f.name] = f.parse(text)
            except FieldError as error:
                raise OperandError(str(error), None) from None
        self._parse_operands(row, operands, values)
        instruction = Instruction(row, values)
        try:
            self.encode(instruction)
        except FieldError as error:
            raise OperandError(str(error), _blamed(row, operands, str(error))) from None
        return instruction

    def _parse_operands(self, row: Row, operands: Sequence[str], values: dict[str, Any]) -> None:
        waiting = list(row.positionals)
        flags = {f.name: f for f in row.fields if isinstance(f, FlagField)}
        keys = {f.name: f for f in row.fields if f.role == "key"}
        for i, text in enumerate(operands):
            key, equals, rest = text.partition("=")
            if text in flags:
                f, body = flags[text], text
            elif equals and key.strip() in keys:
                f, body = keys[key.strip()], rest.strip()
            elif equals:
                near = difflib.get_close_matches(key.strip(), keys, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise OperandError(f"{row.name} has no operand '{key.strip()}'{hint}", i)
            elif waiting:
                f, body = waiting.pop(0), text
            else:
                raise OperandError(f"too many operands; the form is '{row.syntax}'", i)
            if f.name in values:
                raise OperandError(f"{f.name} is given twice", i)
            try:
                values[f.name] = f.parse(body)
            except FieldError as error:
                near = difflib.get_close_matches(text, flags, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise OperandError(f"{error}{hint}", i) from None
        missing = [f.name for f in waiting if not f.optional]
        missing += [n for n, f in keys.items() if n not in values and not f.optional]
        if missing:
            raise OperandError(f"{', '.join(missing)} is missing; the form is '{row.syntax}'", None)


class OperandError(ValueError):
    """A wrong operand; `index` is its position in the operand list, None for the mnemonic."""

    def __init__(self, message: str, index: int | None) -> None:
        super().__init__(message)
        self.index = index


def _blamed(row: Row, operands: Sequence[str], message: str) -> int | None:
    """The operand whose field the message starts with, for the caret."""
    position = 0
    for f in row.fields:
        if f.role != "positional":
            continue
        if message.startswith(f.name + " ") and position < len(operands):
            return position
        position += 1
    for i, text in enumerate(operands):
        if message.startswith(text.partition("=")[0].strip() + " "):
            return i
    return None


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
    "OperandError", "Row", "Stream", "StreamUse", "stream_count",
]  # fmt: skip
