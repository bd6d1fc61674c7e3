"""What the manuals say beside the tables: how operands, time and assembly text work.

`isa.manual` puts it together with the rows. Line breaks are those of the pages.
"""

from __future__ import annotations

LPU_INTRO = """\
# LPU instructions

Made from the table in `isa/lpu.py` by `python -m isa.manual lpu`; change that table instead.

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

LPU_UNITS = {
    "*": "Every queue",
    "mem.read": "MEM, read port: queues `mem.SLICE.read`",
    "mem.write": "MEM, write port: queues `mem.SLICE.write`",
    "vxm": "VXM: queues `vxm.ALU`",
    "mxm.weights": "MXM, weights: queues `mxm.PLANE.weights`",
    "mxm.mm": "MXM, activations: queues `mxm.PLANE.mm`",
    "sxm": "SXM: queues `sxm.SIDE.N`",
}

LPU_LANGUAGE = """\
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

"""

DIRECTIVES = """\
### Directives

| directive | meaning |
|---|---|
"""

LPU_TENSORS = """
### Tensors

    .tensor NAME, DTYPE, [D0, D1, ...], ROLE, KEY=VALUE, ...
    .place NAME, KEY=VALUE, ...

A vector is one byte per lane. An element of several bytes lies in as many byte planes, low byte
first.

| key | meaning |
|---|---|
"""

NPU_INTRO = """\
# NPU instructions

Made from the tables in `isa/npu_core.py`, `isa/npu_simd.py` and `isa/npu_simt.py` by `python -m
isa.manual npu`; change those tables instead.

An instruction is a word of 128 bits, stored low byte first; the opcode is in bits 0-7, and bits
that no field uses are 0. Numbers are little-endian, signed ones in two's complement.

- **Sections.** A program has at most one section `core.cube` and one `core.vector`, which the
  scalar unit of each sub-core runs, and any number of functions `simd.NAME` and `simt.NAME`,
  which the vector unit runs when `vcall` hands them over. Every block runs the same program;
  `sr.block` tells them apart.
- **Registers.** `x0` to `x31` are the scalar registers of 64 bits, `x0` reads 0; `v0` to `v31`
  vectors of 256 bytes; `p0` to `p7` masks, a bit per lane; in SIMT functions `r0` to `r126` are
  a thread's registers of 32 bits, `q0` to `q6` its predicates, `u0` to `u15` the arguments of the
  call, the same in all threads.
- **Pipes.** Scalar instructions run in order in the scalar unit. The others are handed to the
  pipe that the table names, with their operands as they are at that moment; a pipe works them
  off in order, beside all others. What one pipe writes and another reads is ordered by flags
  (`set_flag`, `wait_flag`), pipe barriers, or, between sub-cores, counted flags.
- **Addresses and sizes.** Addresses and pitches count bytes, sizes count elements. An optional
  operand that is left out is `x0`, and 0 means: one row, one plane, rows without gaps, no padding.
- **Time.** The *timing key* names the latency in the chip file's `[latency]` table; pipes that
  move or multiply have tables of their own there (`[dma]`, `[cube]`).

Bytes per element: {bytes}.
"""

NPU_UNITS = {
    "scalar": "Scalar unit: every core program; arithmetic and branches in SIMD functions too",
    "core": "Cube and vector sub-cores: `.core cube`, `.core vector`",
    "cube": "Cube sub-core: `.core cube`",
    "vector": "Vector sub-core: `.core vector`",
    "simd": "SIMD functions: `.simd NAME`",
    "simt": "SIMT functions: `.simt NAME`",
}

NPU_LANGUAGE = """\
## Assembly text

One statement per line; `#` and `//` begin a comment. A line is

    [LABEL:] MNEMONIC[.SUFFIX]... OPERAND, ..., KEY=OPERAND, FLAG

- A label names the next instruction of its section, wherever in the text it is; branches, loops
  and meeting points take one. Labels are one name space. Those that begin with `.L` do not reach
  the object file. Names with odd characters stand in quotes.
- `vcall` takes a function's name.
- Numbers may be expressions with C's operators and precedence over integers (`0x10`, `0b101`,
  `0o17`, `1_000`) and floats. A name is a symbol. `min` and `max` take numbers.
- `.meta blocks N` says how many blocks the program runs as.
- `NAME ARGUMENT, ...` or `NAME ARGUMENT=VALUE` uses a macro.

"""

NPU_TENSORS = """
### Tensors

    .tensor NAME, DTYPE, [D0, D1, ...], ROLE, at=ADDRESS

A tensor lies in global memory in C order, from ADDRESS on. 4-bit elements are packed two to a
byte, low nibble first, and every row of the last axis begins with a whole byte.

| key | meaning |
|---|---|
| `at=` | its first byte's address in global memory |
| `data=` | `[v, ...]`: the elements of a const in C order |
| `fill=` | the element that a const without (or with too little) data is filled with |
"""

VALUES = """
In `data=` and `fill=` a hexadecimal number is a code, the bit pattern itself. Other numbers are
values: integers for int32, int8, uint8 and uint16; for fp32, fp16 and bf16 numbers with a point
or an exponent, rounded to nearest even. All other types take codes only. Longer data follows
the declaration in data directives.
"""
