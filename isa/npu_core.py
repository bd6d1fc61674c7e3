"""Rows of the NPU's scalar units and of the pipes they drive: DMA, cube, FIX, flags.

Sizes: `n`, `rows`, `cols`, `m`, `k` count elements; pitches and addresses count bytes. A row of
4-bit elements takes whole bytes. An operand left out is x0, which reads 0, and 0 means: one row,
one plane, rows without gaps, no padding.
"""

from __future__ import annotations

from isa.fields import EnumField, Field, FlagField, IntField
from isa.lpu import TYPES as LPU_TYPES
from isa.npu_fields import MaybeRegField, Reg, RegField, ValueField
from isa.npu_layout import CONDITIONS, packed
from isa.table import Row

TYPES = {**LPU_TYPES, "int16": 16, "uint16": 17, "uint32": 18, "mxfp8_e5m2": 19}
PIPES = {"scalar": 0, "mte1": 1, "mte2": 2, "mte3": 3, "m": 4, "fix": 5, "v": 6}
SPACES = {"gm": 0, "ub": 1, "l1": 2, "l0a": 3, "l0b": 4, "l0c": 5, "l0as": 6, "l0bs": 7, "bias": 8}
WIDTHS = {"b4": 0, "b8": 1, "b16": 2, "b32": 3, "b64": 4, "b128": 5}
# What the scalar unit can ask about where it runs.
SPECIAL = {"block": 0, "blocks": 1, "sub": 2, "core": 3, "cycle": 4}
# Where a counted flag goes: a sub-core of the same block, or a meeting of the same sub-core of all
# blocks (when the last has set it, it counts one for each).
SCOPES = {"cube": 0, "vector0": 1, "vector1": 2, "vectors": 3, "grid": 4}
# M and the 512 B units of L0C: ignore the hand-over, wait until FIX has taken what was handed over
# there, or wait and hand over what is written.
UNIT_FLAG = {"off": 0, "check": 2, "set": 3}
CACHE = {"normal": 0, "stream": 1}

MMAD_TYPES = (
    "fp16",
    "bf16",
    "fp32",
    "e4m3",
    "e5m2",
    "hif8",
    "int8",
    "mxfp8",
    "mxfp8_e5m2",
    "mxfp4",
)
FIX_TYPES = ("fp32", "int32", "fp16", "bf16", "int8", "uint8", "e4m3", "e5m2", "hif8")


def choice(name: str, choices: dict[str, int], width: int = 0, role: str = "suffix") -> Field:
    width = width or max(choices.values()).bit_length() or 1
    return EnumField(name=name, lo=0, width=width, role=role, choices=choices)


def types(name: str, *names: str) -> Field:
    return choice(name, {n: TYPES[n] for n in names}, 5)


def widths(*names: str) -> Field:
    return choice("width", {n: WIDTHS[n] for n in names}, 3)


def x(name: str, doc: str = "") -> Field:
    return RegField(name=name, lo=0, width=5, doc=doc)


def opt(name: str, doc: str = "") -> Field:
    """A scalar register given as ``name=x7``; x0 if left out."""
    zero = Reg("x", 0)
    return RegField(name=name, lo=0, width=5, role="key", optional=True, default=zero, doc=doc)


def value(name: str, width: int = 34, files: str = "x", floats: bool = False) -> Field:
    return ValueField(name=name, lo=0, width=width, files=files, floats=floats)


def flag(name: str, doc: str = "") -> Field:
    return FlagField(name=name, lo=0, doc=doc)


TARGET = IntField(name="target", lo=0, width=20, doc="word of this section")
EVENT = ValueField(name="id", lo=0, width=7, least=0, most=7, doc="flag")
COUNTED = ValueField(name="id", lo=0, width=7, least=0, most=10, doc="counted flag")
OFFSET = IntField(name="offset", lo=0, width=24, signed=True, optional=True, default=0, doc="bytes")


def core(code: int, name: str, fields: tuple[Field, ...], doc: str, *, unit: str = "scalar",
         pipe: str = "scalar", timing: str = "scalar.alu") -> Row:  # fmt: skip
    return Row(name=name, code=code, unit=unit, fields=packed(*fields), timing=timing,
               semantics=name, pipe=pipe, doc=doc)  # fmt: skip


