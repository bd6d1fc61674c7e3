"""SIMT functions: values of every instruction against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simt_text import lanes, run, z

from emulator.numerics import decode, encode, erf, exp, exp2, ln, rsqrt, sqrt, tanh

NAN = 0x7FC00000
TYPES = {"fp32": np.float32, "int32": np.int32, "uint32": np.uint32}
EDGES = {
    "fp32": np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38], np.float32),
    "int32": np.array([0, 1, -1, 2**31 - 1, -(2**31), 31, 32, 33], np.int64).astype(np.int32),
    "uint32": np.array([0, 1, 2**32 - 1, 2**31, 2**31 - 1, 31, 32, 33], np.uint32),
}  # fmt: skip


def some(dtype: str, seed: int) -> Any:
    """32 values, special ones among them, in an order of their own."""
    rng = np.random.default_rng(seed)
    if dtype == "fp32":
        rest = (rng.standard_normal(24) * 10.0 ** rng.integers(-3, 4, 24)).astype(np.float32)
    else:
        info = np.iinfo(TYPES[dtype])
        rest = rng.integers(info.min, info.max, 24, endpoint=True).astype(TYPES[dtype])
    return rng.permutation(np.concatenate([EDGES[dtype], rest]))


def canonical(values: Any) -> Any:
    """Bits, NaN as the machine writes it."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return np.where(np.isnan(values), np.uint32(NAN), bits)


def wide(x: Any) -> Any:
    return x.astype(np.int64)


def quotient(a: Any, b: Any) -> Any:
    safe = np.where(b == 0, 1, b)
    whole = np.abs(a) // np.abs(safe) * np.where((a < 0) != (b < 0), -1, 1)
    return np.where(b == 0, -1, whole)


def least(a: Any, b: Any) -> Any:
    """IEEE 754 minimum: NaN wins, -0 < +0."""
    both_zero = (a == 0) & (b == 0)
    zero = np.where(np.signbit(a) | np.signbit(b), np.float32(-0.0), np.float32(0.0))
    return np.where(both_zero, zero, np.minimum(a, b))


FLOATS = {
    "tadd": np.add, "tsub": np.subtract, "tmul": np.multiply, "tdiv": np.divide, "tmin": least,
    "tmax": lambda a, b: -least(-a, -b),
}  # fmt: skip
WHOLE = {
    "tadd": lambda a, b: a + b, "tsub": lambda a, b: a - b,
    "tmul": lambda a, b: (a.astype(object) * b).astype(object),
    "tmulhi": lambda a, b: (a.astype(object) * b) // (1 << 32),
    "tdiv": quotient, "trem": lambda a, b: np.where(b == 0, a, a - quotient(a, b) * b),
    "tmin": np.minimum, "tmax": np.maximum, "tand": np.bitwise_and, "tor": np.bitwise_or,
    "txor": np.bitwise_xor,
    "tshl": lambda a, b: np.where(b & 0xFFFFFFFF < 32, a << (b & 31), 0),
    "tshr": lambda a, b: a >> np.minimum(b & 0xFFFFFFFF, 63),
}  # fmt: skip


def low(x: Any) -> Any:
    return np.array([int(v) & 0xFFFFFFFF for v in np.asarray(x, object)], np.uint32)


@pytest.mark.parametrize("op", list(FLOATS))
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_float_pairs(op: str, seed: int) -> None:
    x, y = some("fp32", seed), some("fp32", seed + 1)
    with np.errstate(all="ignore"):
        want = canonical(FLOATS[op](x, y))
    assert np.array_equal(lanes(f"{op}.fp32 r3, r1, r2", x, y), want)


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
@pytest.mark.parametrize("op", list(WHOLE))
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_integer_pairs(op: str, dtype: str, seed: int) -> None:
    x, y = some(dtype, seed), some(dtype, seed + 1)
    want = low(WHOLE[op](wide(x), wide(y)))
    assert np.array_equal(lanes(f"{op}.{dtype} r3, r1, r2", x, y), want)


