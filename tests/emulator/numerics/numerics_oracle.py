"""Independent statements of rounding, for comparison with emulator.numerics.

Tables of values come from ml_dtypes and en_dtypes, rounding is a search in them, sums are
Fractions: nothing is shared with the code under test but the names of formats.
"""

from __future__ import annotations

from fractions import Fraction

import en_dtypes
import ml_dtypes
import numpy as np

DTYPES = {
    "fp32": np.float32,
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
    "hif8": en_dtypes.hifloat8,
}
BITS = {"tf32": 19, "bf16": 16, "fp16": 16, "e4m3": 8, "e5m2": 8, "e2m3": 6, "e3m2": 6, "e2m1": 4}
FLOATS = ["tf32", "bf16", "fp16", "e4m3", "e5m2", "e2m3", "e3m2", "e2m1", "hif8"]
ALL_BF16 = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)


def all_values(fmt: str) -> np.ndarray:
    """Every code's value as float64, index = code (tf32: the code without its low zeros)."""
    if fmt == "tf32":
        return (np.arange(1 << 19, dtype=np.uint32) << 13).view(np.float32).astype(np.float64)
    size = 8 * np.dtype(DTYPES[fmt]).itemsize
    codes = np.arange(1 << BITS.get(fmt, size), dtype=f"uint{size}")
    return codes.view(DTYPES[fmt]).astype(np.float32).astype(np.float64)


def magnitudes(fmt: str) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative finite values in ascending order, and the code of each."""
    values = all_values(fmt)
    codes = np.flatnonzero(np.isfinite(values) & ~np.signbit(values))
    order = np.argsort(values[codes], kind="stable")
    return values[codes][order], codes[order]


def round_values(x: np.ndarray, fmt: str, mode: str, saturate: bool) -> np.ndarray:
    """The value that each finite or infinite float32/float64 x has in the format, as float64.

    mode: nearest-even, toward-zero or ties-away. Written for formats with a sign.
    """
    x = np.asarray(x, dtype=np.float64)
    values, _ = magnitudes(fmt)
    top = values[-1]
    beyond = 1.5 * top if fmt == "hif8" else top + (top - values[-2])
    ladder = np.append(values, beyond)
    a = np.minimum(np.abs(x), beyond)
    low = np.clip(np.searchsorted(ladder, a, side="right") - 1, 0, len(values) - 1)
    middle = (ladder[low] + ladder[low + 1]) / 2
    if mode == "toward-zero":
        up = np.zeros(a.shape, bool)
    elif mode == "ties-away" or fmt == "hif8":
        up = a >= middle
    else:
        up = (a > middle) | ((a == middle) & (low % 2 == 1))
    index = low + up
    overflow = index == len(values)
    if mode == "toward-zero":
        overflow = np.isinf(x)
    everything = all_values(fmt)
    plain = np.inf if np.isinf(everything).any() else np.nan if np.isnan(everything).any() else top
    result = np.where(
        overflow, top if saturate else plain, ladder[np.minimum(index, len(values) - 1)]
    )
    return np.copysign(result, x)


def interesting(fmt: str) -> np.ndarray:
    """float32 inputs: every bf16; every value, midpoint, overflow edge with both neighbours."""
    values, _ = magnitudes(fmt)
    edges = np.append(values, [values[-1] * 1.25, values[-1] * 1.5, values[-1] * 2])
    with np.errstate(over="ignore"):
        points = np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]).astype(np.float32)
    bits = points.view(np.uint32)
    bits = np.concatenate([bits, bits + 1, np.maximum(bits, 1) - 1])
    near = np.concatenate([bits, bits | 0x80000000]).astype(np.uint32).view(np.float32)
    random = np.random.default_rng(7).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    x = np.concatenate([ALL_BF16, near, random.view(np.float32)])
    return x[~np.isnan(x)]


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equal as values: zeros of one sign, any NaN like any other."""
    both = np.isnan(a) & np.isnan(b)
    return both | ((a == b) & (np.signbit(a) == np.signbit(b)))


def fraction_to_f32(x: Fraction) -> np.float32:
    """A rational number rounded once to float32, nearest even; zero is +0."""
    if x == 0:
        return np.float32(0)
    a = abs(x)
    exponent = a.numerator.bit_length() - a.denominator.bit_length()
    if a < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    kept = round(a / unit)  # Python rounds halves to even
    value = kept * unit
    with np.errstate(over="ignore"):
        result = np.float32(np.inf) if value >= 2**128 else np.float32(float(value))
    return -result if x < 0 else result


def exact_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b over Fractions, each output rounded once. Finite inputs."""
    rows = [[Fraction(float(v)) for v in row] for row in a]
    columns = [[Fraction(float(v)) for v in column] for column in b.T]
    return np.array(
        [
            [fraction_to_f32(sum(map(Fraction.__mul__, r, c), Fraction(0))) for c in columns]
            for r in rows
        ],
        dtype=np.float32,
    ).reshape(a.shape[0], b.shape[1])
