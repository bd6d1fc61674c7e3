"""The LPU's instruction table: the only list of its instructions.

Field names mean the same in every row, so an engine may read a program as columns: `dst` the first
driven stream, `a`, `b`, `c` the operands, `type`/`to` the dtypes, and so on. Bit positions are
shared through the constants below; ``isa.fields`` says what the raw values are.
"""

from __future__ import annotations

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
from isa.table import InstructionSet, Row

# dtype names as in the numerics registry; raw values are the same in every `type` and `to` field.
TYPES = {
    "fp32": 0, "int32": 1, "fp16": 2, "bf16": 3, "int8": 4, "e4m3": 5, "e5m2": 6, "mxfp8": 7,
    "mxfp4": 8, "e2m1": 9, "uint8": 10, "e2m3": 11, "e3m2": 12, "e8m0": 13, "int4": 14, "hif8": 15,
}  # fmt: skip


def _types(*names: str) -> dict[str, int]:
    return {n: TYPES[n] for n in names}


ARITH = _types("fp32", "int32")
FLOAT = _types("fp32")
CASTS = _types("fp32", "int32", "fp16", "bf16", "int8", "e4m3", "e5m2", "e2m1")
MATRIX = _types("int8", "e4m3", "e5m2", "fp16", "bf16", "mxfp8", "mxfp4")
WIDTHS = {"1": 0, "2": 1, "4": 2}

# ---- fields ------------------------------------------------------------------------------------
#  bits  8-15 dst   16-23 a   24-31 b   32-39 c   40-43 type   44-47 to   48-55 flags   64-95 imm


def _type(choices: dict[str, int], name: str = "type", lo: int = 40) -> Field:
    return EnumField(name=name, lo=lo, width=4, role="suffix", choices=choices)


def _operand(name: str, lo: int, rule: str) -> Field:
    return OperandField(name=name, lo=lo, reads=rule, doc="stream, chained ALU or number")


def _result(rule: str) -> Field:
    return OperandField(name="dst", lo=8, destination=True, writes=rule, doc="stream, or _")


def _in(name: str, lo: int, rule: str) -> Field:
    return StreamField(name=name, lo=lo, reads=rule)


def _out(rule: str) -> Field:
    return StreamField(name="dst", lo=8, writes=rule)


IMM = ImmediateField(name="imm", lo=64)
SAT = FlagField(name="sat", lo=48, doc="saturate instead of overflowing")
START = FlagField(name="start", lo=49, doc="begin anew")
EMIT = FlagField(name="emit", lo=50, doc="deliver the running result")
WRAP = FlagField(name="wrap", lo=51, doc="wrap around instead of filling with zero")
ADDR = IntField(name="addr", lo=64, width=20, doc="SRAM word")
BASE = IntField(name="base", lo=64, width=20, role="key", optional=True, default=0)
LANE = IntField(name="lane", lo=64, width=12, doc="lane")
AMOUNT = IntField(name="amount", lo=64, width=12, signed=True, doc="lanes; positive moves up")
TURN = IntField(name="amount", lo=64, width=12, signed=True, least=-15, most=15, doc="lanes")
WIDTH = EnumField(name="width", lo=40, width=4, role="suffix", choices=WIDTHS)
GROUP = StreamField(name="a", lo=16, reads="16", doc="s0 or s16, outward")
COUNT = IntField(name="n", lo=8, width=20, doc="times")
MATRIX_TYPE = _type(MATRIX)

_TRANSPOSE_OUT = StreamField(name="dst", lo=8, writes="16", doc="s0 or s16")
_ROWS = IntField(name="rows", lo=64, width=12, least=1, role="key", doc="output lanes to load")
_LANES = IntField(name="lanes", lo=80, width=12, least=1, role="key", doc="input lanes that count")
_ROW = IntField(name="row", lo=64, width=12, doc="accumulator row")
_EMITTED = OptionalStreamField(name="dst", lo=8, writes="4", doc="inward SG4, with emit")
_SCALES = StreamField(name="a", lo=16, reads="10", doc="s0 or s16, outward")
_ENTRIES = EntriesField(name="entries", lo=40, width=80, count=16, each=5, most=16, doc="16 lanes")

_REPEAT = (
    COUNT,
    IntField(name="d", lo=28, width=16, least=1, doc="cycles apart"),
    IntField(name="stride", lo=44, width=20, signed=True, optional=True, default=0),
    IntField(name="n2", lo=64, width=20, optional=True, default=0, doc="more groups"),
    IntField(name="d2", lo=84, width=24, optional=True, default=0, doc="from group to group"),
    IntField(name="stride2", lo=108, width=20, signed=True, optional=True, default=0),
)


