"""Rows of SIMT functions: up to 2,048 threads in warps of 32 on one vector sub-core.

Each thread has registers r (32 bits; their number follows from the launch size) and predicates q,
which start at 0; all share the uniform arguments u (64 bits). A thread whose guard ``when=q0`` or
``when=!q0`` fails does nothing. Behind the last word of a function its threads are done.

*Numbers.* fp32 is IEEE 754 with subnormals; a result that is NaN is 0x7fc00000. A number in the
word becomes one of the operation's type (3 is 3.0 in fp32, 2.5 is 2 in int32); where there is no
type, an integer is its 32 bits and a float its fp32 bits. Moves, selections, shuffles, loads and
stores carry bits as they are.

*Addresses* are u + r (unsigned) + offset, multiples of the access size. Of two lanes that store to
one address in one instruction the higher wins.

*Divergence.* A warp runs one path at a time and keeps a stack. ``tpush`` puts the active threads on
it. A ``tbra`` whose guard holds for some of the active threads only sends those to its target; the
others are put on the stack, to wait with the next word. ``tpop`` takes the top: threads that wait
go on where they wait; at the push itself, all of its threads that are not done go on behind the
``tpop``. Where no thread is left active (``texit``) the same happens, down to one that is not done.
A branch without a push is legal: its two sides meet only by being done.
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
    return _whole(code, name, (*fields, WHEN), doc, timing)


def _whole(code: int, name: str, fields: tuple[Field, ...], doc: str, timing: str) -> Row:
    """A row without a guard: what concerns a warp as a whole."""
    return Row(name=name, code=code, unit="simt", fields=packed(*fields), timing=f"simt.{timing}",
               semantics=name, pipe="v", doc=doc)  # fmt: skip


def _binary(*names: str) -> tuple[Field, ...]:
    return (types("type", *names), r("dst"), r("a"), operand("b"))


_UNARY = (types("type", *NUMBERS), r("dst"), operand("a"))
_SPECIAL = (types("type", "fp32"), r("dst"), operand("a"))

# fmt: off
ROWS = (
    simt(0x80, "tmov", (r("dst"), operand("a")), "dst = a."),
    simt(0x81, "tsr", (choice("which", SPECIAL), r("dst")),
         "dst = thread of the launch, threads in it, lane (thread mod 32), warp (thread / 32), "
         "block, blocks, sub-core of the block, or cycle (low 32 bits)."),
    simt(0x82, "tadd", _binary(*NUMBERS), "dst = a + b; integers wrap."),
    simt(0x83, "tsub", _binary(*NUMBERS), "dst = a - b."),
    simt(0x84, "tmul", _binary(*NUMBERS), "dst = a * b, low 32 bits.", "mul"),
    simt(0x85, "tmulhi", _binary(*INTEGERS), "dst = high 32 bits of a * b.", "mul"),
    simt(0x86, "tdiv", _binary(*NUMBERS),
         "dst = a / b; integers toward zero, wrapping, by 0 gives all ones.", "div"),
    simt(0x87, "trem", _binary(*INTEGERS),
         "dst = remainder with the sign of a; by 0 gives a.", "div"),
    simt(0x88, "tmin", _binary(*NUMBERS), "The smaller; a NaN operand gives NaN, -0 < +0."),
    simt(0x89, "tmax", _binary(*NUMBERS), "The larger; a NaN operand gives NaN, -0 < +0."),
    simt(0x8a, "tand", _binary(*INTEGERS), "dst = a & b."),
    simt(0x8b, "tor", _binary(*INTEGERS), "dst = a | b."),
    simt(0x8c, "txor", _binary(*INTEGERS), "dst = a ^ b."),
    simt(0x8d, "tshl", _binary(*INTEGERS), "dst = a << b, b unsigned, 0 from 32 on."),
    simt(0x8e, "tshr", _binary(*INTEGERS),
         "dst = a >> b, b unsigned; int32 brings in the sign, also from 32 on."),
    simt(0x8f, "tfma", (types("type", *NUMBERS), r("dst"), r("a"), operand("b"), r("c")),
         "dst = a * b + c; fp32 rounds once, integers wrap.", "fma"),
    simt(0x90, "tneg", _UNARY, "dst = -a; integers wrap."),
    simt(0x91, "tabs", _UNARY, "dst = |a|; int32 wraps, uint32 is a."),
    simt(0x92, "tnot", (r("dst"), operand("a")), "dst = ~a."),
    simt(0x93, "texp", _SPECIAL, "e to the power a.", "special"),
    simt(0x94, "texp2", _SPECIAL, "2 to the power a.", "special"),
    simt(0x95, "tln", _SPECIAL, "Natural logarithm.", "special"),
    simt(0x96, "tsqrt", _SPECIAL, "Square root.", "special"),
    simt(0x97, "trsqrt", _SPECIAL, "1 / sqrt(a).", "special"),
    simt(0x98, "ttanh", _SPECIAL, "Hyperbolic tangent.", "special"),
    simt(0x99, "terf", _SPECIAL, "Error function.", "special"),
    simt(0x9a, "tcvt", (types("type", *CASTS), types("to", *CASTS), r("dst"), operand("a")),
         "Convert the low bits of a, zero-extended; rounded once: to floats nearest even (too "
         "large is Inf), to integers toward zero, clamped, NaN is 0.", "cvt"),
    simt(0x9b, "tcmp", (choice("cond", {k: CONDITIONS[k] for k in
                                        ("eq", "ne", "lt", "le", "gt", "ge")}, 3),
                        types("type", *NUMBERS), q("dst"), r("a"), operand("b")),
         "dst = a cond b; NaN compares false, ne true."),
    simt(0x9c, "tsel", (r("dst"), r("a"), operand("b"), q("c")), "dst = a where c, else b."),
    simt(0x9d, "qand", (q("dst"), q("a"), q("b")), "dst = a and b."),
    simt(0x9e, "qor", (q("dst"), q("a"), q("b")), "dst = a or b."),
    simt(0x9f, "qnot", (q("dst"), q("a")), "dst = not a."),

    _whole(0xa0, "tpush", (TARGET,),
           "Remember the active threads: they meet again at target, a tpop.", "branch"),
    simt(0xa1, "tbra", (TARGET,),
         "Go to target; active threads whose guard fails wait, if some go.", "branch"),
    _whole(0xa2, "tpop", (), "Meeting point: threads that wait since the push go on, the last to "
           "wait first; when none does, all threads of the push.", "branch"),
    simt(0xa3, "texit", (), "The thread is done.", "branch"),
    _whole(0xa4, "tbar", (), "Wait for all threads of the block that are not done. A warp arrives "
           "as a whole: threads of it that wait elsewhere are an error.", "barrier"),

    simt(0xa8, "tld", (SPACE, WIDTH, r("dst"), BASE, INDEX, OFFSET, HINT),
         "Load 1 to 16 bytes, zero-extended, into dst and following.", "load"),
    simt(0xa9, "tst", (SPACE, WIDTH, r("src"), BASE, INDEX, OFFSET, HINT),
         "Store 1 to 16 bytes from src and following, low bytes first.", "store"),
    simt(0xaa, "tatom", (SPACE, choice("op", ATOMICS), types("type", *NUMBERS),
                         MaybeRegField(name="dst", lo=0, width=7, file="r"), BASE, INDEX, r("b"),
                         MaybeRegField(name="c", lo=0, width=7, file="r", role="key",
                                       doc="cas: the value to store"), OFFSET),
         "Atomic; dst (or _) takes the old value. and, or, xor, exch and cas work on bits; cas "
         "stores c where memory equals b. Lanes go in ascending order.", "atomic"),
    simt(0xac, "tshfl", (choice("mode", SHUFFLES), r("dst"), r("a"), operand("b")),
         "dst = a of lane b, lane - b, lane + b or lane ^ b (b unsigned) of the warp; where that "
         "is out of range or not active here: the own.", "shuffle"),
    simt(0xad, "tvote", (choice("mode", VOTES), r("dst"), q("a")),
         "Over the warp's active lanes: 1 if any or all hold, or a bit per lane.", "shuffle"),
    simt(0xae, "tred", (choice("op", {"sum": 0, "max": 1, "min": 2}), types("type", *NUMBERS),
                        r("dst"), r("a")),
         "Reduce over the warp's active lanes, for each of them: a tree over neighbours (lanes 2i "
         "and 2i + 1, then pairs of those...); fp32 rounds each step and counts other lanes as "
         "+0, -Inf or +Inf.", "reduce"),
)
# fmt: on
