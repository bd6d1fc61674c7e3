"""The reference interpreter: its arithmetic against numpy, its control flow on programs to read."""

from __future__ import annotations

import math
import struct
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_text import section

from isa.npu import NPU
from isa.npu_simt import ROWS
from tests.emulator.npu import simt_arithmetic as arithmetic
from tests.emulator.npu.simt_check import difference, reference
from tests.emulator.npu.simt_random import Writer
from tests.emulator.npu.simt_reference import Block, Region, Trap

words = st.integers(0, 0xFFFFFFFF)
reals = st.floats(width=32).map(lambda x: int.from_bytes(struct.pack("<f", x), "little"))
numbers = words | reals | st.sampled_from([0, 1, 0x80000000, 0x7F800000, 0x7FC00000])
FLOATS = {
    "tadd": np.add, "tsub": np.subtract, "tmul": np.multiply, "tdiv": np.divide,
    "tmin": np.minimum, "tmax": np.maximum,
}  # fmt: skip


def f32(bits: int) -> Any:
    return np.uint32(bits).view(np.float32)


def same(bits: int, value: Any) -> bool:
    return f32(bits) == value or (math.isnan(f32(bits)) and math.isnan(value))


@settings(max_examples=200, deadline=None)
@given(numbers, numbers)
def test_float_arithmetic(a: int, b: int) -> None:
    with np.errstate(all="ignore"):
        for name, op in FLOATS.items():
            assert same(arithmetic.binary(name, "fp32", a, b), op(f32(a), f32(b)))


@settings(max_examples=200, deadline=None)
@given(words, words)
def test_integer_arithmetic(a: int, b: int) -> None:
    for kind, t in (("int32", np.int32), ("uint32", np.uint32)):
        x, y = (np.uint32(v).view(t) for v in (a, b))
        with np.errstate(all="ignore"):
            wrapped = {"tadd": x + y, "tsub": x - y, "tmul": x * y, "tmin": min(x, y),
                       "tmax": max(x, y), "tand": x & y, "tor": x | y, "txor": x ^ y}  # fmt: skip
        for name, want in wrapped.items():
            assert arithmetic.binary(name, kind, a, b) == int(want) & 0xFFFFFFFF
        high = int(x) * int(y) >> 32 & 0xFFFFFFFF
        assert arithmetic.binary("tmulhi", kind, a, b) == high
        q, r = (arithmetic.binary(n, kind, a, b) for n in ("tdiv", "trem"))
        if b:
            assert (int(y) * q + r - int(x)) & 0xFFFFFFFF == 0
            assert abs(int(np.uint32(r).view(t))) < abs(int(y))
        else:
            assert (q, r) == (0xFFFFFFFF, a)
        shift = b % 40
        want = (int(x) << shift) & 0xFFFFFFFF
        assert arithmetic.binary("tshl", kind, a, shift) == (want if shift < 32 else 0)
        assert arithmetic.binary("tshr", kind, a, shift) == int(x) >> shift & 0xFFFFFFFF


@settings(max_examples=300, deadline=None)
@given(numbers)
def test_conversions(a: int) -> None:
    with np.errstate(all="ignore"):
        half = f32(a).astype(np.float16)
        got = np.uint16(arithmetic.convert("fp32", "fp16", a)).view(np.float16)
        assert got == half or (math.isnan(got) and math.isnan(half))
        assert same(arithmetic.convert("fp16", "fp32", a), np.uint16(a & 0xFFFF).view(np.float16))
        assert arithmetic.convert("int32", "fp32", a) == int(
            np.uint32(a).view(np.int32).astype(np.float32).view(np.uint32))  # fmt: skip
        rounded = a + 0x7FFF + (a >> 16 & 1) >> 16 & 0xFFFF
        bf16 = arithmetic.convert("fp32", "bf16", a)
        assert bf16 == (0x7FC0 if math.isnan(f32(a)) else rounded)
        value = float(f32(a))
        clamped = 0 if math.isnan(value) else min(max(value, -(2.0**31)), 2.0**31 - 1)
        assert arithmetic.convert("fp32", "int32", a) == int(clamped) & 0xFFFFFFFF


@settings(max_examples=200, deadline=None)
@given(numbers, numbers, numbers)
def test_fused_multiply_add_is_the_nearest(a: int, b: int, c: int) -> None:
    """No float32 lies nearer to the exact result than the one that is given."""
    got = f32(arithmetic.fused("fp32", a, b, c))
    if not all(math.isfinite(f32(v)) for v in (a, b, c)) or not math.isfinite(got):
        return
    exact = Fraction(float(f32(a))) * Fraction(float(f32(b))) + Fraction(float(f32(c)))
    off = abs(Fraction(float(got)) - exact)
    with np.errstate(over="ignore"):
        near = [np.nextafter(got, np.float32(to)) for to in (-np.inf, np.inf)]
    for other in near:
        if math.isfinite(other):
            assert off <= abs(Fraction(float(other)) - exact)


