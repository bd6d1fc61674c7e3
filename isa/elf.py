"""Object files: a `Program` as ELF64, little-endian, relocatable, machine number 0x5053 ("PS").

The number is in the range that no registered machine uses; ``e_flags`` is 1 for the LPU, 2 for the
NPU. What the file holds:

    NAME                   one PROGBITS section per queue or function, its words
    .rodata                the data of const tensors, one after another
    .note.presil.program   type 0x5301: JSON with format, isa, chip, files, meta, names of operands,
                           digest
    .note.presil.tensors   type 0x5302: JSON with the tensor table and where in .rodata data lies
    .note.presil.expects   type 0x5303: 32-bit numbers: section, word, operand, streams, then per
                           stream how many producers and (section, word) of each
    .note.presil.lines     type 0x5304: 32-bit numbers: per section how many, then (file, line)s
    .symtab                labels (global, value = 16 x word) and const tensors (local, objects)

Every note is a proper Elf64_Nhdr with the name "Presil". The digest covers all that is read back,
so damage is noticed wherever it strikes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from isa.collector import no_collection
from isa.fields import WORD_BYTES
from isa.program import (
    Expectations,
    Producer,
    Program,
    Section,
    Tensor,
    tensors_from_json,
    tensors_to_json,
)

MACHINE = 0x5053
FORMAT = 1
FLAGS = {"lpu": 1, "npu": 2}
NOTE_NAME = b"Presil\0"
NOTES = {"program": 0x5301, "tensors": 0x5302, "expects": 0x5303, "lines": 0x5304}

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_NHDR = struct.Struct("<III")
_IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)
_PROGBITS, _SYMTAB, _STRTAB, _NOTE = 1, 2, 3, 7
_ALLOC, _EXEC = 2, 4
_GLOBAL, _OBJECT = 1 << 4, 1
_MOST_SECTIONS = 0xFF00


class ObjectFileError(ValueError):
    """A file that is no Presil object file, or a damaged one; or a program that fits in none."""


# ---- writing -------------------------------------------------------------------------------------


class _Out(NamedTuple):
    """A section to be written."""

    name: str
    kind: int
    flags: int
    data: bytes
    link: int = 0
    info: int = 0
    align: int = 1
    each: int = 0


def write_elf(program: Program) -> bytes:
    """The program as an object file; `ObjectFileError` for names that ELF cannot hold."""
    if program.isa not in FLAGS:
        raise ObjectFileError(f"no object format for the machine class '{program.isa}'")
    if len(program.sections) > _MOST_SECTIONS:
        raise ObjectFileError(f"an object file has at most {_MOST_SECTIONS:,} sections")
    sections = [
        _Out(s.name, _PROGBITS, _ALLOC | _EXEC, s.words, align=WORD_BYTES, each=WORD_BYTES)
        for s in program.sections
    ]
    number = {section.name: i for i, section in enumerate(program.sections, 1)}
    if len(number) != len(sections):
        raise ObjectFileError("two sections of the program have the same name")
    rodata = b"".join(tensor.data or b"" for tensor in program.tensors)
    rodata_number = len(sections) + 1
    sections.append(_Out(".rodata", _PROGBITS, _ALLOC, rodata, align=16))
    for name, data in _notes(program, number, rodata).items():
        note = _NHDR.pack(len(NOTE_NAME), len(data), NOTES[name])
        note += _padded(NOTE_NAME) + _padded(data)
        sections.append(_Out(f".note.presil.{name}", _NOTE, 0, note, align=4))
    strings = _Strings()
    symbols, first_global = _symbols(program, number, rodata_number, strings)
    link = len(sections) + 2
    sections.append(
        _Out(".symtab", _SYMTAB, 0, symbols, link, first_global, align=8, each=_SYM.size)
    )
    sections.append(_Out(".strtab", _STRTAB, 0, bytes(strings.data)))
    return _file(sections, FLAGS[program.isa])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.data = bytearray(1)

    def add(self, text: str) -> int:
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise ObjectFileError(f"the name {text!r} is no UTF-8 text") from None
        if b"\0" in encoded:
            raise ObjectFileError(f"the name {text!r} has a zero byte in it")
        start = len(self.data)
        self.data += encoded + b"\0"
        return start


def _file(sections: Sequence[_Out], flags: int) -> bytes:
    """Header, contents and section headers."""
    names = _Strings()
    headers = [bytes(_SHDR.size)]
    body = bytearray()
    table = _Out(".shstrtab", _STRTAB, 0, b"")
    offsets = [names.add(section.name) for section in (*sections, table)]
    contents = [*sections, table._replace(data=bytes(names.data))]
    for section, name in zip(contents, offsets, strict=True):
        body += bytes(-(_EHDR.size + len(body)) % section.align)
        headers.append(
            _SHDR.pack(
                name, section.kind, section.flags, 0, _EHDR.size + len(body), len(section.data),
                section.link, section.info, section.align, section.each,
            )
        )  # fmt: skip
        body += section.data
    body += bytes(-len(body) % 8)
    header = _EHDR.pack(
        _IDENT, 1, MACHINE, 1, 0, 0, _EHDR.size + len(body), flags, _EHDR.size, 0, 0,
        _SHDR.size, len(headers), len(headers) - 1,
    )  # fmt: skip
    return header + bytes(body) + b"".join(headers)


def _symbols(
    program: Program, number: Mapping[str, int], rodata: int, strings: _Strings
) -> tuple[bytes, int]:
    """The symbol table and the position of its first global entry."""
    out = bytearray(_SYM.size)
    offset = 0
    for tensor in program.tensors:
        size = len(tensor.data or b"")
        if size:
            out += _SYM.pack(strings.add(tensor.name), _OBJECT, 0, rodata, offset, size)
            offset += size
    first_global = len(out) // _SYM.size
    for name, (section, word) in program.symbols.items():
        place = number.get(section)
        if place is None or not 0 <= word <= len(program.sections[place - 1]):
            raise ObjectFileError(f"the symbol '{name}' names a word that is not there")
        out += _SYM.pack(strings.add(name), _GLOBAL, 0, place, word * WORD_BYTES, 0)
    return bytes(out), first_global


def _notes(program: Program, number: Mapping[str, int], rodata: bytes) -> dict[str, bytes]:
    operands = sorted({operand for _, _, operand in program.expects})
    placed = []
    offset = 0
    for tensor in program.tensors:
        size = None if tensor.data is None else len(tensor.data)
        placed.append(None if size is None else [offset, size])
        offset += size or 0
    bare = tuple(replace(tensor, data=None) for tensor in program.tensors)
    tensors = {"data": placed, "tensors": json.loads(tensors_to_json(bare))}
    lines: list[int] = []
    for section in program.sections:
        lines.append(len(section.lines))
        for file, line in section.lines:
            lines += (file, line)
    notes = {
        "tensors": _json(tensors),
        "expects": _numbers(_expects_numbers(program.expects, number, operands)),
        "lines": _numbers(lines),
    }
    about = {
        "format": FORMAT, "isa": program.isa, "chip": program.chip, "files": list(program.files),
        "meta": dict(program.meta), "operands": operands,
    }  # fmt: skip
    digest = _digest(about, program.sections, rodata, notes, program.symbols)
    return {"program": _json({**about, "digest": digest}), **notes}


def _json(value: Any, *, sort: bool = False) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=sort).encode()
    except (TypeError, ValueError) as error:
        raise ObjectFileError(f"the program's meta is no JSON: {error}") from None


def _numbers(values: Sequence[int]) -> bytes:
    try:
        return struct.pack(f"<{len(values)}I", *values)
    except struct.error:
        raise ObjectFileError("a line or word number has more than 32 bits") from None


def _expects_numbers(
    expects: Expectations, number: Mapping[str, int], operands: Sequence[str]
) -> list[int]:
    position = {name: i for i, name in enumerate(operands)}
    out: list[int] = []
    try:
        for (section, word, operand), streams in expects.items():
            out += (number[section], word, position[operand], len(streams))
            for producers in streams:
                out.append(len(producers))
                for name, index in producers:
                    out += (number[name], index)
    except KeyError as error:
        raise ObjectFileError(f"an expectation names the section {error}") from None
    return out


def _digest(
    about: Mapping[str, Any],
    sections: Sequence[Section],
    rodata: bytes,
    notes: Mapping[str, bytes],
    symbols: Mapping[str, Producer],
) -> str:
    digest = hashlib.sha256()
    parts = [_json(about, sort=True), rodata]
    parts += [notes[name] for name in sorted(notes)]
    parts += [_json(sorted(symbols.items()))]
    for section in sections:
        parts += [section.name.encode(), section.words]
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


# ---- reading -------------------------------------------------------------------------------------


class _In(NamedTuple):
    """A section as the file has it."""

    name: str
    kind: int
    flags: int
    data: bytes
    link: int


def read_elf(data: bytes) -> Program:
    """The program in an object file; `ObjectFileError` says what is wrong with any other bytes."""
    try:
        with no_collection():
            return _read(bytes(data))
    except ObjectFileError:
        raise
    except (ValueError, TypeError, LookupError, struct.error, OverflowError, MemoryError,
            AttributeError, RecursionError) as error:  # fmt: skip
        raise ObjectFileError(f"the file is damaged: {error}") from None


def is_elf(data: bytes) -> bool:
    """Whether the bytes begin as an ELF file does."""
    return data[:4] == _IDENT[:4]


def _read(data: bytes) -> Program:
    sections = _sections(data)
    notes = {
        name: _note(section.data, NOTES[name])
        for name in NOTES
        for section in sections
        if section.kind == _NOTE and section.name == f".note.presil.{name}"
    }
    for name in NOTES:
        if name not in notes:
            raise ObjectFileError(f"the file is damaged: it has no .note.presil.{name}")
    about = json.loads(notes.pop("program"))
    digest = about.pop("digest")
    if about["format"] != FORMAT:
        raise ObjectFileError(f"the file has format {about['format']}; this is for {FORMAT}")
    code = [(i, s) for i, s in enumerate(sections) if s.kind == _PROGBITS and s.flags & _EXEC]
    queues = [Section(s.name, s.data) for _, s in code]
    rodata = next((s.data for s in sections if s.name == ".rodata"), b"")
    symbols = _read_symbols(sections, {i: s.name for i, s in code})
    if digest != _digest(about, queues, rodata, notes, symbols):
        raise ObjectFileError("the file is damaged: its digest does not match")
    _check_about(about)
    lines = _read_lines(notes["lines"], len(queues))
    return Program(
        isa=about["isa"],
        chip=about["chip"],
        sections=tuple(replace(q, lines=table) for q, table in zip(queues, lines, strict=True)),
        tensors=_read_tensors(notes["tensors"], rodata),
        expects=_read_expects(notes["expects"], queues, about["operands"]),
        symbols=symbols,
        files=tuple(about["files"]),
        meta=about["meta"],
    )


def _check_about(about: Any) -> None:
    texts = [about["isa"], about["chip"], *about["files"], *about["operands"]]
    if not all(isinstance(text, str) for text in texts) or not isinstance(about["meta"], dict):
        raise ObjectFileError("the file is damaged: its program note holds other things than text")


def _sections(data: bytes) -> list[_In]:
    """All sections, with their contents."""
    if len(data) < _EHDR.size or not is_elf(data):
        raise ObjectFileError("this is no object file: it does not begin as ELF does")
    if data[4:7] != _IDENT[4:7]:
        raise ObjectFileError("this is no Presil object file: it is not 64-bit little-endian ELF")
    fields = _EHDR.unpack_from(data)
    machine, offset, flags = fields[2], fields[6], fields[7]
    each, count, names = fields[11:14]
    if machine != MACHINE:
        message = f"this is an ELF file for machine {machine:#06x}, not for Presil ({MACHINE:#06x})"
        raise ObjectFileError(message)
    if flags not in FLAGS.values():
        raise ObjectFileError(f"the file is damaged: no machine class has number {flags}")
    if each != _SHDR.size or not 0 < names < count:
        raise ObjectFileError("the file is damaged: its section table is not as ELF has it")
    headers = [
        _SHDR.unpack(_cut(data, offset + i * each, each, "the section table")) for i in range(count)
    ]
    table = _cut(data, headers[names][4], headers[names][5], "the section names")
    return [
        _In(
            _string(table, h[0]), h[1], h[2],
            _cut(data, h[4], h[5], "a section") if h[1] else b"", h[6],
        )
        for h in headers
    ]  # fmt: skip


def _cut(data: bytes, start: int, size: int, what: str) -> bytes:
    if start + size > len(data):
        raise ObjectFileError(f"the file is damaged: {what} reaches beyond its end")
    return data[start : start + size]


def _string(table: bytes, start: int) -> str:
    end = table.find(b"\0", start)
    if start >= len(table) or end < 0:
        raise ObjectFileError("the file is damaged: a name lies outside its table")
    return table[start:end].decode()


def _note(data: bytes, kind: int) -> bytes:
    """The contents of a section that is one note."""
    if len(data) < _NHDR.size:
        raise ObjectFileError("the file is damaged: a note has no header")
    name_size, size, found = _NHDR.unpack_from(data)
    start = _NHDR.size + len(_padded(NOTE_NAME))
    name = data[_NHDR.size : _NHDR.size + len(NOTE_NAME)]
    if name_size != len(NOTE_NAME) or name != NOTE_NAME or found != kind:
        raise ObjectFileError("the file is damaged: a note is not Presil's")
    if len(_padded(data[start:])) != size + -size % 4:
        raise ObjectFileError("the file is damaged: a note has another length than it says")
    return data[start : start + size]


def _read_symbols(sections: Sequence[_In], code: Mapping[int, str]) -> dict[str, Producer]:
    """The labels: global symbols in sections of words."""
    table = next((s for s in sections if s.kind == _SYMTAB), None)
    if table is None:
        return {}
    strings = sections[table.link].data
    found: dict[str, Producer] = {}
    for name, info, _, place, value, _ in _SYM.iter_unpack(table.data):
        if info != _GLOBAL:
            continue
        size = len(sections[place].data)
        if place not in code or value > size or value % WORD_BYTES:
            raise ObjectFileError("the file is damaged: a label lies outside its section")
        found[_string(strings, name)] = (code[place], value // WORD_BYTES)
    return found


def _read_tensors(note: bytes, rodata: bytes) -> tuple[Tensor, ...]:
    table = json.loads(note)
    tensors = tensors_from_json(json.dumps(table["tensors"]))
    found = []
    for tensor, place in zip(tensors, table["data"], strict=True):
        data = None if place is None else _cut(rodata, place[0], place[1], "a tensor's data")
        found.append(replace(tensor, data=data))
    return tuple(found)


def _read_lines(note: bytes, sections: int) -> list[tuple[tuple[int, int], ...]]:
    values = struct.unpack(f"<{len(note) // 4}I", note)
    tables = []
    at = 0
    for _ in range(sections):
        count, start = values[at], at + 1
        at = start + 2 * count
        flat = values[start:at]
        tables.append(tuple(zip(flat[::2], flat[1::2], strict=True)))
    if at != len(values):
        raise ObjectFileError("the file is damaged: the line table has another length")
    return tables


def _read_expects(
    note: bytes, queues: Sequence[Section], operands: Sequence[str]
) -> dict[tuple[str, int, str], tuple[tuple[Producer, ...], ...]]:
    values = iter(struct.unpack(f"<{len(note) // 4}I", note))
    names = ["", *(q.name for q in queues)]
    expects: dict[tuple[str, int, str], tuple[tuple[Producer, ...], ...]] = {}
    take = values.__next__
    try:
        for section in values:
            key = (names[section], take(), operands[take()])
            expects[key] = tuple(
                [tuple([(names[take()], take()) for _ in range(take())]) for _ in range(take())]
            )
    except (StopIteration, RuntimeError):
        raise ObjectFileError("the file is damaged: the expectations end too early") from None
    return expects
