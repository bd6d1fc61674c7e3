"""The SIMT kernels against numpy: exactly, in the order of additions that each one documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.numerics import exp
from programs.kernel import KernelError
from programs.npu.engram import HEADS, mapping
from programs.npu.reduce import parts_of
from programs.registry import kernels
from tests.emulator.npu.simt_arithmetic import fused

TINY, LARGE = load("npu-tiny"), load("npu-950pr")
F32 = np.float32
few = settings(max_examples=8, deadline=None)
sizes = st.integers(1, 70)


def run(name: str, given: dict[str, Any], arrays: Any = None, dtype: str = "", chip: Any = TINY,
        seed: int = 1) -> tuple[Any, Any, Any]:  # fmt: skip
    """(inputs, outputs, result); nothing may be hazardous and every cycle is accounted for."""
    kernel = kernels("npu")[name]
    dtype = dtype or kernel.default_dtype(chip)
    params = kernel.resolve(given, arrays)
    arrays = {**kernel.inputs(params, seed), **(arrays or {})}
    encoded = kernel.encode(dtype, params, arrays)
    result = Machine(chip).run(kernel.build(chip, dtype, params), encoded.tensors)
    assert not result.hazards
    for unit in result.units:
        assert unit.busy + sum(unit.waits.values()) + unit.idle == result.cycles * unit.count
    return arrays, kernel.decode(dtype, params, result.outputs, encoded), result


def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c of float32 arrays, rounded once."""
    parts = np.broadcast_arrays(a, b, c)
    bits = [np.ascontiguousarray(p, F32).view(np.uint32).reshape(-1).tolist() for p in parts]
    made = [fused("fp32", *lane) for lane in zip(*bits, strict=True)]
    return np.array(made, np.uint32).view(F32).reshape(parts[0].shape)


def tree(values: Any, op: Any = np.add) -> Any:
    """Neighbours, then neighbours of those: along the last axis, a power of two."""
    while values.shape[-1] > 1:
        values = op(values[..., ::2], values[..., 1::2])
    return values[..., 0]


def padded(values: Any, size: int) -> Any:
    return np.concatenate([values, np.zeros(size - len(values), values.dtype)])


@few
@given(n=st.integers(1, 3000), alpha=st.sampled_from([2.5, -0.1, 0.0]))
def test_saxpy(n: int, alpha: float) -> None:
    arrays, got, _ = run("saxpy", {"n": n, "alpha": alpha})
    assert np.array_equal(got["z"], fma(F32(alpha), arrays["x"], arrays["y"]))


@few
@given(rows=sizes, cols=sizes, dtype=st.sampled_from(["fp32", "fp16", "bf16"]))
def test_add_in_both_modes(rows: int, cols: int, dtype: str) -> None:
    shape = {"rows": rows, "cols": cols}
    _, one, _ = run("add", shape, dtype=dtype)
    _, two, _ = run("add", {**shape, "mode": "simt"}, dtype=dtype)
    assert np.array_equal(one["c"], two["c"])


