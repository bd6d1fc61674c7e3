"""Coefficients for erf, computed in integers: no libm, so the same on every machine.

Fixed point with 160 fraction bits; the rows are rounded to float64 at the end.
"""

from math import isqrt

_BITS = 160
_ONE = 1 << _BITS


def _exp_minus(x: int) -> int:
    """e^-x for fixed-point x >= 0: Taylor on x / 2^8, squared eight times."""
    small, term, total, n = x >> 8, _ONE, _ONE, 1
    while term:
        term = -(term * small >> _BITS) // n if term > 0 else (-term * small >> _BITS) // n
        total += term
        n += 1
    for _ in range(8):
        total = total * total >> _BITS
    return total


def _arctan_inverse(n: int) -> int:
    """arctan(1 / n)."""
    power, total, k = _ONE // n, 0, 1
    while power:
        total += power // k if k % 4 == 1 else -(power // k)
        power //= n * n
        k += 2
    return total


def erf_rows(rows: int, terms: int, per_unit: int = 8) -> list[list[float]]:
    """Row i: Taylor coefficients of erf around i / per_unit, constant term first.

    erf(c) = 2/sqrt(pi) e^(-c^2) sum over n of 2^n c^(2n+1) / (2n+1)!!, all terms positive, and from
    f'' = -2 x f' the coefficients a_k follow by (k+2)(k+1) a_(k+2) = -2 (c (k+1) a_(k+1) + k a_k).
    """
    pi = 4 * (4 * _arctan_inverse(5) - _arctan_inverse(239))  # Machin
    two_over_sqrt_pi = (2 << 2 * _BITS) // isqrt(pi << _BITS)
    table = []
    for i in range(rows):
        c = i * _ONE // per_unit
        slope = two_over_sqrt_pi * _exp_minus(c * c >> _BITS) >> _BITS
        term, series, n = c, 0, 0
        while term:
            series += term
            n += 1
            term = (term * 2 * i * i) // (per_unit * per_unit * (2 * n + 1))
        a = [slope * series >> _BITS, slope]
        for k in range(terms - 2):
            a.append(-2 * ((c * (k + 1) * a[k + 1] >> _BITS) + k * a[k]) // ((k + 2) * (k + 1)))
        table.append([x / _ONE for x in a])
    return table
