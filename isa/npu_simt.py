"""Rows of SIMT functions: up to 2,048 threads in warps of 32 on one vector sub-core.

Each thread has registers r (32 bits; their number follows from the launch size) and predicates q;
all share the uniform arguments u (64 bits). Every instruction may carry a guard, ``when=q0`` or
``when=!q0``. Addresses are u + r + offset.
"""

from __future__ import annotations

from isa.fields import EnumField, Field, IntField
from isa.npu_core import TARGET, choice, types, value, widths
from isa.npu_fields import GuardField, MaybeRegField, RegField
from isa.npu_layout import CONDITIONS, packed
from isa.table import Row

INTEGERS = ("int32", "uint32")
NUMBERS = ("fp32", *INTEGERS)
CASTS = ("fp32", "fp16", "bf16", "int32", "uint32")
SPECIAL = {"tid": 0, "threads": 1, "lane": 2, "warp": 3, "block": 4, "blocks": 5, "sub": 6,
           "cycle": 7}  # fmt: skip
ATOMICS = {"add": 0, "min": 1, "max": 2, "and": 3, "or": 4, "xor": 5, "exch": 6, "cas": 7}
SHUFFLES = {"idx": 0, "up": 1, "down": 2, "xor": 3}
VOTES = {"any": 0, "all": 1, "ballot": 2}
HINTS = {"keep": 0, "stream": 1, "bypass": 2}

WHEN = GuardField(name="when", lo=0)
OFFSET = IntField(name="offset", lo=0, width=20, signed=True, optional=True, default=0, doc="bytes")
SPACE = choice("space", {"gm": 0, "ub": 1}, 4)
BASE = RegField(name="base", lo=0, width=4, file="u", doc="uniform argument")
INDEX = MaybeRegField(name="index", lo=0, width=7, file="r", doc="thread's part, or _")
HINT = EnumField(name="cache", lo=0, width=2, role="key", optional=True, default="keep",
                 choices=HINTS)  # fmt: skip
WIDTH = widths("b8", "b16", "b32", "b64", "b128")


def r(name: str) -> Field:
    return RegField(name=name, lo=0, width=7, file="r")


def q(name: str) -> Field:
    return RegField(name=name, lo=0, width=3, file="q")


def operand(name: str) -> Field:
    """A thread's register, a uniform argument's low 32 bits, or a number."""
    return value(name, files="ru", floats=True)


def simt(code: int, name: str, fields: tuple[Field, ...], doc: str, timing: str = "alu") -> Row:
    return Row(name=name, code=code, unit="simt", fields=packed(*fields, WHEN),
               timing=f"simt.{timing}", semantics=name, pipe="v", doc=doc)  # fmt: skip


def _binary(*names: str) -> tuple[Field, ...]:
    return (types("type", *names), r("dst"), r("a"), operand("b"))


_UNARY = (types("type", *NUMBERS), r("dst"), operand("a"))
_SPECIAL = (types("type", "fp32"), r("dst"), operand("a"))

