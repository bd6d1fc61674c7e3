"""matmul on the LPU equals its definition bit for bit: exact passes, rounded once each."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from emulator.numerics import decode64, exact_dot
from programs.encoding import element_format, is_block_scaled
from programs.lpu.matmul import KERNEL

LP30, TSP1, TINY = (load(f"lpu-{name}") for name in ("lp30", "tsp1", "tiny"))


def values64(encoded, name, dtype, axis):
    """float64 values of an encoded operand, block scales folded in (exact)."""
    values = decode64(encoded.tensors[name], element_format(dtype))
    if is_block_scaled(dtype):
        scales = np.ldexp(1.0, encoded.tensors[f"{name}.scale"].astype(int) - 127)
        wide = np.repeat(scales, 32, axis=axis)
        values = values * np.take(wide, range(values.shape[axis]), axis=axis)
    return values


def definition(a, b, depth):
    """fp32 sums, in ascending k, of exact dots over `depth` elements, each rounded once."""
    total = None
    for k in range(0, a.shape[1], depth):
        part = exact_dot(np.ascontiguousarray(a[:, k : k + depth]),
                         np.ascontiguousarray(b[k : k + depth]))  # fmt: skip
        total = part if total is None else total + part
    return total


def check(chip, dtype, m, n, k, seed=0):
    params = KERNEL.resolve({"m": m, "n": n, "k": k})
    arrays = KERNEL.inputs(params, seed)
    encoded = KERNEL.encode(dtype, params, arrays)
    result = Machine(chip).run(KERNEL.build(chip, dtype, params), encoded.tensors)
    assert not result.hazards
    c = KERNEL.decode(dtype, params, result.outputs, encoded)["c"]
    if dtype == "int8":
        wide = encoded.tensors["a"].astype(np.int64) @ encoded.tensors["b"].astype(np.int64)
        np.testing.assert_array_equal(c, wide)
    else:
        a, b = values64(encoded, "a", dtype, 1), values64(encoded, "b", dtype, 0)
        expected = definition(a, b, chip.mode(dtype).k)
        np.testing.assert_array_equal(c.view(np.uint32), expected.view(np.uint32))
    return result


FORMATS = [(LP30, d) for d in LP30.mxm.modes] + [(TSP1, d) for d in TSP1.mxm.modes]


@pytest.mark.parametrize(("chip", "dtype"), FORMATS, ids=lambda v: getattr(v, "name", v))
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 333, 1000)], ids=str)
def test_every_format(chip, dtype, shape):
    check(chip, dtype, *shape)


@pytest.mark.parametrize("dtype", TINY.mxm.modes)
def test_on_the_tiny_chip(dtype):
    check(TINY, dtype, 7, 13, 70)


@pytest.mark.parametrize("dtype", ["int8", "e4m3", "bf16", "mxfp8"])
@pytest.mark.parametrize("shape", [(1, 4096, 4096), (640, 640, 640)], ids=str)
def test_larger_shapes(dtype, shape):
    check(LP30, dtype, *shape)


SIZE = st.integers(1, 700)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(SIZE, SIZE, SIZE, st.sampled_from(FORMATS))
def test_random_shapes(m, n, k, chip_and_format):
    check(*chip_and_format, m, n, k)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(SIZE, SIZE, SIZE, st.sampled_from(FORMATS))
def test_many_random_shapes(m, n, k, chip_and_format):
    check(*chip_and_format, m, n, k)


@pytest.mark.parametrize(
    ("m", "n", "k", "least"), [(1280, 1280, 1280, 0.92), (128, 2560, 2560, 0.80)]
)
def test_planes_stay_busy(m, n, k, least):
    params = KERNEL.resolve({"m": m, "n": n, "k": k})
    result = Machine(TSP1).run(KERNEL.build(TSP1, "int8", params), {}, mode="timing")
    for plane in range(4):
        assert result.unit(f"mxm.{plane}").busy >= least * result.cycles


@pytest.mark.parametrize(("chip", "dtype"), [(TSP1, "int8"), (LP30, "e4m3")])
def test_decode_is_bound_by_the_weight_streams(chip, dtype):
    params = KERNEL.resolve({"m": 1, "n": 4096, "k": 4096})
    result = Machine(chip).run(KERNEL.build(chip, dtype, params), {}, mode="timing")
    assert result.bound == "stream"
    padded = -(-4096 // 320) * 320 * 4096  # K fills whole passes
    steady = result.cycles - result.phases["fill"] - result.phases["drain"]
    assert abs(steady / (padded / 20480) - 1) <= 0.15
