"""The reference manual of an instruction set, as Markdown made from its table.

python -m isa.manual > docs/isa-lpu.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

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
from isa.table import BYTES_OF, OPCODE, InstructionSet, Row

_INTRO = """\
# LPU instructions

Made from the table in `isa/lpu.py` by `python -m isa.manual`; change that table instead.

An instruction is a word of 128 bits, stored low byte first; the opcode is in bits 0-7, and bits
that no field uses are 0. Numbers are little-endian, signed ones in two's complement.

- **Streams.** `s8.e` is the eastward stream 8, `s8.w` the westward one; raw, bits 0-4 are the
  number and bit 5 is set for west. An operand names its first stream; how many it takes follows
  from the type: one per byte of an element, aligned to that number.
- **Operands of the VXM** are a stream, a chained ALU (`a3`: what ALU 3 delivers in this very
  cycle), or a number; as a destination, a stream or `_` (the result is only chained). Raw, bits
  6-7 are the kind (0 none, 1 stream, 2 ALU, 3 number) and bits 0-5 the stream or ALU; the
  number is in `imm`, one per word.
- **Time.** An instruction that issues in cycle t in column c reads its operands there in cycle
  t (later where the chip file gives a skew) and drives its result there in cycle t + latency;
  one column further it can be read a cycle later. The *timing key* names the latency in the
  chip file's `[latency]` table.
- **`repeat`** issues the instruction before it again; the *advanced* operand is the one that
  its stride moves.

Bytes per element: {bytes}.
"""

_LANGUAGE = """\
## Assembly text

One statement per line; `#` and `//` begin a comment. A line is

    [LABEL:] [@CYCLE] MNEMONIC[.SUFFIX]... OPERAND, ...

- A label names the next instruction of its queue, wherever in the text it is; labels are one
  name space. Those that begin with `.L` do not reach the object file. Names with odd characters
  stand in quotes.
- `@CYCLE` puts the instruction in that cycle, counted from the queue's start or from its
  release by the last `sync`; the `nop` words before it are filled in. A cycle that has passed
  is an error.
- A stream operand may name the instruction whose value it is meant to get: `s0.e@ld_a`;
  `s0.e@ld_a|ld_b`, either; `s4.e@(b0, b1, b2, b3)`, each stream its own, where `*` stands for
  any, `a*4` for four times `a`, and `...` at the end for any on all that are left. This is kept
  beside the words and checked when the program runs.
- Numbers may be expressions with C's operators and precedence over integers (`0x10`, `0b101`,
  `0o17`, `1_000`) and floats. A name is a symbol, or a label met before: its value is the cycle
  in which that instruction issues. `.` is the next free cycle of the queue. `min` and `max`
  take numbers.
- The number of a stream may be an expression too, in brackets: `s[4 + 1].e`.
- Facts of the chip: `latency(vxm.add)`, `hops(mem.w0, vxm)` (columns between two units),
  `column(sxm.e)`, `chip(lanes)` (any number of the chip file).
- `NAME ARGUMENT, ...` or `NAME ARGUMENT=VALUE` uses a macro.

### Directives

| directive | meaning |
|---|---|
"""

_TENSORS = """
### Tensors

    .tensor NAME, DTYPE, [D0, D1, ...], ROLE, KEY=VALUE, ...
    .place NAME, KEY=VALUE, ...

A vector is one byte per lane. An element of several bytes lies in as many byte planes, low byte
first.

| key | meaning |
|---|---|
"""

_VALUES = """
In `data=` and `fill=` a hexadecimal number is a code, the bit pattern itself. Other numbers are
values: integers for int32, int8, uint8 and uint16; for fp32, fp16 and bf16 numbers with a point
or an exponent, rounded to nearest even. All other types take codes only. Longer data follows
the declaration in data directives.
"""

_UNITS = {
    "*": "Every queue",
    "mem.read": "MEM, read port: queues `mem.SLICE.read`",
    "mem.write": "MEM, write port: queues `mem.SLICE.write`",
    "vxm": "VXM: queues `vxm.ALU`",
    "mxm.weights": "MXM, weights: queues `mxm.PLANE.weights`",
    "mxm.mm": "MXM, activations: queues `mxm.PLANE.mm`",
    "sxm": "SXM: queues `sxm.SIDE.N`",
}


def lpu_manual() -> str:
    """The text of ``docs/isa-lpu.md``."""
    return "".join(f"{line}\n" for line in _manual(LPU)).rstrip() + "\n"


def _manual(isa: InstructionSet) -> Iterable[str]:
    sizes: dict[int, list[str]] = {}
    for name, size in BYTES_OF.items():
        sizes.setdefault(size, []).append(name)
    yield _INTRO.format(bytes="; ".join(f"{n}: {', '.join(sizes[n])}" for n in sorted(sizes)))
    yield "## Instructions\n"
    yield "| instruction | unit | opcode | |"
    yield "|---|---|---|---|"
    for row in isa.rows:
        unit = "every queue" if row.unit == "*" else row.unit
        doc = row.doc.replace("|", "\\|")
        yield f"| [`{row.name}`](#{row.name}) | {unit} | `{row.code:#04x}` | {doc} |"
    yield ""
    units = list(dict.fromkeys(row.unit for row in isa.rows))
    for unit in units:
        yield f"## {_UNITS.get(unit, unit)}\n"
        for row in isa.rows:
            if row.unit == unit:
                yield from _row(row)
    yield _LANGUAGE.rstrip()
    for directive in dict.fromkeys(DIRECTIVES.values()):
        yield _directive(directive)
    yield _TENSORS.rstrip()
    for key, doc in {**PLACE_KEYS, **TENSOR_KEYS}.items():
        yield f"| `{key}=` | {doc} |"
    yield _VALUES.rstrip()


def _directive(directive: Directive) -> str:
    names = ", ".join(f"`.{name}`" for name in directive.names)
    form = f" `{directive.form}`" if directive.form else ""
    return f"| {names}{form} | {directive.doc} |"


def _row(row: Row) -> Iterable[str]:
    yield f"### {row.name}\n"
    yield f"    {row.syntax}\n"
    yield f"{row.doc}\n"
    facts = [f"opcode `{row.code:#04x}`"]
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
    return f.kind


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
    sys.stdout.write(lpu_manual())
