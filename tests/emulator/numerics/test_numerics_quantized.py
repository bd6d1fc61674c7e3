"""`quantize` and the way back, for every format and scale."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import presil
from emulator.numerics import (
    BLOCK_FORMATS,
    FORMATS,
    SCALE_MODES,
    encode,
    quantize,
    quantize_blocks,
    quantize_int8,
    round_to,
)

X = np.random.default_rng(0).standard_normal((5, 70)).astype(np.float32)


@pytest.mark.parametrize("fmt", [row.name for row in FORMATS if row.name != "e8m0"])
def test_element_formats(fmt: str) -> None:
    x = X * 20 if fmt.startswith(("int", "uint")) else X
    q = quantize(x, fmt, scale="none")
    assert q.scales is None
    assert np.array_equal(q.codes, encode(x, fmt))
    assert np.array_equal(q.dequantize(), round_to(x, fmt))


@pytest.mark.parametrize("fmt", BLOCK_FORMATS)
@pytest.mark.parametrize("axis", [0, -1])
def test_block_formats(fmt: str, axis: int) -> None:
    for rule in (None,) if fmt == "nvfp4" else (None, *SCALE_MODES):
        q, wanted = (
            quantize(X, fmt, scale=rule, axis=axis),
            quantize_blocks(X, fmt, axis, rule or "floor"),
        )
        assert np.array_equal(q.codes, wanted.codes)
        assert np.array_equal(q.dequantize(), wanted.values())


def test_integers_have_a_scale_per_tensor() -> None:
    q, (codes, scale) = quantize(X, "int8"), quantize_int8(X)
    assert np.array_equal(q.codes, codes)
    assert float(q.scales) == scale  # type: ignore[arg-type]
    assert np.abs(q.dequantize() - X).max() <= 0.501 * scale


@pytest.mark.parametrize("fmt", ["e4m3", "int8", "int4", "e2m1"])
def test_channels_fill_the_format(fmt: str) -> None:
    q = quantize(X * np.logspace(0, 4, 5)[:, None], fmt, scale="channel")
    assert q.scales is not None
    assert q.scales.shape == (5, 1)
    top = presil.formats()[fmt].max_finite  # type: ignore[union-attr]
    assert np.allclose(np.abs(q.dequantize() / q.scales).max(1), top)
    across = quantize(X, fmt, scale="channel", axis=0)
    assert across.scales is not None
    assert across.scales.shape == (1, 70)


def test_ml_dtypes_in_and_out_share_memory() -> None:
    x = X.astype(ml_dtypes.float8_e4m3fn)
    q = quantize(x, "e4m3")
    assert np.shares_memory(q.codes, x)
    assert np.shares_memory(q.to_ml_dtypes(), x)
    assert q.to_ml_dtypes().dtype == x.dtype
    assert np.array_equal(quantize(x, "bf16").dequantize(), x.astype(np.float32))
    blocks = quantize(X, "mxfp4")
    assert blocks.to_ml_dtypes().dtype == ml_dtypes.float4_e2m1fn
    assert np.shares_memory(blocks.to_ml_dtypes(), blocks.codes)


def test_roundings_and_seeds() -> None:
    for rounding in ("toward-zero", "ties-away"):
        assert np.array_equal(
            quantize(X, "bf16", rounding=rounding).codes, encode(X, "bf16", rounding)
        )
    one, two = (quantize(X, "e4m3", rounding="stochastic", seed=s).codes for s in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("fmt", "options", "part"),
    [
        ("e4m4", {}, "unknown format 'e4m4'; known: fp32"),
        ("e4m3", {"scale": "floor"}, "known: none, tensor, channel"),
        ("mxfp4", {"scale": "tensor"}, "known: floor, rceil, ceil, even"),
        ("nvfp4", {"scale": "floor"}, "none to choose"),
        ("mxfp4", {"rounding": "stochastic"}, "rounded to nearest even"),
    ],
)
def test_what_cannot_be(fmt: str, options: dict[str, str], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        quantize(X, fmt, **options)  # type: ignore[arg-type]


def test_formats_print_as_a_table() -> None:
    found = presil.formats()
    assert set(found) == {*(row.name for row in FORMATS), *BLOCK_FORMATS}
    text = repr(found)
    assert all(name in text for name in found)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert found._repr_html_().count("<tr>") == 1 + len(FORMATS)
    with pytest.raises(KeyError, match="did you mean 'mxfp4'"):
        found["mxpf4"]
