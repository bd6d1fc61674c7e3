"""matmul on the NPU: values to the bit for any size and tiling, cycles as published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.numerics import decode64, dequantize_blocks, exact_dot
from emulator.result import Result
from programs.kernel import KernelError
from programs.npu.matmul import MatmulKernel
from programs.npu.tiling import chunk

KERNEL = MatmulKernel()
TINY = load("npu-tiny")
DTYPES = KERNEL.dtypes(TINY)


def expected(dtype: str, codes: dict[str, Any]) -> Any:
    """The documented accumulation: exact chunks of k from 0, rounded once, added in fp32."""
    a, b = codes["a"], codes["b"]
    if dtype == "int8":
        return a.astype(np.int32) @ b.astype(np.int32)
    if dtype.startswith("mx"):
        left = dequantize_blocks(a, codes["a.scale"], dtype, 1)
        right = dequantize_blocks(b, codes["b.scale"], dtype, 0)
    else:
        left, right = decode64(a, dtype), decode64(b, dtype)
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    size = chunk(TINY, dtype)
    for first in range(0, a.shape[1], size):
        total = total + exact_dot(left[:, first : first + size], right[first : first + size])
    return total


def check(dtype: str, chip: str = "npu-tiny", **given_: Any) -> Result:
    params = KERNEL.resolve(given_)
    loaded = load(chip)
    made = KERNEL.build(loaded, dtype, params)
    encoded = KERNEL.encode(dtype, params, KERNEL.inputs(params, 7))
    result = Machine(loaded).run(made, encoded.tensors)
    got = KERNEL.decode(dtype, params, result.outputs, encoded)["c"]
    assert np.array_equal(got, expected(dtype, dict(encoded.tensors)))
    assert Machine(loaded).run(made, mode="timing").cycles == result.cycles
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=6, deadline=None)
@given(m=st.integers(1, 120), n=st.integers(1, 120), k=st.integers(1, 700))
def test_any_size(dtype: str, m: int, n: int, k: int) -> None:
    check(dtype, m=m, n=n, k=k)


@pytest.mark.parametrize("dtype", ["fp16", "mxfp8", "mxfp4", "int8"])
@pytest.mark.parametrize(("tile", "blocks"), [("16x32", "1x1"), ("32x16", "3x2"), ("32x32", "2x5")])
def test_any_tiling_gives_the_same_bits(dtype: str, tile: str, blocks: str) -> None:
    """Also with more blocks than cores, and with blocks that have nothing to do."""
    tile = f"{tile}x{chunk(TINY, dtype)}"
    check(dtype, m=70, n=83, k=600, tile=tile, blocks=blocks)


@pytest.mark.parametrize("dtype", ["fp16", "mxfp8", "int8"])
def test_a_real_chip(dtype: str) -> None:
    check(dtype, "npu-950pr", m=300, n=500, k=260)


def test_decode_case() -> None:
    result = check("mxfp8", "npu-950pr", m=1, n=1024, k=1024)
    assert result.unit("cube.m").waits["hbm"] > 0


def timed(dtype: str, chip: str = "npu-950pr", **given_: Any) -> Result:
    params = KERNEL.resolve(given_)
    loaded = load(chip)
    return Machine(loaded).run(KERNEL.build(loaded, dtype, params), mode="timing")


# ../published/npu_matmul.csv: microseconds on silicon. The fp16 row is what MTE1's and M's start-up
# times in the chip file are derived from, mxfp8 4096 and mxfp4 too; mxfp8 6144 is not.
@pytest.mark.parametrize(
    ("dtype", "size", "tile", "published"),
    [("mxfp8", 4096, "128x256x128", 187.9), ("mxfp8", 6144, "128x256x128", 602.0),
     ("mxfp4", 8192, "256x256x256", 681.1), ("fp16", 8192, "256x256x64", 2558.2)],
)  # fmt: skip
def test_published_times(dtype: str, size: int, tile: str, published: float) -> None:
    result = timed(dtype, m=size, n=size, k=size, tile=tile, blocks="4x8")
    limit = 0.1 if dtype == "mxfp8" else 0.08
    assert result.time_s * 1e6 == pytest.approx(published, rel=limit)


def test_gemv_waits_for_hbm() -> None:
    """Issue 3: 80 % of the cube's waits are HBM's; the 950DT is 1.8 to 2.6 times faster."""
    pr = timed("mxfp8", m=1, n=8192, k=8192)
    dt = timed("mxfp8", "npu-950dt", m=1, n=8192, k=8192)
    waits = pr.unit("cube.m").waits
    assert waits["hbm"] >= 0.8 * sum(waits.values())
    assert 1.8 <= pr.cycles / dt.cycles <= 2.6
    assert pr.bound == "hbm"


@pytest.mark.parametrize("dtype", ["mxfp8", "fp16"])
@pytest.mark.parametrize("m", [1, 48])
def test_few_rows_stream_at_the_rate_of_hbm(dtype: str, m: int) -> None:
    """All cores share the columns; k is not split, so that sums keep their order."""
    chip = load("npu-950pr")
    result = timed(dtype, m=m, n=8192, k=4096)
    least = result.memory["hbm"].read_bytes * chip.clock / chip.hbm.bandwidth
    assert least >= 0.8 * result.cycles


def test_blocks_are_chosen_for_l2() -> None:
    """B is as large as L2: blocks that read it again for each of eight rows of tiles would wait."""
    chip = load("npu-950pr")
    result = timed("fp16", m=2040, n=8192, k=8100)
    assert 2040 * 8192 * 8100 / chip.peak_macs("fp16") >= 0.9 * result.cycles


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "mxfp8"])
@settings(max_examples=60, deadline=None)
@given(m=st.integers(1, 500), n=st.integers(1, 500), k=st.integers(1, 500))
def test_any_size_on_a_real_chip(dtype: str, m: int, n: int, k: int) -> None:
    check(dtype, "npu-950pr", m=m, n=n, k=k)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "mxfp8"])
def test_large_ragged_values(dtype: str) -> None:
    params = KERNEL.resolve({"m": 2040, "n": 8192, "k": 8100})
    chip = load("npu-950pr")
    encoded = KERNEL.encode(dtype, params, KERNEL.inputs(params, 7))
    result = Machine(chip).run(KERNEL.build(chip, dtype, params), encoded.tensors)
    got = KERNEL.decode(dtype, params, result.outputs, encoded)["c"]
    rows = slice(0, None, 97)  # whole rows, so that every core's columns are seen
    codes = dict(encoded.tensors)
    codes["a"] = codes["a"][rows]
    if "a.scale" in codes:
        codes["a.scale"] = codes["a.scale"][rows]
    assert np.array_equal(got[rows], expected(dtype, codes))


def test_parameters() -> None:
    assert KERNEL.resolve({"tile": "256x128x64"})["tile"] == "256x128x64"
    with pytest.raises(KernelError, match="tile is MxNxK, such as 256x256x64, not '256x'"):
        KERNEL.resolve({"tile": "256x"})
    with pytest.raises(KernelError, match="did you mean 'tile'"):
        KERNEL.resolve({"tiles": 3})
    for tile, message in (
        ("512x512x64", "needs 131,072 bytes of L0A, it has 65,536"),
        ("256x256x32", "k is a multiple of 64 for fp16"),
        ("20x32x64", "multiples of 16"),
    ):
        with pytest.raises(KernelError, match=message):
            KERNEL.build(load("npu-950pr"), "fp16", KERNEL.resolve({"tile": tile}))
    with pytest.raises(KernelError, match="npu-910b does not multiply mxfp8; it grants fp16, bf16"):
        KERNEL.build(load("npu-910b"), "mxfp8", KERNEL.resolve({}))


def test_same_program_same_trace() -> None:
    """Runs repeat exactly: units and hazards included."""
    one, two = (timed("fp16", m=700, n=300, k=500) for _ in range(2))
    assert one.units == two.units
    assert one.cycles == two.cycles
