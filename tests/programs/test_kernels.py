"""softmax, norms, gelu, swiglu and add on the LPU against float64."""

import numpy as np
import pytest

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from programs.encoding import rounded
from programs.registry import kernels

LP30, TSP1, TINY = (load(f"lpu-{name}") for name in ("lp30", "tsp1", "tiny"))
ROWS = ("softmax", "rmsnorm", "layernorm", "add", "gelu")


def run(kernel, chip, dtype, params):
    arrays = kernel.inputs(params, 3)
    encoded = kernel.encode(dtype, params, arrays)
    result = Machine(chip).run(kernel.build(chip, dtype, params), encoded.tensors)
    assert not result.hazards
    return arrays, kernel.decode(dtype, params, result.outputs, encoded)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", [(1, 1), (33, 50), (256, 384), (700, 65)], ids=str)
@pytest.mark.parametrize(("chip", "dtype"), [(LP30, "fp32"), (LP30, "bf16"), (TSP1, "fp16")])
def test_rows(name, shape, chip, dtype):
    kernel = kernels("lpu")[name]
    params = kernel.resolve({"rows": shape[0], "cols": shape[1]})
    arrays, got = run(kernel, chip, dtype, params)
    if dtype != "fp32":  # rounding the inputs is not the kernel's error
        arrays = {n: rounded(x, dtype, 1) for n, x in arrays.items()}
    for out, expected in kernel.reference(params, arrays).items():
        np.testing.assert_allclose(got[out], expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["softmax", "add"])
def test_rows_on_the_tiny_chip(name):
    kernel = kernels("lpu")[name]
    params = kernel.resolve({"rows": 40, "cols": 20})
    arrays, got = run(kernel, TINY, "fp32", params)
    for out, expected in kernel.reference(params, arrays).items():
        np.testing.assert_allclose(got[out], expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "e4m3", "mxfp8"])
@pytest.mark.parametrize("shape", [(1, 700, 330), (50, 333, 400)], ids=str)
def test_swiglu(dtype, shape):
    kernel = kernels("lpu")["swiglu"]
    params = kernel.resolve(dict(zip("mnk", shape, strict=True)))
    arrays, got = run(kernel, LP30, dtype, params)
    axes = {"x": 1, "w_gate": 0, "w_up": 0}
    arrays = {n: rounded(x, dtype, axes[n]) for n, x in arrays.items()}
    expected = kernel.reference(params, arrays)["y"]
    np.testing.assert_allclose(got["y"], expected, rtol=1e-4, atol=1e-5)


def test_swiglu_in_int8():
    kernel = kernels("lpu")["swiglu"]
    params = kernel.resolve({"m": 40, "n": 100, "k": 340})
    arrays, got = run(kernel, TSP1, "int8", params)
    arrays = {n: rounded(x, "int8", 1) for n, x in arrays.items()}
    expected = kernel.reference(params, arrays)["y"]
    np.testing.assert_allclose(got["y"], expected, rtol=1e-4, atol=1e-5)


def test_norms_take_gamma_and_beta():
    kernel = kernels("lpu")["layernorm"]
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.standard_normal((20, 30), np.float32),
        "gamma": rng.standard_normal(30, np.float32),
        "beta": rng.standard_normal(30, np.float32),
    }
    params = kernel.resolve({}, arrays)
    encoded = kernel.encode("fp32", params, arrays)
    result = Machine(LP30).run(kernel.build(LP30, "fp32", params), encoded.tensors)
    expected = kernel.reference(params, arrays)["y"]
    got = kernel.decode("fp32", params, result.outputs, encoded)["y"]
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)
