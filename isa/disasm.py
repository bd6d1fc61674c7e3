"""The disassembler: a program as text that assembles to the same program, or as a listing.

What text cannot carry over is where words came from: files and lines become the text's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from isa._printer import Printer
from isa.asm.expression import CONSTANTS
from isa.asm.machines import TARGETS
from isa.asm.source import NAME, quoted
from isa.asm.target import AGAIN, Target
from isa.fields import WORD_BYTES, Imm, ImmediateField
from isa.forms import form, instruction_of
from isa.lpu import LPU
from isa.program import Layout, Producer, Program, Section, Tensor
from isa.table import OPCODE, DecodeError, InstructionSet, Row

_PLAIN = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*")
_DATA = {1: (".byte", 16), 2: (".half", 12), 4: (".word", 8)}
_INLINE = 8  # so many elements fit on the line of the declaration


def disassemble(program: Program, *, listing: bool = False) -> str:
    """The program as text.

    With `listing`, for reading only: word numbers, cycles, the words themselves and source lines.
    Raises `ValueError` where a label or an expectation names a word that is not there.
    """
    target = TARGETS[program.isa]()
    labels = _Labels(program, target)
    if listing:
        return _listing(program, target, labels)
    out = []
    if program.chip:
        plain = _PLAIN.fullmatch(program.chip)
        out.append(f".chip {program.chip if plain else json.dumps(program.chip)}")
    for key, value in program.meta.items():
        name = key if _PLAIN.fullmatch(key) else json.dumps(key)
        out.append(f".meta {name} {json.dumps(value)}")
    for tensor in program.tensors:
        out += _tensor(tensor)
    words = _Words(target)
    for section in program.sections:
        directive, name = target.heading(section.name)
        out += ["", f".{directive} {quoted(name)}"]
        out += _section(program, section, words, labels)
    return "\n".join(out) + "\n"


# ---- words ---------------------------------------------------------------------------------------


class _Labels:
    """The name of every word that something refers to: a symbol, or a local label made for it."""

    def __init__(self, program: Program, target: Target) -> None:
        self.program = program
        self.jumps = target.jumps
        lengths = {section.name: len(section) for section in program.sections}
        self.at: dict[Producer, list[str]] = {}
        self.name: dict[Producer, str] = {}
        for name, place in program.symbols.items():
            self._check(place, f"the symbol '{name}'", lengths)
            # A name that begins as a local label's is kept by its quotes.
            text = json.dumps(name) if name.startswith(".L") else quoted(name)
            self.at.setdefault(place, []).append(text)
            self.name.setdefault(place, text)
        wanted = {
            producer
            for streams in program.expects.values()
            for stream in streams
            for producer in stream
        }
        if self.jumps:
            wanted |= self._jump_targets(target)
        order = {name: i for i, name in enumerate(lengths)}
        count = 0
        for place in sorted(wanted, key=lambda p: (order.get(p[0], -1), p[1])):
            self._check(place, "an expectation", lengths)
            if place not in self.name:
                while f".L{count}" in program.symbols:
                    count += 1
                self.at.setdefault(place, []).append(f".L{count}")
                self.name[place] = f".L{count}"
                count += 1
        self.by_section: dict[str, dict[int, list[str]]] = {}
        for (section, word), names in self.at.items():
            self.by_section.setdefault(section, {})[word] = names

    def of_section(self, section: str) -> dict[int, list[str]]:
        """The names of a section's words."""
        return self.by_section.get(section, {})

    def _jump_targets(self, target: Target) -> set[Producer]:
        """The words that an instruction of their section jumps to."""
        found = set()
        printer = Printer(target.isa)
        codes = {
            row.code: row.by_name[name]
            for row in target.isa.rows
            for name in self.jumps & row.by_name.keys()
        }
        for section in self.program.sections:
            words = section.words + bytes(-len(section.words) % WORD_BYTES)
            for i, code in enumerate(words[::WORD_BYTES]):
                f = codes.get(code)
                if f is None or printer.parts(words, i) is None:
                    continue
                start = i * WORD_BYTES
                place = f.extract(int.from_bytes(words[start : start + WORD_BYTES], "little"))
                if place <= len(section):
                    found.add((section.name, place))
        return found

    def operand(self, section: str, field: str, text: str) -> str:
        """A jump's target: the label there, where that has a plain name."""
        if not text.isdigit():
            return text
        label = self.name.get((section, int(text)), text)
        return label if NAME.fullmatch(label) and label not in CONSTANTS else text

    @staticmethod
    def _check(place: Producer, who: str, lengths: dict[str, int]) -> None:
        section, word = place
        if not 0 <= word <= lengths.get(section, -1):
            raise ValueError(f"{who} names word {word} of '{section}', which is not there")

    def expectation(self, key: tuple[str, int, str]) -> str:
        """What stands behind an operand: ``@a``, ``@a|b`` or ``@(a, b, *, d)``."""
        streams = self.program.expects.get(key)
        if streams is None:
            return ""
        if streams and streams.count(streams[0]) == len(streams):
            streams = streams[:1]
        texts = ["|".join(self.name[p] for p in stream) or "*" for stream in streams]
        if len(set(texts)) == 1:
            return "@" + texts[0]
        return "@(" + ", ".join(texts) + ")"


