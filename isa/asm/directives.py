"""The directives: one table entry each, with its form and meaning, from which the manual is made.

A directive works on the `Assembler` and raises `Fault` for a mistake in its line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isa.asm import blocks, tensors
from isa.asm.machines import SECTION_DIRECTIVES, TARGETS
from isa.asm.source import Fault, Frame, Piece, name_of, split, unquote

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler


@dataclass(frozen=True, slots=True)
class Statement:
    """A directive or macro call: its name, and all that follows on the line."""

    name: Piece
    rest: Piece

    def fault(self, message: str, code: str = "A003", help: str = "") -> Fault:
        """A mistake in what follows the name, or in the name where nothing does."""
        return (self.rest if self.rest.text else self.name).fault(message, code, help=help)


@dataclass(frozen=True)
class Directive:
    """What the assembler and the manual know of a directive."""

    names: tuple[str, ...]
    form: str
    doc: str
    run: Callable[[Assembler, Statement], None]


DIRECTIVES: dict[str, Directive] = {}
Handler = Callable[["Assembler", Statement], None]


def _directive(*names: str, form: str = "", doc: str = "") -> Callable[[Handler], Handler]:
    def register(run: Handler) -> Handler:
        entry = Directive(names, form, doc, run)
        DIRECTIVES.update(dict.fromkeys(names, entry))
        return run

    return register


# ---- chip, sections, meta ------------------------------------------------------------------------


@_directive("chip", form="NAME", doc="The chip the program is for; comes before the first section.")
def _chip(asm: Assembler, statement: Statement) -> None:
    piece = statement.rest
    if not piece.text:
        raise statement.fault(".chip takes the name of a chip", "A060")
    name = unquote(piece) if piece.text.startswith('"') else piece.text
    if asm.sections:
        raise piece.fault(f".chip comes before the first {asm.target.noun}", "A060")
    if asm.fixed_chip:
        return
    if asm.chip and asm.chip != name:
        raise piece.fault(f"the chip is {asm.chip} already", "A060")
    asm.chip = name
    machine = name.split("-")[0]
    if asm.load_chip is None:
        asm.set_target(TARGETS.get(machine, type(asm.target))())
        return
    try:
        info = asm.load_chip(name)
    except (ValueError, LookupError, OSError) as error:
        message = str(error.args[0]) if error.args else f"no chip '{name}'"
        raise piece.fault(message, "A060") from None
    machine = getattr(info, "chip_class", asm.target.name)
    if machine not in TARGETS:
        raise piece.fault(f"{name} is of class {machine}, which has no assembler", "A060")
    asm.set_target(TARGETS[machine](info))


@_directive(*SECTION_DIRECTIVES, form="NAME",
            doc="What follows goes to this section: on the LPU a queue, on the NPU the program of "
                "a core (`.core cube`, `.core vector`) or a function. It may be left and entered "
                "again; its words follow one another.")  # fmt: skip
def _section(asm: Assembler, statement: Statement) -> None:
    directive = statement.name.text[1:]
    other = TARGETS.get(SECTION_DIRECTIVES[directive])
    if other and not asm.sections and not asm.chip:
        asm.set_target(other())  # no chip says which machine this is for, so the directive does
    if directive not in asm.target.sections:
        ours = " or ".join(f"'.{name}'" for name in asm.target.sections)
        message = f"'{statement.name.text}' is not for this machine; the {asm.target.name} has"
        raise statement.name.fault(f"{message} {ours}", "A030")
    if not statement.rest.text:
        raise statement.fault(f".{directive} takes a name", "A030")
    name = name_of(statement.rest, f"a {directive}")
    section = asm.target.section_name(directive, name)
    problem = asm.target.section_problem(section)
    asm.open_section(section)  # even if it does not exist: one complaint is enough
    if problem:
        raise statement.rest.fault(problem[0], "A030", hint=problem[1])


@_directive("meta", form="KEY VALUE",
            doc="A remark about the program, kept with it: JSON, or bare text up to the line's "
                "end.")  # fmt: skip
def _meta(asm: Assembler, statement: Statement) -> None:
    text = statement.rest.text
    try:
        if text.startswith('"'):
            name, end = json.JSONDecoder().raw_decode(text)
        else:
            name = text.split(None, 1)[0]
            end = len(name)
    except (ValueError, IndexError, RecursionError):
        raise statement.fault("write it as '.meta KEY VALUE'") from None
    value = text[end:].strip()
    if not value:
        raise statement.fault("write it as '.meta KEY VALUE'")
    asm.meta[name] = _meta_value(value, statement)


def _meta_value(text: str, statement: Statement) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise statement.fault("JSON nested too deep") from None
    except ValueError as error:
        if text[0] in '"[{':
            raise statement.fault(f"the value is no JSON: {error}") from None
        return text


@_directive("include", form='"FILE"',
            doc="Read another file here; it is looked for beside this one, then in the include "
                "path.")  # fmt: skip
def _include(asm: Assembler, statement: Statement) -> None:
    name = unquote(statement.rest)
    here = Path(asm.files[asm.frame.file]).parent
    for directory in (here, *asm.include_path):
        path = directory / name
        try:
            if not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise statement.fault(f"cannot read '{path}': {reason}", "A052") from None
        note = "included here"
        file = asm.file_number(str(path))
        asm.run(
            Frame(file, 1, text.removeprefix("\ufeff").split("\n"), asm.frame, asm.number, note)
        )
        return
    raise statement.fault(f"cannot find '{name}'", "A052")


@_directive(
    "insn",
    form="WORD",
    doc="An instruction word as a 128-bit number, legal or not; it takes one cycle.",
)
def _insn(asm: Assembler, statement: Statement) -> None:
    if asm.section is asm.nowhere:
        raise statement.fault(f"a word outside every {asm.target.noun}", "A032")
    word = asm.integer(statement.rest, "an instruction word", 0, (1 << 128) - 1)
    asm.section.append(word.to_bytes(16, "little"), 1, 0, (asm.frame.file, asm.number))


# ---- symbols ---------------------------------------------------------------------------------


@_directive(
    "equ",
    "set",
    form="NAME, EXPRESSION",
    doc="Give a symbol its value, also anew; `NAME = EXPRESSION` does the same.",
)
def _equ(asm: Assembler, statement: Statement) -> None:
    pieces = split(statement.rest.text, statement.rest.at)
    if len(pieces) < 2:
        raise statement.fault(f"write it as '{statement.name.text} NAME, EXPRESSION'")
    name = Piece(name_of(pieces[0], "a symbol"), pieces[0].at)
    end = pieces[0].at + len(pieces[0].text)
    rest = statement.rest.text[end - statement.rest.at :].lstrip().removeprefix(",").strip()
    asm.define(name, asm.evaluate(Piece(rest, pieces[1].at)))


@_directive("error", form='"TEXT"', doc="Refuse the program, saying why.")
def _error(asm: Assembler, statement: Statement) -> None:
    raise statement.fault(unquote(statement.rest), "A054")


# ---- blocks ------------------------------------------------------------------------------------


def _block(run: Callable[[Assembler, Statement], None], *names: str, form: str, doc: str) -> None:
    _directive(*names, form=form, doc=doc)(run)


_block(
    blocks.if_,
    "if",
    "ifdef",
    "ifndef",
    form="EXPRESSION",
    doc="The lines up to `.elseif`, `.else` or `.endif` count only if the value is not 0 "
    "(`.ifdef`, `.ifndef`: if the symbol has, has no value).",
)
_block(
    blocks.stray,
    "else",
    "elseif",
    "endif",
    "endm",
    "endr",
    form="",
    doc="The end of a part of a block.",
)
_block(
    blocks.macro,
    "macro",
    form="NAME ARGUMENT[=DEFAULT], ...",
    doc="The lines up to `.endm` become the macro NAME; `\\ARGUMENT` stands for what a use "
    "gives, `\\@` for a number that no other expansion has, `\\()` for nothing.",
)
_block(
    blocks.rept,
    "rept",
    form="TIMES",
    doc="The lines up to `.endr`, so many times; `\\+` is the number of the repetition.",
)
_block(
    blocks.irp,
    "irp",
    form="NAME, VALUE, ...",
    doc="The lines up to `.endr`, once for each value, which `\\NAME` stands for.",
)

# ---- tensors and data ----------------------------------------------------------------------------

_block(
    tensors.tensor,
    "tensor",
    form="NAME, DTYPE, [SHAPE], ROLE, KEY=VALUE, ...",
    doc="Declare a tensor (role `in`, `out`, `const` or `scratch`) and where it lies.",
)
_block(
    tensors.place,
    "place",
    form="NAME, KEY=VALUE, ...",
    doc="A further place that the tensor is copied to.",
)
_block(
    tensors.data,
    *tensors.INTEGER_BYTES,
    form="NUMBER, ...",
    doc="1, 2 or 4 bytes each, low byte first, for the const tensor declared before.",
)
_block(
    tensors.data,
    "float",
    form="NUMBER, ...",
    doc="Elements of the fp32, fp16 or bf16 tensor declared before, rounded to nearest even.",
)
_block(
    tensors.text,
    "ascii",
    "asciz",
    form='"TEXT", ...',
    doc="The text's UTF-8 bytes for the tensor declared before (`.asciz`: and a zero byte).",
)
_block(
    tensors.fill,
    "fill",
    form="TIMES[, SIZE[, NUMBER]]",
    doc="TIMES numbers (0) of SIZE (1) bytes for the tensor declared before.",
)
