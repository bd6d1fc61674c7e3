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
from emulator.numerics import Format, encode, get_format

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

SWEPT = ["e4m3", "e5m2", "e2m3", "e3m2", "e2m1", "e8m0", "hif8", "int8", "int4", "bf16", "fp16"]
STEP = 1 << 20


def every_float32(first: int) -> np.ndarray:
    return np.arange(first, first + STEP, dtype=np.uint32).view(np.float32)


def expected_codes(x: np.ndarray, fmt: str) -> tuple[np.ndarray, np.ndarray]:
    """What the codes must be, saturating and plain, by numpy and the libraries' casts."""
    row = get_format(fmt)
    if row.kind == "int":
        return integer_codes(x, row)
    if fmt == "e8m0":
        return e8m0_codes(x)
    with np.errstate(over="ignore", invalid="ignore"):
        plain = x.astype(oracle.DTYPES[fmt]).view(row.storage)
    nans = np.isnan(x)
    if nans.any():
        nan = row.nan_code if row.nan_code is not None else row.max_code
        plain = np.where(nans, np.array(nan, row.storage), plain)
    beyond = np.abs(x) > np.float32(row.max_finite)
    top = np.array([row.max_code, row.max_code | 1 << (row.bits - 1)], row.storage)
    return np.where(beyond, top[np.signbit(x).view(np.int8)], plain), plain


def integer_codes(x: np.ndarray, row: Format) -> tuple[np.ndarray, np.ndarray]:
    whole = np.rint(np.where(np.isnan(x), np.float32(0), x))
    span = np.float32(2.0**row.bits)
    low = np.fmod(np.where(np.isinf(whole), np.float32(0), whole), span)  # the low bits
    low = np.where(low > row.max_finite, low - span, low)
    low = np.where(low < row.min_finite, low + span, low)
    return np.clip(whole, row.min_finite, row.max_finite).astype(np.int8), low.astype(np.int8)


def e8m0_codes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fraction, exponent = np.frexp(np.where(np.isfinite(x), x, np.float32(1)))
    near = np.maximum(exponent - 1 + 127 + (fraction >= 0.75), 0)
    codes = []
    for beyond, zero in ((254, 0), (255, 255)):
        found = np.where((near > 254) | np.isposinf(x), beyond, near)
        found = np.where(x == 0, zero, found)
        codes.append(np.where(np.isnan(x) | (x < 0), 255, found).astype(np.uint8))
    return codes[0], codes[1]


def check_codes(fmt: str, x: np.ndarray) -> None:
    for saturate, expected in zip((True, False), expected_codes(x, fmt), strict=True):
        wrong = encode(x, fmt, saturate=saturate) != expected
        if get_format(fmt).kind == "int" and not saturate:
            wrong &= ~np.isinf(x)  # Inf has no low bits
        assert not wrong.any(), (fmt, saturate, x[wrong][:4].view(np.uint32), expected[wrong][:4])


@pytest.mark.parametrize("fmt", SWEPT)
def test_statements_of_the_sweep(fmt: str) -> None:
    """The sweep's own oracle on every bf16, NaNs included, and on a stretch of float32."""
    check_codes(fmt, oracle.ALL_BF16)
    check_codes(fmt, every_float32(0x3F800000)[::37])


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SWEPT)
def test_every_float32(fmt: str) -> None:
    """All 2^32, saturating and plain. About a minute a format."""
    for first in range(0, 1 << 32, STEP):
        check_codes(fmt, every_float32(first))


def test_tables_of_the_libraries_agree() -> None:
    """Decoded values of every code, by two packages: neither oracle stands alone."""
    for fmt in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1"):
        info = getattr(gfloat.formats, f"format_info_ocp_{fmt}")
        values = oracle.all_values(fmt)
        other = np.array([gfloat.decode_float(info, i).fval for i in range(len(values))])
        assert oracle.same(values, other).all()
    assert ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).max == 448