class _Words:
    """Prints the words of one section, one after another."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.printer = Printer(target.isa)
        self.times: dict[str, tuple[int, int]] = {}  # of the mnemonics whose time never varies
        self.varying: dict[int, tuple[int, int]] = {}  # of the words of the others
        self.restart(b"")

    def restart(self, words: bytes) -> None:
        """Begin another section."""
        self.words = words + bytes(-len(words) % WORD_BYTES)
        self.count = len(self.words) // WORD_BYTES
        self.time = self.last = self.hold = 0
        self.repeatable = False

    def text(self, index: int) -> tuple[str, list[tuple[str, str]], int]:
        """Mnemonic, operands (field, text) and issue cycle of the word; they come in order."""
        found = self.printer.parts(self.words, index)
        if found is None:
            head, hold, span = self._damaged(index), 1, 0
            operands: list[tuple[str, str]] = []
        else:
            head, operands, row = found
            hold, span = self.times.get(head) or self._time(head, row, index)
        if hold == AGAIN and not self.repeatable:
            head, operands, hold = f".insn {self._word(index):#034x}", [], 1
        cycle = self.time
        if hold == AGAIN:
            cycle = self.last
            self.last += span
            self.time = self.last + self.hold
        elif hold >= 0:
            self.last, self.hold = self.time, hold
            self.time += hold
        else:
            self.time = 0
        self.repeatable = hold >= 0
        return head, operands, cycle

    def _word(self, index: int) -> int:
        start = index * WORD_BYTES
        return int.from_bytes(self.words[start : start + WORD_BYTES], "little")

    def _damaged(self, index: int) -> str:
        word = self._word(index)
        try:
            instruction = self.target.isa.decode(word)
        except DecodeError as error:
            return f".insn {word:#034x}  # {error}"
        raise AssertionError(f"{instruction} has no text")

    def _time(self, head: str, row: Row, index: int) -> tuple[int, int]:
        """Hold and span of a word, see `Target.timing`."""
        if row.name in self.target.varying:
            word = self._word(index)
            if word not in self.varying:
                self.varying[word] = self.target.timing(instruction_of(row, word))
            return self.varying[word]
        self.times[head] = self.target.timing(form(self.target.isa, head).head)
        return self.times[head]


def _section(program: Program, section: Section, words: _Words, labels: _Labels) -> Iterable[str]:
    words.restart(section.words)
    expects, jumps, where = program.expects, labels.jumps, section.name
    names_at = labels.of_section(where)
    expecting = {word for name, word, _ in expects if name == where}
    for i in range(words.count):
        head, operands, _ = words.text(i)
        if i in expecting:
            parts = [text + labels.expectation((where, i, name)) for name, text in operands]
        elif jumps:
            parts = [
                labels.operand(where, name, text) if name in jumps else text
                for name, text in operands
            ]
        else:
            parts = [text for _, text in operands]
        names = names_at.get(i)
        if names is None:
            yield f"    {head} {', '.join(parts)}".rstrip()
            continue
        for name in names[:-1]:
            yield f"{name}:"
        yield f"{names[-1]}: {head} {', '.join(parts)}".rstrip()
    for name in names_at.get(len(section), ()):
        yield f"{name}:"


# ---- tensors -------------------------------------------------------------------------------------


def _tensor(tensor: Tensor) -> list[str]:
    shape = ", ".join(map(str, tensor.shape))
    head = f".tensor {quoted(tensor.name)}, {tensor.dtype}, [{shape}], {tensor.role}"
    keys = [_layout(tensor.layouts[0])] if tensor.layouts else []
    if tensor.pad:
        keys.append(f"pad={tensor.pad:#04x}")
    lines: list[str] = []
    if tensor.data is not None:
        inline, lines = _data(tensor)
        keys += inline
    out = [", ".join([head, *keys]), *lines]
    out += [f".place {quoted(tensor.name)}, {_layout(layout)}" for layout in tensor.layouts[1:]]
    return out


def _data(tensor: Tensor) -> tuple[list[str], list[str]]:
    """A const's data: keys for its declaration, and lines below it."""
    data = tensor.data or b""
    size = tensor.element_bytes
    codes = [data[i : i + size][::-1].hex() for i in range(0, len(data), size)]
    if len(codes) > 1 and len(set(codes)) == 1:
        return [f"fill=0x{codes[0].rjust(2 * size, '0')}"], []
    texts = [f"0x{code.rjust(2 * size, '0')}" for code in codes]
    if len(codes) <= _INLINE:
        return [f"data=[{', '.join(texts)}]"], []
    directive, width = _DATA[size]
    rows = [texts[i : i + width] for i in range(0, len(texts), width)]
    return [], [f"    {directive} {', '.join(row)}" for row in rows]