@pytest.mark.parametrize(
    ("number", "dtype", "bits"),
    [("3", "fp32", 0x40400000), ("2.5", "int32", 2), ("-3", "int32", 2**32 - 3),
     ("-2.5", "uint32", 2**32 - 2)],
)  # fmt: skip
def test_numbers_take_the_operations_type(number: str, dtype: str, bits: int) -> None:
    x = np.zeros(32, TYPES[dtype])
    assert np.all(lanes(f"tadd.{dtype} r3, r1, {number}", x) == bits)


def test_numbers_without_a_type_are_their_bits() -> None:
    x = np.zeros(32, np.uint32)
    assert np.all(lanes("tmov r3, 2.5", x) == 0x40200000)
    assert np.all(lanes("tmov r3, -2", x) == 2**32 - 2)


@pytest.mark.parametrize("dtype", list(TYPES))
def test_fma(dtype: str) -> None:
    x, y = some(dtype, 5), some(dtype, 6)
    got = lanes(f"tfma.{dtype} r3, r1, r2, r1", x, y)
    if dtype == "fp32":
        with np.errstate(all="ignore"):
            exact = x.astype(np.longdouble) * y + x  # 64 bits hold product and sum here
            want = canonical(exact.astype(np.float32))
    else:
        want = low(wide(x).astype(object) * wide(y) + wide(x))
    assert np.array_equal(got, want)


def test_fma_rounds_once() -> None:
    x = np.full(32, 1 + 2.0**-12, np.float32)
    y = np.full(32, 1 + 2.0**-12, np.float32)
    got = lanes("tneg.fp32 r4, 1.00048828125\ntfma.fp32 r3, r1, r2, r4", x, y)
    assert np.all(got.view(np.float32) == 2.0**-24)


@pytest.mark.parametrize(
    ("op", "function"),
    [("texp", exp), ("texp2", exp2), ("tln", ln), ("tsqrt", sqrt), ("trsqrt", rsqrt),
     ("ttanh", tanh), ("terf", erf)],
)  # fmt: skip
def test_special_functions(op: str, function: Any) -> None:
    x = some("fp32", 7)
    assert np.array_equal(lanes(f"{op}.fp32 r3, r1", x), canonical(function(x)))


@pytest.mark.parametrize("dtype", list(TYPES))
def test_negative_absolute_not(dtype: str) -> None:
    x = some(dtype, 8)
    if dtype == "fp32":
        want = canonical(-x), canonical(np.abs(x))
    else:
        want = low(-wide(x)), low(np.abs(wide(x)))
    assert np.array_equal(lanes(f"tneg.{dtype} r3, r1", x), want[0])
    assert np.array_equal(lanes(f"tabs.{dtype} r3, r1", x), want[1])
    assert np.array_equal(lanes("tnot r3, r1", x), ~x.view(np.uint32))


CASTS = ("fp32", "fp16", "bf16", "int32", "uint32")


@pytest.mark.parametrize("to", CASTS)
@pytest.mark.parametrize("dtype", CASTS)
def test_casts(dtype: str, to: str) -> None:
    if dtype in ("fp16", "bf16"):
        codes = encode(some("fp32", 9), dtype, saturate=False).astype(np.uint32)
        values = decode(codes.astype(np.uint16), dtype).astype(np.float64)
    else:
        codes = some(dtype, 9)
        values = codes.astype(np.float64)
    got = lanes(f"tcvt.{dtype}.{to} r3, r1", codes)
    if to in ("int32", "uint32"):
        info = np.iinfo(TYPES[to])
        clamped = np.clip(np.trunc(np.nan_to_num(values, nan=0.0)), info.min, info.max)
        want = low(clamped.astype(np.int64))
    elif to == "fp32":
        with np.errstate(all="ignore"):
            want = canonical(values.astype(np.float32))
    else:
        want = encode(values, to, saturate=False).astype(np.uint32)
    assert np.array_equal(got, want)


COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip


@pytest.mark.parametrize("dtype", list(TYPES))
@pytest.mark.parametrize("cond", list(COMPARE))
def test_compare_and_select(cond: str, dtype: str) -> None:
    x, y = some(dtype, 10), some(dtype, 11)
    y[::3] = x[::3]
    got = lanes(f"tcmp.{cond}.{dtype} q1, r1, r2\ntsel r3, r1, 7, q1", x, y)
    with np.errstate(all="ignore"):
        want = np.where(COMPARE[cond](x, y), x.view(np.uint32), np.uint32(7))
    assert np.array_equal(got, want)


