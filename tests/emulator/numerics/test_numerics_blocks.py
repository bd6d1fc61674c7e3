"""Block formats: scale rules on their edges, gfloat's blocks, ragged ends, axes, NaN and Inf."""

from fractions import Fraction

import gfloat
import gfloat.formats
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.numerics import (
    BLOCK_FORMATS,
    SCALE_MODES,
    decode,
    dequantize_blocks,
    get_block_format,
    quantize_blocks,
    quantize_int,
    quantize_int8,
)

MX = [name for name in BLOCK_FORMATS if name.startswith("mx")]
GFLOAT = {
    "mxfp8": "mxfp8_e4m3",
    "mxfp8_e5m2": "mxfp8_e5m2",
    "mxfp6": "mxfp6_e2m3",
    "mxfp6_e3m2": "mxfp6_e3m2",
    "mxfp4": "mxfp4_e2m1",
}
EMAX = {"mxfp8": 8, "mxfp8_e5m2": 15, "mxfp6": 2, "mxfp6_e3m2": 4, "mxfp4": 2, "mxint8": 0}


def mantissa(row) -> int:  # type: ignore[no-untyped-def]
    """Bits after the leading one of the largest elements."""
    return row.fraction or row.row.mantissa


def sqnr(x: np.ndarray, y: np.ndarray) -> float:
    x = x.astype(np.float64)
    return float(10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()))


@pytest.mark.parametrize("fmt", MX)
def test_emax_is_that_of_the_standard(fmt: str) -> None:
    assert get_block_format(fmt).emax == EMAX[fmt]


@pytest.mark.parametrize("fmt", GFLOAT)
def test_floor_against_gfloat(fmt: str) -> None:
    info = getattr(gfloat.formats, f"format_info_{GFLOAT[fmt]}")
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((40, 32)) * 2.0 ** rng.integers(-40, 40, (40, 1))).astype(np.float32)
    x[:8] = (
        np.float32(2.0) ** np.arange(-4, 4)[:, None]
        * x[:8]
        / np.abs(x[:8]).max(axis=1, keepdims=True)
    )
    expected = [
        gfloat.quantize_block(
            info, np.clip(row.astype(np.float64), -1e30, 1e30), lambda emax, v: floor_scale(emax, v)
        )
        for row in x
    ]
    got = quantize_blocks(x, fmt)
    # gfloat's encode_block does not saturate where there is Inf or NaN: clip, as MX asks.
    row = get_block_format(fmt)
    top = row.max_element * 2.0 ** (got.scales.astype(int) - 127)
    expected = np.where(np.isfinite(expected), expected, np.copysign(top, x))
    assert (got.values() == expected).all()


def floor_scale(emax: float, values: np.ndarray) -> float:
    return float(2.0 ** (np.frexp(np.abs(values).max())[1] - 1 - emax))


def exact_scale(row, amax: float, mode: str) -> int:  # type: ignore[no-untyped-def]
    """The scale exponent, in rational arithmetic."""
    a = Fraction(amax)
    floor = a.numerator.bit_length() - a.denominator.bit_length()
    floor -= Fraction(2) ** floor > a
    if mode == "floor":
        e = floor - row.emax
    elif mode == "ceil":
        e = floor + (Fraction(2) ** floor != a) - row.emax
    elif mode == "rceil":
        e = min(
            e
            for e in range(floor - 20, floor + 20)
            if a <= Fraction(row.max_element) * Fraction(2) ** e
        )
    else:
        unit = Fraction(2) ** (floor - mantissa(row))
        e = (floor + (round(a / unit) * unit >= Fraction(2) ** (floor + 1))) - row.emax
    return max(-127, min(127, e))


