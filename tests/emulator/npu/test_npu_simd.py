"""SIMD functions: values of every instruction against numpy, timing, UB banks, loops, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_text import program, tensor

from emulator.npu.chip import load
from emulator.npu.machine import HazardError, Machine
from emulator.numerics import decode, encode, exp, ln, sqrt
from emulator.result import Result

CHIP = load("npu-tiny")
STORAGE = {
    "fp32": np.uint32, "fp16": np.uint16, "bf16": np.uint16, "int32": np.int32,
    "uint32": np.uint32, "int16": np.int16, "uint16": np.uint16, "int8": np.int8, "uint8": np.uint8,
}  # fmt: skip
FLOATS = ("fp32", "fp16", "bf16")
BYTES = {name: np.dtype(kind).itemsize for name, kind in STORAGE.items()}
# x and y are 256 bytes each; the function leaves 256 (or, with `out`, more) bytes in z.
CALLER = """
    mov x1, x_
    mov x2, y_
    mov x3, z_
    mov x4, 256
    mov x5, 512
    mov x6, 1024
    mov x7, out
    load.ub.b8 x0, x1, x4
    load.ub.b8 x5, x2, x4
    set_flag.mte2.v 0
    wait_flag.mte2.v 0
    vcall 0, x8, 4
    set_flag.v.mte3 0
    wait_flag.v.mte3 0
    store.gm.b8 x3, x6, x7
    end