# ---- control flow --------------------------------------------------------------------------------

STORE = "tst.gm.b32 r1, u0, r7\n"  # thread t's word at 4 t
LANE = "tsr.tid r0\ntshl.uint32 r7, r0, 2\n"


def run(body: str, threads: int = 8) -> Any:
    block = Block(list(section("simt.f", body)), threads, [0], [Region.of(0, 4 * threads)], 1024)
    block.run()
    return np.frombuffer(bytes(block.spaces["gm"][0].data), np.int32).tolist()


def test_both_sides_of_a_branch() -> None:
    body = (
        LANE
        + """
        tcmp.lt.int32 q0, r0, 3
        tpush meet
        tbra less, when=q0
        tmov r1, 100
        tbra meet
    less:
        tmov r1, 7
    meet:
        tpop
        tadd.int32 r1, r1, r0
    """
        + STORE
        + "texit"
    )
    assert run(body) == [7, 8, 9, 103, 104, 105, 106, 107]


def test_a_loop_that_threads_leave_one_by_one() -> None:
    body = (
        LANE
        + """
        tpush out
    again:
        tcmp.ge.int32 q0, r2, r0
        tbra out, when=q0
        tadd.int32 r2, r2, 1
        tadd.int32 r1, r1, 10
        tbra again
    out:
        tpop
    """
        + STORE
    )
    assert run(body) == [10 * t for t in range(8)]


def test_a_branch_without_a_push_and_threads_that_end_early() -> None:
    body = (
        LANE
        + "tmov r1, 1\n"
        + STORE
        + """
        tcmp.eq.int32 q0, r0, 5
        tbra last, when=q0
        tcmp.lt.int32 q1, r0, 2
        texit when=q1
        tmov r1, 2
    last:
        tadd.int32 r1, r1, 40
    """
        + STORE
    )
    assert run(body) == [1, 1, 42, 42, 42, 41, 42, 42]


def test_faults() -> None:
    with pytest.raises(Trap, match="wait elsewhere"):
        run(LANE + "tcmp.lt.int32 q0, r0, 3\ntpush a\ntbra a, when=q0\ntbar\na:\ntpop")
    with pytest.raises(Trap, match="without a push"):
        run("tpop")
    with pytest.raises(Trap, match="not a multiple of 4"):
        run("tst.gm.b32 r1, u0, _, 2")
    with pytest.raises(Trap, match="nobody has written"):
        run("tld.ub.b32 r1, u0, _")


# ---- the random programs -------------------------------------------------------------------------


def test_every_row_is_written_and_runs() -> None:
    written: Counter[str] = Counter()
    ran: Counter[str] = Counter()
    for seed in range(30):
        case = Writer(seed, 30).case()
        block = reference(case)
        written.update(NPU.decode(word).name for word in case.words)
        ran.update(NPU.decode(case.words[w.word]).name for w in block.writes)
    assert not {row.name for row in ROWS} - set(written)
    assert not {row.name for row in ROWS if "dst" in row.by_name} - set(ran)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_warps_changes_nothing(seed: int) -> None:
    """What is written has no races, so the engine may run warps in its own order."""
    case = Writer(seed, 25).case()
    first = reference(case)
    for order in ({"backwards": True}, {"turn": 1}, {"turn": 3, "backwards": True}):
        again = reference(case, **order)
        for one, two in zip(first.spaces["gm"], again.spaces["gm"], strict=True):
            assert one.data == two.data
        assert again.issued == first.issued


def test_a_wrong_write_is_found_and_named() -> None:
    """The comparison notices one bit in one thread's result of one instruction."""
    case = Writer(3, 10, logged=True).case()
    block = reference(case)
    outputs = {
        tensor.name: np.frombuffer(bytes(region.data), np.uint32).copy()
        for tensor, region in zip(case.program.tensors, block.spaces["gm"], strict=True)
        if tensor.role == "out"
    }
    assert difference(case, block, outputs) is None
    first = next(w for w in block.writes if w.target == "gm" and case.args[4] in w.values)
    outputs["log"][0] ^= 1
    found = difference(case, block, outputs)
    assert found is not None
    assert found.startswith(f"log by thread 0, word {first.word}: ")
    assert NPU.print(NPU.decode(case.words[first.word - 1])) in found