@pytest.mark.parametrize("mode", SCALE_MODES)
@pytest.mark.parametrize("fmt", MX)
def test_scales_on_every_edge(fmt: str, mode: str) -> None:
    row = get_block_format(fmt)
    base = [1.0, row.max_element, 2 - 2.0 ** -mantissa(row), 2 - 2.0 ** -(mantissa(row) + 1), 1.5]
    points = np.array([b * 2.0**s for b in base for s in (-149, -130, -9, 0, 5, 100)])
    points = np.concatenate([points, np.nextafter(points, 0), np.nextafter(points, np.inf)])
    points = points[(points > 0) & (points < 3e38)]
    got = quantize_blocks(points[:, None], fmt, mode=mode).scales[:, 0].astype(int) - 127
    assert got.tolist() == [exact_scale(row, float(p), mode) for p in points]


@pytest.mark.parametrize("fmt", MX)
def test_rceil_does_not_saturate_and_floor_loses_less_than_half(fmt: str) -> None:
    x = np.random.default_rng(3).standard_normal((64, 32)).astype(np.float32)
    amax = np.abs(x).max(axis=1)
    for mode, bound in (("rceil", 1.0), ("floor", 2.0)):
        q = quantize_blocks(x, fmt, mode=mode)
        top = get_block_format(fmt).max_element * 2.0 ** (q.scales[:, 0].astype(int) - 127)
        assert (amax <= top * bound).all()


# dB for N(0,1), facts of the field (FLOOR, and RCEIL where it says so)
CALIBRATION = {
    ("mxint8", "floor"): 41.7,
    ("mxfp6", "floor"): 30.9,
    ("mxfp8", "floor"): 30.7,
    ("mxfp8", "rceil"): 31.5,
    ("mxfp4", "floor"): 18.8,
    ("nvfp4", "floor"): 20.4,
}


@pytest.mark.parametrize(("fmt", "mode"), CALIBRATION)
def test_error_of_normal_data(fmt: str, mode: str) -> None:
    x = np.random.default_rng(0).standard_normal((256, 1024)).astype(np.float32)
    assert sqnr(x, quantize_blocks(x, fmt, mode=mode).values()) == pytest.approx(
        CALIBRATION[fmt, mode], abs=0.15
    )


