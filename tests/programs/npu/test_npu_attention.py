"""attention on the NPU: largest error at most twice naive's, cycles that add up, the overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.npu.chip import NpuChip, load
from emulator.npu.machine import Machine
from emulator.result import Result
from programs.kernel import KernelError
from programs.npu import attention_plan as plans
from programs.npu.attention import KERNEL

PR, DT, TINY = load("npu-950pr"), load("npu-950dt"), load("npu-tiny")
DTYPES = KERNEL.dtypes(PR)


def check(chip: NpuChip, dtype: str, **given_: Any) -> Result:
    params = KERNEL.resolve(given_)
    arrays = KERNEL.inputs(params, 0)
    encoded = KERNEL.encode(dtype, params, arrays)
    program = KERNEL.build(chip, dtype, params)
    result = Machine(chip).run(program, encoded.tensors)
    o = KERNEL.decode(dtype, params, result.outputs, encoded)["o"]
    exact = KERNEL.reference(params, arrays)["o"]
    naive = KERNEL.naive(dtype, params, arrays)["o"]
    # A few roundings of the fp32 result are allowed where naive happens to be exact.
    floor = 4 * np.spacing(np.float32(np.abs(exact).max()))
    error, limit = np.abs(o - exact).max(), 2 * np.abs(naive - exact).max() + floor
    assert error <= limit, f"{error:.3g} > {limit:.3g}"
    for unit in result.units:
        assert unit.busy + sum(unit.waits.values()) + unit.idle == result.cycles * unit.count
    assert Machine(chip).run(program, mode="timing").cycles == result.cycles
    return result


def timed(chip: NpuChip, dtype: str, **given_: Any) -> Result:
    program = KERNEL.build(chip, dtype, KERNEL.resolve(given_))
    return Machine(chip).run(program, mode="timing")


CASES = {
    "real": {},
    "causal": {"causal": 1},
    "grouped": {"heads": 32, "kv_heads": 8, "seq": 40, "kv": 70, "head_dim": 64, "causal": 1},
    "packed": {"heads": 8, "kv_heads": 2, "seq": 5, "kv": 333, "head_dim": 128, "causal": 1},
    "wide heads": {"seq": 20, "kv": 330, "heads": 1, "head_dim": 256},
    "ragged": {"seq": 77, "kv": 301, "heads": 2, "head_dim": 40},
    "decode": {"seq": 1, "kv": 4096, "heads": 32, "kv_heads": 8, "head_dim": 128},
    "one decode": {"seq": 1, "kv": 777, "heads": 1, "head_dim": 256},
    "few rows": {"seq": 3, "kv": 1500, "heads": 2, "head_dim": 72},
    "tiny": {"seq": 1, "kv": 1, "heads": 1, "head_dim": 1},
    "batch": {"batch": 2, "seq": 150, "kv": 150, "heads": 2, "head_dim": 24, "causal": 1},
}


@pytest.mark.parametrize(
    ("dtype", "case"),
    [("bf16", case) for case in CASES] + [(d, "grouped") for d in DTYPES if d != "bf16"],
)
def test_error_is_at_most_twice_naive(dtype: str, case: str) -> None:
    check(PR, dtype, **CASES[case])


@pytest.mark.slow
@pytest.mark.parametrize("chip", [PR, DT], ids=lambda chip: chip.name)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_format_and_case(dtype: str, case: str, chip: NpuChip) -> None:
    check(chip, dtype, **CASES[case])


@pytest.mark.parametrize("dtype", ["bf16", "mxfp8"])
@settings(max_examples=4, deadline=None)
@given(seq=st.integers(1, 300), more=st.integers(0, 300), dim=st.sampled_from([64, 128, 256]),
       causal=st.integers(0, 1), heads=st.sampled_from([(1, 1), (4, 2), (8, 1)]))  # fmt: skip
def test_any_shape(
    dtype: str, seq: int, more: int, dim: int, causal: int, heads: tuple[int, int]
) -> None:
    check(PR, dtype, heads=heads[0], kv_heads=heads[1], seq=seq, kv=seq + more, head_dim=dim,
          causal=causal)  # fmt: skip


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_a_tiny_chip(dtype: str) -> None:
    check(TINY, dtype, heads=2, seq=33, kv=65, head_dim=32)
    check(TINY, dtype, heads=1, seq=70, kv=70, head_dim=48, causal=1)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_plan_that_fits_is_right(data: st.DataObject) -> None:
    """Whatever the estimate prefers: any rows, steps, parts and splits give the values."""
    shape = {"heads": 4, "kv_heads": 2, "seq": 45, "kv": 620, "head_dim": 96}
    params = KERNEL.resolve({**shape, "causal": data.draw(st.integers(0, 1))})
    work = plans.Work(4, 2, 45, 620, 96, bool(params["causal"]))
    fitting = [p for p in plans.candidates(PR, "fp16", work) if plans.excess(PR, p) is None]
    plan = data.draw(st.sampled_from(fitting))
    program = KERNEL.emit(PR, plan, params)
    arrays = KERNEL.inputs(params, 0)
    encoded = KERNEL.encode("fp16", params, arrays)
    o = KERNEL.decode("fp16", params, Machine(PR).run(program, encoded.tensors).outputs, encoded)
    np.testing.assert_allclose(o["o"], KERNEL.reference(params, arrays)["o"], atol=2e-3)


def test_cube_and_vectors_work_at_the_same_time() -> None:
    """Long sequences: the cube hardly waits, while the vectors are busy most of the time too."""
    result = timed(PR, "bf16", heads=1, seq=4096, kv=8192, head_dim=128)
    cube, vector = result.unit("cube.m"), result.unit("vector.v")
    assert cube.busy >= 0.9 * result.cycles * cube.count
    assert vector.busy >= 0.7 * result.cycles * vector.count


def test_causal_skips_what_nobody_sees() -> None:
    shape = {"heads": 4, "seq": 2048, "kv": 2048, "head_dim": 128}
    whole, half = (timed(PR, "bf16", **shape, causal=c).cycles for c in (0, 1))
    assert 0.5 <= half / whole <= 0.8


def test_decode_splits_the_keys_over_the_cores() -> None:
    """One key head, and yet all cores read: twelve times as fast as one core could at best."""
    shape = {"heads": 8, "kv_heads": 1, "seq": 1, "kv": 32768, "head_dim": 128}
    result = timed(PR, "bf16", **shape)
    one_core = 2 * 2 * shape["kv"] * shape["head_dim"] / PR.dma.gm_l1
    assert result.cycles < one_core / 8
    unit = result.unit("cube.mte2")
    assert unit.waits["hbm"] > unit.busy / 4


def test_what_cannot_be_served_says_why() -> None:
    params = KERNEL.resolve({})
    with pytest.raises(KernelError, match="npu-910b has no path from L0C to UB and none from UB"):
        KERNEL.build(load("npu-910b"), "bf16", params)
    with pytest.raises(KernelError, match=r"takes fp16, bf16, .*, not fp32"):
        KERNEL.build(PR, "fp32", params)
    with pytest.raises(KernelError, match=r"head_dim=1024 needs [\d,]+ bytes of \w+, it has"):
        KERNEL.build(TINY, "bf16", KERNEL.resolve({"head_dim": 1024}))