def test_predicates_and_guards() -> None:
    body = """
        tcmp.lt.uint32 q0, r1, 20
        tcmp.ge.uint32 q1, r1, 10
        qand q2, q0, q1
        qor q3, q0, q1
        qnot q4, q2
        tmov r3, 0
        tadd.uint32 r3, r3, 1, when=q2
        tadd.uint32 r3, r3, 2, when=q3
        tadd.uint32 r3, r3, 4, when=!q0
        tadd.uint32 r3, r3, 8, when=q4
    """
    lane = np.arange(32, dtype=np.uint32)
    inside = (lane >= 10) & (lane < 20)
    want = inside * 1 + 2 + (lane >= 20) * 4 + ~inside * 8
    assert np.array_equal(lanes(body, lane), want)


@pytest.mark.parametrize("mode", ["idx", "up", "down", "xor"])
def test_shuffle(mode: str) -> None:
    """Lanes from 24 on do not take part: who asks them keeps its own."""
    x = np.arange(100, 132, dtype=np.uint32)
    y = np.array([0, 1, 2, 5, 8, 31, 32, 2**32 - 1] * 4, np.uint32)
    body = f"""
        tmov r3, 0
        tsr.lane r4
        tcmp.lt.uint32 q0, r4, 24
        tshfl.{mode} r3, r1, r2, when=q0
    """
    want = np.zeros(32, np.uint32)
    for lane in range(24):
        b = int(y[lane])
        source = {"idx": b, "up": lane - b, "down": lane + b, "xor": lane ^ b}[mode]
        want[lane] = x[source if 0 <= source < 24 else lane]
    assert np.array_equal(lanes(body, x, y), want)


@pytest.mark.parametrize("yes", [[], [3], list(range(32)), list(range(16))])
def test_vote(yes: list[int]) -> None:
    x = np.zeros(32, np.uint32)
    x[yes] = 1
    body = """
        tcmp.eq.uint32 q0, r1, 1
        tvote.{} r3, q0
    """
    assert np.all(lanes(body.format("any"), x) == (len(yes) > 0))
    assert np.all(lanes(body.format("all"), x) == (len(yes) == 32))
    assert np.all(lanes(body.format("ballot"), x) == sum(1 << i for i in yes))


def tree(values: Any, function: Any) -> Any:
    while len(values) > 1:
        values = function(values[::2], values[1::2])
    return values[0]


@pytest.mark.parametrize("dtype", list(TYPES))
@pytest.mark.parametrize("op", ["sum", "max", "min"])
def test_warp_reduce(op: str, dtype: str) -> None:
    """Only the first 20 lanes: the others count as the identity, and keep r3."""
    x = some(dtype, 12)
    if dtype == "fp32":
        x = np.where(np.isfinite(x), x, np.float32(1.5))
    body = f"""
        tmov r3, 9
        tsr.lane r4
        tcmp.lt.uint32 q0, r4, 20
        tred.{op}.{dtype} r3, r1, when=q0
    """
    if dtype == "fp32":
        pad = {"sum": 0.0, "max": -np.inf, "min": np.inf}[op]
        filled = np.concatenate([x[:20], np.full(12, pad, np.float32)])
        function = {"sum": np.add, "max": FLOATS["tmax"], "min": least}[op]
        want = canonical(tree(filled, function)[None])[0]
    else:
        part = wide(x[:20])
        want = low([{"sum": part.sum(), "max": part.max(), "min": part.min()}[op]])[0]
    got = lanes(body, x)
    assert np.all(got[:20] == want)
    assert np.all(got[20:] == 9)


