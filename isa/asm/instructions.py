"""Instruction texts to words: parsed by the table, or filled into a template of an earlier one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from isa.asm.source import Fault, Piece, split
from isa.asm.state import Entry, Label, Section, Tail, Template
from isa.asm.target import AGAIN, Target
from isa.fields import WORD_BYTES, FieldError, IntField, near
from isa.operands import OperandError
from isa.table import Instruction, stream_count

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

Wants = tuple[tuple[int, str, int], ...]

_MNEMONIC = re.compile(r"\S+")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_EXPECTED = re.compile(
    rf'@\s*(\([^()"]*\)|[^\s,()@"]+(?![^\s,])|\((?:{_QUOTED}|[^()"])*\)|(?:{_QUOTED}|[^\s,()@"])+)'
)
# An integer that is a whole operand, or all of one behind its key.
_NUMBER = re.compile(r"(?<=[ =])(-?(?:0|[1-9][0-9]{0,18}))(?=,|$)")
_PREFIX = re.compile(r"\s*(?:([A-Za-z_.][A-Za-z0-9_.]*):\s*)?(?:@([0-9]{1,15})\s+)?")
_INDEX = re.compile(r"(?<=\bs)\[([^\[\]]*)\](?=\.)")
_OPERATOR = re.compile(r"[-+*/%&|^~<>()]")
_LONG_GAP = 1 << 16
_BODY = re.compile(r"(?:[a-z0-9]+=)?-?(?:0|[1-9][0-9]{0,18})")


def plain_text(text: str, at: int) -> tuple[str, Wants]:
    """An instruction text without its expectations, and those."""
    if "@" not in text:
        return text, ()
    kept, wants = [], []
    end = commas = 0
    bracketed = False
    for match in _EXPECTED.finditer(text):
        start = match.start()
        part = text[end:start]
        kept.append(part)
        commas += part.count(",")
        bracketed = bracketed or "[" in part or "(" in part
        position = len(split("".join(kept))) - 1 if bracketed else commas
        wants.append((position, match[1], at + match.start(1)))
        end = match.end()
    kept.append(text[end:])
    return "".join(kept), tuple(wants)


def encode(
    asm: Assembler, section: Section, text: str, at: int
) -> tuple[Instruction, Entry, Wants]:
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
    uses = []
    for f in fields:
        value = instruction[f.name]
        reads = bool(f.reads) and hasattr(value, "direction")
        uses.append((f.name, stream_count(f.reads, instruction) if reads else 0))
    for i, want, want_at in wants:
        if not uses[i][1]:
            message = f"{uses[i][0]} reads no stream here, so nothing can be expected of it"
            raise Piece(want, want_at).fault(message, "A022")
    word = isa.encode(instruction).to_bytes(WORD_BYTES, "little")
    hold, span = asm.target.timing(instruction)
    return instruction, Entry(word, hold, span, tuple(uses)), tuple(wants)


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


def make_template(
    templates: dict[tuple[str, ...], Template],
    plain: str,
    instruction: Instruction,
    entry: Entry,
    target: Target,
) -> None:
    """Remember an instruction with holes for its integers, where each is a whole operand.

    `InstructionSet.encode` treats integer fields one by one, which is what makes this exact.
    """
    parts = _NUMBER.split(plain)
    if len(parts) == 1:
        return
    match = _MNEMONIC.match(plain)
    operands = split(plain[match.end() :]) if match else []
    base = int.from_bytes(entry.word, "little")
    numbers, names = [], []
    for (name, _), operand in zip(entry.uses, operands, strict=True):
        if not _BODY.fullmatch(operand.text):
            continue
        f = instruction.row.by_name[name]
        if not isinstance(f, IntField):
            return
        base &= ~f.mask
        numbers.append((*f.bounds, (1 << f.width) - 1, f.lo))
        names.append(name)
    if len(numbers) != len(parts) // 2:
        return
    varying = (instruction, tuple(names)) if instruction.name in target.varying else None
    templates[tuple(parts[::2])] = Template(
        base, tuple(numbers), entry.hold, entry.span, entry.uses, varying
    )


def from_template(section: Section, plain: str, target: Target) -> Entry | None:
    """The entry of a text that differs from an earlier one in integers only, else None."""
    parts = _NUMBER.split(plain)
    template = section.templates.get(tuple(parts[::2]))
    if template is None:
        return None
    word, numbers, hold, span, uses, varying = template
    texts = parts[1::2]
    for text, (low, high, mask, position) in zip(texts, numbers, strict=True):
        value = int(text)
        if not low <= value <= high:
            return None
        word |= (value & mask) << position
    if varying is not None:
        instruction, names = varying
        given = {name: int(text) for name, text in zip(names, texts, strict=True)}
        changed = Instruction(instruction.row, {**instruction.values, **given})
        hold, span = target.timing(changed)
    entry = Entry(word.to_bytes(WORD_BYTES, "little"), hold, span, uses)
    if varying is not None:
        section.known[plain] = entry
    elif not parts[-1] and " " in plain:
        low, high, mask, position = numbers[-1]
        head = plain.rpartition(" ")[0]
        section.tails[head] = Tail(word & ~(mask << position), low, high, mask, position, entry)
    return entry


def _from_tail(section: Section, text: str) -> Entry | None:
    """The entry of a text that is known up to its last word, a number: ``read s3.e, 17``."""
    head, _, number = text.rpartition(" ")
    tail = section.tails.get(head)
    if tail is None or not (number.isascii() and number.isdigit()) or len(number) > 18:
        return None
    word, low, high, mask, position, entry = tail
    value = int(number)
    if not low <= value <= high or (number[0] == "0" and value):
        return None
    word |= (value & mask) << position
    return Entry(word.to_bytes(WORD_BYTES, "little"), entry[1], entry[2], entry[3])


def find(asm: Assembler, section: Section, text: str) -> Entry | None:
    """The entry of a plain instruction text, if it or one like it was met before."""
    return (
        section.known.get(text)
        or _from_tail(section, text)
        or from_template(section, text, asm.target)
    )


def computed_text(asm: Assembler, text: str) -> str:
    """A plain text with the simpler expressions in its operands computed, as far as that goes."""
    if "[" in text:
        text = _INDEX.sub(lambda match: _number(asm, match[1]), text)
    head, blank, rest = text.partition(" ")
    if not blank or "[" in rest or '"' in rest:
        return text
    symbols = asm.scope.symbols
    operands = [piece.text for piece in split(rest)]
    for i, operand in enumerate(operands):
        key, equals, body = operand.rpartition("=")
        word = body.strip()
        if (word in symbols and word not in asm.target.flags) or _OPERATOR.search(word):
            operands[i] = f"{key}{equals}{_number(asm, word)}"
    return f"{head} {', '.join(operands)}"


def means(asm: Assembler, text: str, entry: Entry) -> bool:
    """Whether a plain text, taken literally, is the instruction of an entry."""
    head, _, rest = text.partition(" ")
    isa = asm.target.isa
    try:
        instruction = isa.parse(head, [piece.text for piece in split(rest)])
    except (KeyError, OperandError):
        return False
    return isa.encode(instruction).to_bytes(WORD_BYTES, "little") == entry.word


def _number(asm: Assembler, text: str) -> str:
    """An expression's value as text, or the text where it has none."""
    try:
        return repr(asm.scope.evaluate(text))
    except FieldError:
        return text


