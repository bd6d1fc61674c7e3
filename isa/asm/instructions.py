"""Instruction texts to words, with all the care that errors need; see `isa.asm._reader` too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from isa.asm.source import Fault, Piece, split
from isa.asm.state import Section
from isa.fields import WORD_BYTES, Stream, near
from isa.forms import form
from isa.operands import OperandError
from isa.table import stream_count

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

# Of an instruction: word, hold and span (see `Target.timing`), and what operands expect, each as
# (name of the operand, streams that it reads, text, offset in the line).
Encoded = tuple[bytes, int, int, list[tuple[str, int, str, int]]]

_MNEMONIC = re.compile(r"\S+")


def encode(asm: Assembler, section: Section, text: str, at: int) -> Encoded:
    """Parse an instruction that begins at offset `at` of its line; `Fault` says what is wrong."""
    match = _MNEMONIC.match(text)
    mnemonic = Piece(match[0] if match else text, at)
    operands = split(text[len(mnemonic.text) :], at + len(mnemonic.text))
    bodies, wants = [], []
    for i, operand in enumerate(operands):
        body, sign, want = operand.text.partition("@")
        bodies.append(Piece(body.rstrip(), operand.at))
        if sign:
            indent = len(want) - len(want.lstrip())
            wants.append((i, want.strip(), operand.at + len(body) + 1 + indent))
    isa = asm.target.isa
    texts = [body.text for body in bodies]
    try:
        instruction, fields = isa.bind(mnemonic.text, texts, asm.scope.evaluate)
    except KeyError:
        raise _unknown(asm, mnemonic) from None
    except OperandError as error:
        raise _operand_fault(error, mnemonic, bodies) from None
    if section.kind and not asm.target.holds(section.kind, instruction.row):
        unit = instruction.row.unit
        message = f"{instruction.name} runs on {unit}; {section.name} is {section.kind}"
        raise mnemonic.fault(message, "A031")
    expected = []
    for i, want, want_at in wants:
        f = fields[i]
        if not f.reads or not isinstance(instruction[f.name], Stream):
            message = f"{f.name} reads no stream here, so nothing can be expected of it"
            raise Piece(want, want_at).fault(message, "A022")
        expected.append((f.name, stream_count(f.reads, instruction), want, want_at))
    word = isa.encode(instruction).to_bytes(WORD_BYTES, "little")
    hold, span = asm.target.timing(instruction)
    return word, hold, span, expected


def learn(asm: Assembler, section: Section, text: str) -> None:
    """Let the reader know the mnemonic of an instruction, if it is one and may stand here."""
    match = _MNEMONIC.match(text)
    mnemonic = match[0] if match else ""
    if mnemonic in section.patterns:
        return
    try:
        found = form(asm.target.isa, mnemonic)
    except (KeyError, OperandError):
        return
    if section.kind and not asm.target.holds(section.kind, found.row):
        return
    varying = found.row.name in asm.target.varying
    hold, span = (0, 0) if varying else asm.target.timing(found.head)
    section.learn(mnemonic, found, hold, span, varying)


def _unknown(asm: Assembler, mnemonic: Piece) -> Fault:
    name, dot, suffix = mnemonic.text.partition(".")
    hint = near(name, [*asm.target.isa.spellings, *asm.macros])
    if hint and dot:
        hint = hint.replace("'?", f".{suffix}'?")
    return mnemonic.fault(f"unknown instruction '{name}'", "A001", hint=hint)


def _operand_fault(error: OperandError, mnemonic: Piece, operands: list[Piece]) -> Fault:
    """A table's error on the part of the line that it is about."""
    if error.index is not None:
        piece = operands[error.index]
        if error.span is not None:
            start, end = piece.at + error.span[0], piece.at + error.span[1]
        else:
            start, end = piece.at, piece.end
        return Fault(str(error), error.code, start, end, hint=error.hint)
    if error.suffix is not None:
        parts = mnemonic.text.split(".")
        start = mnemonic.at + sum(len(part) + 1 for part in parts[: error.suffix + 1])
        mnemonic = Piece(parts[error.suffix + 1], start)
    return mnemonic.fault(str(error), error.code, hint=error.hint)
