"""Expectations: ``s0.e@ld_a``, the instruction that an operand's value is meant to come from.

``x|y`` means either of two; ``(a, b, c, d)`` names the producer of each stream of a group, where
``*`` stands for any, ``a*4`` for four times a and ``...`` at the end for any on all that are left;
one name alone goes for every stream. The producers are labels, wherever in the program they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from isa.asm.source import NAME, Fault, Piece, name_of, split
from isa.asm.state import Want
from isa.fields import nearest
from isa.program import Producer

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

_ALTERNATIVE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^|"])+')
_TIMES = re.compile(r"(.*[^*\s])\s*\*\s*([0-9]{1,3})")
Streams = tuple[tuple[Producer, ...], ...]


def resolve(asm: Assembler) -> dict[tuple[str, int, str], Streams]:
    """All expectations of the program, with labels turned into the words they stand for."""
    expects: dict[tuple[str, int, str], Streams] = {}
    simple: dict[str, tuple[Producer, ...]] = {
        name: ((label.section.name, label.word),) for name, label in asm.labels.items()
    }
    for fields in asm.wants:
        section, word, field, count, text = fields[:5]
        single = simple.get(text)
        if single is not None:
            expects[section.name, word, field] = (single,) * count
            continue
        if text[:1] == "(" and text.count(",") == count - 1:
            parts = [simple.get(part.strip(), ()) for part in text[1:-1].split(",")]
            if all(parts) and len(parts) == count:
                expects[section.name, word, field] = tuple(parts)
                continue
        elif "|" in text and not asm.odd_labels:
            parts = [simple.get(part.strip(), ()) for part in text.split("|")]
            if all(parts):
                expects[section.name, word, field] = (tuple([p for (p,) in parts]),) * count
                continue
        streams = _streams(asm, Want(*fields))
        if streams is not None:
            expects[section.name, word, field] = streams
    return expects


def _streams(asm: Assembler, want: Want) -> Streams | None:
    text = want.text
    if not text.startswith("("):
        one = _alternatives(asm, want, Piece(text, want.at))
        return None if one is None else (one,) * want.streams
    whole = Piece(text, want.at)
    if not text.endswith(")"):
        _complain(asm, want, whole, "this '(' is not closed", "A022")
        return None
    pieces = _repeated(split(text[1:-1], want.at + 1), want.streams)
    if len(pieces) != want.streams:
        message = f"{want.field} takes {want.streams} streams, not {len(pieces)}"
        _complain(asm, want, whole, message, "A022")
        return None
    found = [_alternatives(asm, want, piece) for piece in pieces]
    return None if None in found else tuple(one for one in found if one is not None)


def _repeated(pieces: list[Piece], streams: int) -> list[Piece]:
    """The pieces with ``name*4`` and a final ``...`` written out."""
    found: list[Piece] = []
    for i, piece in enumerate(pieces):
        match = _TIMES.fullmatch(piece.text)
        if piece.text == "..." and i == len(pieces) - 1:
            found += [Piece("*", piece.at)] * (streams - len(found))
        elif match:
            found += [Piece(match[1], piece.at)] * int(match[2])
        else:
            found.append(piece)
    return found


def _alternatives(asm: Assembler, want: Want, piece: Piece) -> tuple[Producer, ...] | None:
    """The producers of one stream; None after a complaint."""
    if piece.text == "*":
        return ()
    producers = []
    at = piece.at
    quoted = '"' in piece.text
    for part in _ALTERNATIVE.findall(piece.text) if quoted else piece.text.split("|"):
        producer = _producer(asm, want, Piece(part.strip(), at + len(part) - len(part.lstrip())))
        if producer is None:
            return None
        producers.append(producer)
        at += len(part) + 1
    return tuple(producers)


def _producer(asm: Assembler, want: Want, piece: Piece) -> Producer | None:
    if not piece.text.startswith('"') and not NAME.fullmatch(piece.text):
        _complain(asm, want, piece, f"an expectation names a label, not '{piece.text}'", "A022")
        return None
    try:
        name = name_of(piece, "a label")
    except Fault as error:
        _complain(asm, want, piece, str(error), "A022")
        return None
    label = asm.labels.get(name)
    if label is not None:
        return label.section.name, label.word
    other = nearest(name, asm.labels) if len(asm.labels) < 5000 else ""
    message = f"the label '{name}' is not defined"
    if other:
        message += f"; '{other}' is, at {asm.where(asm.labels[other])}"
    _complain(asm, want, piece, message, "A020")
    return None


def _complain(asm: Assembler, want: Want, piece: Piece, message: str, code: str) -> None:
    asm.report(piece.fault(message, code), want.frame, want.line, want.raw)