def _vxm(name: str, code: int, timing: str, fields: tuple[Field, ...], doc: str) -> Row:
    return Row(name=name, code=code, unit="vxm", fields=(*fields, IMM), timing=timing,
               semantics=name, strided="imm", type_field="type", doc=doc)  # fmt: skip


_A, _B = _operand("a", 16, "@type"), _operand("b", 24, "@type")
_BINARY = (_type(ARITH), _result("@type"), _A, _B)
_UNARY = (_type(ARITH), _result("@type"), _A)
_SPECIAL = (_type(FLOAT), _result("@type"), _A)
_COMPARE = (_type(ARITH), _result("1"), _A, _B)
_RUNNING = (_type(ARITH), _result("@type"), _A, START, EMIT)
_SELECT = (_type(ARITH), _result("@type"), _operand("c", 32, "1"), _A, _B)
_CAST = (_type(CASTS), _type(CASTS, "to", 44), _result("@to"), _A, SAT)

# ---- rows --------------------------------------------------------------------------------------
# fmt: off
ROWS = (
    Row(name="nop",    code=0x01, unit="*", fields=(COUNT,), semantics="nop",
        doc="Do nothing for n cycles."),
    Row(name="repeat", code=0x02, unit="*", fields=_REPEAT, semantics="repeat",
        doc="Issue the previous instruction n more times, d cycles apart, its strided operand "
            "advancing by stride each time; with n2, all that n2 more times, group starts d2 "
            "cycles apart, the operand advancing by stride2. Takes no cycle of its own."),
    Row(name="sync",   code=0x03, unit="*", semantics="sync", timing="sync",
        doc="Wait for the next notify; go on a fixed latency after it."),
    Row(name="notify", code=0x04, unit="*", semantics="notify",
        doc="Release every queue that waits in sync."),

    Row(name="read",    code=0x10, unit="mem.read", timing="mem.read", semantics="read",
        fields=(_out("1"), ADDR), strided="addr",
        doc="Drive stream dst with the SRAM word at addr."),
    Row(name="gather",  code=0x11, unit="mem.read", timing="mem.gather", semantics="gather",
        fields=(_out("1"), _in("a", 16, "2"), BASE), strided="base",
        doc="Each superlane reads its own address: base + the uint16 that map stream pair a "
            "carries in the superlane's first lane."),
    Row(name="write",   code=0x12, unit="mem.write", timing="mem.write", semantics="write",
        fields=(ADDR, _in("a", 16, "1")), strided="addr",
        doc="Store stream a in the SRAM word at addr."),
    Row(name="scatter", code=0x13, unit="mem.write", timing="mem.scatter", semantics="scatter",
        fields=(_in("b", 24, "2"), _in("a", 16, "1"), BASE), strided="base",
        doc="Each superlane writes stream a to its own address: base + the uint16 of map b."),

    _vxm("add", 0x20, "vxm.add", _BINARY, "dst = a + b; int32 wraps, fp32 rounds to nearest even."),
    _vxm("sub", 0x21, "vxm.add", _BINARY, "dst = a - b; int32 wraps."),
    _vxm("mul", 0x22, "vxm.mul", _BINARY, "dst = a * b; int32 keeps the low 32 bits."),
    _vxm("max", 0x23, "vxm.max", _BINARY, "The larger; a NaN operand gives NaN, -0 < +0."),
    _vxm("min", 0x24, "vxm.max", _BINARY, "The smaller; a NaN operand gives NaN, -0 < +0."),
    _vxm("neg", 0x25, "vxm.add", _UNARY, "dst = -a; fp32 flips the sign bit."),
    _vxm("abs", 0x26, "vxm.add", _UNARY, "dst = |a|; fp32 clears the sign bit, int32 min stays."),
    _vxm("relu", 0x27, "vxm.add", _UNARY, "dst = a where a > 0 (or NaN), else +0."),
    _vxm("mov", 0x28, "vxm.add", _UNARY, "dst = a, bits unchanged."),
    _vxm("lt", 0x30, "vxm.add", _COMPARE, "Mask byte 1 where a < b, else 0; NaN compares false."),
    _vxm("le", 0x31, "vxm.add", _COMPARE, "Mask byte 1 where a <= b."),
    _vxm("gt", 0x32, "vxm.add", _COMPARE, "Mask byte 1 where a > b."),
    _vxm("ge", 0x33, "vxm.add", _COMPARE, "Mask byte 1 where a >= b."),
    _vxm("eq", 0x34, "vxm.add", _COMPARE, "Mask byte 1 where a == b."),
    _vxm("ne", 0x35, "vxm.add", _COMPARE, "Mask byte 1 where a != b; NaN compares true."),
    _vxm("select", 0x38, "vxm.add", _SELECT, "dst = a where mask c is not 0, else b."),
    _vxm("exp2", 0x40, "vxm.exp2", _SPECIAL, "2 to the power a."),
    _vxm("rsqrt", 0x41, "vxm.rsqrt", _SPECIAL, "1 / sqrt(a)."),
    _vxm("tanh", 0x42, "vxm.tanh", _SPECIAL, "Hyperbolic tangent of a."),
    _vxm("cast", 0x48, "vxm.cast", _CAST,
         "Convert a from type to to, nearest even; sat clamps, else floats overflow as their "
         "format says and integers wrap."),
    _vxm("runmax", 0x50, "vxm.max", _RUNNING,
         "Running maximum over successive issues on this ALU: start begins with a, emit delivers."),
    _vxm("runsum", 0x51, "vxm.add", _RUNNING,
         "Running sum over successive issues on this ALU, rounded at every step; int32 saturates."),

    Row(name="lw", code=0x60, unit="mxm.weights", timing="mxm.lw", semantics="lw",
        fields=(MATRIX_TYPE, GROUP, _ROWS, _LANES),
        doc="Fill the shadow buffer from 16 outward streams: in cycle i stream j is the weight "
            "vector of output lane 16i + j (16-bit types: streams 2j, 2j+1 and lane 8i + j). "
            "Output lanes from rows on give 0; input lanes from lanes on contribute nothing."),
    Row(name="lws", code=0x61, unit="mxm.weights", timing="mxm.lws", semantics="lws",
        fields=(MATRIX_TYPE, _SCALES),
        doc="Block scales of the weights just loaded: lane n of stream b is the e8m0 scale of "
            "output lane n, block b."),
    Row(name="iw", code=0x62, unit="mxm.weights", timing="mxm.iw", semantics="iw",
        doc="Swap shadow and active weights; mm may issue the latency later."),
    Row(name="mm", code=0x63, unit="mxm.mm", timing="mxm.mm", semantics="mm", strided="row",
        fields=(MATRIX_TYPE, StreamField(name="a", lo=16, reads="@type+scale", doc="outward"),
                _ROW, START, EMIT, _EMITTED),
        doc="One activation vector times the active weights, rounded once, starts or is added to "
            "accumulator row; with emit the row leaves on inward group dst. Block-scaled types "
            "take each lane's e8m0 scale from the stream after the activation."),

    Row(name="shift", code=0x70, unit="sxm", timing="sxm.shift", semantics="shift",
        fields=(WIDTH, _out("@width"), _in("a", 16, "@width"), AMOUNT, WRAP), strided="amount",
        doc="Lane l takes lane l - amount; zero comes in at the edge, or with wrap the other end."),
    Row(name="rotate", code=0x71, unit="sxm", timing="sxm.rotate", semantics="rotate",
        fields=(WIDTH, _out("@width"), _in("a", 16, "@width"), TURN), strided="amount",
        doc="Shift by amount that wraps within each superlane of 16 lanes."),
    Row(name="broadcast", code=0x72, unit="sxm", timing="sxm.broadcast", semantics="broadcast",
        fields=(WIDTH, _out("@width"), _in("a", 16, "@width"), LANE), strided="lane",
        doc="Every lane takes the given lane of a."),
    Row(name="choose", code=0x73, unit="sxm", timing="sxm.select", semantics="choose",
        aliases=("select",),  # the suffix (.1, .2, .4) tells it from the VXM's
        fields=(WIDTH, _out("@width"), _in("c", 32, "1"), _in("a", 16, "@width"),
                _in("b", 24, "@width")),
        doc="The SXM's select: lane of a where mask stream c is not 0, else of b."),
    Row(name="setmap", code=0x74, unit="sxm", timing="sxm.setmap", semantics="setmap",
        fields=(_in("a", 16, "2"),),
        doc="Load this queue's permutation: lane l of stream pair a is the uint16 source lane of "
            "lane l."),
    Row(name="permute", code=0x75, unit="sxm", timing="sxm.permute", semantics="permute",
        fields=(WIDTH, _out("@width"), _in("a", 16, "@width")),
        doc="Lane l takes lane map[l]; an entry beyond the last lane gives 0."),
    Row(name="distribute", code=0x76, unit="sxm", timing="sxm.distribute", semantics="distribute",
        fields=(EnumField(name="width", lo=120, width=4, role="suffix", choices=WIDTHS),
                _out("@width"), _in("a", 16, "@width"), _ENTRIES),
        doc="Within each superlane lane l takes lane entries[l]; 16 gives 0."),
    Row(name="transpose", code=0x77, unit="sxm", timing="sxm.transpose", semantics="transpose",
        fields=(_TRANSPOSE_OUT, _in("a", 16, "16")),
        doc="16 x 16 transpose in every superlane: lane i of output stream j is lane j of input "
            "stream i."),
)
# fmt: on

LPU = InstructionSet("lpu", ROWS)
