"""softmax, norms, gelu and add on the NPU against float64, for any shape and format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_rows import CHIPS, check, timed

from emulator.npu.machine import Machine
from programs.kernel import KernelError
from programs.registry import kernels

ROWS = ("softmax", "rmsnorm", "layernorm", "gelu", "add")


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "e4m3"])
@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=6, deadline=None)
@given(rows=st.integers(1, 70), cols=st.integers(1, 300))
def test_any_shape(name: str, dtype: str, rows: int, cols: int) -> None:
    check(name, "tiny", dtype, rows, cols)


@pytest.mark.parametrize("chip", ["950pr", "950dt", "910b"])
@pytest.mark.parametrize("name", ROWS)
def test_real_chips(name: str, chip: str) -> None:
    check(name, chip, "fp16", 130, 200)


def test_add_is_exact() -> None:
    kernel = kernels("npu")["add"]
    params = kernel.resolve({"rows": 37, "cols": 41})
    arrays = kernel.inputs(params, 1)
    encoded = kernel.encode("fp32", params, arrays)
    result = Machine(CHIPS["tiny"]).run(
        kernel.build(CHIPS["tiny"], "fp32", params), encoded.tensors
    )
    got = kernel.decode("fp32", params, result.outputs, encoded)["c"]
    assert np.array_equal(got, arrays["a"] + arrays["b"])


def test_gelu_is_within_its_bound() -> None:
    kernel = kernels("npu")["gelu"]
    x = np.concatenate([np.linspace(-14, 14, 40000), [0.0, -0.0, 1e-30, 1e30, -1e30, np.inf]])
    x = np.append(x, np.zeros(-len(x) % 64)).astype(np.float32).reshape(-1, 64)
    params = kernel.resolve({}, {"x": x})
    encoded = kernel.encode("fp32", params, {"x": x})
    made = kernel.build(CHIPS["950pr"], "fp32", params)
    result = Machine(CHIPS["950pr"]).run(made, encoded.tensors)
    got = kernel.decode("fp32", params, result.outputs, encoded)["y"]
    finite = np.isfinite(x)
    expected = kernel.reference(params, {"x": np.where(finite, x, 0)})["y"]
    error = np.abs(np.where(finite, got, 0) - expected) / np.maximum(
        1, np.abs(np.where(finite, x, 0))
    )
    assert error.max() < 1.2e-7
    assert (got[~finite] == np.inf).all()


def test_large_norms_wait_for_memory() -> None:
    result = timed("rmsnorm", rows=2048, cols=2048)
    assert result.bound == "hbm"
    moved = 2 * 2048 * 2048 * 4
    assert moved / result.cycles > 0.75 * 1.6e12 / 1.65e9  # of what HBM delivers


def test_formats_of_a_chip() -> None:
    kernel = kernels("npu")["softmax"]
    with pytest.raises(KernelError, match="softmax on npu-910b takes fp32, fp16, bf16, not e4m3"):
        kernel.build(CHIPS["910b"], "e4m3", kernel.resolve({}))
