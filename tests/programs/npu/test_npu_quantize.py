"""quantize equals emulator.numerics to the bit, in every format and for any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.npu.chip import NpuChip, load
from emulator.npu.machine import Machine
from programs.encoding import rounded
from programs.kernel import KernelError
from programs.quantize import TARGETS
from programs.registry import kernels

KERNEL = kernels("npu")["quantize"]
TINY = load("npu-tiny")


def check(x: Any, to: str, chip: str = "npu-tiny", dtype: str = "fp32") -> None:
    loaded = load(chip)
    params = KERNEL.resolve({"to": to}, {"x": x})
    encoded = KERNEL.encode(dtype, params, {"x": x})
    result = Machine(loaded).run(KERNEL.build(loaded, dtype, params), encoded.tensors)
    assert not result.hazards
    got = KERNEL.decode(dtype, params, result.outputs, encoded)
    expected = KERNEL.reference(params, {"x": x.astype(np.float32)})
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array, err_msg=f"{name} of {to}")


@pytest.mark.parametrize("to", TARGETS)
@settings(max_examples=5, deadline=None)
@given(rows=st.integers(1, 40), cols=st.integers(1, 300), seed=st.integers(0, 99))
def test_any_shape(to: str, rows: int, cols: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, cols)) * np.exp(rng.uniform(-8, 8, (rows, 1)))
    check(x.astype(np.float32), to)


@pytest.mark.parametrize("to", TARGETS)
@settings(max_examples=4, deadline=None)
@given(rows=st.integers(1, 9), cols=st.integers(6000, 12_000), seed=st.integers(0, 99))
def test_rows_in_pieces(to: str, rows: int, cols: int, seed: int) -> None:
    """UB of npu-tiny holds no such row of fp32."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, cols)) * np.exp(rng.uniform(-8, 8, (rows, 1)))
    assert pieces(TINY, to, rows, cols) > 1
    check(x.astype(np.float32), to)


@pytest.mark.parametrize(("to", "dtype"), [("mxfp8", "fp32"), ("int4", "bf16"), ("e2m1", "fp16")])
def test_vocabularies(to: str, dtype: str) -> None:
    x = np.random.default_rng(4).standard_normal((2, 131_072)).astype(np.float32)
    x[1, -3:] = 9, -9, 8
    assert pieces(load("npu-950pr"), to, 2, x.shape[1]) > 1
    check(rounded(x, dtype, 1), to, "npu-950pr", dtype)


def pieces(chip: NpuChip, to: str, rows: int, cols: int) -> float:
    """Pieces that a row is cut into."""
    made = KERNEL.build(chip, "fp32", KERNEL.resolve({"rows": rows, "cols": cols, "to": to}))
    return cols / int(str(made.meta["tile"]).split("x")[1])


@pytest.mark.parametrize("to", TARGETS)
def test_extremes(to: str) -> None:
    """Zeros, subnormals, the largest numbers, infinities and NaN, each in a block of its own."""
    x = np.random.default_rng(1).standard_normal((33, 200)).astype(np.float32)
    x[0], x[1, 3], x[2, 5], x[7, 0] = 0, np.nan, np.inf, -np.inf
    x[3] *= np.float32(1e-38)
    x[4] *= np.float32(1e-42)
    x[5] *= np.float32(1e37)
    x[6, 3] = np.float32(3.4e38)
    check(x, to, "npu-950pr")


@pytest.mark.parametrize("to", ["int8", "int4"])
def test_ties_of_integers(to: str) -> None:
    """Quotients next to halves, where a rounded quotient would round the wrong way."""
    most = {"int8": 127, "int4": 7}[to]
    for amax in (0.3, 1.0, 3.7e-41, 8.1e30):
        scale = np.float32(amax) / np.float32(most)
        halves = (np.arange(2 * most) - most + np.float32(0.5)) * scale
        near = [np.nextafter(halves, np.float32(s), dtype=np.float32) for s in (-np.inf, np.inf)]
        row = np.concatenate([halves, *near, [np.float32(amax)]]).astype(np.float32)
        check(np.clip(row, -np.float32(amax), np.float32(amax))[None], to)
    check(np.zeros((2, 3), np.float32), to)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("to", ["mxfp8", "mxfp4", "int8", "e2m1"])
def test_operands_of_16_bits(to: str, dtype: str) -> None:
    x = np.random.default_rng(2).standard_normal((9, 77)).astype(np.float32)
    check(rounded(x, dtype, 1), to, dtype=dtype)


def test_chip_without_8_bit_floats() -> None:
    check(np.random.default_rng(3).standard_normal((5, 70)).astype(np.float32), "int8", "npu-910b")
    with pytest.raises(KernelError, match=r"npu-910b does not convert to mxfp8; .* int8, int4"):
        KERNEL.build(load("npu-910b"), "fp32", KERNEL.resolve({}))
    with pytest.raises(KernelError, match="did you mean 'mxfp4'"):
        KERNEL.resolve({"to": "mxf4"})


@pytest.mark.parametrize("to", ["mxfp8", "mxfp4"])
def test_memory_bound(to: str) -> None:
    chip = load("npu-950pr")
    params = KERNEL.resolve({"rows": 2048, "cols": 2048, "to": to})
    result = Machine(chip).run(KERNEL.build(chip, "fp32", params), mode="timing")
    assert result.bound == "hbm"


def test_ub_without_room_for_a_piece() -> None:
    small = load("npu-tiny", {"vector.ub": "10 KiB"})
    message = r"128 columns of a row need [\d,]+ bytes of UB, it has 10,240"
    with pytest.raises(KernelError, match=message):
        KERNEL.build(small, "fp32", KERNEL.resolve({}))
