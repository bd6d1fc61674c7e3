"""The assembler's main loop: lines to statements, statements to words, words to a program.

A line is read once: by compiled code where it is plain, which most lines of a large text are
(`isa.asm._reader`), else here, by the instruction table. A mistake is recorded and reading goes on,
so one run reports all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isa.asm._reader import Reader
from isa.asm._sections import Pattern
from isa.asm.blocks import Macro
from isa.asm.directives import DIRECTIVES, Statement
from isa.asm.expectations import resolve
from isa.asm.expression import CONSTANTS, Number, Scope, expression_end
from isa.asm.instructions import Encoded, encode, learn
from isa.asm.machines import TARGETS
from isa.asm.reports import Reporter, TooManyErrors
from isa.asm.source import ASSIGNMENT, LABEL, NAME, Fault, Frame, Piece, name_of, strip_comment
from isa.asm.state import Deferred, Label, Section, WantFields
from isa.asm.target import AGAIN, MachineInfo, Target
from isa.asm.tensors import Draft
from isa.collector import no_collection
from isa.diagnostics import AssemblyError
from isa.fields import WORD_BYTES, FieldError, nearest
from isa.program import Program
from isa.program import Section as ProgramSection

MOST_LINES = 20_000_000  # after expansion
DEEPEST = 60  # blocks, macros and files inside one another
LONGEST_GAP = 1 << 32  # cycles that one @CYCLE may skip
_WORD = re.compile(r"\S+")


def assemble(
    text: str,
    filename: str = "<text>",
    *,
    include_path: Sequence[str | Path] = (),
    chip_info: MachineInfo | None = None,
    load_chip: Callable[[str], MachineInfo] | None = None,
    defines: Mapping[str, Number] | None = None,
    machine: str = "lpu",
    max_lines: int = MOST_LINES,
) -> Program:
    """The program that a text describes; `AssemblyError` holds every mistake in it.

    `chip_info` gives the chip's facts whatever the ``.chip`` line says; else `load_chip` turns the
    name on that line into them (it raises `ValueError` for a chip it does not know). Without
    either, queue names and units go unchecked. `defines` are symbols known from the start, and
    `machine` the class of machine where no chip tells it.

    >>> program = assemble(".queue mem.w0.read\\n read s0.e, 16\\n")
    >>> program.sections[0].name, len(program.sections[0])
    ('mem.w0.read', 1)
    """
    assembler = Assembler(filename, machine, include_path, chip_info, load_chip, max_lines)
    for name, value in (defines or {}).items():
        assembler.scope.symbols[name] = value
    lines = text.removeprefix("\ufeff").split("\n")
    with no_collection():
        try:
            assembler.run(Frame(assembler.file_number(filename), 1, lines))
            return assembler.finish()
        except TooManyErrors:
            raise AssemblyError(assembler.sorted_diagnostics()) from None
        finally:
            assembler.release()


class Assembler(Reporter):
    """One run over one text. The directives work on it; see `isa.asm.directives`."""

    def __init__(
        self,
        filename: str,
        machine: str,
        include_path: Sequence[str | Path],
        chip_info: MachineInfo | None,
        load_chip: Callable[[str], MachineInfo] | None,
        max_lines: int,
    ) -> None:
        super().__init__()
        self.include_path = [Path(p) for p in include_path]
        self.fixed_chip = chip_info is not None
        self.load_chip = load_chip
        self.chip = chip_info.name if chip_info is not None else ""
        self.lines_left = max_lines
        self.sections: dict[str, Section] = {}
        self.patterns: dict[str, dict[str, Pattern]] = {}  # by kind of section
        self.labels: dict[str, Label] = {}
        self.nowhere = Section("", "", {}, self.labels)
        self.section = self.nowhere
        self.odd_labels = False  # whether some label's name needs quotes
        self.wants: list[WantFields] = []
        self.deferred: list[Deferred] = []
        self.macros: dict[str, Macro] = {}
        self.expansions = 0
        self.tensors: dict[str, Draft] = {}
        self.data_target: Draft | None = None
        self.meta: dict[str, Any] = {}
        self.scope = Scope({}, self._lookup)
        self.idle: dict[int, bytes] = {}
        self.frame = Frame(0, 1, [])
        self.cursor: Iterator[tuple[int, str]] = iter(())
        self.number = 0
        self.target = self._class_of(chip_info, machine)(chip_info)
        self.scope.facts = self.target.facts()
        self.reader = Reader(self)

    def release(self) -> None:
        """Let go of what refers to one another, so that memory is free at once."""
        self.labels.clear()
        self.scope.lookup = None
        del self.reader

    # ---- machine and names ------------------------------------------------------------------

    @staticmethod
    def _class_of(info: MachineInfo | None, machine: str) -> type[Target]:
        return TARGETS[getattr(info, "chip_class", machine)]

    def set_target(self, target: Target) -> None:
        self.target = target
        self.scope.facts = target.facts()
        self.reader.set_target(target)

    def _lookup(self, name: str) -> Number | None:
        """The value of ``.`` or of a label that has its place already."""
        if name == ".":
            return self.section.time if self.section is not self.nowhere else None
        label = self.labels.get(name)
        if label is None:
            return self.target.section_value(name, list(self.sections))
        if label.word < 0:
            return None
        return self.target.label_value(label.word, label.time)

    def evaluate(self, piece: Piece) -> Number:
        """The value of an expression at its place in the line."""
        try:
            return self.scope.evaluate(piece.text)
        except FieldError as error:
            raise piece.wrong(error) from None

    def integer(self, piece: Piece, what: str, low: int, high: int) -> int:
        """The value of an expression that is to be an integer from `low` to `high`."""
        value = self.evaluate(piece)
        if not isinstance(value, int) or not low <= value <= high:
            raise piece.fault(f"{what} is an integer, {low} to {high}, not {value}", "A010")
        return value

    def define(self, piece: Piece, value: Number) -> None:
        """Give a symbol its value."""
        name = piece.text
        if name in CONSTANTS or name == "." or self.target.registers.fullmatch(name):
            raise piece.fault(f"'{name}' already means something else", "A015")
        if name in self.labels:
            place = self.where(self.labels[name])
            raise piece.fault(f"'{name}' is a label already, at {place}", "A015")
        self.scope.symbols[name] = value

    # ---- lines ------------------------------------------------------------------------------

    def run(self, frame: Frame) -> None:
        """Read the lines of a frame, in whatever section is current."""
        self.lines_left -= len(frame.lines)
        if self.lines_left < 0 or frame.depth > DEEPEST:
            what = "nested too deep" if frame.depth > DEEPEST else "too long"
            raise Fault(f"the expansion is {what}", "A053", 0, 1)
        outer = self.frame, self.cursor, self.number
        self.frame = frame
        self.cursor = enumerate(frame.lines, frame.first)
        while (raw := self.reader.read(self.cursor, frame)) is not None:
            self._line(raw)
        self.frame, self.cursor, self.number = outer

    def _line(self, raw: str) -> None:
        """One line that is not plain."""
        try:
            self._statement(raw)
        except Fault as fault:
            self.report(fault, self.frame, self.number, raw)

    def _statement(self, raw: str) -> None:
        line = strip_comment(raw)
        at = 0
        while ":" in line:
            match = LABEL.match(line, at)
            if match is None:
                break
            self._label(Piece(match[1], match.start(1)))
            at = match.end()
        text = line[at:].strip()
        if not text:
            return
        start = line.index(text[0], at)
        first = text[0]
        if first == ".":
            self._directive(text, start)
        elif first == "@":
            self._placed(text, start, raw)
        elif "=" in text and (match := ASSIGNMENT.match(text)):
            value = Piece(text[match.end() :].strip(), start + match.end())
            self.define(Piece(match[1], start), self.evaluate(value))
        else:
            self._instruction(text, start, raw, None)

    def _label(self, piece: Piece) -> None:
        name = name_of(piece, "a label")
        if self.section is self.nowhere:
            raise piece.fault(f"the label '{name}' is in no {self.target.noun}", "A032")
        if name in self.labels:
            first = self.where(self.labels[name])
            self.report(
                piece.fault(f"the label '{name}' is defined twice; first at {first}", "A021"),
                self.frame, self.number, self._raw(),
            )  # fmt: skip
            return
        if name in self.scope.symbols:
            raise piece.fault(f"'{name}' is a symbol already", "A015")
        kept = piece.text[0] == '"' or not name.startswith(".L")
        self.labels[name] = Label(self.section, -1, 0, kept, self.frame.file, self.number)
        self.section.pending.append(name)
        self.odd_labels |= not NAME.fullmatch(name)

    def where(self, label: Label) -> str:
        """The place of a label's definition, as seen from the line at hand."""
        same = label.file == self.frame.file
        return f"line {label.line}" if same else f"{self.files[label.file]}:{label.line}"

    def _raw(self) -> str:
        return self.frame.lines[self.number - self.frame.first]

    def _directive(self, text: str, at: int) -> None:
        match = _WORD.match(text)
        name = match[0] if match else text
        directive = DIRECTIVES.get(name[1:])
        if directive is None:
            other = nearest(name[1:], DIRECTIVES)
            hint = f"did you mean '.{other}'?" if other else ""
            raise Fault(f"unknown directive '{name}'", "A002", at, at + len(name), hint=hint)
        rest = text[len(name) :]
        piece = Piece(rest.strip(), at + len(name) + len(rest) - len(rest.lstrip()))
        directive.run(self, Statement(Piece(name, at), piece))

    # ---- instructions -----------------------------------------------------------------------

    def _placed(self, text: str, at: int, raw: str) -> None:
        """``@CYCLE instruction``: the expression goes on for as long as it can."""
        if not self.target.timed:
            message = f"the {self.target.name} issues instructions when it can, not when told"
            raise Fault(message, "A003", at, at + 1)
        end = expression_end(text, 1)
        if not text[end:].strip():
            raise Fault("an instruction follows '@CYCLE'", "A003", at, at + len(text))
        cycle = self.integer(Piece(text[1:end].strip(), at + 1), "a cycle", 0, 1 << 62)
        rest = text[end:].lstrip()
        if rest[0] in ".@":
            raise Fault("only an instruction can be placed", "A003", at, at + end)
        self._instruction(rest, at + len(text) - len(rest), raw, (cycle, at, at + end))

    def _instruction(
        self, text: str, at: int, raw: str, place: tuple[int, int, int] | None
    ) -> None:
        """Encode an instruction (or expand a macro) and append it to the section."""
        section = self.section
        if self.macros:
            match = _WORD.match(text)
            if match and match[0] in self.macros:
                if place:
                    raise Fault("only an instruction can be placed", "A003", place[1], place[2])
                rest = text[match.end() :]
                indent = len(rest) - len(rest.lstrip())
                statement = Statement(
                    Piece(match[0], at), Piece(rest.strip(), at + match.end() + indent)
                )
                self.macros[match[0]].expand(self, statement)
                return
        if section is self.nowhere:
            name = text.split(None, 1)[0]
            ours = " or ".join(f"'.{directive} NAME'" for directive in self.target.sections)
            message = f"an instruction outside every {self.target.noun}"
            help = f"begin one with {ours}"
            raise Fault(message, "A032", at, at + len(name), help=help)
        try:
            learn(self, section, text)
            found = self.reader.compose_text(section, raw, at, at + len(text))
            word, hold, span, wants = found or encode(self, section, text, at)
        except Fault as fault:
            if self.target.forward and fault.code == "A014":
                index = len(section.origins)
                self.deferred.append(
                    Deferred(section, index, text, at, self.frame, self.number, raw)
                )
            else:
                self.report(fault, self.frame, self.number, raw)
            word, hold, span, wants = _PLACEHOLDER
        if place:
            self._wait(section, hold, place, raw)
        if hold == AGAIN and not section.repeatable:
            help = "write it right after the instruction that it repeats"
            raise Fault("there is nothing to repeat here", "A041", at, at + 6, help=help)
        index = len(section.origins)
        self.wants += [(section, index, *want, self.frame, self.number, raw) for want in wants]
        section.append(word, hold, span, (self.frame.file, self.number))

    def _wait(self, section: Section, hold: int, place: tuple[int, int, int], raw: str) -> None:
        """Fill the time up to a placed instruction with instructions that do nothing."""
        cycle, start, end = place
        if hold == AGAIN:
            raise Fault("a repeat takes no cycle of its own", "A041", start, end)
        gap = cycle - section.time
        if gap < 0:
            late = f"{-gap:,} cycle" + ("s" if gap < -1 else "")
            fault = Fault(
                f"cycle {cycle:,} has passed: {section.name} is free again {late} later, "
                f"in cycle {section.time:,}", "A040", start, end,
            )  # fmt: skip
            self.report(fault, self.frame, self.number, raw)
            section.time = cycle  # judge what follows by what was meant here
            return
        if gap > LONGEST_GAP:
            raise Fault(f"cycle {cycle:,} is too far away", "A010", start, end)
        self.skip(section, gap)

    def skip(self, section: Section, gap: int) -> None:
        """Do nothing for `gap` cycles; labels that wait go on waiting."""
        if gap not in self.idle:
            isa = self.target.isa
            words = [isa.encode(instruction) for instruction in self.target.idle(gap)]
            self.idle[gap] = b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)
        section.skip(self.idle[gap], gap, (self.frame.file, self.number))

    # ---- sections ---------------------------------------------------------------------------

    def open_section(self, name: str) -> None:
        """Go on in a section, new or begun before."""
        if name not in self.sections:
            kind = self.target.kind(name)
            patterns = self.patterns.setdefault(kind, {})
            self.sections[name] = Section(name, kind, patterns, self.labels)
        self.section = self.sections[name]

    # ---- the end ----------------------------------------------------------------------------

    def finish(self) -> Program:
        """Resolve what had to wait, and put the program together."""
        for section in self.sections.values():
            section.bind_labels()
        for item in self.deferred:
            if not item.fill(self.scope):
                self._encode_deferred(item)
        expects = resolve(self)
        tensors = []
        for draft in self.tensors.values():
            try:
                tensors.append(draft.finish())
            except Fault as fault:
                self.report(fault, draft.frame, draft.line, draft.raw)
        if self.diagnostics:
            raise AssemblyError(self.sorted_diagnostics())
        return Program(
            isa=self.target.name,
            chip=self.chip,
            sections=tuple(
                ProgramSection(s.name, bytes(s.words), tuple(s.origins))
                for s in self.sections.values()
            ),
            tensors=tuple(tensors),
            expects=expects,
            symbols={
                name: (label.section.name, label.word)
                for name, label in self.labels.items()
                if label.kept
            },
            files=tuple(self.files),
            meta=self.meta,
        )

    def _encode_deferred(self, item: Deferred) -> None:
        """Encode an instruction that named something defined after it."""
        try:
            word = encode(self, item.section, item.text, item.at)[0]
            start = item.word * WORD_BYTES
            item.section.words[start : start + WORD_BYTES] = word
        except Fault as fault:
            self.report(fault, item.frame, item.line, item.raw)


_PLACEHOLDER: Encoded = (bytes(WORD_BYTES), 1, 0, [])