def _layout(layout: Layout) -> str:
    if not layout.slices and not layout.digits and layout.lane_axis is None:
        return f"at={layout.base:#x}"
    lane = "none" if layout.lane_axis is None else str(layout.lane_axis)
    lane += f"/{layout.lane_div}" if layout.lane_div != 1 else ""
    lane += f"%{layout.lane_mod}"
    lane += f"*{layout.lane_repeat}" if layout.lane_repeat != 1 else ""
    keys = [f"slices=[{_slices(layout.slices)}]", f"base={layout.base:#x}", f"lane={lane}"]
    for digit in layout.digits:
        text = f"digit={digit.axis}/{digit.div}%{digit.mod}"
        text += f":s{digit.slice}" if digit.slice else ""
        text += f":a{digit.addr}" if digit.addr else ""
        keys.append(text)
    if layout.plane != 1:
        keys.append(f"plane={layout.plane}")
    return ", ".join(keys)


def _slices(names: tuple[str, ...]) -> str:
    """``w0:w3, e7``: ascending neighbours become a range."""
    runs: list[tuple[str, int, int]] = []
    for name in names:
        match = re.fullmatch(r"([A-Za-z_]+)(0|[1-9][0-9]{0,5})", name)
        if match is None:
            raise ValueError(f"'{name}' is no name of a slice")
        prefix, number = match[1], int(match[2])
        if runs and runs[-1][0] == prefix and runs[-1][2] == number - 1:
            runs[-1] = (prefix, runs[-1][1], number)
        else:
            runs.append((prefix, number, number))
    return ", ".join(f"{p}{a}" if a == b else f"{p}{a}:{p}{b}" for p, a, b in runs)


# ---- for reading only ----------------------------------------------------------------------------


def _listing(program: Program, target: Target, labels: _Labels) -> str:
    count = sum(len(section) for section in program.sections)
    out = [
        f"{program.isa} program for {program.chip or 'no particular chip'}: "
        f"{len(program.sections):,} sections, {count:,} words, {len(program.tensors):,} tensors"
    ]
    words = _Words(target)
    for section in program.sections:
        out += ["", f"{section.name}  ({len(section):,} words)"]
        words.restart(section.words)
        for i, word in enumerate(section):
            out += [f"{name}:" for name in labels.at.get((section.name, i), ())]
            head, operands, cycle = words.text(i)
            parts = [
                (labels.operand(section.name, field, text) if field in labels.jumps else text)
                + labels.expectation((section.name, i, field))
                for field, text in operands
            ]
            text = f"{head.partition('  #')[0]} {', '.join(parts)}".rstrip()
            source = ""
            if i < len(section.lines):
                file, line = section.lines[i]
                if file < len(program.files):
                    source = f"{program.files[file]}:{line}"
            when = f"@{cycle:<7} " if target.timed else ""
            out.append(f"  {i:4}  {when}{word:032x}  {text:<40}  {source}".rstrip())
    return "\n".join(out) + "\n"


def explain_word(word: int, isa: InstructionSet = LPU) -> str:
    """One word, field by field from the top bit down; `DecodeError` where it is no instruction.

    >>> print(explain_word(0x10_00000000_00000310))
    0x00000000000000100000000000000310   read s3.e, 16
    ...
    """
    instruction = isa.decode(word)
    row = instruction.row
    lines = [f"0x{word:0{2 * WORD_BYTES}x}   {isa.print(instruction)}"]
    rows = []
    for f in row.fields:
        raw = (word & f.mask) >> f.lo
        text = f.print(instruction[f.name]) or "-"
        if isinstance(f, ImmediateField):
            used = [v for v in instruction.values.values() if isinstance(v, Imm)]
            text = str(used[0]) if used else "-"
        rows.append((f.lo, f.width, raw, f.name, text))
    where = "every queue" if row.unit == "*" else f"{row.unit} queues"
    timing = f", latency {row.timing}" if row.timing else ""
    rows.append((OPCODE.lo, OPCODE.width, row.code, "opcode", f"{row.name}, {where}{timing}"))
    for lo, width, raw, name, text in sorted(rows, reverse=True):
        digits = f"0x{raw:0{(width + 3) // 4}x}"
        lines.append(f"  {lo + width - 1:3}..{lo:3}  {digits:<22}  {name:<8} {text}")
    lines.append(f"  {row.doc}")
    return "\n".join(lines)
