"""The reference manual of an instruction set, as Markdown made from its table.

python -m isa.manual lpu > docs/isa-lpu.md
python -m isa.manual npu > docs/isa-npu.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from isa import manual_text as text
from isa.asm.directives import DIRECTIVES, Directive
from isa.asm.layouts import PLACE_KEYS
from isa.asm.tensors import TENSOR_KEYS
from isa.fields import (
    EntriesField,
    EnumField,
    Field,
    FlagField,
    ImmediateField,
    IntField,
    OperandField,
    OptionalStreamField,
    StreamField,
)
from isa.lpu import LPU
from isa.npu import NPU
from isa.npu_fields import COUNTS, GuardField, MaybeRegField, RegField, ValueField
from isa.table import BYTES_OF, OPCODE, InstructionSet, Row


@dataclass(frozen=True)
class Manual:
    """What a machine class has beside its rows."""

    isa: InstructionSet
    intro: str
    units: Mapping[str, str]  # unit of a row -> heading
    language: str
    tensors: str
    tensor_keys: Mapping[str, str]


MANUALS = {
    "lpu": Manual(LPU, text.LPU_INTRO, text.LPU_UNITS, text.LPU_LANGUAGE, text.LPU_TENSORS,
                  {**PLACE_KEYS, **TENSOR_KEYS}),
    "npu": Manual(NPU, text.NPU_INTRO, text.NPU_UNITS, text.NPU_LANGUAGE, text.NPU_TENSORS, {}),
}  # fmt: skip


def manual(machine: str) -> str:
    """The text of ``docs/isa-<machine>.md``."""
    return "".join(f"{line}\n" for line in _lines(MANUALS[machine])).rstrip() + "\n"


def _lines(m: Manual) -> Iterator[str]:
    sizes: dict[int, list[str]] = {}
    for name, size in BYTES_OF.items():
        sizes.setdefault(size, []).append(name)
    yield m.intro.format(bytes="; ".join(f"{n}: {', '.join(sizes[n])}" for n in sorted(sizes)))
    yield "## Instructions\n"
    yield "| instruction | unit | opcode | |"
    yield "|---|---|---|---|"
    for row in m.isa.rows:
        unit = "every queue" if row.unit == "*" else row.unit
        doc = row.doc.replace("|", "\\|")
        yield f"| [`{row.name}`](#{row.name}) | {unit} | `{row.code:#04x}` | {doc} |"
    yield ""
    for unit in dict.fromkeys(row.unit for row in m.isa.rows):
        yield f"## {m.units[unit]}\n"
        for row in m.isa.rows:
            if row.unit == unit:
                yield from _row(row)
    yield m.language + text.DIRECTIVES.rstrip()
    for directive in dict.fromkeys(DIRECTIVES.values()):
        yield _directive(directive)
    yield m.tensors.rstrip()
    for key, doc in m.tensor_keys.items():
        yield f"| `{key}=` | {doc} |"
    yield text.VALUES.rstrip()


def _directive(directive: Directive) -> str:
    names = ", ".join(f"`.{name}`" for name in directive.names)
    form = f" `{directive.form}`" if directive.form else ""
    return f"| {names}{form} | {directive.doc} |"


def _row(row: Row) -> Iterable[str]:
    yield f"### {row.name}\n"
    yield f"    {row.syntax}\n"
    yield f"{row.doc}\n"
    facts = [f"opcode `{row.code:#04x}`"]
    if row.pipe:
        facts.append(f"pipe `{row.pipe}`")
    if row.timing:
        facts.append(f"timing key `{row.timing}`")
    if row.strided:
        facts.append(f"`repeat` advances `{row.strided}`")
    if row.aliases:
        facts.append("also spelled " + ", ".join(f"`{alias}`" for alias in row.aliases))
    yield "; ".join(facts) + ".\n"
    yield "| bits | field | form | values | |"
    yield "|---:|---|---|---|---|"
    fields = [*row.fields, OPCODE]
    for f in sorted(fields, key=lambda f: -f.lo):
        high = f.lo + f.width - 1
        bits = f"{high}-{f.lo}" if f.width > 1 else f"{f.lo}"
        if f is OPCODE:
            yield f"| {bits} | `opcode` |  | `{row.code:#04x}` |  |"
            continue
        yield f"| {bits} | `{f.name}` | {_form(f)} | {_values(f)} | {_remark(f)} |"
    yield ""


def _form(f: Field) -> str:
    shapes = {"suffix": "suffix", "key": f"`{f.name}=`", "flag": "flag", "hidden": ""}
    form = shapes.get(f.role, "operand")
    return f"{form}, optional" if f.optional and f.role not in ("flag", "hidden") else form


def _values(f: Field) -> str:
    match f:
        case IntField():
            low, high = f.bounds
            return f"{low:,} to {high:,}"
        case EnumField():
            return ", ".join(f"{name} = {code}" for name, code in f.choices.items())
        case FlagField():
            return "there or not"
        case EntriesField():
            return f"{f.count} numbers of {f.each} bits, 0 to {f.most}"
        case OperandField():
            return "stream or `_`" if f.destination else "stream, ALU or number"
        case OptionalStreamField():
            return "stream; bit 6 set if there"
        case StreamField():
            return "stream"
        case ImmediateField():
            return "int32, or fp32 bits"
        case ValueField():
            return _value(f)
        case RegField() | MaybeRegField():
            last = COUNTS[f.file] - 1
            return f"{f.file}0 to {f.file}{last}" + (", or `_`" if f.optional else "")
        case GuardField():
            return "q0 to q6, or with `!` their opposite"
    return f.kind


def _value(f: ValueField) -> str:
    """A register of one of the files, or a number."""
    low, high = f.bounds
    forms = [f"{file}0 to {file}{COUNTS[file] - 1}" for file in f.files]
    return ", ".join([*forms, f"{low:,} to {high:,}"]) + (", or a float" if f.floats else "")


def _remark(f: Field) -> str:
    parts = [f.doc] if f.doc and f.doc not in ("stream, or _", _VXM_OPERAND) else []
    rule = f.reads or f.writes
    if rule:
        parts.append(f"{'reads' if f.reads else 'drives'} {_streams(rule)}")
    return "; ".join(parts)


_VXM_OPERAND = "stream, chained ALU or number"


def _streams(rule: str) -> str:
    if rule.isdigit():
        return f"{rule} stream" + ("s" if rule != "1" else "")
    name, _, extra = rule[1:].partition("+")
    text = f"`{name}` streams" if name == "width" else f"one stream per byte of `{name}`"
    return text + (", and one of scales for block-scaled types" if extra else "")


if __name__ == "__main__":
    sys.stdout.write(manual(sys.argv[1]))
