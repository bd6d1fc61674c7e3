"""What every VXM instruction computes, against numpy."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from emulator.numerics import decode, encode, exp2, rsqrt, tanh
from isa.fields import Alu, Imm
from isa.lpu import CASTS, LPU
from isa.table import BYTES_OF
from tests.emulator.lpu.lpu_programs import (
    START,
    Bench,
    east,
    easts,
    planes_of,
    vector_op,
    wests,
    wide,
)

NAN = np.uint32(0x7FC00000)
SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e38, -1e38, 1e-45, -1e-45, 3.5, -2.25, 1e-38, 0.1, 7],
    np.float32,
)  # fmt: skip
LANES = 32


def floats(seed: int, rows: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of floats: all pairs of special values first, NaNs with payloads, then random bits."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 1 << 32, (rows, LANES), dtype=np.uint32)
    bits[0] = np.resize(np.roll(SPECIAL, seed).view(np.uint32), LANES)
    bits[1, :4] = [0x7FC00001, 0xFFC00000, 0x7F800001, 0x7FC00000]
    bits[2] = rng.standard_normal(LANES).astype(np.float32).view(np.uint32)
    return bits.view(np.float32)


def ints(seed: int, rows: int = 4) -> np.ndarray[Any, np.dtype[np.int32]]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(1 << 31), 1 << 31, (rows, LANES), dtype=np.int64).astype(np.int32)
    x[0, :6] = [0, -1, 1, -(1 << 31), (1 << 31) - 1, 7]
    x[1] = rng.integers(-3, 4, LANES)
    return x


def canonical(x: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Bits of fp32 results with every NaN canonical."""
    x = np.asarray(x, np.float32)
    return np.where(np.isnan(x), NAN, x.view(np.uint32))


def larger(a: Any, b: Any, sign: int = 1) -> Any:
    """max (or min with sign -1) that tells the zeros apart and passes NaN on."""
    first = (sign * a > sign * b) | ((a == b) & (np.signbit(a) == (sign < 0)))
    return np.where(np.isnan(a) | np.isnan(b), np.float32(np.nan), np.where(first, a, b))


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "max": larger, "min": lambda a, b: larger(a, b, -1),
}  # fmt: skip
UNARY: dict[str, Callable[[Any], Any]] = {"relu": lambda a: np.where(a <= 0, np.float32(0), a)}
MOVES: dict[str, Callable[[Any], Any]] = {
    "neg": lambda u: u ^ np.uint32(1 << 31), "abs": lambda u: u & np.uint32((1 << 31) - 1),
    "mov": lambda u: u,
}  # fmt: skip
INT_BINARY: dict[str, Callable[[Any, Any], Any]] = {**BINARY, "max": np.maximum, "min": np.minimum}
INT_UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg, "abs": np.abs, "relu": lambda a: np.maximum(a, 0), "mov": lambda a: a,
}  # fmt: skip
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    n: getattr(operator, n) for n in ("lt", "le", "gt", "ge", "eq", "ne")
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_fp32(name: str) -> None:
    a, b = floats(1), floats(2)
    with np.errstate(all="ignore"):
        wanted = canonical(BINARY[name](a, b))
    got = vector_op(wide(), name, {"a": a, "b": b}, np.uint32, type="fp32")
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", INT_BINARY)
def test_binary_int32(name: str) -> None:
    a, b = ints(1), ints(2)
    with np.errstate(all="ignore"):
        wanted = INT_BINARY[name](a, b)
    got = vector_op(wide(), name, {"a": a, "b": b}, np.int32, type="int32")
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", [*UNARY, *MOVES])
def test_unary_fp32(name: str) -> None:
    a = floats(3)
    wanted = canonical(UNARY[name](a)) if name in UNARY else MOVES[name](a.view(np.uint32))
    got = vector_op(wide(), name, {"a": a}, np.uint32, type="fp32")
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", INT_UNARY)
def test_unary_int32(name: str) -> None:
    a = ints(3)
    with np.errstate(all="ignore"):
        wanted = INT_UNARY[name](a)
    np.testing.assert_array_equal(vector_op(wide(), name, {"a": a}, np.int32, type="int32"), wanted)


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize("dtype", ["fp32", "int32"])
def test_compare(name: str, dtype: str) -> None:
    a, b = (floats(4), floats(5)) if dtype == "fp32" else (ints(4), ints(5))
    b[2, ::2] = a[2, ::2]
    with np.errstate(all="ignore"):
        wanted = COMPARE[name](a, b).astype(np.uint8)
    got = vector_op(wide(), name, {"a": a, "b": b}, np.uint8, type=dtype)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", ["fp32", "int32"])
def test_select_moves_bits(dtype: str) -> None:
    a, b = floats(6).view(np.uint32), floats(7).view(np.uint32)
    mask = np.random.default_rng(0).integers(0, 3, a.shape).astype(np.uint8)
    got = vector_op(wide(), "select", {"a": a, "b": b, "c": mask}, np.uint32, type=dtype)
    np.testing.assert_array_equal(got, np.where(mask != 0, a, b))


@pytest.mark.parametrize(("name", "function"), [("exp2", exp2), ("rsqrt", rsqrt), ("tanh", tanh)])
def test_special_functions(name: str, function: Callable[[Any], Any]) -> None:
    a = floats(8)
    got = vector_op(wide(), name, {"a": a}, np.uint32, type="fp32")
    np.testing.assert_array_equal(got, canonical(function(a)))