# fmt: off
ROWS = (
    simt(0x80, "tmov", (r("dst"), operand("a")), "dst = a."),
    simt(0x81, "tsr", (choice("which", SPECIAL), r("dst")),
         "dst = thread, threads, lane, warp, block, blocks, sub-core, or cycle (low 32 bits)."),
    simt(0x82, "tadd", _binary(*NUMBERS), "dst = a + b; integers wrap."),
    simt(0x83, "tsub", _binary(*NUMBERS), "dst = a - b."),
    simt(0x84, "tmul", _binary(*NUMBERS), "dst = a * b, low 32 bits.", "mul"),
    simt(0x85, "tmulhi", _binary(*INTEGERS), "dst = high 32 bits of a * b.", "mul"),
    simt(0x86, "tdiv", _binary(*NUMBERS),
         "dst = a / b; integers toward zero, by 0 gives all ones.", "div"),
    simt(0x87, "trem", _binary(*INTEGERS),
         "dst = remainder with the sign of a; by 0 gives a.", "div"),
    simt(0x88, "tmin", _binary(*NUMBERS), "The smaller; a NaN operand gives NaN."),
    simt(0x89, "tmax", _binary(*NUMBERS), "The larger; a NaN operand gives NaN."),
    simt(0x8a, "tand", _binary(*INTEGERS), "dst = a & b."),
    simt(0x8b, "tor", _binary(*INTEGERS), "dst = a | b."),
    simt(0x8c, "txor", _binary(*INTEGERS), "dst = a ^ b."),
    simt(0x8d, "tshl", _binary(*INTEGERS), "dst = a << b, 0 from 32 on."),
    simt(0x8e, "tshr", _binary(*INTEGERS), "dst = a >> b; int32 brings in the sign."),
    simt(0x8f, "tfma", (types("type", *NUMBERS), r("dst"), r("a"), operand("b"), r("c")),
         "dst = a * b + c; fp32 rounds once, integers wrap.", "fma"),
    simt(0x90, "tneg", _UNARY, "dst = -a."),
    simt(0x91, "tabs", _UNARY, "dst = |a|."),
    simt(0x92, "tnot", (r("dst"), operand("a")), "dst = ~a."),
    simt(0x93, "texp", _SPECIAL, "e to the power a.", "special"),
    simt(0x94, "texp2", _SPECIAL, "2 to the power a.", "special"),
    simt(0x95, "tln", _SPECIAL, "Natural logarithm.", "special"),
    simt(0x96, "tsqrt", _SPECIAL, "Square root.", "special"),
    simt(0x97, "trsqrt", _SPECIAL, "1 / sqrt(a).", "special"),
    simt(0x98, "ttanh", _SPECIAL, "Hyperbolic tangent.", "special"),
    simt(0x99, "terf", _SPECIAL, "Error function.", "special"),
    simt(0x9a, "tcvt", (types("type", *CASTS), types("to", *CASTS), r("dst"), operand("a")),
         "Convert, nearest even (to integers toward zero, clamped).", "cvt"),
    simt(0x9b, "tcmp", (choice("cond", {k: CONDITIONS[k] for k in
                                        ("eq", "ne", "lt", "le", "gt", "ge")}, 3),
                        types("type", *NUMBERS), q("dst"), r("a"), operand("b")),
         "dst = a cond b; NaN compares false, ne true."),
    simt(0x9c, "tsel", (r("dst"), r("a"), operand("b"), q("c")), "dst = a where c, else b."),
    simt(0x9d, "qand", (q("dst"), q("a"), q("b")), "dst = a and b."),
    simt(0x9e, "qor", (q("dst"), q("a"), q("b")), "dst = a or b."),
    simt(0x9f, "qnot", (q("dst"), q("a")), "dst = not a."),

    simt(0xa0, "tpush", (TARGET,), "Remember that the threads active now meet again at target.",
         "branch"),
    simt(0xa1, "tbra", (TARGET,), "Go to target; threads that do not wait in the inner-most push.",
         "branch"),
    simt(0xa2, "tpop", (), "Meeting point: run the other side if it has not run, else go on with "
         "all threads of the push.", "branch"),
    simt(0xa3, "texit", (), "The thread is done.", "branch"),
    simt(0xa4, "tbar", (), "Wait for all threads of the block that are not done.", "barrier"),

    simt(0xa8, "tld", (SPACE, WIDTH, r("dst"), BASE, INDEX, OFFSET, HINT),
         "Load 1 to 16 bytes, zero-extended, into dst and following.", "load"),
    simt(0xa9, "tst", (SPACE, WIDTH, r("src"), BASE, INDEX, OFFSET, HINT),
         "Store 1 to 16 bytes from src and following.", "store"),
    simt(0xaa, "tatom", (SPACE, choice("op", ATOMICS), types("type", *NUMBERS),
                         MaybeRegField(name="dst", lo=0, width=7, file="r"), BASE, INDEX, r("b"),
                         MaybeRegField(name="c", lo=0, width=7, file="r", role="key",
                                       doc="cas: the value to store"), OFFSET),
         "Atomic; dst (or _) takes the old value. cas stores c where memory equals b. Lanes go in "
         "ascending order.", "atomic"),
    simt(0xac, "tshfl", (choice("mode", SHUFFLES), r("dst"), r("a"), operand("b")),
         "dst = a of another lane of the warp; out of range or inactive: the own.", "shuffle"),
    simt(0xad, "tvote", (choice("mode", VOTES), r("dst"), q("a")),
         "Over the warp's active lanes: 1 if any or all hold, or a bit per lane.", "shuffle"),
    simt(0xae, "tred", (choice("op", {"sum": 0, "max": 1, "min": 2}), types("type", *NUMBERS),
                        r("dst"), r("a")),
         "Reduce over the warp's active lanes; floats in a pairwise tree over lanes.", "reduce"),
)
# fmt: on
