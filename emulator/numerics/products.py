"""Exact matrix products: every output is the exact sum of its products, rounded once to float32.

BLAS makes the sums where there are enough of them; _certify.pxi proves each rounding right whatever
the order of additions was, or makes that sum again. So the bits depend on nothing but the operands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.numerics import _core

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

# Fewer multiply-adds than this, or fewer rows, and the overhead of BLAS and proof is not worth it.
_BLAS_WORK = 1 << 18
_BLAS_ROWS = 4
# A float32 product is exact if its sums stay below 2^24 units, and norms and units of both factors
# so near 1 that nothing leaves float32's normal range.
_FLOAT32_INTEGERS = 2.0**24
_FLOAT32_RANGE = 2.0**60


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """A matrix prepared for products: float64 values, and norm and grain of its rows or columns.

    Preparing costs a pass over the matrix; keep the Operand to use the matrix again.
    """

    values: Doubles
    norm: Doubles
    grain: Doubles

    @property
    def finite(self) -> bool:
        """Whether BLAS and its proofs may be used at all."""
        return bool(np.isfinite(self.norm).all())

    @property
    def fits_float32(self) -> bool:
        """Whether norms and units are far from float32's limits."""
        used = self.grain > 0
        norm, unit = self.norm[used], self.norm[used] / self.grain[used]
        low, high = unit.min(initial=1.0), norm.max(initial=1.0)
        return bool(low > 1 / _FLOAT32_RANGE and high < _FLOAT32_RANGE)


def left_operand(a: npt.ArrayLike | Operand) -> Operand:
    """[M, K] prepared as the left factor. Values: 24 significant bits at most, |exponent| < 300."""
    if isinstance(a, Operand):
        return a
    values = _matrix(a)
    norm, grain = np.zeros(values.shape[0]), np.zeros(values.shape[0])
    _core.row_stats(values, norm, grain)
    return Operand(values, norm, grain)


def right_operand(b: npt.ArrayLike | Operand) -> Operand:
    """[K, N] prepared as the right factor."""
    if isinstance(b, Operand):
        return b
    values = _matrix(b)
    norm, grain = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    _core.column_stats(values, norm, grain)
    return Operand(values, norm, grain)


def exact_dot(a: npt.ArrayLike | Operand, b: npt.ArrayLike | Operand) -> Floats:
    """[M, K] @ [K, N] -> float32 [M, N]: each sum exact, rounded once to nearest even.

    Every product must be exact in float64: at most 24 significant bits in each operand, exponents
    within +-300. True for values decoded from any format, block scales included. A zero sum is +0;
    IEEE rules for Inf and NaN, which is always 0x7fc00000. ValueError if the shapes do not fit.
    """
    m, k, n = _shapes(a, b)
    out = np.zeros((m, n), dtype=np.float32)
    if m and k and n:
        _multiply(a, b, out, add=False)
    return out


def add_exact_dot(acc: Floats, a: npt.ArrayLike | Operand, b: npt.ArrayLike | Operand) -> None:
    """acc += exact_dot(a, b) in float32, in place: one pass of a matrix unit. acc: C-contiguous."""
    m, k, n = _shapes(a, b)
    if acc.shape != (m, n) or acc.dtype != np.float32 or not acc.flags.c_contiguous:
        raise ValueError(f"the accumulator must be contiguous float32 [{m}, {n}]")
    if m and k and n:
        _multiply(a, b, acc, add=True)


def _multiply(
    a: npt.ArrayLike | Operand, b: npt.ArrayLike | Operand, out: Floats, add: bool
) -> None:
    m, k, n = _shapes(a, b)
    if m >= _BLAS_ROWS and m * k * n >= _BLAS_WORK:
        left, right = left_operand(a), right_operand(b)
        if left.finite and right.finite:
            _core.certify(
                _blas(left, right), left.values, right.values,
                left.norm, left.grain, right.norm, right.grain, out, add,
            )  # fmt: skip
            return
    direct = _core.exact_dot_direct(_values(a), _values(b))
    if add:
        with np.errstate(over="ignore", invalid="ignore"):
            np.add(out, direct, out=out)
        out[np.isnan(out)] = np.nan
    else:
        out[...] = direct


def _blas(a: Operand, b: Operand) -> Doubles:
    """a @ b in float64; by a float32 BLAS, twice as fast, where that is just as exact."""
    few_bits = a.grain.max() * b.grain.max() <= _FLOAT32_INTEGERS
    if few_bits and a.fits_float32 and b.fits_float32:
        product = a.values.astype(np.float32) @ b.values.astype(np.float32)
        return product.astype(np.float64)
    return a.values @ b.values


def _matrix(x: npt.ArrayLike) -> Doubles:
    values = np.ascontiguousarray(x, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"need a matrix, not an array of shape {values.shape}")
    return values


def _values(x: npt.ArrayLike | Operand) -> npt.ArrayLike:
    return x.values if isinstance(x, Operand) else x


def _shapes(a: npt.ArrayLike | Operand, b: npt.ArrayLike | Operand) -> tuple[int, int, int]:
    left, right = np.shape(_values(a)), np.shape(_values(b))
    if len(left) != 2 or len(right) != 2 or left[1] != right[0]:
        raise ValueError(f"cannot multiply {list(left)} by {list(right)}")
    return left[0], left[1], right[1]
