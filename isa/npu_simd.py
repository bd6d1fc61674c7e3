"""Rows of SIMD functions: 256-byte vector registers v, masks p, the function's scalars x.

Scalar rows (`isa.npu_core`, unit ``scalar``) may stand in a SIMD function too. Lanes that a mask
leaves out become 0, with ``merge`` they keep what dst held.
"""

from __future__ import annotations

from isa.fields import EnumField, Field, IntField
from isa.npu_core import TARGET, choice, flag, types, value, widths, x
from isa.npu_fields import MaybeRegField, RegField, ValueField
from isa.npu_layout import CONDITIONS, packed
from isa.table import Row

ARITH = ("fp32", "fp16", "bf16", "int32", "uint32", "int16", "uint16", "int8", "uint8")
FLOATS = ("fp32", "fp16")
INTEGERS = ("int32", "uint32", "int16", "uint16", "int8", "uint8")
CASTS = ("fp32", "fp16", "bf16", "int32", "int16", "uint16", "int8", "uint8", "e4m3", "e5m2",
         "hif8", "e2m1", "e2m3", "e3m2", "e8m0", "int4", "uint32")  # fmt: skip
# What a load makes of memory: the register as it lies, one element everywhere, one 32-byte block
# everywhere, each element twice, every other element, elements widened with zeros to twice their
# size, even and odd elements into dst and dst + 1, or elements widened with zeros to four times
# their size.
LOADS = {"norm": 0, "brc": 1, "brcblk": 2, "up": 3, "down": 4, "unpack": 5, "split": 6,
         "unpack4": 7}  # fmt: skip
# What a store makes of a register: all of it, element 0, every second element packed, src and
# src + 1 interleaved, or every fourth element packed.
STORES = {"norm": 0, "one": 1, "pack": 2, "zip": 3, "pack4": 4}
REDUCTIONS = {"sum": 0, "max": 1, "min": 2}
GROUPS = {"all": 0, "g8": 1, "g16": 2, "g32": 3}
ROUNDINGS = {"even": 0, "zero": 1, "away": 2, "random": 3}


def v(name: str) -> Field:
    return RegField(name=name, lo=0, width=5, file="v")


def p(name: str) -> Field:
    return RegField(name=name, lo=0, width=3, file="p")


MASK = MaybeRegField(name="mask", lo=0, width=4, file="p", role="key", doc="lanes that take part")
MERGE = flag("merge", "lanes outside the mask keep dst")
POST = ValueField(name="post", lo=0, width=18, role="key", optional=True, default=0,
                  doc="added to base afterwards, bytes")  # fmt: skip
STRIDE = IntField(name="stride", lo=0, width=16, role="key", optional=True, default=0,
                  doc="bytes from one 32-byte block to the next; 0: they touch")  # fmt: skip
OFFSET = IntField(name="offset", lo=0, width=18, signed=True, optional=True, default=0, doc="bytes")
WIDTH = widths("b8", "b16", "b32")
NUMBER = value("a", files="x", floats=True)


def simd(code: int, name: str, fields: tuple[Field, ...], doc: str, timing: str = "add") -> Row:
    return Row(name=name, code=code, unit="simd", fields=packed(*fields), timing=f"simd.{timing}",
               semantics=name, pipe="v", doc=doc)  # fmt: skip


def _operand(name: str) -> Field:
    return value(name, files="vx", floats=True)


def _binary(*names: str) -> tuple[Field, ...]:
    return (types("type", *names), v("dst"), v("a"), _operand("b"), MASK, MERGE)


def _unary(*names: str) -> tuple[Field, ...]:
    return (types("type", *names), v("dst"), v("a"), MASK, MERGE)


