"""MXM planes: values of every format, the order of loading, installing and multiplying, hazards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emulator.lpu.chip import LpuChip
from emulator.numerics import decode64, exact_dot
from isa.table import BYTES_OF
from tests.emulator.lpu.lpu_programs import (
    Bench,
    chip_named,
    east,
    planes_of,
    west,
    wests,
    wide,
)

FORMATS = {"mxfp8": "e4m3", "mxfp4": "e2m1"}
Codes = np.ndarray[Any, Any]


def codes(dtype: str, shape: tuple[int, ...], seed: int = 0) -> Codes:
    """Random codes of a format, without NaN and Inf."""
    rng = np.random.default_rng(seed)
    if dtype == "int8":
        return rng.integers(-128, 128, shape).astype(np.int8)
    if dtype in ("fp16", "bf16"):
        x = (rng.standard_normal(shape) * 4).astype(np.float32)
        return x.astype(np.float16).view(np.uint16) if dtype == "fp16" else (
            x.view(np.uint32) >> 16).astype(np.uint16)  # fmt: skip
    top = {"mxfp4": 16, "e5m2": 0x7C}.get(dtype, 0x7F)
    raw = rng.integers(0, top, shape).astype(np.uint8)
    sign = 0 if dtype == "mxfp4" else rng.integers(0, 2, shape).astype(np.uint8) << 7
    return np.asarray(raw | sign, np.uint8)


def numbers(x: Codes, dtype: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return decode64(x, FORMATS.get(dtype, dtype))


class Plane:
    """One plane of a bench: its loads come from slices w0..w15, activations from w16 on.

    The plane is the first western one for `side` w, else the first eastern one.
    """

    def __init__(self, chip: LpuChip | None = None, side: str = "e") -> None:
        self.chip = chip or wide(mem__slices="32")
        self.bench = Bench(self.chip)
        self.number = 0 if side == "w" else self.chip.mxm.planes // 2
        self.column = self.chip.mxm_column(side)
        self.outward = east if side == "e" else west
        self.inward = west if side == "e" else east
        self.side = "w" if side == "e" else "e"
        self.base = 0

    @property
    def weights(self) -> str:
        return f"mxm.{self.number}.weights"

    @property
    def mm_queue(self) -> str:
        return f"mxm.{self.number}.mm"

    def slices(self, first: int, count: int) -> list[str]:
        return [f"{self.side}{i}" for i in range(first, first + count)]

    def load(
        self, w: Codes, dtype: str, cycle: int, lanes: int | None = None, group: int = 0
    ) -> int:
        """lw of w [rows, K] in `cycle`; the next free cycle."""
        rows, depth = w.shape
        size = BYTES_OF[dtype]
        per = 16 // size
        cycles = -(-rows * size // 16)
        for i in range(cycles):
            vectors = np.zeros((1, 16, self.chip.lanes), np.uint8)
            part = planes_of(w[per * i : per * (i + 1)])  # [lanes out, bytes, K]
            vectors[0, : part.shape[0] * size, :depth] = part.reshape(-1, depth)
            used = part.shape[0] * size
            self.bench.feed(
                vectors[:, :used], self.slices(0, used), self.outward(group), self.column,
                cycle + i, base=self.base,
            )  # fmt: skip
            self.base += 1
        self.bench.at(self.weights, cycle, "lw", type=dtype, a=self.outward(group), rows=rows,
                      lanes=lanes or depth)  # fmt: skip
        return int(cycle + cycles)

    def scales(self, s: Codes, dtype: str, cycle: int) -> int:
        """lws of s [blocks, lanes out]."""
        vectors = np.zeros((1, len(s), self.chip.lanes), np.uint8)
        vectors[0, :, : s.shape[1]] = s
        self.bench.feed(vectors, self.slices(0, len(s)), self.outward(0), self.column, cycle,
                        base=self.base)  # fmt: skip
        self.base += 1
        self.bench.at(self.weights, cycle, "lws", type=dtype, a=self.outward(0))
        return cycle + 1

    def install(self, cycle: int) -> int:
        self.bench.at(self.weights, cycle, "iw")
        return cycle + self.chip.latency["mxm.iw"]

    def multiply(
        self, x: Codes, dtype: str, cycle: int, row: int = 0, scales: Codes | None = None,
        name: str = "y", **flags: bool,
    ) -> int:  # fmt: skip
        """mm of the rows of x [m, K], one per cycle into rows row.. ; the cycle after the last."""
        m = len(x)
        planes = planes_of(x)
        if scales is not None:
            planes = np.concatenate([planes, scales[:, None]], 1)
        vectors = np.zeros((m, planes.shape[1], self.chip.lanes), np.uint8)
        vectors[:, :, : x.shape[1]] = planes
        self.bench.feed(vectors, self.slices(16, vectors.shape[1]), self.outward(16), self.column,
                        cycle, base=self.base)  # fmt: skip
        self.base += m
        emit = flags.get("emit", False)
        repeat = {"n": m - 1, "d": 1, "stride": 1} if m > 1 else None
        self.bench.at(self.mm_queue, cycle, "mm", type=dtype, a=self.outward(16), row=row,
                      dst=self.inward(4) if emit else None, repeat=repeat, **flags)  # fmt: skip
        if emit:
            self.bench.drain(
                m, self.slices(24, 4), self.inward(4), self.column,
                cycle + self.chip.latency["mxm.mm"], base=512 + self.base, name=name,
            )  # fmt: skip
        return cycle + m


def expected(w: Codes, x: Codes, dtype: str) -> Codes:
    """x w^T, every output exact and rounded once."""
    if dtype == "int8":
        return x.astype(np.int32) @ w.astype(np.int32).T
    return exact_dot(numbers(x, dtype), numbers(w, dtype).T)


@pytest.mark.parametrize("side", ["e", "w"])
@pytest.mark.parametrize("dtype", ["int8", "e4m3", "e5m2", "fp16", "bf16"])
def test_product(dtype: str, side: str) -> None:
    plane = Plane(side=side)
    depth = plane.chip.mode(dtype).k
    w, x = codes(dtype, (32, depth), 1), codes(dtype, (5, depth), 2)
    ready = plane.install(plane.load(w, dtype, 60))
    plane.multiply(x, dtype, ready, start=True, emit=True)
    result = plane.bench.run()
    assert not result.hazards
    wanted = expected(w, x, dtype)
    np.testing.assert_array_equal(plane.bench.values(result, wanted.dtype), wanted)
    assert result.unit(f"mxm.{plane.number}").busy == 5


@pytest.mark.parametrize("dtype", ["mxfp8", "mxfp4"])
def test_block_scaled_product(dtype: str) -> None:
    """K = 64 on a chip with 64 lanes: two blocks, each with its own scale in weights and x."""
    chip = wide(mem__slices="32", lanes="64", **{
        f"mxm__modes__{dtype}__{key}": "64" for key in ("k", "n")
    })  # fmt: skip
    plane = Plane(chip)
    rng = np.random.default_rng(3)
    w, x = codes(dtype, (48, 64), 1), codes(dtype, (3, 64), 2)
    ws = rng.integers(110, 140, (2, 48)).astype(np.uint8)
    xs = np.repeat(rng.integers(110, 140, (3, 2)), 32, 1).astype(np.uint8)
    ready = plane.install(plane.scales(ws, dtype, plane.load(w, dtype, 60)))
    plane.multiply(x, dtype, ready, scales=xs, start=True, emit=True)
    result = plane.bench.run()
    assert not result.hazards
    wide_w = numbers(w, dtype) * decode64(np.repeat(ws.T, 32, 1), "e8m0")
    wanted = exact_dot(numbers(x, dtype) * decode64(xs, "e8m0"), wide_w.T)
    got = plane.bench.values(result, np.float32)
    np.testing.assert_array_equal(got[:, :48], wanted)
    assert not got[:, 48:].any()


def test_lanes_and_rows_beyond_do_not_count() -> None:
    """NaN in lanes from `lanes` on contributes nothing; output lanes from `rows` on give 0."""
    plane = Plane()
    w, x = codes("e4m3", (20, 32), 1), codes("e4m3", (1, 32), 2)
    w[:, 13:] = 0x7F  # NaN
    x[:, 13:] = 0x7F
    ready = plane.install(plane.load(w, "e4m3", 60, lanes=13))
    plane.multiply(x, "e4m3", ready, start=True, emit=True)
    got = plane.bench.values(plane.bench.run(), np.float32)
    np.testing.assert_array_equal(got[:, :20], expected(w[:, :13], x[:, :13], "e4m3"))
    assert not got[:, 20:].any()


def test_a_nan_that_counts_is_canonical() -> None:
    plane = Plane()
    w, x = codes("e4m3", (32, 32), 1), codes("e4m3", (1, 32), 2)
    x[0, 5] = 0xFF
    ready = plane.install(plane.load(w, "e4m3", 60))
    plane.multiply(x, "e4m3", ready, start=True, emit=True)
    got = plane.bench.values(plane.bench.run(), np.uint32)
    np.testing.assert_array_equal(got, np.full((1, 32), 0x7FC00000))


def test_partial_load_has_no_use_for_absent_streams() -> None:
    """17 rows: the second cycle takes one stream only."""
    plane = Plane()
    w, x = codes("int8", (17, 32), 1), codes("int8", (1, 32), 2)
    ready = plane.install(plane.load(w, "int8", 60))
    plane.multiply(x, "int8", ready, start=True, emit=True)
    result = plane.bench.run()
    got = plane.bench.values(result, np.int32)
    np.testing.assert_array_equal(got[:, :17], expected(w, x, "int8"))


@pytest.mark.parametrize("dtype", ["int8", "fp16"])
def test_passes_accumulate_in_order(dtype: str) -> None:
    plane = Plane()
    depth = plane.chip.mode(dtype).k
    w = [codes(dtype, (32, depth), i) for i in range(3)]
    x = [codes(dtype, (4, depth), 10 + i) for i in range(3)]
    cycle = 60
    for i in range(3):
        ready = plane.install(max(plane.load(w[i], dtype, cycle), cycle + 4))
        cycle = plane.multiply(x[i], dtype, ready, row=7, start=i == 0, emit=i == 2)
    result = plane.bench.run()
    wanted = expected(w[0], x[0], dtype)
    for i in (1, 2):
        wanted = wanted + expected(w[i], x[i], dtype)
    np.testing.assert_array_equal(plane.bench.values(result, wanted.dtype), wanted)


def test_integer_accumulator_saturates() -> None:
    """Each pass adds 2^19; 4096 of them pass the largest int32."""
    plane = Plane()
    w = np.full((32, 32), -128, np.int8)
    ready = plane.install(plane.load(w, "int8", 60))
    bench, x = plane.bench, np.full((1, 1, 32), 128, np.uint8)
    bench.memory("w16", 900, x[0])
    issue = ready - bench.chip.latency["mem.read"] - bench.hops("mem.w16.read", plane.column)
    n = 4200
    bench.at("mem.w16.read", issue, "read", dst=east(16), addr=900, repeat={"n": n, "d": 1})
    bench.at(plane.mm_queue, ready, "mm", type="int8", a=east(16), row=0, start=True)
    bench.at(plane.mm_queue, ready + 1, "mm", type="int8", a=east(16), row=0,
             repeat={"n": n - 2, "d": 1})  # fmt: skip
    bench.at(
        plane.mm_queue, ready + n, "mm", type="int8", a=east(16), row=0, dst=west(4), emit=True
    )
    bench.drain(
        1, plane.slices(24, 4), west(4), plane.column, ready + n + bench.chip.latency["mxm.mm"]
    )
    got = bench.values(bench.run(), np.int32)
    assert (got == (1 << 31) - 1).all()


def test_products_in_the_cycle_of_iw_use_the_old_weights() -> None:
    plane = Plane()
    w1, w2, x = codes("int8", (32, 32), 1), codes("int8", (32, 32), 2), codes("int8", (1, 32), 3)
    first = plane.install(plane.load(w1, "int8", 60))
    second = plane.load(w2, "int8", 70)
    plane.multiply(x, "int8", second, name="old", start=True, emit=True)
    ready = plane.install(second)
    plane.multiply(x, "int8", ready, name="new", row=1, start=True, emit=True)
    assert first < second
    result = plane.bench.run()
    np.testing.assert_array_equal(
        plane.bench.values(result, np.int32, "old"), expected(w1, x, "int8")
    )
    np.testing.assert_array_equal(
        plane.bench.values(result, np.int32, "new"), expected(w2, x, "int8")
    )
    assert not result.hazards


def test_product_too_soon_after_iw() -> None:
    plane = Plane()
    w, x = codes("int8", (32, 32), 1), codes("int8", (1, 32), 2)
    ready = plane.install(plane.load(w, "int8", 60))
    plane.multiply(x, "int8", ready - 1, start=True, emit=True)
    hazard = plane.bench.fails("weights")
    assert hazard.cycle == ready - 1
    assert f"from cycle {ready} on" in hazard.message


def test_product_without_weights() -> None:
    plane = Plane()
    plane.multiply(codes("int8", (1, 32)), "int8", 60, start=True, emit=True)
    assert "ever installed" in plane.bench.fails("weights").message


def test_product_in_another_format() -> None:
    plane = Plane()
    ready = plane.install(plane.load(codes("int8", (32, 32)), "int8", 60))
    plane.multiply(codes("e4m3", (1, 32)), "e4m3", ready, start=True, emit=True)
    hazard = plane.bench.fails("weights")
    assert "mm.e4m3, but the active weights are int8" in hazard.message
    assert hazard.other == (plane.weights, 1)


def test_install_without_load() -> None:
    plane = Plane()
    plane.install(plane.load(codes("int8", (32, 32)), "int8", 60))
    plane.install(70)
    assert "without an lw" in plane.bench.fails("weights").message


def test_install_without_scales() -> None:
    plane = Plane()
    plane.install(plane.load(codes("mxfp8", (32, 32)), "mxfp8", 60))
    assert "lws" in plane.bench.fails("weights").message


def test_scales_without_load() -> None:
    plane = Plane()
    plane.scales(np.full((1, 32), 127, np.uint8), "mxfp8", 60)
    assert "follows the completed lw" in plane.bench.fails("weights").message


def test_install_before_the_load_is_complete() -> None:
    """A load latency of 3: the iw right after lw is too early, and says when it would do."""
    chip = wide(mem__slices="32", latency__mxm__lw="3")
    plane = Plane(chip)
    free = plane.load(codes("int8", (32, 32)), "int8", 60)
    plane.install(free + 2)
    assert f"in cycle {free + 3} or later" in plane.bench.fails("weights").message


def test_install_while_a_product_runs() -> None:
    """A product that takes 4 cycles is still running when iw comes."""
    chip = wide(mem__slices="32", mxm__modes__int8__cycles_per_mm="4")
    plane = Plane(chip)
    w = codes("int8", (32, 32))
    ready = plane.install(plane.load(w, "int8", 60))
    again = plane.load(w, "int8", max(ready, 75))
    plane.multiply(codes("int8", (1, 32)), "int8", again - 1, start=True, emit=True)
    plane.install(again)
    assert f"in cycle {again - 1 + 3} or later" in plane.bench.fails("weights").message


def test_row_never_started() -> None:
    plane = Plane()
    ready = plane.install(plane.load(codes("int8", (32, 32)), "int8", 60))
    plane.multiply(codes("int8", (1, 32)), "int8", ready, row=5, emit=True)
    assert "row 5, which was never started" in plane.bench.fails("uninitialised").message


def test_row_of_another_kind() -> None:
    plane = Plane()
    ready = plane.install(plane.load(codes("int8", (32, 32)), "int8", 60))
    plane.multiply(codes("int8", (1, 32)), "int8", ready, start=True)
    again = plane.install(plane.load(codes("e4m3", (32, 32)), "e4m3", 80))
    plane.multiply(codes("e4m3", (1, 32)), "e4m3", again, emit=True)
    assert "holds int32" in plane.bench.fails("uninitialised").message


# ---- pairs, on the real chip -------------------------------------------------------------------


def pair() -> Plane:
    return Plane(chip_named("lpu-tsp1"))


def test_pair_multiplies_and_both_planes_are_busy() -> None:
    plane = pair()
    w, x = codes("fp16", (320, 160), 1), codes("fp16", (3, 160), 2)
    done = plane.load(w, "fp16", 80)
    assert done == 120
    plane.multiply(x, "fp16", plane.install(done), start=True, emit=True)
    result = plane.bench.run()
    np.testing.assert_array_equal(plane.bench.values(result, np.float32), expected(w, x, "fp16"))
    for number in (2, 3):
        assert result.unit(f"mxm.{number}").busy == 3
    assert result.unit("mxm.0").busy == 0


def test_pair_is_issued_on_its_even_plane() -> None:
    plane = pair()
    plane.number += 1
    plane.multiply(codes("fp16", (1, 160)), "fp16", 80, start=True, emit=True)
    assert "even one" in plane.bench.fails("unit").message


def test_partner_of_a_pair_is_busy() -> None:
    """The odd plane's weight queue is used in the middle of the pair's load."""
    plane = pair()
    plane.load(codes("fp16", (16, 160)), "fp16", 80)
    plane.number += 1
    plane.bench.at(plane.weights, 81, "iw")
    hazard = plane.bench.fails("unit")
    assert "uses both planes of the pair; issue it in cycle 82" in hazard.message


def test_odd_plane_breaks_the_pair() -> None:
    """Loading the odd plane between the pair's lw and iw leaves half of the weights."""
    plane = pair()
    done = plane.load(codes("fp16", (320, 160)), "fp16", 80)
    plane.number += 1
    free = plane.load(codes("int8", (16, 320)), "int8", done, group=0)
    plane.number -= 1
    plane.install(free)
    assert plane.bench.fails("weights").where == ("mxm.2.weights", 3)