def coded(dtype: str, seed: int) -> np.ndarray[Any, Any]:
    """Rows of codes of a type, every code of the 8-bit ones."""
    if dtype in ("fp32", "int32"):
        return floats(seed).view(np.uint32) if dtype == "fp32" else ints(seed)
    size = BYTES_OF[dtype]
    rng = np.random.default_rng(seed)
    if size == 2:
        return rng.integers(0, 1 << 16, (8, LANES)).astype(np.uint16)
    codes = np.arange(8 * LANES).reshape(8, LANES).astype(np.uint8)
    return codes % 16 if dtype == "e2m1" else codes


@pytest.mark.parametrize("sat", [False, True])
@pytest.mark.parametrize("to", CASTS)
@pytest.mark.parametrize("source", CASTS)
def test_cast(source: str, to: str, sat: bool) -> None:
    a = coded(source, 9)
    storage = {"fp32": "f4", "int32": "i4", "int8": "i1"}
    values = a.view(storage[source]) if source in storage else a
    # int32 is the only type that float32 does not hold: it goes through float64.
    exact = values.astype(np.float64) if source == "int32" else decode(values, source)
    wanted = np.asarray(encode(exact, to, saturate=sat))
    size = f"u{BYTES_OF[to]}"
    got = vector_op(wide(), "cast", {"a": a}, size, type=source, to=to, sat=sat)
    np.testing.assert_array_equal(got, wanted.view(size))


def test_immediate_of_a_repetition_is_rounded_once() -> None:
    a = np.zeros((5, LANES), np.float32)
    step, first = 3, 0.1
    got = vector_op(wide(), "add", {"a": a, "b": Imm(first)}, np.float32, type="fp32", stride=step)
    start = float(np.float32(first))
    wanted = np.array([np.float32(start + step * i) for i in range(5)])
    np.testing.assert_array_equal(got, np.repeat(wanted[:, None], LANES, 1))


def test_integer_immediate_advances() -> None:
    got = vector_op(
        wide(), "add", {"a": np.zeros((4, LANES), np.int32), "b": Imm(-1)}, np.int32,
        type="int32", stride=-5,
    )  # fmt: skip
    np.testing.assert_array_equal(got[:, 0], [-1, -6, -11, -16])


def running(name: str, dtype: str, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """start, two more, emit: one row out."""
    chip = wide()
    bench = Bench(chip)
    key = LPU.by_name[name].timing
    bench.feed(planes_of(x), wests(0, 4), east(0), chip.vxm_column, START)
    for i in range(len(x)):
        last = i == len(x) - 1
        bench.at("vxm.0", START + i, name, type=dtype, dst=east(4) if last else None, a=east(0),
                 start=i == 0, emit=last)  # fmt: skip
    end = START + len(x) - 1 + chip.latency[key]
    bench.drain(1, easts(0, 4), east(4), chip.vxm_column, end)
    return np.asarray(bench.values(bench.run(), x.dtype)[0])


def test_running_sum_rounds_every_step() -> None:
    x = np.array([[1e8] * LANES, [1.0] * LANES, [-1e8] * LANES, [0.25] * LANES], np.float32)
    wanted = ((x[0] + x[1]) + x[2]) + x[3]
    np.testing.assert_array_equal(running("runsum", "fp32", x), wanted)


def test_running_sum_of_integers_saturates() -> None:
    top = (1 << 31) - 1
    x = np.array([[top] * LANES, [5] * LANES, [-10] * LANES], np.int32)
    np.testing.assert_array_equal(running("runsum", "int32", x), np.full(LANES, top - 10))


def test_running_max() -> None:
    x = floats(10, 6)
    with np.errstate(all="ignore"):
        wanted = x[0]
        for row in x[1:]:
            wanted = larger(wanted, row)
    got = running("runmax", "fp32", x)
    np.testing.assert_array_equal(got.view(np.uint32), canonical(wanted))


def test_chain_takes_what_is_delivered_in_that_cycle() -> None:
    """y = (a + 1) * 2 with the sum only on the chain."""
    chip = wide()
    a = floats(2)[2:3]
    bench = Bench(chip)
    bench.feed(planes_of(a), wests(0, 4), east(0), chip.vxm_column, START)
    later = START + chip.latency["vxm.add"]
    bench.at("vxm.2", START, "add", type="fp32", dst=None, a=east(0), b=Imm(1.0))
    bench.at("vxm.3", later, "mul", type="fp32", dst=east(4), a=Alu(2), b=Imm(2.0))
    bench.drain(1, easts(0, 4), east(4), chip.vxm_column, later + chip.latency["vxm.mul"])
    result = bench.run()
    assert not result.hazards
    np.testing.assert_array_equal(bench.values(result, np.float32), (a + np.float32(1)) * 2)


def test_mask_is_chained_as_bytes() -> None:
    """relu by hand: gt on ALU 2 feeds select on ALU 3."""
    chip = wide()
    a = floats(2)[2:3]
    bench = Bench(chip)
    bench.feed(planes_of(a), wests(0, 4), east(0), chip.vxm_column, START)
    later = START + chip.latency["vxm.add"]
    bench.feed(planes_of(a), wests(4, 4), east(4), chip.vxm_column, later, base=8)
    bench.at("vxm.2", START, "gt", type="fp32", dst=None, a=east(0), b=Imm(0.0))
    bench.at("vxm.3", later, "select", type="fp32", dst=east(8), c=Alu(2), a=east(4), b=Imm(0.0))
    bench.drain(1, easts(0, 4), east(8), chip.vxm_column, later + chip.latency["vxm.add"])
    got = bench.values(bench.run(), np.float32)
    np.testing.assert_array_equal(got, np.maximum(a, 0))