def test_special_registers() -> None:
    body = """
        tsr.tid r0
        tshl.uint32 r0, r0, 5
        tsr.tid r1
        tsr.threads r2
        tsr.lane r3
        tsr.warp r4
        tst.gm.b128 r1, u2, r0
        tsr.block r1
        tsr.blocks r2
        tsr.sub r3
        tsr.cycle r4
        tst.gm.b128 r1, u2, r0, 16
    """
    got = z(run(body, 70), count=560).reshape(70, 8)
    tid = np.arange(70)
    assert np.array_equal(got[:, 0], tid)
    assert np.all(got[:, 1] == 70)
    assert np.array_equal(got[:, 2], tid % 32)
    assert np.array_equal(got[:, 3], tid // 32)
    assert np.all(got[:, 4:7] == [0, 1, 0])
    assert np.all(got[:, 7] > 200)


@pytest.mark.parametrize("space", ["gm", "ub"])
@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_loads_and_stores_of_every_width(space: str, size: int) -> None:
    """Bytes of x go through registers (and UB) to z, in steps of the width."""
    width = f"b{8 * size}"
    through = f"tst.ub.{width} r4, u3, r0\ntmov r4, 0\ntld.ub.{width} r4, u3, r0"
    body = f"""
        tsr.tid r0
        tmul.uint32 r0, r0, {size}
        tmov r4, -1
        tld.gm.{width} r4, u0, r0
        {through if space == "ub" else ""}
        tst.gm.{width} r4, u2, r0
    """
    x = np.arange(64 * size, dtype=np.uint8)
    got = run(body, 64, x).outputs["z_"].view(np.uint8)[: 64 * size]
    assert np.array_equal(got, x)


def test_narrow_loads_bring_zeros_in() -> None:
    x = np.full(32, 0xFFFFFFFF, np.uint32)
    assert np.all(lanes("tmov r3, -1\ntld.gm.b8 r3, u0, r0", x) == 0xFF)
    assert np.all(lanes("tmov r3, -1\ntld.gm.b16 r3, u0, r0", x) == 0xFFFF)


def test_the_higher_lane_wins() -> None:
    body = "tsr.tid r0\ntst.gm.b32 r0, u2, _\n"
    assert z(run(body, 32))[0] == 31


ATOMS = {
    "add": lambda a, b: a + b, "min": min, "max": max, "and": lambda a, b: a & b,
    "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "exch": lambda a, b: b,
    "cas": lambda a, b: 77 if a == b else a,
}  # fmt: skip


@pytest.mark.parametrize("space", ["gm", "ub"])
@pytest.mark.parametrize("op", list(ATOMS))
def test_atomics_go_in_ascending_order_of_lanes(op: str, space: str) -> None:
    base = "u2" if space == "gm" else "u3"
    x = np.random.default_rng(3).integers(0, 2**20, 32).astype(np.uint32)
    x[0] = 5
    body = f"""
        tsr.tid r0
        tshl.uint32 r0, r0, 2
        tld.gm.b32 r1, u0, r0
        tmov r2, 5
        tmov r4, 77
        tcmp.eq.uint32 q0, r0, 0
        tst.{space}.b32 r2, {base}, _, 4096, when=q0
        tatom.{space}.{op}.uint32 r3, {base}, _, r1, 4096{", c=r4" if op == "cas" else ""}
        tld.{space}.b32 r5, {base}, _, 4096
        tst.gm.b32 r3, u2, r0
        tst.gm.b32 r5, u2, r0, 256
    """
    got = z(run(body, 32, x))
    memory, olds = 5, []
    for b in x.tolist():
        olds.append(memory)
        memory = ATOMS[op](memory, b) & 0xFFFFFFFF
    assert got[:32].tolist() == olds
    assert np.all(got[64:96] == memory)


def test_float_atomics() -> None:
    x = some("fp32", 14)
    x = np.where(np.isfinite(x), x, np.float32(2.5))
    body = """
        tsr.tid r0
        tshl.uint32 r0, r0, 2
        tld.gm.b32 r1, u0, r0
        tmov r2, 0
        tcmp.eq.uint32 q0, r0, 0
        tst.gm.b32 r2, u2, _, when=q0
        tatom.gm.add.fp32 _, u2, _, r1
    """
    total = np.float32(0)
    for value in x:
        total = np.float32(total + value)
    assert z(run(body, 32, x), np.float32)[0] == total