def quick(asm: Assembler, section: Section, raw: str) -> bool:
    """Assemble a line of the plainest kind if its instruction is known; else leave it alone.

    What it does for a line is what the long way does, only without the care that errors need.
    """
    label = cycle = None
    wants: Wants = ()
    if ":" in raw or "@" in raw:
        match = _PREFIX.match(raw)
        if match is None:
            return False
        label, cycle = match.groups()
        start = match.end()
        text = raw[start:].rstrip()
        if "@" in text:
            text, wants = plain_text(text, start)
    else:
        text = raw.strip()
    entry = find(asm, section, text)
    if entry is None:
        return False
    word, hold, span, uses, _ = entry
    for operand, _, _ in wants:
        if operand >= len(uses) or not uses[operand][1]:
            return False
    if (hold == AGAIN and not section.repeatable) or (cycle and hold == AGAIN):
        return False
    if cycle and not asm.target.timed:
        return False
    gap = int(cycle) - section.time if cycle else 0
    if not 0 <= gap < _LONG_GAP:
        return False
    labels = asm.labels
    if label and (label in labels or label in asm.scope.symbols or section.pending):
        return False
    if gap:
        asm.skip(section, gap)
    origin = (asm.frame.file, asm.number)
    index = len(section.origins)
    if label:
        time = section.last if hold == AGAIN else section.time
        labels[label] = Label(section, index, time, label[:2] != ".L", *origin)
    for operand, want, at in wants:
        field, count = uses[operand]
        asm.wants.append((section, index, field, count, want, at, asm.frame, asm.number, raw))
    section.append(word, hold, span, origin)
    return True
