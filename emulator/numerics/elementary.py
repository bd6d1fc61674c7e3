"""Elementary functions on float32, the same bits on every machine.

Each takes anything that converts to float32 without loss of meaning, of any shape, and returns
float32 of that shape. The bound is 0.51 ulp: computed in double, rounded once (_elementary.pxi).
Subnormals, overflow, signed zeros and infinities as in IEEE 754 / C99 Annex F; NaN is always
0x7fc00000.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.numerics import _core

Floats = npt.NDArray[np.float32]


def _apply(name: str, x: npt.ArrayLike) -> Floats:
    values = np.asarray(x, dtype=np.float32)
    out = np.empty(values.shape, dtype=np.float32)
    _core.elementary(name, np.ascontiguousarray(values).reshape(-1), out.reshape(-1))
    return out


def exp2(x: npt.ArrayLike) -> Floats:
    """2^x."""
    return _apply("exp2", x)


def exp(x: npt.ArrayLike) -> Floats:
    """e^x."""
    return _apply("exp", x)


def ln(x: npt.ArrayLike) -> Floats:
    """Natural logarithm; -Inf at either zero, NaN below."""
    return _apply("ln", x)


def sqrt(x: npt.ArrayLike) -> Floats:
    """Square root, correctly rounded; -0 at -0, NaN below."""
    return _apply("sqrt", x)


def rsqrt(x: npt.ArrayLike) -> Floats:
    """1 / square root; Inf with the sign of a zero, NaN below."""
    return _apply("rsqrt", x)


def tanh(x: npt.ArrayLike) -> Floats:
    """Hyperbolic tangent."""
    return _apply("tanh", x)


def erf(x: npt.ArrayLike) -> Floats:
    """Error function."""
    return _apply("erf", x)