"""


def call(body: str, x: Any, y: Any = None, out: int = 256, **names: int) -> Result:
    """Run a function with x in UB at 0, y at 512 and the result at 1024."""
    x = np.ascontiguousarray(x).view(np.uint8).reshape(-1)
    y = x if y is None else np.ascontiguousarray(y).view(np.uint8).reshape(-1)
    tensors = [
        tensor("x_", "uint8", (256,), "in", 0), tensor("y_", "uint8", (256,), "in", 512),
        tensor("z_", "uint8", (out,), "out", 1024),
    ]  # fmt: skip
    made = program(
        {"core.vector": CALLER.replace("out", str(out)), "simd.f": body + "\nend"}, tensors, **names
    )
    codes = {"x_": x, "y_": y}
    result = Machine(CHIP).run(made, codes)
    assert Machine(CHIP).run(made, mode="timing").cycles == result.cycles or "gather" in body
    return result


LOAD = "mov x5, 512\nmov x6, 1024\nvld.b8.norm v1, x0\nvld.b8.norm v2, x5\n"
STORE = "\nvst.b8.norm v3, x6"


def lanes(body: str, x: Any, y: Any = None, out: int = 256) -> Any:
    return call(LOAD + body + STORE, x, y, out).outputs["z_"]


def some(dtype: str, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    n = 256 // BYTES[dtype]
    if dtype in FLOATS:
        x = rng.standard_normal(n).astype(np.float32) * 8
        x[:4] = [0.0, -0.0, np.inf, 1e-3]
        return encode(x, dtype, saturate=False)
    info = np.iinfo(STORAGE[dtype])
    return rng.integers(info.min, info.max, n, endpoint=True).astype(STORAGE[dtype])


def numbers(codes: Any, dtype: str) -> Any:
    return decode(codes, dtype) if dtype in FLOATS else codes.astype(np.int64)


def coded(x: Any, dtype: str) -> Any:
    if dtype in FLOATS:
        return encode(np.asarray(x, np.float32), dtype, saturate=False).view(np.uint8)
    return np.asarray(x).astype(STORAGE[dtype]).view(np.uint8)


def quotient(a: Any, b: Any) -> Any:
    if a.dtype == np.int64:
        safe = np.where(b == 0, 1, b)
        whole = np.abs(a) // np.abs(safe) * np.sign(a) * np.sign(safe)
        return np.where(b == 0, -1, whole)
    return a / b


BINARY = {
    "vadd": np.add, "vsub": np.subtract, "vmul": np.multiply, "vmax": np.maximum,
    "vmin": np.minimum, "vdiv": quotient,
}  # fmt: skip


@pytest.mark.parametrize("dtype", list(STORAGE))
@pytest.mark.parametrize("op", list(BINARY))
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_binary(op: str, dtype: str, seed: int) -> None:
    x, y = some(dtype, seed), some(dtype, seed + 1)
    y[:2] = x[1::-1] if op in ("vmax", "vmin") else y[:2]
    with np.errstate(all="ignore"):
        want = BINARY[op](numbers(x, dtype), numbers(y, dtype))
    if op in ("vmax", "vmin"):  # numpy leaves the sign of equal zeros open
        want[:2] = 0.0 if op == "vmax" else -0.0 if dtype in FLOATS else want[:2]
        if dtype not in FLOATS:
            want[:2] = BINARY[op](numbers(x, dtype), numbers(y, dtype))[:2]
    got = lanes(f"{op}.{dtype} v3, v1, v2", x, y)
    assert np.array_equal(got, coded(want, dtype))


@pytest.mark.parametrize(
    ("op", "want"),
    [("vand", np.bitwise_and), ("vor", np.bitwise_or), ("vxor", np.bitwise_xor)],
)
@pytest.mark.parametrize("dtype", ["int32", "uint16", "int8"])
def test_logic(op: str, want: Any, dtype: str) -> None:
    x, y = some(dtype, 1), some(dtype, 2)
    assert np.array_equal(lanes(f"{op}.{dtype} v3, v1, v2", x, y), want(x, y).view(np.uint8))


@pytest.mark.parametrize(
    ("op", "want"),
    [("vneg", lambda x: -x), ("vabs", np.abs), ("vrelu", lambda x: np.where(x > 0, x, 0 * abs(x)))],
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int32", "int8"])
def test_unary(op: str, want: Any, dtype: str) -> None:
    x = some(dtype, 3)
    got = lanes(f"{op}.{dtype} v3, v1", x)
    with np.errstate(all="ignore"):
        expected = want(numbers(x, dtype))
    if op == "vrelu":
        expected = np.where(numbers(x, dtype) > 0, numbers(x, dtype), 0)
    assert np.array_equal(got, coded(expected, dtype))


@pytest.mark.parametrize(("op", "want"), [("vexp", exp), ("vln", ln), ("vsqrt", sqrt)])
def test_functions(op: str, want: Any) -> None:
    x = np.abs(decode(some("fp32", 4), "fp32"))
    assert np.array_equal(lanes(f"{op}.fp32 v3, v1", x), want(x).view(np.uint8))
    half = some("fp16", 4) & 0x7FFF
    expected = coded(want(decode(half, "fp16")), "fp16")
    assert np.array_equal(lanes(f"{op}.fp16 v3, v1", half), expected)


def test_shifts_and_numbers() -> None:
    x = some("int32", 5)
    assert np.array_equal(lanes("vshl.int32 v3, v1, 3", x), (x << 3).view(np.uint8))
    assert np.array_equal(lanes("vshr.int32 v3, v1, 3", x), (x >> 3).view(np.uint8))
    logical = (x.view(np.uint32) >> 3).view(np.uint8)
    assert np.array_equal(lanes("vshr.uint32 v3, v1, 3", x), logical)
    assert not lanes("vshl.int32 v3, v1, 32", x).any()
    f = some("fp32", 6)
    want = (decode(f, "fp32") * np.float32(2)).view(np.uint8)
    assert np.array_equal(lanes("vmul.fp32 v3, v1, 2", f), want)
    assert np.array_equal(lanes("mov x9, 2.0\nvmul.fp32 v3, v1, x9", f), want)


def test_fused_multiply_add_rounds_once() -> None:
    x = np.full(64, 1 + 2**-12, np.float32)
    y = np.full(64, -(1 + 2**-11), np.float32)
    got = lanes("vmov.b32 v3, v2\nvmadd.fp32 v3, v1, v1", x, y)
    assert np.array_equal(got.view(np.float32), np.full(64, 2**-24, np.float32))
    # Horner's rule: v3 = v3 * v1 + a number.
    got = lanes("vmov.b32 v3, v1\nvmuladd.fp32 v3, v1, v2", x, y)
    assert np.array_equal(got.view(np.float32), np.full(64, 2**-24, np.float32))
    got = lanes("vmov.b32 v3, v1\nvmuladd.fp32 v3, v1, 0.5", x, y)
    want = (x.astype(np.float64) * x + 0.5).astype(np.float32)
    assert np.array_equal(got.view(np.float32), want)


def test_masks_and_merging() -> None:
    x, y = np.arange(64, dtype=np.int32), np.full(64, 100, np.int32)
    got = lanes("pcount.b32 p1, 5\nvadd.int32 v3, v1, v2, mask=p1", x, y).view(np.int32)
    assert np.array_equal(got, np.where(x < 5, x + 100, 0))
    body = "pcount.b32 p1, 5\npnot p2, p1\nvmov.b32 v3, v2\nvadd.int32 v3, v1, v2, mask=p2, merge"
    assert np.array_equal(lanes(body, x, y).view(np.int32), np.where(x < 5, 100, x + 100))
    body = "vcmp.lt.int32 p1, v1, 20\nvcmp.ge.int32 p2, v1, 10\npand p3, p1, p2\n"
    got = lanes(body + "vsel.b32 v3, v2, v1, p3", x, y).view(np.int32)
    assert np.array_equal(got, np.where((x >= 10) & (x < 20), 100, x))


@pytest.mark.parametrize(("op", "want"), [("sum", np.sum), ("max", np.max), ("min", np.min)])
@pytest.mark.parametrize("group", [0, 8, 16, 32])
def test_reductions(op: str, want: Any, group: int) -> None:
    x = np.random.default_rng(7).integers(-99, 99, 64).astype(np.float32)
    name = f"g{group}" if group else "all"
    got = lanes(f"vred.{op}.fp32.{name} v3, v1", x).view(np.float32)
    expected = np.zeros(64, np.float32)
    groups = want(x.reshape(-1, group or 64), axis=1)
    expected[: len(groups)] = groups
    assert np.array_equal(got, expected)
    masked = lanes(f"pcount.b32 p1, 7\nvred.{op}.fp32.all v3, v1, mask=p1", x).view(np.float32)
    assert masked[0] == want(x[:7])


def test_moving_lanes() -> None:
    x, y = np.arange(64, dtype=np.int32), np.arange(64, 128, dtype=np.int32)
    both = np.stack([x, y], 1).reshape(-1)
    got = lanes("vzip.b32 v3, v1, v2", x, y).view(np.int32)
    assert np.array_equal(got, both[:64])
    got = lanes("vzip.b32 v4, v1, v2\nvunzip.b32 v6, v4, v5\nvmov.b32 v3, v7", x, y).view(np.int32)
    assert np.array_equal(got, y)
    got = lanes("vindex.int32 v4, 3\nvperm.b32 v3, v2, v4", x, y).view(np.int32)
    assert np.array_equal(got, y[(x + 3) % 64])
    got = lanes("vlane.b32 x9, v2, 5\nvdup.int32 v3, x9", x, y).view(np.int32)
    assert (got == y[5]).all()
    got = lanes("vindex.fp32 v3, 0.5", x, y).view(np.float32)
    assert np.array_equal(got, np.arange(64, dtype=np.float32) + np.float32(0.5))


def test_narrowing_and_widening() -> None:
    x = decode(some("fp32", 8), "fp32")
    y = decode(some("fp32", 9), "fp32")
    body = "vcvt.fp32.fp16 v3, v1, 0\nvcvt.fp32.fp16 v3, v2, 1, merge"
    got = lanes(body, x, y).view(np.uint16)
    assert np.array_equal(got[0::2], encode(x, "fp16", saturate=False))
    assert np.array_equal(got[1::2], encode(y, "fp16", saturate=False))
    half = some("fp16", 10)
    got = lanes("vcvt.fp16.fp32 v3, v1, 1", half).view(np.float32)
    assert np.array_equal(got, decode(half, "fp16")[1::2])
    codes = lanes("vcvt.fp32.e4m3 v3, v1, 2, sat", x)
    assert np.array_equal(codes[2::4], encode(x, "e4m3", saturate=True))
    assert not codes[0::4].any()
    words = lanes("vcvt.fp32.int16 v3, v1, sat", x).view(np.int16)
    with np.errstate(all="ignore"):
        assert np.array_equal(words[0::2], np.clip(np.rint(x), -32768, 32767).astype(np.int16))
    whole = lanes("vcvt.fp32.int32 v3, v1, round=zero, sat", x).view(np.int32)
    assert np.array_equal(whole, np.clip(np.trunc(x.astype(np.float64)), -(2**31), 2**31 - 1))


def test_distributions() -> None:
    x = np.arange(64, dtype=np.int32)
    load = "mov x6, 1024\nmov x5, 512\n"
    for dist, want in (
        ("brc", np.zeros(64)), ("brcblk", np.tile(np.arange(8), 8)), ("up", np.arange(64) // 2),
        ("unpack", np.where(np.arange(64) % 2, 0, np.arange(64) // 2)),
    ):  # fmt: skip
        got = call(load + f"vld.b32.{dist} v3, x0" + STORE, x).outputs["z_"].view(np.int32)
        assert np.array_equal(got, want), dist
    got = call(load + "vld.b32.norm v3, x0\nvst.b32.pack v3, x6", x, out=128).outputs["z_"]
    assert np.array_equal(got.view(np.int32), x[::2])
    got = call(load + "vld.b32.norm v3, x0\nvst.b32.one v3, x6, 4\nvst.b32.one v3, x6", x, out=8)
    assert got.outputs["z_"].view(np.int32).tolist() == [0, 0]
    body = "vld.b32.norm v3, x0, stride=32\nvst.b32.norm v3, x6"
    assert np.array_equal(call(load + body, x).outputs["z_"].view(np.int32), x)


def test_every_other_element() -> None:
    """Even elements alone, even and odd ones apart, and together again."""
    x, y = np.arange(64, dtype=np.int32), np.arange(64, 128, dtype=np.int32)
    body = "mov x6, 1024\nmov x5, 512\nmov x7, 2048\nvld.b32.norm v1, x0\nvld.b32.norm v2, x5\n"
    body += "vst.b32.norm v1, x7\nvst.b32.norm v2, x7, 256\nvbar\n"
    both = np.concatenate([x, y])
    got = call(body + "vld.b32.down v3, x7" + STORE, x, y).outputs["z_"].view(np.int32)
    assert np.array_equal(got, both[::2])
    split = "vld.b32.split v2, x7\n"
    got = call(body + split + "vmov.b32 v3, v3" + STORE, x, y).outputs["z_"].view(np.int32)
    assert np.array_equal(got, both[1::2])
    got = call(body + split + "vst.b32.zip v2, x6", x, y, out=512).outputs["z_"].view(np.int32)
    assert np.array_equal(got, both)


def test_quarters() -> None:
    """Bytes widened to 32 bits and back; the mask of a packing store counts what is stored."""
    x = np.arange(256, dtype=np.uint8)
    wide = call("mov x6, 1024\nvld.b8.unpack4 v3, x0" + STORE, x).outputs["z_"].view(np.uint32)
    assert np.array_equal(wide, np.arange(64))
    narrow = "mov x6, 1024\nvld.b8.unpack4 v3, x0\npcount.b8 p1, 5\n"
    assert call(narrow + "vst.b8.pack4 v3, x6", x, out=64).outputs["z_"].tolist() == [*range(64)]
    result = call(narrow + "vst.b8.pack4 v3, x6, mask=p1", x, out=5)
    assert result.outputs["z_"].tolist() == [*range(5)]


def test_element_0_in_every_lane() -> None:
    x = np.arange(7, 71, dtype=np.int32)
    assert (lanes("vdup.int32 v3, v1", x).view(np.int32) == 7).all()
    got = lanes("pcount.b32 p1, 3\nvdup.int32 v3, v1, mask=p1", x).view(np.int32)
    assert np.array_equal(got, np.where(np.arange(64) < 3, 7, 0))


def test_gather_and_scatter() -> None:
    x = np.arange(100, 164, dtype=np.int32)
    body = "mov x6, 1024\nvindex.int32 v1, 0\nvxor.int32 v1, v1, 63\n"
    got = call(body + "vgather.b32 v3, x0, v1" + STORE, x).outputs["z_"].view(np.int32)
    assert np.array_equal(got, x[::-1])
    body += "vld.b32.norm v3, x0\nvscatter.b32 v3, x6, v1"
    got = call(body, x).outputs["z_"].view(np.int32)
    assert np.array_equal(got, x[::-1])


def test_loops_nest() -> None:
    """x9 counts 3 x 4 turns; a count of 0 skips its body."""
    body = """
        mov x6, 1024
        loop 3, outer
        loop 4, inner
        add x9, x9, 1
    inner:
        loop 0, outer
        add x9, x9, 1000
    outer:
        vdup.int32 v3, x9
    """
    got = call(body + STORE, np.zeros(64, np.int32)).outputs["z_"].view(np.int32)
    assert (got == 12).all()


ADDS = """
    mov x5, 32768
    mov x6, 8192
    mov x7, 16384
    loop COUNT, out
    vld.b32.norm v1, x7, post=256
    vld.b32.norm v2, x5, 256, post=256
    vadd.fp32 v3, v1, v2
    vst.b32.norm v3, x6, post=256