_BINARY = (x("dst"), x("a"), value("b"))
_STRIDES = (
    opt("rows", "of the source"), opt("src_pitch", "row to row"), opt("dst_pitch", "row to row"),
    opt("planes", "repetitions of the 2-D copy"), opt("src_plane", "plane to plane"),
    opt("dst_plane", "plane to plane"),
)  # fmt: skip
_PADDING = (
    opt("cols", "row length at the destination, the rest padded"),
    opt("high", "rows at the destination, the rest padded"),
    opt("pad", "the element to pad with"),
)

# fmt: off
ROWS = (
    core(0x01, "mov", (x("dst"), value("a", 66, floats=True)),
         "dst = a; a float number is its 32 bits."),
    core(0x02, "add", _BINARY, "dst = a + b, 64 bits, wrapping."),
    core(0x03, "sub", _BINARY, "dst = a - b."),
    core(0x04, "mul", _BINARY, "dst = a * b, low 64 bits.", timing="scalar.mul"),
    core(0x05, "div", _BINARY, "dst = a / b, signed, toward zero; b = 0 gives -1.",
         timing="scalar.div"),
    core(0x06, "rem", _BINARY, "dst = remainder with the sign of a; b = 0 gives a.",
         timing="scalar.div"),
    core(0x07, "and", _BINARY, "dst = a & b."),
    core(0x08, "or", _BINARY, "dst = a | b."),
    core(0x09, "xor", _BINARY, "dst = a ^ b."),
    core(0x0a, "shl", _BINARY, "dst = a << (b mod 64)."),
    core(0x0b, "shr", _BINARY, "dst = a >> (b mod 64), zeros come in."),
    core(0x0c, "sar", _BINARY, "dst = a >> (b mod 64), the sign comes in."),
    core(0x0d, "min", _BINARY, "The smaller, signed."),
    core(0x0e, "max", _BINARY, "The larger, signed."),
    core(0x0f, "cmp", (choice("cond", CONDITIONS), *_BINARY), "dst = 1 if a cond b, else 0."),
    core(0x10, "br", (choice("cond", CONDITIONS), x("a"), value("b"), TARGET),
         "Go to target if a cond b.", timing="scalar.branch"),
    core(0x11, "jump", (TARGET,), "Go to target.", timing="scalar.branch"),
    core(0x12, "call", (x("dst"), TARGET), "dst = the next word's index; go to target.",
         timing="scalar.branch"),
    core(0x13, "ret", (x("a"),), "Go to the word whose index is in a.", timing="scalar.branch"),
    core(0x14, "sr", (choice("which", SPECIAL), x("dst")),
         "dst = block number, number of blocks, sub-core of the block (cube 0, vectors 0 and 1), "
         "core, or cycles since the first block began."),
    core(0x15, "ld", (choice("space", {"gm": 0, "ub": 1}, 4),
                      choice("width", {"u8": 0, "u16": 1, "u32": 2, "s8": 3, "s16": 4, "s32": 5,
                                       "b64": 6}), x("dst"), x("base"), OFFSET),
         "dst = memory at base + offset.", timing="scalar.ld"),
    core(0x16, "st", (choice("space", {"gm": 0, "ub": 1}, 4), widths("b8", "b16", "b32", "b64"),
                      x("a"), x("base"), OFFSET), "Memory at base + offset = a.",
         timing="scalar.st"),
    core(0x17, "end", (), "End of the block's program, or of the SIMD function."),

    core(0x20, "load", (choice("space", {"ub": 1, "l1": 2}, 4), widths("b4", "b8", "b16", "b32"),
                        x("dst"), x("src"), x("n"), *_STRIDES, *_PADDING, flag("transpose"),
                        EnumField(name="l2", lo=0, width=1, role="key", optional=True,
                                  default="normal", choices=CACHE)),
         "MTE2: copy rows of n elements from global memory, with transpose as columns; stream "
         "does not keep them in L2.", unit="core", pipe="mte2", timing="mte2"),
    core(0x21, "store", (choice("space", {"gm": 0, "l1": 2}, 4), widths("b4", "b8", "b16", "b32"),
                         x("dst"), x("src"), x("n"), *_STRIDES),
         "MTE3: copy rows of n elements out of UB.", unit="vector", pipe="mte3", timing="mte3"),
    core(0x22, "load0", (choice("buf", {k: SPACES[v] for k, v in
                                        {"a": "l0a", "b": "l0b", "as": "l0as", "bs": "l0bs",
                                         "bias": "bias"}.items()}, 4),
                         widths("b4", "b8", "b16", "b32"), x("dst"), x("src"), x("rows"), x("cols"),
                         opt("pitch", "row to row in L1"), flag("transpose")),
         "MTE1: a dense [rows, cols] tile for the cube from L1: a is [m, k], b is [k, n], as "
         "[m, k/32] and bs [k/32, n] are e8m0 scales, bias is [1, n]. With transpose L1 holds "
         "[cols, rows].", unit="cube", pipe="mte1", timing="mte1"),
    core(0x23, "mmad", (types("type", *MMAD_TYPES),
                        x("dst"), x("a"), x("b"), x("m"), x("n"), x("k"),
                        MaybeRegField(name="bias", lo=0, width=6, file="x", role="key",
                                      doc="address of [1, n] in the bias buffer"),
                        opt("ascale", "address in as"), opt("bscale", "address in bs"),
                        flag("init", "start at 0 (or at bias) instead of adding"),
                        EnumField(name="unit", lo=0, width=2, role="key", optional=True,
                                  default="off", choices=UNIT_FLAG,
                                  doc="hand-over to FIX per 512 B")),
         "M: L0C [m, n] = or += L0A [m, k] x L0B [k, n], chunk by chunk of k, each chunk exact "
         "and rounded once.", unit="cube", pipe="m", timing="m"),
    core(0x24, "fix", (choice("space", {"gm": 0, "ub": 1, "l1": 2}, 4),
                       types("type", "fp32", "int32"),
                       types("to", *FIX_TYPES), x("dst"), x("src"), x("m"), x("n"),
                       opt("src_pitch", "row to row in L0C"), opt("dst_pitch", "row to row"),
                       MaybeRegField(name="scale", lo=0, width=6, file="x", role="key",
                                     doc="fp32 factor; with channel the L1 address of n of them"),
                       opt("sub", "which vector sub-core's UB"), flag("channel"), flag("relu"),
                       flag("sat", "saturate"), flag("split", "half of the rows to each UB"),
                       flag("add", "add to what global memory holds"),
                       flag("unit", "take each 512 B as M hands it over")),
         "FIX: L0C [m, n] times scale, through relu, converted, to global memory, L1 or UB.",
         unit="cube", pipe="fix", timing="fix"),

    core(0x28, "set_flag", (choice("src", PIPES), choice("dst", PIPES), EVENT),
         "When src has done what it was given: raise flag id of (src, dst). Raising a raised flag "
         "is an error.", unit="core", pipe="@src", timing="flag"),
    core(0x29, "wait_flag", (choice("src", PIPES), choice("dst", PIPES), EVENT),
         "dst waits for flag id of (src, dst) and lowers it.", unit="core", pipe="@dst",
         timing="flag"),
    core(0x2a, "barrier", (choice("which", {**PIPES, "all": 7}),),
         "The pipe goes on when all it was given before is done; all: the scalar unit waits for "
         "every pipe.", unit="core", pipe="@which", timing="flag"),
    core(0x2b, "xset", (choice("src", PIPES), choice("scope", SCOPES), COUNTED),
         "When src has done what it was given: count flag id (0-10) of the scope's sub-cores up; "
         "15 is the most.", unit="core", pipe="@src", timing="cross_flag"),
    core(0x2c, "xwait", (choice("dst", PIPES), COUNTED),
         "dst waits until this sub-core's flag id counts at least 1, and counts it down.",
         unit="core", pipe="@dst", timing="cross_flag"),
    core(0x2d, "vcall", (IntField(name="fn", lo=0, width=12, doc="function section, in order"),
                         RegField(name="first", lo=0, width=5, optional=True, default=Reg("x", 0)),
                         IntField(name="count", lo=0, width=5, most=16, optional=True, default=0),
                         ValueField(name="threads", lo=0, width=15, role="key", optional=True,
                                    default=0, least=0, most=2048),
                         IntField(name="dcache", lo=0, width=8, role="key", optional=True,
                                  default=0, doc="KiB of UB that cache global memory")),
         "V: run a function with count arguments, the registers from first on. SIMD functions find "
         "them in x1 and up, SIMT functions in u0 and up.", unit="vector", pipe="v", timing="v"),
)
# fmt: on