def test_product_on_the_odd_plane_of_a_pair() -> None:
    plane = pair()
    ready = plane.install(plane.load(codes("fp16", (320, 160)), "fp16", 80))
    plane.number += 1
    plane.multiply(codes("int8", (1, 320)), "int8", ready, start=True, emit=True)
    assert "odd plane of a pair" in plane.bench.fails("weights").message


def test_two_planes_of_a_side_share_an_activation() -> None:
    plane = pair()
    w, x = codes("int8", (320, 320), 1), codes("int8", (2, 320), 2)
    plane.install(plane.load(w, "int8", 80))
    plane.number += 1
    ready = plane.install(plane.load(w[::-1], "int8", 102))
    plane.multiply(x, "int8", ready, start=True, emit=True)
    plane.bench.at("mxm.2.mm", ready, "mm", type="int8", a=east(16), row=0, start=True,
                   emit=True, dst=west(8), repeat={"n": 1, "d": 1, "stride": 1})  # fmt: skip
    slices = wests(28, 4)
    plane.bench.drain(2, slices, west(8), plane.column, ready + 30, base=3000, name="z")
    result = plane.bench.run()
    np.testing.assert_array_equal(
        plane.bench.values(result, np.int32), expected(w[::-1], x, "int8"))  # fmt: skip
    np.testing.assert_array_equal(plane.bench.values(result, np.int32, "z"), expected(w, x, "int8"))
    assert not result.hazards