out:
    end
"""
VCALL = "vcall 0\nend"


def vector_unit(body: str, chip: str = "npu-950pr") -> Any:
    made = program({"core.vector": VCALL, "simd.f": body})
    return Machine(load(chip)).run(made, mode="timing").unit("vector.v")


def busy(body: str, chip: str = "npu-950pr") -> int:
    return int(vector_unit(body, chip).busy)


def test_a_loop_of_adds_runs_at_the_speed_of_its_ports() -> None:
    """Each further iteration costs one cycle: two loads, an add and a store issue together."""
    once, many = (busy(ADDS.replace("COUNT", str(n))) for n in (1, 16))
    assert once == 9 + 7 + 12 + 2  # load, add, store, and the addresses before them
    assert many - once == 15


def test_documented_loop_of_1024_adds() -> None:
    """7 + 15 x 2 = 37 cycles (facts/npu.md), beside the first load, last store and addresses.

    Its interval of 2 comes out where both operands lie in one half of the banks all the time.
    """
    body = ADDS.replace("x5, 256, post=256", "x5, post=512").replace("8192", "65792")
    body = body.replace("v1, x7, post=256", "v1, x7, post=512").replace(
        "x6, post=256", "x6, post=512"
    )
    unit = vector_unit(body.replace("COUNT", "16"))
    assert unit.busy + unit.waits["ub_bank"] - (9 + 12 + 2) == 7 + 15 * 2
    assert unit.waits["ub_bank"] == 15


def test_latencies_add_up_in_a_chain() -> None:
    chain = "\n".join(["vadd.fp32 v1, v1, v1"] * 10) + "\nend"
    free = "\n".join(f"vadd.fp32 v{i}, v0, v0" for i in range(1, 11)) + "\nend"
    assert busy(chain) == 10 * 7
    assert busy(free) == 4 + 7  # two a cycle
    special = "\n".join(f"vexp.fp32 v{i}, v0" for i in range(1, 5)) + "\nend"
    assert busy(special) == 3 * 4 + 16  # one in four cycles


def test_bank_conflicts_are_waits() -> None:
    """Blocks 512 bytes apart lie in one bank: eight passes; 32 apart: one."""
    touching = vector_unit("vld.b32.norm v1, x0, stride=32\nend")
    apart = vector_unit("vld.b32.norm v1, x0, stride=512\nend")
    assert (touching.busy, touching.waits.get("ub_bank", 0)) == (9, 0)
    assert (apart.busy, apart.waits["ub_bank"]) == (9, 7)
    # Eight loads from one half of the banks: one a cycle instead of two.
    loads = "\n".join(f"vld.b32.norm v{i}, x0, {512 * i}" for i in range(8)) + "\nend"
    unit = vector_unit(loads)
    assert (unit.busy, unit.waits["ub_bank"]) == (3 + 9, 4)
    # Behind work that takes longer anyway, nothing is lost.
    chain = "vexp.fp32 v20, v0\nvexp.fp32 v20, v20\n"
    assert not vector_unit(chain + loads).waits.get("ub_bank", 0)


def test_times_are_kept_for_calls_that_differ_in_values_only() -> None:
    """A factor decides nothing; an address (its bank) and a count do."""
    body = """
        loop x3, out
        vld.b32.norm v1, x1
        vld.b32.norm v2, x2, post=256
        vmul.fp32 v1, v1, x4
    out:
        end
    """
    caller = "mov x3, 0\nmov x4, OFFSET\nmov x5, COUNT\nmov x6, FACTOR\nvcall 0, x3, 4\nend"
    seen = {}
    for offset, count, factor in ((256, 8, 1), (256, 8, 7), (512, 8, 1), (256, 9, 1)):
        text = caller.replace("OFFSET", str(offset)).replace("COUNT", str(count))
        once = text.replace("FACTOR", str(factor))
        both = f"{once[:-3]}{text.replace('FACTOR', '5')}"
        made = [program({"core.vector": t, "simd.f": body}) for t in (once, both)]
        units = [Machine(CHIP).run(m, mode="timing").unit("vector.v") for m in made]
        total = [u.busy + sum(v for k, v in u.waits.items() if k == "ub_bank") for u in units]
        assert total[1] == 2 * total[0]
        seen[offset, count, factor] = total[0]
    assert seen[256, 8, 1] == seen[256, 8, 7]
    assert len(set(seen.values())) > 1


def test_what_times_depend_on() -> None:
    def depends(body: str) -> tuple[int, int]:
        made = program({"core.vector": VCALL, "simd.f": body + "\nend"})
        return Machine(CHIP).prepare(made).functions[0][3:5]

    assert depends("vld.b32.norm v1, x2\nvadd.fp32 v1, v1, x3") == (1, 0b010)
    assert depends("add x5, x1, x4\nshl x6, x5, 2\nvst.b32.norm v1, x6") == (1, 0b111001)
    assert depends("pcount.b32 p0, x3\nvexp.fp32 v1, v1, mask=p0") == (1, 0)
    assert depends("pcount.b32 p0, x3\nvst.b32.norm v1, x1, mask=p0") == (1, 0b101)
    assert depends("vcmp.lt.fp32 p0, v1, v2\nvst.b32.norm v1, x1, mask=p0")[0] == 0
    assert depends("vlane.b32 x9, v1, 0\nvld.b32.norm v1, x9")[0] == 0
    assert depends("vlane.b32 x9, v1, 0\nvdup.fp32 v1, x9") == (1, 0)


def test_missing_vbar_is_a_race() -> None:
    body = "vld.b32.norm v1, x0\nvst.b32.norm v1, x6\nvld.b32.norm v3, x6\nvst.b32.norm v3, x6"
    with pytest.raises(HazardError, match="race in UB at byte 1,024"):
        call("mov x6, 1024\n" + body, np.zeros(64, np.int32))
    fixed = body.replace("x6\nvld", "x6\nvbar\nvld")
    assert call("mov x6, 1024\n" + fixed, np.zeros(64, np.int32)).cycles > 0


def test_poison_in_lanes_that_count() -> None:
    """A tail may be loaded; storing or reducing it without a mask is an error."""
    body = "mov x6, 1024\nmov x5, 128\nvld.b32.norm v3, x5\n"
    tail = "pcount.b32 p1, 32\nvst.b32.norm v3, x6, mask=p1"
    assert call(body + tail, np.arange(64, dtype=np.int32), out=128).cycles > 0
    with pytest.raises(HazardError, match="nobody has written"):
        call(body + "vst.b32.norm v3, x6", np.arange(64, dtype=np.int32))
    with pytest.raises(HazardError, match="nobody has written"):
        call(body + "vred.sum.int32.all v3, v3" + STORE, np.arange(64, dtype=np.int32))


def test_faults_of_functions() -> None:
    x = np.zeros(64, np.int32)
    with pytest.raises(HazardError, match="UB: needed 33,024 bytes, available 32,768"):
        call("mov x5, 32768\nvld.b32.norm v1, x5", x)
    deep = "\n".join(["loop 2, out"] * 5) + "\nadd x1, x1, 1\nout:\nvbar"
    with pytest.raises(HazardError, match="at most 4 deep"):
        call(deep, x)
    with pytest.raises(HazardError, match="function 3 is not there; there are 1"):
        Machine(CHIP).run(program({"core.vector": "vcall 3\nend", "simd.f": "end"}), {})


def test_v_and_dma_are_ordered_by_flags() -> None:
    text = CALLER.replace("wait_flag.mte2.v 0", "").replace("set_flag.mte2.v 0", "")
    tensors = [
        tensor("x_", "uint8", (256,), "in", 0), tensor("y_", "uint8", (256,), "in", 512),
        tensor("z_", "uint8", (256,), "out", 1024),
    ]  # fmt: skip
    made = program({"core.vector": text.replace("out", "256"), "simd.f": LOAD + "end"}, tensors)
    with pytest.raises(HazardError, match=r"race in UB.*'vcall 0.*'load\.ub\.b8"):
        Machine(CHIP).run(made, {"x_": np.zeros(256, np.uint8), "y_": np.zeros(256, np.uint8)})