@pytest.mark.parametrize("fmt", BLOCK_FORMATS)
@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), 0), ((33, 3), 0), ((2, 70, 3), 1), ((2, 3, 64), -1), ((0, 4), 1)]
)
def test_axes_and_ragged_ends(fmt: str, shape: tuple[int, ...], axis: int) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    row = get_block_format(fmt)
    whole = quantize_blocks(x, fmt, axis)
    codes, scales = whole
    assert codes.shape == x.shape
    assert scales.shape == tuple(
        -(-n // row.block) if d == axis % x.ndim else n for d, n in enumerate(shape)
    )
    assert codes.flags.c_contiguous
    lines = np.moveaxis(x, axis, -1).reshape(-1, shape[axis])
    for i, line in enumerate(lines):
        for j in range(0, len(line), row.block):
            part = quantize_blocks(line[j : j + row.block], fmt, tensor_scale=whole.tensor_scale)
            block = np.moveaxis(codes, axis, -1).reshape(-1, shape[axis])[i, j : j + row.block]
            assert (block == part.codes).all()
            assert (
                np.moveaxis(scales, axis, -1).reshape(len(lines), -1)[i, j // row.block]
                == part.scales[0]
            )
    values = dequantize_blocks(codes, scales, fmt, axis, whole.tensor_scale)
    assert (values == whole.values()).all()
    assert values.shape == x.shape
    assert values.dtype == np.float32


@pytest.mark.parametrize("fmt", BLOCK_FORMATS)
def test_quantised_values_stay(fmt: str) -> None:
    """A tensor already in the format comes back, under a fixed tensor scale."""
    x = np.random.default_rng(2).standard_normal((16, 64)).astype(np.float32)
    first = quantize_blocks(x, fmt)
    again = quantize_blocks(first.values(), fmt, tensor_scale=first.tensor_scale)
    if fmt == "nvfp4":  # its scale follows amax, which rounding has moved
        error = np.abs(first.values() - again.values())
        assert error.max() <= np.abs(x).max() / 16
    else:
        assert (again.values() == first.values()).all()


@pytest.mark.parametrize("fmt", BLOCK_FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_block_that_is_not_finite(fmt: str, bad: float) -> None:
    block = get_block_format(fmt).block
    x = np.ones((2, 2 * block), np.float32)
    x[0, 3] = bad
    q = quantize_blocks(x, fmt)
    values = q.values()
    assert np.isnan(values[0, :block]).all()
    assert (values[0, block:] == 1).all()
    assert (values[1] == 1).all()
    assert (q.codes[0, :block] == 0).all()
    assert q.scales[0, 0] == (0x7F if fmt == "nvfp4" else 0xFF)


@pytest.mark.parametrize("fmt", BLOCK_FORMATS)
def test_zeros_and_extremes(fmt: str) -> None:
    assert (quantize_blocks(np.zeros((3, 40)), fmt).values() == 0).all()
    tiny = quantize_blocks(np.full((1, 32), 2.0**-149, np.float32), fmt)
    assert np.isfinite(tiny.values()).all()
    huge = quantize_blocks(np.full((1, 32), 3.4e38, np.float32), fmt)
    assert np.isfinite(huge.values()).all()
    assert huge.values().min() > 1.9e38
    if fmt not in ("mxint8", "nvfp4"):
        minus = quantize_blocks(np.full(32, -0.0, np.float32), fmt).values()
        assert np.signbit(minus).all()


def test_nvfp4_by_hand() -> None:
    x = np.array([6.0] * 16 + [3.0] * 16 + [0.0] * 16, np.float32)
    q = quantize_blocks(x, "nvfp4", tensor_scale=1.0)
    assert decode(q.scales, "e4m3").tolist() == [1.0, 0.5, 0.0]
    assert (q.values() == x).all()
    auto = quantize_blocks(x, "nvfp4")
    assert auto.tensor_scale == float(np.float32(6 / (448 * 6)))
    assert decode(auto.scales, "e4m3").tolist() == [448.0, 224.0, 0.0]


# Up to 2^126: beyond, the scale would have to exceed 2^127, and elements saturate.
@given(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=70))
def test_error_is_bounded_by_half_a_step(values: list[float]) -> None:
    x = np.array(values, np.float32)
    q = quantize_blocks(x, "mxint8", mode="rceil")
    scale = np.repeat(2.0 ** (q.scales.astype(np.float64) - 127), 32)[: len(x)]
    assert (np.abs(q.values().astype(np.float64) - x) <= scale / 128).all()


def test_per_tensor_integers() -> None:
    x = np.random.default_rng(0).standard_normal(1 << 16).astype(np.float32)
    codes, scale = quantize_int8(x)
    assert codes.dtype == np.int8
    assert (codes.min() == -127) != (codes.max() == 127) or np.abs(codes).max() == 127
    assert scale == float(np.float32(np.abs(x).max() / 127))
    assert (np.abs(codes * scale - x) <= scale * 0.5000001).all()
    small, step = quantize_int([-1.0, 0.6, 1.0, np.nan, np.inf], "int4")
    assert small.tolist() == [-7, 4, 7, 0, 7]
    assert step == float(np.float32(1 / 7))
    zero, one = quantize_int8(np.zeros(3))
    assert (zero.tolist(), one) == ([0, 0, 0], 1.0)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"unknown block format 'mxfp5'; known: mxfp8, "):
        quantize_blocks(np.ones(3), "mxfp5")
    with pytest.raises(ValueError, match=r"unknown scale mode 'up'; known: floor, "):
        quantize_blocks(np.ones(3), "mxfp4", mode="up")
    with pytest.raises(ValueError, match=r"axis 1 is out of range for an array of shape \(3,\)"):
        quantize_blocks(np.ones(3), "mxfp4", axis=1)
    with pytest.raises(ValueError, match=r"need scales of shape \(2, 2\), not \(2, 1\)"):
        dequantize_blocks(np.zeros((2, 33), np.uint8), np.zeros((2, 1), np.uint8), "mxfp4")
    with pytest.raises(ValueError, match=r"no per-tensor quantiser for e4m3"):
        quantize_int([1.0], "e4m3")
