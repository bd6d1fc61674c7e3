"""Blocks: conditions, repetitions and macros; their lines are read again, or not at all."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isa.asm.source import NAME, Fault, Frame, Piece, name_of, split, strip_comment, unquote
from isa.fields import near

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler
    from isa.asm.directives import Statement

_MARK = re.compile(
    r"\s*(?:[A-Za-z_.$][\w.$]*\s*:\s*)*"
    r"\.(if|ifdef|ifndef|elseif|else|endif|macro|endm|rept|irp|endr)(?![\w.])",
    re.ASCII,
)
_CLOSERS = {"if": "endif", "ifdef": "endif", "ifndef": "endif", "macro": "endm",
            "rept": "endr", "irp": "endr"}  # fmt: skip
_SLOT = re.compile(r"\\(\(\)|[@+]|[A-Za-z_][A-Za-z0-9_]*)")
MOST_TIMES = 1 << 32


@dataclass
class Part:
    """Lines of a block from one mark to the next; line `first` is the one after the mark."""

    mark: str
    raw: str
    number: int
    lines: list[str] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.number + 1


def collect(asm: Assembler, statement: Statement) -> list[Part]:
    """The parts of the block that the statement opens, up to its end."""
    opener = statement.name.text[1:]
    parts = [Part(opener, "", asm.number)]
    open_blocks = [opener]
    for number, raw in asm.cursor:
        match = _MARK.match(raw) if "." in raw else None
        mark = match[1] if match else ""
        if mark in _CLOSERS:
            open_blocks.append(mark)
        elif mark.startswith("end") and mark == _CLOSERS[open_blocks[-1]]:
            open_blocks.pop()
            if not open_blocks:
                return parts
        elif mark in ("else", "elseif") and len(open_blocks) == 1 and opener.startswith("if"):
            parts.append(Part(mark, raw, number))
            continue
        parts[-1].lines.append(raw)
    wanted = _CLOSERS[opener]
    asm.report(
        statement.name.fault(f"this '.{opener}' has no '.{wanted}'", "A051"),
        asm.frame, asm.number, asm.frame.lines[parts[0].number - asm.frame.first],
    )  # fmt: skip
    return parts


def stray(asm: Assembler, statement: Statement) -> None:
    """An end without a beginning."""
    raise statement.name.fault(f"'{statement.name.text}' without its beginning", "A051")


# ---- conditions ----------------------------------------------------------------------------------


def if_(asm: Assembler, statement: Statement) -> None:
    """Read the first part whose condition holds."""
    opened = asm.number
    parts = collect(asm, statement)
    for before, part in itertools.pairwise(parts):
        if before.mark == "else":
            at = len(part.raw) - len(part.raw.lstrip())
            fault = Fault(f"'.{part.mark}' after '.else'", "A051", at, len(part.raw.rstrip()))
            asm.report(fault, asm.frame, part.number, part.raw)
            return
    for part in parts:
        if part.mark == "else":
            holds = True
        elif part.mark == "elseif":
            holds = _elseif(asm, part)
        else:
            holds = _holds(asm, part.mark, statement.rest, statement)
        if holds:
            asm.run(Frame(asm.frame.file, part.first, part.lines, asm.frame, opened))
            return


def _holds(asm: Assembler, mark: str, piece: Piece, statement: Statement) -> bool:
    if not piece.text:
        raise statement.fault(f".{mark} takes {'an expression' if mark == 'if' else 'a name'}")
    if mark == "if":
        return bool(asm.evaluate(piece))
    known = name_of(piece, "a symbol") in asm.scope.symbols
    return known == (mark == "ifdef")


def _elseif(asm: Assembler, part: Part) -> bool:
    line = strip_comment(part.raw)
    at = line.index(".elseif") + len(".elseif")
    rest = line[at:]
    piece = Piece(rest.strip(), at + len(rest) - len(rest.lstrip()))
    try:
        return bool(asm.evaluate(piece))
    except Fault as fault:
        asm.report(fault, asm.frame, part.number, part.raw)
        return False


# ---- repetitions ---------------------------------------------------------------------------------


def rept(asm: Assembler, statement: Statement) -> None:
    """``.rept TIMES``: the body again and again."""
    site = asm.number
    times = None
    try:
        times = asm.integer(statement.rest, "the number of times", 0, MOST_TIMES)
    finally:
        body = collect(asm, statement)[0]
    if not any(line.strip() for line in body.lines):
        return
    numbered = any("\\+" in line for line in body.lines)
    for i in range(times):
        lines = [line.replace("\\+", str(i)) for line in body.lines] if numbered else body.lines
        note = f"in repetition {i + 1} of this"
        asm.run(Frame(asm.frame.file, body.first, lines, asm.frame, site, note))


def irp(asm: Assembler, statement: Statement) -> None:
    """``.irp NAME, VALUE, ...``: the body for each value."""
    site = asm.number
    body = collect(asm, statement)[0]
    pieces = split(statement.rest.text, statement.rest.at)
    if not pieces or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", pieces[0].text):
        raise statement.fault("write it as '.irp NAME, VALUE, ...'", "A050")
    pieces = [pieces[0], *(p for p in pieces[1:])]
    slot = re.compile(r"\\" + re.escape(pieces[0].text) + r"(?![A-Za-z0-9_])(?:\\\(\))?")
    for piece in pieces[1:]:
        value = piece.text
        lines = [value.join(slot.split(line)) for line in body.lines]
        note = f"with {pieces[0].text} = {value}"
        asm.run(Frame(asm.frame.file, body.first, lines, asm.frame, site, note))


# ---- macros --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """An argument of a macro; `default` is None where a use must give one."""

    name: str
    default: str | None


@dataclass(frozen=True)
class Macro:
    """A macro: its lines cut at the slots, text and slot name alternating."""

    name: str
    parameters: tuple[Parameter, ...]
    file: int
    first: int
    lines: tuple[tuple[str, ...], ...]

    def expand(self, asm: Assembler, statement: Statement) -> None:
        """Read the lines with the arguments of one use filled in."""
        values = self._arguments(statement)
        values["@"] = str(asm.expansions)
        values["()"] = ""
        asm.expansions += 1
        lines = []
        for parts in self.lines:
            if len(parts) == 1:
                lines.append(parts[0])
                continue
            filled = list(parts)
            for i in range(1, len(parts), 2):
                slot = parts[i]
                filled[i] = values[slot] if slot in values else "\\" + slot
            lines.append("".join(filled))
        note = f"in macro '{self.name}', used here"
        asm.run(Frame(self.file, self.first, lines, asm.frame, asm.number, note))

    def _arguments(self, statement: Statement) -> dict[str, str]:
        names = [p.name for p in self.parameters]
        values: dict[str, str] = {}
        waiting = list(names)
        for piece in split(statement.rest.text, statement.rest.at):
            key, equals, rest = piece.text.partition("=")
            if equals and key.strip() in names and not rest.startswith("="):
                name, value = key.strip(), rest.strip()
                if name in values:
                    raise piece.fault(f"{name} is given twice", "A050")
                if name in waiting:
                    waiting.remove(name)
            elif waiting:
                name, value = waiting.pop(0), piece.text
            else:
                message = f"macro '{self.name}' takes {len(names)} arguments"
                raise piece.fault(message, "A050", hint=near(key.strip(), names) if equals else "")
            values[name] = unquote(Piece(value, piece.at)) if value.startswith('"') else value
        for parameter in self.parameters:
            if not values.get(parameter.name):
                if parameter.default is None and parameter.name not in values:
                    message = f"macro '{self.name}' needs {parameter.name}"
                    raise statement.name.fault(message, "A050")
                values[parameter.name] = parameter.default or ""
        return values


def macro(asm: Assembler, statement: Statement) -> None:
    """``.macro NAME ARGUMENT[=DEFAULT], ...`` up to ``.endm``."""
    body = collect(asm, statement)[0]
    match = NAME.match(statement.rest.text)
    if match is None:
        raise statement.fault("write it as '.macro NAME ARGUMENT, ...'", "A050")
    name = match[0]
    whole = Piece(name, statement.rest.at)
    if name.split(".")[0] in asm.target.isa.spellings:
        raise whole.fault(f"'{name}' is an instruction", "A050")
    if name in asm.macros:
        raise whole.fault(f"macro '{name}' is defined twice", "A050")
    rest = statement.rest.text[match.end() :]
    at = statement.rest.at + match.end()
    parameters: list[Parameter] = []
    for piece in split(rest.strip().removeprefix(","), at + len(rest) - len(rest.lstrip())):
        for word in [piece.text] if "=" in piece.text else piece.text.split():
            parameters.append(_parameter(word, piece, parameters))
    lines = tuple(tuple(_SLOT.split(line)) for line in body.lines)
    asm.macros[name] = Macro(name, tuple(parameters), asm.frame.file, body.first, lines)


def _parameter(word: str, piece: Piece, before: list[Parameter]) -> Parameter:
    name, equals, default = (part.strip() for part in word.partition("="))
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise piece.fault(f"a macro's argument is a name, not '{name}'", "A050")
    if any(p.name == name for p in before):
        raise piece.fault(f"the argument {name} is there twice", "A050")
    return Parameter(name, default if equals else None)
