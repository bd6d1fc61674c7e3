"""Conversions against onnx, and every float32 there is against vectorised statements."""

from __future__ import annotations

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import onnx
import onnx.reference
import pytest

import tests.emulator.numerics.numerics_oracle as oracle
from emulator.numerics import encode, get_format

ONNX = {
    "e4m3": onnx.TensorProto.FLOAT8E4M3FN,
    "e5m2": onnx.TensorProto.FLOAT8E5M2,
    "e8m0": onnx.TensorProto.FLOAT8E8M0,
    "e2m1": onnx.TensorProto.FLOAT4E2M1,
    "bf16": onnx.TensorProto.BFLOAT16,
    "fp16": onnx.TensorProto.FLOAT16,
}


def onnx_cast(x: np.ndarray, fmt: str, saturate: bool) -> np.ndarray:
    """The operator Cast, version 25, as onnx's own evaluator runs it."""
    options = {"round_mode": "nearest"} if fmt == "e8m0" else {}
    node = onnx.helper.make_node(
        "Cast", ["x"], ["y"], to=ONNX[fmt], saturate=int(saturate), **options
    )
    graph = onnx.helper.make_graph(
        [node],
        "cast",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None])],
        [onnx.helper.make_tensor_value_info("y", ONNX[fmt], [None])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 25)])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        (y,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    return y.view(get_format(fmt).storage)


@pytest.mark.parametrize("saturate", [True, False], ids=["saturating", "plain"])
@pytest.mark.parametrize("fmt", ["e4m3", "e5m2"])
def test_fp8_against_onnx(fmt: str, saturate: bool) -> None:
    x = oracle.interesting(fmt)
    assert (encode(x, fmt, saturate=saturate) == onnx_cast(x, fmt, saturate)).all()


@pytest.mark.parametrize("fmt", ["bf16", "fp16", "e2m1"])
def test_others_against_onnx(fmt: str) -> None:
    x = oracle.interesting(fmt)
    assert (encode(x, fmt, saturate=False) == onnx_cast(x, fmt, False)).all()


@pytest.mark.parametrize("saturate", [True, False], ids=["saturating", "plain"])
def test_e8m0_against_onnx(saturate: bool) -> None:
    """Positive numbers, what scales are made of; docs/numerics.md lists where the two differ."""
    x = oracle.ALL_BF16[(oracle.ALL_BF16 > 0) & np.isfinite(oracle.ALL_BF16)]
    x = x[~((x > 2.0**-127) & (x < 1.5 * 2.0**-127))]
    got, expected = encode(x, "e8m0", saturate=saturate), onnx_cast(x, "e8m0", saturate)
    assert (got == expected).all(), (x[got != expected], got[got != expected])


# ---- all 2^32 -----------------------------------------------------------------------------------

SWEPT = [*(f for f in oracle.DTYPES if f != "fp32"), "int8", "int4"]
STEP = 1 << 22


def every_float32(first: int) -> np.ndarray:
    return np.arange(first, first + STEP, dtype=np.uint32).view(np.float32)


def expected_codes(x: np.ndarray, fmt: str, saturate: bool) -> np.ndarray:
    """What the codes must be, by numpy and the libraries' casts."""
    row = get_format(fmt)
    if row.kind == "int":
        whole = np.rint(np.where(np.isnan(x), 0, x).astype(np.float64))
        low, high = row.min_finite, row.max_finite
        if not saturate:  # the low bits
            whole = np.fmod(np.where(np.isinf(whole), 0, whole), 2.0**row.bits)
            whole = np.where(whole > high, whole - 2.0**row.bits, whole)
            whole = np.where(whole < low, whole + 2.0**row.bits, whole)
        return np.clip(whole, low, high).astype(np.int8)
    if fmt == "e8m0":
        return e8m0_codes(x, saturate)
    dtype = oracle.DTYPES[fmt]
    if saturate:
        x = np.clip(x, row.min_finite, row.max_finite)
    with np.errstate(over="ignore", invalid="ignore"):
        codes = x.astype(dtype).view(row.storage)
    nan = row.nan_code if row.nan_code is not None else row.max_code
    return np.where(np.isnan(x), np.array(nan, row.storage), codes)


def e8m0_codes(x: np.ndarray, saturate: bool) -> np.ndarray:
    fraction, exponent = np.frexp(np.where(np.isfinite(x), x, 1.0).astype(np.float64))
    codes = np.maximum(exponent - 1 + 127 + (fraction >= 0.75), 0)
    codes = np.where(codes > 254, 254 if saturate else 255, codes)
    codes = np.where(np.isposinf(x), 254 if saturate else 255, codes)
    codes = np.where(x == 0, 0 if saturate else 255, codes)
    return np.where(np.isnan(x) | (x < 0), 255, codes).astype(np.uint8)


def check_codes(fmt: str, saturate: bool, x: np.ndarray) -> None:
    if not saturate and get_format(fmt).kind == "int":
        x = x[np.isfinite(x)]  # Inf has no low bits
    got, expected = encode(x, fmt, saturate=saturate), expected_codes(x, fmt, saturate)
    wrong = got != expected
    assert not wrong.any(), (fmt, x[wrong][:4].view(np.uint32), got[wrong][:4], expected[wrong][:4])


@pytest.mark.parametrize("saturate", [True, False], ids=["saturating", "plain"])
@pytest.mark.parametrize("fmt", SWEPT)
def test_statements_of_the_sweep(fmt: str, saturate: bool) -> None:
    """The sweep's own oracle on every bf16, NaNs included, and on a stretch of float32."""
    check_codes(fmt, saturate, oracle.ALL_BF16)
    check_codes(fmt, saturate, every_float32(0x3F800000)[::37])


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SWEPT)
def test_every_float32(fmt: str) -> None:
    """All 2^32, saturating and plain. About two minutes a format."""
    for first in range(0, 1 << 32, STEP):
        for saturate in (True, False):
            check_codes(fmt, saturate, every_float32(first))


def test_tables_of_the_libraries_agree() -> None:
    """Decoded values of every code, by two packages: neither oracle stands alone."""
    for fmt in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1"):
        info = getattr(gfloat.formats, f"format_info_ocp_{fmt}")
        values = oracle.all_values(fmt)
        other = np.array([gfloat.decode_float(info, i).fval for i in range(len(values))])
        assert oracle.same(values, other).all()
    assert ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).max == 448