def in_order(x: Any, threads: int, op: Any, start: Any) -> Any:
    """What `reduce` says that it does."""
    parts, size = parts_of(len(x))
    found = np.full(64, start, x.dtype)
    for p in range(parts):
        part = x[p * size : (p + 1) * size]
        total = np.full(threads, start, x.dtype)
        for first in range(0, len(part), threads):
            turn = part[first : first + threads]
            total[: len(turn)] = op(total[: len(turn)], turn)
        warps = np.full(32, start, x.dtype)
        warps[: threads // 32] = tree(total.reshape(-1, 32), op)
        found[p] = tree(warps, op)
    return tree(op(found[:32], found[32:]), op)


@few
@given(n=st.integers(1, 30000), threads=st.sampled_from([32, 96, 256]))
def test_sums_of_floats_have_one_order(n: int, threads: int) -> None:
    x = np.random.default_rng(n).standard_normal(n).astype(F32)
    _, got, _ = run("reduce", {"threads": threads}, {"x": x})
    assert got["y"][0] == in_order(x, threads, np.add, F32(0))
    _, again, _ = run("reduce", {"threads": threads}, {"x": x}, chip=LARGE)
    assert again["y"][0] == got["y"][0]


@few
@given(n=st.integers(1, 9000), op=st.sampled_from(["sum", "max", "min"]))
def test_reductions_of_integers(n: int, op: str) -> None:
    x = np.random.default_rng(n).integers(-(1 << 31), 1 << 31, n).astype(np.int32)
    _, got, _ = run("reduce", {"op": op}, {"x": x}, dtype="int32")
    with np.errstate(over="ignore"):
        want = {"sum": x.sum(dtype=np.int32), "max": x.max(), "min": x.min()}[op]
    assert got["y"][0] == want
    _, floats, _ = run("reduce", {"op": op}, {"x": np.clip(x, -999, 999).astype(F32)})
    clipped = np.clip(x, -999, 999)
    assert floats["y"][0] == {"sum": clipped.sum(), "max": clipped.max(), "min": clipped.min()}[op]


@few
@given(n=st.integers(1, 3000), bins=st.integers(1, 600), through=st.sampled_from(["ub", "gm"]))
def test_histogram(n: int, bins: int, through: str) -> None:
    arrays, got, _ = run("histogram", {"n": n, "bins": bins, "through": through})
    kept = arrays["x"][(arrays["x"] >= 0) & (arrays["x"] < bins)]
    assert np.array_equal(got["count"], np.bincount(kept, minlength=bins))


@few
@given(rows=sizes, cols=st.integers(1, 140), count=sizes)
def test_gather(rows: int, cols: int, count: int) -> None:
    arrays, got, _ = run("gather", {"rows": rows, "cols": cols, "count": count})
    assert np.array_equal(got["y"], arrays["x"][arrays["index"]])


@few
@given(rows=sizes, cols=sizes, through=st.sampled_from(["ub", "gm"]),
       threads=st.sampled_from([32, 96, 256]))  # fmt: skip
def test_transpose(rows: int, cols: int, through: str, threads: int) -> None:
    given_ = {"rows": rows, "cols": cols, "through": through, "threads": threads}
    arrays, got, _ = run("transpose", given_)
    assert np.array_equal(got["y"], arrays["x"].T)


def test_a_transpose_is_faster_through_ub() -> None:
    shape = {"rows": 256, "cols": 256}
    directly, through = (run("transpose", {**shape, "through": t})[2] for t in ("gm", "ub"))
    assert directly.cycles > 1.3 * through.cycles


@few
@given(rows=sizes, cols=sizes, nnz=st.integers(1, 900), mapping=st.sampled_from(["thread", "warp"]))
def test_spmv(rows: int, cols: int, nnz: int, mapping: str) -> None:
    given_ = {"rows": rows, "cols": cols, "nnz": nnz, "mapping": mapping}
    arrays, got, _ = run("spmv", given_)
    for row in range(rows):
        entries = slice(*arrays["start"][row : row + 2])
        value, x = arrays["value"][entries], arrays["x"][arrays["col"][entries]]
        lanes = 1 if mapping == "thread" else 32
        total = np.zeros(lanes, F32)
        for first in range(0, len(value), lanes):
            n = len(value[first : first + lanes])
            part = slice(first, first + n)
            total[:n] = fma(value[part], x[part], total[:n])
        assert got["y"][row] == (total[0] if lanes == 1 else tree(total))


# ---- engram --------------------------------------------------------------------------------------


def engram(arrays: Any, dim: int, batch: int, chip: Any) -> Any:
    """In the order that the kernel documents."""
    m = mapping(chip, dim, batch)
    columns = 32 * m.chunks * m.across
    hidden, gate = np.zeros((2, batch, columns), F32)
    hidden[:, :dim], gate[:, :dim] = arrays["hidden"], arrays["gate"]
    hidden, gate = (x.reshape(batch, m.across, m.chunks, 32) for x in (hidden, gate))
    total = np.zeros((batch, m.across, 32), F32)
    for j in range(m.chunks):
        total = fma(hidden[:, :, j], gate[:, :, j], total)
    dot = tree(total)
    if m.across > 1:
        dot = tree(np.stack([padded(row, 32) for row in dot]))
    weight = F32(1) / (exp(-(dot.reshape(batch) + F32(0.125))) + F32(1))
    rows = arrays["table"][arrays["index"]]
    mean = rows[:, 0]
    for h in range(1, HEADS):
        mean = mean + rows[:, h]
    return fma(mean * F32(0.125), weight[:, None], arrays["hidden"])


@pytest.mark.parametrize(
    ("chip", "dim", "batch", "pattern"),
    [("tiny", 1, 1, "random"), ("tiny", 40, 3, "sequential"), ("tiny", 96, 5, "same"),
     ("950pr", 128, 4, "stride"), ("950pr", 256, 32, "same"),
     ("950pr", 128, 64, "random"), ("950pr", 544, 17, "random")],
)  # fmt: skip
def test_engram(chip: str, dim: int, batch: int, pattern: str) -> None:
    model = TINY if chip == "tiny" else LARGE
    arrays, got, _ = run("engram", {"dim": dim, "batch": batch, "pattern": pattern}, chip=model)
    assert np.array_equal(got["y"], engram(arrays, dim, batch, model))


def test_engram_is_mapped_as_published() -> None:
    """Loads of the published table: per warp 8 indices, then 10 loads a chunk."""
    for batch, loads in ((1, 72), (4, 288), (16, 896), (64, 3072)):
        m = mapping(LARGE, 128, batch)
        assert m.total * (HEADS + 10 * m.chunks) == loads
        assert m.warps <= 32
    wide = mapping(LARGE, 512, 16)
    assert (wide.chunks, wide.across, wide.warps) == (8, 2, 16)
    assert mapping(LARGE, 128, 1).chunks == 1


# ---- ub_load, parameters -------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["broadcast", "conflict_free", "conflict_32"])
def test_ub_load_adds_in_order(pattern: str) -> None:
    arrays, got, result = run("ub_load", {"pattern": pattern}, chip=LARGE)
    x = arrays["x"] if pattern != "broadcast" else np.full(32, arrays["x"][0])
    total = np.zeros(32, F32)
    for _ in range(100):
        total = total + x
    assert np.array_equal(got["y"], total)
    assert 100 < got["cycles"][0] < result.cycles


@pytest.mark.parametrize(
    ("name", "given_", "message"),
    [
        ("saxpy", {"threads": 33}, "threads is a multiple of 32, not 33"),
        ("saxpy", {"n": 1 << 31}, "the tensors need 8,589,934,592 bytes of npu-tiny's 1,000,000,0"),
        ("reduce", {"op": "mean"}, "op is sum or max or min, not 'mean'"),
        ("histogram", {"bins": 9000}, "36,000 bytes of UB, beside its cache npu-tiny has 28,672"),
        ("engram", {"pattern": "strided"}, "did you mean 'stride'"),
        ("add", {"mode": "simt", "dtype": "e4m3"}, "mode=simt takes fp32, fp16, bf16, not e4m3"),
    ],
)
def test_what_does_not_fit(name: str, given_: dict[str, Any], message: str) -> None:
    kernel = kernels("npu")[name]
    dtype = given_.pop("dtype", kernel.default_dtype(TINY))
    with pytest.raises(KernelError, match=message):
        kernel.build(TINY, dtype, kernel.resolve(given_))
    with pytest.raises(KernelError, match="npu-910b has no SIMT mode"):
        kernel.build(load("npu-910b"), dtype, kernel.resolve({"mode": "simt"} if name == "add"
                                                             else {}))  # fmt: skip


SIMT = ("saxpy", "reduce", "histogram", "gather", "transpose", "spmv", "engram", "ub_load")


@pytest.mark.parametrize("name", SIMT)
def test_kernels_know_whether_cycles_need_values(name: str) -> None:
    kernel = kernels("npu")[name]
    params = kernel.resolve({})
    made = kernel.build(LARGE, kernel.default_dtype(LARGE), params)
    assert Machine(LARGE).prepare(made).data == kernel.timed_by_values
    if not kernel.timed_by_values:
        arrays = kernel.encode(kernel.default_dtype(LARGE), params, kernel.inputs(params, 0))
        full = Machine(LARGE).run(made, arrays.tensors).cycles
        assert Machine(LARGE).run(made, mode="timing").cycles == full


def test_offsets_have_32_bits() -> None:
    kernel = kernels("npu")["saxpy"]
    with pytest.raises(KernelError, match="x has 1073741825 elements; at most 1,073,741,824"):
        kernel.build(LARGE, "fp32", kernel.resolve({"n": (1 << 30) + 1}))


def test_indices_outside_are_refused() -> None:
    table = np.zeros((4, 8), F32)
    with pytest.raises(KernelError, match="index holds rows from 0 to 4; they are 0 to 3"):
        run("gather", {}, {"x": table, "index": np.array([0, 4])})
    with pytest.raises(KernelError, match="index holds signed integers, not uint32"):
        run("gather", {}, {"x": table, "index": np.array([0], np.uint32)})
    csr = {"value": np.ones(2, F32), "col": np.array([0, 3]), "start": np.array([0, 2]),
           "x": np.ones(3, F32)}  # fmt: skip
    with pytest.raises(KernelError, match="col holds columns from 0 to 3; they are 0 to 2"):
        run("spmv", {}, csr)
    with pytest.raises(KernelError, match="start rises from 0 to nnz = 2"):
        run("spmv", {}, {**csr, "col": np.array([0, 1]), "start": np.array([0, 1])})