# fmt: off
ROWS = (
    simd(0x40, "loop", (value("count"), TARGET),
         "Run the words up to target (excluded) count times; four deep.", "loop"),
    simd(0x41, "vld", (WIDTH, choice("dist", LOADS), v("dst"), x("base"), OFFSET, POST, STRIDE),
         "Load a register from UB at base + offset.", "load"),
    simd(0x42, "vst", (WIDTH, choice("dist", STORES), v("src"), x("base"), OFFSET, POST, STRIDE,
                       MASK), "Store a register to UB at base + offset; the mask counts what is "
         "stored.", "store"),
    simd(0x43, "vgather", (widths("b16", "b32"), v("dst"), x("base"), v("index"), MASK),
         "Each lane loads its element: base + index * width, index uint of the same width.",
         "gather"),
    simd(0x44, "vscatter", (widths("b16", "b32"), v("src"), x("base"), v("index"), MASK),
         "Each lane stores its element; of two to one address the higher lane wins.", "scatter"),
    simd(0x45, "vbar", (), "Loads behind it see the stores before it.", "bar"),

    simd(0x50, "vadd", _binary(*ARITH), "dst = a + b; integers wrap, floats round to even."),
    simd(0x51, "vsub", _binary(*ARITH), "dst = a - b."),
    simd(0x52, "vmul", _binary(*ARITH), "dst = a * b; integers keep the low bits.", "mul"),
    simd(0x53, "vmax", _binary(*ARITH), "The larger; a NaN operand gives NaN, -0 < +0."),
    simd(0x54, "vmin", _binary(*ARITH), "The smaller; a NaN operand gives NaN."),
    simd(0x55, "vdiv", _binary(*ARITH), "dst = a / b; integers toward zero, by 0 gives -1.", "div"),
    simd(0x56, "vmadd", _binary(*FLOATS), "dst = dst + a * b, rounded once.", "mul"),
    simd(0x57, "vand", _binary(*INTEGERS), "dst = a & b."),
    simd(0x58, "vor", _binary(*INTEGERS), "dst = a | b."),
    simd(0x59, "vxor", _binary(*INTEGERS), "dst = a ^ b."),
    simd(0x5a, "vshl", _binary(*INTEGERS), "dst = a << b, 0 from the width on."),
    simd(0x5b, "vshr", _binary(*INTEGERS), "dst = a >> b; signed types bring in the sign."),
    simd(0x5c, "vnot", _unary(*INTEGERS), "dst = ~a."),
    simd(0x5d, "vneg", _unary(*ARITH), "dst = -a.", "abs"),
    simd(0x5e, "vabs", _unary(*ARITH), "dst = |a|.", "abs"),
    simd(0x5f, "vrelu", _unary(*ARITH), "dst = a where a > 0 (or NaN), else +0.", "abs"),
    simd(0x60, "vexp", _unary(*FLOATS), "dst = e to the power a.", "exp"),
    simd(0x61, "vln", _unary(*FLOATS), "dst = natural logarithm of a.", "ln"),
    simd(0x62, "vsqrt", _unary(*FLOATS), "dst = square root of a.", "sqrt"),
    simd(0x63, "vmov", (WIDTH, v("dst"), v("a"), MASK, MERGE), "dst = a.", "abs"),
    simd(0x64, "vsel", (WIDTH, v("dst"), v("a"), _operand("b"), p("c")),
         "dst = a where c, else b."),
    simd(0x65, "vcmp", (choice("cond", {k: CONDITIONS[k] for k in
                                        ("eq", "ne", "lt", "le", "gt", "ge")}, 3),
                        types("type", *ARITH), p("dst"), v("a"), _operand("b"), MASK),
         "dst = lanes where a cond b; NaN compares false, ne true."),
    simd(0x66, "vcvt", (types("type", *CASTS), types("to", *CASTS), v("dst"), v("a"),
                        IntField(name="part", lo=0, width=3, optional=True, default=0),
                        EnumField(name="round", lo=0, width=2, role="key", optional=True,
                                  default="even", choices=ROUNDINGS), flag("sat"), MASK, MERGE),
         "Convert. Widening by w takes elements part, part + w, ...; narrowing puts its results "
         "there and, with merge, leaves the others. The mask counts wide elements.", "cvt"),
    simd(0x67, "vred", (choice("op", REDUCTIONS), types("type", "fp32", "fp16", "int32", "int16"),
                        choice("group", GROUPS), v("dst"), v("a"), MASK),
         "Reduce all lanes to element 0, or each group of 8, 16, 32 to element i; floats in a "
         "pairwise tree, each step rounded. Other elements become 0.", "red"),
    simd(0x68, "vindex", (types("type", *ARITH), v("dst"), NUMBER),
         "dst = a, a + 1, a + 2, ..."),
    simd(0x69, "vdup", (types("type", *ARITH), v("dst"), value("a", files="xv", floats=True), MASK,
                        MERGE),
         "Every lane = a; a scalar's low bits as they are, a vector's element 0, a number as the "
         "type's."),
    simd(0x6a, "vlane", (WIDTH, x("dst"), v("a"), value("lane")),
         "dst = one element, zero-extended.", "lane"),
    simd(0x6b, "vzip", (WIDTH, v("dst"), v("a"), v("b")),
         "dst, dst + 1 = the elements of a and b taken in turn."),
    simd(0x6c, "vunzip", (WIDTH, v("dst"), v("a"), v("b")),
         "dst = even elements of a, b; dst + 1 = odd ones."),
    simd(0x6d, "vperm", (WIDTH, v("dst"), v("a"), v("index")),
         "dst[i] = a[index[i] mod lanes]."),
    simd(0x6e, "vmuladd", _binary(*FLOATS),
         "dst = dst * a + b, rounded once: a step of Horner's rule.", "mul"),
    simd(0x70, "pcount", (WIDTH, p("dst"), value("a")),
         "dst = the first a lanes of this width (none if negative, at most all).", "mask"),
    simd(0x71, "pand", (p("dst"), p("a"), p("b")), "dst = a and b.", "mask"),
    simd(0x72, "por", (p("dst"), p("a"), p("b")), "dst = a or b.", "mask"),
    simd(0x73, "pxor", (p("dst"), p("a"), p("b")), "dst = a xor b.", "mask"),
    simd(0x74, "pnot", (p("dst"), p("a")), "dst = not a.", "mask"),
)
# fmt: on
